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
  bool failed = false;

private:
  void equal(Operation *op, Dim a, Dim b);
  void require(Operation *op, Value a, Value b, const Twine &message);
  Value valueOf(Operation *op, OpFoldResult size);
  void inside(OffsetSizeAndStrideOpInterface op, Value outer);
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
  builder.setInsertionPoint(op);
  require(op, tensor::DimOp::create(builder, op->getLoc(), a.tensor, a.index),
          tensor::DimOp::create(builder, op->getLoc(), b.tensor, b.index),
          "operands of '" + op->getName().getStringRef() + "' that agree in dimensions " +
              Twine(a.index) + " and " + Twine(b.index));
}

/// Asserts before `op` that two sizes are equal.
void ShapeChecker::require(Operation *op, Value a, Value b, const Twine &message) {
  Value same = arith::CmpIOp::create(builder, op->getLoc(), arith::CmpIPredicate::eq, a, b);
  cf::AssertOp::create(builder, op->getLoc(), same, builder.getStringAttr("expected " + message));
  ++numChecks;
}

Value ShapeChecker::valueOf(Operation *op, OpFoldResult size) {
  if (auto value = dyn_cast<Value>(size))
    return value;
  return arith::ConstantIndexOp::create(builder, op->getLoc(), *getConstantIntValue(size));
}

/// What is cut out of `outer`, or put into it, lies inside.
void ShapeChecker::inside(OffsetSizeAndStrideOpInterface op, Value outer) {
  Location loc = op.getLoc();
  std::string name = ("'" + op->getName().getStringRef() + "'").str();
  builder.setInsertionPoint(op);
  auto constant = [&](int64_t value) {
    return Value(arith::ConstantIndexOp::create(builder, loc, value));
  };
  // At least `least`, where that is known only at run time.
  auto atLeast = [&](OpFoldResult size, int64_t least, const Twine &message) {
    if (!getConstantIntValue(size))
      require(op, arith::MinSIOp::create(builder, loc, valueOf(op, size), constant(least)),
              constant(least), message);
  };
  for (int64_t d = 0; d < typeOf(outer).getRank(); ++d) {
    OpFoldResult offset = op.getMixedOffsets()[d], size = op.getMixedSizes()[d],
                 stride = op.getMixedStrides()[d];
    bool isStatic = !typeOf(outer).isDynamicDim(d);
    for (auto [given, least] : {std::pair(offset, 0), {size, 0}, {stride, 1}}) {
      std::optional<int64_t> known = getConstantIntValue(given);
      isStatic &= known.has_value();
      // Sums and products of such numbers do not wrap.
      if (known && (*known < least || *known > INT32_MAX)) {
        op.emitError() << name << " takes " << *known << " in dimension " << d
                       << ": expected offsets and sizes from 0, strides from 1, all below 2^31";
        failed = true;
        return;
      }
    }
    // The whole of a dimension, the most frequent.
    auto whole =
        dyn_cast<Value>(size) ? cast<Value>(size).getDefiningOp<tensor::DimOp>() : tensor::DimOp();
    bool isWhole = isConstantIntValue(offset, 0) && isConstantIntValue(stride, 1) && whole &&
                   whole.getSource() == outer && whole.getConstantIndex() == d;
    if (isStatic || isWhole)
      continue;
    atLeast(offset, 0, name + " to begin inside of dimension " + Twine(d));
    atLeast(size, 0, name + " to have a size in dimension " + Twine(d));
    atLeast(stride, 1, name + " to go forward in dimension " + Twine(d));
    // offset + (size - 1) * stride < extent, without a difference that could be negative.
    Value step = valueOf(op, stride);
    Value end = arith::MulIOp::create(builder, loc, valueOf(op, size), step);
    end = arith::AddIOp::create(builder, loc, valueOf(op, offset), end);
    Value limit = tensor::DimOp::create(builder, loc, outer, d);
    limit = arith::AddIOp::create(builder, loc, limit, step);
    limit = arith::SubIOp::create(builder, loc, limit, constant(1));
    require(op, arith::MinSIOp::create(builder, loc, end, limit), end,
            name + " to end inside of dimension " + Twine(d));
  }
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
  } else if (auto cast = dyn_cast<tensor::CastOp>(op)) {
    auto to = dyn_cast<RankedTensorType>(cast.getType());
    auto from = dyn_cast<RankedTensorType>(cast.getSource().getType());
    builder.setInsertionPoint(op);
    for (int64_t d = 0; to && from && d < to.getRank(); ++d)
      if (from.isDynamicDim(d) && !to.isDynamicDim(d))
        require(op, tensor::DimOp::create(builder, op->getLoc(), cast.getSource(), d),
                arith::ConstantIndexOp::create(builder, op->getLoc(), to.getDimSize(d)),
                "dimension " + Twine(d) + " of the size that 'tensor.cast' gives it");
  } else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    inside(slice, slice.getSource());
  } else if (auto slice = dyn_cast<tensor::InsertSliceOp>(op)) {
    inside(slice, slice.getDest());
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    int64_t source = 0;
    for (auto [d, size] : llvm::enumerate(slice.getMixedSizes())) {
      if (dropped[d])
        continue;
      if (!getConstantIntValue(size) || slice.getSourceType().isDynamicDim(source))
        require(op, valueOf(op, size),
                tensor::DimOp::create(builder, op->getLoc(), slice.getSource(), source),
                "'tensor.insert_slice' to have all of its source in dimension " + Twine(d));
      ++source;
    }
  } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    builder.setInsertionPoint(op);
    SmallVector<OpFoldResult> sizes = expand.getMixedOutputShape();
    for (auto [d, group] : llvm::enumerate(expand.getReassociationIndices())) {
      if (!typeOf(expand.getSrc()).isDynamicDim(d) || group.size() == 1)
        continue;
      Value product = valueOf(op, sizes[group.front()]);
      for (int64_t part : llvm::drop_begin(group))
        product = arith::MulIOp::create(builder, op->getLoc(), product, valueOf(op, sizes[part]));
      require(op, product, tensor::DimOp::create(builder, op->getLoc(), expand.getSrc(), d),
              "parts that make up dimension " + Twine(d) + " of what 'tensor.expand_shape' splits");
    }
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
    if (checker.failed)
      signalPassFailure();
  }
};
} // namespace
