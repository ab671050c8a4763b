//===- EvaluatorPieces.cpp - concatenation, padding, insertion ------------------------------===//

#include "EvaluatorSupport.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

LaneValue Evaluator::either(Value condition, const Point &point, Type element,
                            function_ref<LaneValue(const Point &)> then,
                            function_ref<LaneValue(const Point &)> otherwise) {
  if (!condition)
    return then(point);
  bool uniform = isUniform(point);
  auto shaped = [&](LaneValue value) { return uniform ? value.value : broadcast(value); };
  if (!KernelBuilder::isVector(condition)) {
    Type type = kb.registerType(element);
    return {kb.branch(
                  condition, TypeRange{uniform ? type : Type(kb.vec(type))},
                  [&] { return KernelBuilder::Values{shaped(then(point))}; },
                  [&] { return KernelBuilder::Values{shaped(otherwise(point))}; })
                .front()};
  }
  auto masked = [&](Value lanes) {
    return Point{point.coords, point.mask ? kb.andi(point.mask, lanes) : lanes, true};
  };
  Value no = kb.make<arith::XOrIOp>(condition, kb.firstLanes(kLanes));
  Value a = shaped(then(masked(condition))), b = shaped(otherwise(masked(no)));
  return {kb.select(condition, a, b)};
}

/// Adds "low <= coord < high" to the conditions of all lanes and of each lane.
void Evaluator::restrict(Coord &coord, const Size &high, Value &all, Value &each) {
  Value in = inside(coord, {kb.c(0), 0}, high);
  coord.low = std::max<int64_t>(coord.low, 0);
  if (high.known >= 0)
    coord.high = std::min(coord.high, high.known);
  if (!in)
    return;
  Value &condition = KernelBuilder::isVector(in) ? each : all;
  condition = condition ? kb.andi(condition, in) : in;
}

LaneValue Evaluator::concat(tensor::ConcatOp op, const Point &point) {
  unsigned d = op.getDim();
  Type element = elementOf(op.getResult());
  Coord coord = point.coords[d];
  // Lanes that move together: a vector of 16 never crosses a boundary that is a multiple of 16.
  bool together = coord.step == 1 && coord.align % kLanes == 0;
  std::function<LaneValue(unsigned, Size, const Point &)> piece =
      [&](unsigned number, Size begin, const Point &at) -> LaneValue {
    Value input = op.getInputs()[number];
    Size size = dim(input, d);
    Size end{kb.add(begin.value, size.value),
             begin.known < 0 || size.known < 0 ? -1 : begin.known + size.known};
    auto here = [&](const Point &at) {
      Coord moved = begin.known >= 0
                        ? addConstant(coord, -begin.known)
                        : add(coord, uniform(kb.sub(kb.c(0), begin.value), INT64_MIN / 2));
      // Bounds of what is left of the vector.
      if (size.known >= 0)
        moved.high = std::min(moved.high, size.known);
      moved.low = std::max<int64_t>(moved.low, 0);
      return this->at(input, replaced(at, d, moved));
    };
    if (number + 1 == op.getInputs().size())
      return here(at);
    if (end.known >= 0 && coord.high <= end.known)
      return here(at);
    if (end.known >= 0 && coord.low >= end.known)
      return piece(number + 1, end, at);
    Value condition;
    if (coord.isUniform() || (together && end.known >= 0 && end.known % kLanes == 0))
      condition = kb.lt(coord.base, end.value);
    else
      condition = kb.lt(indices(coord), kb.broadcast(end.value));
    return either(condition, at, element, here,
                  [&](const Point &at) { return piece(number + 1, end, at); });
  };
  return piece(0, {kb.c(0), 0}, point);
}

LaneValue Evaluator::pad(tensor::PadOp op, const Point &point) {
  Type element = elementOf(op.getResult());
  Point source = point;
  Value all, each;
  for (unsigned d = 0; d < point.coords.size(); ++d) {
    OpFoldResult low = op.getMixedLowPad()[d];
    Coord &coord = source.coords[d];
    if (auto value = dyn_cast<Value>(low))
      coord = add(coord, uniform(kb.sub(kb.c(0), scalar(value)), INT64_MIN / 2));
    else
      coord = addConstant(coord, -*getConstantIntValue(low));
    restrict(coord, dim(op.getSource(), d), all, each);
  }
  auto inside = [&](const Point &at) {
    return this->at(op.getSource(), Point{source.coords, at.mask, at.guarded});
  };
  auto outside = [&](const Point &at) {
    DenseMap<Value, LaneValue> env;
    for (auto [argument, coord] : llvm::zip_equal(op.getRegion().getArguments(), point.coords))
      env[argument] = {coord.isUniform() ? coord.base : indices(coord)};
    return run(op.getRegion().front(), env, at.mask).front();
  };
  return either(
      all, point, element,
      [&](const Point &at) { return either(each, at, element, inside, outside); }, outside);
}

LaneValue Evaluator::insertSlice(tensor::InsertSliceOp op, const Point &point) {
  Type element = elementOf(op.getResult());
  llvm::SmallBitVector dropped = op.getDroppedDims();
  SmallVector<Coord, 4> source;
  Value all, each;
  for (unsigned d = 0; d < point.coords.size(); ++d) {
    if (getConstantIntValue(op.getMixedStrides()[d]) != 1)
      return unsupported(op, "its strides are not 1", point);
    OpFoldResult offset = op.getMixedOffsets()[d], extent = op.getMixedSizes()[d];
    Coord coord = point.coords[d];
    if (auto value = dyn_cast<Value>(offset))
      coord = add(coord, uniform(kb.sub(kb.c(0), scalar(value)), INT64_MIN / 2));
    else
      coord = addConstant(coord, -*getConstantIntValue(offset));
    Size high = isa<Attribute>(extent)
                    ? Size{kb.c(*getConstantIntValue(extent)), *getConstantIntValue(extent)}
                    : Size{scalar(cast<Value>(extent)), -1};
    restrict(coord, high, all, each);
    if (!dropped[d])
      source.push_back(coord);
  }
  auto inside = [&](const Point &at) {
    return this->at(op.getSource(), Point{source, at.mask, at.guarded});
  };
  auto outside = [&](const Point &at) { return this->at(op.getDest(), at); };
  return either(
      all, point, element,
      [&](const Point &at) { return either(each, at, element, inside, outside); }, outside);
}
