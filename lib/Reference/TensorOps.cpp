//===- TensorOps.cpp - the tensor dialect -----------------------------------------------------===//

#include "InterpreterImpl.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace ingot::reference {

void copyStrided(ArrayRef<int64_t> shape, const Scalar *source, ArrayRef<int64_t> sourceStrides,
                 Scalar *target, ArrayRef<int64_t> targetStrides) {
  if (shape.empty()) {
    *target = *source;
    return;
  }
  for (int64_t i = 0; i < shape[0]; ++i)
    copyStrided(shape.drop_front(), source + i * sourceStrides[0], sourceStrides.drop_front(),
                target + i * targetStrides[0], targetStrides.drop_front());
}

/// What an undefined element holds: a number that shows when it is used.
static Scalar undefined(NumberKind kind) {
  if (kind.isFloat)
    return makeFloat(std::numeric_limits<double>::quiet_NaN());
  return makeInt(wrapInteger(0x5A5A5A5A5A5A5A5A, kind.width));
}

namespace {

/// A part of a tensor: offsets, sizes and strides, checked against its shape.
struct Slice {
  SmallVector<int64_t> sizes, steps; // steps in elements of the tensor
  int64_t begin = 0;

  static std::optional<Slice> get(OffsetSizeAndStrideOpInterface op, const Tensor &whole,
                                  const Frame &frame) {
    SmallVector<int64_t> offsets = frame.integers(op.getMixedOffsets()),
                         strides = frame.integers(op.getMixedStrides());
    Slice slice;
    slice.sizes = frame.integers(op.getMixedSizes());
    SmallVector<int64_t, 4> elementStrides = stridesOf(whole.getShape());
    for (int64_t d = 0; d < whole.getRank(); ++d) {
      int64_t offset = offsets[d], size = slice.sizes[d], stride = strides[d], last;
      if (offset < 0 || size < 0 || stride < 0 || llvm::MulOverflow(size - 1, stride, last) ||
          llvm::AddOverflow(last, offset, last))
        return std::nullopt;
      if (size == 0 ? offset > whole.getDim(d) : last >= whole.getDim(d))
        return std::nullopt;
      slice.begin += offset * elementStrides[d];
      slice.steps.push_back(stride * elementStrides[d]);
    }
    return slice;
  }
};

class TensorExecutor {
public:
  TensorExecutor(Interpreter::Impl &impl, Frame &frame) : impl(impl), frame(frame) {}

  LogicalResult run(tensor::EmptyOp op) {
    FailureOr<Tensor> result =
        impl.create(op, frame.integers(op.getMixedSizes()), op.getType().getElementType());
    if (failed(result))
      return failure();
    MutableArrayRef<Scalar> elements = result->mutableElements();
    std::fill(elements.begin(), elements.end(), undefined(result->getKind()));
    return set(op, std::move(*result));
  }

  LogicalResult run(tensor::DimOp op) {
    const Tensor &source = frame.tensor(op.getSource());
    int64_t d = frame.integer(op.getIndex());
    if (d < 0 || d >= source.getRank())
      return impl.fail(op, "expected a dimension of " + source.describe() + ", got " + Twine(d));
    return set(op, Tensor::scalar(op.getType(), makeInt(source.getDim(d))));
  }

  LogicalResult run(tensor::RankOp op) {
    return set(op, Tensor::scalar(op.getType(), makeInt(frame.tensor(op.getTensor()).getRank())));
  }

  LogicalResult run(tensor::ExtractOp op) {
    const Tensor &source = frame.tensor(op.getTensor());
    FailureOr<int64_t> offset = offsetOf(op, source, op.getIndices());
    if (failed(offset))
      return failure();
    return set(op, Tensor::scalar(source.getElementType(), source.at(*offset)));
  }

  LogicalResult run(tensor::InsertOp op) {
    Tensor result = frame.tensor(op.getDest());
    FailureOr<int64_t> offset = offsetOf(op, result, op.getIndices());
    if (failed(offset))
      return failure();
    result.mutableElements()[*offset] = frame.tensor(op.getScalar()).at(0);
    return set(op, std::move(result));
  }

  LogicalResult run(tensor::CastOp op) { return set(op, frame.tensor(op.getSource())); }

  LogicalResult run(tensor::ExpandShapeOp op) {
    SmallVector<int64_t> shape = frame.integers(
        getMixedValues(op.getStaticOutputShape(), op.getOutputShape(), op.getContext()));
    const Tensor &source = frame.tensor(op.getSrc());
    // Each dimension of the source is the product of its group.
    for (auto [d, group] : llvm::enumerate(op.getReassociationIndices())) {
      SmallVector<int64_t> sizes;
      for (int64_t index : group)
        sizes.push_back(shape[index]);
      if (checkedProduct(sizes) != source.getDim(d))
        return impl.fail(op, "expected sizes that multiply to dimension " + Twine(d) + " of " +
                                 source.describe());
    }
    return set(op, source.reshaped(shape));
  }

  LogicalResult run(tensor::CollapseShapeOp op) {
    const Tensor &source = frame.tensor(op.getSrc());
    SmallVector<int64_t> shape;
    for (ReassociationIndices group : op.getReassociationIndices()) {
      int64_t size = 1;
      for (int64_t index : group)
        size *= source.getDim(index);
      shape.push_back(size);
    }
    return set(op, source.reshaped(shape));
  }

  LogicalResult run(tensor::ReshapeOp op) {
    const Tensor &sizes = frame.tensor(op.getShape());
    SmallVector<int64_t> shape;
    for (int64_t i = 0; i < sizes.getNumElements(); ++i)
      shape.push_back(sizes.intAt(i));
    const Tensor &source = frame.tensor(op.getSource());
    if (checkedProduct(shape) != source.getNumElements())
      return impl.fail(op, "expected sizes that multiply to the elements of " + source.describe());
    return set(op, source.reshaped(shape));
  }

  LogicalResult run(tensor::ExtractSliceOp op) {
    const Tensor &source = frame.tensor(op.getSource());
    std::optional<Slice> slice = Slice::get(op, source, frame);
    if (!slice)
      return impl.fail(op, "reaches outside of " + source.describe());
    FailureOr<Tensor> result = impl.create(op, slice->sizes, source.getElementType());
    if (failed(result))
      return failure();
    if (result->getNumElements())
      copyStrided(slice->sizes, source.elements().data() + slice->begin, slice->steps,
                  result->mutableElements().data(), stridesOf(slice->sizes));
    SmallVector<int64_t> shape;
    llvm::SmallBitVector dropped = op.getDroppedDims();
    for (auto [d, size] : llvm::enumerate(slice->sizes))
      if (!dropped.test(d))
        shape.push_back(size);
    if (checkedProduct(shape) != result->getNumElements())
      return impl.fail(op, "drops a dimension that is not 1");
    return set(op, result->reshaped(shape));
  }

  LogicalResult run(tensor::InsertSliceOp op) {
    const Tensor &source = frame.tensor(op.getSource());
    Tensor result = frame.tensor(op.getDest());
    std::optional<Slice> slice = Slice::get(op, result, frame);
    if (!slice)
      return impl.fail(op, "reaches outside of " + result.describe());
    if (!equalsUpToOnes(slice->sizes, source.getShape()))
      return impl.fail(op, "expected a source of the slice's sizes, got " + source.describe());
    if (source.getNumElements())
      copyStrided(slice->sizes, source.elements().data(), stridesOf(slice->sizes),
                  result.mutableElements().data() + slice->begin, slice->steps);
    return set(op, std::move(result));
  }

  LogicalResult run(tensor::ConcatOp op) {
    SmallVector<Tensor> sources;
    for (Value input : op.getInputs())
      sources.push_back(frame.tensor(input));
    Tensor result;
    if (failed(impl.concatenate(op, op.getDim(), sources, op.getResultType().getElementType(),
                                result)))
      return failure();
    return set(op, std::move(result));
  }

  LogicalResult run(tensor::PadOp op) {
    const Tensor &source = frame.tensor(op.getSource());
    SmallVector<int64_t> low = frame.integers(op.getMixedLowPad()),
                         high = frame.integers(op.getMixedHighPad()), shape;
    for (int64_t d = 0; d < source.getRank(); ++d) {
      if (low[d] < 0 || high[d] < 0)
        return impl.fail(op, "expected padding of at least 0, got " + Twine(low[d]) + " and " +
                                 Twine(high[d]));
      int64_t size;
      if (llvm::AddOverflow(source.getDim(d), low[d], size) ||
          llvm::AddOverflow(size, high[d], size))
        return impl.fail(op, "expected less padding");
      shape.push_back(size);
    }
    FailureOr<Tensor> result = generate(op, shape, op.getRegion().front());
    if (failed(result))
      return failure();
    SmallVector<int64_t, 4> strides = stridesOf(shape);
    int64_t begin = 0;
    for (int64_t d = 0; d < source.getRank(); ++d)
      begin += low[d] * strides[d];
    if (source.getNumElements())
      copyStrided(source.getShape(), source.elements().data(), stridesOf(source.getShape()),
                  result->mutableElements().data() + begin, strides);
    return set(op, std::move(*result));
  }

  LogicalResult run(tensor::GenerateOp op) {
    SmallVector<int64_t> shape;
    unsigned next = 0;
    for (int64_t size : op.getType().getShape())
      shape.push_back(ShapedType::isDynamic(size) ? frame.integer(op.getDynamicExtents()[next++])
                                                  : size);
    FailureOr<Tensor> result = generate(op, shape, op.getBody().front());
    return failed(result) ? failure() : set(op, std::move(*result));
  }

  LogicalResult run(tensor::SplatOp op) {
    SmallVector<int64_t> shape;
    unsigned next = 0;
    for (int64_t size : op.getType().getShape())
      shape.push_back(ShapedType::isDynamic(size) ? frame.integer(op.getDynamicSizes()[next++])
                                                  : size);
    FailureOr<Tensor> result = impl.create(op, shape, op.getType().getElementType());
    if (failed(result))
      return failure();
    MutableArrayRef<Scalar> elements = result->mutableElements();
    std::fill(elements.begin(), elements.end(), frame.tensor(op.getInput()).at(0));
    return set(op, std::move(*result));
  }

  LogicalResult run(tensor::FromElementsOp op) {
    FailureOr<Tensor> result =
        impl.create(op, op.getType().getShape(), op.getType().getElementType());
    if (failed(result))
      return failure();
    for (auto [element, value] : llvm::zip(result->mutableElements(), op.getElements()))
      element = frame.tensor(value).at(0);
    return set(op, std::move(*result));
  }

private:
  LogicalResult set(Operation *op, Tensor value) {
    return impl.setResult(op, 0, std::move(value), frame);
  }

  FailureOr<int64_t> offsetOf(Operation *op, const Tensor &tensor, ValueRange indices) {
    int64_t offset = 0;
    for (auto [d, value] : llvm::enumerate(indices)) {
      int64_t index = frame.integer(value);
      if (index < 0 || index >= tensor.getDim(d)) {
        (void)impl.fail(op, "expected index " + Twine(d) + " inside " + tensor.describe() +
                                ", got " + Twine(index));
        return failure();
      }
      offset = offset * tensor.getDim(d) + index;
    }
    return offset;
  }

  static bool equalsUpToOnes(ArrayRef<int64_t> a, ArrayRef<int64_t> b) {
    auto notOne = [](int64_t size) { return size != 1; };
    SmallVector<int64_t> x, y;
    llvm::copy_if(a, std::back_inserter(x), notOne);
    llvm::copy_if(b, std::back_inserter(y), notOne);
    return x == y;
  }

  /// Evaluates `block` at every index.
  FailureOr<Tensor> generate(Operation *op, ArrayRef<int64_t> shape, Block &block) {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    FailureOr<Tensor> result = impl.create(op, shape, type.getElementType());
    if (failed(result) || !result->getNumElements())
      return result;
    Body body(impl, block, frame);
    SmallVector<int64_t> index(shape.size(), 0);
    for (Scalar &element : result->mutableElements()) {
      for (auto [d, value] : llvm::enumerate(index))
        body.argument(d) = makeInt(value);
      if (failed(body.run()))
        return failure();
      element = body.result(0);
      nextIndex(index, shape);
    }
    return result;
  }

  Interpreter::Impl &impl;
  Frame &frame;
};

} // namespace

LogicalResult Interpreter::Impl::concatenate(Operation *op, int64_t dim, ArrayRef<Tensor> sources,
                                             Type elementType, Tensor &result) {
  SmallVector<int64_t> shape(sources.front().getShape());
  shape[dim] = 0;
  for (const Tensor &source : sources) {
    for (int64_t d = 0; d < source.getRank(); ++d)
      if (d != dim && source.getDim(d) != shape[d])
        return fail(op, "expected equal sizes but for dimension " + Twine(dim) + ", got " +
                            sources.front().describe() + " and " + source.describe());
    shape[dim] += source.getDim(dim);
  }
  if (std::optional<Tensor> joined = Tensor::stackViews(sources); joined && dim == 0) {
    result = std::move(*joined);
    return success();
  }
  FailureOr<Tensor> created = create(op, shape, elementType);
  if (failed(created))
    return failure();
  result = std::move(*created);
  SmallVector<int64_t, 4> strides = stridesOf(shape);
  Scalar *target = result.mutableElements().data();
  for (const Tensor &source : sources) {
    if (!source.getNumElements())
      continue;
    copyStrided(source.getShape(), source.elements().data(), stridesOf(source.getShape()), target,
                strides);
    target += source.getDim(dim) * strides[dim];
  }
  return success();
}

LogicalResult Interpreter::Impl::executeTensor(Operation *op, Frame &frame) {
  TensorExecutor executor(*this, frame);
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<tensor::EmptyOp, tensor::DimOp, tensor::RankOp, tensor::ExtractOp, tensor::InsertOp,
            tensor::CastOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::ReshapeOp,
            tensor::ExtractSliceOp, tensor::InsertSliceOp, tensor::ConcatOp, tensor::PadOp,
            tensor::GenerateOp, tensor::SplatOp, tensor::FromElementsOp>(
          [&](auto concrete) { return executor.run(concrete); })
      .Default([&](Operation *) { return unsupported(op); });
}

} // namespace ingot::reference
