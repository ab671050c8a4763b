//===- PackAttention.cpp - attention of dense graphs on packed rows ---------------------------===//

#include "CacheTypes.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace ingot {
#define GEN_PASS_DEF_PACKATTENTION
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

static Value transpose(OpBuilder &builder, Location loc, Value value,
                       ArrayRef<int64_t> permutation) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, value), permuted;
  for (int64_t dim : permutation)
    permuted.push_back(sizes[dim]);
  Value init = tensor::EmptyOp::create(builder, loc, permuted,
                                       cast<RankedTensorType>(value.getType()).getElementType());
  return linalg::TransposeOp::create(builder, loc, value, init, permutation)->getResult(0);
}

/// [B, H, S, D] or [H, S, D] to [B * S, H, D].
static Value packRows(OpBuilder &builder, Location loc, Value value) {
  if (cast<RankedTensorType>(value.getType()).getRank() == 3)
    return transpose(builder, loc, value, {1, 0, 2});
  Value rows = transpose(builder, loc, value, {0, 2, 1, 3});
  SmallVector<ReassociationIndices> groups{{0, 1}, {2}, {3}};
  return tensor::CollapseShapeOp::create(builder, loc, rows, groups);
}

namespace {
struct PackAttentionOp : OpRewritePattern<AttentionOp> {
  PackAttentionOp(MLIRContext *context, StringRef cacheType)
      : OpRewritePattern(context), cacheType(cacheType) {}

  LogicalResult matchAndRewrite(AttentionOp op, PatternRewriter &rewriter) const override {
    if (op.isPhaseForm())
      return rewriter.notifyMatchFailure(op, "already on packed rows");
    Location loc = op.getLoc();
    int64_t rank = cast<RankedTensorType>(op.getQ().getType()).getRank();
    auto size = [&](Value value, int64_t dim) {
      return getValueOrCreateConstantIndexOp(rewriter, loc,
                                             tensor::getMixedSize(rewriter, loc, value, dim));
    };
    Value sequences =
        rank == 4 ? size(op.getQ(), 0) : Value(arith::ConstantIndexOp::create(rewriter, loc, 1));
    Value rows = size(op.getQ(), rank - 2), keys = size(op.getK(), rank - 2);
    Value keyBatch = UniformBatchOp::create(rewriter, loc, sequences, keys, keys);
    Value queryBatch = UniformBatchOp::create(rewriter, loc, sequences, rows, keys);
    CacheType cacheType = getCacheType(op, this->cacheType);
    Value cache = CacheCreateOp::create(rewriter, loc, cacheType, keyBatch);
    Value k = packRows(rewriter, loc, op.getK()), v;
    if (!cacheType.getValuesInKeys())
      v = packRows(rewriter, loc, op.getV());
    cache = CacheAppendOp::create(rewriter, loc, cacheType, cache, k, v, keyBatch);
    Value q = packRows(rewriter, loc, op.getQ());
    SmallVector<int64_t> shape(cast<RankedTensorType>(q.getType()).getShape());
    shape.back() = op.getValueSize();
    auto resultType = RankedTensorType::get(shape, op.getType().getElementType());
    auto packed = AttentionOp::create(rewriter, loc, resultType, q, /*k=*/Value(), /*v=*/Value(),
                                      cache, queryBatch, op.getScale(), op.getSinks());
    packed.getScore().takeBody(op.getScore());
    packed.getMask().takeBody(op.getMask());

    if (rank == 3) {
      rewriter.replaceOp(op, transpose(rewriter, loc, packed.getResult(), {1, 0, 2}));
      return success();
    }
    auto type = cast<RankedTensorType>(op.getType());
    auto expandedType = RankedTensorType::get(
        {type.getDimSize(0), type.getDimSize(2), type.getDimSize(1), type.getDimSize(3)},
        type.getElementType());
    SmallVector<OpFoldResult> sizes{tensor::getMixedSize(rewriter, loc, op.getQ(), 0),
                                    tensor::getMixedSize(rewriter, loc, op.getQ(), 2),
                                    rewriter.getIndexAttr(op.getHeads()),
                                    rewriter.getIndexAttr(op.getValueSize())};
    SmallVector<ReassociationIndices> groups{{0, 1}, {2}, {3}};
    Value expanded = tensor::ExpandShapeOp::create(rewriter, loc, expandedType, packed.getResult(),
                                                   groups, sizes);
    rewriter.replaceOp(op, transpose(rewriter, loc, expanded, {0, 2, 1, 3}));
    return success();
  }

  StringRef cacheType;
};

struct PackAttentionPass : ingot::impl::PackAttentionBase<PackAttentionPass> {
  using PackAttentionBase::PackAttentionBase;

  void runOnOperation() override {
    if (!getCacheElementType(cacheType, Float32Type::get(&getContext()))) {
      getOperation()->emitError("cache type '")
          << cacheType << "': expected f32, bf16, f16 or int8";
      return signalPassFailure();
    }
    int64_t before = 0;
    getOperation()->walk([&](AttentionOp op) { before += !op.isPhaseForm(); });
    RewritePatternSet patterns(&getContext());
    patterns.add<PackAttentionOp>(&getContext(), cacheType);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
    numPacked += before;
  }
};
} // namespace
