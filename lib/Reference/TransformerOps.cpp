//===- TransformerOps.cpp - the tfm dialect but for attention ---------------------------------===//

#include "InterpreterImpl.h"
#include "Products.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace ingot::reference {

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// The right side of a product: [K, N], or [N, K] with `transposed`, from element `begin` of
/// `tensor`.
template <typename T>
static void multiplyBy(const std::vector<T> &a, int64_t rows, int64_t inner, int64_t columns,
                       const Tensor &b, int64_t begin, bool transposed, T *c) {
  std::vector<T> row(transposed ? inner : std::min(kPanel, columns));
  multiply<T>(
      a.data(), rows, inner, columns,
      [&](int64_t first, int64_t count, T *panel) {
        if (transposed) {
          for (int64_t n = 0; n < count; ++n) {
            b.read<T>(begin + (first + n) * inner, row);
            for (int64_t k = 0; k < inner; ++k)
              panel[k * kPanel + n] = row[k];
          }
          return;
        }
        for (int64_t k = 0; k < inner; ++k)
          b.read<T>(begin + k * columns + first, MutableArrayRef<T>(panel + k * kPanel, count));
      },
      c);
}

template <typename T>
static LogicalResult executeLinear(Interpreter::Impl &impl, tfm::LinearOp op, Frame &frame) {
  const Tensor &x = frame.tensor(op.getX()), &weight = frame.tensor(op.getWeight());
  int64_t columns = op.getN(), inner = op.getK();
  if (x.getShape().back() != inner)
    return impl.fail(op, "expected rows of " + Twine(inner) + " elements, got " + x.describe());
  SmallVector<int64_t> shape(x.getShape());
  shape.back() = columns;
  FailureOr<Tensor> result = impl.create(op, shape, op.getResult().getType().getElementType());
  if (failed(result))
    return failure();
  int64_t rows = inner ? x.getNumElements() / inner : *checkedProduct(ArrayRef(shape).drop_back());
  std::vector<T> a(x.getNumElements()), c(rows * columns), bias(columns);
  x.read<T>(0, a);
  multiplyBy<T>(a, rows, inner, columns, weight, 0, !op.getTransposed(), c.data());
  if (op.getBias()) {
    frame.tensor(op.getBias()).read<T>(0, bias);
    for (int64_t m = 0; m < rows; ++m)
      for (int64_t n = 0; n < columns; ++n)
        c[m * columns + n] += bias[n];
  }
  impl.store<T>(c, *result);
  return impl.setResult(op, 0, std::move(*result), frame);
}

template <typename T>
static LogicalResult executeMatmul(Interpreter::Impl &impl, tfm::MatmulOp op, Frame &frame) {
  const Tensor &a = frame.tensor(op.getA()), &b = frame.tensor(op.getB());
  int64_t rank = a.getRank(), rows = a.getDim(rank - 2), inner = a.getDim(rank - 1);
  bool transposed = op.getTransposeB();
  int64_t columns = b.getDim(transposed ? rank - 2 : rank - 1);
  if (b.getDim(transposed ? rank - 1 : rank - 2) != inner ||
      a.getShape().drop_back(2) != b.getShape().drop_back(2))
    return impl.fail(op, "expected [..., M, K] times [..., K, N], got " + a.describe() + " and " +
                             b.describe() + (transposed ? " (transposed)" : ""));
  SmallVector<int64_t> shape(a.getShape());
  shape.back() = columns;
  FailureOr<Tensor> result = impl.create(op, shape, op.getResult().getType().getElementType());
  if (failed(result))
    return failure();
  std::vector<T> left(rows * inner), c(result->getNumElements());
  int64_t batches = *checkedProduct(a.getShape().drop_back(2));
  for (int64_t batch = 0; batch < batches; ++batch) {
    a.read<T>(batch * rows * inner, left);
    multiplyBy<T>(left, rows, inner, columns, b, batch * inner * columns, transposed,
                  c.data() + batch * rows * columns);
  }
  impl.store<T>(c, *result);
  return impl.setResult(op, 0, std::move(*result), frame);
}

//===----------------------------------------------------------------------===//
// Row operations
//===----------------------------------------------------------------------===//

template <typename T>
static void softmaxAlong(std::vector<T> &values, ArrayRef<int64_t> shape, int64_t dim) {
  int64_t size = shape[dim], step = stridesOf(shape)[dim];
  std::vector<T> row(size);
  if (values.empty())
    return;
  for (int64_t begin = 0; begin < int64_t(values.size()); ++begin) {
    if (begin / step % size != 0) // not the first element of a row
      continue;
    for (int64_t i = 0; i < size; ++i)
      row[i] = values[begin + i * step];
    softmaxInPlace<T>(row);
    for (int64_t i = 0; i < size; ++i)
      values[begin + i * step] = row[i];
  }
}

LogicalResult Interpreter::Impl::executeSoftmax(Operation *op, const Tensor &x, int64_t dim,
                                                Tensor &result) {
  FailureOr<Tensor> created = create(op, x.getShape(), x.getElementType());
  if (failed(created))
    return failure();
  result = std::move(*created);
  auto run = [&](auto zero) {
    std::vector<decltype(zero)> values(x.getNumElements());
    x.read<decltype(zero)>(0, values);
    softmaxAlong(values, x.getShape(), dim);
    store<decltype(zero)>(values, result);
  };
  if (!x.isFloat())
    return unsupported(op);
  if (computesInDouble(x.getElementType()))
    run(double(0));
  else
    run(float(0));
  return success();
}

/// rms_norm (no mean is subtracted) and layer_norm.
template <typename T>
static LogicalResult executeNorm(Interpreter::Impl &impl, Operation *op, Value xValue, Value weight,
                                 Value bias, double eps, bool centred, Frame &frame) {
  const Tensor &x = frame.tensor(xValue);
  int64_t size = x.getShape().back();
  FailureOr<Tensor> result = impl.create(op, x.getShape(), x.getElementType());
  if (failed(result))
    return failure();
  std::vector<T> values(x.getNumElements()), weights(size, T(1)), biases(size, T(0));
  x.read<T>(0, values);
  if (weight)
    frame.tensor(weight).read<T>(0, weights);
  if (bias)
    frame.tensor(bias).read<T>(0, biases);
  for (int64_t begin = 0; begin < int64_t(values.size()); begin += size) {
    T *row = values.data() + begin;
    if (centred) {
      T mean = sumOf16<T>(size, [&](int64_t i) { return row[i]; }) / T(size);
      for (int64_t i = 0; i < size; ++i)
        row[i] -= mean;
    }
    T square = sumOf16<T>(size, [&](int64_t i) { return row[i] * row[i]; }) / T(size);
    T deviation = std::sqrt(square + T(eps));
    for (int64_t i = 0; i < size; ++i) {
      row[i] = row[i] / deviation * weights[i];
      if (bias)
        row[i] += biases[i];
    }
  }
  impl.store<T>(values, *result);
  return impl.setResult(op, 0, std::move(*result), frame);
}

template <typename T>
static LogicalResult executeRotary(Interpreter::Impl &impl, tfm::RotaryOp op, Frame &frame) {
  const Tensor &x = frame.tensor(op.getX()), &cosines = frame.tensor(op.getCos()),
               &sines = frame.tensor(op.getSin());
  int64_t rows = x.getDim(0), heads = x.getDim(1), size = x.getDim(2), half = cosines.getDim(1);
  if (cosines.getDim(0) != rows || sines.getDim(0) != rows)
    return impl.fail(op, "expected one row of cosines and sines per token, got " +
                             cosines.describe() + " and " + sines.describe() + " for " +
                             x.describe());
  FailureOr<Tensor> result = impl.create(op, x.getShape(), x.getElementType());
  if (failed(result))
    return failure();
  std::vector<T> values(x.getNumElements()), c(cosines.getNumElements()), s(sines.getNumElements());
  x.read<T>(0, values);
  cosines.read<T>(0, c);
  sines.read<T>(0, s);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t i = 0; i < half; ++i) {
        T *vector = values.data() + (row * heads + head) * size;
        T &first = vector[op.getInterleaved() ? 2 * i : i],
          &second = vector[op.getInterleaved() ? 2 * i + 1 : i + half];
        T a = first, b = second, cosine = c[row * half + i], sine = s[row * half + i];
        first = a * cosine - b * sine;
        second = b * cosine + a * sine;
      }
  impl.store<T>(values, *result);
  return impl.setResult(op, 0, std::move(*result), frame);
}

//===----------------------------------------------------------------------===//
// Weights, indices and batches
//===----------------------------------------------------------------------===//

static LogicalResult executeParameter(Interpreter::Impl &impl, tfm::ParameterOp op, Frame &frame) {
  if (!impl.options.parameters)
    return impl.fail(op,
                     "needs the weight '" + op.getName() + "', and no source of weights is set");
  auto type = cast<RankedTensorType>(op.getResult().getType());
  std::optional<NumberKind> kind = getNumberKind(type.getElementType());
  if (!kind)
    return impl.unsupported(op);
  std::optional<int64_t> bytes = tfm::getStorageBytes(type);
  if (!bytes)
    return impl.fail(op, "expected fewer elements");
  llvm::Expected<ArrayRef<uint8_t>> data =
      impl.options.parameters->resolve(op.getFile(), op.getOffset(), *bytes, type.getElementType());
  if (!data)
    return impl.fail(op, "cannot read '" + op.getName() + "': " + toString(data.takeError()));
  llvm::Expected<Tensor> tensor = Tensor::view(type.getShape(), type.getElementType(), *data);
  if (!tensor)
    return impl.fail(op, "cannot read '" + op.getName() + "': " + toString(tensor.takeError()));
  return impl.setResult(op, 0, std::move(*tensor), frame);
}

/// Sets the result to numbers in a storage format, each row rounded to it.
static LogicalResult setRounded(Interpreter::Impl &impl, Operation *op, ArrayRef<int64_t> shape,
                                Type elementType, ArrayRef<float> numbers, Frame &frame) {
  formats::Format format = *tfm::getStorageFormat(elementType);
  size_t columns = shape.empty() ? 1 : shape.back(), rowBytes = formats::bytesOf(format, columns);
  size_t rows = columns ? numbers.size() / columns : 0;
  std::vector<uint8_t> bytes(rows * rowBytes);
  for (size_t row = 0; row < rows; ++row)
    formats::encode(format, numbers.data() + row * columns, columns, bytes.data() + row * rowBytes);
  llvm::Expected<Tensor> result = Tensor::ofBytes(shape, elementType, std::move(bytes));
  if (!result)
    return impl.fail(op, toString(result.takeError()));
  return impl.setResult(op, 0, std::move(*result), frame);
}

static LogicalResult executeConvertWeight(Interpreter::Impl &impl, tfm::ConvertWeightOp op,
                                          Frame &frame) {
  const Tensor &weight = frame.tensor(op.getWeight());
  auto type = cast<RankedTensorType>(op.getResult().getType());
  std::vector<float> numbers(weight.getNumElements());
  weight.read<float>(0, numbers);
  if (op.getTransposed()) {
    std::vector<float> stored = std::move(numbers);
    numbers.resize(stored.size());
    int64_t rows = type.getDimSize(0), columns = type.getDimSize(1);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c)
        numbers[r * columns + c] = stored[c * rows + r];
  }
  return setRounded(impl, op, type.getShape(), type.getElementType(), numbers, frame);
}

static LogicalResult executeQuantize(Interpreter::Impl &impl, tfm::QuantizeOp op, Frame &frame) {
  const Tensor &x = frame.tensor(op.getX());
  std::vector<float> numbers(x.getNumElements());
  x.read<float>(0, numbers);
  return setRounded(impl, op, x.getShape(), op.getType().getElementType(), numbers, frame);
}

static LogicalResult executeScaleWeight(Interpreter::Impl &impl, tfm::ScaleWeightOp op,
                                        Frame &frame) {
  const Tensor &weight = frame.tensor(op.getWeight()), &scales = frame.tensor(op.getScales());
  formats::Scaling scaling = op.getScaling();
  // The bytes as they are stored.
  std::vector<uint8_t> elements(weight.getNumElements());
  for (size_t i = 0; i < elements.size(); ++i)
    elements[i] = uint8_t(weight.intAt(i));
  std::vector<uint8_t> factors(scales.getNumElements() * scaling.scaleBytes());
  for (int64_t i = 0; i < scales.getNumElements(); ++i) {
    if (!scaling.scales) {
      factors[i] = uint8_t(scales.intAt(i));
      continue;
    }
    float factor = float(scales.floatAt(i));
    formats::encode(*scaling.scales, &factor, 1, factors.data() + i * scaling.scaleBytes());
  }
  auto type = cast<RankedTensorType>(op.getResult().getType());
  std::vector<float> numbers(type.getNumElements());
  formats::decodeScaled(scaling, elements.data(), factors.data(), 0, numbers.size(),
                        numbers.data());
  return setRounded(impl, op, type.getShape(), type.getElementType(), numbers, frame);
}

/// tfm.positions and tfm.prompt_lengths: a number for every row, from its sequence and its number
/// in that.
template <typename Op>
static LogicalResult
executePerRow(Interpreter::Impl &impl, Op op, Frame &frame,
              function_ref<int64_t(const Batch::Sequence &, int64_t)> numberOf) {
  const Tensor &tokens = frame.tensor(op.getTokens());
  int64_t rows = tokens.getRank() ? tokens.getDim(0) : 0;
  FailureOr<Tensor> result = impl.create(op, {rows}, op.getResult().getType().getElementType());
  if (failed(result))
    return failure();
  Batch batch = op.getBatch() ? frame.batch(op.getBatch()) : Batch::pack({rows}, {0});
  if (batch.getTokens() != rows)
    return impl.fail(op, "expected the rows of the batch, " + Twine(batch.getTokens()) + ", got " +
                             tokens.describe());
  for (const Batch::Sequence &sequence : batch.sequences)
    for (int64_t i = 0; i < sequence.rowCount; ++i)
      result->mutableElements()[sequence.rowBegin + i].i = numberOf(sequence, i);
  return impl.setResult(op, 0, std::move(*result), frame);
}

static LogicalResult executeEmbedding(Interpreter::Impl &impl, tfm::EmbeddingOp op, Frame &frame) {
  const Tensor &ids = frame.tensor(op.getIds()), &table = frame.tensor(op.getTable());
  int64_t columns = table.getDim(1);
  FailureOr<Tensor> result =
      impl.create(op, {ids.getNumElements(), columns}, op.getResult().getType().getElementType());
  if (failed(result))
    return failure();
  for (int64_t t = 0; t < ids.getNumElements(); ++t) {
    int64_t id = ids.intAt(t);
    if (id < 0 || id >= table.getDim(0))
      return impl.fail(op, "expected ids of rows of " + table.describe() + ", got " + Twine(id));
    for (int64_t i = 0; i < columns; ++i)
      result->mutableElements()[t * columns + i] = table.at(id * columns + i);
  }
  return impl.setResult(op, 0, std::move(*result), frame);
}

static int64_t sizeOfBatch(const Batch &batch, tfm::BatchDimKind kind, int64_t window,
                           int64_t queryBlock) {
  int64_t size = 0;
  switch (kind) {
  case tfm::BatchDimKind::Tokens:
    return batch.getTokens();
  case tfm::BatchDimKind::Sequences:
    return batch.sequences.size();
  case tfm::BatchDimKind::Outputs:
    return batch.outputRows.size();
  case tfm::BatchDimKind::Keys:
    // The first row of a step reaches `window` keys back, the others follow it.
    for (const Batch::Sequence &sequence : batch.sequences)
      size += window
                  ? std::min(sequence.keyEnd, window + std::max<int64_t>(sequence.rowCount, 1) - 1)
                  : sequence.keyEnd;
    return size;
  case tfm::BatchDimKind::Pairs:
    for (const Batch::Sequence &sequence : batch.sequences)
      for (int64_t i = 0; i < sequence.rowCount; ++i) {
        int64_t keys = std::min(sequence.position + i + 1, sequence.keyEnd);
        size += window ? std::min(keys, window) : keys;
      }
    return size;
  case tfm::BatchDimKind::AllPairs:
    for (const Batch::Sequence &sequence : batch.sequences)
      size += sequence.rowCount * sequence.keyEnd;
    return size;
  case tfm::BatchDimKind::Pages:
    for (const Batch::Sequence &sequence : batch.sequences)
      size += llvm::divideCeil(sequence.keyEnd, 64);
    return size;
  case tfm::BatchDimKind::Items:
    for (const Batch::Sequence &sequence : batch.sequences)
      size += llvm::divideCeil(sequence.rowCount, queryBlock);
    return size;
  }
  return size;
}

static LogicalResult executeUniformBatch(Interpreter::Impl &impl, tfm::UniformBatchOp op,
                                         Frame &frame) {
  int64_t sequences = frame.integer(op.getSequences()), rows = frame.integer(op.getRows()),
          keys = frame.integer(op.getKeys());
  std::optional<int64_t> tokens = checkedProduct({sequences, rows});
  if (sequences < 0 || rows < 0 || keys < 0 || sequences > Tensor::maxElements() || !tokens ||
      *tokens > Tensor::maxElements())
    return impl.fail(op, "expected sizes of a batch, got " + Twine(sequences) + ", " + Twine(rows) +
                             " and " + Twine(keys));
  return impl.setResult(op, 0, Batch::uniform(sequences, rows, keys), frame);
}

static LogicalResult executeGatherOutputs(Interpreter::Impl &impl, tfm::GatherOutputsOp op,
                                          Frame &frame) {
  const Tensor &x = frame.tensor(op.getX());
  const Batch &batch = frame.batch(op.getBatch());
  SmallVector<int64_t> shape(x.getShape());
  shape[0] = batch.outputRows.size();
  FailureOr<Tensor> result = impl.create(op, shape, x.getElementType());
  if (failed(result))
    return failure();
  int64_t size = *checkedProduct(x.getShape().drop_front());
  for (auto [i, row] : llvm::enumerate(batch.outputRows)) {
    if (row < 0 || row >= x.getDim(0))
      return impl.fail(op, "expected a wanted row of " + x.describe() + ", got " + Twine(row));
    for (int64_t k = 0; k < size; ++k)
      result->mutableElements()[i * size + k] = x.at(row * size + k);
  }
  return impl.setResult(op, 0, std::move(*result), frame);
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

LogicalResult Interpreter::Impl::executeTransformer(Operation *op, Frame &frame) {
  // Composite operations compute in double or in float.
  bool wide = op->getNumResults() == 1 &&
              computesInDouble(getElementTypeOrSelf(op->getResult(0).getType()));
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](tfm::ParameterOp op) { return executeParameter(*this, op, frame); })
      .Case([&](tfm::ConvertWeightOp op) { return executeConvertWeight(*this, op, frame); })
      .Case([&](tfm::ScaleWeightOp op) { return executeScaleWeight(*this, op, frame); })
      .Case([&](tfm::QuantizeOp op) { return executeQuantize(*this, op, frame); })
      .Case([&](tfm::PositionsOp op) {
        return executePerRow(*this, op, frame, [](const Batch::Sequence &sequence, int64_t row) {
          return sequence.position + row;
        });
      })
      .Case([&](tfm::PromptLengthsOp op) {
        return executePerRow(*this, op, frame, [](const Batch::Sequence &sequence, int64_t) {
          return sequence.prompt;
        });
      })
      .Case([&](tfm::EmbeddingOp op) { return executeEmbedding(*this, op, frame); })
      .Case([&](tfm::LinearOp op) {
        return wide ? executeLinear<double>(*this, op, frame)
                    : executeLinear<float>(*this, op, frame);
      })
      .Case([&](tfm::MatmulOp op) {
        return wide ? executeMatmul<double>(*this, op, frame)
                    : executeMatmul<float>(*this, op, frame);
      })
      .Case([&](tfm::SoftmaxOp op) {
        Tensor result;
        if (failed(executeSoftmax(op, frame.tensor(op.getX()), op.getDim(), result)))
          return failure();
        return setResult(op, 0, std::move(result), frame);
      })
      .Case([&](tfm::RMSNormOp op) {
        auto run = wide ? executeNorm<double> : executeNorm<float>;
        return run(*this, op, op.getX(), op.getWeight(), Value(), op.getEps().convertToDouble(),
                   false, frame);
      })
      .Case([&](tfm::LayerNormOp op) {
        auto run = wide ? executeNorm<double> : executeNorm<float>;
        return run(*this, op, op.getX(), op.getWeight(), op.getBias(),
                   op.getEps().convertToDouble(), true, frame);
      })
      .Case([&](tfm::RotaryOp op) {
        return wide ? executeRotary<double>(*this, op, frame)
                    : executeRotary<float>(*this, op, frame);
      })
      .Case([&](tfm::BatchDimOp op) {
        int64_t size = sizeOfBatch(frame.batch(op.getBatch()), op.getKind(), op.getWindow(),
                                   options.queryBlock);
        return setResult(op, 0, Tensor::scalar(op.getType(), makeInt(size)), frame);
      })
      .Case([&](tfm::UniformBatchOp op) { return executeUniformBatch(*this, op, frame); })
      .Case([&](tfm::GatherOutputsOp op) { return executeGatherOutputs(*this, op, frame); })
      .Case<tfm::RouteOp, tfm::ExpertLinearOp, tfm::CombineOp>(
          [&](auto op) { return executeExperts(op, frame); })
      .Default([&](Operation *) { return executeAttention(op, frame); });
}

} // namespace ingot::reference
