//===- ExpertOps.cpp - mixtures of experts ----------------------------------------------------===//

#include "InterpreterImpl.h"
#include "Products.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"

using namespace mlir;

namespace ingot::reference {

/// Whether entry `i` comes before entry `other`: a larger rank, or a lower number.
template <typename T> static bool precedes(ArrayRef<T> ranks, int64_t i, int64_t other) {
  return ranks[i] > ranks[other] || (ranks[i] == ranks[other] && i < other);
}

/// Marks the `count` entries that come before all others.
template <typename T> static std::vector<bool> choose(ArrayRef<T> ranks, int64_t count) {
  int64_t size = ranks.size();
  std::vector<bool> chosen(size);
  for (int64_t i = 0; i < size; ++i) {
    int64_t before = 0;
    for (int64_t other = 0; other < size; ++other)
      before += precedes(ranks, other, i);
    chosen[i] = before < count;
  }
  return chosen;
}

template <typename T>
static LogicalResult executeRoute(Interpreter::Impl &impl, tfm::RouteOp op, Frame &frame) {
  const Tensor &scores = frame.tensor(op.getScores());
  int64_t rows = scores.getDim(0), experts = scores.getDim(1), chosen = op.getChosen();
  FailureOr<Tensor> ids = impl.create(op, {rows, chosen}, op.getIds().getType().getElementType());
  FailureOr<Tensor> weights =
      impl.create(op, {rows, chosen}, op.getWeights().getType().getElementType());
  if (failed(ids) || failed(weights))
    return failure();
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  std::vector<T> row(experts), ranks(experts), bias(experts), result(rows * chosen);
  if (op.getBias())
    frame.tensor(op.getBias()).read<T>(0, bias);
  int64_t groups = op.getGroups(), size = experts / groups;
  for (int64_t t = 0; t < rows; ++t) {
    scores.read<T>(t * experts, row);
    for (int64_t e = 0; e < experts; ++e) {
      ranks[e] = op.getBias() ? row[e] + bias[e] : row[e];
      if (ranks[e] != ranks[e])
        ranks[e] = lowest;
    }
    if (groups > 1) {
      std::vector<T> groupRanks(groups);
      for (int64_t g = 0; g < groups; ++g) {
        T first = lowest, second = lowest;
        for (int64_t e = g * size; e < (g + 1) * size; ++e) {
          second = std::max(second, std::min(first, ranks[e]));
          first = std::max(first, ranks[e]);
        }
        groupRanks[g] = op.getBest() == 2 ? first + second : first;
      }
      std::vector<bool> kept = choose<T>(groupRanks, op.getKeep());
      for (int64_t e = 0; e < experts; ++e)
        if (!kept[e / size])
          ranks[e] = lowest;
    }
    std::vector<bool> isChosen = choose<T>(ranks, chosen);
    T sum = 0;
    int64_t next = t * chosen;
    for (int64_t e = 0; e < experts; ++e) {
      if (!isChosen[e])
        continue;
      ids->mutableElements()[next].i = e;
      result[next++] = row[e];
      sum += row[e];
    }
    for (T &weight : MutableArrayRef<T>(result).slice(t * chosen, chosen)) {
      if (op.getNormalize())
        weight /= sum + T(1e-20);
      weight *= T(op.getScale().convertToDouble());
    }
  }
  impl.store<T>(result, *weights);
  if (failed(impl.setResult(op, 0, std::move(*ids), frame)))
    return failure();
  return impl.setResult(op, 1, std::move(*weights), frame);
}

template <typename T>
static LogicalResult executeExpertLinear(Interpreter::Impl &impl, tfm::ExpertLinearOp op,
                                         Frame &frame) {
  const Tensor &x = frame.tensor(op.getX()), &weight = frame.tensor(op.getWeight());
  int64_t rows = x.getDim(0), chosen = op.getChosen(), columns = op.getN(), inner = op.getK();
  int64_t experts = op.getExperts();
  const Tensor *ids = op.getIds() ? &frame.tensor(op.getIds()) : nullptr;
  if (ids && ids->getDim(0) != rows)
    return impl.fail(op, "expected one row of ids per row of x, got " + ids->describe() + " for " +
                             x.describe());
  FailureOr<Tensor> result =
      impl.create(op, {rows, chosen, columns}, op.getType().getElementType());
  if (failed(result))
    return failure();
  // The rows of each expert are multiplied together.
  std::vector<SmallVector<int64_t>> rowsOf(experts);
  for (int64_t pair = 0; pair < rows * chosen; ++pair) {
    int64_t expert = ids ? ids->intAt(pair) : pair % chosen;
    if (expert < 0 || expert >= experts)
      return impl.fail(op, "expected ids of " + Twine(experts) + " experts, got " + Twine(expert));
    rowsOf[expert].push_back(pair);
  }
  std::vector<T> values(rows * chosen * columns), row(inner), bias(columns);
  for (int64_t expert = 0; expert < experts; ++expert) {
    ArrayRef<int64_t> pairs = rowsOf[expert];
    if (pairs.empty())
      continue;
    std::vector<T> a, c(pairs.size() * columns);
    for (int64_t pair : pairs) {
      x.read<T>((op.hasRowPerChoice() ? pair : pair / chosen) * inner, row);
      a.insert(a.end(), row.begin(), row.end());
    }
    multiply<T>(
        a.data(), pairs.size(), inner, columns,
        [&](int64_t first, int64_t count, T *panel) {
          for (int64_t k = 0; k < inner; ++k)
            for (int64_t n = 0; n < count; ++n) {
              int64_t column = expert * columns + first + n;
              panel[k * kPanel + n] = T(weight.floatAt(
                  op.getTransposed() ? k * experts * columns + column : column * inner + k));
            }
        },
        c.data());
    if (op.getBias())
      frame.tensor(op.getBias()).read<T>(expert * columns, bias);
    for (auto [i, pair] : llvm::enumerate(pairs))
      for (int64_t n = 0; n < columns; ++n)
        values[pair * columns + n] = c[i * columns + n] + bias[n];
  }
  impl.store<T>(values, *result);
  return impl.setResult(op, 0, std::move(*result), frame);
}

template <typename T>
static LogicalResult executeCombine(Interpreter::Impl &impl, tfm::CombineOp op, Frame &frame) {
  const Tensor &x = frame.tensor(op.getX()), &weights = frame.tensor(op.getWeights());
  int64_t rows = x.getDim(0), chosen = x.getDim(1), columns = x.getDim(2);
  if (weights.getDim(0) != rows ||
      (op.getBase() && frame.tensor(op.getBase()).getNumElements() != rows * columns))
    return impl.fail(op, "expected weights and a base of the rows' number, got " +
                             weights.describe() + " for " + x.describe());
  FailureOr<Tensor> result = impl.create(op, {rows, columns}, op.getType().getElementType());
  if (failed(result))
    return failure();
  std::vector<T> values(rows * columns), factors(rows * chosen), row(columns);
  if (op.getBase())
    frame.tensor(op.getBase()).read<T>(0, values);
  weights.read<T>(0, factors);
  for (int64_t pair = 0; pair < rows * chosen; ++pair) {
    x.read<T>(pair * columns, row);
    addScaled<T>(factors[pair], row.data(), columns, values.data() + pair / chosen * columns);
  }
  impl.store<T>(values, *result);
  return impl.setResult(op, 0, std::move(*result), frame);
}

LogicalResult Interpreter::Impl::executeExperts(Operation *op, Frame &frame) {
  bool wide = computesInDouble(getElementTypeOrSelf(op->getResults().back().getType()));
  if (auto route = dyn_cast<tfm::RouteOp>(op))
    return wide ? executeRoute<double>(*this, route, frame)
                : executeRoute<float>(*this, route, frame);
  if (auto linear = dyn_cast<tfm::ExpertLinearOp>(op))
    return wide ? executeExpertLinear<double>(*this, linear, frame)
                : executeExpertLinear<float>(*this, linear, frame);
  auto combine = cast<tfm::CombineOp>(op);
  return wide ? executeCombine<double>(*this, combine, frame)
              : executeCombine<float>(*this, combine, frame);
}

} // namespace ingot::reference
