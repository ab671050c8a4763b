//===- Evaluator.cpp - operands, coordinates, loads and loops -------------------------------===//

#include "Evaluator.h"
#include "KernelABI.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <numeric>

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;
using arith::CmpIPredicate;

Evaluator::Evaluator(KernelBuilder &kb, plan::KernelOp kernel,
                     const plan::KernelInterface &interface)
    : kb(kb), kernel(kernel), interface(interface) {}

//===----------------------------------------------------------------------===//
// The kernel's operands
//===----------------------------------------------------------------------===//

static Value bufferAt(KernelBuilder &kb, const plan::KernelInterface &interface, bool isResult,
                      unsigned index) {
  for (auto [number, buffer] : llvm::enumerate(interface.buffers))
    if (buffer.isResult == isResult && buffer.index == index) {
      Value table = kb.load(kb.ptr, kb.field(kb.args(), abi::kArgsBuffers));
      return kb.load(kb.ptr, kb.gep(table, number, kb.ptr));
    }
  llvm_unreachable("not a buffer");
}

Value Evaluator::operandBuffer(unsigned operand) { return bufferAt(kb, interface, false, operand); }
Value Evaluator::resultBuffer(unsigned result) { return bufferAt(kb, interface, true, result); }

static Value scalarAt(KernelBuilder &kb, unsigned number, Type type) {
  Value table = kb.load(kb.ptr, kb.field(kb.args(), abi::kArgsScalars));
  return kb.load(type, kb.gep(table, number, kb.i64));
}

Value Evaluator::scalarOperand(unsigned operand) {
  for (auto [number, scalar] : llvm::enumerate(interface.scalars)) {
    if (scalar.kind == plan::KernelInterface::ScalarKind::Dim || scalar.index != operand)
      continue;
    Type type = kernel.getArgumentTypes()[operand];
    if (scalar.kind == plan::KernelInterface::ScalarKind::CacheOffset || type.isIndex())
      return scalarAt(kb, number, kb.i64);
    if (isa<FloatType>(type))
      return scalarAt(kb, number, kb.registerType(type));
    Value word = scalarAt(kb, number, kb.i64);
    return type.isInteger(64) ? word : kb.make<arith::TruncIOp>(type, word);
  }
  llvm_unreachable("not a scalar");
}

static Size dimOf(KernelBuilder &kb, const plan::KernelInterface &interface, RankedTensorType type,
                  bool isResult, unsigned index, unsigned dim) {
  if (!type.isDynamicDim(dim))
    return {kb.c(type.getDimSize(dim)), type.getDimSize(dim)};
  for (auto [number, scalar] : llvm::enumerate(interface.scalars))
    if (scalar.kind == plan::KernelInterface::ScalarKind::Dim && scalar.isResult == isResult &&
        scalar.index == index && scalar.dim == dim)
      return {scalarAt(kb, number, kb.i64), -1};
  llvm_unreachable("not a dynamic dimension");
}

Size Evaluator::resultDim(unsigned result, unsigned dim) {
  return dimOf(kb, interface, cast<RankedTensorType>(kernel.getResultTypes()[result]), true, result,
               dim);
}

Size Evaluator::dim(Value tensor, unsigned dim) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(dim))
    return {kb.c(type.getDimSize(dim)), type.getDimSize(dim)};
  if (auto argument = dyn_cast<BlockArgument>(tensor))
    return dimOf(kb, interface, type, false, argument.getArgNumber(), dim);

  // A kernel's result says its own size.
  Operation *op = tensor.getDefiningOp(), *yield = kernel.getBody().front().getTerminator();
  for (OpOperand &use : tensor.getUses())
    if (use.getOwner() == yield)
      return resultDim(use.getOperandNumber(), dim);

  auto dynamic = [&](OpFoldResult size) -> Size {
    if (auto attr = dyn_cast<Attribute>(size)) {
      int64_t known = cast<IntegerAttr>(attr).getInt();
      return {kb.c(known), known};
    }
    return {scalar(cast<Value>(size)), -1};
  };
  auto total = [&](Size a, Size x) -> Size {
    return {kb.add(a.value, x.value), a.known < 0 || x.known < 0 ? -1 : a.known + x.known};
  };
  auto unknown = [&]() -> Size {
    kb.fail(op, "the size of its result is not known");
    return {kb.c(1), 1};
  };
  return TypeSwitch<Operation *, Size>(op)
      .Case([&](tensor::EmptyOp op) { return dynamic(op.getMixedSizes()[dim]); })
      .Case([&](tensor::SplatOp op) {
        unsigned dynamicDim = op.getType().getDynamicDimIndex(dim);
        return dynamic(OpFoldResult(op.getDynamicSizes()[dynamicDim]));
      })
      .Case([&](tensor::CastOp op) { return this->dim(op.getSource(), dim); })
      .Case([&](tensor::ExtractSliceOp op) {
        llvm::SmallBitVector dropped = op.getDroppedDims();
        for (auto [position, size] : llvm::enumerate(op.getMixedSizes()))
          if (!dropped[position] && dim-- == 0)
            return dynamic(size);
        llvm_unreachable("dimension out of range");
      })
      .Case([&](tensor::ConcatOp op) {
        Size sum = this->dim(op.getInputs().front(), dim);
        if (dim == op.getDim())
          for (Value input : op.getInputs().drop_front())
            sum = total(sum, this->dim(input, dim));
        return sum;
      })
      .Case([&](tensor::PadOp op) {
        Size sum = total(this->dim(op.getSource(), dim), dynamic(op.getMixedLowPad()[dim]));
        return total(sum, dynamic(op.getMixedHighPad()[dim]));
      })
      .Case([&](tensor::InsertSliceOp op) { return this->dim(op.getDest(), dim); })
      .Case([&](tensor::GenerateOp op) {
        unsigned position = 0;
        for (unsigned before = 0; before < dim; ++before)
          position += type.isDynamicDim(before);
        return Size{scalar(op.getDynamicExtents()[position]), -1};
      })
      .Case([&](tensor::ExpandShapeOp op) { return dynamic(op.getMixedOutputShape()[dim]); })
      .Case([&](tensor::CollapseShapeOp op) {
        Size product{kb.c(1), 1};
        for (int64_t source : op.getReassociationIndices()[dim]) {
          Size size = this->dim(op.getSrc(), source);
          product = {kb.mul(product.value, size.value),
                     product.known < 0 || size.known < 0 ? -1 : product.known * size.known};
        }
        return product;
      })
      .Case([&](tfm::PositionsOp op) { return this->dim(op.getTokens(), 0); })
      .Case([&](tfm::PromptLengthsOp op) { return this->dim(op.getTokens(), 0); })
      .Case([&](tfm::EmbeddingOp op) { return this->dim(dim ? op.getTable() : op.getIds(), dim); })
      .Case([&](tfm::LinearOp op) { return this->dim(op.getX(), dim); })
      .Case([&](tfm::MatmulOp op) {
        unsigned last = type.getRank() - 1;
        if (dim == last)
          return this->dim(op.getB(), op.getTransposeB() ? last - 1 : last);
        return this->dim(op.getA(), dim);
      })
      .Case([&](tfm::GatherOutputsOp) {
        return Size{batchField(abi::kBatchOutputCount, kb.i64), -1};
      })
      .Default([&](Operation *op) -> Size {
        if (auto linalg = dyn_cast<linalg::LinalgOp>(op))
          return this->dim(linalg.getDpsInits()[cast<OpResult>(tensor).getResultNumber()], dim);
        for (Value operand : op->getOperands())
          if (auto same = dyn_cast<RankedTensorType>(operand.getType());
              same && same.getShape() == type.getShape())
            return this->dim(operand, dim);
        return unknown();
      });
}

Value Evaluator::batchField(int64_t offset, Type type) {
  if (!interface.batch) {
    kb.fail(kernel, "expected a batch operand");
    return kb.zero(kb.i64);
  }
  Value batch = kb.load(kb.ptr, kb.field(kb.args(), abi::kArgsBatch));
  return kb.load(type, kb.field(batch, offset));
}

SmallVector<Size, 4> Evaluator::sizes(Value tensor) {
  SmallVector<Size, 4> result;
  for (unsigned d = 0; d < cast<RankedTensorType>(tensor.getType()).getRank(); ++d)
    result.push_back(dim(tensor, d));
  return result;
}

//===----------------------------------------------------------------------===//
// Coordinates
//===----------------------------------------------------------------------===//

static int64_t boundAdd(int64_t bound, int64_t by) {
  int64_t sum;
  return bound == INT64_MAX || llvm::AddOverflow(bound, by, sum) ? INT64_MAX : sum;
}
static int64_t boundMul(int64_t bound, int64_t by) {
  int64_t product;
  return bound == INT64_MAX || llvm::MulOverflow(bound, by, product) ? INT64_MAX : product;
}
static int64_t alignOf(int64_t value) {
  return value ? std::min<int64_t>(value & -value, 4096) : 4096;
}

Coord Evaluator::uniform(Value index, int64_t low, int64_t high, int64_t align) {
  IntegerAttr known;
  if (matchPattern(index, m_Constant(&known)))
    return fixed(known.getInt());
  return {index, {}, 0, low, high, align};
}
Coord Evaluator::fixed(int64_t index) {
  return {kb.c(index), {}, 0, index, index + 1, alignOf(index)};
}
Coord Evaluator::lanes(Value base, int64_t low, int64_t high, int64_t align) {
  return {base, {}, 1, low, high, align};
}
Coord Evaluator::vectorCoord(Value indices, int64_t low, int64_t high) {
  return {{}, indices, 0, low, high, 1};
}

Value Evaluator::indices(const Coord &a) {
  if (a.indices)
    return a.indices;
  Value base = kb.broadcast(a.base);
  return a.step ? kb.add(base, kb.iota(kb.i64, a.step)) : base;
}

Coord Evaluator::addConstant(Coord a, int64_t by) {
  if (by == 0)
    return a;
  (a.indices ? a.indices : a.base) = kb.add(a.indices ? a.indices : a.base, by);
  a.low += by;
  a.high = boundAdd(a.high, by);
  a.align = std::gcd(a.align, by);
  return a;
}

Coord Evaluator::add(const Coord &a, const Coord &x) {
  int64_t high = x.high == INT64_MAX ? INT64_MAX : boundAdd(a.high, x.high - 1);
  if (a.indices || x.indices)
    return vectorCoord(kb.add(indices(a), indices(x)), a.low + x.low, high);
  return {kb.add(a.base, x.base), {},   a.step + x.step,
          a.low + x.low,          high, std::gcd(a.align, x.align)};
}

Coord Evaluator::scale(const Coord &a, const Size &by) {
  if (by.known == 1)
    return a;
  if (by.known >= 0) {
    int64_t low = boundMul(a.low, by.known);
    int64_t high = a.high == INT64_MAX ? INT64_MAX : boundAdd(boundMul(a.high - 1, by.known), 1);
    if (a.indices)
      return vectorCoord(kb.mul(a.indices, by.known), low, high);
    int64_t align = by.known ? std::min<int64_t>(a.align * alignOf(by.known), 4096) : 4096;
    return {kb.mul(a.base, by.known), {}, a.step * by.known, low, high, align};
  }
  if (a.isUniform())
    return {kb.mul(a.base, by.value), {}, 0, 0, INT64_MAX, 1};
  return vectorCoord(kb.mul(indices(a), kb.broadcast(by.value)), 0, INT64_MAX);
}

std::pair<Coord, Coord> Evaluator::divRem(const Coord &a, const Size &by) {
  if (by.known == 1)
    return {a, fixed(0)};
  bool known = by.known > 0;
  // All lanes within one multiple.
  if (known && a.low >= 0 && a.high != INT64_MAX && a.low / by.known == (a.high - 1) / by.known) {
    int64_t quotient = a.low / by.known;
    return {fixed(quotient), addConstant(a, -quotient * by.known)};
  }
  Value size = known ? by.value : kb.max(by.value, kb.c(1));
  int64_t low = known ? std::max<int64_t>(a.low, 0) / by.known : 0;
  int64_t high = known && a.high != INT64_MAX ? (a.high - 1) / by.known + 1 : INT64_MAX;
  int64_t top = known ? by.known : INT64_MAX;
  bool whole = known && a.step == 1 && by.known % kLanes == 0 && a.align % kLanes == 0;
  if (!a.indices && (a.step == 0 || whole)) {
    Coord quotient{kb.div(a.base, size), {}, 0, low, high, 1};
    Coord rest{kb.rem(a.base, size), {}, a.step, 0, top, known ? std::gcd(a.align, by.known) : 1};
    return {quotient, rest};
  }
  if (!a.indices && known && by.known < (1 << 26) && a.step > 0 && a.step < (1 << 20)) {
    // Lane 0 exactly, then small numbers in 32 bits.
    Value quotient = kb.broadcast(kb.div(a.base, size)), first = kb.rem(a.base, size);
    Value small =
        kb.add(kb.broadcast(kb.make<arith::TruncIOp>(kb.i32, first)), kb.iota(kb.i32, a.step));
    auto wide = [&](Value v) { return kb.make<arith::ExtUIOp>(kb.vec(kb.i64), v); };
    return {vectorCoord(kb.add(quotient, wide(kb.div(small, by.known))), low, high),
            vectorCoord(wide(kb.rem(small, by.known)), 0, top)};
  }
  Value all = indices(a), divisor = kb.broadcast(size);
  return {vectorCoord(kb.div(all, divisor), low, high), vectorCoord(kb.rem(all, divisor), 0, top)};
}

SmallVector<Coord, 4> Evaluator::delinearize(Coord a, ArrayRef<Size> sizes) {
  SmallVector<Coord, 4> result(sizes.size());
  // Dimensions of one element take no part; what is left of the outermost one is its index.
  int64_t first = -1;
  for (int64_t d = 0; d < int64_t(sizes.size()); ++d)
    if (sizes[d].known == 1)
      result[d] = fixed(0);
    else if (first < 0)
      first = d;
  for (int64_t d = sizes.size() - 1; d >= 0; --d) {
    if (sizes[d].known == 1)
      continue;
    if (d == first)
      result[d] = a;
    else
      std::tie(a, result[d]) = divRem(a, sizes[d]);
  }
  return result;
}

Coord Evaluator::linearize(ArrayRef<Coord> coords, ArrayRef<Size> sizes) {
  Coord sum = fixed(0);
  bool empty = true;
  for (auto [coord, size] : llvm::zip_equal(coords, sizes)) {
    if (size.known == 1)
      continue;
    sum = empty ? coord : add(scale(sum, size), coord);
    empty = false;
  }
  return sum;
}

/// low <= a < high, per lane or for all; null where it is known to hold.
Value Evaluator::inside(const Coord &a, const Size &low, const Size &high) {
  bool above = low.known >= 0 && a.low >= low.known;
  bool below = high.known >= 0 && a.high <= high.known;
  auto bound = [&](Value v) { return a.isUniform() ? v : kb.broadcast(v); };
  Value index = a.isUniform() ? a.base : indices(a), result;
  if (!above)
    result = kb.cmp(CmpIPredicate::sge, index, bound(low.value));
  if (!below) {
    Value upper = kb.lt(index, bound(high.value));
    result = result ? kb.andi(result, upper) : upper;
  }
  return result;
}

unsigned Evaluator::depthOf(const Point &point) {
  unsigned depth = kb.guardDepth();
  auto visit = [&](Value value) {
    if (value)
      depth = std::max(depth, *kb.depthOf(value));
  };
  for (const Coord &coord : point.coords) {
    visit(coord.base);
    visit(coord.indices);
  }
  visit(point.mask);
  return depth;
}

std::vector<const void *> Evaluator::keyOf(const void *what, const Point &point) {
  std::vector<const void *> key{what, point.mask.getAsOpaquePointer(),
                                reinterpret_cast<const void *>(intptr_t(point.guarded))};
  for (const Coord &coord : point.coords)
    key.insert(key.end(), {coord.base.getAsOpaquePointer(), coord.indices.getAsOpaquePointer(),
                           reinterpret_cast<const void *>(coord.step)});
  return key;
}

//===----------------------------------------------------------------------===//
// Loads and stores
//===----------------------------------------------------------------------===//

LaneValue Evaluator::load(Value base, Type element, const Coord &offset, const Point &point) {
  Type memory = kb.memoryType(element);
  Value value;
  if (offset.isUniform() && !(point.guarded && point.mask)) {
    value = kb.load(memory, kb.gep(base, offset.base, memory));
  } else if (!offset.indices && offset.step == 1) {
    Value pointer = kb.gep(base, offset.base, memory);
    value = point.mask ? kb.maskedLoad(kb.vec(memory), pointer, point.mask)
                       : kb.load(kb.vec(memory), pointer);
  } else {
    Value pointers = offset.indices ? kb.gep(base, offset.indices, memory)
                                    : kb.gep(kb.gep(base, offset.base, memory),
                                             kb.iota(kb.i64, offset.step), memory);
    value = kb.gather(kb.vec(memory), pointers, point.mask);
  }
  if (element.isInteger(1))
    value = kb.cmp(CmpIPredicate::ne, value, kb.zero(value.getType()));
  return {value};
}

void Evaluator::store(LaneValue value, Value base, Type element, Value offset, Value mask) {
  Value v = value.value;
  if (element.isInteger(1))
    v = kb.make<arith::ExtUIOp>(kb.shapedAs(v, kb.i8), v);
  kb.store(v, kb.gep(base, offset, kb.memoryType(element)), mask);
}

//===----------------------------------------------------------------------===//
// Loops over lanes
//===----------------------------------------------------------------------===//

void Evaluator::forLanes(const Size &size, ArrayRef<int64_t> breaks,
                         function_ref<void(Coord, Value)> body) {
  if (size.known < 0) {
    Value whole = kb.andi(size.value, kb.c(-kLanes));
    kb.loop(kb.c(0), whole, kb.c(kLanes),
            [&](Value base) { body(lanes(base, 0, INT64_MAX, kLanes), {}); });
    kb.branch(kb.lt(whole, size.value), [&] {
      body(lanes(whole, 0, INT64_MAX, kLanes), kb.firstLanes(kb.sub(size.value, whole)));
    });
    return;
  }
  SmallVector<int64_t> ends(breaks);
  ends.push_back(size.known);
  int64_t first = 0;
  for (int64_t end : ends) {
    if (end <= first || end > size.known)
      continue;
    int64_t whole = first + (end - first) / kLanes * kLanes, align = std::gcd(first, kLanes);
    kb.loop(kb.c(first), kb.c(whole), kb.c(kLanes), [&](Value base) {
      int64_t low = first, high = whole;
      IntegerAttr known;
      if (matchPattern(base, m_Constant(&known)))
        low = known.getInt(), high = low + kLanes;
      body(lanes(base, low, high, align), {});
    });
    if (whole < end)
      body(lanes(kb.c(whole), whole, end, std::gcd(whole, kLanes)), kb.firstLanes(end - whole));
    first = end;
  }
}

static void addBreak(int64_t at, int64_t size, SmallVectorImpl<int64_t> &breaks) {
  if (at > 0 && at < size)
    breaks.push_back(at);
}

void Evaluator::collectBreaks(Value tensor, unsigned dim, SmallVectorImpl<int64_t> &breaks) {
  llvm::DenseSet<std::pair<void *, int64_t>> visited;
  auto root = cast<RankedTensorType>(tensor.getType());
  if (root.isDynamicDim(dim))
    return;
  int64_t size = root.getDimSize(dim);
  // Lane j of the result is index j + offset of `value`.
  std::function<void(Value, int64_t, int64_t)> walk = [&](Value value, int64_t d, int64_t offset) {
    Operation *op = value.getDefiningOp();
    if (!op || overrides.count(value) ||
        !visited.insert({value.getAsOpaquePointer(), d * (int64_t(1) << 40) + offset}).second)
      return;
    auto type = cast<RankedTensorType>(value.getType());
    TypeSwitch<Operation *>(op)
        .Case([&](tensor::ConcatOp op) {
          int64_t at = 0;
          for (Value input : op.getInputs()) {
            walk(input, d, int64_t(op.getDim()) == d ? offset - at : offset);
            int64_t extent = cast<RankedTensorType>(input.getType()).getDimSize(d);
            if (int64_t(op.getDim()) != d)
              continue;
            if (ShapedType::isDynamic(extent))
              return;
            at += extent;
            addBreak(at - offset, size, breaks);
          }
        })
        .Case([&](tensor::ExtractSliceOp op) {
          llvm::SmallBitVector dropped = op.getDroppedDims();
          int64_t source = -1, rest = d;
          for (int64_t s = 0; s < int64_t(dropped.size()) && source < 0; ++s)
            if (!dropped[s] && rest-- == 0)
              source = s;
          if (!op.isDynamicOffset(source) && !op.isDynamicStride(source) &&
              op.getStaticStride(source) == 1)
            walk(op.getSource(), source, offset + op.getStaticOffset(source));
        })
        .Case([&](tensor::PadOp op) {
          auto source = cast<RankedTensorType>(op.getSource().getType());
          int64_t low = op.getStaticLow()[d];
          if (ShapedType::isDynamic(low) || source.isDynamicDim(d))
            return;
          addBreak(low - offset, size, breaks);
          addBreak(low + source.getDimSize(d) - offset, size, breaks);
          walk(op.getSource(), d, offset - low);
        })
        .Case([&](tfm::RotaryOp op) {
          int64_t half = cast<RankedTensorType>(op.getCos().getType()).getDimSize(1);
          if (d == 2) {
            if (!op.getInterleaved())
              addBreak(half - offset, size, breaks);
            addBreak(2 * half - offset, size, breaks);
          }
          walk(op.getX(), d, offset);
        })
        .Case<tfm::SoftmaxOp, tfm::RMSNormOp, tfm::LayerNormOp>(
            [&](auto op) { walk(op.getX(), d, offset); })
        .Case([&](tfm::GatherOutputsOp op) {
          if (d)
            walk(op.getX(), d, offset);
        })
        .Case<tensor::ExpandShapeOp, tensor::CollapseShapeOp>([&](auto op) {
          // Only where the dimension is carried over alone.
          Value source = op.getSrc();
          auto sourceType = cast<RankedTensorType>(source.getType());
          bool expands = sourceType.getRank() < type.getRank();
          for (auto [few, group] : llvm::enumerate(op.getReassociationIndices())) {
            int64_t many = -1;
            for (int64_t member : group)
              if ((expands ? type : sourceType).getDimSize(member) != 1)
                many = many == -1 ? member : -2;
            if (many >= 0 && (expands ? many : int64_t(few)) == d)
              walk(source, expands ? few : many, offset);
          }
        })
        .Default([&](Operation *op) {
          if (auto linalg = dyn_cast<linalg::LinalgOp>(op)) {
            SmallVector<AffineMap> maps = linalg.getIndexingMapsArray();
            AffineMap out =
                maps[linalg.getNumDpsInputs() + cast<OpResult>(value).getResultNumber()];
            auto lane = dyn_cast<AffineDimExpr>(out.getResult(d));
            if (!lane)
              return;
            for (OpOperand *input : linalg.getDpsInputOperands())
              for (auto [position, expr] :
                   llvm::enumerate(linalg.getMatchingIndexingMap(input).getResults()))
                if (expr == lane)
                  walk(input->get(), position, offset);
            return;
          }
          if (OpTrait::hasElementwiseMappableTraits(op))
            for (Value operand : op->getOperands())
              if (isa<RankedTensorType>(operand.getType()))
                walk(operand, d, offset);
        });
  };
  walk(tensor, dim, 0);
  llvm::sort(breaks);
  breaks.erase(llvm::unique(breaks), breaks.end());
}
