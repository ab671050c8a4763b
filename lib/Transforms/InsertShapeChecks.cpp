//===- InsertShapeChecks.cpp - what a graph assumes of the shapes of its inputs ---------------===//

#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace ingot {
#define GEN_PASS_DEF_INSERTSHAPECHECKS
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

namespace {

/// A dimension of a tensor.
struct Dim {
  Value tensor;
  int64_t index;
};

class ShapeChecker {
public:
  explicit ShapeChecker(func::FuncOp function) : builder(function) {}

  void visit(Operation *op);
  int64_t numChecks = 0;

private:
  void equal(Operation *op, Dim a, Dim b);
  void equalShapes(Operation *op, ValueRange values);
  void visitLinalg(linalg::LinalgOp op);

  OpBuilder builder;
};

} // namespace

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

void ShapeChecker::equal(Operation *op, Dim a, Dim b) {
  // Two static sizes were compared by the verifier.
  if (a.tensor == b.tensor && a.index == b.index)
    return;
  if (!typeOf(a.tensor).isDynamicDim(a.index) && !typeOf(b.tensor).isDynamicDim(b.index))
    return;
  Location loc = op->getLoc();
  builder.setInsertionPoint(op);
  Value left = tensor::DimOp::create(builder, loc, a.tensor, a.index);
  Value right = tensor::DimOp::create(builder, loc, b.tensor, b.index);
  Value same = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, left, right);
  std::string message = ("expected operands of '" + op->getName().getStringRef() +
                         "' that agree in dimensions " + Twine(a.index) + " and " + Twine(b.index))
                            .str();
  cf::AssertOp::create(builder, loc, same, builder.getStringAttr(message));
  ++numChecks;
}

void ShapeChecker::equalShapes(Operation *op, ValueRange values) {
  SmallVector<Value> tensors;
  for (Value value : values)
    if (isa<RankedTensorType>(value.getType()))
      tensors.push_back(value);
  for (Value other : llvm::drop_begin(tensors, tensors.empty() ? 0 : 1))
    for (int64_t d = 0; d < typeOf(other).getRank(); ++d)
      equal(op, {tensors.front(), d}, {other, d});
}

/// Dimensions that one loop runs over are equal.
void ShapeChecker::visitLinalg(linalg::LinalgOp op) {
  llvm::DenseMap<unsigned, Dim> loops;
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<RankedTensorType>(operand.get().getType()))
      continue;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (auto [d, expr] : llvm::enumerate(map.getResults())) {
      auto loop = dyn_cast<AffineDimExpr>(expr);
      if (!loop)
        continue;
      auto [it, inserted] = loops.try_emplace(loop.getPosition(), Dim{operand.get(), int64_t(d)});
      if (!inserted)
        equal(op, it->second, {operand.get(), int64_t(d)});
    }
  }
}

void ShapeChecker::visit(Operation *op) {
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    return visitLinalg(linalgOp);
  if (auto attention = dyn_cast<AttentionOp>(op); attention && !attention.isPhaseForm()) {
    Value q = attention.getQ(), k = attention.getK(), v = attention.getV();
    int64_t rank = typeOf(q).getRank();
    equal(op, {k, rank - 2}, {v, rank - 2});
    if (rank == 4)
      for (Value other : {k, v})
        equal(op, {q, 0}, {other, 0});
  } else if (auto matmul = dyn_cast<MatmulOp>(op)) {
    int64_t rank = typeOf(matmul.getA()).getRank();
    for (int64_t d = 0; d + 2 < rank; ++d)
      equal(op, {matmul.getA(), d}, {matmul.getB(), d});
    equal(op, {matmul.getA(), rank - 1},
          {matmul.getB(), matmul.getTransposeB() ? rank - 1 : rank - 2});
  } else if (auto rotary = dyn_cast<RotaryOp>(op)) {
    for (Value table : {Value(rotary.getCos()), Value(rotary.getSin())})
      equal(op, {rotary.getX(), 0}, {table, 0});
  } else if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    for (Value other : concat.getInputs().drop_front())
      for (int64_t d = 0; d < typeOf(other).getRank(); ++d)
        if (d != int64_t(concat.getDim()))
          equal(op, {concat.getInputs().front(), d}, {other, d});
  } else if (OpTrait::hasElementwiseMappableTraits(op)) {
    equalShapes(op, op->getOperands());
  }
}

namespace {
struct InsertShapeChecksPass : ingot::impl::InsertShapeChecksBase<InsertShapeChecksPass> {
  void runOnOperation() override {
    ShapeChecker checker(getOperation());
    SmallVector<Operation *> operations;
    for (Block &block : getOperation().getBody())
      for (Operation &op : block)
        operations.push_back(&op);
    for (Operation *op : operations)
      checker.visit(op);
    numChecks += checker.numChecks;
  }
};
} // namespace
