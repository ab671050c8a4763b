//===- Attention.cpp - attention over a paged cache, prefill and decode -----------------------===//
//
// A work item is a block of queries of one sequence and one KV head. Its *rows* are the queries
// times the heads of the group. A *pass* takes some rows of one head, or, where there are few
// (decode), the rows of several heads, so that a page is read from its start to its end. One row or
// many, the arithmetic per row is:
//
//   for each segment of 1,024 absolute positions, from a fresh state (m = -1e30, l = 0, o = 0):
//     for each block of 64 absolute positions that the mask does not leave empty:
//       s[0..63] = sum over d of q[d] * K[d][0..63]       16 keys in the lanes of a vector
//       score region, clamp, mask, key_end                s = -1e30 where the key is dropped
//       m' = max(m, max s),  a = 2^(m - m'),  p = 2^(s - m')
//       l[0..15] = l * a + p[0..15] + p[16..31] + ...      16 partial sums by key mod 16
//       o[dv] = o * a + sum over keys of p * V[key][dv]
//     fold the segment into the row:  M' = max(M, m), L = L 2^(M - M') + l 2^(m - M'), ...
//   result = O * (1 / sum L), or 0 where M is still -1e30
//
// 2^0 is exactly 1, so a block or a segment in which nothing is kept is the identity, and it makes
// no difference whether a block that is empty for a row is skipped or visited for the sake of
// another one. Scores carry log2(e): folded into the scale of q where there is no score region,
// multiplied after it otherwise.
//
// What a segment gives is a *record* per row. An item that stands for one segment only leaves its
// records where the other items of these rows find them; who comes last folds all of them, from the
// first segment to the last, as an item for all segments does.
//
//===----------------------------------------------------------------------------------------===//

#include "Attention.h"
#include "../BlockClassification.h"
#include "KernelABI.h"
#include "Math.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;
using arith::CmpIPredicate;

/// The tensor that a result of the kernel holds: past reshapes, and past a cast, which is applied
/// where the result is stored.
static Value peelCasts(Value value) {
  value = peelReshapes(value);
  if (auto cast = value.getDefiningOp<arith::TruncFOp>())
    value = peelReshapes(cast.getIn());
  return value;
}

bool AttentionEmitter::prepare() {
  Block &body = emission.kernel.getBody().front();
  auto all = body.getOps<tfm::AttentionOp>();
  if (!llvm::hasSingleElement(all)) {
    kb.fail(emission.kernel, "expected one tfm.attention");
    return false;
  }
  op = *all.begin();
  auto fail = [&](const Twine &why) {
    kb.fail(op, why);
    return false;
  };
  if (!op.isPhaseForm() || !isa<BlockArgument>(op.getCache()))
    return fail("expected the cache to be an operand of the kernel");
  auto yield = cast<plan::YieldOp>(body.getTerminator());
  if (yield.getValues().size() != 1 || peelCasts(yield.getValues().front()) != op.getResult())
    return fail("expected its result to be the kernel's only one");
  resultElement = getElementTypeOrSelf(yield.getValues().front().getType());
  llvm::Expected<plan::CacheLayout> expected = plan::CacheLayout::get(op.getCache().getType());
  if (!expected)
    return fail(llvm::toString(expected.takeError()));
  layout = *expected;
  cacheElement = op.getCache().getType().getElementType();
  rounded = layout.pairs && getElementTypeOrSelf(op.getQ().getType()).isBF16();
  bool dots = rounded && emission.target.multipliesPairsFast();
  product = dots ? Product::PairDots : layout.pairs ? Product::PairsAsF32 : Product::Single;
  heads = op.getHeads();
  group = heads / op.getKVHeads();
  valueVectors = llvm::divideCeil(layout.valueSize, kLanes);
  recordBytes = plan::getAttentionRecordBytes(op);
  // AVX-512: 16 of 32 registers accumulate. AVX2: 12 of 16, two to a vector; 8 where a line takes
  // four more.
  bool wide = emission.target.hasAVX512();
  tileRows = wide ? 8 : product == Product::Single ? 6 : 4;
  tileVectors = wide ? 2 : 1;

  scoreStride = kPage * 4;
  if (emission.schedule.getKeys() && !prepareWholeRows())
    return false;
  queryStride = layout.keyDims * (product == Product::PairDots ? 2 : 4);
  q = emission.scratch(rowLimit * queryStride);
  scores = emission.scratch(rowLimit * scoreStride);
  segments = emission.scratch(rowLimit * recordBytes);
  totals = emission.scratch(rowLimit * recordBytes);
  maxima = emission.scratch(rowLimit * kLanes * 4);
  factors = emission.scratch(rowLimit * 4);
  tops = emission.scratch(kLanes * kLanes * 4);
  if (layout.valuesInKeys)
    turnedValues = emission.scratch(kPage * layout.valueSize * layout.elementBytes + 64);
  return true;
}

//===----------------------------------------------------------------------===//
// Items and passes
//===----------------------------------------------------------------------===//

/// Work item n is head n mod KVH of item n / KVH of the batch.
void AttentionEmitter::items() {
  int64_t kvHeads = op.getKVHeads();
  Value first = kb.div(kb.begin(), kvHeads), last = kb.div(kb.add(kb.end(), -1), kvHeads);
  kb.loop(first, kb.add(last, 1), kb.c(1), [&](Value number) {
    loadItem(number);
    Value before = kb.mul(number, kvHeads);
    Value begin = kb.max(kb.sub(kb.begin(), before), kb.c(0));
    Value end = kb.min(kb.sub(kb.end(), before), kb.c(kvHeads));
    rows = kb.mul(tokens, group);
    Value together = kb.max(kb.div(kb.c(rowLimit), rows), kb.c(1));
    kb.loop(begin, end, together, [&](Value head) {
      firstHead = head;
      headCount = kb.min(together, kb.sub(end, head));
      kb.loop(kb.c(0), rows, kb.c(rowLimit), [&](Value row) {
        firstRow = row;
        rowCount = kb.min(kb.sub(rows, row), kb.c(rowLimit));
        pass();
      });
    });
  });
}

void AttentionEmitter::loadItem(Value number) {
  Value record =
      kb.gep(eval.batchField(abi::kBatchItems, kb.ptr), kb.mul(number, abi::kItemBytes), kb.i8);
  auto narrow = [&](int64_t offset) {
    return kb.make<arith::ExtSIOp>(kb.i64, kb.load(kb.i32, kb.field(record, offset)));
  };
  sequenceNumber = narrow(abi::kItemSequence);
  tokens = narrow(abi::kItemRowCount);
  firstToken = kb.load(kb.i64, kb.field(record, abi::kItemRowBegin));
  segment = narrow(abi::kItemSegment);
  isWhole = kb.lt(segment, kb.c(0));
  segmentOrdinal = narrow(abi::kItemPart);
  segmentCount = narrow(abi::kItemPartCount);
  counter = kb.load(kb.ptr, kb.field(record, abi::kItemCounters));
  records = kb.load(kb.ptr, kb.field(record, abi::kItemRecords));
  Value sequence = kb.gep(eval.batchField(abi::kBatchSequences, kb.ptr),
                          kb.mul(sequenceNumber, abi::kSequenceBytes), kb.i8);
  auto field = [&](int64_t offset) { return kb.load(kb.i64, kb.field(sequence, offset)); };
  firstPosition =
      kb.add(field(abi::kSequencePosition), kb.sub(firstToken, field(abi::kSequenceRowBegin)));
  rowShift = kb.sub(field(abi::kSequenceRowBegin), field(abi::kSequencePosition));
  keyBegin = field(abi::kSequenceKeyBegin);
  keyEnd = field(abi::kSequenceKeyEnd);
  pages = kb.load(kb.ptr, kb.field(sequence, abi::kSequencePages));
  layerOffset = eval.scalarOperand(cast<BlockArgument>(op.getCache()).getArgNumber());
}

void AttentionEmitter::forHeads(function_ref<void(Value)> body) {
  kb.loop(kb.c(0), headCount, kb.c(1), [&](Value slot) {
    kvHead = kb.add(firstHead, slot);
    rowBase = kb.mul(slot, rowCount);
    // Vectors of 16 rows do not reach into the next head's.
    maximaBase = at(maxima, kb.mul(slot, kb.andi(kb.add(rowCount, kLanes - 1), kb.c(-kLanes))), 4);
    body(slot);
  });
}

Value AttentionEmitter::recordOf(Value row) {
  // [part][KV head][row of the item]
  Value number = kb.add(kb.mul(segmentOrdinal, op.getKVHeads()), kvHead);
  Value shared = kb.add(kb.add(kb.mul(number, rows), firstRow), row);
  Value base = kb.select(isWhole, segments, records);
  return at(base, kb.select(isWhole, kb.add(rowBase, row), shared), recordBytes);
}

void AttentionEmitter::pass() {
  forHeads([&](Value) { loadQueries(); });
  if (keyLimit) {
    wholeRows();
    return forHeads([&](Value) { output(); });
  }
  segmentLoop();
  kb.branch(
      isWhole, TypeRange{},
      [&] {
        forHeads([&](Value) { output(); });
        return Values();
      },
      [&] {
        forHeads([&](Value) { foldParts(); });
        return Values();
      });
}

/// Queries, scaled, into scratch memory; an empty total.
void AttentionEmitter::loadQueries() {
  Value factor = op.getScale() ? eval.scalar(op.getScale()) : f32(1);
  if (op.getScore().empty())
    factor = kb.fmul(factor, f32(kLog2E));
  factor = kb.broadcast(factor);
  SmallVector<int64_t> breaks;
  eval.collectBreaks(op.getQ(), 2, breaks);
  Type element = getElementTypeOrSelf(op.getQ().getType());
  bool dots = product == Product::PairDots;
  Type stored = dots ? kb.i16 : kb.f32;
  forRows([&](Value r) {
    Value token = kb.add(firstToken, queryOf(r)), line = queryRow(r);
    eval.forLanes({kb.c(layout.keySize), layout.keySize}, breaks, [&](Coord lane, Value mask) {
      Point point{{eval.uniform(token), eval.uniform(headOf(r), 0, heads), lane}, mask, false};
      Value x = kb.extend(eval.broadcast(eval.at(op.getQ(), point)), kb.f32, element);
      x = kb.fmul(x, factor);
      if (dots)
        x = convertToBF16(kb, x);
      else if (rounded)
        x = roundToBF16(kb, x);
      kb.store(x, kb.gep(line, lane.base, stored), mask);
    });
    if (layout.keyDims > layout.keySize)
      kb.store(kb.zero(stored), kb.gep(line, layout.keySize, stored));
    Value total = totalOf(r);
    kb.store(f32(kDropped), total);
    for (int64_t bytes = kSums; bytes < recordBytes; bytes += 64)
      kb.store(splat(0), kb.field(total, bytes));
  });
}

//===----------------------------------------------------------------------===//
// Segments and blocks
//===----------------------------------------------------------------------===//

void AttentionEmitter::segmentLoop() {
  Value firstBlock = kb.div(keyBegin, kPage), endBlock = kb.div(kb.add(keyEnd, kPage - 1), kPage);
  Value first = kb.div(firstBlock, kSegmentBlocks);
  Value end = kb.div(kb.add(endBlock, kSegmentBlocks - 1), kSegmentBlocks);
  first = kb.select(isWhole, first, segment);
  end = kb.select(isWhole, end, kb.add(segment, 1));
  kb.loop(first, end, kb.c(1), [&](Value segment) {
    forHeads([&](Value) {
      kb.loop(kb.c(0), rowCount, kb.c(kLanes),
              [&](Value r) { kb.store(splat(kDropped), kb.gep(maximaBase, r, kb.f32)); });
      clearRecords();
    });
    Value begin = kb.mul(segment, kSegmentBlocks);
    Value last = kb.min(kb.add(begin, kSegmentBlocks), endBlock);
    kb.loop(kb.max(begin, firstBlock), last, kb.c(1), [&](Value number) {
      forHeads([&](Value slot) {
        visit(slot, number, endBlock, [&](const Visit &at) { block(number, at); });
      });
    });
    forHeads([&](Value) {
      forRows([&](Value r) {
        Value record = recordOf(r);
        kb.store(kb.loadScratch(kb.f32, kb.gep(maximaBase, r, kb.f32)), record);
        kb.branch(isWhole, [&] { fold(r, record); });
      });
    });
  });
}

/// Sums and outputs of the current segment.
void AttentionEmitter::clearRecords() {
  forRows([&](Value r) {
    Value record = recordOf(r);
    for (int64_t bytes = kSums; bytes < recordBytes; bytes += 64)
      kb.store(splat(0), kb.field(record, bytes));
  });
}

void AttentionEmitter::visit(Value slot, Value number, Value endBlock,
                             function_ref<void(const Visit &)> body, function_ref<void()> empty) {
  Value firstKey = kb.mul(number, kPage), lastKey = kb.add(firstKey, kPage - 1);
  Value lastRow = kb.add(rowCount, -1);
  Value headBegin = kb.mul(kvHead, group);
  SmallVector<std::pair<Value, Value>> captured;
  op.getMask().walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      if (operand.getParentRegion() != &op.getMask() &&
          isa<IntegerType, IndexType>(operand.getType())) {
        Value value = eval.scalar(operand);
        unsigned width = value.getType().getIntOrFloatBitWidth();
        captured.push_back({operand, width == 64 ? value : kb.make<arith::ExtSIOp>(kb.i64, value)});
      }
  });
  Value keysEnd = kb.add(keyEnd, -1);
  Value firstQuery = kb.add(firstPosition, queryOf(kb.c(0)));
  Value lastQuery = kb.add(firstPosition, queryOf(lastRow));
  /// Of `count` keys from the block's key `offset` on.
  auto classify = [&](int64_t offset, int64_t count) {
    Interval ranges[4] = {
        {sequenceNumber, sequenceNumber},
        {headBegin, kb.add(headBegin, group - 1)},
        {firstQuery, lastQuery},
        {kb.add(firstKey, offset), kb.min(kb.add(firstKey, offset + count - 1), keysEnd)}};
    kb.toInnermost();
    return classifyBlock(kb.b, kb.loc, op.getMask(), ranges, [&](Value value) {
      for (auto [operand, wide] : captured)
        if (operand == value)
          return wide;
      return Value();
    });
  };
  BlockClass kind = classify(0, kPage);
  auto notEmpty = [&] {
    Visit at;
    Value page = kb.load(kb.ptr, kb.gep(pages, number, kb.ptr));
    at.keys = kb.gep(kb.gep(page, layerOffset, kb.i8), kb.mul(kvHead, layout.headBytes), kb.i8);
    at.values = layout.valuesInKeys ? turnedValues : kb.field(at.keys, layout.valuesOffset);
    at.partial = kb.ori(kind.mayDrop, kb.cmp(CmpIPredicate::sge, lastKey, keyEnd));
    auto neededPanels = [&] {
      Value panels = kb.c(1);
      for (int64_t panel = 1; panel < kPanels; ++panel) {
        Value there = kb.lt(kb.add(firstKey, panel * kLanes), keyEnd);
        Value needed = kb.andi(there, classify(panel * kLanes, kLanes).mayKeep);
        panels = kb.select(needed, kb.c(panel + 1), panels);
      }
      return Values{panels};
    };
    at.panels = kb.branch(at.partial, TypeRange{kb.i64}, neededPanels,
                          [&] { return Values{kb.c(kPanels)}; })[0];
    // The next head of the page, or the next page's first one.
    Value hasHead = kb.lt(kb.add(slot, 1), headCount);
    Value hasPage = kb.lt(kb.add(number, 1), endBlock);
    Value nextNumber =
        kb.select(kb.andi(hasPage, kb.cmp(CmpIPredicate::eq, hasHead, kb.zero(kb.i1))),
                  kb.add(number, 1), number);
    Value nextHead = kb.select(hasHead, kb.add(kvHead, 1), firstHead);
    Value nextPage = kb.load(kb.ptr, kb.gep(pages, nextNumber, kb.ptr));
    at.next =
        kb.gep(kb.gep(nextPage, layerOffset, kb.i8), kb.mul(nextHead, layout.headBytes), kb.i8);
    body(at);
  };
  if (!empty)
    return kb.branch(kind.mayKeep, notEmpty);
  kb.branch(
      kind.mayKeep, TypeRange{}, [&] { return notEmpty(), Values(); },
      [&] { return empty(), Values(); });
}

void AttentionEmitter::block(Value number, const Visit &at) {
  emission.rowTiles(rowCount, tileRows, [&](Value r, int64_t count) {
    scoreTile(r, count, at.keys, at.panels, layout.valuesInKeys ? at.next : at.values);
  });
  auto allRows = [&](bool isPartial) {
    kb.loop(kb.c(0), rowCount, kb.c(kLanes),
            [&](Value r) { softmax(r, number, at.keys, isPartial); });
    return Values();
  };
  kb.branch(
      at.partial, TypeRange{}, [&] { return allRows(true); }, [&] { return allRows(false); });
  values(at);
}

//===----------------------------------------------------------------------===//
// Folding and the result
//===----------------------------------------------------------------------===//

/// A segment's record into the row's.
void AttentionEmitter::fold(Value r, Value record) {
  Value total = totalOf(r);
  Value a = kb.loadScratch(kb.f32, total), x = kb.loadScratch(kb.f32, record);
  Value max = kb.fmax(a, x);
  Value scaleA = kb.broadcast(exp2(kb.fsub(a, max)));
  Value scaleX = kb.broadcast(exp2(kb.fsub(x, max)));
  kb.store(max, total);
  for (int64_t bytes = kSums; bytes < recordBytes; bytes += 64) {
    Value sum = kb.fmul(loadVector(kb.field(total, bytes)), scaleA);
    sum = kb.fadd(sum, kb.fmul(loadVector(kb.field(record, bytes)), scaleX));
    kb.store(sum, kb.field(total, bytes));
  }
}

/// Who is the last of the items of these rows folds what all of them have left.
void AttentionEmitter::foldParts() {
  Value arrivals = kb.gep(counter, kb.add(kb.mul(kvHead, rows), firstRow), kb.i32);
  kb.toInnermost();
  Value one = kb.constantInt(kb.i32, 1);
  kb.toInnermost();
  Value before = LLVM::AtomicRMWOp::create(kb.b, kb.loc, LLVM::AtomicBinOp::add, arrivals, one,
                                           LLVM::AtomicOrdering::acq_rel);
  Value last =
      kb.cmp(CmpIPredicate::eq, kb.add(kb.make<arith::ExtSIOp>(kb.i64, before), 1), segmentCount);
  kb.branch(last, [&] {
    kb.store(kb.zero(kb.i32), arrivals);
    kb.loop(kb.c(0), segmentCount, kb.c(1), [&](Value part) {
      forRows([&](Value r) {
        Value number = kb.add(kb.mul(part, op.getKVHeads()), kvHead);
        Value record = at(records, kb.add(kb.add(kb.mul(number, rows), firstRow), r), recordBytes);
        fold(r, record);
      });
    });
    output();
  });
}

void AttentionEmitter::output() {
  Value buffer = eval.resultBuffer(resultIndex);
  forRows([&](Value r) {
    Value total = totalOf(r);
    Value max = kb.loadScratch(kb.f32, total);
    Value sum = kb.reduceTree(loadVector(kb.field(total, kSums)),
                              [&](Value a, Value x) { return kb.fadd(a, x); });
    Value factor;
    if (op.getSinks()) {
      // One more logit, whose value is zero.
      Point point{{eval.uniform(headOf(r), 0, heads)}, {}, false};
      Value sink = kb.extend(eval.at(op.getSinks(), point).value, kb.f32,
                             getElementTypeOrSelf(op.getSinks().getType()));
      sink = kb.fmul(sink, f32(kLog2E));
      Value top = kb.fmax(max, sink);
      Value scale = exp2(kb.fsub(max, top)), extra = exp2(kb.fsub(sink, top));
      factor = kb.fdiv(scale, kb.fadd(kb.fmul(sum, scale), extra));
    } else {
      factor = kb.fdiv(f32(1), sum);
    }
    // A NaN is no maximum, but it is in the sum.
    Value alive = kb.ori(kb.fcmp(arith::CmpFPredicate::OGT, max, f32(kDropped)),
                         kb.fcmp(arith::CmpFPredicate::UNO, sum, sum));
    Value token = kb.add(firstToken, queryOf(r));
    Value first = kb.mul(kb.add(kb.mul(token, heads), headOf(r)), layout.valueSize);
    for (int64_t v = 0; v < valueVectors; ++v) {
      int64_t left = layout.valueSize - v * kLanes;
      Value o = loadVector(kb.field(total, kOutput + v * 64));
      // + 0 turns -0 into 0: blocks without effect may change the sign of a zero.
      o = kb.fma(o, kb.broadcast(factor), splat(0));
      o = kb.select(kb.broadcast(alive), o, splat(0));
      eval.store({kb.truncate(o, resultElement)}, buffer, resultElement, kb.add(first, v * kLanes),
                 left < kLanes ? kb.firstLanes(left) : Value());
    }
  });
}

void codegen::emitAttention(KernelEmission &emission) {
  AttentionEmitter emitter(emission);
  if (emitter.prepare())
    emitter.items();
}
