//===- TransformerOps.cpp - verification and interfaces of tfm operations ---------------------===//

#include "OpSupport.h"
#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace ingot::tfm;

//===----------------------------------------------------------------------===//
// Helpers
//===----------------------------------------------------------------------===//

/// `($sin)` has the type of `$cos`, which is written once.
static ParseResult parseSameType(OpAsmParser &, Type reference, Type &type) {
  type = reference;
  return success();
}
static void printSameType(OpAsmPrinter &, Operation *, Type, Type) {}

/// Row operations: every result row comes from the same row of every operand that has rows.
static FailureOr<int64_t> sameTokenDim(ArrayRef<int64_t> operandDims) {
  int64_t dim = -1;
  for (int64_t operandDim : operandDims) {
    if (operandDim < 0)
      continue;
    if (dim >= 0 && dim != operandDim)
      return failure();
    dim = operandDim;
  }
  return dim;
}

static LogicalResult reifySame(OpBuilder &builder, Location loc, Value like,
                               ReifiedRankedShapedTypeDims &result) {
  result.push_back(sizesOf(builder, loc, like));
  return success();
}

//===----------------------------------------------------------------------===//
// tfm.parameter
//===----------------------------------------------------------------------===//

/// Rows of block formats are whole blocks.
static LogicalResult verifyBlocks(Operation *op, RankedTensorType type) {
  auto block = dyn_cast<BlockType>(type.getElementType());
  if (!block || (type.getRank() > 0 && type.getShape().back() % block.getBlockLength() == 0))
    return success();
  return op->emitOpError("expected rows of whole blocks of ")
         << block.getBlockLength() << " elements, got " << type;
}

LogicalResult ParameterOp::verify() {
  auto type = cast<RankedTensorType>(getResult().getType());
  int64_t elements = 1;
  for (int64_t size : type.getShape())
    if (size < 1 || llvm::MulOverflow(elements, size, elements)) // parameter_c1
      return emitOpError("expected at least one element and fewer than 2^63, got ") << type;
  if (!type.getElementType().isIntOrFloat() && !isa<BlockType>(type.getElementType()))
    return emitOpError("expected integer or float elements, or blocks, got ") << type;
  if (failed(verifyBlocks(*this, type))) // parameter_c3
    return failure();
  if (int64_t(getOffset()) < 0) // parameter_c2
    return emitOpError("expected an offset of at least 0, got ") << int64_t(getOffset());
  return success();
}

int64_t ParameterOp::getByteSize() {
  return getStorageBytes(cast<RankedTensorType>(getResult().getType())).value_or(0);
}

//===----------------------------------------------------------------------===//
// tfm.convert_weight
//===----------------------------------------------------------------------===//

LogicalResult ConvertWeightOp::verify() {
  auto from = dyn_cast<RankedTensorType>(getWeight().getType()),
       to = dyn_cast<RankedTensorType>(getResult().getType());
  auto haveShapes = [&] {
    if (!getTransposed())
      return from.getShape() == to.getShape();
    return from.getRank() == 2 && to.getRank() == 2 && from.getDimSize(0) == to.getDimSize(1) &&
           from.getDimSize(1) == to.getDimSize(0);
  };
  if (!from || !to || !haveShapes() || !getStorageFormat(from.getElementType()) ||
      !getStorageFormat(to.getElementType())) // convert_weight_c1
    return emitOpError("expected two tensors of one shape")
           << (getTransposed() ? ", transposed," : "") << " of f32, f16, bf16 or blocks, got "
           << getWeight().getType() << " and " << getResult().getType();
  if (!formats::canEncode(*getStorageFormat(to.getElementType()))) // convert_weight_c2
    return emitOpError("expected a result in f32, f16, bf16, q8_0 or q4_0, got ") << to;
  if (failed(verifyBlocks(*this, from))) // convert_weight_c3
    return failure();
  if (getTransposed() && isa<BlockType>(from.getElementType()))
    return emitOpError("expected a weight in blocks not to be transposed, got ") << from;
  return success();
}

OpFoldResult ConvertWeightOp::fold(FoldAdaptor) {
  if (getTransposed())
    return {};
  return getWeight().getType() == getResult().getType() ? getWeight() : Value();
}

//===----------------------------------------------------------------------===//
// tfm.scale_weight
//===----------------------------------------------------------------------===//

LogicalResult ScaleWeightOp::verify() {
  RankedTensorType weight = typeOf(getWeight()), scales = typeOf(getScales()),
                   result = typeOf(getResult());
  if (result.getRank() != 2 ||
      !isa<Float32Type, Float16Type, BFloat16Type>(result.getElementType())) // scale_weight_c1
    return emitOpError("expected a matrix of f32, f16 or bf16, got ") << result;
  int64_t rows = result.getDimSize(0), columns = result.getDimSize(1);
  bool isBytes =
      weight.getElementType().isInteger(8) && weight.getRank() == 2 && weight.getDimSize(0) == rows;
  if (!isBytes ||
      (weight.getDimSize(1) != columns && weight.getDimSize(1) * 2 != columns)) // scale_weight_c2
    return emitOpError("expected bytes [")
           << rows << ", " << columns << "] or half as many columns, got " << weight;
  int64_t blockRows = getBlockRows(), blockColumns = getBlockColumns();
  Type type = scales.getElementType();
  bool isScale = type.isInteger(8) || isa<Float32Type, Float16Type, BFloat16Type>(type);
  if (blockRows < 1 || blockColumns < 1 || !isScale || scales.getRank() != 2 ||
      scales.getDimSize(0) != int64_t(llvm::divideCeil(rows, blockRows)) ||
      scales.getDimSize(1) != int64_t(llvm::divideCeil(columns, blockColumns))) // scale_weight_c3
    return emitOpError("expected a scale for every block of ")
           << blockRows << " by " << blockColumns << ", got " << scales << " for " << result;
  return success();
}

ingot::formats::Scaling ScaleWeightOp::getScaling() {
  formats::Scaling scaling;
  scaling.columns = typeOf(getResult()).getDimSize(1);
  scaling.halfBytes = typeOf(getWeight()).getDimSize(1) != scaling.columns;
  if (Type type = typeOf(getScales()).getElementType(); !type.isInteger(8))
    scaling.scales = getStorageFormat(type);
  scaling.blockRows = getBlockRows();
  scaling.blockColumns = getBlockColumns();
  return scaling;
}

//===----------------------------------------------------------------------===//
// tfm.positions
//===----------------------------------------------------------------------===//

LogicalResult PositionsOp::verify() {
  if (typeOf(getTokens()).getRank() < 1 ||
      differ(typeOf(getTokens()).getDimSize(0), typeOf(getResult()).getDimSize(0))) // positions_c1
    return emitOpError("expected one position per row, got ")
           << getTokens().getType() << " and " << getResult().getType();
  return success();
}

LogicalResult PositionsOp::reifyResultShapes(OpBuilder &builder,
                                             ReifiedRankedShapedTypeDims &result) {
  result.push_back({tensor::getMixedSize(builder, getLoc(), getTokens(), 0)});
  return success();
}

FailureOr<int64_t> PositionsOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  if (operandDims[0] > 0)
    return failure();
  return operandDims[0];
}

//===----------------------------------------------------------------------===//
// tfm.prompt_lengths
//===----------------------------------------------------------------------===//

LogicalResult PromptLengthsOp::verify() {
  if (typeOf(getTokens()).getRank() < 1 ||
      differ(typeOf(getTokens()).getDimSize(0),
             typeOf(getResult()).getDimSize(0))) // prompt_lengths_c1
    return emitOpError("expected one length per row, got ")
           << getTokens().getType() << " and " << getResult().getType();
  return success();
}

LogicalResult PromptLengthsOp::reifyResultShapes(OpBuilder &builder,
                                                 ReifiedRankedShapedTypeDims &result) {
  result.push_back({tensor::getMixedSize(builder, getLoc(), getTokens(), 0)});
  return success();
}

FailureOr<int64_t> PromptLengthsOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  if (operandDims[0] > 0)
    return failure();
  return operandDims[0];
}

//===----------------------------------------------------------------------===//
// tfm.embedding
//===----------------------------------------------------------------------===//

LogicalResult EmbeddingOp::verify() {
  RankedTensorType ids = typeOf(getIds()), table = typeOf(getTable()), result = typeOf(getResult());
  if (differ(result.getDimSize(0), ids.getDimSize(0)) ||
      differ(result.getDimSize(1), table.getDimSize(1))) // embedding_c1
    return emitOpError("expected a result of [ids, columns], got ")
           << ids << ", " << table << " and " << result;
  if (isWider(getTable(), getResult())) // embedding_c2
    return emitOpError("expected a result no narrower than the table, got ")
           << table << " and " << result;
  return success();
}

LogicalResult EmbeddingOp::reifyResultShapes(OpBuilder &builder,
                                             ReifiedRankedShapedTypeDims &result) {
  result.push_back({tensor::getMixedSize(builder, getLoc(), getIds(), 0),
                    tensor::getMixedSize(builder, getLoc(), getTable(), 1)});
  return success();
}

void EmbeddingOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  // Only the rows that are read.
  Type element = typeOf(getTable()).getElementType();
  auto block = dyn_cast<BlockType>(element);
  CostTerm term = costOfShape(CostClass::Weights, block ? 1 : bytesOf(element), getResult());
  if (block) {
    int64_t columns = typeOf(getTable()).getDimSize(1);
    term.coefficient = term.coefficient / columns * formats::bytesOf(block.getFormat(), columns);
  }
  terms.push_back(term);
}

FailureOr<int64_t> EmbeddingOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  if (operandDims[0] > 0 || operandDims[1] >= 0)
    return failure();
  return operandDims[0];
}

//===----------------------------------------------------------------------===//
// tfm.quantize
//===----------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  RankedTensorType x = typeOf(getX()), result = typeOf(getResult());
  bool hasFormat = cast<BlockType>(result.getElementType()).getFormat() == formats::Format::Q8_X;
  if (x.getRank() < 1 || ShapedType::isDynamic(x.getShape().back()) ||
      x.getShape() != result.getShape() || !hasFormat) // quantize_c1
    return emitOpError("expected rows of static size and a result of their shape in q8_x, got ")
           << x << " and " << result;
  return success();
}

LogicalResult QuantizeOp::reifyResultShapes(OpBuilder &builder,
                                            ReifiedRankedShapedTypeDims &result) {
  result.push_back(sizesOf(builder, getLoc(), getX()));
  return success();
}

void QuantizeOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  terms.push_back(costOfShape(CostClass::Flops, 4, getResult()));
}

FailureOr<int64_t> QuantizeOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  if (operandDims[0] == typeOf(getX()).getRank() - 1)
    return failure();
  return operandDims[0];
}

//===----------------------------------------------------------------------===//
// tfm.linear
//===----------------------------------------------------------------------===//

void LinearOp::build(OpBuilder &builder, OperationState &state, Value x, Value weight, Value bias,
                     bool transposed, Type elementType) {
  SmallVector<int64_t> shape(typeOf(x).getShape());
  shape.back() = typeOf(weight).getDimSize(transposed ? 1 : 0);
  if (!elementType)
    elementType = typeOf(x).getElementType();
  build(builder, state, RankedTensorType::get(shape, elementType), x, weight, bias,
        transposed ? builder.getUnitAttr() : UnitAttr());
}

LogicalResult LinearOp::verify() {
  RankedTensorType x = typeOf(getX()), weight = typeOf(getWeight()), result = typeOf(getResult());
  if (x.getRank() < 1 || !weight.hasStaticShape() ||
      differ(x.getShape().back(), getK())) // linear_c1
    return emitOpError("expected rows of the weight's inner size, got ") << x << " and " << weight;
  bool same = result.getRank() == x.getRank() && !differ(result.getShape().back(), getN());
  for (int64_t d = 0; same && d + 1 < x.getRank(); ++d)
    same = !differ(x.getDimSize(d), result.getDimSize(d));
  if (!same) // linear_c2
    return emitOpError("expected a result of the rows' shape with last dimension ")
           << getN() << ", got " << x << " and " << result;
  if (getBias() && differ(typeOf(getBias()).getDimSize(0), getN())) // linear_c3
    return emitOpError("expected a bias of ") << getN() << " elements, got " << getBias().getType();
  if (const char *why = whyNotBlocks(getX(), getWeight(), getTransposed())) // linear_c5, linear_c6
    return emitOpError(why) << x << " and " << weight;
  for (Value operand : getOperands())
    if (isWider(operand, getResult())) // linear_c4
      return emitOpError("expected a result no narrower than its operands, got ")
             << operand.getType() << " and " << result;
  return success();
}

LogicalResult LinearOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &result) {
  SmallVector<OpFoldResult> sizes = sizesOf(builder, getLoc(), getX());
  sizes.back() = builder.getIndexAttr(getN());
  result.push_back(sizes);
  return success();
}

void LinearOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  terms.push_back(costOfWeight(getWeight()));
  if (getBias())
    terms.push_back(costOfWeight(getBias()));
  terms.push_back(costOfShape(CostClass::Flops, 2 * getK(), getResult()));
}

FailureOr<int64_t> LinearOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  // The last dimension is summed over.
  if (operandDims[0] == typeOf(getX()).getRank() - 1 ||
      llvm::any_of(operandDims.drop_front(), [](int64_t d) { return d >= 0; }))
    return failure();
  return operandDims[0];
}

//===----------------------------------------------------------------------===//
// tfm.matmul
//===----------------------------------------------------------------------===//

LogicalResult MatmulOp::verify() {
  RankedTensorType a = typeOf(getA()), b = typeOf(getB()), result = typeOf(getResult());
  int64_t rank = a.getRank();
  if (rank < 2 || b.getRank() != rank || result.getRank() != rank) // matmul_c1
    return emitOpError("expected operands and result of one rank, at least 2, got ")
           << a << ", " << b << " and " << result;
  for (int64_t d = 0; d + 2 < rank; ++d)
    if (differ(a.getDimSize(d), b.getDimSize(d)) || differ(a.getDimSize(d), result.getDimSize(d)))
      return emitOpError("expected equal leading dimensions, got ")
             << a << ", " << b << " and " << result;
  int64_t inner = getTransposeB() ? rank - 1 : rank - 2,
          outer = getTransposeB() ? rank - 2 : rank - 1;
  if (differ(a.getDimSize(rank - 1), b.getDimSize(inner)) ||
      differ(a.getDimSize(rank - 2), result.getDimSize(rank - 2)) ||
      differ(b.getDimSize(outer), result.getDimSize(rank - 1))) // matmul_c2
    return emitOpError("expected [M, K] times [K, N] to be [M, N], got ")
           << a << ", " << b << (getTransposeB() ? " (transposed)" : "") << " and " << result;
  if (isWider(getA(), getResult()) || isWider(getB(), getResult())) // matmul_c3
    return emitOpError("expected a result no narrower than its operands, got ")
           << a << ", " << b << " and " << result;
  return success();
}

LogicalResult MatmulOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &result) {
  SmallVector<OpFoldResult> sizes = sizesOf(builder, getLoc(), getA());
  int64_t rank = sizes.size();
  sizes.back() =
      tensor::getMixedSize(builder, getLoc(), getB(), getTransposeB() ? rank - 2 : rank - 1);
  result.push_back(sizes);
  return success();
}

void MatmulOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  CostTerm flops = costOfShape(CostClass::Flops, 2, getResult());
  int64_t last = typeOf(getA()).getRank() - 1, inner = typeOf(getA()).getDimSize(last);
  if (ShapedType::isDynamic(inner))
    flops.factors.push_back({getA(), last});
  else
    flops.coefficient *= inner;
  terms.push_back(flops);
}

//===----------------------------------------------------------------------===//
// Row operations
//===----------------------------------------------------------------------===//

LogicalResult SoftmaxOp::verify() {
  if (int64_t(getDim()) < 0 || int64_t(getDim()) >= typeOf(getX()).getRank()) // softmax_c1
    return emitOpError("expected a dimension of ")
           << getX().getType() << ", got " << int64_t(getDim());
  return success();
}
LogicalResult SoftmaxOp::reifyResultShapes(OpBuilder &builder,
                                           ReifiedRankedShapedTypeDims &result) {
  return reifySame(builder, getLoc(), getX(), result);
}
void SoftmaxOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  terms.push_back(costOfShape(CostClass::Flops, 5, getResult()));
}
FailureOr<int64_t> SoftmaxOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  if (operandDims[0] == int64_t(getDim()))
    return failure();
  return operandDims[0];
}

/// Shared by the two norms; `name` is the operation's.
template <typename OpTy> static LogicalResult verifyNorm(OpTy op, ValueRange rowOperands) {
  int64_t size =
      typeOf(op.getX()).getRank() ? typeOf(op.getX()).getShape().back() : ShapedType::kDynamic;
  if (ShapedType::isDynamic(size)) // norm_c1
    return op.emitOpError("expected rows of static size, got ") << op.getX().getType();
  if (!(op.getEps().convertToDouble() >= 0))
    return op.emitOpError("expected eps of at least 0, got ") << op.getEps().convertToDouble();
  for (Value operand : rowOperands) {
    if (typeOf(operand).getDimSize(0) != size)
      return op.emitOpError("expected ") << size << " elements, got " << operand.getType();
    if (isWider(operand, op.getX())) // norm_c2
      return op.emitOpError("expected an operand no wider than ")
             << op.getX().getType() << ", got " << operand.getType();
  }
  return success();
}
static FailureOr<int64_t> normTokenDim(Value x, ArrayRef<int64_t> operandDims) {
  if (operandDims[0] == typeOf(x).getRank() - 1 ||
      llvm::any_of(operandDims.drop_front(), [](int64_t d) { return d >= 0; }))
    return failure();
  return operandDims[0];
}

LogicalResult RMSNormOp::verify() { return verifyNorm(*this, getOperands().drop_front()); }
LogicalResult RMSNormOp::reifyResultShapes(OpBuilder &builder,
                                           ReifiedRankedShapedTypeDims &result) {
  return reifySame(builder, getLoc(), getX(), result);
}
void RMSNormOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  if (getWeight())
    terms.push_back(costOfWeight(getWeight()));
  terms.push_back(costOfShape(CostClass::Flops, 4, getResult()));
}
FailureOr<int64_t> RMSNormOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  return normTokenDim(getX(), operandDims);
}

LogicalResult LayerNormOp::verify() { return verifyNorm(*this, getOperands().drop_front()); }
LogicalResult LayerNormOp::reifyResultShapes(OpBuilder &builder,
                                             ReifiedRankedShapedTypeDims &result) {
  return reifySame(builder, getLoc(), getX(), result);
}
void LayerNormOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  for (Value operand : getOperands().drop_front())
    terms.push_back(costOfWeight(operand));
  terms.push_back(costOfShape(CostClass::Flops, 8, getResult()));
}
FailureOr<int64_t> LayerNormOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  return normTokenDim(getX(), operandDims);
}

LogicalResult RotaryOp::verify() {
  RankedTensorType x = typeOf(getX()), cos = typeOf(getCos());
  int64_t size = x.getDimSize(2), half = cos.getDimSize(1);
  if (getSin().getType() != cos || differ(x.getDimSize(0), cos.getDimSize(0)) ||
      ShapedType::isDynamic(size) || ShapedType::isDynamic(half) || half < 1 ||
      2 * half > size) // rotary_c1
    return emitOpError("expected heads [S, H, D] and tables [S, R/2] with R at most D, got ")
           << x << ", " << cos << " and " << getSin().getType();
  if (x.getElementType() != cos.getElementType()) // rotary_c2
    return emitOpError("expected tables of the heads' element type, got ") << x << " and " << cos;
  return success();
}
LogicalResult RotaryOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &result) {
  return reifySame(builder, getLoc(), getX(), result);
}
void RotaryOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  terms.push_back(costOfShape(CostClass::Flops, 3, getResult()));
}
FailureOr<int64_t> RotaryOp::getTokenDim(unsigned, ArrayRef<int64_t> operandDims) {
  FailureOr<int64_t> dim = sameTokenDim(operandDims);
  if (failed(dim) || *dim > 0)
    return failure();
  return dim;
}

//===----------------------------------------------------------------------===//
// tfm.attention: shape and cost (assembly and verification are in AttentionOp.cpp)
//===----------------------------------------------------------------------===//

LogicalResult AttentionOp::reifyResultShapes(OpBuilder &builder,
                                             ReifiedRankedShapedTypeDims &result) {
  SmallVector<OpFoldResult> sizes = sizesOf(builder, getLoc(), getQ());
  sizes.back() = builder.getIndexAttr(getValueSize());
  result.push_back(sizes);
  return success();
}

/// Of one layer; an f32 scale for each row of i8.
static int64_t bytesPerPosition(CacheType cache) {
  bool inKeys = cache.getValuesInKeys();
  int64_t scales = cache.getElementType().isInteger(8) ? (inKeys ? 4 : 8) : 0;
  int64_t width = cache.getKeySize() + (inKeys ? 0 : cache.getValueSize());
  return cache.getHeads() * (width * bytesOf(cache.getElementType()) + scales);
}

void AttentionOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  int64_t heads = getHeads(), width = getKeySize() + getValueSize();
  if (isPhaseForm()) {
    CacheType cache = getCache().getType();
    // Keys outside of a sliding window are neither read nor multiplied.
    std::optional<CommonMask> mask = matchMask(getMask());
    int64_t window = mask && mask->window ? *mask->window : 0;
    terms.push_back({CostClass::Cache,
                     bytesPerPosition(cache),
                     {{getBatch(), int64_t(BatchDimKind::Keys), window}}});
    // A mask that is not causal may leave out keys too, which is counted as work.
    CostFactor pairs = keepsOnlyPast(getMask())
                           ? CostFactor{getBatch(), int64_t(BatchDimKind::Pairs), window}
                           : CostFactor{getBatch(), int64_t(BatchDimKind::AllPairs)};
    terms.push_back({CostClass::Flops, 2 * heads * width, {pairs}});
    return;
  }
  CostTerm flops{CostClass::Flops, 2 * heads * width, {}};
  RankedTensorType q = typeOf(getQ());
  int64_t rank = q.getRank();
  for (auto [value, dim] : {std::pair<Value, int64_t>(getQ(), rank - 2), {getK(), rank - 2}}) {
    int64_t size = typeOf(value).getDimSize(dim);
    if (ShapedType::isDynamic(size))
      flops.factors.push_back({value, dim});
    else
      flops.coefficient *= size;
  }
  if (rank == 4) {
    if (q.isDynamicDim(0))
      flops.factors.push_back({getQ(), 0});
    else
      flops.coefficient *= q.getDimSize(0);
  }
  terms.push_back(flops);
}

//===----------------------------------------------------------------------===//
// Phase form
//===----------------------------------------------------------------------===//

LogicalResult CacheAppendOp::verify() {
  CacheType cache = getCache().getType();
  if (!getV() != cache.getValuesInKeys()) // cache_append_c2
    return emitOpError("expected values unless the cache has them in its keys, got ")
           << (getV() ? "values" : "none") << " and " << cache;
  RankedTensorType k = typeOf(getK());
  if (!getV()) {
    if (k.getDimSize(1) != cache.getHeads() || k.getDimSize(2) != cache.getKeySize())
      return emitOpError("expected keys [tokens, ")
             << cache.getHeads() << ", " << cache.getKeySize() << "], got " << k;
    return success();
  }
  RankedTensorType v = typeOf(getV());
  if (k.getDimSize(1) != cache.getHeads() || k.getDimSize(2) != cache.getKeySize() ||
      v.getDimSize(1) != cache.getHeads() || v.getDimSize(2) != cache.getValueSize() ||
      differ(k.getDimSize(0), v.getDimSize(0))) // cache_append_c1
    return emitOpError("expected keys [tokens, ")
           << cache.getHeads() << ", " << cache.getKeySize() << "] and values [tokens, "
           << cache.getHeads() << ", " << cache.getValueSize() << "], got " << k << " and " << v;
  return success();
}

void CacheAppendOp::getCost(SmallVectorImpl<CostTerm> &terms) {
  CacheType cache = getCache().getType();
  int64_t scales = 0, bytes = bytesOf(cache.getElementType());
  for (Value rows : {Value(getK()), Value(getV())})
    if (rows) {
      terms.push_back(costOfShape(CostClass::Cache, bytes, rows));
      scales += 4 * cache.getHeads();
    }
  if (cache.getElementType().isInteger(8))
    terms.push_back({CostClass::Cache, scales, {{getBatch(), int64_t(BatchDimKind::Tokens)}}});
}

LogicalResult GatherOutputsOp::verify() {
  RankedTensorType x = typeOf(getX()), result = typeOf(getResult());
  if (x.getRank() < 1 || result.getRank() != x.getRank() || !result.isDynamicDim(0) ||
      x.getShape().drop_front() != result.getShape().drop_front() ||
      x.getElementType() != result.getElementType()) // gather_outputs_c1
    return emitOpError("expected a result of the rows' type with a dynamic dimension 0, got ")
           << x << " and " << result;
  return success();
}

#define GET_OP_CLASSES
#include "ingot/Dialect/Transformer/IR/TransformerOps.cpp.inc"
