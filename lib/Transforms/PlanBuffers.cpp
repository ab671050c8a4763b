//===- PlanBuffers.cpp - slots, grids and costs of programs ---------------------------------===//

#include "FlattenProgram.h"
#include "Sizes.h"
#include "WeightValues.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Plan/Utils/KernelInterface.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"
#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "ingot/Dialect/Transformer/IR/SourceAttr.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/MapVector.h"

namespace ingot {
#define GEN_PASS_DEF_PLANBUFFERS
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

//===----------------------------------------------------------------------===//
// One program
//===----------------------------------------------------------------------===//

namespace {

/// Positions of one page table: see CacheGroup of the schema.
struct CacheGroup {
  int64_t window;
  /// Positions are those of the source.
  bool ofSource;
  int64_t pageBytes = 0, layers = 0;
};

/// `coefficient` bytes times the product of run-time sizes.
struct SymbolicBytes {
  int64_t coefficient;
  SmallVector<Value> factors;
};

class ProgramPlanner {
public:
  ProgramPlanner(plan::ProgramOp program, SymbolTable &symbols)
      : program(program), block(program.getBody().front()), symbols(symbols),
        builder(program.getContext()) {}

  LogicalResult resolveSizes();
  LogicalResult packVectors();
  LogicalResult addGridsAndCosts();
  LogicalResult assignSlots();
  /// Appends groups that are missing and returns the program's layers in each.
  LogicalResult assignCaches(SmallVectorImpl<CacheGroup> &groups);
  int64_t numSlots = 0;

private:
  plan::KernelOp getKernel(plan::DispatchOp dispatch) {
    return symbols.lookup<plan::KernelOp>(dispatch.getKernel());
  }
  Value constant(int64_t value) {
    return arith::ConstantIndexOp::create(builder, program.getLoc(), value);
  }
  Value product(int64_t coefficient, ArrayRef<Value> factors);
  FailureOr<Value> getGrid(plan::DispatchOp dispatch, plan::KernelOp kernel);
  void addCost(plan::DispatchOp dispatch, plan::KernelOp kernel);
  SizeResolver resolverFor(plan::DispatchOp dispatch, plan::KernelOp kernel);
  Value getDim(Value value, int64_t dim);
  SymbolicBytes getBytes(Value tensor);

  plan::ProgramOp program;
  Block &block;
  SymbolTable &symbols;
  OpBuilder builder;
};

} // namespace

/// The size of a dimension of an argument or a dispatch result.
Value ProgramPlanner::getDim(Value value, int64_t dim) {
  auto type = cast<RankedTensorType>(value.getType());
  if (!type.isDynamicDim(dim))
    return constant(type.getDimSize(dim));
  if (auto dispatch = value.getDefiningOp<plan::DispatchOp>())
    return dispatch.getSizesOf(
        cast<OpResult>(value).getResultNumber())[type.getDynamicDimIndex(dim)];
  // Inputs beside a batch have one row per packed token.
  if (dim == 0)
    for (BlockArgument argument : block.getArguments())
      if (isa<BatchType>(argument.getType()))
        return BatchDimOp::create(builder, program.getLoc(), argument, BatchDimKind::Tokens);
  return tensor::DimOp::create(builder, program.getLoc(), value, dim);
}

SymbolicBytes ProgramPlanner::getBytes(Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  int64_t rank = type.getRank();
  Type element = type.getElementType();
  SymbolicBytes bytes{element.isIntOrFloat() ? (element.getIntOrFloatBitWidth() + 7) / 8 : 8, {}};
  // Blocks are counted by the row, whose size is static.
  if (auto block = dyn_cast<BlockType>(element))
    bytes.coefficient = formats::bytesOf(block.getFormat(), type.getDimSize(--rank));
  for (int64_t dim = 0; dim < rank; ++dim) {
    if (type.isDynamicDim(dim))
      bytes.factors.push_back(getDim(tensor, dim));
    else
      bytes.coefficient *= type.getDimSize(dim);
  }
  return bytes;
}

/// Expresses every size by inputs and batches.
LogicalResult ProgramPlanner::resolveSizes() {
  for (tensor::DimOp dim : llvm::make_early_inc_range(block.getOps<tensor::DimOp>())) {
    if (!dim.getConstantIndex())
      return dim.emitOpError("expected a constant dimension");
    Value source = dim.getSource();
    bool isInput = isa<BlockArgument>(source);
    if (!isInput && !source.getDefiningOp<plan::DispatchOp>())
      return dim.emitOpError("expected the dimension of an input or of the result of a dispatch");
    builder.setInsertionPoint(dim);
    Value size = getDim(source, *dim.getConstantIndex());
    dim.replaceAllUsesWith(size);
    dim.erase();
  }
  IRRewriter rewriter(program.getContext());
  DominanceInfo dominance(program);
  eliminateCommonSubExpressions(rewriter, dominance, program);
  return success();
}

/// Concatenations of weight vectors (the biases of fused linears) become packed weights.
LogicalResult ProgramPlanner::packVectors() {
  for (tensor::ConcatOp concat : llvm::make_early_inc_range(block.getOps<tensor::ConcatOp>())) {
    if (concat.use_empty()) {
      concat.erase();
      continue;
    }
    builder.setInsertionPoint(concat);
    if (concat.getDim() != 0)
      return concat.emitOpError("expected a concatenation of weights along dimension 0");
    auto pack =
        plan::PackOp::create(builder, concat.getLoc(), concat.getType(), concat.getInputs(), false);
    concat.replaceAllUsesWith(pack.getResult());
    concat.erase();
  }
  return success();
}

Value ProgramPlanner::product(int64_t coefficient, ArrayRef<Value> factors) {
  Value result;
  for (Value factor : factors)
    result =
        result ? Value(arith::MulIOp::create(builder, program.getLoc(), result, factor)) : factor;
  if (!result)
    return constant(coefficient);
  return coefficient == 1 ? result
                          : Value(arith::MulIOp::create(builder, program.getLoc(), result,
                                                        constant(coefficient)));
}

/// Sizes of values inside `kernel` in terms of the program.
SizeResolver ProgramPlanner::resolverFor(plan::DispatchOp dispatch, plan::KernelOp kernel) {
  auto toOperand = [dispatch](Value value) mutable -> Value {
    auto argument = dyn_cast<BlockArgument>(value);
    return argument ? dispatch.getInputs()[argument.getArgNumber()] : Value();
  };
  return SizeResolver(
      builder,
      [this, toOperand](Value value, int64_t dim) mutable { return getDim(toOperand(value), dim); },
      toOperand);
}

FailureOr<Value> ProgramPlanner::getGrid(plan::DispatchOp dispatch, plan::KernelOp kernel) {
  switch (kernel.getSchedule()->getKind()) {
  case plan::ScheduleKind::Linear:
  case plan::ScheduleKind::Experts: {
    for (Type type : kernel.getArgumentTypes())
      if (auto matrix = dyn_cast<RankedTensorType>(type);
          matrix && isa_and_nonnull<plan::PanelsAttr>(matrix.getEncoding())) {
        llvm::Expected<plan::PanelLayout> layout = plan::PanelLayout::get(matrix);
        if (!layout)
          return kernel.emitOpError(llvm::toString(layout.takeError()));
        return constant(layout->numSubPanels() * layout->matrices);
      }
    return kernel.emitOpError("expected a packed weight, as select-schedule makes it");
  }
  case plan::ScheduleKind::Attention: {
    auto attention = *kernel.getBody().getOps<AttentionOp>().begin();
    auto batch = cast<BlockArgument>(attention.getBatch());
    Value items =
        BatchDimOp::create(builder, dispatch.getLoc(), dispatch.getInputs()[batch.getArgNumber()],
                           BatchDimKind::Items);
    return product(attention.getKVHeads(), {items});
  }
  case plan::ScheduleKind::Append: {
    auto append = *kernel.getBody().getOps<CacheAppendOp>().begin();
    return resolverFor(dispatch, kernel).getSize(append.getK(), 0);
  }
  case plan::ScheduleKind::Route:
  case plan::ScheduleKind::Rows: {
    auto type = cast<RankedTensorType>(kernel.getResultTypes().front());
    SmallVector<Value> factors;
    int64_t coefficient = 1;
    for (int64_t dim = 0; dim + 1 < type.getRank(); ++dim) {
      if (type.isDynamicDim(dim))
        factors.push_back(getDim(dispatch.getResult(0), dim));
      else
        coefficient *= type.getDimSize(dim);
    }
    return product(coefficient, factors);
  }
  }
  llvm_unreachable("all kinds are handled");
}

void ProgramPlanner::addCost(plan::DispatchOp dispatch, plan::KernelOp kernel) {
  // (class, size) -> coefficient; sizes are unified by common subexpression elimination later.
  SmallVector<Value> sizes;
  SmallVector<int32_t> classes;
  SmallVector<int64_t> coefficients;
  auto add = [&](CostClass cost, int64_t coefficient, ArrayRef<Value> factors) {
    sizes.push_back(product(1, factors));
    classes.push_back(int32_t(cost));
    coefficients.push_back(coefficient);
  };
  SizeResolver resolver = resolverFor(dispatch, kernel);
  kernel.getBody().walk([&](CostOpInterface op) {
    SmallVector<CostTerm> terms;
    op.getCost(terms);
    for (CostTerm &term : terms) {
      SmallVector<Value> factors;
      for (CostFactor &factor : term.factors) {
        if (isa<BatchType>(factor.value.getType())) {
          auto batch = cast<BlockArgument>(factor.value);
          factors.push_back(BatchDimOp::create(builder, dispatch.getLoc(),
                                               dispatch.getInputs()[batch.getArgNumber()],
                                               BatchDimKind(factor.dim), factor.window));
        } else {
          factors.push_back(resolver.getSize(factor.value, factor.dim));
        }
        if (factor.scale != 1)
          factors.back() = product(factor.scale, factors.back());
        if (factor.limit)
          factors.back() = arith::MinSIOp::create(builder, dispatch.getLoc(), factors.back(),
                                                  constant(factor.limit));
      }
      add(term.cost, term.coefficient, factors);
    }
  });
  // Activations: what the dispatch reads and writes.
  auto addTensor = [&](Value value) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    Operation *op = value.getDefiningOp();
    if (!type || (op && !isa<plan::DispatchOp>(op)))
      return;
    SymbolicBytes bytes = getBytes(value);
    add(CostClass::Activations, bytes.coefficient, bytes.factors);
  };
  for (Value input : dispatch.getInputs())
    addTensor(input);
  for (Value output : dispatch.getOutputs())
    addTensor(output);
  dispatch.getCostSizesMutable().assign(sizes);
  dispatch.setCostClasses(classes);
  dispatch.setCostCoefficients(coefficients);
}

/// Adds up terms of one class and size.
static void mergeCost(plan::DispatchOp dispatch) {
  llvm::MapVector<std::pair<Value, int32_t>, int64_t> terms;
  for (auto [size, cost, coefficient] : llvm::zip(
           dispatch.getCostSizes(), *dispatch.getCostClasses(), *dispatch.getCostCoefficients()))
    terms[{size, cost}] += coefficient;
  SmallVector<Value> sizes;
  SmallVector<int32_t> classes;
  SmallVector<int64_t> coefficients;
  for (auto &[key, coefficient] : terms) {
    sizes.push_back(key.first);
    classes.push_back(key.second);
    coefficients.push_back(coefficient);
  }
  dispatch.getCostSizesMutable().assign(sizes);
  dispatch.setCostClasses(classes);
  dispatch.setCostCoefficients(coefficients);
}

LogicalResult ProgramPlanner::addGridsAndCosts() {
  SmallVector<plan::DispatchOp> dispatches(block.getOps<plan::DispatchOp>());
  for (plan::DispatchOp dispatch : dispatches) {
    builder.setInsertionPoint(dispatch);
    plan::KernelOp kernel = getKernel(dispatch);
    if (!kernel.getSchedule())
      return kernel.emitOpError("expected a schedule");
    FailureOr<Value> grid = getGrid(dispatch, kernel);
    if (failed(grid))
      return failure();
    dispatch.getGridMutable().assign(*grid);
    addCost(dispatch, kernel);
  }
  IRRewriter rewriter(program.getContext());
  DominanceInfo dominance(program);
  eliminateCommonSubExpressions(rewriter, dominance, program);
  for (plan::DispatchOp dispatch : dispatches)
    mergeCost(dispatch);
  return success();
}

//===----------------------------------------------------------------------===//
// Slots
//===----------------------------------------------------------------------===//

namespace {
/// A value in memory from the operation that makes it to the last that reads it.
struct Lifetime {
  unsigned first, last;
  SymbolicBytes bytes;

  /// Slots are shared among values whose sizes differ in the coefficient alone: only those can be
  /// compared here.
  bool canShare(const Lifetime &other) const {
    return bytes.factors == other.bytes.factors && (last < other.first || other.last < first);
  }
};
} // namespace

/// Lifetimes that share a slot, the largest first; slots in the order in which they are first used.
/// The largest values choose first, and each takes the smallest slot that is free as long as it
/// lives, so no slot grows.
static SmallVector<SmallVector<unsigned>> shareSlots(ArrayRef<Lifetime> lifetimes) {
  SmallVector<unsigned> bySize(llvm::to_vector(llvm::seq<unsigned>(0, lifetimes.size())));
  llvm::sort(bySize, [&](unsigned a, unsigned b) {
    int64_t sizeOfA = lifetimes[a].bytes.coefficient, sizeOfB = lifetimes[b].bytes.coefficient;
    return sizeOfA != sizeOfB ? sizeOfA > sizeOfB : a < b;
  });
  SmallVector<SmallVector<unsigned>> slots;
  for (unsigned value : bySize) {
    auto isFree = [&](ArrayRef<unsigned> slot) {
      return llvm::all_of(
          slot, [&](unsigned other) { return lifetimes[value].canShare(lifetimes[other]); });
    };
    auto smallest = llvm::find_if(llvm::reverse(slots), isFree);
    if (smallest == slots.rend())
      slots.push_back({value});
    else
      smallest->push_back(value);
  }
  llvm::sort(slots, [](ArrayRef<unsigned> a, ArrayRef<unsigned> b) {
    return *llvm::min_element(a) < *llvm::min_element(b);
  });
  return slots;
}

LogicalResult ProgramPlanner::assignSlots() {
  llvm::DenseMap<Value, unsigned> lastUse;
  llvm::DenseMap<Operation *, unsigned> order;
  llvm::DenseSet<Value> outputs;
  for (auto [position, op] : llvm::enumerate(block)) {
    order[&op] = position;
    for (Value operand : op.getOperands()) {
      lastUse[operand] = position;
      // A transient cache lives as long as its last version.
      for (Value version = operand; auto append = version.getDefiningOp<plan::DispatchOp>();) {
        auto cache =
            llvm::find_if(append.getInputs(), [](Value v) { return isa<CacheType>(v.getType()); });
        if (!isa<CacheType>(version.getType()) || cache == append.getInputs().end())
          break;
        version = *cache;
        lastUse[version] = position;
      }
    }
  }
  outputs.insert_range(block.getTerminator()->getOperands());

  SmallVector<Lifetime> lifetimes;
  // Of each operation the lifetimes of its results; -1: none of the arena.
  llvm::MapVector<Operation *, SmallVector<int32_t>> holders;
  for (Operation &op : block) {
    if (!isa<plan::DispatchOp, CacheCreateOp>(op))
      continue;
    builder.setInsertionPoint(&op);
    SmallVector<int32_t> &held = holders[&op];
    for (Value result : op.getResults()) {
      SymbolicBytes bytes{1, {}};
      if (auto create = dyn_cast<CacheCreateOp>(op)) {
        llvm::Expected<int64_t> pageBytes = plan::getCachePageBytes(create.getType());
        if (!pageBytes)
          return op.emitOpError(llvm::toString(pageBytes.takeError()));
        bytes = {
            *pageBytes,
            {BatchDimOp::create(builder, op.getLoc(), create.getBatch(), BatchDimKind::Pages)}};
      } else if (isa<CacheType>(result.getType()) || outputs.contains(result)) {
        held.push_back(-1);
        continue;
      } else {
        bytes = getBytes(result);
      }
      auto last = lastUse.find(result);
      held.push_back(int32_t(lifetimes.size()));
      lifetimes.push_back({order[&op], last == lastUse.end() ? order[&op] : last->second, bytes});
    }
  }
  SmallVector<SmallVector<unsigned>> slots = shareSlots(lifetimes);
  SmallVector<int32_t> slotOf(lifetimes.size());
  for (auto [slot, values] : llvm::enumerate(slots))
    for (unsigned value : values)
      slotOf[value] = int32_t(slot);
  for (auto &[op, held] : holders) {
    for (int32_t &number : held)
      number = number < 0 ? number : slotOf[size_t(number)];
    if (auto dispatch = dyn_cast<plan::DispatchOp>(op))
      dispatch.setSlots(held);
    else
      op->setAttr("slot", builder.getI32IntegerAttr(held.front()));
  }
  builder.setInsertionPoint(block.getTerminator());
  for (auto [index, slot] : llvm::enumerate(slots)) {
    const SymbolicBytes &largest = lifetimes[slot.front()].bytes;
    Value bytes = product(largest.coefficient, largest.factors);
    plan::SlotOp::create(builder, program.getLoc(), index, bytes);
  }
  numSlots += slots.size();
  return success();
}

//===----------------------------------------------------------------------===//
// Caches
//===----------------------------------------------------------------------===//

/// How far back the attention that reads `cache` looks; 0: all.
static int64_t getWindow(Value cache, SymbolTable &symbols) {
  for (Operation *user : cache.getUsers()) {
    auto dispatch = dyn_cast<plan::DispatchOp>(user);
    if (!dispatch)
      continue;
    auto kernel = symbols.lookup<plan::KernelOp>(dispatch.getKernel());
    for (AttentionOp attention : kernel.getBody().getOps<AttentionOp>()) {
      std::optional<CommonMask> mask = matchMask(attention.getMask());
      return mask && mask->window ? *mask->window : 0;
    }
    for (Value result : dispatch.getResults())
      if (isa<CacheType>(result.getType()))
        return getWindow(result, symbols);
  }
  return 0;
}

LogicalResult ProgramPlanner::assignCaches(SmallVectorImpl<CacheGroup> &groups) {
  SmallVector<CacheGroup> mine;
  SmallVector<int64_t> numbers; // of each in `groups`
  for (BlockArgument argument : block.getArguments()) {
    auto type = dyn_cast<CacheType>(argument.getType());
    if (!type)
      continue;
    int64_t window = getWindow(argument, symbols);
    bool ofSource =
        static_cast<bool>(program.getArgAttr(argument.getArgNumber(), getSourceAttrName()));
    auto isIt = [&](CacheGroup &g) { return g.window == window && g.ofSource == ofSource; };
    auto group = llvm::find_if(mine, isIt);
    if (group == mine.end()) {
      // Programs number the groups alike.
      auto known = llvm::find_if(groups, isIt);
      if (known == groups.end())
        known = groups.insert(groups.end(), {window, ofSource});
      numbers.push_back(known - groups.begin());
      group = mine.insert(mine.end(), {window, ofSource});
    }
    llvm::Expected<int64_t> bytes = plan::getCachePageBytes(type);
    if (!bytes)
      return program.emitOpError(llvm::toString(bytes.takeError()));
    program.setArgAttr(argument.getArgNumber(), plan::kGroupAttr,
                       builder.getI64IntegerAttr(numbers[group - mine.begin()]));
    program.setArgAttr(argument.getArgNumber(), plan::kOffsetAttr,
                       builder.getI64IntegerAttr(group->pageBytes));
    group->pageBytes += *bytes;
    ++group->layers;
  }
  bool equal = true;
  for (auto [group, number] : llvm::zip(mine, numbers)) {
    if (groups[number].layers == 0)
      groups[number] = group;
    equal &= groups[number].pageBytes == group.pageBytes && groups[number].layers == group.layers;
  }
  if (!equal)
    return program.emitOpError("lays its caches out differently than another phase");
  return success();
}

namespace {
struct PlanBuffersPass : ingot::impl::PlanBuffersBase<PlanBuffersPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
    SmallVector<CacheGroup> groups;
    for (func::FuncOp function : functions) {
      if (function.isPrivate() || function.isExternal())
        continue;
      FailureOr<plan::ProgramOp> program = flattenProgram(function, symbols);
      if (failed(program))
        return signalPassFailure();
      ProgramPlanner planner(*program, symbols);
      if (failed(planner.resolveSizes()) || failed(planner.packVectors()) ||
          failed(planner.addGridsAndCosts()) || failed(planner.assignSlots()) ||
          (llvm::any_of(program->getArgumentTypes(),
                        [](Type type) { return isa<CacheType>(type); }) &&
           failed(planner.assignCaches(groups))))
        return signalPassFailure();
      numSlots += planner.numSlots;
      ++numPrograms;
    }
    for (func::FuncOp function : functions)
      function.erase();
    if (auto model =
            module->getAttrOfType<DictionaryAttr>(TransformerDialect::getModelAttrName())) {
      Builder builder(&getContext());
      SmallVector<Attribute> described;
      for (CacheGroup &group : groups)
        described.push_back(builder.getDictionaryAttr(
            {builder.getNamedAttr("page_bytes", builder.getI64IntegerAttr(group.pageBytes)),
             builder.getNamedAttr("window", builder.getI64IntegerAttr(group.window)),
             builder.getNamedAttr("source", builder.getBoolAttr(group.ofSource)),
             builder.getNamedAttr("layers", builder.getI64IntegerAttr(group.layers))}));
      NamedAttrList attributes(model);
      attributes.set("cache_groups", builder.getArrayAttr(described));
      module->setAttr(TransformerDialect::getModelAttrName(),
                      attributes.getDictionary(&getContext()));
    }
  }
};
} // namespace
