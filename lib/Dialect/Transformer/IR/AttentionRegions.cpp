//===- AttentionRegions.cpp - common score and mask regions -----------------------------------===//

#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace ingot::tfm {

Block *createScoreBlock(OpBuilder &builder, Location loc, Region &region) {
  Type index = builder.getIndexType();
  return builder.createBlock(&region, region.end(),
                             {builder.getF32Type(), index, index, index, index},
                             SmallVector<Location>(5, loc));
}

Block *createMaskBlock(OpBuilder &builder, Location loc, Region &region) {
  Type index = builder.getIndexType();
  return builder.createBlock(&region, region.end(), {index, index, index, index},
                             SmallVector<Location>(4, loc));
}

void buildMask(OpBuilder &builder, Location loc, Region &region, CommonMask mask) {
  if (mask.isEmpty())
    return;
  OpBuilder::InsertionGuard guard(builder);
  Block *block = createMaskBlock(builder, loc, region);
  Value i = block->getArgument(2), j = block->getArgument(3);
  Value keep;
  if (mask.causal)
    keep = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sle, j, i);
  if (mask.window) {
    Value distance = arith::SubIOp::create(builder, loc, i, j);
    Value size = arith::ConstantIndexOp::create(builder, loc, *mask.window);
    Value near = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, distance, size);
    keep = keep ? Value(arith::AndIOp::create(builder, loc, keep, near)) : near;
  }
  YieldOp::create(builder, loc, keep);
}

void buildScore(OpBuilder &builder, Location loc, Region &region, const CommonScore &score) {
  if (score.isEmpty())
    return;
  OpBuilder::InsertionGuard guard(builder);
  Block *block = createScoreBlock(builder, loc, region);
  Value s = block->getArgument(0), h = block->getArgument(2), i = block->getArgument(3),
        j = block->getArgument(4);
  Type f32 = builder.getF32Type();
  if (score.softcap) {
    Value cap =
        arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(float(*score.softcap)));
    Value ratio = arith::DivFOp::create(builder, loc, s, cap);
    Value bounded = math::TanhOp::create(builder, loc, ratio);
    s = arith::MulFOp::create(builder, loc, bounded, cap);
  }
  if (score.slopes) {
    Value slope = tensor::ExtractOp::create(builder, loc, score.slopes, ValueRange{h});
    if (slope.getType() != f32)
      slope = arith::ExtFOp::create(builder, loc, f32, slope);
    Value distance = arith::SubIOp::create(builder, loc, j, i);
    Value narrow = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), distance);
    Value length = arith::SIToFPOp::create(builder, loc, f32, narrow);
    Value bias = arith::MulFOp::create(builder, loc, slope, length);
    s = arith::AddFOp::create(builder, loc, s, bias);
  }
  YieldOp::create(builder, loc, s);
}

/// Whether `x`, in a region of tfm.attention, and `y`, in a region that was built, are computed
/// alike. Constants are compared by value wherever they stand, since clean-up passes may move them
/// out of the region.
static bool computesSame(Value x, Value y) {
  if (x == y)
    return true;
  auto xArgument = dyn_cast<BlockArgument>(x), yArgument = dyn_cast<BlockArgument>(y);
  if (xArgument && yArgument) // of the region, and of the one that was built and has no parent
    return xArgument.getArgNumber() == yArgument.getArgNumber() &&
           isa<AttentionOp>(xArgument.getOwner()->getParentOp()) &&
           !yArgument.getOwner()->getParentOp();
  Operation *xOp = x.getDefiningOp(), *yOp = y.getDefiningOp();
  if (!xOp || !yOp || xOp->getName() != yOp->getName() || xOp->getNumRegions() ||
      yOp->getNumRegions() || x.getType() != y.getType() || xOp->getNumResults() != 1 ||
      xOp->getNumOperands() != yOp->getNumOperands() ||
      xOp->getAttrDictionary() != yOp->getAttrDictionary())
    return false;
  for (auto [xOperand, yOperand] : llvm::zip(xOp->getOperands(), yOp->getOperands()))
    if (!computesSame(xOperand, yOperand))
      return false;
  return true;
}

/// The value that ends a region of one block, or null.
static Value getYielded(Region &region) {
  if (!region.hasOneBlock() || region.front().empty())
    return {};
  auto yield = dyn_cast<YieldOp>(region.front().back());
  return yield ? yield.getValue() : Value();
}

/// Whether `region` computes what `build` makes.
static bool equalsBuilt(Region &region, function_ref<void(OpBuilder &, Region &)> build) {
  OpBuilder builder(region.getContext());
  Region built;
  build(builder, built);
  if (built.empty())
    return false;
  return computesSame(getYielded(region), getYielded(built));
}

/// Calls `visit` on everything that the yielded value is computed from, but other arguments.
static void walkExpression(Value value, function_ref<void(Operation *)> visit) {
  Operation *op = value ? value.getDefiningOp() : nullptr;
  if (!op)
    return;
  visit(op);
  for (Value operand : op->getOperands())
    if (!isa<RankedTensorType>(operand.getType()))
      walkExpression(operand, visit);
}

std::optional<CommonMask> matchMask(Region &region) {
  CommonMask mask;
  if (region.empty())
    return mask;
  // Guess the parameters, then compare with what they build.
  walkExpression(getYielded(region), [&](Operation *op) {
    if (auto compare = dyn_cast<arith::CmpIOp>(op))
      mask.causal |= compare.getPredicate() == arith::CmpIPredicate::sle;
    IntegerAttr size;
    if (matchPattern(op, m_Constant(&size)))
      mask.window = size.getInt();
  });
  Location loc = region.getLoc();
  if (equalsBuilt(region, [&](OpBuilder &b, Region &r) { buildMask(b, loc, r, mask); }))
    return mask;
  return std::nullopt;
}

/// Whether a key that the condition keeps is never after the query: a conjunct says `j <= i`.
static bool impliesCausal(Value keep, Value i, Value j) {
  if (auto both = keep.getDefiningOp<arith::AndIOp>())
    return impliesCausal(both.getLhs(), i, j) || impliesCausal(both.getRhs(), i, j);
  auto compare = keep.getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return false;
  using P = arith::CmpIPredicate;
  P predicate = compare.getPredicate();
  if (compare.getLhs() == j && compare.getRhs() == i)
    return predicate == P::sle || predicate == P::slt || predicate == P::ule ||
           predicate == P::ult || predicate == P::eq;
  if (compare.getLhs() == i && compare.getRhs() == j)
    return predicate == P::sge || predicate == P::sgt || predicate == P::uge ||
           predicate == P::ugt || predicate == P::eq;
  return false;
}

bool keepsOnlyPast(Region &region) {
  return !region.empty() &&
         impliesCausal(getYielded(region), region.getArgument(2), region.getArgument(3));
}

std::optional<CommonScore> matchScore(Region &region) {
  CommonScore score;
  if (region.empty())
    return score;
  walkExpression(getYielded(region), [&](Operation *op) {
    FloatAttr cap;
    if (matchPattern(op, m_Constant(&cap)))
      score.softcap = cap.getValueAsDouble();
    if (auto extract = dyn_cast<tensor::ExtractOp>(op))
      score.slopes = extract.getTensor();
  });
  if (score.slopes) {
    auto type = dyn_cast<RankedTensorType>(score.slopes.getType());
    if (!type || type.getRank() != 1 ||
        !isa<Float32Type, Float16Type, BFloat16Type>(type.getElementType()))
      return std::nullopt;
  }
  Location loc = region.getLoc();
  if (equalsBuilt(region, [&](OpBuilder &b, Region &r) { buildScore(b, loc, r, score); }))
    return score;
  return std::nullopt;
}

} // namespace ingot::tfm
