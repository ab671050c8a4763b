//===- Linear.cpp - projections by a packed weight ------------------------------------------===//
//
// A work item is a sub-panel: 16 output columns of each part of a panel, so that threads get equal
// shares of any matrix. Of the range of a call whole panels come first, then the sub-panels that
// are left. The products of some rows with it (Products.h) go to scratch memory, from which the
// epilogue, a row of lanes at a time, is evaluated like any light kernel: the linear's result at
// (row, column) is the sum plus the bias.
//
// Rows that are not stored as the products want them (another type, or computed by light
// operations) are first evaluated into scratch memory, a block of rows at a time, for all panels of
// the call.
//
//===----------------------------------------------------------------------------------------===//

#include "LinearEmitter.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

/// The column of the linear's result that column 0 of `value` is, for all ways from one to the
/// other; nothing where there is none. Column numbers are taken modulo the size of a part.
std::optional<int64_t> LinearEmitter::traceOffset(Value value, int64_t shift,
                                                  llvm::DenseSet<Value> &seen) {
  if (value == linear->getResult(0))
    return shift % layout.partRows();
  Operation *op = value.getDefiningOp();
  if (!op || !isa<RankedTensorType>(value.getType()) || !seen.insert(value).second)
    return std::nullopt;
  int64_t rank = cast<RankedTensorType>(value.getType()).getRank();
  std::optional<int64_t> found;
  auto meet = [&](Value operand, int64_t at) {
    std::optional<int64_t> offset = traceOffset(operand, at, seen);
    if (!offset)
      return;
    if (found && *found != *offset)
      kb.fail(op, "it joins different columns of a linear");
    found = offset;
  };
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    int64_t last = cast<RankedTensorType>(slice.getSource().getType()).getRank() - 1;
    bool rowsKept = rank == last + 1;
    for (int64_t d = 0; rowsKept && d < last; ++d)
      rowsKept = slice.isDynamicOffset(d) ? false : slice.getStaticOffset(d) == 0;
    if (rowsKept && !slice.isDynamicOffset(last) && slice.getStaticStride(last) == 1)
      meet(slice.getSource(), shift + slice.getStaticOffset(last));
    return found;
  }
  if (OpTrait::hasElementwiseMappableTraits(op)) {
    for (Value operand : op->getOperands())
      meet(operand, shift);
    return found;
  }
  if (auto generic = dyn_cast<linalg::LinalgOp>(op)) {
    AffineMap identity = AffineMap::getMultiDimIdentityMap(rank, op->getContext());
    for (OpOperand *input : generic.getDpsInputOperands())
      if (generic.getMatchingIndexingMap(input) == identity && generic.getNumLoops() == rank)
        meet(input->get(), shift);
  }
  return found;
}

bool LinearEmitter::prepare(Operation *op, Value x, Value matrix, Value biasOperand) {
  Block &body = emission.kernel.getBody().front();
  auto fail = [&](Operation *op, const Twine &why) {
    kb.fail(op, why);
    return false;
  };
  linear = op;
  bias = biasOperand;
  auto weightArgument = dyn_cast<BlockArgument>(matrix);
  if (!weightArgument || op->hasAttr("transposed"))
    return fail(linear, "expected its weight to be an operand of the kernel, stored [N, K]");
  llvm::Expected<plan::PanelLayout> expected =
      plan::PanelLayout::get(cast<RankedTensorType>(matrix.getType()));
  if (!expected)
    return fail(linear, llvm::toString(expected.takeError()));
  layout = *expected;
  weightType = getElementTypeOrSelf(matrix.getType());
  auto resultType = cast<RankedTensorType>(linear->getResult(0).getType());
  if (!isa<Float32Type, Float16Type, BFloat16Type, tfm::BlockType>(weightType) ||
      !resultType.getElementType().isF32())
    return fail(linear, "expected a weight of f32, f16, bf16 or blocks and a result of f32");
  weight = eval.operandBuffer(weightArgument.getArgNumber());
  Type element = getElementTypeOrSelf(x.getType());
  engine.emplace(emission, layout, weightType, element);
  tile = emission.scratch(kBlockRows * layout.rows * 4);

  rowBegin = kb.c(0);
  rowCount = kb.c(1);
  for (int64_t d = 0; d + 1 < resultType.getRank(); ++d) {
    int64_t size = resultType.getDimSize(d);
    leading.push_back(resultType.isDynamicDim(d) ? eval.dim(x, d) : Size{kb.c(size), size});
    rowCount = kb.mul(rowCount, leading.back().value);
  }

  auto yield = cast<plan::YieldOp>(body.getTerminator());
  for (auto [index, value] : llvm::enumerate(yield.getValues())) {
    Value source = peelReshapes(value);
    auto type = dyn_cast<RankedTensorType>(source.getType());
    if (!type)
      return fail(yield, "expected tensor results");
    llvm::DenseSet<Value> seen;
    std::optional<int64_t> offset = traceOffset(source, 0, seen);
    if (kb.hasFailed())
      return false;
    int64_t size = type.getRank() ? type.getShape().back() : 1;
    if (!offset || type.getRank() != resultType.getRank() || *offset + size > layout.partRows())
      return fail(source.getDefiningOp() ? source.getDefiningOp() : yield.getOperation(),
                  "expected a result of element-wise operations on columns of the linear");
    results.push_back({unsigned(index), source, *offset, size});
  }
  return true;
}

/// `partLanes` columns of each part from `firstColumn` on.
void LinearEmitter::epilogue(Value firstColumn, int64_t partLanes, Value sums, Value firstRow,
                             Value count) {
  kb.loop(kb.c(0), count, kb.c(1), [&](Value tileRow) {
    Value row = kb.add(firstRow, tileRow);
    if (list)
      row = kb.make<arith::ExtSIOp>(kb.i64, kb.loadScratch(kb.i32, kb.gep(list, row, kb.i32)));
    SmallVector<Coord, 4> rowCoords = eval.delinearize(eval.uniform(row), leading);
    kb.loop(kb.c(0), kb.c(partLanes), kb.c(kLanes), [&](Value lane) {
      Value column = kb.add(firstColumn, lane);
      // The linear's value: the accumulator, and the bias.
      eval.define(linear->getResult(0), [&](const Point &point) -> LaneValue {
        const Coord &at = point.coords.back();
        int64_t part = at.low / layout.partRows();
        Value address = kb.gep(kb.gep(sums, kb.mul(tileRow, layout.rows), kb.f32),
                               kb.add(lane, part * partLanes), kb.f32);
        Value sum = kb.loadScratch(kb.vec(kb.f32), address);
        if (bias) {
          Point column{{at}, point.mask, point.guarded};
          if (expert)
            column.coords.insert(column.coords.begin(), eval.uniform(expert));
          Value value = eval.broadcast(eval.at(bias, column));
          sum = kb.fadd(sum, kb.extend(value, kb.f32, getElementTypeOrSelf(bias.getType())));
        }
        return {sum};
      });
      for (const Result &result : results) {
        auto type = cast<RankedTensorType>(result.value.getType());
        bool whole = result.offset % kLanes == 0 && result.size % kLanes == 0;
        auto emit = [&] {
          Value first = kb.add(column, -result.offset);
          Coord coord = eval.lanes(first, 0, result.size, result.offset % kLanes ? 1 : kLanes);
          Value mask;
          if (!whole) {
            // Lanes within the result.
            Value index = eval.indices(coord);
            Value low = kb.cmp(arith::CmpIPredicate::sge, index, kb.zero(index.getType()));
            mask = kb.andi(low, kb.lt(index, kb.constantInt(index.getType(), result.size)));
          }
          Point point{rowCoords, mask, false};
          point.coords.push_back(coord);
          Value value = eval.broadcast(eval.at(result.value, point));
          eval.store({value}, eval.resultBuffer(result.index), type.getElementType(),
                     kb.add(kb.mul(row, result.size), first), mask);
        };
        // Whether this vector holds columns of the result at all.
        Value some;
        if (result.offset)
          some = kb.lt(kb.c(result.offset - kLanes), column);
        if (result.offset + result.size < layout.partRows()) {
          Value before = kb.lt(column, kb.c(result.offset + result.size));
          some = some ? kb.andi(some, before) : before;
        }
        some ? kb.branch(some, emit) : emit();
      }
    });
  });
}

Value LinearEmitter::panelAddress(Value number) {
  Value base = kb.gep(weight, kb.mul(number, panelBytes()), kb.i8);
  return expert ? kb.gep(base, kb.mul(expert, layout.matrixBytes()), kb.i8) : base;
}

/// Blocks of rows: the first row of x, how many, and where they are.
void LinearEmitter::forRowBlocks(function_ref<void(Value, Value, Value)> body) {
  kb.loop(kb.c(0), rowCount, kb.c(kBlockRows), [&](Value first) {
    Value count = kb.min(kb.sub(rowCount, first), kb.c(kBlockRows));
    body(kb.add(rowBegin, first), count, kb.gep(xRows, kb.mul(first, engine->rowBytes()), kb.i8));
  });
}

/// Of one row as many panels as there are streams by turns, each from a range of its own that is
/// read in order.
void LinearEmitter::wholePanels(Value begin, Value end) {
  int64_t partRows = layout.panelPartRows(), streams = engine->streams();
  Value one = kb.c(1), apart = kb.sub(end, begin);
  if (streams > 1) {
    Value share = kb.div(kb.add(apart, streams - 1), streams);
    apart = kb.select(kb.cmp(arith::CmpIPredicate::eq, rowCount, one), share, apart);
  }
  kb.loop(begin, kb.add(begin, apart), one, [&](Value number) {
    Value panels = one;
    if (streams > 1)
      panels = kb.div(kb.add(kb.sub(kb.sub(end, number), one), apart), apart);
    PanelProducts::Panels all{panelAddress(number), kb.mul(apart, panelBytes()), panels};
    forRowBlocks([&](Value first, Value count, Value rows) {
      engine->emit(rows, count, all, tile);
      kb.loop(kb.c(0), panels, one, [&](Value index) {
        Value column = kb.mul(kb.add(number, kb.mul(index, apart)), partRows);
        epilogue(column, partRows, kb.gep(tile, kb.mul(index, layout.rows), kb.f32), first, count);
      });
    });
  });
}

void LinearEmitter::subPanel(Value number) {
  Value panel = kb.div(number, layout.panelSubPanels());
  Value vector = kb.rem(number, layout.panelSubPanels());
  int64_t last = layout.numPanels() - 1;
  forRowBlocks([&](Value first, Value count, Value rows) {
    auto products = [&](int64_t lanes) {
      engine->emitSubPanel(rows, count, panelAddress(panel), lanes, vector, tile);
      return KernelBuilder::Values();
    };
    // The lines of a narrow panel are shorter.
    if (last == 0 || layout.lanes(last) == layout.rows)
      products(layout.lanes(last));
    else
      kb.branch(
          kb.lt(panel, kb.c(last)), TypeRange{}, [&] { return products(layout.rows); },
          [&] { return products(layout.lanes(last)); });
    epilogue(kb.mul(number, kLanes), kLanes, tile, first, count);
  });
}

void LinearEmitter::subPanels(Value begin, Value end) {
  int64_t each = layout.panelSubPanels();
  Value first = kb.div(kb.add(begin, each - 1), each), last = kb.max(first, kb.div(end, each));
  if (layout.numSubPanels() >= each)
    wholePanels(first, last);
  if (each == 1)
    return;
  // Before the first whole panel, and behind the last.
  Value before = kb.sub(kb.min(end, kb.mul(first, each)), begin), behind = kb.mul(last, each);
  Value left = kb.add(before, kb.max(kb.sub(end, behind), kb.c(0)));
  kb.loop(kb.c(0), left, kb.c(1), [&](Value index) {
    subPanel(kb.add(index, kb.select(kb.lt(index, before), begin, kb.sub(behind, before))));
  });
}

void codegen::emitLinear(KernelEmission &emission) {
  KernelBuilder &kb = emission.kb;
  LinearEmitter emitter{emission};
  tfm::LinearOp linear;
  for (tfm::LinearOp op : emission.kernel.getBody().front().getOps<tfm::LinearOp>()) {
    if (!isa_and_present<plan::PanelsAttr>(op.getWeight().getType().getEncoding()))
      continue;
    if (linear)
      return kb.fail(op, "expected one linear on a packed weight");
    linear = op;
  }
  if (!linear)
    return kb.fail(emission.kernel, "expected a linear on a packed weight");
  if (!emitter.prepare(linear, linear.getX(), linear.getWeight(), linear.getBias()))
    return;
  const plan::PanelLayout &layout = emitter.layout;
  PanelProducts &products = *emitter.engine;
  Value x = peelReshapes(linear.getX());
  Type element = getElementTypeOrSelf(x.getType());
  bool direct =
      isa<BlockArgument>(x) && element == products.rowType() &&
      (isa<tfm::BlockType>(element) || layout.k == products.rowElements()) &&
      !isa_and_present<plan::PanelsAttr>(cast<RankedTensorType>(x.getType()).getEncoding());
  auto panels = [&] { emitter.subPanels(kb.begin(), kb.end()); };
  if (direct) {
    emitter.xRows = emission.eval.operandBuffer(cast<BlockArgument>(x).getArgNumber());
    panels();
    return;
  }

  if (isa<tfm::BlockType>(element))
    return kb.fail(linear, "expected rows in blocks to be an operand of the kernel");

  // Every call evaluates them all: two rows of a projection take a hundredth of its time.
  emission.dividedRows = 2;
  // Blocks of rows are evaluated into scratch memory, and all panels of this range run over one
  // block before the next.
  Evaluator &eval = emission.eval;
  Type rowType = products.rowType();
  int64_t rowBytes = products.rowBytes(), rowElements = products.rowElements();
  int64_t blockRows = LinearEmitter::getEvaluatedRows(rowBytes);
  Value rowCount = emitter.rowCount, buffer = emission.scratch(blockRows * rowBytes);
  kb.loop(kb.c(0), rowCount, kb.c(blockRows), [&](Value first) {
    Value count = kb.min(kb.sub(rowCount, first), kb.c(blockRows));
    unsigned last = emitter.leading.size();
    SmallVector<int64_t> breaks;
    eval.collectBreaks(linear.getX(), last, breaks);
    kb.loop(kb.c(0), count, kb.c(1), [&](Value row) {
      Point point;
      point.coords = eval.delinearize(eval.uniform(kb.add(first, row)), emitter.leading);
      point.coords.emplace_back();
      Value into = kb.mul(row, rowElements);
      zeroFrom(kb, kb.gep(buffer, into, kb.registerType(rowType)), layout.k, rowElements, rowType);
      eval.forLanes({kb.c(layout.k), layout.k}, breaks, [&](Coord lane, Value mask) {
        point.coords.back() = lane;
        point.mask = mask;
        Value value = eval.broadcast(eval.at(linear.getX(), point));
        if (rowType.isF32())
          value = kb.extend(value, kb.f32, element);
        eval.store({value}, buffer, rowType, kb.add(into, lane.base), mask);
      });
    });
    emitter.xRows = buffer;
    emitter.rowBegin = first;
    emitter.rowCount = count;
    panels();
  });
}
