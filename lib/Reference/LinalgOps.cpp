//===- LinalgOps.cpp - the linalg dialect -----------------------------------------------------===//
//
// Every structured operation, named or generic, is what linalg.generic says: its body evaluated
// over the iteration space in row-major order.
//
//===----------------------------------------------------------------------------------------===//

#include "InterpreterImpl.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include <cmath>

using namespace mlir;

namespace ingot::reference {

template <typename T> void softmaxInPlace(MutableArrayRef<T> row) {
  if (row.empty())
    return;
  T largest = row[0];
  for (T x : row)
    largest = x > largest ? x : largest;
  for (T &x : row)
    x = std::exp(x - largest);
  T sum = sumOf16<T>(row.size(), [&](int64_t i) { return row[i]; });
  for (T &x : row)
    x /= sum;
}
template void softmaxInPlace(MutableArrayRef<double> row);
template void softmaxInPlace(MutableArrayRef<float> row);

namespace {

/// One operand of a structured operation.
struct Access {
  AffineMap map;
  Tensor tensor;
  Scalar *target = nullptr; // of an output
  /// The offset is the sum of position[d] * steps[d] where the map only permutes and drops loops;
  /// such an access is inside the tensor by the choice of the loop's sizes.
  bool simple = false;
  SmallVector<int64_t, 4> steps;

  void prepare() {
    simple = llvm::all_of(map.getResults(), [](AffineExpr e) { return isa<AffineDimExpr>(e); });
    steps.assign(map.getNumDims(), 0);
    if (!simple)
      return;
    SmallVector<int64_t, 4> strides = stridesOf(tensor.getShape());
    for (auto [result, stride] : llvm::zip(map.getResults(), strides))
      steps[cast<AffineDimExpr>(result).getPosition()] += stride;
  }

  /// Nothing where the position is outside of the tensor.
  std::optional<int64_t> offset(ArrayRef<int64_t> position) const {
    int64_t result = 0;
    if (simple) {
      for (auto [index, step] : llvm::zip(position, steps))
        result += index * step;
      return result;
    }
    SmallVector<int64_t, 4> indices = map.compose(position);
    for (auto [index, size] : llvm::zip(indices, tensor.getShape())) {
      if (index < 0 || index >= size)
        return std::nullopt;
      result = result * size + index;
    }
    return result;
  }
};

} // namespace

/// The size of every loop, from the operands that it indexes directly.
static LogicalResult findLoopSizes(Interpreter::Impl &impl, Operation *op,
                                   ArrayRef<Access> accesses, MutableArrayRef<int64_t> sizes) {
  std::fill(sizes.begin(), sizes.end(), -1);
  for (const Access &access : accesses)
    for (auto [d, expr] : llvm::enumerate(access.map.getResults())) {
      auto loop = dyn_cast<AffineDimExpr>(expr);
      if (!loop)
        continue;
      int64_t &size = sizes[loop.getPosition()], here = access.tensor.getDim(d);
      if (size >= 0 && size != here)
        return impl.fail(op, "expected operands of one size along loop " +
                                 Twine(loop.getPosition()) + ", got " + Twine(size) + " and " +
                                 Twine(here));
      size = here;
    }
  for (auto [loop, size] : llvm::enumerate(sizes))
    if (size < 0)
      return impl.fail(op, "expected an operand that gives the size of loop " + Twine(loop));
  return success();
}

static LogicalResult executeStructured(Interpreter::Impl &impl, linalg::LinalgOp op, Frame &frame) {
  if (!op.hasPureTensorSemantics())
    return impl.unsupported(op);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<Access> accesses(op->getNumOperands());
  unsigned firstOutput = op.getNumDpsInputs();
  for (auto [number, access] : llvm::enumerate(accesses)) {
    access.map = maps[number];
    access.tensor = frame.tensor(op->getOperand(number));
    if (number >= firstOutput)
      access.target = access.tensor.mutableElements().data();
    access.prepare();
  }
  SmallVector<int64_t> sizes(op.getNumLoops());
  if (failed(findLoopSizes(impl, op, accesses, sizes)))
    return failure();

  Body body(impl, *op.getBlock(), frame);
  SmallVector<int64_t> position(sizes.size(), 0), offsets(accesses.size());
  bool any = checkedProduct(sizes) != int64_t(0);
  while (any) {
    for (auto [number, access] : llvm::enumerate(accesses)) {
      std::optional<int64_t> offset = access.offset(position);
      if (!offset)
        return impl.fail(op, "reaches outside of operand " + Twine(number) + ", " +
                                 access.tensor.describe());
      offsets[number] = *offset;
      // The body of linalg.map may leave out the outputs.
      if (number < body.getNumArguments())
        body.argument(number) = access.target ? access.target[*offset] : access.tensor.at(*offset);
    }
    if (failed(body.run(position)))
      return failure();
    for (unsigned output = firstOutput; output < accesses.size(); ++output)
      accesses[output].target[offsets[output]] = body.result(output - firstOutput);
    any = nextIndex(position, sizes);
  }
  for (unsigned result = 0; result < op->getNumResults(); ++result)
    if (failed(impl.setResult(op, result, std::move(accesses[firstOutput + result].tensor), frame)))
      return failure();
  return success();
}

LogicalResult Interpreter::Impl::executeLinalg(Operation *op, Frame &frame) {
  if (auto index = dyn_cast<linalg::IndexOp>(op)) {
    if (positions.empty() || index.getDim() >= positions.back().size())
      return fail(op, "expected a loop of this number");
    return setResult(
        op, 0,
        Tensor::scalar(op->getResult(0).getType(), makeInt(positions.back()[index.getDim()])),
        frame);
  }
  if (auto softmax = dyn_cast<linalg::SoftmaxOp>(op)) {
    if (!softmax.hasPureTensorSemantics())
      return unsupported(op);
    Tensor result;
    if (failed(
            executeSoftmax(op, frame.tensor(softmax.getInput()), softmax.getDimension(), result)))
      return failure();
    return setResult(op, 0, std::move(result), frame);
  }
  if (auto structured = dyn_cast<linalg::LinalgOp>(op))
    return executeStructured(*this, structured, frame);
  return unsupported(op);
}

} // namespace ingot::reference
