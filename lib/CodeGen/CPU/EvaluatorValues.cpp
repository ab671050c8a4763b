//===- EvaluatorValues.cpp - the value of each operation at a point -------------------------===//

#include "EvaluatorSupport.h"
#include "KernelABI.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

LaneValue Evaluator::dummy(Type element) { return {kb.zero(kb.registerType(element))}; }

LaneValue Evaluator::unsupported(Value tensor, const Twine &why, const Point &point) {
  Operation *op = tensor.getDefiningOp();
  kb.fail(op ? op : kernel.getOperation(), why);
  return dummy(elementOf(tensor));
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

LaneValue Evaluator::at(Value tensor, const Point &point) {
  auto key = keyOf(tensor.getAsOpaquePointer(), point);
  auto found = memo.find(key);
  if (found != memo.end() && kb.depthOf(found->second.value))
    return found->second;
  LaneValue value;
  if (kb.hasFailed()) {
    value = dummy(elementOf(tensor)); // the kernel is dropped: do not walk on
  } else if (auto how = overrides.find(tensor); how != overrides.end()) {
    value = how->second(point);
  } else {
    value = compute(tensor, point);
  }
  memo[key] = value;
  return value;
}

/// The value widened to `element`.
LaneValue Evaluator::wideAt(Value tensor, const Point &point, Type element) {
  LaneValue value = at(tensor, point);
  if (!isa<FloatType>(elementOf(tensor)))
    return value;
  return {kb.extend(value.value, element, elementOf(tensor))};
}

LaneValue Evaluator::compute(Value tensor, const Point &point) {
  if (auto argument = dyn_cast<BlockArgument>(tensor))
    return loadOperand(operandBuffer(argument.getArgNumber()), tensor, point);
  Operation *op = tensor.getDefiningOp();
  unsigned number = cast<OpResult>(tensor).getResultNumber();
  ArrayRef<Coord> coords = point.coords;
  return TypeSwitch<Operation *, LaneValue>(op)
      .Case([&](arith::ConstantOp op) { return constantAt(op, point); })
      .Case([&](tensor::EmptyOp) { return dummy(elementOf(tensor)); })
      .Case([&](tensor::SplatOp op) { return LaneValue{scalar(op.getInput())}; })
      .Case([&](tensor::CastOp op) { return at(op.getSource(), point); })
      .Case([&](tensor::FromElementsOp op) -> LaneValue {
        if (op.getElements().size() == 1)
          return {scalar(op.getElements().front())};
        return unsupported(tensor, "it has several elements", point);
      })
      .Case([&](tensor::GenerateOp op) {
        DenseMap<Value, LaneValue> env;
        for (auto [argument, coord] : llvm::zip_equal(op.getBody().getArguments(), coords))
          env[argument] = {coord.isUniform() ? coord.base : indices(coord)};
        return run(op.getBody().front(), env, point.mask).front();
      })
      .Case([&](tensor::ExtractSliceOp op) {
        llvm::SmallBitVector dropped = op.getDroppedDims();
        SmallVector<Coord, 4> source;
        unsigned next = 0;
        for (auto [d, offset] : llvm::enumerate(op.getMixedOffsets())) {
          OpFoldResult stride = op.getMixedStrides()[d];
          Coord coord = dropped[d] ? fixed(0) : coords[next++];
          if (auto value = dyn_cast<Value>(stride))
            coord = scale(coord, {scalar(value), -1});
          else
            coord =
                scale(coord, {kb.c(*getConstantIntValue(stride)), *getConstantIntValue(stride)});
          if (auto value = dyn_cast<Value>(offset))
            coord = add(coord, uniform(scalar(value)));
          else
            coord = addConstant(coord, *getConstantIntValue(offset));
          source.push_back(coord);
        }
        return at(op.getSource(), withCoords(point, source));
      })
      .Case([&](tensor::ExpandShapeOp op) {
        SmallVector<Size, 4> all = sizes(tensor);
        SmallVector<Coord, 4> source;
        for (ArrayRef<int64_t> group : op.getReassociationIndices())
          source.push_back(linearize(coords.slice(group.front(), group.size()),
                                     ArrayRef(all).slice(group.front(), group.size())));
        return at(op.getSrc(), withCoords(point, source));
      })
      .Case([&](tensor::CollapseShapeOp op) {
        SmallVector<Size, 4> all = sizes(op.getSrc());
        SmallVector<Coord, 4> source;
        for (auto [d, group] : llvm::enumerate(op.getReassociationIndices()))
          source.append(delinearize(coords[d], ArrayRef(all).slice(group.front(), group.size())));
        // A tensor of one element collapses to rank 0.
        while (int64_t(source.size()) < rankOf(op.getSrc()))
          source.push_back(fixed(0));
        return at(op.getSrc(), withCoords(point, source));
      })
      .Case([&](tensor::ConcatOp op) { return concat(op, point); })
      .Case([&](tensor::PadOp op) { return pad(op, point); })
      .Case([&](tensor::InsertSliceOp op) { return insertSlice(op, point); })
      .Case([&](tfm::PositionsOp op) -> LaneValue {
        if (op.getBatch())
          return load(batchField(abi::kBatchRowPosition, kb.ptr), kb.i32, coords[0], point);
        Value index = coords[0].isUniform() ? coords[0].base : indices(coords[0]);
        return {kb.make<arith::TruncIOp>(kb.shapedAs(index, kb.i32), index)};
      })
      .Case([&](tfm::PromptLengthsOp op) -> LaneValue {
        if (op.getBatch())
          return load(batchField(abi::kBatchRowPrompt, kb.ptr), kb.i32, coords[0], point);
        return {kb.make<arith::TruncIOp>(kb.i32, this->dim(op.getTokens(), 0).value)};
      })
      .Case([&](tfm::EmbeddingOp op) {
        Value id = at(op.getIds(), withCoords(point, coords[0])).value;
        if (!elementOf(op.getIds()).isInteger(64))
          id = kb.make<arith::ExtSIOp>(kb.shapedAs(id, kb.i64), id);
        LaneValue value = atGiven(op.getTable(), withCoords(point, {fixed(0), coords[1]}), id);
        Type element = elementOf(tensor);
        Value wide = kb.extend(value.value, computeType(kb, element), elementOf(op.getTable()));
        return LaneValue{kb.truncate(wide, element)};
      })
      .Case([&](tfm::GatherOutputsOp op) {
        LaneValue row = load(batchField(abi::kBatchOutputRows, kb.ptr), kb.i32, coords[0], point);
        Value index = kb.make<arith::ExtSIOp>(kb.shapedAs(row.value, kb.i64), row.value);
        Coord coord = row.isUniform() ? uniform(index) : vectorCoord(index, 0, INT64_MAX);
        return at(op.getX(), replaced(point, 0, coord));
      })
      .Case([&](tfm::RotaryOp op) { return rotary(op, point); })
      .Case([&](tfm::SoftmaxOp op) { return softmax(op, point); })
      .Case([&](tfm::CombineOp op) { return combine(op, point); })
      .Case([&](tfm::ExpertLinearOp op) { return expertLinear(op, point); })
      .Case([&](tfm::RMSNormOp op) { return rmsNorm(op, point); })
      .Case([&](tfm::LayerNormOp op) { return layerNorm(op, point); })
      .Case([&](tfm::LinearOp op) {
        Type element = elementOf(tensor), wide = computeType(kb, element);
        unsigned last = coords.size() - 1;
        Size inner{kb.c(op.getK()), op.getK()};
        LaneValue sum = contraction(
            wide, inner, [&](Coord k) { return wideAt(op.getX(), replaced(point, last, k), wide); },
            [&](Coord k) {
              SmallVector<Coord, 2> at{coords[last], k};
              if (op.getTransposed())
                std::swap(at[0], at[1]);
              return wideAt(op.getWeight(), withCoords(point, at), wide);
            },
            point);
        if (op.getBias()) {
          LaneValue bias = wideAt(op.getBias(), withCoords(point, coords[last]), wide);
          sum.value = kb.fadd(sum.isUniform() ? sum.value : broadcast(sum),
                              sum.isUniform() ? bias.value : broadcast(bias));
        }
        return LaneValue{kb.truncate(sum.value, element)};
      })
      .Case([&](tfm::MatmulOp op) {
        Type element = elementOf(tensor), wide = computeType(kb, element);
        unsigned last = coords.size() - 1;
        LaneValue sum = contraction(
            wide, dim(op.getA(), last),
            [&](Coord k) { return wideAt(op.getA(), replaced(point, last, k), wide); },
            [&](Coord k) {
              Point at = replaced(point, last - 1, k);
              if (op.getTransposeB()) {
                at.coords[last - 1] = coords[last];
                at.coords[last] = k;
              }
              return wideAt(op.getB(), at, wide);
            },
            point);
        return LaneValue{kb.truncate(sum.value, element)};
      })
      .Default([&](Operation *op) {
        if (auto linalg = dyn_cast<linalg::LinalgOp>(op))
          return linalgAt(linalg, number, point);
        if (OpTrait::hasElementwiseMappableTraits(op))
          return elementwise(op, number, point);
        return unsupported(tensor, "no code generator knows this operation here", point);
      });
}
