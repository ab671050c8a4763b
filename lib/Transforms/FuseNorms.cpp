//===- FuseNorms.cpp - decomposed norms become tfm.rms_norm and tfm.layer_norm ----------------===//
//
// A norm is recognised by what an element of it is: a product of the row's own element (or its
// distance from the row's mean), of 1 / sqrt(mean of squares + eps), and of an element that depends
// on the column alone. How the product is written and in which order makes no difference.
//
//===----------------------------------------------------------------------------------------===//

#include "Reductions.h"
#include "Relayout.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include <cmath>

namespace ingot {
#define GEN_PASS_DEF_FUSENORMS
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// The tensor whose last dimension `op` sums up, or null.
static Value rowSumInput(Operation *op) {
  std::optional<Reduction> reduction = reductionOf(op);
  if (!reduction || reduction->kind != Reduction::Sum ||
      reduction->dim + 1 != cast<RankedTensorType>(reduction->input.getType()).getRank())
    return {};
  return reduction->input;
}

namespace {
/// The parts of a norm.
struct Norm {
  bool centered = false;
  double eps = 0;
  Node *x = nullptr, *weight = nullptr, *bias = nullptr;
};

/// Matches the expression of one element. The variables are the dimensions of the result.
class NormMatcher {
public:
  explicit NormMatcher(RankedTensorType type)
      : type(type), last(type.getRank() - 1),
        tracer([](Operation *op) { return bool(rowSumInput(op)); }, /*throughSlices=*/false) {}

  /// Returns why `value` is not a norm, or null.
  const char *match(Value value, Norm &norm);

  /// The tensor behind an expression, in the layout of the dimensions `dims`.
  std::optional<Layout> layout(const Node *node, ArrayRef<unsigned> dims) const;
  Layout wholeLayout(ArrayRef<unsigned> dims) const;

private:
  bool dependsOnColumn(const Node *node) const { return node->vars >> last & 1; }
  bool isRowVector(const Node *node) const {
    return !node->hasLeaf && node->vars == uint64_t(1) << last;
  }
  void flatten(Node *node, bool inverse);
  bool matchRoot(const Node *factor, bool inverse, Node *&square);
  const char *matchSquares(Node *square, Node *core, Norm &norm);
  Node *sumInput(const Node *leaf);
  Node *meanInput(const Node *node);

  RankedTensorType type;
  unsigned last;
  ElementTracer tracer;
  /// The product: factors, and those that are divided by.
  SmallVector<Node *> times, dividedBy;
};
} // namespace

static bool isOp(const Node *node) { return node->kind == Node::Op; }
template <typename OpTy> static bool isOp(const Node *node) {
  return node->kind == Node::Op && isa<OpTy>(node->op);
}

void NormMatcher::flatten(Node *node, bool inverse) {
  if (isOp<arith::MulFOp>(node)) {
    flatten(node->operands[0], inverse);
    flatten(node->operands[1], inverse);
  } else if (isOp<arith::DivFOp>(node)) {
    flatten(node->operands[0], inverse);
    flatten(node->operands[1], !inverse);
  } else if (!node->isConst(1)) {
    (inverse ? dividedBy : times).push_back(node);
  }
}

/// The element that the leaf (a row's sum) adds up, in the row of the leaf.
Node *NormMatcher::sumInput(const Node *leaf) {
  if (leaf->kind != Node::Leaf || dependsOnColumn(leaf))
    return nullptr;
  // The sum must be of the row that the element is in.
  for (auto [dim, index] : llvm::enumerate(leaf->indices))
    if (index != wholeIndex(dim, type.getDimSize(dim)))
      return nullptr;
  Value input = rowSumInput(leaf->op);
  auto inputType = cast<RankedTensorType>(input.getType());
  if (inputType.getRank() != type.getRank() || inputType.getDimSize(last) != type.getDimSize(last))
    return nullptr;
  Indices at(leaf->indices);
  at.push_back(wholeIndex(last, type.getDimSize(last)));
  return tracer.trace(input, at);
}

/// `node` as sum / F or sum * (1 / F): the element that is averaged.
Node *NormMatcher::meanInput(const Node *node) {
  double size = type.getDimSize(last);
  auto isNumber = [](const Node *node, double number) {
    return node->kind == Node::Const && std::fabs(node->number - number) <= 1e-6 * number;
  };
  if (isOp<arith::DivFOp>(node) && isNumber(node->operands[1], size))
    return sumInput(node->operands[0]);
  if (isOp<arith::MulFOp>(node))
    for (unsigned k : {0, 1})
      if (isNumber(node->operands[1 - k], 1 / size))
        return sumInput(node->operands[k]);
  return nullptr;
}

/// Whether the factor is 1 / sqrt(square), in one of its spellings.
bool NormMatcher::matchRoot(const Node *factor, bool inverse, Node *&square) {
  if (dependsOnColumn(factor) || !isOp(factor))
    return false;
  if (isOp<math::RsqrtOp>(factor) && !inverse)
    square = factor->operands[0];
  else if (isOp<math::SqrtOp>(factor) && inverse)
    square = factor->operands[0];
  else if (isOp<math::PowFOp>(factor) && factor->operands[1]->isConst(inverse ? 0.5 : -0.5))
    square = factor->operands[0];
  else
    return false;
  return true;
}

const char *NormMatcher::matchSquares(Node *square, Node *core, Norm &norm) {
  Node *mean = square;
  if (isOp<arith::AddFOp>(square))
    for (unsigned k : {0, 1})
      if (square->operands[k]->kind == Node::Const) {
        norm.eps = square->operands[k]->number;
        mean = square->operands[1 - k];
      }
  if (!(norm.eps >= 0) || !std::isfinite(norm.eps))
    return "the number under the root is negative";
  Node *squared = meanInput(mean);
  if (!squared)
    return "what is under the root is not the mean of the row";
  bool isSquare =
      isOp(squared) &&
      ((isa<arith::MulFOp>(squared->op) && sameExpr(squared->operands[0], squared->operands[1])) ||
       (isa<math::PowFOp>(squared->op) && squared->operands[1]->isConst(2)) ||
       (isa<math::FPowIOp>(squared->op) && squared->operands[1]->isConst(2)));
  if (!isSquare)
    return "what is averaged under the root is not a square";
  if (!sameExpr(squared->operands[0], core))
    return "the squares are of something else than what is scaled";
  // x - mean(x) makes it layer norm.
  norm.x = core;
  if (isOp<arith::SubFOp>(core))
    if (Node *averaged = meanInput(core->operands[1]))
      if (sameExpr(averaged, core->operands[0])) {
        norm.centered = true;
        norm.x = core->operands[0];
      }
  return nullptr;
}

const char *NormMatcher::match(Value value, Norm &norm) {
  if (ShapedType::isDynamic(type.getDimSize(last)) || type.getDimSize(last) < 2)
    return "the rows have no static size of at least 2";
  Node *node = tracer.trace(value, [&] {
    Indices indices;
    for (auto [dim, size] : llvm::enumerate(type.getShape()))
      indices.push_back(wholeIndex(dim, size));
    return indices;
  }());
  if (isOp<arith::AddFOp>(node))
    for (unsigned k : {1, 0})
      if (!norm.bias && isRowVector(node->operands[k])) {
        norm.bias = node->operands[k];
        node = node->operands[1 - k];
        break;
      }
  flatten(node, /*inverse=*/false);
  Node *square = nullptr, *core = nullptr;
  for (bool inverse : {false, true})
    for (Node *factor : inverse ? dividedBy : times) {
      Node *found = nullptr;
      if (matchRoot(factor, inverse, found)) {
        if (square)
          return "more than one root in the product";
        square = found;
      } else if (inverse) {
        return "the product is divided by something else than the root";
      } else if (isRowVector(factor)) {
        if (norm.weight)
          return "more than one weight in the product";
        norm.weight = factor;
      } else if (core) {
        return "more than one factor of the row in the product";
      } else {
        core = factor;
      }
    }
  if (!square || !core)
    return "no root of a mean of squares in the product";
  if (const char *why = matchSquares(square, core, norm))
    return why;
  if (norm.bias && !norm.centered)
    return "rms norm has no bias";
  if (norm.x->type != type.getElementType())
    return "the norm changes the element type";
  SmallVector<unsigned> all;
  for (unsigned dim = 0; dim <= last; ++dim)
    all.push_back(dim);
  if (!layout(norm.x, all))
    return "the rows are not a tensor";
  for (Node **vector : {&norm.weight, &norm.bias}) {
    if (!*vector)
      continue;
    // The operations widen exactly.
    if (isOp<arith::ExtFOp>(*vector) && layout((*vector)->operands[0], {last}))
      *vector = (*vector)->operands[0];
    if (!layout(*vector, {last}))
      return "the weight or bias is not a vector";
    Type element = (*vector)->type;
    if (element != norm.x->type &&
        element.getIntOrFloatBitWidth() >= norm.x->type.getIntOrFloatBitWidth())
      return "the weight or bias is wider than the rows";
  }
  return nullptr;
}

Layout NormMatcher::wholeLayout(ArrayRef<unsigned> dims) const {
  Layout layout;
  for (unsigned dim : dims) {
    Index index = wholeIndex(dim, type.getDimSize(dim));
    layout.emplace_back(index.digits.begin(), index.digits.end());
  }
  return layout;
}

std::optional<Layout> NormMatcher::layout(const Node *node, ArrayRef<unsigned> dims) const {
  if (!node->origin || !isa<RankedTensorType>(node->origin.getType()))
    return std::nullopt;
  auto originType = cast<RankedTensorType>(node->origin.getType());
  if (originType.getElementType() != node->type)
    return std::nullopt;
  std::optional<Layout> from = layoutOf(node->indices, originType);
  Layout to = wholeLayout(dims);
  if (!from)
    return std::nullopt;
  refineLayouts({&*from, &to});
  if (!canRelayout(*from, to) || !canRelayout(to, *from))
    return std::nullopt;
  return from;
}

namespace {
/// Tried on every product, quotient and sum, outer operations first.
struct FuseNorm : RewritePattern {
  FuseNorm(MLIRContext *context, int64_t &rmsNorms, int64_t &layerNorms)
      : RewritePattern(MatchAnyOpTypeTag(), /*benefit=*/1, context), rmsNorms(rmsNorms),
        layerNorms(layerNorms) {}

  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    auto isProduct = [](Operation *op) {
      return isa<arith::MulFOp, arith::DivFOp, arith::AddFOp>(op);
    };
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!isProduct(op) && !(generic && generic.getNumReductionLoops() == 0))
      return rewriter.notifyMatchFailure(op, "not a product or sum");
    auto type = op->getNumResults() == 1 ? dyn_cast<RankedTensorType>(op->getResult(0).getType())
                                         : RankedTensorType();
    if (!type || type.getRank() < 1 || !isa<FloatType>(type.getElementType()))
      return rewriter.notifyMatchFailure(op, "not a tensor of floats");
    NormMatcher matcher(type);
    Norm norm;
    if (const char *why = matcher.match(op->getResult(0), norm))
      return rewriter.notifyMatchFailure(op, why);

    auto read = [&](Node *node, ArrayRef<unsigned> dims) -> Value {
      if (!node)
        return {};
      Layout from = *matcher.layout(node, dims), to = matcher.wholeLayout(dims);
      refineLayouts({&from, &to});
      return relayout(rewriter, op->getLoc(), node->origin, from, to,
                      [](unsigned) { return OpFoldResult(); });
    };
    SmallVector<unsigned> all;
    for (unsigned dim = 0; dim < type.getRank(); ++dim)
      all.push_back(dim);
    unsigned last = type.getRank() - 1;
    Value x = read(norm.x, all), weight = read(norm.weight, {last}), bias = read(norm.bias, {last});
    if (x.getType() != type)
      x = tensor::CastOp::create(rewriter, op->getLoc(), type, x);
    if (norm.centered) {
      rewriter.replaceOpWithNewOp<LayerNormOp>(op, type, x, weight, bias,
                                               rewriter.getF64FloatAttr(norm.eps));
      ++layerNorms;
    } else {
      rewriter.replaceOpWithNewOp<RMSNormOp>(op, type, x, weight,
                                             rewriter.getF64FloatAttr(norm.eps));
      ++rmsNorms;
    }
    return success();
  }

  int64_t &rmsNorms, &layerNorms;
};

struct FuseNormsPass : ingot::impl::FuseNormsBase<FuseNormsPass> {
  void runOnOperation() override {
    int64_t rmsNorms = 0, layerNorms = 0;
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseNorm>(&getContext(), rmsNorms, layerNorms);
    GreedyRewriteConfig config;
    config.enableFolding(false).enableConstantCSE(false);
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
    config.setUseTopDownTraversal(false);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      return signalPassFailure();
    numRMSNorms += rmsNorms;
    numLayerNorms += layerNorms;
  }
};
} // namespace
