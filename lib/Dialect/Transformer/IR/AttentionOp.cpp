//===- AttentionOp.cpp - assembly and verification of tfm.attention ---------------------------===//

#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace ingot::tfm;

//===----------------------------------------------------------------------===//
// Assembly
//
//   tfm.attention %q, %k, %v | %q, %cache batch(%b)
//     [scale(%s)] [sinks(%t : type)] [causal] [window(n)] [softcap(c)] [alibi(%slopes : type)]
//     [score { ... }] [mask { ... }] attr-dict : operand types -> result type
//===----------------------------------------------------------------------===//

static ParseResult parseParenthesised(OpAsmParser &parser, function_ref<ParseResult()> body) {
  return failure(parser.parseLParen() || body() || parser.parseRParen());
}

ParseResult AttentionOp::parse(OpAsmParser &parser, OperationState &state) {
  using Operand = OpAsmParser::UnresolvedOperand;
  SmallVector<Operand> main;
  std::optional<Operand> batch, scale, sinks, slopes;
  Type sinksType, slopesType;
  CommonMask mask;
  CommonScore score;
  Region *scoreRegion = state.addRegion(), *maskRegion = state.addRegion();
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseOperandList(main))
    return failure();
  if (main.size() != 2 && main.size() != 3)
    return parser.emitError(loc, "expected queries, keys and values, or queries and a cache, got ")
           << main.size() << " operands";

  auto parseOperandInto = [&](std::optional<Operand> &operand) {
    return parseParenthesised(parser, [&] { return parser.parseOperand(operand.emplace()); });
  };
  auto parseTypedOperand = [&](std::optional<Operand> &operand, Type &type) {
    return parseParenthesised(parser, [&]() -> ParseResult {
      return failure(parser.parseOperand(operand.emplace()) || parser.parseColonType(type));
    });
  };
  if (succeeded(parser.parseOptionalKeyword("batch")) && parseOperandInto(batch))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("scale")) && parseOperandInto(scale))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("sinks")) && parseTypedOperand(sinks, sinksType))
    return failure();
  mask.causal = succeeded(parser.parseOptionalKeyword("causal"));
  if (succeeded(parser.parseOptionalKeyword("window")) &&
      parseParenthesised(parser, [&]() -> ParseResult {
        SMLoc at = parser.getCurrentLocation();
        if (parser.parseInteger(mask.window.emplace()))
          return failure();
        if (*mask.window < 1)
          return parser.emitError(at, "expected a positive window, got ") << *mask.window;
        return success();
      }))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("softcap")) &&
      parseParenthesised(parser, [&] { return parser.parseFloat(score.softcap.emplace()); }))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("alibi")) && parseTypedOperand(slopes, slopesType))
    return failure();

  loc = parser.getCurrentLocation();
  if (succeeded(parser.parseOptionalKeyword("score"))) {
    if (score.softcap || slopes)
      return parser.emitError(loc, "expected a score region or softcap and alibi, got both");
    if (parser.parseRegion(*scoreRegion))
      return failure();
  }
  loc = parser.getCurrentLocation();
  if (succeeded(parser.parseOptionalKeyword("mask"))) {
    if (!mask.isEmpty())
      return parser.emitError(loc, "expected a mask region or causal and window, got both");
    if (parser.parseRegion(*maskRegion))
      return failure();
  }
  SmallVector<Type> types;
  Type resultType;
  if (parser.parseOptionalAttrDict(state.attributes) || parser.parseColon())
    return failure();
  loc = parser.getCurrentLocation();
  if (parser.parseTypeList(types) || parser.parseArrow() || parser.parseType(resultType) ||
      parser.resolveOperands(main, types, loc, state.operands))
    return failure();

  Builder &builder = parser.getBuilder();
  Type f32 = builder.getF32Type();
  if (batch && parser.resolveOperand(*batch, BatchType::get(builder.getContext()), state.operands))
    return failure();
  if (scale && parser.resolveOperand(*scale, f32, state.operands))
    return failure();
  if (sinks && parser.resolveOperand(*sinks, sinksType, state.operands))
    return failure();
  bool graphForm = main.size() == 3;
  state.addAttribute(
      getOperandSegmentSizesAttrName(state.name),
      builder.getDenseI32ArrayAttr({1, graphForm, graphForm, !graphForm, batch.has_value(),
                                    scale.has_value(), sinks.has_value()}));
  state.addTypes(resultType);

  OpBuilder regionBuilder(builder.getContext());
  Location encoded = parser.getEncodedSourceLoc(parser.getNameLoc());
  if (slopes) {
    SmallVector<Value, 1> resolved;
    if (parser.resolveOperand(*slopes, slopesType, resolved))
      return failure();
    score.slopes = resolved.front();
    auto type = dyn_cast<RankedTensorType>(slopesType);
    if (!type || type.getRank() != 1 || !isa<FloatType>(type.getElementType()))
      return parser.emitError(parser.getNameLoc(), "expected slopes of one float per head, got ")
             << slopesType;
  }
  buildMask(regionBuilder, encoded, *maskRegion, mask);
  buildScore(regionBuilder, encoded, *scoreRegion, score);
  return success();
}

void AttentionOp::print(OpAsmPrinter &printer) {
  printer << ' ' << getQ();
  SmallVector<Type> types{getQ().getType()};
  for (Value operand : {Value(getK()), Value(getV()), Value(getCache())}) {
    if (!operand)
      continue;
    printer << ", " << operand;
    types.push_back(operand.getType());
  }
  if (getBatch())
    printer << " batch(" << getBatch() << ')';
  if (getScale())
    printer << " scale(" << getScale() << ')';
  if (getSinks())
    printer << " sinks(" << getSinks() << " : " << getSinks().getType() << ')';
  std::optional<CommonMask> mask = matchMask(getMask());
  std::optional<CommonScore> score = matchScore(getScore());
  if (mask && mask->causal)
    printer << " causal";
  if (mask && mask->window)
    printer << " window(" << *mask->window << ')';
  if (score && score->softcap) {
    printer << " softcap(";
    printer.printFloat(APFloat(float(*score->softcap)));
    printer << ')';
  }
  if (score && score->slopes)
    printer << " alibi(" << score->slopes << " : " << score->slopes.getType() << ')';
  if (!score) {
    printer << " score ";
    printer.printRegion(getScore());
  }
  if (!mask) {
    printer << " mask ";
    printer.printRegion(getMask());
  }
  printer.printOptionalAttrDict((*this)->getAttrs(), {getOperandSegmentSizesAttrName()});
  printer << " : ";
  llvm::interleaveComma(types, printer);
  printer << " -> " << getResult().getType();
}

//===----------------------------------------------------------------------===//
// Verification
//===----------------------------------------------------------------------===//

/// Both known and different.
static bool differ(int64_t a, int64_t b) {
  return !ShapedType::isDynamic(a) && !ShapedType::isDynamic(b) && a != b;
}

int64_t AttentionOp::getHeads() {
  auto type = cast<RankedTensorType>(getQ().getType());
  return type.getDimSize(isPhaseForm() ? 1 : type.getRank() - 3);
}
int64_t AttentionOp::getKVHeads() {
  if (isPhaseForm())
    return getCache().getType().getHeads();
  auto type = cast<RankedTensorType>(getK().getType());
  return type.getDimSize(type.getRank() - 3);
}
int64_t AttentionOp::getKeySize() {
  auto type = cast<RankedTensorType>(getQ().getType());
  return type.getDimSize(type.getRank() - 1);
}
int64_t AttentionOp::getValueSize() {
  auto type = cast<RankedTensorType>(getResult().getType());
  return type.getDimSize(type.getRank() - 1);
}

LogicalResult AttentionOp::verify() {
  auto q = cast<RankedTensorType>(getQ().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (isPhaseForm()) {
    // attention_c2
    if (getK() || getV())
      return emitOpError("expected keys and values or a cache, got both");
    if (!getBatch())
      return emitOpError("expected a batch beside the cache");
    CacheType cache = getCache().getType();
    if (q.getRank() != 3 || result.getRank() != 3)
      return emitOpError("expected queries and result of rank 3 beside a cache, got ")
             << q << " and " << result;
    if (differ(q.getDimSize(2), cache.getKeySize()) ||
        differ(result.getDimSize(2), cache.getValueSize()) ||
        differ(q.getDimSize(0), result.getDimSize(0)) ||
        differ(q.getDimSize(1), result.getDimSize(1)))
      return emitOpError("expected queries [tokens, H, ")
             << cache.getKeySize() << "] and result [tokens, H, " << cache.getValueSize()
             << "], got " << q << " and " << result;
  } else {
    // attention_c1
    if (!getK() || !getV())
      return emitOpError("expected keys and values, or a cache");
    if (getBatch())
      return emitOpError("expected a batch only beside a cache");
    auto k = cast<RankedTensorType>(getK().getType()), v = cast<RankedTensorType>(getV().getType());
    int64_t rank = q.getRank();
    if ((rank != 3 && rank != 4) || k.getRank() != rank || v.getRank() != rank ||
        result.getRank() != rank)
      return emitOpError("expected operands and result of rank 3 or 4, got ")
             << q << ", " << k << ", " << v << " and " << result;
    for (int64_t d = 0; d < rank; ++d) {
      bool wrong = d == rank - 1 ? differ(q.getDimSize(d), k.getDimSize(d)) ||
                                       differ(v.getDimSize(d), result.getDimSize(d))
                   : d == rank - 2 ? differ(k.getDimSize(d), v.getDimSize(d)) ||
                                         differ(q.getDimSize(d), result.getDimSize(d))
                   : d == rank - 3 ? differ(k.getDimSize(d), v.getDimSize(d)) ||
                                         differ(q.getDimSize(d), result.getDimSize(d))
                                   : differ(q.getDimSize(d), k.getDimSize(d)) ||
                                         differ(q.getDimSize(d), v.getDimSize(d)) ||
                                         differ(q.getDimSize(d), result.getDimSize(d));
      if (wrong)
        return emitOpError(
                   "expected q [B, H, S, D], k [B, KVH, T, D], v [B, KVH, T, DV] and result "
                   "[B, H, S, DV], got dimension ")
               << d << " of " << q << ", " << k << ", " << v << " and " << result;
    }
  }
  int64_t heads = getHeads(), kvHeads = getKVHeads();
  if (ShapedType::isDynamic(heads) || ShapedType::isDynamic(kvHeads) ||
      ShapedType::isDynamic(getKeySize()) || ShapedType::isDynamic(getValueSize()))
    return emitOpError("expected static head counts and head sizes, got ")
           << q << " and " << result;
  if (kvHeads == 0 || heads % kvHeads != 0) // attention_c3
    return emitOpError("expected key heads to divide query heads, got ")
           << kvHeads << " and " << heads;
  if (getSinks() &&
      differ(cast<RankedTensorType>(getSinks().getType()).getDimSize(0), heads)) // attention_c4
    return emitOpError("expected one sink per head, got ")
           << getSinks().getType() << " for " << heads << " heads";
  return success();
}

// attention_c5
static LogicalResult verifyRegion(AttentionOp op, Region &region, StringRef name, bool isScore) {
  if (region.empty())
    return success();
  Builder builder(op.getContext());
  SmallVector<Type> expected(4, builder.getIndexType());
  if (isScore)
    expected.insert(expected.begin(), builder.getF32Type());
  if (!region.hasOneBlock() || region.getArgumentTypes() != TypeRange(expected))
    return op.emitOpError("expected one block with arguments (")
           << (isScore ? "f32, " : "") << "index, index, index, index) in the " << name
           << " region";
  auto yield = dyn_cast<YieldOp>(region.front().back());
  Type result = isScore ? Type(builder.getF32Type()) : Type(builder.getI1Type());
  if (!yield || yield.getValue().getType() != result)
    return op.emitOpError("expected the ") << name << " region to yield " << result;
  for (Operation &inner : region.front().without_terminator())
    if (!isMemoryEffectFree(&inner))
      return (op.emitOpError("expected a ") << name << " region free of side effects")
                 .attachNote(inner.getLoc())
             << "see '" << inner.getName() << "'";
  return success();
}

LogicalResult AttentionOp::verifyRegions() {
  return failure(failed(verifyRegion(*this, getScore(), "score", true)) ||
                 failed(verifyRegion(*this, getMask(), "mask", false)));
}

//===----------------------------------------------------------------------===//
// Canonicalisation
//===----------------------------------------------------------------------===//

namespace {
/// Drops a region that does nothing: a score region that yields its score, a mask that keeps all.
struct DropIdentityRegions : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AttentionOp op, PatternRewriter &rewriter) const override {
    auto yielded = [](Region &region) -> Value {
      return region.empty() ? Value() : cast<YieldOp>(region.front().back()).getValue();
    };
    Value score = yielded(op.getScore()), mask = yielded(op.getMask());
    IntegerAttr keep;
    bool dropScore = score && score == op.getScore().getArgument(0);
    bool dropMask = mask && matchPattern(mask, m_Constant(&keep)) && keep.getValue().isOne();
    if (!dropScore && !dropMask)
      return rewriter.notifyMatchFailure(op, "both regions compute something");
    rewriter.modifyOpInPlace(op, [&] {
      for (auto [drop, region] : {std::pair(dropScore, &op.getScore()), {dropMask, &op.getMask()}})
        if (drop)
          rewriter.eraseBlock(&region->front());
    });
    return success();
  }
};
} // namespace

void AttentionOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<DropIdentityRegions>(context);
}
