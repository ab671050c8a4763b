//===- ElementExpr.cpp - one element of a tensor as an expression -----------------------------===//

#include "ElementExpr.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;

namespace ingot {

/// Expressions of more nodes than this are not built. Attention has some dozens.
static constexpr int64_t kMaxNodes = 4096;

//===----------------------------------------------------------------------===//
// Indices
//===----------------------------------------------------------------------===//

Index wholeIndex(unsigned var, int64_t size) {
  Index index;
  if (size != 1)
    index.digits.push_back({var, 1, size});
  return index;
}

uint64_t varsOf(ArrayRef<Index> indices) {
  uint64_t vars = 0;
  for (const Index &index : indices)
    for (const Digit &digit : index.digits)
      if (!digit.isConstant())
        vars |= uint64_t(1) << digit.var;
  return vars;
}

/// The product of the digits' sizes, or dynamic.
static int64_t extentOf(ArrayRef<Digit> digits) {
  int64_t extent = 1;
  for (const Digit &digit : digits) {
    if (ShapedType::isDynamic(digit.size))
      return ShapedType::kDynamic;
    extent *= digit.size;
  }
  return extent;
}

/// Highest digits that are constant become part of the offset.
static void normalize(Index &index) {
  while (!index.digits.empty() && index.digits.front().isConstant()) {
    int64_t weight = extentOf(ArrayRef<Digit>(index.digits).drop_front());
    if (ShapedType::isDynamic(weight))
      return;
    index.offset += index.digits.front().stride * weight;
    index.digits.erase(index.digits.begin());
  }
}

/// The digits of an index that fill a dimension of `size`: an offset becomes a constant digit.
static std::optional<SmallVector<Digit, 2>> fillDimension(const Index &index, int64_t size) {
  SmallVector<Digit, 2> digits = index.digits;
  int64_t extent = extentOf(digits);
  if (extent == size && index.offset == 0)
    return digits;
  if (ShapedType::isDynamic(extent) || ShapedType::isDynamic(size) || index.offset < 0 ||
      size % extent != 0 || index.offset % extent != 0 || index.offset + extent > size)
    return std::nullopt;
  digits.insert(digits.begin(), {Digit::kConstant, index.offset / extent, size / extent});
  return digits;
}

/// The index into a dimension that was split into dimensions of `sizes`.
static std::optional<Index> mergeIndices(ArrayRef<Index> parts, ArrayRef<int64_t> sizes) {
  Index merged;
  int64_t weight = 1;
  for (size_t k = parts.size(); k-- > 0;) {
    if (auto digits = fillDimension(parts[k], sizes[k])) {
      merged.digits.insert(merged.digits.begin(), digits->begin(), digits->end());
    } else if (k == 0 && !ShapedType::isDynamic(weight)) {
      // Only the highest part may be any range of its dimension.
      merged.digits.insert(merged.digits.begin(), parts[0].digits.begin(), parts[0].digits.end());
      merged.offset = parts[0].offset * weight;
    } else {
      return std::nullopt;
    }
    weight = ShapedType::isDynamic(weight) || ShapedType::isDynamic(sizes[k]) ? ShapedType::kDynamic
                                                                              : weight * sizes[k];
  }
  normalize(merged);
  return merged;
}

/// Takes digits that count to `size` from the low (or high) end of `digits`.
static std::optional<Index> takeDigits(SmallVectorImpl<Digit> &digits, int64_t size, bool low) {
  Index taken;
  int64_t rest = size;
  while (rest > 1) {
    if (digits.empty())
      return std::nullopt;
    Digit &digit = low ? digits.back() : digits.front();
    if (ShapedType::isDynamic(digit.size) || digit.size > rest) {
      // Cut the digit. A number whose highest digit is cut divides evenly because the shapes do.
      bool dynamic = ShapedType::isDynamic(digit.size);
      if (!low && dynamic)
        return std::nullopt;
      if (dynamic ? digits.size() != 1 : digit.size % rest != 0)
        return std::nullopt;
      int64_t other = dynamic ? ShapedType::kDynamic : digit.size / rest;
      if (digit.isConstant()) {
        int64_t unit = low ? rest : other, value = digit.stride;
        taken.digits.insert(low ? taken.digits.begin() : taken.digits.end(),
                            {Digit::kConstant, low ? value % unit : value / unit, rest});
        digit.stride = low ? value / unit : value % unit;
        digit.size = other;
      } else if (low) {
        taken.digits.insert(taken.digits.begin(), {digit.var, digit.stride, rest});
        digit.stride *= rest;
        digit.size = other;
      } else {
        taken.digits.push_back({digit.var, digit.stride * other, rest});
        digit.size = other;
      }
      normalize(taken);
      return taken;
    }
    if (rest % digit.size != 0)
      return std::nullopt;
    rest /= digit.size;
    if (low) {
      taken.digits.insert(taken.digits.begin(), digit);
      digits.pop_back();
    } else {
      taken.digits.push_back(digit);
      digits.erase(digits.begin());
    }
  }
  normalize(taken);
  return taken;
}

/// The indices into dimensions of `sizes` that were merged into one.
static std::optional<Indices> splitIndex(const Index &index, ArrayRef<int64_t> sizes) {
  int64_t total = 1;
  for (int64_t size : sizes)
    total = ShapedType::isDynamic(total) || ShapedType::isDynamic(size) ? ShapedType::kDynamic
                                                                        : total * size;
  SmallVector<Digit> digits(index.digits);
  if (index.offset || extentOf(digits) != total) {
    auto filled = fillDimension(index, total);
    if (!filled)
      return std::nullopt;
    digits.assign(filled->begin(), filled->end());
  }
  Indices parts(sizes.size());
  // The dimension that takes what the others leave: the dynamic one, else the first.
  size_t rest = 0;
  for (auto [k, size] : llvm::enumerate(sizes))
    if (ShapedType::isDynamic(size))
      rest = k;
  for (auto [k, size] : llvm::enumerate(sizes))
    if (k != rest && ShapedType::isDynamic(size))
      return std::nullopt;
  for (size_t k = sizes.size(); k-- > rest + 1;) {
    std::optional<Index> part = takeDigits(digits, sizes[k], /*low=*/true);
    if (!part)
      return std::nullopt;
    parts[k] = *part;
  }
  for (size_t k = 0; k < rest; ++k) {
    std::optional<Index> part = takeDigits(digits, sizes[k], /*low=*/false);
    if (!part)
      return std::nullopt;
    parts[k] = *part;
  }
  if (!ShapedType::isDynamic(sizes[rest]) && extentOf(digits) != sizes[rest])
    return std::nullopt;
  parts[rest].digits.assign(digits.begin(), digits.end());
  normalize(parts[rest]);
  return parts;
}

std::optional<std::pair<Value, Indices>> followView(Operation *op, ArrayRef<Index> indices,
                                                    bool throughSlices) {
  using Result = std::optional<std::pair<Value, Indices>>;
  return TypeSwitch<Operation *, Result>(op)
      .Case([&](linalg::TransposeOp transpose) -> Result {
        Indices source(indices.size());
        for (auto [k, from] : llvm::enumerate(transpose.getPermutation()))
          source[from] = indices[k];
        return std::pair(transpose.getInput(), source);
      })
      .Case([&](linalg::BroadcastOp broadcast) -> Result {
        Indices source;
        for (auto [k, index] : llvm::enumerate(indices))
          if (!llvm::is_contained(broadcast.getDimensions(), int64_t(k)))
            source.push_back(index);
        return std::pair(broadcast.getInput(), source);
      })
      .Case([&](tensor::CastOp cast) -> Result {
        if (!isa<RankedTensorType>(cast.getSource().getType()))
          return std::nullopt;
        return std::pair(cast.getSource(), Indices(indices));
      })
      .Case([&](tensor::ExpandShapeOp expand) -> Result {
        Indices source;
        for (const ReassociationIndices &group : expand.getReassociationIndices()) {
          std::optional<Index> merged =
              mergeIndices(indices.slice(group.front(), group.size()),
                           expand.getResultType().getShape().slice(group.front(), group.size()));
          if (!merged)
            return std::nullopt;
          source.push_back(*merged);
        }
        return std::pair(expand.getSrc(), source);
      })
      .Case([&](tensor::CollapseShapeOp collapse) -> Result {
        Indices source;
        if (collapse.getReassociationIndices().empty())
          source.resize(collapse.getSrcType().getRank());
        for (auto [k, group] : llvm::enumerate(collapse.getReassociationIndices())) {
          std::optional<Indices> parts = splitIndex(
              indices[k], collapse.getSrcType().getShape().slice(group.front(), group.size()));
          if (!parts)
            return std::nullopt;
          source.append(*parts);
        }
        return std::pair(collapse.getSrc(), source);
      })
      .Case([&](tensor::ExtractSliceOp slice) -> Result {
        if (!throughSlices || llvm::any_of(slice.getStaticOffsets(), ShapedType::isDynamic) ||
            llvm::any_of(slice.getStaticStrides(), [](int64_t stride) {
              return ShapedType::isDynamic(stride) || stride < 1;
            }))
          return std::nullopt;
        Indices source;
        llvm::SmallBitVector dropped = slice.getDroppedDims();
        for (size_t d = 0, next = 0; d < slice.getStaticOffsets().size(); ++d) {
          Index index = dropped[d] ? Index() : indices[next++];
          int64_t stride = slice.getStaticStrides()[d], offset = slice.getStaticOffsets()[d];
          index.offset *= stride;
          if (stride != 1 && !index.digits.empty()) {
            index.digits.push_back({Digit::kConstant, offset % stride, stride});
            offset -= offset % stride;
          }
          index.offset += offset;
          source.push_back(index);
        }
        return std::pair(slice.getSource(), source);
      })
      .Case([&](tensor::ConcatOp concat) -> Result {
        // Followed where all elements come from one of the inputs.
        const Index &index = indices[concat.getDim()];
        int64_t extent = extentOf(index.digits);
        if (ShapedType::isDynamic(extent))
          return std::nullopt;
        int64_t first = evaluate(index, SmallVector<int64_t>(Digit::kConstant, 0)), last = 0;
        for (const Digit &digit : index.digits)
          last = last * digit.size + (digit.isConstant() ? digit.stride : digit.size - 1);
        last += index.offset;
        int64_t start = 0;
        for (Value input : concat.getInputs()) {
          int64_t size = cast<RankedTensorType>(input.getType()).getDimSize(concat.getDim());
          if (ShapedType::isDynamic(size))
            return std::nullopt;
          if (start <= first && last < start + size) {
            Indices source(indices);
            source[concat.getDim()].offset -= start;
            return std::pair(input, source);
          }
          start += size;
        }
        return std::nullopt;
      })
      .Default([](Operation *) -> Result { return std::nullopt; });
}

//===----------------------------------------------------------------------===//
// Tracing
//===----------------------------------------------------------------------===//

std::optional<double> splatOf(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return std::nullopt;
  ElementTracer tracer([](Operation *) { return false; }, /*throughSlices=*/true);
  // Any element stands for all if it is known without knowing which.
  Indices indices;
  for (auto [dim, size] : llvm::enumerate(type.getShape()))
    indices.push_back(wholeIndex(dim, size));
  Node *node = tracer.trace(value, indices);
  return node->kind == Node::Const ? std::optional<double>(node->number) : std::nullopt;
}

bool isFloatCast(Operation *op) { return isa_and_nonnull<arith::ExtFOp, arith::TruncFOp>(op); }

Node *ElementTracer::make(Node node) {
  node.vars |= varsOf(node.indices);
  for (Node *operand : node.operands) {
    node.vars |= operand->vars;
    node.hasLeaf |= operand->hasLeaf;
    node.size += operand->size;
  }
  node.hasLeaf |= node.kind == Node::Leaf;
  nodes.push_back(std::move(node));
  return &nodes.back();
}

Node *ElementTracer::makeConst(Type type, double number) {
  Node node{Node::Const, type, {}, {}, number};
  return make(node);
}

Node *ElementTracer::trace(Value value, ArrayRef<Index> indices) {
  for (const auto &[at, node] : memo[value])
    if (ArrayRef<Index>(at) == indices)
      return node;
  Node *node = traceTensor(value, indices);
  memo[value].emplace_back(Indices(indices), node);
  return node;
}

static std::optional<double> numberOf(Attribute attr) {
  if (auto number = dyn_cast<FloatAttr>(attr))
    return number.getValueAsDouble();
  if (auto number = dyn_cast<IntegerAttr>(attr))
    return number.getType().isInteger(1) ? double(number.getValue().getBoolValue())
                                         : double(number.getValue().getSExtValue());
  return std::nullopt;
}

/// Converts through double: APFloat::convertToDouble wants the IEEE type itself.
static double toDouble(APFloat value) {
  bool loses;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &loses);
  return value.convertToDouble();
}

/// The position in row-major order, or nothing outside the table.
static std::optional<int64_t> linearPosition(ShapedType type, ArrayRef<int64_t> at) {
  int64_t position = 0;
  for (auto [size, index] : llvm::zip(type.getShape(), at)) {
    if (index < 0 || index >= size)
      return std::nullopt;
    position = position * size + index;
  }
  return position;
}

static std::optional<double> tableElement(DenseElementsAttr table, ArrayRef<int64_t> at) {
  std::optional<int64_t> position = linearPosition(table.getType(), at);
  if (!position)
    return std::nullopt;
  if (isa<FloatType>(table.getElementType()))
    return toDouble(*(table.getValues<APFloat>().begin() + *position));
  APInt number = *(table.getValues<APInt>().begin() + *position);
  return table.getElementType().isInteger(1) ? double(number.getBoolValue())
                                             : double(number.getSExtValue());
}

/// The constant behind a value, where its elements are numbers.
static DenseElementsAttr constantOf(Value value) {
  DenseElementsAttr table;
  if (!value || !matchPattern(value, m_Constant(&table)) ||
      !table.getElementType().isIntOrIndexOrFloat())
    return {};
  return table;
}

Node *ElementTracer::traceTensor(Value value, ArrayRef<Index> indices) {
  auto tensorType = cast<RankedTensorType>(value.getType());
  Type type = tensorType.getElementType();
  auto load = [&] { return make({Node::Load, type, value, Indices(indices)}); };
  Operation *op = value.getDefiningOp();
  if (!op)
    return load();
  if (isLeaf(op))
    return make({Node::Leaf, type, value, Indices(indices), 0, op});
  if (DenseElementsAttr table = constantOf(value)) {
    SmallVector<int64_t> at;
    for (const Index &index : indices)
      if (index.isConstant())
        at.push_back(index.offset);
    if (table.isSplat())
      at.assign(tensorType.getRank(), 0);
    if (int64_t(at.size()) == tensorType.getRank() && tensorType.getNumElements() > 0)
      if (std::optional<double> number = tableElement(table, at)) {
        Node node{Node::Const, type, value, Indices(indices), *number};
        Node *made = make(node);
        made->vars = 0;
        return made;
      }
    return load();
  }
  if (auto view = followView(op, indices, throughSlices))
    return trace(view->first, view->second);
  if (auto positions = dyn_cast<tfm::PositionsOp>(op)) {
    if (positions.getBatch())
      return load();
    return make({Node::Number, type, value, Indices(indices)});
  }
  if (auto splat = dyn_cast<tensor::SplatOp>(op))
    return traceScalar(splat.getInput());
  if (auto fill = dyn_cast<linalg::FillOp>(op))
    return traceScalar(fill.getInputs()[0]);
  if (auto elements = dyn_cast<tensor::FromElementsOp>(op)) {
    if (elements.getElements().size() == 1)
      return traceScalar(elements.getElements()[0]);
    return load();
  }
  if (auto generate = dyn_cast<tensor::GenerateOp>(op)) {
    Block &body = generate.getBody().front();
    Node *node = traceBody(body.getTerminator()->getOperand(0), indices, [&](BlockArgument arg) {
      return make({Node::Number, arg.getType(), {}, {indices[arg.getArgNumber()]}});
    });
    return node ? node : load();
  }
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    AffineMap out = generic.getMatchingIndexingMap(generic.getDpsInitOperand(0));
    if (generic.getNumDpsInits() != 1 || generic.getNumParallelLoops() != generic.getNumLoops() ||
        !out.isPermutation())
      return load();
    Indices loops(generic.getNumLoops());
    for (auto [k, expr] : llvm::enumerate(out.getResults()))
      loops[cast<AffineDimExpr>(expr).getPosition()] = indices[k];
    Node *node =
        traceBody(generic.getBlock()->getTerminator()->getOperand(0), loops,
                  [&](BlockArgument arg) -> Node * {
                    OpOperand *operand = generic.getMatchingOpOperand(arg);
                    if (!generic.isDpsInput(operand))
                      return nullptr;
                    if (!isa<RankedTensorType>(operand->get().getType()))
                      return traceScalar(operand->get());
                    Indices at;
                    for (AffineExpr expr : generic.getMatchingIndexingMap(operand).getResults()) {
                      if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
                        at.push_back(loops[dim.getPosition()]);
                      } else if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
                        at.emplace_back();
                        at.back().offset = constant.getValue();
                      } else {
                        return nullptr;
                      }
                    }
                    return trace(operand->get(), at);
                  });
    return node ? node : load();
  }
  if (!OpTrait::hasElementwiseMappableTraits(op) || op->getNumResults() != 1)
    return load();
  SmallVector<Node *> operands;
  for (Value operand : op->getOperands())
    operands.push_back(isa<RankedTensorType>(operand.getType()) ? trace(operand, indices)
                                                                : traceScalar(operand));
  Node *node = makeOp(op, operands, value, indices);
  return node ? node : load();
}

Node *ElementTracer::traceScalar(Value value) {
  Attribute attr;
  if (matchPattern(value, m_Constant(&attr)))
    if (std::optional<double> number = numberOf(attr))
      return makeConst(value.getType(), *number);
  if (auto extract = value.getDefiningOp<tensor::ExtractOp>()) {
    Indices at;
    for (Value index : extract.getIndices()) {
      IntegerAttr constant;
      if (!matchPattern(index, m_Constant(&constant)))
        return make({Node::Scalar, value.getType(), value});
      at.emplace_back();
      at.back().offset = constant.getInt();
    }
    return trace(extract.getTensor(), at);
  }
  return make({Node::Scalar, value.getType(), value});
}

Node *ElementTracer::traceBody(Value value, ArrayRef<Index> loops,
                               function_ref<Node *(BlockArgument)> argument) {
  if (auto arg = dyn_cast<BlockArgument>(value)) {
    Operation *parent = arg.getOwner()->getParentOp();
    if (isa<linalg::GenericOp, tensor::GenerateOp>(parent))
      return argument(arg);
    return traceScalar(value);
  }
  Operation *op = value.getDefiningOp();
  if (!isa<linalg::GenericOp, tensor::GenerateOp>(op->getParentOp()))
    return traceScalar(value);
  Attribute attr;
  if (matchPattern(value, m_Constant(&attr))) {
    std::optional<double> number = numberOf(attr);
    return number ? makeConst(value.getType(), *number) : nullptr;
  }
  if (auto index = dyn_cast<linalg::IndexOp>(op))
    return make({Node::Number, value.getType(), {}, {loops[index.getDim()]}});
  if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
    // At loop variables it is an element like any other; a table that is read at computed places
    // stays one.
    Indices at;
    SmallVector<Node *> operands;
    for (Value operand : extract.getIndices()) {
      Node *index = traceBody(operand, loops, argument);
      if (!index)
        return nullptr;
      operands.push_back(index);
      if (index->kind == Node::Number)
        at.push_back(index->indices[0]);
      else if (index->kind == Node::Const)
        at.emplace_back().offset = int64_t(index->number);
    }
    if (at.size() == operands.size())
      return trace(extract.getTensor(), at);
    return makeGather(extract.getTensor(), operands);
  }
  if (!OpTrait::hasElementwiseMappableTraits(op) || op->getNumResults() != 1)
    return nullptr;
  SmallVector<Node *> operands;
  for (Value operand : op->getOperands()) {
    operands.push_back(traceBody(operand, loops, argument));
    if (!operands.back())
      return nullptr;
  }
  return makeOp(op, operands, {}, {});
}

Node *ElementTracer::makeGather(Value table, ArrayRef<Node *> operands) {
  Node node{Node::Gather, getElementTypeOrSelf(table.getType()), table};
  int64_t size = 1;
  for (Node *operand : operands) {
    if (operand->hasLeaf)
      return nullptr;
    size += operand->size;
  }
  if (size > kMaxNodes)
    return nullptr;
  node.operands.assign(operands.begin(), operands.end());
  return make(node);
}

Node *ElementTracer::makeOp(Operation *op, ArrayRef<Node *> operands, Value origin,
                            ArrayRef<Index> indices) {
  Type type = getElementTypeOrSelf(op->getResult(0).getType());
  if (llvm::all_of(operands, [](Node *operand) { return operand->kind == Node::Const; })) {
    SmallVector<double> numbers;
    for (Node *operand : operands)
      numbers.push_back(operand->number);
    if (std::optional<double> number = evaluateOp(op, numbers))
      return makeConst(type, *number);
  }
  // What changes nothing disappears.
  auto isConst = [&](unsigned k, double number) { return operands[k]->isConst(number); };
  if (isa<arith::MulFOp, arith::MulIOp>(op)) {
    if (isConst(1, 1))
      return operands[0];
    if (isConst(0, 1))
      return operands[1];
  }
  if (isa<arith::AddFOp, arith::AddIOp>(op)) {
    if (isConst(1, 0))
      return operands[0];
    if (isConst(0, 0))
      return operands[1];
  }
  if (isa<arith::SubFOp, arith::SubIOp>(op) && isConst(1, 0))
    return operands[0];
  if (isa<arith::DivFOp>(op) && isConst(1, 1))
    return operands[0];
  if (isa<arith::NegFOp>(op) && operands[0]->kind == Node::Op &&
      isa<arith::NegFOp>(operands[0]->op))
    return operands[0]->operands[0];
  if (isa<arith::TruncFOp>(op) && operands[0]->kind == Node::Op &&
      isa<arith::ExtFOp>(operands[0]->op) && operands[0]->operands[0]->type == type)
    return operands[0]->operands[0];
  if (isa<arith::TruncIOp>(op) && operands[0]->kind == Node::Op &&
      isa<arith::ExtUIOp, arith::ExtSIOp>(operands[0]->op) &&
      operands[0]->operands[0]->type == type)
    return operands[0]->operands[0];
  if (isa<arith::SelectOp>(op) && operands[0]->kind == Node::Const)
    return operands[operands[0]->number != 0 ? 1 : 2];
  int64_t size = 1;
  for (Node *operand : operands)
    size += operand->size;
  if (size > kMaxNodes)
    return nullptr;
  Node node{Node::Op, type, origin, Indices(indices), 0, op};
  node.operands.assign(operands.begin(), operands.end());
  Node *made = make(node);
  // The indices say where the origin is read; what the element depends on are the operands.
  made->vars = 0;
  for (Node *operand : operands)
    made->vars |= operand->vars;
  return made;
}

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

std::optional<double> evaluateOp(Operation *op, ArrayRef<double> x) {
  using Result = std::optional<double>;
  // One-bit numbers wrap at once, and their order is that of -1 and 0.
  bool oneBit = getElementTypeOrSelf(op->getOperand(0).getType()).isInteger(1);
  if (oneBit && isa<arith::AddIOp, arith::SubIOp>(op))
    return std::nullopt;
  auto compare = [&](bool less, bool equal, bool greater) {
    return x[0] < x[1] ? less : x[0] == x[1] ? equal : x[0] > x[1] ? greater : false;
  };
  return TypeSwitch<Operation *, Result>(op)
      .Case<arith::AddFOp, arith::AddIOp>([&](auto) { return x[0] + x[1]; })
      .Case<arith::SubFOp, arith::SubIOp>([&](auto) { return x[0] - x[1]; })
      .Case<arith::MulFOp, arith::MulIOp>([&](auto) { return x[0] * x[1]; })
      .Case([&](arith::DivFOp) { return x[0] / x[1]; })
      .Case([&](arith::NegFOp) { return -x[0]; })
      .Case<arith::MaximumFOp, arith::MaxNumFOp, arith::MaxSIOp>(
          [&](auto) { return std::max(x[0], x[1]); })
      .Case<arith::MinimumFOp, arith::MinNumFOp, arith::MinSIOp>(
          [&](auto) { return std::min(x[0], x[1]); })
      .Case<arith::ExtFOp, arith::TruncFOp, arith::ExtUIOp, arith::UIToFPOp, arith::IndexCastOp,
            arith::IndexCastUIOp>([&](auto) { return x[0]; })
      .Case<arith::ExtSIOp, arith::SIToFPOp>([&](auto cast) {
        return getElementTypeOrSelf(cast.getIn().getType()).isInteger(1) ? -x[0] : x[0];
      })
      .Case([&](arith::TruncIOp cast) -> Result {
        if (getElementTypeOrSelf(cast.getType()).isInteger(1))
          return double(int64_t(x[0]) & 1);
        return x[0];
      })
      .Case([&](arith::SelectOp) { return x[0] != 0 ? x[1] : x[2]; })
      .Case<arith::AndIOp, arith::OrIOp, arith::XOrIOp>([&](auto logic) -> Result {
        if (!getElementTypeOrSelf(logic.getType()).isInteger(1))
          return std::nullopt;
        bool a = x[0] != 0, b = x[1] != 0;
        return isa<arith::AndIOp>(op) ? a && b : isa<arith::OrIOp>(op) ? a || b : a != b;
      })
      .Case([&](arith::CmpIOp cmp) -> Result {
        if (oneBit && cmp.getPredicate() != arith::CmpIPredicate::eq &&
            cmp.getPredicate() != arith::CmpIPredicate::ne)
          return std::nullopt;
        switch (cmp.getPredicate()) {
        case arith::CmpIPredicate::eq:
          return compare(false, true, false);
        case arith::CmpIPredicate::ne:
          return compare(true, false, true);
        case arith::CmpIPredicate::slt:
          return compare(true, false, false);
        case arith::CmpIPredicate::sle:
          return compare(true, true, false);
        case arith::CmpIPredicate::sgt:
          return compare(false, false, true);
        case arith::CmpIPredicate::sge:
          return compare(false, true, true);
        default:
          return std::nullopt;
        }
      })
      .Case([&](arith::CmpFOp cmp) -> Result {
        if (std::isnan(x[0]) || std::isnan(x[1]))
          return std::nullopt;
        switch (cmp.getPredicate()) {
        case arith::CmpFPredicate::OEQ:
        case arith::CmpFPredicate::UEQ:
          return compare(false, true, false);
        case arith::CmpFPredicate::ONE:
        case arith::CmpFPredicate::UNE:
          return compare(true, false, true);
        case arith::CmpFPredicate::OLT:
        case arith::CmpFPredicate::ULT:
          return compare(true, false, false);
        case arith::CmpFPredicate::OLE:
        case arith::CmpFPredicate::ULE:
          return compare(true, true, false);
        case arith::CmpFPredicate::OGT:
        case arith::CmpFPredicate::UGT:
          return compare(false, false, true);
        case arith::CmpFPredicate::OGE:
        case arith::CmpFPredicate::UGE:
          return compare(false, true, true);
        default:
          return std::nullopt;
        }
      })
      .Case([&](math::AbsFOp) { return std::fabs(x[0]); })
      .Case([&](math::AbsIOp) { return std::fabs(x[0]); })
      .Case([&](math::SqrtOp) { return std::sqrt(x[0]); })
      .Case([&](math::RsqrtOp) { return 1 / std::sqrt(x[0]); })
      .Case([&](math::ExpOp) { return std::exp(x[0]); })
      .Case([&](math::LogOp) { return std::log(x[0]); })
      .Case([&](math::TanhOp) { return std::tanh(x[0]); })
      .Case([&](math::PowFOp) { return std::pow(x[0], x[1]); })
      .Default([](Operation *) -> Result { return std::nullopt; });
}

int64_t evaluate(const Index &index, ArrayRef<int64_t> vars) {
  int64_t value = 0;
  for (const Digit &digit : index.digits) {
    if (digit.isConstant()) {
      value = value * digit.size + digit.stride;
      continue;
    }
    int64_t part = vars[digit.var] / digit.stride;
    if (ShapedType::isDynamic(digit.size))
      value = part; // Always the highest digit.
    else
      value = value * digit.size + part % digit.size;
  }
  return value + index.offset;
}

std::optional<double> evaluate(const Node *node, ArrayRef<int64_t> vars) {
  switch (node->kind) {
  case Node::Const:
    return node->number;
  case Node::Number:
    return double(evaluate(node->indices[0], vars));
  case Node::Load: {
    DenseElementsAttr table = constantOf(node->origin);
    if (!table)
      return std::nullopt;
    SmallVector<int64_t> at;
    for (const Index &index : node->indices)
      at.push_back(evaluate(index, vars));
    return tableElement(table, at);
  }
  case Node::Op: {
    SmallVector<double> numbers;
    for (const Node *operand : node->operands) {
      std::optional<double> number = evaluate(operand, vars);
      if (!number)
        return std::nullopt;
      numbers.push_back(*number);
    }
    return evaluateOp(node->op, numbers);
  }
  case Node::Gather: {
    DenseElementsAttr table = constantOf(node->origin);
    SmallVector<int64_t> at;
    for (const Node *operand : node->operands) {
      std::optional<double> number = table ? evaluate(operand, vars) : std::nullopt;
      if (!number)
        return std::nullopt;
      at.push_back(int64_t(*number));
    }
    return tableElement(table, at);
  }
  case Node::Leaf:
  case Node::Scalar:
    return std::nullopt;
  }
  return std::nullopt;
}

bool sameExpr(const Node *a, const Node *b, std::optional<std::pair<unsigned, unsigned>> rename) {
  if (a == b && !rename)
    return true;
  if (a->kind != b->kind || a->type != b->type)
    return false;
  auto renamed = [&](Digit digit) {
    if (rename && digit.var == rename->first)
      digit.var = rename->second;
    return digit;
  };
  auto sameIndices = [&] {
    return llvm::equal(a->indices, b->indices, [&](const Index &x, const Index &y) {
      return x.offset == y.offset &&
             llvm::equal(x.digits, y.digits,
                         [&](const Digit &p, const Digit &q) { return renamed(p) == renamed(q); });
    });
  };
  switch (a->kind) {
  case Node::Const:
    return a->number == b->number;
  case Node::Number:
    return sameIndices();
  case Node::Leaf:
  case Node::Load:
    return a->origin == b->origin && sameIndices();
  case Node::Scalar:
    return a->origin == b->origin;
  case Node::Gather:
    return a->origin == b->origin &&
           llvm::equal(a->operands, b->operands,
                       [&](const Node *x, const Node *y) { return sameExpr(x, y, rename); });
  case Node::Op:
    return a->op->getName() == b->op->getName() &&
           a->op->getRawDictionaryAttrs() == b->op->getRawDictionaryAttrs() &&
           a->op->hashProperties() == b->op->hashProperties() &&
           llvm::equal(a->operands, b->operands,
                       [&](const Node *x, const Node *y) { return sameExpr(x, y, rename); });
  }
  return false;
}

} // namespace ingot
