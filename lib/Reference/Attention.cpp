//===- Attention.cpp - batches, caches and attention ------------------------------------------===//

#include "InterpreterImpl.h"
#include "Products.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"

using namespace mlir;

namespace ingot::reference {

//===----------------------------------------------------------------------===//
// Batches
//===----------------------------------------------------------------------===//

Batch Batch::pack(ArrayRef<int64_t> rows, ArrayRef<int64_t> positions, ArrayRef<int64_t> prompts) {
  assert(rows.size() == positions.size() && (prompts.empty() || prompts.size() == rows.size()));
  Batch batch;
  int64_t next = 0;
  for (auto [b, count, position] : llvm::enumerate(rows, positions)) {
    int64_t end = position + count;
    batch.sequences.push_back({next, count, position, end, prompts.empty() ? end : prompts[b]});
    for (int64_t i = 0; i < count; ++i)
      batch.outputRows.push_back(next + i);
    next += count;
  }
  return batch;
}

Batch Batch::uniform(int64_t sequences, int64_t rows, int64_t keys) {
  SmallVector<int64_t> counts(sequences, rows), positions(sequences, 0);
  Batch batch = pack(counts, positions);
  for (Sequence &sequence : batch.sequences)
    sequence.keyEnd = keys;
  return batch;
}

//===----------------------------------------------------------------------===//
// Caches
//===----------------------------------------------------------------------===//

Cache::Cache(tfm::CacheType type, int64_t sequences)
    : type(type), storage(std::make_shared<Storage>()) {
  storage->sequences.resize(sequences);
}

int64_t Cache::getLength(int64_t b) const {
  return storage->sequences[b].keys.size() / (getHeads() * getKeySize());
}

void Cache::append(int64_t b, int64_t position, ArrayRef<double> k, ArrayRef<double> v) {
  assert(position <= getLength(b));
  Sequence &sequence = storage->sequences[b];
  sequence.keys.resize(position * k.size());
  sequence.values.resize(position * v.size());
  sequence.keys.insert(sequence.keys.end(), k.begin(), k.end());
  sequence.values.insert(sequence.values.end(), v.begin(), v.end());
}

ArrayRef<double> Cache::getKey(int64_t b, int64_t position, int64_t head) const {
  int64_t size = getKeySize();
  return ArrayRef(storage->sequences[b].keys).slice((position * getHeads() + head) * size, size);
}

ArrayRef<double> Cache::getValue(int64_t b, int64_t position, int64_t head) const {
  int64_t size = getValueSize();
  if (type.getValuesInKeys())
    return getKey(b, position, head).take_front(size);
  return ArrayRef(storage->sequences[b].values).slice((position * getHeads() + head) * size, size);
}

Cache Cache::clone() const {
  Cache copy = *this;
  copy.storage = std::make_shared<Storage>(*storage);
  return copy;
}

/// Rows of a cache of i8 as they are read back: whole multiples of the largest magnitude / 127, in
/// f32.
static void quantise(std::vector<double> &rows, int64_t size) {
  for (auto head = rows.begin(); head != rows.end(); head += size) {
    float largest = 0, check = 0;
    for (auto x = head; x != head + size; ++x) {
      largest = std::max(largest, std::fabs(float(*x)));
      check += float(*x) * 0; // a NaN where a number is not finite
    }
    float unit = largest / 127 + check;
    for (auto x = head; x != head + size; ++x)
      *x = unit == 0 ? 0 : float(unit * std::nearbyint(float(*x) / unit));
  }
}

static LogicalResult executeAppend(Interpreter::Impl &impl, tfm::CacheAppendOp op, Frame &frame) {
  Cache cache = frame.cache(op.getCache());
  const Tensor &k = frame.tensor(op.getK());
  const Tensor *v = op.getV() ? &frame.tensor(op.getV()) : nullptr;
  const Batch &batch = frame.batch(op.getBatch());
  if (cache.isStale())
    return impl.fail(op, "appends to a version of the cache that was appended to before");
  if (k.getDim(0) != batch.getTokens() || (v && v->getDim(0) != batch.getTokens()))
    return impl.fail(op, "expected one row per token of the batch, " + Twine(batch.getTokens()) +
                             ", got " + k.describe() + (v ? " and " + v->describe() : ""));
  if (int64_t(batch.sequences.size()) > cache.getSequences())
    return impl.fail(op, "expected a cache for " + Twine(batch.sequences.size()) +
                             " sequences, got one for " + Twine(cache.getSequences()));
  NumberKind kind = *getNumberKind(cache.getElementType());
  std::vector<double> keys(cache.getHeads() * cache.getKeySize()),
      values(v ? cache.getHeads() * cache.getValueSize() : 0);
  for (auto [b, sequence] : llvm::enumerate(batch.sequences))
    for (int64_t i = 0; i < sequence.rowCount; ++i) {
      int64_t row = sequence.rowBegin + i, position = sequence.position + i;
      if (position < 0 || position > cache.getLength(b))
        return impl.fail(op, "appends position " + Twine(position) + " of sequence " + Twine(b) +
                                 " to a cache that holds " + Twine(cache.getLength(b)));
      k.read<double>(row * keys.size(), keys);
      if (v)
        v->read<double>(row * values.size(), values);
      if (!kind.isFloat && impl.options.precision != Precision::F64) {
        quantise(keys, cache.getKeySize());
        quantise(values, cache.getValueSize());
      }
      for (std::vector<double> *list : {&keys, &values})
        for (double &number : *list)
          number = kind.isFloat ? roundFor(impl.options.precision, kind, number) : number;
      cache.append(b, position, keys, values);
    }
  cache.advance();
  return impl.setResult(op, 0, std::move(cache), frame);
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

/// Scores are not below this; a row without a higher one yields 0.
static constexpr double kLowestScore = -1e30;

namespace {

/// What the queries of one head of one sequence see: its number, and its keys and values [keys, D]
/// and [keys, DV].
template <typename T> struct Context {
  int64_t b;
  int64_t keyCount;
  std::vector<T> keys, values;
};

template <typename T> class AttentionExecutor {
public:
  AttentionExecutor(Interpreter::Impl &impl, tfm::AttentionOp op, Frame &frame)
      : impl(impl), op(op), frame(frame), heads(op.getHeads()), group(heads / op.getKVHeads()),
        keySize(op.getKeySize()), valueSize(op.getValueSize()) {
    if (!op.getScore().empty())
      score.emplace(impl, op.getScore().front(), frame);
    if (!op.getMask().empty())
      mask.emplace(impl, op.getMask().front(), frame);
    // The operands of bf16 products; scores carry log2(e) where no region needs them as they are.
    rounded = op.isPhaseForm() && impl.options.precision != Precision::F64 &&
              op.getQ().getType().getElementType().isBF16() &&
              op.getCache().getType().getElementType().isBF16();
    unit = rounded && !score ? T(1.4426950408889634) : T(1);
  }

  LogicalResult run() {
    const Tensor &q = frame.tensor(op.getQ());
    SmallVector<int64_t> shape(q.getShape());
    shape.back() = valueSize;
    FailureOr<Tensor> result = impl.create(op, shape, op.getResult().getType().getElementType());
    if (failed(result))
      return failure();
    queries.resize(q.getNumElements());
    out.assign(result->getNumElements(), T(0));
    q.read<T>(0, queries);
    if (failed(op.isPhaseForm() ? runPhaseForm() : runGraphForm()))
      return failure();
    impl.store<T>(out, *result);
    return impl.setResult(op, 0, std::move(*result), frame);
  }

private:
  LogicalResult runGraphForm() {
    const Tensor &q = frame.tensor(op.getQ()), &k = frame.tensor(op.getK()),
                 &v = frame.tensor(op.getV());
    int64_t rank = q.getRank(), batches = rank == 4 ? q.getDim(0) : 1, rows = q.getDim(rank - 2),
            keyCount = k.getDim(rank - 2), keyHeads = op.getKVHeads();
    if (v.getDim(rank - 2) != keyCount ||
        (rank == 4 && (k.getDim(0) != batches || v.getDim(0) != batches)))
      return impl.fail(op, "expected as many keys as values, and equal batches, got " +
                               q.describe() + ", " + k.describe() + " and " + v.describe());
    for (int64_t b = 0; b < batches; ++b)
      for (int64_t keyHead = 0; keyHead < keyHeads; ++keyHead) {
        Context<T> context{b, keyCount, std::vector<T>(keyCount * keySize),
                           std::vector<T>(keyCount * valueSize)};
        int64_t matrix = b * keyHeads + keyHead;
        k.read<T>(matrix * keyCount * keySize, context.keys);
        v.read<T>(matrix * keyCount * valueSize, context.values);
        for (int64_t h = keyHead * group; h < (keyHead + 1) * group; ++h)
          for (int64_t i = 0; i < rows; ++i)
            if (failed(runRow(context, h, i, (b * heads + h) * rows + i)))
              return failure();
      }
    return success();
  }

  LogicalResult runPhaseForm() {
    const Tensor &q = frame.tensor(op.getQ());
    const Cache &cache = frame.cache(op.getCache());
    const Batch &batch = frame.batch(op.getBatch());
    if (cache.isStale())
      return impl.fail(op, "reads a version of the cache that was appended to before");
    if (q.getDim(0) != batch.getTokens())
      return impl.fail(op, "expected one row per token of the batch, " + Twine(batch.getTokens()) +
                               ", got " + q.describe());
    if (int64_t(batch.sequences.size()) > cache.getSequences())
      return impl.fail(op, "expected a cache for " + Twine(batch.sequences.size()) +
                               " sequences, got one for " + Twine(cache.getSequences()));
    for (auto [b, sequence] : llvm::enumerate(batch.sequences)) {
      if (sequence.rowCount == 0)
        continue;
      if (sequence.keyEnd > cache.getLength(b))
        return impl.fail(op, "reads " + Twine(sequence.keyEnd) + " keys of sequence " + Twine(b) +
                                 ", the cache holds " + Twine(cache.getLength(b)));
      for (int64_t keyHead = 0; keyHead < cache.getHeads(); ++keyHead) {
        Context<T> context{int64_t(b), sequence.keyEnd, {}, {}};
        for (int64_t j = 0; j < sequence.keyEnd; ++j) {
          ArrayRef<double> key = cache.getKey(b, j, keyHead), value = cache.getValue(b, j, keyHead);
          context.keys.insert(context.keys.end(), key.begin(), key.end());
          context.values.insert(context.values.end(), value.begin(), value.end());
        }
        for (int64_t h = keyHead * group; h < (keyHead + 1) * group; ++h)
          for (int64_t i = 0; i < sequence.rowCount; ++i)
            if (failed(
                    runRow(context, h, sequence.position + i, (sequence.rowBegin + i) * heads + h)))
              return failure();
      }
    }
    return success();
  }

  /// Query i of head h, which is row `row` of the queries and of the result.
  LogicalResult runRow(const Context<T> &context, int64_t h, int64_t i, int64_t row) {
    T *query = queries.data() + row * keySize;
    if (rounded) {
      T factor = op.getScale() ? T(frame.tensor(op.getScale()).floatAt(0)) * unit : unit;
      for (int64_t d = 0; d < keySize; ++d)
        query[d] = T(roundToFormat(query[d] * factor, FloatFormat::BF16));
    }
    T *result = out.data() + row * valueSize;
    kept.clear();
    weights.clear();
    T largest = T(kLowestScore);
    for (int64_t j = 0; j < context.keyCount; ++j) {
      FailureOr<bool> keep = keeps(context.b, h, i, j);
      if (failed(keep))
        return failure();
      if (!*keep)
        continue;
      FailureOr<T> s =
          scoreOf(dot(query, context.keys.data() + j * keySize, keySize), context.b, h, i, j);
      if (failed(s))
        return failure();
      kept.push_back(j);
      weights.push_back(*s < T(kLowestScore) ? T(kLowestScore) : *s);
      if (*s > largest || std::isnan(*s))
        largest = *s; // a NaN stays: nothing is greater
    }
    if (largest == T(kLowestScore))
      return success();
    T sink = 0;
    if (op.getSinks()) {
      sink = T(frame.tensor(op.getSinks()).floatAt(h));
      largest = sink > largest ? sink : largest;
    }
    T partial[16] = {};
    for (auto [j, weight] : llvm::zip(kept, weights)) {
      weight = std::exp(weight - largest);
      partial[j % 16] += weight;
    }
    T sum = sumOf16<T>(16, [&](int64_t lane) { return partial[lane]; });
    if (op.getSinks())
      sum += std::exp(sink - largest);
    for (auto [j, weight] : llvm::zip(kept, weights))
      addScaled<T>(rounded ? T(roundToFormat(weight, FloatFormat::BF16)) : weight,
                   context.values.data() + j * valueSize, valueSize, result);
    for (int64_t d = 0; d < valueSize; ++d)
      result[d] /= sum;
    return success();
  }

  static void setPlace(Body &body, unsigned first, int64_t b, int64_t h, int64_t i, int64_t j) {
    body.argument(first) = makeInt(b);
    body.argument(first + 1) = makeInt(h);
    body.argument(first + 2) = makeInt(i);
    body.argument(first + 3) = makeInt(j);
  }

  FailureOr<bool> keeps(int64_t b, int64_t h, int64_t i, int64_t j) {
    if (!mask)
      return true;
    setPlace(*mask, 0, b, h, i, j);
    if (failed(mask->run()))
      return failure();
    return mask->result(0).i != 0;
  }

  FailureOr<T> scoreOf(T product, int64_t b, int64_t h, int64_t i, int64_t j) {
    if (rounded)
      product /= unit;
    else if (op.getScale())
      product *= T(frame.tensor(op.getScale()).floatAt(0));
    if (!score)
      return product;
    score->argument(0) = makeFloat(product);
    setPlace(*score, 1, b, h, i, j);
    if (failed(score->run()))
      return failure();
    return T(score->result(0).f);
  }

  Interpreter::Impl &impl;
  tfm::AttentionOp op;
  Frame &frame;
  int64_t heads, group, keySize, valueSize;
  bool rounded = false;
  T unit = 1; ///< of rounded scores
  std::optional<Body> score, mask;
  std::vector<T> queries, out;
  // Of the row that is being computed: the keys that are kept, their scores and then weights.
  std::vector<int64_t> kept;
  std::vector<T> weights;
};

} // namespace

LogicalResult Interpreter::Impl::executeAttention(Operation *op, Frame &frame) {
  if (auto create = dyn_cast<tfm::CacheCreateOp>(op)) {
    tfm::CacheType type = create.getResult().getType();
    if (!getNumberKind(type.getElementType()))
      return unsupported(op);
    return setResult(op, 0, Cache(type, frame.batch(create.getBatch()).sequences.size()), frame);
  }
  if (auto append = dyn_cast<tfm::CacheAppendOp>(op))
    return executeAppend(*this, append, frame);
  if (auto row = dyn_cast<tfm::PackedRowOp>(op)) {
    const Batch &batch = frame.batch(row.getBatch());
    int64_t b = frame.tensor(row.getSequence()).at(0).i,
            position = frame.tensor(row.getPosition()).at(0).i;
    if (b < 0 || b >= int64_t(batch.sequences.size()) || position < batch.sequences[b].position ||
        position >= batch.sequences[b].position + batch.sequences[b].rowCount)
      return fail(op, "expected a token of this step, got position " + Twine(position) +
                          " of sequence " + Twine(b));
    int64_t number = batch.sequences[b].rowBegin + position - batch.sequences[b].position;
    return setResult(op, 0, Tensor::scalar(row.getType(), makeInt(number)), frame);
  }
  if (auto attention = dyn_cast<tfm::AttentionOp>(op)) {
    if (computesInDouble(attention.getResult().getType().getElementType()))
      return AttentionExecutor<double>(*this, attention, frame).run();
    return AttentionExecutor<float>(*this, attention, frame).run();
  }
  return unsupported(op);
}

} // namespace ingot::reference
