//===- EvaluatorRows.cpp - values that need a whole row: sums, softmax, norms ---------------===//

#include "EvaluatorSupport.h"
#include "Math.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;
using arith::CmpIPredicate;

LaneValue Evaluator::rowValue(const void *key, Type element, const Point &at,
                              function_ref<Value(const Point &)> compute) {
  // A row is there for all lanes or for none: which of them ask does not matter.
  Point point = at;
  bool single = isUniform(point);
  if (single && !point.guarded)
    point.mask = {};
  auto memoKey = keyOf(key, point);
  memoKey.push_back(nullptr);
  auto found = memo.find(memoKey);
  if (found != memo.end() && kb.depthOf(found->second.value))
    return found->second;
  Value value;
  kb.atDepth(depthOf(point), [&] {
    if (single) {
      Point row{point.coords, {}, false};
      if (!point.mask) {
        value = compute(row);
        return;
      }
      Type type = kb.registerType(element);
      value = kb.branch(
                    kb.anyLane(point.mask), TypeRange{type},
                    [&] { return KernelBuilder::Values{compute(row)}; },
                    [&] { return KernelBuilder::Values{kb.zero(type)}; })
                  .front();
      return;
    }
    // One lane after the other.
    Type type = kb.vec(kb.registerType(element));
    value =
        kb.loop(kb.c(0), kb.c(kLanes), kb.c(1), {kb.zero(type)},
                [&](Value lane, ValueRange state) -> KernelBuilder::Values {
                  Value active =
                      point.mask ? kb.extract(point.mask, lane) : kb.constantInt(kb.i1, 1);
                  return kb.branch(
                      active, TypeRange{type},
                      [&] {
                        Point row;
                        for (const Coord &coord : point.coords) {
                          Coord one = coord;
                          one.indices = {};
                          one.step = 0;
                          if (coord.indices)
                            one.base = kb.extract(coord.indices, lane);
                          else if (coord.step)
                            one.base = kb.add(coord.base, kb.mul(lane, coord.step));
                          if (!coord.isUniform())
                            one.align = 1;
                          row.coords.push_back(one);
                        }
                        return KernelBuilder::Values{kb.insert(compute(row), state.front(), lane)};
                      },
                      [&] { return KernelBuilder::Values{state.front()}; });
                })
            .front();
  });
  memo[memoKey] = {value};
  return {value};
}

Value Evaluator::foldRow(const Size &size, Type element, double identity, double neutral,
                         function_ref<LaneValue(Coord, Value)> elementAt,
                         function_ref<Value(Value, Value)> accumulate,
                         function_ref<Value(Value, Value)> combine) {
  Type type = kb.vec(element);
  auto step = [&](Coord lane, Value mask, Value sum) {
    Value x = broadcast(elementAt(lane, mask));
    if (mask)
      x = kb.select(mask, x, kb.constantFloat(type, neutral));
    return accumulate(sum, x);
  };
  Value whole =
      size.known < 0 ? kb.andi(size.value, kb.c(-kLanes)) : kb.c(size.known / kLanes * kLanes);
  int64_t high = size.known < 0 ? INT64_MAX : size.known / kLanes * kLanes;
  Value sum = kb.loop(kb.c(0), whole, kb.c(kLanes), {kb.constantFloat(type, identity)},
                      [&](Value base, ValueRange state) -> KernelBuilder::Values {
                        return {step(lanes(base, 0, high, kLanes), {}, state.front())};
                      })
                  .front();
  if (size.known < 0) {
    sum = kb.branch(
                kb.lt(whole, size.value), TypeRange{type},
                [&]() -> KernelBuilder::Values {
                  Value mask = kb.firstLanes(kb.sub(size.value, whole));
                  return {step(lanes(whole, 0, INT64_MAX, kLanes), mask, sum)};
                },
                [&]() -> KernelBuilder::Values { return {sum}; })
              .front();
  } else if (size.known % kLanes) {
    sum = step(lanes(whole, high, size.known, kLanes), kb.firstLanes(size.known % kLanes), sum);
  }
  return kb.reduceTree(sum, combine);
}

LaneValue Evaluator::contraction(Type element, const Size &inner,
                                 function_ref<LaneValue(Coord)> left,
                                 function_ref<LaneValue(Coord)> right, const Point &point) {
  bool uniform = isUniform(point);
  auto shaped = [&](LaneValue value) { return uniform ? value.value : broadcast(value); };
  Type type = uniform ? element : Type(kb.vec(element));
  Value sum;
  kb.atDepth(depthOf(point), [&] {
    sum = kb.loop(kb.c(0), inner.value, kb.c(1), {kb.zero(type)},
                  [&](Value k, ValueRange state) -> KernelBuilder::Values {
                    Coord at = this->uniform(k, 0, inner.known < 0 ? INT64_MAX : inner.known);
                    return {kb.fma(shaped(left(at)), shaped(right(at)), state.front())};
                  })
              .front();
  });
  return {sum};
}

/// One element on matrices that are not packed.
LaneValue Evaluator::expertLinear(tfm::ExpertLinearOp op, const Point &point) {
  Type element = elementOf(op.getResult()), wide = computeType(kb, element);
  Coord token = point.coords[0], choice = point.coords[1], column = point.coords[2];
  Coord expert = choice;
  if (op.getIds()) {
    Value id = at(op.getIds(), withCoords(point, {token, choice})).value;
    id = kb.make<arith::ExtSIOp>(kb.shapedAs(id, kb.i64), id);
    int64_t experts = op.getExperts();
    expert = KernelBuilder::isVector(id) ? vectorCoord(id, 0, experts) : uniform(id, 0, experts);
  }
  int64_t columns = op.getN(), inner = op.getK();
  Coord row = add(scale(expert, {kb.c(columns), columns}), column);
  LaneValue sum = contraction(
      wide, {kb.c(inner), inner},
      [&](Coord k) {
        Point from = op.hasRowPerChoice() ? withCoords(point, {token, choice, k})
                                          : withCoords(point, {token, k});
        return wideAt(op.getX(), from, wide);
      },
      [&](Coord k) {
        Point from = op.getTransposed() ? withCoords(point, {k, row}) : withCoords(point, {row, k});
        return wideAt(op.getWeight(), from, wide);
      },
      point);
  if (op.getBias()) {
    LaneValue bias = wideAt(op.getBias(), withCoords(point, {expert, column}), wide);
    Value value = KernelBuilder::isVector(sum.value) ? broadcast(bias) : bias.value;
    sum.value = kb.fadd(sum.value, value);
  }
  return {kb.truncate(sum.value, element)};
}

/// A chain of fused multiply-adds over the choices, from the base.
LaneValue Evaluator::combine(tfm::CombineOp op, const Point &point) {
  Type element = elementOf(op.getResult());
  const Coord &token = point.coords[0];
  bool uniform = isUniform(point);
  auto shaped = [&](LaneValue value) { return uniform ? value.value : broadcast(value); };
  Value sum = op.getBase() ? shaped(at(op.getBase(), point))
                           : kb.zero(uniform ? element : Type(kb.vec(element)));
  int64_t chosen = cast<RankedTensorType>(op.getX().getType()).getDimSize(1);
  for (int64_t j = 0; j < chosen; ++j) {
    LaneValue weight = at(op.getWeights(), withCoords(point, {token, fixed(j)}));
    LaneValue x = at(op.getX(), withCoords(point, {token, fixed(j), point.coords[1]}));
    sum = kb.fma(shaped(weight), shaped(x), sum);
  }
  return {sum};
}

LaneValue Evaluator::softmax(tfm::SoftmaxOp op, const Point &point) {
  unsigned d = op.getDim(), last = point.coords.size() - 1;
  Type element = elementOf(op.getX()), wide = computeType(kb, element);
  Size size = dim(op.getX(), d);
  double infinity = std::numeric_limits<double>::infinity();
  auto sum = [&](Value a, Value b) { return kb.fadd(a, b); };
  auto max = [&](Value a, Value b) { return kb.make<arith::MaximumFOp>(a, b); };
  LaneValue top, total;
  if (d == last) {
    Point rowPoint = withCoords(point, ArrayRef(point.coords).drop_back());
    auto x = [&](const Point &row, Coord lane, Value mask) {
      Point at{row.coords, mask, row.guarded};
      at.coords.push_back(lane);
      return broadcast(wideAt(op.getX(), at, wide));
    };
    auto topOf = [&](const Point &row) {
      return rowValue(op.getOperation(), wide, row, [&](const Point &row) {
        return foldRow(
            size, wide, -infinity, -infinity,
            [&](Coord lane, Value mask) { return LaneValue{x(row, lane, mask)}; }, max, max);
      });
    };
    top = topOf(rowPoint);
    total = rowValue(&op->getOpOperand(0), wide, rowPoint, [&](const Point &row) {
      Value shift = kb.broadcast(topOf(row).value);
      return foldRow(
          size, wide, 0, 0,
          [&](Coord lane, Value mask) {
            return LaneValue{emitExp(kb, kb.fsub(x(row, lane, mask), shift))};
          },
          sum, sum);
    });
  } else {
    // Down a column, one element after the other.
    bool uniform = llvm::all_of(llvm::enumerate(point.coords), [&](auto coord) {
      return coord.index() == d || coord.value().isUniform();
    });
    Type type = uniform ? wide : Type(kb.vec(wide));
    auto x = [&](Value index) {
      LaneValue value = wideAt(op.getX(), replaced(point, d, this->uniform(index)), wide);
      return uniform ? value.value : broadcast(value);
    };
    auto fold = [&](double identity, function_ref<Value(Value, Value)> step) {
      return LaneValue{kb.loop(kb.c(0), size.value, kb.c(1), {kb.constantFloat(type, identity)},
                               [&](Value index, ValueRange state) -> KernelBuilder::Values {
                                 return {step(state.front(), x(index))};
                               })
                           .front()};
    };
    top = fold(-infinity, max);
    total =
        fold(0, [&](Value a, Value b) { return kb.fadd(a, emitExp(kb, kb.fsub(b, top.value))); });
  }
  LaneValue x = wideAt(op.getX(), point, wide);
  bool uniform = x.isUniform() && top.isUniform();
  auto shaped = [&](LaneValue value) { return uniform ? value.value : broadcast(value); };
  Value p = emitExp(kb, kb.fsub(shaped(x), shaped(top)));
  return {kb.truncate(kb.fdiv(p, shaped(total)), element)};
}

LaneValue Evaluator::rmsNorm(tfm::RMSNormOp op, const Point &point) {
  unsigned last = point.coords.size() - 1;
  Type element = elementOf(op.getX()), wide = computeType(kb, element);
  Size size = dim(op.getX(), last);
  auto sum = [&](Value a, Value b) { return kb.fadd(a, b); };
  LaneValue factor = rowValue(
      op, wide, withCoords(point, ArrayRef(point.coords).drop_back()), [&](const Point &row) {
        Value squares = foldRow(
            size, wide, 0, 0,
            [&](Coord lane, Value mask) {
              Point at{row.coords, mask, row.guarded};
              at.coords.push_back(lane);
              return wideAt(op.getX(), at, wide);
            },
            [&](Value a, Value x) { return kb.fma(x, x, a); }, sum);
        Value mean = kb.fdiv(squares, kb.constantFloat(wide, double(size.known)));
        Value root = kb.make<math::SqrtOp>(
            kb.fadd(mean, kb.constantFloat(wide, op.getEps().convertToDouble())));
        return kb.fdiv(kb.constantFloat(wide, 1), root);
      });
  LaneValue x = wideAt(op.getX(), point, wide);
  bool uniform = x.isUniform() && factor.isUniform();
  auto shaped = [&](LaneValue value) { return uniform ? value.value : broadcast(value); };
  Value result = kb.fmul(shaped(x), shaped(factor));
  if (op.getWeight())
    result = kb.fmul(result,
                     shaped(wideAt(op.getWeight(), withCoords(point, point.coords[last]), wide)));
  return {kb.truncate(result, element)};
}

LaneValue Evaluator::layerNorm(tfm::LayerNormOp op, const Point &point) {
  unsigned last = point.coords.size() - 1;
  Type element = elementOf(op.getX()), wide = computeType(kb, element);
  Size size = dim(op.getX(), last);
  Point rowPoint = withCoords(point, ArrayRef(point.coords).drop_back());
  auto sum = [&](Value a, Value b) { return kb.fadd(a, b); };
  auto x = [&](const Point &row, Coord lane, Value mask) {
    Point at{row.coords, mask, row.guarded};
    at.coords.push_back(lane);
    return broadcast(wideAt(op.getX(), at, wide));
  };
  Value count = kb.constantFloat(wide, double(size.known));
  auto meanOf = [&](const Point &row) {
    return rowValue(op.getOperation(), wide, row, [&](const Point &row) {
      Value total = foldRow(
          size, wide, 0, 0, [&](Coord lane, Value mask) { return LaneValue{x(row, lane, mask)}; },
          sum, sum);
      return kb.fdiv(total, count);
    });
  };
  LaneValue mean = meanOf(rowPoint);
  LaneValue factor = rowValue(&op->getOpOperand(0), wide, rowPoint, [&](const Point &row) {
    Value center = kb.broadcast(meanOf(row).value);
    Value squares = foldRow(
        size, wide, 0, 0,
        [&](Coord lane, Value mask) { return LaneValue{kb.fsub(x(row, lane, mask), center)}; },
        [&](Value a, Value d) { return kb.fma(d, d, a); }, sum);
    Value root = kb.make<math::SqrtOp>(
        kb.fadd(kb.fdiv(squares, count), kb.constantFloat(wide, op.getEps().convertToDouble())));
    return kb.fdiv(kb.constantFloat(wide, 1), root);
  });
  LaneValue value = wideAt(op.getX(), point, wide);
  bool uniform = value.isUniform() && factor.isUniform();
  auto shaped = [&](LaneValue value) { return uniform ? value.value : broadcast(value); };
  Value result = kb.fmul(kb.fsub(shaped(value), shaped(mean)), shaped(factor));
  Point column = withCoords(point, point.coords[last]);
  if (op.getWeight())
    result = kb.fmul(result, shaped(wideAt(op.getWeight(), column, wide)));
  if (op.getBias())
    result = kb.fadd(result, shaped(wideAt(op.getBias(), column, wide)));
  return {kb.truncate(result, element)};
}

LaneValue Evaluator::rotary(tfm::RotaryOp op, const Point &point) {
  Type element = elementOf(op.getX()), wide = computeType(kb, element);
  int64_t half = cast<RankedTensorType>(op.getCos().getType()).getDimSize(1);
  int64_t size = cast<RankedTensorType>(op.getX().getType()).getDimSize(2);
  const Coord &row = point.coords[0], &d = point.coords[2];
  LaneValue x = at(op.getX(), point);
  if (d.low >= 2 * half)
    return x;

  // The partner's index, the angle's index, and whether this is the first of its pair.
  Coord partner, angle;
  Value first, rotated; // null: all lanes
  bool allFirst = false, allSecond = false;
  if (!op.getInterleaved() && d.high <= half) {
    allFirst = true;
    partner = addConstant(d, half);
    angle = d;
  } else if (!op.getInterleaved() && d.low >= half && d.high <= 2 * half) {
    allSecond = true;
    partner = angle = addConstant(d, -half);
  } else {
    Value index = d.isUniform() ? d.base : indices(d);
    auto constant = [&](int64_t value) { return kb.constantInt(index.getType(), value); };
    auto coord = [&](Value value, int64_t high) {
      return d.isUniform() ? uniform(value, 0, high) : vectorCoord(value, 0, high);
    };
    if (d.high > 2 * half && size > 2 * half)
      rotated = kb.lt(index, constant(2 * half));
    Value safe = rotated ? kb.select(rotated, index, constant(0)) : index;
    if (op.getInterleaved()) {
      Value odd = kb.andi(safe, constant(1));
      first = kb.cmp(CmpIPredicate::eq, odd, constant(0));
      partner = coord(kb.make<arith::XOrIOp>(safe, constant(1)), 2 * half);
      angle = coord(kb.make<arith::ShRUIOp>(safe, constant(1)), half);
    } else {
      first = kb.lt(safe, constant(half));
      partner = coord(kb.select(first, kb.add(safe, half), kb.sub(safe, constant(half))), 2 * half);
      angle = coord(kb.select(first, safe, kb.sub(safe, constant(half))), half);
    }
  }
  LaneValue other = wideAt(op.getX(), replaced(point, 2, partner), wide);
  Point anglePoint = withCoords(point, {row, angle});
  LaneValue cosine = wideAt(op.getCos(), anglePoint, wide);
  LaneValue sine = wideAt(op.getSin(), anglePoint, wide);
  Value self = kb.extend(x.value, wide, element);
  bool uniform = !KernelBuilder::isVector(self) && other.isUniform() && cosine.isUniform();
  auto shaped = [&](Value value) { return uniform ? value : kb.broadcast(value); };
  Value a = kb.fmul(shaped(self), shaped(cosine.value));
  Value b = kb.fmul(shaped(other.value), shaped(sine.value));
  Value result = allFirst    ? kb.fsub(a, b)
                 : allSecond ? kb.fadd(a, b)
                             : kb.select(shaped(first), kb.fsub(a, b), kb.fadd(a, b));
  if (rotated)
    result = kb.select(shaped(rotated), result, shaped(self));
  return {kb.truncate(result, element)};
}
