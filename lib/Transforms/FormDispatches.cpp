//===- FormDispatches.cpp - cuts functions into dispatches of outlined kernels --------------===//
//
// A function becomes a list of dispatches in three steps.
//
// 1. Heavy operations (a linear on a weight, one or of experts, attention, a cache append, a
//    router's choice) found a kernel each. A linear takes in the element-wise operations that
//    follow it (its epilogue), attention the reshape of its result, a choice the softmax before it.
// 2. Everything else is light. A light value is *materialised*, that is computed by a kernel of its
//    own, where a heavy kernel reads its rows, where it leaves the function, or where recomputing
//    it in every reader would cost more than storing it. All other light operations are cloned into
//    the kernels that read them.
// 3. Each kernel is outlined: the operations between its results and materialised values move into
//    a plan.kernel; equal kernels are one.
//
//===----------------------------------------------------------------------------------------===//

#include "Reads.h"
#include "Sizes.h"
#include "WeightValues.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringExtras.h"

namespace ingot {
#define GEN_PASS_DEF_FORMDISPATCHES
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

//===----------------------------------------------------------------------===//
// Kinds of operations
//===----------------------------------------------------------------------===//

/// Operations that only say where an element comes from.
static bool isView(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::ExtractSliceOp, tensor::CastOp,
             tensor::SplatOp, tensor::EmptyOp, linalg::TransposeOp, linalg::BroadcastOp,
             linalg::FillOp, GatherOutputsOp, arith::ConstantOp>(op);
}

static bool isElementwise(Operation *op) {
  return OpTrait::hasElementwiseMappableTraits(op) && op->getNumResults() == 1 &&
         isa<RankedTensorType>(op->getResult(0).getType());
}

/// Operations whose every element needs a whole row of an operand, once per row.
static bool hasRowStatistics(Operation *op) { return isa<RMSNormOp, LayerNormOp>(op); }

/// Operations that are too dear to compute again in every reader.
static bool isDear(Operation *op) {
  if (isa<SoftmaxOp, MatmulOp, LinearOp, ExpertLinearOp>(op))
    return true;
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return linalgOp && linalgOp.getNumReductionLoops() > 0;
}

/// Element-wise functions that cost tens of instructions.
static bool isTranscendental(Operation *op) {
  return isa<math::MathDialect>(op->getDialect()) &&
         !isa<math::AbsFOp, math::FmaOp, math::RoundEvenOp, math::FloorOp, math::CeilOp>(op);
}

static bool isTensor(Value value) { return isa<RankedTensorType>(value.getType()); }

namespace {

/// One kernel of a function, before outlining.
struct Cluster {
  plan::ScheduleKind kind;
  Operation *root;
  /// Where the dispatch goes: all that it reads is defined before.
  Operation *position;
  SmallVector<Value> results;
};

class DispatchFormer {
public:
  DispatchFormer(func::FuncOp function, const WeightValues &weights, SymbolTable &symbols,
                 SmallVectorImpl<plan::KernelOp> &kernels)
      : function(function), block(function.getBody().front()), weights(weights), symbols(symbols),
        kernels(kernels) {}

  LogicalResult run();
  int64_t numDispatches = 0, numFused = 0;

private:
  void hoistWeights();
  void resolveDims();
  bool isHeavy(Operation *op) const;
  /// Whether readers take the value as it is instead of computing it.
  bool isMaterialised(Value value) const {
    return !isTensor(value) || isa<BlockArgument>(value) || weights.contains(value) ||
           materialised.contains(value) || isa<func::CallOp>(value.getDefiningOp());
  }
  void growLinear(Cluster &cluster);
  bool isReadyBefore(Value value, Operation *position) const;
  void growAttention(Cluster &cluster);
  void growRoute(Cluster &cluster, RouteOp route);
  void chooseLightRoots();
  unsigned countReaders(Operation *op) const;
  void addLightCluster(Value value);
  void outline(Cluster &cluster);
  plan::KernelOp getKernel(plan::KernelOp candidate);
  std::string getKernelName(const Cluster &cluster);

  func::FuncOp function;
  Block &block;
  const WeightValues &weights;
  SymbolTable &symbols;
  SmallVectorImpl<plan::KernelOp> &kernels;
  llvm::DenseSet<Value> materialised;
  /// Operations that heavy kernels have taken in.
  llvm::DenseSet<Operation *> taken;
  SmallVector<Cluster> clusters;
};

} // namespace

bool DispatchFormer::isHeavy(Operation *op) const {
  if (auto linear = dyn_cast<LinearOp>(op))
    return weights.contains(linear.getWeight());
  if (auto linear = dyn_cast<ExpertLinearOp>(op))
    return weights.contains(linear.getWeight());
  if (auto attention = dyn_cast<AttentionOp>(op))
    return attention.isPhaseForm();
  return isa<CacheAppendOp, RouteOp>(op);
}

//===----------------------------------------------------------------------===//
// Heavy kernels
//===----------------------------------------------------------------------===//

/// Whether everything that `value` is computed from is there before `position`.
bool DispatchFormer::isReadyBefore(Value value, Operation *position) const {
  Operation *op = value.getDefiningOp();
  if (!op || op->isBeforeInBlock(position))
    return true;
  if (isa<arith::ConstantOp>(op))
    return true; // cloned, or hoisted
  if (isMaterialised(value) || isHeavy(op))
    return false;
  bool ready = true;
  forEachRead(op, [&](Value read) { ready &= isReadyBefore(read, position); });
  return ready;
}

/// Whether `slice` takes whole columns of the result of `linear`, for element-wise operations
/// alone.
static bool isColumnSlice(tensor::ExtractSliceOp slice, Operation *linear) {
  int64_t rank = slice.getSourceType().getRank();
  if (slice.getSource() != linear->getResult(0) || !slice.hasUnitStride() ||
      slice.getType().getRank() != rank || ShapedType::isDynamic(slice.getStaticSizes().back()) ||
      ShapedType::isDynamic(slice.getStaticOffsets().back()))
    return false;
  SmallVector<OpFoldResult> offsets = slice.getMixedOffsets();
  for (OpFoldResult offset : ArrayRef(offsets).drop_back())
    if (!isConstantIntValue(offset, 0))
      return false;
  return llvm::all_of(slice->getUsers(), isElementwise);
}

/// Whether the slices cut the columns into equal parts, each of them once.
static bool areEqualParts(ArrayRef<tensor::ExtractSliceOp> slices) {
  tensor::ExtractSliceOp first = slices.front();
  int64_t columns = first.getSourceType().getShape().back(), parts = slices.size();
  llvm::DenseSet<int64_t> offsets;
  return llvm::all_of(slices, [&](tensor::ExtractSliceOp slice) {
    return slice.getStaticSizes().back() * parts == columns &&
           slice.getStaticOffsets().back() % (columns / parts) == 0 &&
           offsets.insert(slice.getStaticOffsets().back()).second;
  });
}

/// Takes in the element-wise operations that follow the linear and read nothing that comes later.
/// If its result is only read through slices into equal parts (the gate and the up half of a gated
/// feed-forward network), they are taken in too: the parts then share a panel.
void DispatchFormer::growLinear(Cluster &cluster) {
  Operation *root = cluster.root;
  SmallVector<tensor::ExtractSliceOp> slices;
  for (Operation *user : root->getUsers())
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(user); slice && isColumnSlice(slice, root))
      slices.push_back(slice);
  bool takeSlices = slices.size() > 1 &&
                    slices.size() == size_t(std::distance(root->user_begin(), root->user_end())) &&
                    areEqualParts(slices);

  SetVector<Operation *> group;
  group.insert(root);
  for (unsigned i = 0; i < group.size(); ++i)
    for (Operation *user : group[i]->getUsers())
      if (user->getBlock() == &block && !taken.contains(user) &&
          (isElementwise(user) || (takeSlices && isa<tensor::ExtractSliceOp>(user) && i == 0)))
        group.insert(user);
  // Give back what reads something that is not there yet, and then what reads that.
  for (bool changed = true; changed;)
    changed = group.remove_if([&](Operation *op) {
      return op != root && llvm::any_of(op->getOperands(), [&](Value operand) {
               return !group.contains(operand.getDefiningOp()) && !isReadyBefore(operand, root);
             });
    });
  // Parts that would have to leave the panel unread make no sense.
  bool sliceLeaves = takeSlices && llvm::any_of(slices, [&](Operation *slice) {
                       return llvm::any_of(slice->getUsers(),
                                           [&](Operation *user) { return !group.contains(user); });
                     });
  if (sliceLeaves) {
    group.clear();
    group.insert(root);
  }
  for (Operation *op : group) {
    taken.insert(op);
    if (llvm::any_of(op->getUsers(), [&](Operation *user) { return !group.contains(user); }))
      cluster.results.push_back(op->getResult(0));
  }
  numFused += group.size() - 1;
}

/// Takes in reshapes of the result and one cast to a narrower type.
void DispatchFormer::growAttention(Cluster &cluster) {
  Value result = cluster.root->getResult(0);
  bool hasCast = false;
  while (result.hasOneUse() && (*result.getUsers().begin())->getBlock() == &block) {
    Operation *user = *result.getUsers().begin();
    bool isCast = isa<arith::TruncFOp>(user) && !hasCast;
    if (!isCast && !isa<tensor::CollapseShapeOp>(user))
      break;
    hasCast |= isCast;
    taken.insert(user);
    result = user->getResult(0);
  }
  taken.insert(cluster.root);
  cluster.results.push_back(result);
}

/// The choice reads a token's scores once, so their softmax needs no memory.
void DispatchFormer::growRoute(Cluster &cluster, RouteOp route) {
  Operation *scores = route.getScores().getDefiningOp();
  if (isa_and_nonnull<SoftmaxOp>(scores) && scores->hasOneUse() && scores->getBlock() == &block)
    taken.insert(scores);
  taken.insert(route);
  llvm::append_range(cluster.results, route.getResults());
}

//===----------------------------------------------------------------------===//
// Light kernels
//===----------------------------------------------------------------------===//

/// Kernels and materialised values that read `op`'s result, through views.
unsigned DispatchFormer::countReaders(Operation *op) const {
  unsigned count = 0;
  for (Operation *user : op->getUsers())
    count += isView(user) && !taken.contains(user) ? countReaders(user) : 1;
  return count;
}

void DispatchFormer::addLightCluster(Value value) {
  if (!isTensor(value) || isMaterialised(value))
    return;
  Operation *op = value.getDefiningOp();
  materialised.insert(value);
  clusters.push_back({plan::ScheduleKind::Rows, op, op, {value}});
}

void DispatchFormer::chooseLightRoots() {
  for (Operation &op : block) {
    // Rows of heavy linears, and what leaves the function.
    if (auto linear = dyn_cast<LinearOp>(op); linear && isHeavy(linear))
      addLightCluster(linear.getX());
    if (auto linear = dyn_cast<ExpertLinearOp>(op); linear && isHeavy(linear)) {
      addLightCluster(linear.getX());
      if (linear.getIds())
        addLightCluster(linear.getIds());
    }
    if (isa<func::CallOp, func::ReturnOp>(op))
      for (Value operand : op.getOperands())
        addLightCluster(operand);
    if (taken.contains(&op) || op.getNumResults() != 1 || !isTensor(op.getResult(0)))
      continue;
    bool store = isDear(&op);
    if (hasRowStatistics(&op) || isTranscendental(&op) || isa<RotaryOp, CombineOp>(op))
      store |= countReaders(&op) > 1;
    if (store)
      addLightCluster(op.getResult(0));
  }
}

//===----------------------------------------------------------------------===//
// Outlining
//===----------------------------------------------------------------------===//

/// What the root computes, by the end of its location's name ("model.layers.*.mlp.gate_proj").
std::string DispatchFormer::getKernelName(const Cluster &cluster) {
  std::string name = cluster.root->getName().stripDialect().str();
  Location loc = cluster.root->getLoc();
  if (auto fused = dyn_cast<FusedLoc>(loc); fused && !fused.getLocations().empty())
    loc = fused.getLocations().front();
  if (auto named = dyn_cast<NameLoc>(loc)) {
    StringRef last = named.getName().getValue().rsplit('.').second;
    if (last == "weight" || last == "bias")
      last = named.getName().getValue().rsplit('.').first.rsplit('.').second;
    if (!last.empty())
      name += "_" + last.str();
  }
  for (char &c : name)
    if (!llvm::isAlnum(c))
      c = '_';
  return name;
}

/// The kernel that equals `candidate`, which is erased, or `candidate` itself.
plan::KernelOp DispatchFormer::getKernel(plan::KernelOp candidate) {
  for (plan::KernelOp kernel : kernels)
    if (kernel.getFunctionType() == candidate.getFunctionType() &&
        kernel.getScheduleAttr() == candidate.getScheduleAttr() &&
        OperationEquivalence::isRegionEquivalentTo(&kernel.getBody(), &candidate.getBody(),
                                                   OperationEquivalence::IgnoreLocations)) {
      candidate.erase();
      return kernel;
    }
  symbols.insert(candidate,
                 Block::iterator(kernels.empty() ? &*symbols.getOp()->getRegion(0).front().begin()
                                                 : kernels.back()->getNextNode()));
  kernels.push_back(candidate);
  return candidate;
}

void DispatchFormer::outline(Cluster &cluster) {
  // The operations of the kernel, and what it reads.
  SetVector<Operation *> operations;
  SetVector<Value> operands;
  std::function<void(Value)> visit = [&](Value value) {
    Operation *op = value.getDefiningOp();
    bool isResult = llvm::is_contained(cluster.results, value) || op == cluster.root;
    bool constant = op && isa<arith::ConstantOp>(op) && !weights.contains(value);
    bool inside = isResult || constant || (op && taken.contains(op) && !isMaterialised(value)) ||
                  !isMaterialised(value);
    if (!inside) {
      operands.insert(value);
      return;
    }
    if (operations.contains(op))
      return;
    forEachRead(op, visit);
    operations.insert(op);
  };
  // The root first: its operands are the kernel's first.
  visit(cluster.root->getResult(0));
  for (Value result : cluster.results)
    visit(result);

  OpBuilder builder(function.getContext());
  SmallVector<Type> resultTypes;
  for (Value result : cluster.results)
    resultTypes.push_back(result.getType());
  SmallVector<Type> operandTypes;
  for (Value operand : operands)
    operandTypes.push_back(operand.getType());
  auto candidate = plan::KernelOp::create(builder, cluster.root->getLoc(), getKernelName(cluster),
                                          builder.getFunctionType(operandTypes, resultTypes));
  candidate.setScheduleAttr(plan::ScheduleAttr::get(builder.getContext(), cluster.kind, 1, 1));
  Block *body = builder.createBlock(&candidate.getBody());
  IRMapping mapping;
  for (Value operand : operands)
    mapping.map(operand, body->addArgument(operand.getType(), operand.getLoc()));
  for (Operation *op : operations)
    builder.clone(*op, mapping);
  SmallVector<Value> yielded;
  for (Value result : cluster.results)
    yielded.push_back(mapping.lookup(result));
  plan::YieldOp::create(builder, cluster.root->getLoc(), yielded);

  plan::KernelOp kernel = getKernel(candidate);
  builder.setInsertionPointAfter(cluster.position);
  // In terms of what stays: arguments, results of calls and of dispatches.
  SizeResolver resolver(builder, [&](Value value, int64_t dim) -> Value {
    return tensor::DimOp::create(builder, value.getLoc(), value, dim);
  });
  SmallVector<Value> sizes;
  for (Value result : cluster.results)
    if (auto type = dyn_cast<RankedTensorType>(result.getType()))
      for (int64_t dim = 0; dim < type.getRank(); ++dim)
        if (type.isDynamicDim(dim))
          sizes.push_back(resolver.getSize(result, dim));
  auto dispatch = plan::DispatchOp::create(builder, cluster.root->getLoc(), resultTypes,
                                           kernel.getName(), operands.getArrayRef(), sizes);
  for (auto [before, after] : llvm::zip(cluster.results, dispatch.getResults())) {
    before.replaceAllUsesWith(after);
    materialised.insert(after);
  }
  ++numDispatches;
}

/// Expresses every dimension by arguments and results of calls: what stays when operations are
/// outlined.
void DispatchFormer::resolveDims() {
  OpBuilder builder(function.getContext());
  for (tensor::DimOp op : llvm::make_early_inc_range(block.getOps<tensor::DimOp>())) {
    Operation *source = op.getSource().getDefiningOp();
    if (!source || isa<func::CallOp>(source) || !op.getConstantIndex())
      continue;
    builder.setInsertionPoint(op);
    SizeResolver resolver(builder, [&](Value value, int64_t dim) -> Value {
      return tensor::DimOp::create(builder, value.getLoc(), value, dim);
    });
    op.replaceAllUsesWith(resolver.getSize(op.getSource(), *op.getConstantIndex()));
    op.erase();
  }
}

/// Weights first: they are there before any dispatch.
void DispatchFormer::hoistWeights() {
  Operation *last = nullptr;
  for (Operation &op : llvm::make_early_inc_range(block)) {
    if (op.getNumResults() != 1 || !weights.contains(op.getResult(0)))
      continue;
    if (last)
      op.moveAfter(last);
    else if (&op != &block.front())
      op.moveBefore(&block.front());
    last = &op;
  }
}

LogicalResult DispatchFormer::run() {
  hoistWeights();
  resolveDims();
  for (Operation &op : block) {
    if (!isHeavy(&op))
      continue;
    Cluster cluster{plan::ScheduleKind::Linear, &op, &op, {}};
    if (isa<LinearOp, ExpertLinearOp>(op)) {
      if (isa<ExpertLinearOp>(op))
        cluster.kind = plan::ScheduleKind::Experts;
      growLinear(cluster);
    } else if (auto route = dyn_cast<RouteOp>(op)) {
      cluster.kind = plan::ScheduleKind::Route;
      growRoute(cluster, route);
    } else if (isa<AttentionOp>(op)) {
      cluster.kind = plan::ScheduleKind::Attention;
      growAttention(cluster);
    } else {
      cluster.kind = plan::ScheduleKind::Append;
      cluster.results.push_back(op.getResult(0));
      taken.insert(&op);
    }
    materialised.insert(cluster.results.begin(), cluster.results.end());
    clusters.push_back(cluster);
  }
  chooseLightRoots();
  // Outlining replaces values, so a kernel's operands must be outlined before it.
  llvm::sort(clusters, [](const Cluster &a, const Cluster &b) {
    return a.position->isBeforeInBlock(b.position);
  });
  for (Cluster &cluster : clusters)
    outline(cluster);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op) || (taken.contains(&op) && op.use_empty()))
      op.erase();
  return success();
}

namespace {
struct FormDispatchesPass : ingot::impl::FormDispatchesBase<FormDispatchesPass> {
  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    WeightValues weights(getOperation());
    SmallVector<plan::KernelOp> kernels;
    SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp function : functions) {
      if (function.isExternal())
        continue;
      if (!function.getBody().hasOneBlock()) {
        function.emitOpError("expected a function with one block");
        return signalPassFailure();
      }
      DispatchFormer former(function, weights, symbols, kernels);
      if (failed(former.run()))
        return signalPassFailure();
      numDispatches += former.numDispatches;
      numFused += former.numFused;
    }
    numKernels += kernels.size();
  }
};
} // namespace
