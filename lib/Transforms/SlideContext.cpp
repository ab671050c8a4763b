//===- SlideContext.cpp - a language model whose context slides -------------------------------===//

#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SetVector.h"

namespace ingot {
#define GEN_PASS_DEF_SLIDECONTEXT
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// Adds `i - j < window` to the mask.
static void limitMask(AttentionOp op, int64_t window) {
  OpBuilder builder(op.getContext());
  Region &region = op.getMask();
  if (std::optional<CommonMask> mask = matchMask(region)) {
    mask->window = std::min(mask->window.value_or(window), window);
    Region limited;
    buildMask(builder, op.getLoc(), limited, *mask);
    region.takeBody(limited);
    return;
  }
  Block &block = region.front();
  auto yield = cast<YieldOp>(block.getTerminator());
  builder.setInsertionPoint(yield);
  Location loc = op.getLoc();
  Value distance = arith::SubIOp::create(builder, loc, block.getArgument(2), block.getArgument(3));
  Value size = arith::ConstantIndexOp::create(builder, loc, window);
  Value near = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, distance, size);
  yield.getValueMutable().assign(arith::AndIOp::create(builder, loc, yield.getValue(), near));
}

/// The positions that the row numbers `ids` of a table are computed from.
static void collectPositions(Value ids, llvm::SetVector<PositionsOp> &positions) {
  Operation *op = ids.getDefiningOp();
  if (!op)
    return;
  if (auto found = dyn_cast<PositionsOp>(op))
    positions.insert(found);
  else
    for (Value operand : op->getOperands())
      collectPositions(operand, positions);
}

namespace {
struct SlideContextPass : ingot::impl::SlideContextBase<SlideContextPass> {
  using SlideContextBase::SlideContextBase;

  void runOnOperation() override {
    if (window < 1) {
      getOperation().emitError("expected a window of at least 1, got ") << int64_t(window);
      return signalPassFailure();
    }
    getOperation().walk([&](AttentionOp op) {
      limitMask(op, window);
      ++numSites;
    });
    // Tables of learned positions end at the context; rotary angles keep the true position.
    getOperation().walk([&](EmbeddingOp embedding) {
      llvm::SetVector<PositionsOp> positions;
      collectPositions(embedding.getIds(), positions);
      for (PositionsOp op : positions) {
        OpBuilder builder(op);
        builder.setInsertionPointAfter(op);
        Value last =
            arith::ConstantOp::create(builder, op.getLoc(), builder.getI32IntegerAttr(window - 1));
        SmallVector<Value> sizes;
        if (op.getType().isDynamicDim(0))
          sizes.push_back(tensor::DimOp::create(builder, op.getLoc(), op.getTokens(), 0));
        Value limits = tensor::SplatOp::create(builder, op.getLoc(), op.getType(), last, sizes);
        auto limited = arith::MinSIOp::create(builder, op.getLoc(), op, limits);
        // Only on the way to the table.
        op.getResult().replaceUsesWithIf(limited, [&](OpOperand &use) {
          return use.getOwner() != limited && feeds(use.getOwner(), embedding);
        });
        ++numTables;
      }
    });
  }

private:
  /// Whether the row numbers of `embedding` are computed from a result of `op`.
  static bool feeds(Operation *op, EmbeddingOp embedding) {
    if (op == embedding)
      return true;
    std::function<bool(Value)> reaches = [&](Value value) {
      Operation *def = value.getDefiningOp();
      return def && (def == op || llvm::any_of(def->getOperands(), reaches));
    };
    return reaches(embedding.getIds());
  }
};
} // namespace
