//===- EvaluatorOperands.cpp - values of operands and constants -----------------------------===//

#include "BlockReader.h"
#include "EvaluatorSupport.h"
#include "KernelABI.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Interfaces/InferIntRangeInterface.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;
using arith::CmpIPredicate;

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

/// The numbers that an integer can be.
static ConstantIntRanges rangeOf(Value value, unsigned depth = 0) {
  static constexpr unsigned kDeepest = 12;
  ConstantIntRanges range =
      ConstantIntRanges::maxRange(ConstantIntRanges::getStorageBitwidth(value.getType()));
  auto op = value.getDefiningOp<InferIntRangeInterface>();
  if (!op || depth == kDeepest)
    return range;
  SmallVector<ConstantIntRanges> operands;
  for (Value operand : op->getOperands())
    operands.push_back(rangeOf(operand, depth + 1));
  op.inferResultRanges(operands, [&](Value result, const ConstantIntRanges &known) {
    if (result == value)
      range = known;
  });
  return range;
}

/// Whether an index of `tensor` along `dim` is inside for what it is.
static bool isInside(Value index, Value tensor, int64_t dim) {
  auto type = cast<RankedTensorType>(tensor.getType());
  bool isStatic = !type.isDynamicDim(dim);
  auto argument = dyn_cast<BlockArgument>(index);
  if (!argument) {
    ConstantIntRanges range = rangeOf(index);
    return isStatic && range.smin().isNonNegative() && range.smax().slt(type.getDimSize(dim));
  }
  Operation *owner = argument.getOwner()->getParentOp();
  if (auto generate = dyn_cast<tensor::GenerateOp>(owner)) {
    RankedTensorType made = generate.getType();
    int64_t loop = argument.getArgNumber();
    if (!made.isDynamicDim(loop))
      return isStatic && made.getDimSize(loop) <= type.getDimSize(dim);
    auto size =
        generate.getDynamicExtents()[made.getDynamicDimIndex(loop)].getDefiningOp<tensor::DimOp>();
    return size && size.getSource() == tensor && size.getConstantIndex() == dim;
  }
  // (score, b, h, i, j), or without the score.
  if (auto attention = dyn_cast<tfm::AttentionOp>(owner))
    return isStatic && argument.getArgNumber() + 3 == argument.getOwner()->getNumArguments() &&
           int64_t(attention.getHeads()) <= type.getDimSize(dim);
  return false;
}

LaneValue Evaluator::atGiven(Value tensor, const Point &point, ArrayRef<Value> indices) {
  Point inside = point;
  Value valid;
  for (auto [d, given] : llvm::enumerate(indices)) {
    if (!given)
      continue;
    Value index = given;
    bool varies = KernelBuilder::isVector(index);
    Value size = dim(tensor, d).value;
    Value fits = kb.cmp(CmpIPredicate::ult, index, varies ? kb.broadcast(size) : size);
    index = kb.select(fits, index, kb.zero(index.getType()));
    inside.coords[d] = varies ? vectorCoord(index, 0, INT64_MAX) : uniform(index);
    if (valid && KernelBuilder::isVector(valid) != varies)
      (varies ? valid : fits) = kb.broadcast(varies ? valid : fits);
    valid = valid ? kb.andi(valid, fits) : fits;
  }
  LaneValue value = at(tensor, inside);
  if (!valid)
    return value;
  if (KernelBuilder::isVector(valid) && value.isUniform())
    value.value = kb.broadcast(value.value);
  Type held = getElementTypeOrSelf(value.value.getType());
  Value none = kb.zero(held);
  if (auto type = dyn_cast<FloatType>(held))
    none = kb.constant(FloatAttr::get(type, APFloat::getNaN(type.getFloatSemantics())));
  else if (elementOf(tensor).isBF16()) // held as its bits
    none = kb.constantInt(held, 0x7FC0);
  if (!value.isUniform())
    none = kb.broadcast(none);
  return {kb.select(valid, value.value, none)};
}

LaneValue Evaluator::extract(tensor::ExtractOp op, Point point, ArrayRef<Value> indices) {
  for (Value index : indices)
    point.coords.push_back(KernelBuilder::isVector(index) ? vectorCoord(index, 0, INT64_MAX)
                                                          : uniform(index));
  SmallVector<Value> unsure(indices);
  for (auto [dim, index] : llvm::enumerate(op.getIndices()))
    if (isInside(index, op.getTensor(), dim))
      unsure[dim] = {};
  return atGiven(op.getTensor(), point, unsure);
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
      SmallVector<Value> indices;
      for (Value index : extract.getIndices())
        indices.push_back(scalar(index));
      result = this->extract(extract, Point(), indices).value;
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
