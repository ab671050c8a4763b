//===- FuseRotary.cpp - decomposed rotary embeddings become tfm.rotary ------------------------===//
//
// A rotary embedding is recognised by its elements. With i over the pairs, the two elements of a
// pair of the result must be
//
//     y0 = x0 * cos[s, i] - x1 * sin[s, i]        y1 = x1 * cos[s, i] + x0 * sin[s, i]
//
// of the pair (x0, x1) of one tensor x at the same place, where pairs are halves or neighbours; the
// columns beyond the pairs must be those of x. Whether the halves are slices, or cos and sin are
// repeated and x is rotated as a whole, is all the same then.
//
//===----------------------------------------------------------------------------------------===//

#include "Relayout.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/SetVector.h"

namespace ingot {
#define GEN_PASS_DEF_FUSEROTARY
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// Producers further back than this are not taken for the input of a rotary embedding.
static constexpr size_t kMaxProducers = 40;

namespace {
/// Loop variables: the leading dimensions have their numbers; the pair, and the columns that pass
/// through. A tensor has at most as many leading dimensions as there are numbers below.
enum : unsigned { kPair = 60, kRest };

struct Rotary {
  Value x;
  bool interleaved;
  int64_t half;
  Node *cos = nullptr, *sin = nullptr;
  /// The leading dimension that the tables go along.
  unsigned tokens = 0;
};

/// A product of two factors with a sign.
struct Term {
  bool negative;
  Node *factors[2];
};

class RotaryMatcher {
public:
  RotaryMatcher(Value result, Value x)
      : type(cast<RankedTensorType>(result.getType())), last(type.getRank() - 1), result(result),
        x(x),
        tracer([x](Operation *op) { return op == x.getDefiningOp(); }, /*throughSlices=*/true) {}

  /// Returns why this is not a rotary embedding of `half` pairs, or null.
  const char *match(int64_t half, bool interleaved, Rotary &rotary);
  /// The table in the layout [tokens, pair].
  std::optional<std::pair<Layout, Layout>> tableLayouts(const Node *table,
                                                        const Rotary &rotary) const;

private:
  /// Element `c` of the pair, as an index of the last dimension.
  Index pairIndex(unsigned c, int64_t half, bool interleaved) const;
  Indices at(Index column) const {
    Indices indices;
    for (unsigned dim = 0; dim < last; ++dim)
      indices.push_back(wholeIndex(dim, type.getDimSize(dim)));
    indices.push_back(column);
    return indices;
  }
  bool isX(const Node *node, const Index &column) const {
    return node->origin == x && (node->kind == Node::Leaf || node->kind == Node::Load) &&
           ArrayRef<Index>(node->indices) == ArrayRef<Index>(at(column));
  }

  RankedTensorType type;
  unsigned last;
  Value result, x;
  ElementTracer tracer;
};
} // namespace

/// `node` as a sum of products of two factors.
static bool collectTerms(Node *node, bool negative, SmallVectorImpl<Term> &terms) {
  if (node->kind != Node::Op)
    return false;
  if (isa<arith::AddFOp, arith::SubFOp>(node->op))
    return collectTerms(node->operands[0], negative, terms) &&
           collectTerms(node->operands[1], negative != isa<arith::SubFOp>(node->op), terms);
  if (isa<arith::NegFOp>(node->op))
    return collectTerms(node->operands[0], !negative, terms);
  if (!isa<arith::MulFOp>(node->op))
    return false;
  Term term{negative, {node->operands[0], node->operands[1]}};
  for (Node *&factor : term.factors)
    while (factor->kind == Node::Op && isa<arith::NegFOp>(factor->op)) {
      factor = factor->operands[0];
      term.negative = !term.negative;
    }
  terms.push_back(term);
  return true;
}

Index RotaryMatcher::pairIndex(unsigned c, int64_t half, bool interleaved) const {
  Index index = wholeIndex(kPair, half);
  if (!interleaved)
    index.offset = c * half;
  else if (half > 1)
    index.digits.push_back({Digit::kConstant, c, 2});
  else
    index.offset = c;
  return index;
}

const char *RotaryMatcher::match(int64_t half, bool interleaved, Rotary &rotary) {
  Index pair[2] = {pairIndex(0, half, interleaved), pairIndex(1, half, interleaved)};
  // table[c][d]: what x_d is multiplied with in y_c.
  Node *table[2][2] = {};
  for (unsigned c : {0, 1}) {
    SmallVector<Term> terms;
    if (!collectTerms(tracer.trace(result, at(pair[c])), false, terms) || terms.size() != 2)
      return "an element is not the sum of two products";
    for (Term &term : terms) {
      for (unsigned d : {0, 1})
        for (unsigned k : {0, 1})
          if (isX(term.factors[k], pair[d]) && !table[c][d]) {
            // Only x1 in y0 has a minus.
            if (term.negative != (c == 0 && d == 1))
              return "a product has the wrong sign";
            table[c][d] = term.factors[1 - k];
          }
    }
    if (!table[c][0] || !table[c][1])
      return "an element does not depend on both elements of its pair";
  }
  if (!sameExpr(table[0][0], table[1][1]) || !sameExpr(table[0][1], table[1][0]))
    return "the two elements of a pair are turned by different angles";
  int64_t rest = type.getDimSize(last) - 2 * half;
  if (rest > 0) {
    Index tail = wholeIndex(kRest, rest);
    tail.offset = 2 * half;
    if (!isX(tracer.trace(result, at(tail)), tail))
      return "the columns beyond the pairs do not pass through";
  }
  rotary.x = x;
  rotary.interleaved = interleaved;
  rotary.half = half;
  rotary.cos = table[0][0];
  rotary.sin = table[0][1];
  uint64_t vars = rotary.cos->vars | rotary.sin->vars;
  unsigned along = 0;
  for (unsigned dim = 0; dim < last; ++dim)
    if (vars >> dim & 1) {
      rotary.tokens = dim;
      ++along;
    }
  if (along > 1)
    return "the tables differ from head to head";
  int64_t dynamic = 0;
  for (unsigned dim = 0; dim < last; ++dim)
    dynamic += dim != rotary.tokens && type.isDynamicDim(dim);
  if (dynamic > 1)
    return "more than one dimension beside the tokens has no static size";
  for (Node *node : {rotary.cos, rotary.sin})
    if (!tableLayouts(node, rotary))
      return "a table is not one of positions and pairs";
  return nullptr;
}

std::optional<std::pair<Layout, Layout>> RotaryMatcher::tableLayouts(const Node *table,
                                                                     const Rotary &rotary) const {
  auto origin =
      table->origin ? dyn_cast<RankedTensorType>(table->origin.getType()) : RankedTensorType();
  if (!origin || origin.getElementType() != type.getElementType())
    return std::nullopt;
  std::optional<Layout> from = layoutOf(table->indices, origin);
  if (!from)
    return std::nullopt;
  Layout to;
  for (const Index &index :
       {wholeIndex(rotary.tokens, type.getDimSize(rotary.tokens)), wholeIndex(kPair, rotary.half)})
    to.emplace_back(index.digits.begin(), index.digits.end());
  refineLayouts({&*from, &to});
  if (!canRelayout(*from, to))
    return std::nullopt;
  return std::pair(*from, to);
}

/// Values of the result's type that it is computed from, the nearest first.
static SmallVector<Value> findInputs(Operation *op) {
  llvm::SetVector<Value> values;
  SmallVector<Value> inputs;
  values.insert(op->getResult(0));
  for (size_t k = 0; k < values.size() && k < kMaxProducers; ++k) {
    Value value = values[k];
    if (k > 0 && value.getType() == op->getResult(0).getType())
      inputs.push_back(value);
    Operation *producer = value.getDefiningOp();
    if (producer && (OpTrait::hasElementwiseMappableTraits(producer) ||
                     isa<tensor::ConcatOp, tensor::ExtractSliceOp, tensor::ExpandShapeOp,
                         tensor::CollapseShapeOp, tensor::CastOp, linalg::TransposeOp,
                         linalg::BroadcastOp, linalg::GenericOp>(producer)))
      values.insert(producer->operand_begin(), producer->operand_end());
  }
  return inputs;
}

namespace {
struct FuseRotaryEmbedding : RewritePattern {
  FuseRotaryEmbedding(MLIRContext *context, int64_t &fused)
      : RewritePattern(MatchAnyOpTypeTag(), /*benefit=*/1, context), fused(fused) {}

  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    if (!isa<tensor::ConcatOp, tensor::CollapseShapeOp, arith::AddFOp, linalg::GenericOp>(op))
      return rewriter.notifyMatchFailure(op, "not a sum or concatenation");
    auto type = op->getNumResults() == 1 ? dyn_cast<RankedTensorType>(op->getResult(0).getType())
                                         : RankedTensorType();
    int64_t last = type ? type.getRank() - 1 : 0;
    if (last < 1 || last > int64_t(kPair) || type.isDynamicDim(last) || type.getDimSize(last) < 2 ||
        !isa<FloatType>(type.getElementType()))
      return rewriter.notifyMatchFailure(op, "not heads of a static size");
    // All columns are in pairs, or those of the first part of a concatenation (a half, or both).
    SmallVector<int64_t> halves;
    if (type.getDimSize(last) % 2 == 0)
      halves.push_back(type.getDimSize(last) / 2);
    if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
      int64_t first = cast<RankedTensorType>(concat.getInputs()[0].getType()).getDimSize(last);
      if (int64_t(concat.getDim()) != last || ShapedType::isDynamic(first))
        return rewriter.notifyMatchFailure(op, "not a concatenation of columns");
      for (int64_t half : {first, first / 2})
        if (half > 0 && 2 * half < type.getDimSize(last) && (half == first || first % 2 == 0))
          halves.push_back(half);
    }
    const char *why = "no tensor of the same shape to be rotated";
    for (Value x : findInputs(op)) {
      RotaryMatcher matcher(op->getResult(0), x);
      Rotary rotary;
      for (int64_t half : halves)
        for (bool interleaved : {false, true}) {
          const char *reason = matcher.match(half, interleaved, rotary);
          if (!reason) {
            fuse(op, matcher, rotary, rewriter);
            return success();
          }
          why = reason;
        }
    }
    return rewriter.notifyMatchFailure(op, why);
  }

private:
  void fuse(Operation *op, RotaryMatcher &matcher, const Rotary &rotary,
            PatternRewriter &rewriter) const {
    Location loc = op->getLoc();
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    auto none = [](unsigned) { return OpFoldResult(); };
    auto sizeOf = [&](unsigned) {
      return tensor::getMixedSize(rewriter, loc, rotary.x, rotary.tokens);
    };
    auto table = [&](Node *node) {
      auto layouts = *matcher.tableLayouts(node, rotary);
      return relayout(rewriter, loc, node->origin, layouts.first, layouts.second, sizeOf);
    };
    // Tokens first, then everything else that is like heads; turned back afterwards.
    Layout given, wanted(3);
    for (unsigned dim = 0; dim < type.getRank(); ++dim) {
      Index index = wholeIndex(dim, type.getDimSize(dim));
      given.emplace_back(index.digits.begin(), index.digits.end());
      unsigned target = dim == rotary.tokens ? 0 : dim + 1 < type.getRank() ? 1 : 2;
      wanted[target].append(index.digits.begin(), index.digits.end());
    }
    Value x = relayout(rewriter, loc, rotary.x, given, wanted, none);
    Value rotated = RotaryOp::create(rewriter, loc, x.getType(), x, table(rotary.cos),
                                     table(rotary.sin), rotary.interleaved);
    rotated = relayout(rewriter, loc, rotated, wanted, given, none);
    if (rotated.getType() != type)
      rotated = tensor::CastOp::create(rewriter, loc, type, rotated);
    rewriter.replaceOp(op, rotated);
    ++fused;
  }

  int64_t &fused;
};

struct FuseRotaryPass : ingot::impl::FuseRotaryBase<FuseRotaryPass> {
  void runOnOperation() override {
    int64_t fused = 0;
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseRotaryEmbedding>(&getContext(), fused);
    GreedyRewriteConfig config;
    config.enableFolding(false).enableConstantCSE(false);
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
    config.setUseTopDownTraversal(false);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      return signalPassFailure();
    numFused += fused;
  }
};
} // namespace
