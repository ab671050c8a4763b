//===- SelectSchedule.cpp - decides how kernels are generated and weights are packed ----------===//

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Plan/Utils/CacheLayout.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

namespace ingot {
#define GEN_PASS_DEF_SELECTSCHEDULE
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// Rows of a panel: four vectors of 16 output rows, so that one row of activations keeps four
/// chains of multiply-adds in flight, or as many whole vectors of each part as come near.
static int64_t getPanelRows(int64_t parts) {
  return plan::kPanelLanes * parts * std::max<int64_t>(1, 4 / parts);
}

/// Query rows (queries times the heads that share keys) of an attention item: enough to reuse each
/// key from registers and caches, few enough that short prompts still divide over threads; a
/// multiple of 16 and of the kernel's tiles of 4, 6 and 8 rows.
static constexpr int64_t kAttentionRows = 48;

/// Most memory per thread for whole rows of scores.
static constexpr int64_t kMaxScoreBytes = int64_t(1) << 30;

/// The matrices below each other that `weight` is made of.
static SmallVector<Value> getSources(Value weight, bool transposed) {
  auto concat = weight.getDefiningOp<tensor::ConcatOp>();
  if (concat && int64_t(concat.getDim()) == (transposed ? 1 : 0))
    return SmallVector<Value>(concat.getInputs());
  return {weight};
}

namespace {

class ScheduleSelector {
public:
  explicit ScheduleSelector(ModuleOp module) : module(module), symbols(module) {
    module.walk([&](plan::DispatchOp dispatch) {
      dispatches[symbols.lookup<plan::KernelOp>(dispatch.getKernel())].push_back(dispatch);
    });
  }

  void scheduleLinear(plan::KernelOp kernel);
  void scheduleExperts(plan::KernelOp kernel);
  LogicalResult scheduleAttention(plan::KernelOp kernel, StringRef form);
  void shareTables(plan::KernelOp kernel);
  int64_t numPacked = 0, numShared = 0;

private:
  void pack(plan::KernelOp kernel, BlockArgument weight, bool transposed, int64_t parts,
            int64_t matrices = 1);
  std::optional<std::pair<int64_t, int64_t>> getBounds(plan::KernelOp kernel);

  ModuleOp module;
  SymbolTable symbols;
  llvm::DenseMap<Operation *, SmallVector<plan::DispatchOp>> dispatches;
};

} // namespace

/// Gives the kernel's matrix a packed type and packs it at every dispatch.
void ScheduleSelector::pack(plan::KernelOp kernel, BlockArgument weight, bool transposed,
                            int64_t parts, int64_t matrices) {
  auto type = cast<RankedTensorType>(weight.getType());
  int64_t n = type.getDimSize(transposed ? 1 : 0), k = type.getDimSize(transposed ? 0 : 1);
  auto packedType = RankedTensorType::get(
      {n, k}, type.getElementType(),
      plan::PanelsAttr::get(module.getContext(), getPanelRows(parts), parts, matrices));
  weight.setType(packedType);
  SmallVector<Type> inputs(kernel.getArgumentTypes());
  inputs[weight.getArgNumber()] = packedType;
  kernel.setFunctionType(FunctionType::get(module.getContext(), inputs, kernel.getResultTypes()));
  for (plan::DispatchOp dispatch : dispatches[kernel]) {
    OpBuilder builder(dispatch);
    OpOperand &operand = dispatch.getInputsMutable()[weight.getArgNumber()];
    auto packed = plan::PackOp::create(builder, operand.get().getLoc(), packedType,
                                       getSources(operand.get(), transposed), transposed);
    operand.set(packed);
    ++numPacked;
  }
}

/// form-dispatches takes slices in only where they are equal parts of all columns.
static int64_t countParts(Operation *linear) {
  int64_t parts = llvm::count_if(linear->getUsers(),
                                 [](Operation *user) { return isa<tensor::ExtractSliceOp>(user); });
  return std::max<int64_t>(parts, 1);
}

void ScheduleSelector::scheduleLinear(plan::KernelOp kernel) {
  auto linear = *kernel.getBody().getOps<LinearOp>().begin();
  auto weight = cast<BlockArgument>(linear.getWeight());
  pack(kernel, weight, linear.getTransposed(), countParts(linear));
  linear.setTransposed(false);
}

void ScheduleSelector::scheduleExperts(plan::KernelOp kernel) {
  auto linear = *kernel.getBody().getOps<ExpertLinearOp>().begin();
  auto weight = cast<BlockArgument>(linear.getWeight());
  pack(kernel, weight, linear.getTransposed(), countParts(linear), linear.getExperts());
  linear.setTransposed(false);
}

/// Most rows of a sequence in a step, and most keys that they see at once; nothing where that is
/// not known.
std::optional<std::pair<int64_t, int64_t>> ScheduleSelector::getBounds(plan::KernelOp kernel) {
  auto model = module->getAttrOfType<DictionaryAttr>(TransformerDialect::getModelAttrName());
  if (model) {
    auto context = model.getAs<IntegerAttr>("context"),
         rows = model.getAs<IntegerAttr>("max_tokens");
    if (!context || !rows)
      return std::nullopt;
    // A window that slides begins inside a page, and keys of the whole step are there at once.
    return std::pair(rows.getInt(), context.getInt() + rows.getInt() + plan::kPagePositions);
  }
  auto attention = *kernel.getBody().getOps<AttentionOp>().begin();
  auto batch = cast<BlockArgument>(attention.getBatch());
  std::pair<int64_t, int64_t> bounds(0, 0);
  for (plan::DispatchOp dispatch : dispatches[kernel]) {
    auto uniform = dispatch.getInputs()[batch.getArgNumber()].getDefiningOp<UniformBatchOp>();
    IntegerAttr rows, keys;
    if (!uniform || !matchPattern(uniform.getRows(), m_Constant(&rows)) ||
        !matchPattern(uniform.getKeys(), m_Constant(&keys)))
      return std::nullopt;
    bounds = {std::max(bounds.first, rows.getInt()), std::max(bounds.second, keys.getInt())};
  }
  return bounds;
}

LogicalResult ScheduleSelector::scheduleAttention(plan::KernelOp kernel, StringRef form) {
  auto attention = *kernel.getBody().getOps<AttentionOp>().begin();
  int64_t group = attention.getHeads() / attention.getKVHeads();
  int64_t rows = std::max<int64_t>(kAttentionRows / group, 1), keys = 0;
  if (form == "blocked" || form == "math") {
    std::optional<std::pair<int64_t, int64_t>> bounds = getBounds(kernel);
    if (!bounds)
      return attention.emitOpError("cannot take the form '")
             << form << "': the number of its keys is not known when compiling; give static sizes";
    if (form == "math")
      rows = std::max<int64_t>(bounds->first, 1);
    keys = std::max<int64_t>(bounds->second, 1);
    int64_t scores = 0;
    if (llvm::MulOverflow(rows * group, keys * 4, scores) || scores > kMaxScoreBytes)
      return attention.emitOpError("cannot take the form '")
             << form << "': " << rows * group << " rows of " << keys
             << " scores are more than the 1 GiB that a thread may hold";
  }
  kernel.setScheduleAttr(
      plan::ScheduleAttr::get(module.getContext(), plan::ScheduleKind::Attention, rows, 1, keys));
  return success();
}

/// Tables that are the same bytes: one value, or parameters of several functions for one tensor.
static bool isSameTable(Value a, Value b) {
  auto x = a.getDefiningOp<ParameterOp>(), y = b.getDefiningOp<ParameterOp>();
  return a == b || (x && y && x.getFile() == y.getFile() && x.getOffset() == y.getOffset() &&
                    x.getType() == y.getType());
}

/// An embedding whose table is also the head's weight, in any function, reads the packed copy, so
/// that a tied table is stored once. Tables in blocks are packed in any case.
void ScheduleSelector::shareTables(plan::KernelOp kernel) {
  SmallVector<plan::PackOp> packs;
  module.walk([&](plan::PackOp pack) {
    if (pack.getSources().size() == 1 && !pack.getTransposed())
      packs.push_back(pack);
  });
  for (EmbeddingOp embedding : kernel.getBody().getOps<EmbeddingOp>()) {
    auto table = dyn_cast<BlockArgument>(embedding.getTable());
    if (!table)
      continue;
    if (isa<BlockType>(cast<RankedTensorType>(table.getType()).getElementType())) {
      pack(kernel, table, /*transposed=*/false, /*parts=*/1);
      continue;
    }
    Type packedType;
    bool shared = llvm::all_of(dispatches[kernel], [&](plan::DispatchOp dispatch) {
      for (plan::PackOp pack : packs) {
        if (!isSameTable(pack.getSources().front(), dispatch.getInputs()[table.getArgNumber()]))
          continue;
        auto type = cast<RankedTensorType>(pack.getType());
        if (cast<plan::PanelsAttr>(type.getEncoding()).getParts() != 1)
          continue;
        packedType = type;
        return true;
      }
      return false;
    });
    if (!shared || !packedType)
      continue;
    pack(kernel, table, /*transposed=*/false, /*parts=*/1);
    ++numShared;
  }
}

namespace {
struct SelectSchedulePass : ingot::impl::SelectScheduleBase<SelectSchedulePass> {
  using SelectScheduleBase::SelectScheduleBase;

  void runOnOperation() override {
    if (!llvm::is_contained({"auto", "flash", "blocked", "math"}, StringRef(attentionForm))) {
      getOperation().emitError("form of attention '")
          << attentionForm << "': expected auto, math, blocked or flash";
      return signalPassFailure();
    }
    ScheduleSelector selector(getOperation());
    SmallVector<plan::KernelOp> kernels(getOperation().getOps<plan::KernelOp>());
    for (plan::KernelOp kernel : kernels) {
      if (!kernel.getSchedule()) {
        kernel.emitOpError("expected a kind of schedule, as form-dispatches writes it");
        return signalPassFailure();
      }
      if (kernel.getSchedule()->getKind() == plan::ScheduleKind::Linear)
        selector.scheduleLinear(kernel);
      else if (kernel.getSchedule()->getKind() == plan::ScheduleKind::Experts)
        selector.scheduleExperts(kernel);
      if (kernel.getSchedule()->getKind() == plan::ScheduleKind::Attention)
        if (failed(selector.scheduleAttention(kernel, attentionForm)))
          return signalPassFailure();
    }
    for (plan::KernelOp kernel : kernels)
      if (kernel.getSchedule()->getKind() == plan::ScheduleKind::Rows)
        selector.shareTables(kernel);
    numPacked += selector.numPacked;
    numShared += selector.numShared;
  }
};
} // namespace
