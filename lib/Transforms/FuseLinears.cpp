//===- FuseLinears.cpp - linears of the same input become one ---------------------------------===//

#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include <functional>

namespace ingot {
#define GEN_PASS_DEF_FUSELINEARS
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// Why the weight or bias `value` cannot be part of a concatenation, or null.
static const char *whyNotConcatenable(Value value) {
  if (!isa<BlockArgument>(value) &&
      !isa_and_nonnull<ParameterOp, ConvertWeightOp, ScaleWeightOp>(value.getDefiningOp()))
    return "a weight is computed, expected a parameter or an argument";
  if (!value.hasOneUse())
    return "a weight has another use, packing would store it twice";
  return nullptr;
}

/// Why `other` cannot be computed together with `first`, which reads the same rows, or null.
static const char *whyNotTogether(LinearOp first, LinearOp other) {
  if (first->getBlock() != other->getBlock())
    return "in another block";
  if (first.getTransposed() != other.getTransposed())
    return "the weights are stored differently";
  if (first.getWeight().getType().getElementType() != other.getWeight().getType().getElementType())
    return "the weights have different element types";
  if (first.getType().getElementType() != other.getType().getElementType())
    return "the results have different element types";
  if (bool(first.getBias()) != bool(other.getBias()))
    return "one has a bias and the other has none";
  if (first.getBias() &&
      first.getBias().getType().getElementType() != other.getBias().getType().getElementType())
    return "the biases have different element types";
  return nullptr;
}

namespace {
/// The first linear of a block on some rows takes in all later ones that go with it.
struct FuseLinearsOfOneInput : OpRewritePattern<LinearOp> {
  FuseLinearsOfOneInput(MLIRContext *context, int64_t &groups, int64_t &fused)
      : OpRewritePattern(context), groups(groups), fused(fused) {}

  LogicalResult matchAndRewrite(LinearOp op, PatternRewriter &rewriter) const override {
    auto check = [&](LinearOp linear) -> const char * {
      if (const char *why = whyNotConcatenable(linear.getWeight()))
        return why;
      return linear.getBias() ? whyNotConcatenable(linear.getBias()) : nullptr;
    };
    if (const char *why = check(op))
      return rewriter.notifyMatchFailure(op, why);
    SmallVector<LinearOp> group{op};
    const char *lastReason = "no other linear reads the same rows";
    for (Operation *user : op.getX().getUsers()) {
      auto other = dyn_cast<LinearOp>(user);
      if (!other || other == op || other.getX() != op.getX())
        continue;
      const char *why = whyNotTogether(op, other);
      if (!why)
        why = check(other);
      if (why)
        lastReason = why;
      else if (other->isBeforeInBlock(op))
        return rewriter.notifyMatchFailure(op, "an earlier linear takes this one in");
      else
        group.push_back(other);
    }
    if (group.size() < 2)
      return rewriter.notifyMatchFailure(op, lastReason);
    llvm::sort(group, [](LinearOp a, LinearOp b) { return a->isBeforeInBlock(b); });
    fuse(group, rewriter);
    ++groups;
    fused += group.size();
    return success();
  }

private:
  static void fuse(ArrayRef<LinearOp> group, PatternRewriter &rewriter) {
    LinearOp first = group.front();
    SmallVector<Location> locs;
    SmallVector<Value> weights, biases;
    for (LinearOp linear : group) {
      locs.push_back(linear.getLoc());
      weights.push_back(linear.getWeight());
      if (linear.getBias())
        biases.push_back(linear.getBias());
      // A parameter can be anywhere, and so can what it is converted to; all must be before the
      // first linear.
      std::function<void(Value)> moveUp = [&](Value value) {
        Operation *op = value ? value.getDefiningOp() : nullptr;
        if (!op || op->getBlock() != first->getBlock() || !first->isBeforeInBlock(op))
          return;
        for (Value operand : op->getOperands())
          moveUp(operand);
        rewriter.moveOpBefore(op, first);
      };
      moveUp(linear.getWeight());
      moveUp(linear.getBias());
    }
    Location loc = rewriter.getFusedLoc(locs);
    rewriter.setInsertionPoint(first);
    Value weight = tensor::ConcatOp::create(rewriter, loc, first.getTransposed() ? 1 : 0, weights);
    Value bias;
    if (!biases.empty())
      bias = tensor::ConcatOp::create(rewriter, loc, 0, biases);
    auto all = LinearOp::create(rewriter, loc, first.getX(), weight, bias, first.getTransposed(),
                                first.getType().getElementType());
    int64_t rank = all.getType().getRank(), column = 0;
    SmallVector<OpFoldResult> offsets(rank, rewriter.getIndexAttr(0)),
        strides(rank, rewriter.getIndexAttr(1)),
        sizes = tensor::getMixedSizes(rewriter, loc, first.getX());
    for (LinearOp linear : group) {
      offsets.back() = rewriter.getIndexAttr(column);
      sizes.back() = rewriter.getIndexAttr(linear.getN());
      column += linear.getN();
      rewriter.replaceOpWithNewOp<tensor::ExtractSliceOp>(linear,
                                                          cast<RankedTensorType>(linear.getType()),
                                                          all.getResult(), offsets, sizes, strides);
    }
  }

  int64_t &groups, &fused;
};

struct FuseLinearsPass : ingot::impl::FuseLinearsBase<FuseLinearsPass> {
  void runOnOperation() override {
    int64_t groups = 0, fused = 0;
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseLinearsOfOneInput>(&getContext(), groups, fused);
    GreedyRewriteConfig config;
    config.enableFolding(false).enableConstantCSE(false);
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      return signalPassFailure();
    numGroups += groups;
    numFused += fused;
  }
};
} // namespace
