//===- ExpertOps.cpp - mixtures of experts: verification and interfaces -----------------------===//

#include "OpSupport.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace ingot::tfm;

/// Every operand that has tokens has them in dimension 0.
static FailureOr<int64_t> leadingTokenDim(ArrayRef<int64_t> operandDims) {
  int64_t dim = -1;
  for (int64_t operandDim : operandDims) {
    if (operandDim > 0)
      return failure();
    dim = std::max(dim, operandDim);
  }
  return dim;
}

//===----------------------------------------------------------------------===//
// tfm.route
//===----------------------------------------------------------------------===//

LogicalResult RouteOp::verify() {
  RankedTensorType scores = typeOf(getScores()), ids = typeOf(getIds()),
                   weights = typeOf(getWeights());
  int64_t experts = getExperts(), chosen = getChosen();
  if (ShapedType::isDynamic(experts) || ShapedType::isDynamic(chosen) || chosen < 1 ||
      chosen > experts || ids.getShape() != weights.getShape() ||
      differ(scores.getDimSize(0), ids.getDimSize(0)) ||
      weights.getElementType() != scores.getElementType()) // route_c1
    return emitOpError("expected scores [S, E], ids and weights [S, k] with k from 1 to E, got ")
           << scores << ", " << ids << " and " << weights;
  if (getBias() && differ(typeOf(getBias()).getDimSize(0), experts)) // route_c2
    return emitOpError("expected a bias of ")
           << experts << " elements, got " << getBias().getType();
  int64_t groups = getGroups(), keep = getKeep(), best = getBest();
  if (groups < 1 || experts % groups || keep < 1 || keep > groups || best < 1 || best > 2 ||
      best > experts / groups || chosen > keep * (experts / groups)) // route_c3
    return emitOpError("expected groups that divide ")
           << experts << " experts and have room for " << chosen << " choices, got groups("
           << groups << ", " << keep << ", " << best << ")";
  return success();
}

LogicalResult RouteOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &result) {
  SmallVector<OpFoldResult> shape = {sizesOf(builder, getLoc(), getScores())[0],
                                     builder.getIndexAttr(getChosen())};
  result = {shape, shape};
  return success();
}

void RouteOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  if (getBias())
    terms.push_back(costOfWeight(getBias()));
  // Every pair of experts is compared.
  terms.push_back(costOfShape(CostClass::Flops, getExperts(), getScores()));
}

FailureOr<int64_t> RouteOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  if (llvm::any_of(operandDims.drop_front(), [](int64_t d) { return d >= 0; }))
    return failure();
  return leadingTokenDim(operandDims);
}

//===----------------------------------------------------------------------===//
// tfm.expert_linear
//===----------------------------------------------------------------------===//

LogicalResult ExpertLinearOp::verify() {
  RankedTensorType x = typeOf(getX()), weight = typeOf(getWeight()), result = typeOf(getResult());
  int64_t experts = getExperts();
  if (experts < 1 || !weight.hasStaticShape() ||
      weight.getDimSize(getTransposed() ? 1 : 0) % experts) // expert_linear_c1
    return emitOpError("expected the matrices of ") << experts << " experts, got " << weight;
  int64_t chosen = getChosen();
  bool fits = (x.getRank() == 2 || x.getRank() == 3) && !differ(x.getShape().back(), getK()) &&
              !differ(x.getDimSize(0), result.getDimSize(0)) && !ShapedType::isDynamic(chosen) &&
              !differ(result.getDimSize(2), getN()) &&
              (x.getRank() == 2 || !differ(x.getDimSize(1), chosen));
  if (getIds())
    fits &= !differ(typeOf(getIds()).getDimSize(0), result.getDimSize(0)) &&
            typeOf(getIds()).getDimSize(1) == chosen;
  else
    fits &= chosen == experts;
  if (!fits) { // expert_linear_c2
    InFlightDiagnostic diagnostic = emitOpError("expected rows [S, ")
                                    << getK() << "] or [S, k, " << getK() << "], ids [S, k]";
    if (!getIds())
      diagnostic << " (absent: k is " << experts << ")";
    diagnostic << " and a result [S, k, " << getN() << "], got " << x;
    if (getIds())
      diagnostic << ", " << getIds().getType();
    return diagnostic << " and " << result;
  }
  if (getBias() && (differ(typeOf(getBias()).getDimSize(0), experts) ||
                    differ(typeOf(getBias()).getDimSize(1), getN()))) // expert_linear_c3
    return emitOpError("expected a bias [")
           << experts << ", " << getN() << "], got " << getBias().getType();
  for (Value operand : {Value(getX()), Value(getWeight()), Value(getBias())})
    if (operand && isWider(operand, getResult())) // expert_linear_c4
      return emitOpError("expected a result no narrower than its operands, got ")
             << operand.getType() << " and " << result;
  if (const char *why = whyNotBlocks(getX(), getWeight(), getTransposed())) // expert_linear_c5
    return emitOpError(why) << x << " and " << weight;
  return success();
}

LogicalResult ExpertLinearOp::reifyResultShapes(OpBuilder &builder,
                                                ReifiedRankedShapedTypeDims &result) {
  result.push_back({sizesOf(builder, getLoc(), getX())[0], builder.getIndexAttr(getChosen()),
                    builder.getIndexAttr(getN())});
  return success();
}

void ExpertLinearOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  int64_t experts = getExperts(), chosen = getChosen();
  // At most one expert for each choice; one token alone never meets an expert twice.
  auto addWeight = [&](Value weight) {
    CostTerm term = costOfWeight(weight);
    if (chosen < experts && typeOf(getX()).isDynamicDim(0)) {
      term.coefficient /= experts;
      term.factors.push_back({getX(), 0, 0, chosen, experts});
    } else if (chosen < experts) {
      term.coefficient =
          term.coefficient / experts * std::min(typeOf(getX()).getDimSize(0) * chosen, experts);
    }
    terms.push_back(term);
  };
  addWeight(getWeight());
  if (getBias())
    addWeight(getBias());
  terms.push_back(costOfShape(CostClass::Flops, 2 * getK(), getResult()));
}

FailureOr<int64_t> ExpertLinearOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  // The matrices and biases are the same for all tokens.
  if (operandDims[1] >= 0 || (getBias() && operandDims.back() >= 0))
    return failure();
  return leadingTokenDim(operandDims);
}

//===----------------------------------------------------------------------===//
// tfm.combine
//===----------------------------------------------------------------------===//

LogicalResult CombineOp::verify() {
  RankedTensorType x = typeOf(getX()), weights = typeOf(getWeights()), result = typeOf(getResult());
  if (x.isDynamicDim(1) || weights.getDimSize(1) != x.getDimSize(1) ||
      differ(weights.getDimSize(0), x.getDimSize(0)) ||
      differ(result.getDimSize(0), x.getDimSize(0)) ||
      differ(result.getDimSize(1), x.getDimSize(2)) ||
      (getBase() && (differ(typeOf(getBase()).getDimSize(0), result.getDimSize(0)) ||
                     differ(typeOf(getBase()).getDimSize(1), result.getDimSize(1))))) // combine_c1
    return emitOpError("expected rows [S, k, N], weights [S, k] and a result [S, N], got ")
           << x << ", " << weights << " and " << result;
  for (Value operand : getOperands())
    if (typeOf(operand).getElementType() != result.getElementType()) // combine_c2
      return emitOpError("expected operands of the result's element type, got ")
             << operand.getType() << " and " << result;
  return success();
}

LogicalResult CombineOp::reifyResultShapes(OpBuilder &builder,
                                           ReifiedRankedShapedTypeDims &result) {
  SmallVector<OpFoldResult> sizes = sizesOf(builder, getLoc(), getX());
  result.push_back({sizes[0], sizes[2]});
  return success();
}

void CombineOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  terms.push_back(costOfShape(CostClass::Flops, 2, getX()));
}

FailureOr<int64_t> CombineOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  return leadingTokenDim(operandDims);
}
