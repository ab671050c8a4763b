//===- RaiseSoftmax.cpp - decomposed softmax becomes tfm.softmax ----------------------------===//
//
// An element of a softmax is e / sum(e), where e is the exponential of x minus the maximum of the
// same row. Nothing else may be added to the sum.
//
//===----------------------------------------------------------------------------------------===//

#include "RaiseSoftmax.h"
#include "ElementExpr.h"
#include "EraseDead.h"
#include "Reductions.h"
#include "Relayout.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace ingot {
namespace {

class SoftmaxMatcher {
public:
  explicit SoftmaxMatcher(RankedTensorType type)
      : type(type), tracer([](Operation *op) { return reductionOf(op).has_value(); },
                           /*throughSlices=*/false) {
    for (auto [dim, size] : llvm::enumerate(type.getShape()))
      whole.push_back(wholeIndex(dim, size));
  }

  /// The expression of x, and the dimension that is normalised, or null.
  Node *match(Value result, int64_t &dim);
  /// The exponential that `value`, a tensor of this type, is, or is a multiple or a selection of.
  Node *exponential(Value value);
  /// x where the exponential's argument is x less the maximum of x along `dim`, else null.
  Node *scoresOf(const Node *exponential, int64_t dim);
  /// The layout of the tensor behind the expression of x, if it can be brought to the result's.
  std::optional<std::pair<Layout, Layout>> layouts(const Node *x) const;

private:
  /// The element that a leaf reduces, in the row of the result's element.
  Node *reduced(const Node *leaf, Reduction::Kind kind, int64_t &dim);

  RankedTensorType type;
  ElementTracer tracer;
  Indices whole;
};

} // namespace

template <typename OpTy> static bool isOp(const Node *node) {
  return node->kind == Node::Op && isa<OpTy>(node->op);
}

Node *SoftmaxMatcher::reduced(const Node *leaf, Reduction::Kind kind, int64_t &dim) {
  if (leaf->kind != Node::Leaf)
    return nullptr;
  Reduction reduction = *reductionOf(leaf->op);
  auto inputType = cast<RankedTensorType>(reduction.input.getType());
  if (reduction.kind != kind || inputType.getRank() != type.getRank() ||
      inputType.getDimSize(reduction.dim) != type.getDimSize(reduction.dim))
    return nullptr;
  Indices at(whole);
  at.erase(at.begin() + reduction.dim);
  if (ArrayRef<Index>(at) != ArrayRef<Index>(leaf->indices))
    return nullptr;
  dim = reduction.dim;
  return tracer.trace(reduction.input, whole);
}

Node *SoftmaxMatcher::match(Value result, int64_t &dim) {
  Node *node = tracer.trace(result, whole);
  // e / sum, or e * (1 / sum).
  Node *e = nullptr, *sum = nullptr;
  if (isOp<arith::DivFOp>(node)) {
    e = node->operands[0];
    sum = node->operands[1];
  } else if (isOp<arith::MulFOp>(node)) {
    for (unsigned k : {0, 1})
      if (isOp<arith::DivFOp>(node->operands[k]) && node->operands[k]->operands[0]->isConst(1)) {
        e = node->operands[1 - k];
        sum = node->operands[k]->operands[1];
      }
  }
  if (!e || !isOp<math::ExpOp>(e))
    return nullptr;
  Node *summed = reduced(sum, Reduction::Sum, dim);
  if (!summed || !sameExpr(summed, e))
    return nullptr;
  Node *x = scoresOf(e, dim);
  return x && x->type == type.getElementType() && layouts(x) ? x : nullptr;
}

Node *SoftmaxMatcher::scoresOf(const Node *exponential, int64_t dim) {
  // Without the maximum the exponentials overflow where a softmax does not.
  Node *difference = exponential->operands[0];
  if (!isOp<arith::SubFOp>(difference))
    return nullptr;
  Node *x = difference->operands[0];
  int64_t maxDim = -1;
  Node *largest = reduced(difference->operands[1], Reduction::Max, maxDim);
  return largest && maxDim == dim && sameExpr(largest, x) ? x : nullptr;
}

Node *SoftmaxMatcher::exponential(Value value) {
  SmallVector<Node *> worklist{tracer.trace(value, whole)};
  llvm::SmallPtrSet<Node *, 8> seen;
  while (!worklist.empty()) {
    Node *node = worklist.pop_back_val();
    if (!seen.insert(node).second)
      continue;
    if (isOp<math::ExpOp>(node) || isOp<math::Exp2Op>(node))
      return node;
    if (isOp<arith::MulFOp>(node) || isOp<arith::SelectOp>(node) || isOp<arith::ExtFOp>(node) ||
        isOp<arith::TruncFOp>(node))
      llvm::append_range(worklist, node->operands);
  }
  return nullptr;
}

std::optional<std::pair<Layout, Layout>> SoftmaxMatcher::layouts(const Node *x) const {
  auto origin = x->origin ? dyn_cast<RankedTensorType>(x->origin.getType()) : RankedTensorType();
  std::optional<Layout> from = origin ? layoutOf(x->indices, origin) : std::nullopt;
  std::optional<Layout> to = layoutOf(whole, type);
  if (!from || !to)
    return std::nullopt;
  refineLayouts({&*from, &*to});
  if (!canRelayout(*from, *to) || !canRelayout(*to, *from))
    return std::nullopt;
  return std::pair(*from, *to);
}

int64_t raiseSoftmaxes(func::FuncOp function) {
  SmallVector<Operation *> quotients;
  function.walk([&](Operation *op) {
    auto type = op->getNumResults() == 1 ? dyn_cast<RankedTensorType>(op->getResult(0).getType())
                                         : RankedTensorType();
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (type && isa<FloatType>(type.getElementType()) &&
        (isa<arith::DivFOp, arith::MulFOp>(op) || (generic && generic.getNumReductionLoops() == 0)))
      quotients.push_back(op);
  });
  SmallVector<Operation *> replaced;
  for (Operation *op : quotients) {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    SoftmaxMatcher matcher(type);
    int64_t dim = -1;
    Node *x = matcher.match(op->getResult(0), dim);
    if (!x)
      continue;
    OpBuilder builder(op);
    auto [from, to] = *matcher.layouts(x);
    Value input = relayout(builder, op->getLoc(), x->origin, from, to,
                           [](unsigned) { return OpFoldResult(); });
    if (input.getType() != type)
      input = tensor::CastOp::create(builder, op->getLoc(), type, input);
    Value softmax =
        tfm::SoftmaxOp::create(builder, op->getLoc(), type, input, builder.getI64IntegerAttr(dim));
    op->getResult(0).replaceAllUsesWith(softmax);
    replaced.push_back(op);
  }
  llvm::SmallPtrSet<Operation *, 16> erased;
  for (Operation *op : replaced)
    eraseDead(op, erased);
  return replaced.size();
}

/// Whether something is divided by `sum`, which may be moved before.
static bool isDivisor(Value sum) {
  llvm::SetVector<Value> values;
  values.insert(sum);
  for (size_t k = 0; k < values.size(); ++k)
    for (OpOperand &use : values[k].getUses()) {
      Operation *user = use.getOwner();
      if (isa<arith::DivFOp>(user) && use.getOperandNumber() == 1)
        return true;
      if (auto generic = dyn_cast<linalg::GenericOp>(user)) {
        Value element = generic.getMatchingBlockArgument(&use);
        if (llvm::any_of(element.getUsers(), [&](Operation *inner) {
              return isa<arith::DivFOp>(inner) && inner->getOperand(1) == element;
            }))
          return true;
      }
      if (isa<linalg::BroadcastOp, linalg::TransposeOp, tensor::ExpandShapeOp,
              tensor::CollapseShapeOp, tensor::CastOp, arith::ExtFOp, arith::TruncFOp>(user))
        values.insert(user->getResult(0));
    }
  return false;
}

SmallVector<UnnamedSoftmax> findUnnamedSoftmaxes(func::FuncOp function) {
  SmallVector<UnnamedSoftmax> found;
  function.walk([&](Operation *op) {
    std::optional<Reduction> reduction = reductionOf(op);
    if (!reduction || reduction->kind != Reduction::Sum || !isDivisor(op->getResult(0)))
      return;
    SoftmaxMatcher matcher(cast<RankedTensorType>(reduction->input.getType()));
    Node *e = matcher.exponential(reduction->input);
    if (!e)
      return;
    StringRef why = "a sum of exponentials of something else than scores less the largest of "
                    "their row, so no softmax";
    if (isOp<math::Exp2Op>(e))
      why = "a sum of powers of 2, which is no softmax of their exponents";
    else if (matcher.scoresOf(e, reduction->dim))
      why = "exponentials and their sum, but no quotient of the two is a softmax";
    found.push_back({op, reduction->input, why});
  });
  return found;
}

} // namespace ingot
