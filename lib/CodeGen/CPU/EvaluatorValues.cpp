//===- EvaluatorValues.cpp - the value of each operation at a point ---------------------------===//

#include "BlockReader.h"
#include "Evaluator.h"
#include "KernelABI.h"
#include "Math.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <limits>

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;
using arith::CmpFPredicate;
using arith::CmpIPredicate;

static Type elementOf(Value value) { return getElementTypeOrSelf(value.getType()); }
static bool isNarrowFloat(Type type) { return type.isF16() || type.isBF16(); }
/// The type in which float arithmetic on `element` is done: narrow types round after each
/// operation.
static Type computeType(KernelBuilder &kb, Type element) {
  return isNarrowFloat(element) ? kb.f32 : element;
}
static int64_t rankOf(Value tensor) { return cast<RankedTensorType>(tensor.getType()).getRank(); }

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

static Point withCoords(const Point &point, ArrayRef<Coord> coords) {
  return {SmallVector<Coord, 4>(coords), point.mask, point.guarded};
}
static bool isUniform(const Point &point) {
  return llvm::all_of(point.coords, [](const Coord &c) { return c.isUniform(); });
}
static Point replaced(const Point &point, unsigned dim, Coord coord) {
  Point result = point;
  result.coords[dim] = coord;
  return result;
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
        Coord row = KernelBuilder::isVector(id) ? vectorCoord(id, 0, INT64_MAX) : uniform(id);
        LaneValue value = at(op.getTable(), withCoords(point, {row, coords[1]}));
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

//===----------------------------------------------------------------------===//
// Operands and constants
//===----------------------------------------------------------------------===//

LaneValue Evaluator::loadOperand(Value buffer, Value tensor, const Point &point) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (isa_and_present<plan::PanelsAttr>(type.getEncoding()))
    return packed(buffer, type, point);
  return load(buffer, type.getElementType(), linearize(point.coords, sizes(tensor)), point);
}

/// An element of a matrix in panels; see PanelLayout.h.
LaneValue Evaluator::packed(Value buffer, RankedTensorType type, const Point &point) {
  llvm::Expected<plan::PanelLayout> layout = plan::PanelLayout::get(type);
  if (!layout) {
    kb.fail(kernel, llvm::toString(layout.takeError()));
    return dummy(type.getElementType());
  }
  auto known = [&](int64_t value) { return Size{kb.c(value), value}; };
  int64_t perLine = layout->pairs ? 2 : 1;
  auto [part, inPart] = divRem(point.coords[0], known(layout->partRows()));
  auto [panel, lane] = divRem(inPart, known(layout->panelPartRows()));
  int64_t last = layout->numPanels() - 1, narrow = layout->partLanes(last);
  Coord lanesOfPart; // of one part in this panel
  if (layout->panelPartRows() == narrow) {
    lanesOfPart = fixed(narrow);
  } else if (panel.isUniform()) {
    Value isLast = kb.cmp(CmpIPredicate::eq, panel.base, kb.c(last));
    lanesOfPart = uniform(kb.select(isLast, kb.c(narrow), kb.c(layout->panelPartRows())));
  } else {
    Value isLast = kb.cmp(CmpIPredicate::eq, indices(panel), kb.broadcast(kb.c(last)));
    lanesOfPart = vectorCoord(
        kb.select(isLast, kb.broadcast(kb.c(narrow)), kb.broadcast(kb.c(layout->panelPartRows()))),
        0, INT64_MAX);
  }
  auto times = [&](const Coord &a, const Coord &b) {
    if (b.isUniform())
      return scale(a, {b.base, b.high == b.low + 1 ? b.low : -1});
    return vectorCoord(kb.mul(indices(a), indices(b)), 0, INT64_MAX);
  };
  Coord inLine = add(times(part, lanesOfPart), lane);
  if (layout->block)
    return packedBlock(buffer, *layout, panel, scale(lanesOfPart, known(layout->parts)), inLine,
                       point);
  auto [line, odd] = divRem(point.coords[1], known(perLine));
  Coord offset = scale(panel, known(layout->lines() * layout->rows * perLine));
  Coord inPanel = add(times(scale(line, known(layout->parts)), lanesOfPart), inLine);
  offset = add(add(offset, scale(inPanel, known(perLine))), odd);
  return load(buffer, type.getElementType(), offset, point);
}

/// A number of a block: panel, lanes of its lines and lane in a line are known.
LaneValue Evaluator::packedBlock(Value buffer, const plan::PanelLayout &layout, const Coord &panel,
                                 const Coord &lanes, const Coord &inLine, const Point &point) {
  auto known = [&](int64_t value) { return Size{kb.c(value), value}; };
  auto [line, inBlock] = divRem(point.coords[1], known(32 * layout.block->groups));
  auto [group, inGroup] = divRem(inBlock, known(32));
  auto [s, j] = divRem(inGroup, known(4));
  auto [half, inHalf] = divRem(inGroup, known(16));
  Value perLane = indices(lanes);
  Value first = kb.mul(indices(panel), layout.lines() * layout.rows * layout.elementBytes);
  first = kb.add(first, kb.mul(kb.mul(indices(line), perLane), layout.elementBytes));
  BlockReader reader(kb, *layout.block, [&](Type element, Value at) -> Value {
    Value bytes = kb.add(first, kb.mul(kb.broadcast(at), perLane));
    bytes = kb.add(bytes, kb.mul(indices(inLine), kb.bytesOf(element)));
    return kb.gather(kb.vec(element), kb.gep(buffer, bytes, kb.i8), point.mask);
  });
  Value groups = indices(group);
  Value number = reader.number(reader.quad(groups, indices(s)), indices(j),
                               reader.scale(groups, indices(half)));
  bool uniform = llvm::all_of(point.coords, [](const Coord &c) { return c.isUniform(); });
  return {uniform ? kb.extract(number, 0) : number};
}

LaneValue Evaluator::constantAt(arith::ConstantOp op, const Point &point) {
  auto data = dyn_cast<DenseElementsAttr>(op.getValue());
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(op.getValue()))
    if (const AsmResourceBlob *blob = resource.getRawHandle().getBlob())
      data = DenseElementsAttr::getFromRawBuffer(resource.getType(), blob->getData());
  if (!data)
    return unsupported(op, "its value is not available", point);
  Type element = data.getElementType();
  if (data.isSplat()) {
    if (element.isInteger(1))
      return {kb.constantInt(kb.i1, data.getSplatValue<bool>())};
    if (isa<FloatType>(element) && !element.isBF16())
      return {kb.constant(data.getSplatValue<FloatAttr>())};
    APInt bits = element.isBF16() ? data.getSplatValue<APFloat>().bitcastToAPInt()
                                  : data.getSplatValue<APInt>();
    return {kb.constantInt(kb.registerType(element), bits.getSExtValue())};
  }
  return load(kb.constantData(data), element, linearize(point.coords, sizes(op)), point);
}

Value Evaluator::scalar(Value value) {
  auto found = scalars.find(value);
  if (found != scalars.end() && kb.depthOf(found->second))
    return found->second;
  Value result;
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    result = scalarOperand(argument.getArgNumber());
  } else {
    Operation *op = value.getDefiningOp();
    if (auto size = dyn_cast<tensor::DimOp>(op); size && size.getConstantIndex()) {
      result = dim(size.getSource(), *size.getConstantIndex()).value;
    } else if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
      Point point;
      for (Value index : extract.getIndices())
        point.coords.push_back(uniform(scalar(index)));
      result = at(extract.getTensor(), point).value;
    } else if (auto size = dyn_cast<tfm::BatchDimOp>(op)) {
      int64_t offset = size.getKind() == tfm::BatchDimKind::Tokens      ? abi::kBatchTokenCount
                       : size.getKind() == tfm::BatchDimKind::Sequences ? abi::kBatchSequenceCount
                       : size.getKind() == tfm::BatchDimKind::Outputs   ? abi::kBatchOutputCount
                       : size.getKind() == tfm::BatchDimKind::Items     ? abi::kBatchItemCount
                                                                        : -1;
      if (offset < 0)
        kb.fail(op, "kernels do not see this size");
      result = batchField(std::max<int64_t>(offset, 0), kb.i64);
    } else {
      SmallVector<LaneValue> operands;
      for (Value operand : op->getOperands()) {
        if (isa<ShapedType, tfm::BatchType, tfm::CacheType>(operand.getType())) {
          kb.fail(op, "no code generator knows this scalar operation");
          return kb.zero(kb.registerType(elementOf(value)));
        }
        operands.push_back({scalar(operand)});
      }
      result = apply(op, cast<OpResult>(value).getResultNumber(), operands).value;
    }
  }
  scalars[value] = result;
  return result;
}

//===----------------------------------------------------------------------===//
// Element-wise operations and regions
//===----------------------------------------------------------------------===//

LaneValue Evaluator::elementwise(Operation *op, unsigned result, const Point &point) {
  SmallVector<LaneValue> operands;
  for (Value operand : op->getOperands())
    operands.push_back(isa<RankedTensorType>(operand.getType()) ? at(operand, point)
                                                                : LaneValue{scalar(operand)});
  return apply(op, result, operands);
}

/// Operations that a vector unit has, which need no expansion.
static bool isNativeMath(Operation *op) {
  return isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::FloorOp, math::RoundOp,
             math::RoundEvenOp, math::TruncOp, math::SqrtOp, math::FmaOp, math::CopySignOp,
             math::CtPopOp, math::CountLeadingZerosOp, math::CountTrailingZerosOp, math::IsFiniteOp,
             math::IsInfOp, math::IsNaNOp, math::IsNormalOp>(op);
}

LaneValue Evaluator::apply(Operation *op, unsigned result, ArrayRef<LaneValue> operands) {
  Type element = elementOf(op->getResult(result));
  SmallVector<Value> values;
  bool uniform = llvm::all_of(operands, [](LaneValue v) { return v.isUniform(); });
  for (LaneValue operand : operands)
    values.push_back(uniform ? operand.value : broadcast(operand));
  auto shaped = [&](Type type) { return uniform ? type : Type(kb.vec(type)); };

  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    if (element.isBF16())
      return {kb.constantInt(
          kb.i16, cast<FloatAttr>(constant.getValue()).getValue().bitcastToAPInt().getSExtValue())};
    if (isa<IntegerType, IndexType>(element))
      return {kb.constantInt(kb.registerType(element),
                             cast<IntegerAttr>(constant.getValue()).getValue().getSExtValue())};
    return {kb.constant(constant.getValue())};
  }
  if (isa<arith::ExtFOp, arith::TruncFOp>(op)) {
    Type from = elementOf(op->getOperand(0));
    Value wide = isNarrowFloat(from) ? kb.extend(values[0], kb.f32, from) : values[0];
    return {kb.truncate(wide, element)};
  }
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op)) {
    unsigned from = getElementTypeOrSelf(values[0].getType()).getIntOrFloatBitWidth();
    Type to = shaped(kb.registerType(element));
    unsigned width = kb.registerType(element).getIntOrFloatBitWidth();
    if (from == width)
      return {values[0]};
    if (from > width)
      return {kb.make<arith::TruncIOp>(to, values[0])};
    return {isa<arith::IndexCastOp>(op) ? kb.make<arith::ExtSIOp>(to, values[0])
                                        : kb.make<arith::ExtUIOp>(to, values[0])};
  }
  if (isa<arith::BitcastOp>(op))
    return {kb.bitcast(shaped(kb.registerType(element)), values[0])};

  if (isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp, arith::CeilDivSIOp,
          arith::CeilDivUIOp, arith::FloorDivSIOp>(op)) {
    // Lanes without data, and divisors that have no quotient, must not trap.
    Value one = kb.constantInt(values[1].getType(), 1);
    Value bad = kb.cmp(CmpIPredicate::eq, values[1], kb.zero(values[1].getType()));
    if (!isa<arith::DivUIOp, arith::RemUIOp, arith::CeilDivUIOp>(op)) {
      unsigned width = getElementTypeOrSelf(values[0].getType()).getIntOrFloatBitWidth();
      Value lowest = kb.constantInt(values[0].getType(), llvm::minIntN(width));
      Value minusOne = kb.constantInt(values[1].getType(), -1);
      bad = kb.ori(bad, kb.andi(kb.cmp(CmpIPredicate::eq, values[0], lowest),
                                kb.cmp(CmpIPredicate::eq, values[1], minusOne)));
    }
    values[1] = kb.select(bad, one, values[1]);
  }
  return {applyFloat(op, result, values, shaped(kb.registerType(element)))};
}

/// An operation on register values; narrow floats are widened before and rounded after.
Value Evaluator::applyFloat(Operation *op, unsigned result, ArrayRef<Value> operands, Type type) {
  bool moves = isa<arith::SelectOp>(op);
  SmallVector<Value> values;
  for (auto [operand, value] : llvm::zip_equal(op->getOperands(), operands)) {
    Type from = elementOf(operand);
    values.push_back(!moves && isNarrowFloat(from) ? kb.extend(value, kb.f32, from) : value);
  }
  Type element = elementOf(op->getResult(result));
  bool narrow = !moves && isNarrowFloat(element);
  auto finish = [&](Value value) { return narrow ? kb.truncate(value, element) : value; };

  if (isa<math::MathDialect>(op->getDialect()) && !isNativeMath(op)) {
    if (isa<FloatType>(elementOf(op->getOperand(0))))
      if (Value value = emitMath(kb, op, values))
        return finish(value);
    kb.fail(op, "this function has no expansion");
    return kb.zero(type);
  }
  if (!isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) || isa<arith::RemFOp>(op) ||
      op->getNumRegions()) {
    kb.fail(op, "no code generator knows this operation here");
    return kb.zero(type);
  }
  OperationState state(kb.loc, op->getName());
  state.addOperands(values);
  for (Value other : op->getResults()) {
    Type register_ = kb.registerType(elementOf(other));
    if (!moves && isNarrowFloat(elementOf(other)))
      register_ = kb.f32;
    state.addTypes(isa<VectorType>(type) ? Type(kb.vec(register_)) : register_);
  }
  // No flag that would license other bits or undefined values.
  for (NamedAttribute attr : op->getAttrs())
    if (!llvm::is_contained({"fastmath", "overflowFlags", "exact", "nonNeg"}, attr.getName()))
      state.addAttribute(attr.getName(), attr.getValue());
  return finish(kb.makeGeneric(state, result));
}

SmallVector<LaneValue> Evaluator::run(Block &block, DenseMap<Value, LaneValue> &env, Value mask,
                                      Operation *until) {
  auto get = [&](Value value) {
    auto found = env.find(value);
    return found != env.end() ? found->second : LaneValue{scalar(value)};
  };
  for (Operation &op : block) {
    if (&op == until || op.hasTrait<OpTrait::IsTerminator>()) {
      SmallVector<LaneValue> results;
      for (Value operand : op.getOperands())
        results.push_back(get(operand));
      return results;
    }
    if (op.getNumResults() && env.count(op.getResult(0)))
      continue;
    if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
      Point point;
      point.mask = mask;
      point.guarded = static_cast<bool>(mask);
      bool varies = false;
      for (Value index : extract.getIndices()) {
        LaneValue value = get(index);
        varies |= !value.isUniform();
        point.coords.push_back(value.isUniform() ? uniform(value.value)
                                                 : vectorCoord(value.value, 0, INT64_MAX));
      }
      if (!varies) { // one element for all lanes, of which at least one is active
        point.mask = {};
        point.guarded = false;
      }
      env[extract.getResult()] = at(extract.getTensor(), point);
      continue;
    }
    if (auto size = dyn_cast<tensor::DimOp>(op)) {
      env[size.getResult()] = {scalar(size.getResult())};
      continue;
    }
    SmallVector<LaneValue> operands;
    for (Value operand : op.getOperands()) {
      if (isa<ShapedType>(operand.getType())) {
        kb.fail(&op, "no code generator knows this operation here");
        operands.push_back(dummy(elementOf(operand)));
      } else {
        operands.push_back(get(operand));
      }
    }
    for (unsigned result = 0; result < op.getNumResults(); ++result)
      env[op.getResult(result)] = apply(&op, result, operands);
  }
  return {};
}

//===----------------------------------------------------------------------===//
// linalg
//===----------------------------------------------------------------------===//

LaneValue Evaluator::linalgAt(linalg::LinalgOp op, unsigned result, const Point &point) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  AffineMap out = maps[op.getNumDpsInputs() + result];
  SmallVector<Coord, 4> loops(op.getNumLoops());
  SmallVector<bool> known(op.getNumLoops());
  for (auto [expr, coord] : llvm::zip_equal(out.getResults(), point.coords)) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      return unsupported(op->getResult(result), "its result is not indexed by its loops", point);
    loops[dim.getPosition()] = coord;
    known[dim.getPosition()] = true;
  }
  if (!llvm::all_of(known, [](bool is) { return is; }))
    return linalgReduce(op, result, point, loops, known);
  DenseMap<Value, LaneValue> env;
  bindBody(op, loops, point, env);
  for (OpOperand &init : op.getDpsInitsMutable())
    if (BlockArgument argument = op.getMatchingBlockArgument(&init); !argument.use_empty())
      env[argument] = linalgOperand(op, init, loops, point);
  return run(*op.getBlock(), env, point.mask)[result];
}

/// The value of an operand at the coordinates of the loops.
LaneValue Evaluator::linalgOperand(linalg::LinalgOp op, OpOperand &operand, ArrayRef<Coord> loops,
                                   const Point &point) {
  if (!isa<RankedTensorType>(operand.get().getType()))
    return {scalar(operand.get())};
  std::function<Coord(AffineExpr)> eval = [&](AffineExpr expr) -> Coord {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      return loops[dim.getPosition()];
    if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      return fixed(constant.getValue());
    auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
    auto constant = binary ? dyn_cast<AffineConstantExpr>(binary.getRHS()) : AffineConstantExpr();
    if (binary && expr.getKind() == AffineExprKind::Add)
      return add(eval(binary.getLHS()), eval(binary.getRHS()));
    if (constant && constant.getValue() >= 0) {
      Size by{kb.c(constant.getValue()), constant.getValue()};
      if (expr.getKind() == AffineExprKind::Mul)
        return scale(eval(binary.getLHS()), by);
      if (expr.getKind() == AffineExprKind::FloorDiv && by.known)
        return divRem(eval(binary.getLHS()), by).first;
      if (expr.getKind() == AffineExprKind::Mod && by.known)
        return divRem(eval(binary.getLHS()), by).second;
    }
    kb.fail(op, "an indexing map is too general");
    return fixed(0);
  };
  SmallVector<Coord, 4> coords;
  for (AffineExpr expr : op.getMatchingIndexingMap(&operand).getResults())
    coords.push_back(eval(expr));
  return at(operand.get(), withCoords(point, coords));
}

/// Inputs and loop indices of a body.
void Evaluator::bindBody(linalg::LinalgOp op, ArrayRef<Coord> loops, const Point &point,
                         DenseMap<Value, LaneValue> &env) {
  for (OpOperand *input : op.getDpsInputOperands())
    if (BlockArgument argument = op.getMatchingBlockArgument(input); !argument.use_empty())
      env[argument] = linalgOperand(op, *input, loops, point);
  op.getBlock()->walk([&](linalg::IndexOp index) {
    const Coord &coord = loops[index.getDim()];
    env[index.getResult()] = {coord.isUniform() ? coord.base : indices(coord)};
  });
}

/// The identity of an associative combination of floats, if `op` is one.
static std::optional<double> identityOf(Operation *op) {
  double infinity = std::numeric_limits<double>::infinity();
  return TypeSwitch<Operation *, std::optional<double>>(op)
      .Case<arith::AddFOp>([](auto) { return 0.0; })
      .Case<arith::MulFOp>([](auto) { return 1.0; })
      .Case<arith::MaximumFOp, arith::MaxNumFOp>([=](auto) { return -infinity; })
      .Case<arith::MinimumFOp, arith::MinNumFOp>([=](auto) { return infinity; })
      .Default([](Operation *) { return std::nullopt; });
}

LaneValue Evaluator::linalgReduce(linalg::LinalgOp op, unsigned result, const Point &point,
                                  SmallVector<Coord, 4> loops, ArrayRef<bool> known) {
  // Sizes of the loops that are summed over.
  SmallVector<unsigned> reduced;
  SmallVector<Size> extents;
  for (unsigned loop = 0; loop < known.size(); ++loop) {
    if (known[loop])
      continue;
    std::optional<Size> extent;
    for (OpOperand *input : op.getDpsInputOperands())
      for (auto [position, expr] : llvm::enumerate(op.getMatchingIndexingMap(input).getResults()))
        if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && dim.getPosition() == loop && !extent)
          extent = this->dim(input->get(), position);
    if (!extent)
      return unsupported(op->getResult(result), "the size of a loop is not known", point);
    reduced.push_back(loop);
    extents.push_back(*extent);
  }
  Block &body = *op.getBlock();
  Operation *yield = body.getTerminator();
  Type element = elementOf(op->getResult(result)), wide = computeType(kb, element);
  BlockArgument carried = op.getMatchingBlockArgument(&op.getDpsInitsMutable()[result]);
  Operation *combiner = yield->getOperand(result).getDefiningOp();
  bool simple = op.getNumDpsInits() == 1 && combiner && combiner->getNumOperands() == 2 &&
                carried.hasOneUse() && *carried.user_begin() == combiner;
  Value term = !simple ? Value() : combiner->getOperand(combiner->getOperand(0) == carried);
  Point outer = point;

  // A fold along the last dimension: 16 partial results.
  std::optional<double> identity = simple ? identityOf(combiner) : std::nullopt;
  if (identity && op.getNumDpsInputs() == 1 && reduced.size() == 1 && isa<FloatType>(element)) {
    ArrayRef<AffineExpr> exprs = op.getMatchingIndexingMap(op.getDpsInputOperand(0)).getResults();
    auto last = exprs.empty() ? AffineDimExpr(nullptr) : dyn_cast<AffineDimExpr>(exprs.back());
    if (last && last.getPosition() == reduced.front()) {
      auto combine = [&](Value a, Value b) {
        OperationState state(kb.loc, combiner->getName());
        state.addOperands({a, b});
        state.addTypes(a.getType());
        return kb.makeGeneric(state);
      };
      return rowValue(op, element, point, [&](const Point &row) {
        SmallVector<Coord, 4> at = loops;
        for (auto [expr, coord] : llvm::zip_equal(
                 op.getIndexingMapsArray()[op.getNumDpsInputs() + result].getResults(), row.coords))
          at[cast<AffineDimExpr>(expr).getPosition()] = coord;
        Value folded = foldRow(
            extents.front(), wide, *identity, *identity,
            [&](Coord lane, Value mask) {
              SmallVector<Coord, 4> inner = at;
              inner[reduced.front()] = lane;
              Point point{row.coords, mask, row.guarded};
              DenseMap<Value, LaneValue> env;
              bindBody(op, inner, point, env);
              env[carried] = dummy(element);
              SmallVector<LaneValue> operands = run(body, env, mask, combiner);
              LaneValue value = operands[combiner->getOperand(0) == carried];
              return LaneValue{kb.extend(value.value, wide, element)};
            },
            combine, combine);
        LaneValue init = linalgOperand(op, op.getDpsInitsMutable()[result], at, row);
        return kb.truncate(combine(kb.extend(init.value, wide, element), folded), element);
      });
    }
  }

  // In order, one element at a time; sums of products by fused multiply-add.
  auto product = term ? term.getDefiningOp<arith::MulFOp>() : arith::MulFOp();
  bool fused = simple && isa<arith::AddFOp>(combiner) && product && product->hasOneUse() &&
               !isNarrowFloat(element);
  bool uniform = isUniform(point);
  KernelBuilder::Values results;
  kb.atDepth(depthOf(point), [&] {
    KernelBuilder::Values inits;
    for (OpOperand &init : op.getDpsInitsMutable()) {
      LaneValue value = linalgOperand(op, init, loops, point);
      inits.push_back(uniform ? value.value : broadcast(value));
    }
    std::function<KernelBuilder::Values(unsigned, ValueRange)> nest =
        [&](unsigned level, ValueRange state) -> KernelBuilder::Values {
      if (level < reduced.size())
        return kb.loop(kb.c(0), extents[level].value, kb.c(1), state,
                       [&](Value index, ValueRange inner) {
                         loops[reduced[level]] = this->uniform(
                             index, 0, extents[level].known < 0 ? INT64_MAX : extents[level].known);
                         return nest(level + 1, inner);
                       });
      DenseMap<Value, LaneValue> env;
      bindBody(op, loops, point, env);
      for (auto [init, value] : llvm::zip_equal(op.getDpsInitsMutable(), state))
        env[op.getMatchingBlockArgument(&init)] = {value};
      auto shaped = [&](LaneValue value) { return uniform ? value.value : broadcast(value); };
      if (fused) {
        SmallVector<LaneValue> factors = run(body, env, point.mask, product);
        return {kb.fma(shaped(factors[0]), shaped(factors[1]), state.front())};
      }
      KernelBuilder::Values next;
      for (LaneValue value : run(body, env, point.mask))
        next.push_back(shaped(value));
      return next;
    };
    results = nest(0, inits);
  });
  return {results[result]};
}

//===----------------------------------------------------------------------===//
// Concatenation, padding, insertion
//===----------------------------------------------------------------------===//

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

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

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
