//===- Attention.cpp - attention over a paged cache, prefill and decode -----------------------===//
//
// A work item is a block of queries of one sequence and one KV head. Its *rows* are the queries
// times the heads of the group, taken 32 at a time; one row or 32, prefill or decode, run the same
// arithmetic per row:
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
// A page holds for a head K as 4 panels [D][16] and V as [64][DV].
//
//===----------------------------------------------------------------------------------------===//

#include "../BlockClassification.h"
#include "Emitters.h"
#include "KernelABI.h"
#include "Math.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

namespace {

constexpr int64_t kPage = plan::kPagePositions, kSegmentBlocks = 1024 / kPage;
constexpr int64_t kVectors = kPage / kLanes; // of scores in a block
constexpr int64_t kRows = 32;                // rows that share the visits to a block
constexpr double kDropped = -1e30, kLog2E = 1.4426950408889634;

struct AttentionEmitter {
  KernelEmission &emission;
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  tfm::AttentionOp op{};
  unsigned resultIndex = 0;
  int64_t heads = 0, group = 0, keySize = 0, valueSize = 0, valueVectors = 0;
  int64_t tileRows = 0, tileVectors = 0; ///< registers

  // Scratch memory, per row of a chunk.
  Value q{}, scores{}, factors{};                   ///< [D], [64], one
  Value segmentMax{}, segmentSum{}, segmentOut{};   ///< one, [16], [DV rounded up]
  Value totalMax{}, totalSum{}, totalOut{};

  // The work item.
  Value sequence{}, sequenceNumber{}, kvHead{}, firstToken{}, firstPosition{}, keyBegin{}, keyEnd{},
      pages{}, layerOffset{};
  Value firstRow{}, rowCount{}; ///< of this chunk

  bool prepare();
  void item(Value index);
  void chunk();
  void block(Value number);
  void scoreTile(Value row, int64_t count, Value keys);
  void softmaxRow(Value row, Value number, bool partial);
  void valueTile(Value row, int64_t count, Value values);
  void fold();
  void output();

  Value row(Value base, Value row, int64_t stride) {
    return kb.gep(base, kb.mul(row, stride), kb.f32);
  }
  Value f32(double value) { return kb.constantFloat(kb.f32, value); }
  Value splat(double value) { return kb.constantFloat(kb.vec(kb.f32), value); }
  Value queryOf(Value row) { return kb.div(kb.add(firstRow, row), group); }
  Value headOf(Value row) {
    return kb.add(kb.mul(kvHead, group), kb.rem(kb.add(firstRow, row), group));
  }
  void forRows(function_ref<void(Value)> body) { kb.loop(kb.c(0), rowCount, kb.c(1), body); }
  /// Vectors of a row of values; the last one may be masked.
  void forValueVectors(function_ref<void(int64_t, Value)> body) {
    for (int64_t v = 0; v < valueVectors; ++v)
      body(v, (v + 1) * kLanes > valueSize ? kb.firstLanes(valueSize - v * kLanes) : Value());
  }
};

} // namespace

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
  if (!op.getCache().getType().getElementType().isF32())
    return fail("expected a cache of f32");
  auto yield = cast<plan::YieldOp>(body.getTerminator());
  std::optional<unsigned> result;
  for (auto [index, value] : llvm::enumerate(yield.getValues()))
    if (peelReshapes(value) == op.getResult())
      result = index;
  if (!result || yield.getValues().size() != 1 ||
      !getElementTypeOrSelf(op.getResult().getType()).isF32())
    return fail("expected its f32 result to be the kernel's only one");
  resultIndex = *result;
  heads = op.getHeads();
  group = heads / op.getKVHeads();
  keySize = op.getKeySize();
  valueSize = op.getValueSize();
  valueVectors = llvm::divideCeil(valueSize, kLanes);
  // AVX-512: 16 of 32 registers accumulate. AVX2: 12 of 16, two to a vector.
  tileRows = emission.target.hasAVX512() ? 4 : 6;
  tileVectors = emission.target.hasAVX512() ? 4 : 1;

  q = emission.scratch(kRows * keySize * 4);
  scores = emission.scratch(kRows * kPage * 4);
  factors = emission.scratch(kRows * 4);
  for (Value *max : {&segmentMax, &totalMax})
    *max = emission.scratch(kRows * 4);
  for (Value *sum : {&segmentSum, &totalSum})
    *sum = emission.scratch(kRows * kLanes * 4);
  for (Value *out : {&segmentOut, &totalOut})
    *out = emission.scratch(kRows * valueVectors * kLanes * 4);
  return true;
}

void AttentionEmitter::item(Value index) {
  Value number = kb.div(index, op.getKVHeads());
  kvHead = kb.rem(index, op.getKVHeads());
  Value record = kb.gep(eval.batchField(abi::kBatchItems, kb.ptr), kb.mul(number, abi::kItemBytes),
                        kb.i8);
  auto wide = [&](Value v) { return kb.make<arith::ExtSIOp>(kb.i64, v); };
  sequenceNumber = wide(kb.load(kb.i32, kb.field(record, abi::kItemSequence)));
  Value tokens = wide(kb.load(kb.i32, kb.field(record, abi::kItemRowCount)));
  firstToken = kb.load(kb.i64, kb.field(record, abi::kItemRowBegin));
  sequence = kb.gep(eval.batchField(abi::kBatchSequences, kb.ptr),
                    kb.mul(sequenceNumber, abi::kSequenceBytes), kb.i8);
  auto field = [&](int64_t offset) { return kb.load(kb.i64, kb.field(sequence, offset)); };
  firstPosition = kb.add(field(abi::kSequencePosition),
                         kb.sub(firstToken, field(abi::kSequenceRowBegin)));
  keyBegin = field(abi::kSequenceKeyBegin);
  keyEnd = field(abi::kSequenceKeyEnd);
  pages = kb.load(kb.ptr, kb.field(sequence, abi::kSequencePages));
  layerOffset = eval.scalarOperand(cast<BlockArgument>(op.getCache()).getArgNumber());
  Value rows = kb.mul(tokens, group);
  kb.loop(kb.c(0), rows, kb.c(kRows), [&](Value first) {
    firstRow = first;
    rowCount = kb.min(kb.sub(rows, first), kb.c(kRows));
    chunk();
  });
}

void AttentionEmitter::chunk() {
  // Queries, scaled, into scratch memory.
  Value factor = op.getScale() ? eval.scalar(op.getScale()) : f32(1);
  if (op.getScore().empty())
    factor = kb.fmul(factor, f32(kLog2E));
  factor = kb.broadcast(factor);
  SmallVector<int64_t> breaks;
  eval.collectBreaks(op.getQ(), 2, breaks);
  Type element = getElementTypeOrSelf(op.getQ().getType());
  forRows([&](Value r) {
    Value token = kb.add(firstToken, queryOf(r));
    eval.forLanes({kb.c(keySize), keySize}, breaks, [&](Coord lane, Value mask) {
      Point point{{eval.uniform(token), eval.uniform(headOf(r), 0, heads), lane}, mask, false};
      Value x = kb.extend(eval.broadcast(eval.at(op.getQ(), point)), kb.f32, element);
      kb.store(kb.fmul(x, factor), kb.gep(row(q, r, keySize), lane.base, kb.f32), mask);
    });
    kb.store(f32(kDropped), row(totalMax, r, 1));
    kb.store(splat(0), row(totalSum, r, kLanes));
    for (int64_t v = 0; v < valueVectors; ++v)
      kb.store(splat(0), kb.gep(row(totalOut, r, valueVectors * kLanes), v * kLanes, kb.f32));
  });

  Value firstBlock = kb.div(keyBegin, kPage), endBlock = kb.div(kb.add(keyEnd, kPage - 1), kPage);
  Value firstSegment = kb.div(firstBlock, kSegmentBlocks);
  Value endSegment = kb.div(kb.add(endBlock, kSegmentBlocks - 1), kSegmentBlocks);
  kb.loop(firstSegment, endSegment, kb.c(1), [&](Value segment) {
    forRows([&](Value r) {
      kb.store(f32(kDropped), row(segmentMax, r, 1));
      kb.store(splat(0), row(segmentSum, r, kLanes));
      for (int64_t v = 0; v < valueVectors; ++v)
        kb.store(splat(0), kb.gep(row(segmentOut, r, valueVectors * kLanes), v * kLanes, kb.f32));
    });
    Value begin = kb.mul(segment, kSegmentBlocks), end = kb.add(begin, kSegmentBlocks);
    kb.loop(kb.max(begin, firstBlock), kb.min(end, endBlock), kb.c(1),
            [&](Value number) { block(number); });
    fold();
  });
  output();
}

void AttentionEmitter::block(Value number) {
  Value firstKey = kb.mul(number, kPage), lastKey = kb.add(firstKey, kPage - 1);
  Value lastRow = kb.add(rowCount, -1);
  Value firstHead = kb.mul(kvHead, group);
  Interval ranges[4] = {
      {sequenceNumber, sequenceNumber},
      {firstHead, kb.add(firstHead, group - 1)},
      {kb.add(firstPosition, queryOf(kb.c(0))), kb.add(firstPosition, queryOf(lastRow))},
      {firstKey, kb.min(lastKey, kb.add(keyEnd, -1))}};
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
  kb.toInnermost();
  BlockClass kind = classifyBlock(kb.b, kb.loc, op.getMask(), ranges, [&](Value value) {
    for (auto [operand, wide] : captured)
      if (operand == value)
        return wide;
    return Value();
  });
  kb.branch(kind.mayKeep, [&] {
    Value page = kb.load(kb.ptr, kb.gep(pages, number, kb.ptr));
    Value keys = kb.gep(kb.gep(page, layerOffset, kb.i8),
                        kb.mul(kvHead, kPage * (keySize + valueSize)), kb.f32);
    Value values = kb.gep(keys, kPage * keySize, kb.f32);
    emission.rowTiles(rowCount, tileRows,
                      [&](Value r, int64_t count) { scoreTile(r, count, keys); });
    Value partial = kb.ori(kind.mayDrop, kb.cmp(arith::CmpIPredicate::sge, lastKey, keyEnd));
    auto rows = [&](bool isPartial) {
      forRows([&](Value r) { softmaxRow(r, number, isPartial); });
      return KernelBuilder::Values();
    };
    kb.branch(partial, TypeRange{}, [&] { return rows(true); }, [&] { return rows(false); });
    emission.rowTiles(rowCount, tileRows,
                      [&](Value r, int64_t count) { valueTile(r, count, values); });
  });
}

/// scores[row][64] = q[row] . K for some rows.
void AttentionEmitter::scoreTile(Value r, int64_t count, Value keys) {
  Value rows = row(q, r, keySize), into = row(scores, r, kPage);
  int64_t width = std::clamp<int64_t>(tileRows * tileVectors / count, 1, kVectors);
  while (kVectors % width)
    --width;
  for (int64_t first = 0; first < kVectors; first += width) {
    KernelBuilder::Values zeros(count * width, splat(0));
    KernelBuilder::Values sums = kb.loop(
        kb.c(0), kb.c(keySize), kb.c(1), zeros, [&](Value d, ValueRange state) {
          KernelBuilder::Values next(state);
          KernelBuilder::Values k;
          Value line = kb.gep(keys, kb.mul(d, kLanes), kb.f32);
          for (int64_t v = 0; v < width; ++v)
            k.push_back(kb.loadScratch(
                kb.vec(kb.f32), kb.gep(line, (first + v) * keySize * kLanes, kb.f32)));
          for (int64_t i = 0; i < count; ++i) {
            Value x = kb.gep(kb.gep(rows, d, kb.f32), i * keySize, kb.f32);
            Value factor = kb.broadcast(kb.loadScratch(kb.f32, x));
            for (int64_t v = 0; v < width; ++v)
              next[i * width + v] = kb.fma(factor, k[v], next[i * width + v]);
          }
          return next;
        });
    for (int64_t i = 0; i < count; ++i)
      for (int64_t v = 0; v < width; ++v)
        kb.store(sums[i * width + v], kb.gep(into, i * kPage + (first + v) * kLanes, kb.f32));
  }
}

/// Scores to probabilities, and the row's maximum, factor and sums.
void AttentionEmitter::softmaxRow(Value r, Value number, bool partial) {
  Value line = row(scores, r, kPage);
  Value firstKey = kb.mul(number, kPage);
  KernelBuilder::Values s;
  for (int64_t v = 0; v < kVectors; ++v) {
    Value score = kb.loadScratch(kb.vec(kb.f32), kb.gep(line, v * kLanes, kb.f32));
    Value key = kb.add(kb.broadcast(kb.add(firstKey, v * kLanes)), kb.iota(kb.i64));
    Value there = partial ? kb.lt(key, kb.broadcast(keyEnd)) : Value();
    LaneValue arguments[4] = {
        {sequenceNumber}, {headOf(r)}, {kb.add(firstPosition, queryOf(r))}, {key}};
    auto run = [&](Region &region, ArrayRef<LaneValue> values) {
      DenseMap<Value, LaneValue> env;
      for (auto [argument, value] : llvm::zip_equal(region.getArguments(), values))
        env[argument] = value;
      return eval.broadcast(eval.run(region.front(), env, there).front());
    };
    if (!op.getScore().empty()) {
      SmallVector<LaneValue> withScore{{score}};
      withScore.append(std::begin(arguments), std::end(arguments));
      score = kb.fmax(run(op.getScore(), withScore), splat(kDropped));
      score = kb.fmul(score, splat(kLog2E));
    }
    if (partial) {
      Value keep = there;
      if (!op.getMask().empty())
        keep = kb.andi(keep, run(op.getMask(), arguments));
      score = kb.select(keep, score, splat(kDropped));
    }
    s.push_back(score);
  }
  Value top = s[0];
  for (Value score : ArrayRef(s).drop_front())
    top = kb.fmax(score, top);
  top = kb.reduceTree(top, [&](Value a, Value x) { return kb.fmax(a, x); });
  Value before = kb.loadScratch(kb.f32, row(segmentMax, r, 1));
  Value max = kb.fmax(top, before);
  Value factor = emitExp2NonPositive(kb, kb.fsub(before, max));
  kb.store(max, row(segmentMax, r, 1));
  kb.store(factor, row(factors, r, 1));
  Value sumAddress = row(segmentSum, r, kLanes);
  Value sum = kb.fmul(kb.loadScratch(kb.vec(kb.f32), sumAddress), kb.broadcast(factor));
  for (int64_t v = 0; v < kVectors; ++v) {
    Value p = emitExp2NonPositive(kb, kb.fsub(s[v], kb.broadcast(max)));
    sum = kb.fadd(sum, p);
    kb.store(p, kb.gep(line, v * kLanes, kb.f32));
  }
  kb.store(sum, sumAddress);
}

/// out[row] = out[row] * factor + p[row] . V for some rows.
void AttentionEmitter::valueTile(Value r, int64_t count, Value values) {
  int64_t stride = valueVectors * kLanes;
  Value out = row(segmentOut, r, stride), p = row(scores, r, kPage), scale = row(factors, r, 1);
  int64_t width = std::clamp<int64_t>(tileRows * tileVectors / count, 1, valueVectors);
  for (int64_t first = 0; first < valueVectors; first += width) {
    int64_t vectors = std::min(width, valueVectors - first);
    auto address = [&](int64_t i, int64_t v) {
      return kb.gep(out, i * stride + (first + v) * kLanes, kb.f32);
    };
    KernelBuilder::Values inits;
    for (int64_t i = 0; i < count; ++i) {
      Value factor = kb.broadcast(kb.loadScratch(kb.f32, kb.gep(scale, i, kb.f32)));
      for (int64_t v = 0; v < vectors; ++v)
        inits.push_back(kb.fmul(kb.loadScratch(kb.vec(kb.f32), address(i, v)), factor));
    }
    KernelBuilder::Values sums = kb.loop(
        kb.c(0), kb.c(kPage), kb.c(1), inits, [&](Value key, ValueRange state) {
          KernelBuilder::Values next(state);
          KernelBuilder::Values x;
          Value line = kb.gep(values, kb.mul(key, valueSize), kb.f32);
          for (int64_t v = first; v < first + vectors; ++v) {
            Value pointer = kb.gep(line, v * kLanes, kb.f32);
            bool whole = (v + 1) * kLanes <= valueSize;
            x.push_back(whole ? kb.loadScratch(kb.vec(kb.f32), pointer)
                              : kb.maskedLoad(kb.vec(kb.f32), pointer,
                                              kb.firstLanes(valueSize - v * kLanes)));
          }
          for (int64_t i = 0; i < count; ++i) {
            Value factor = kb.broadcast(
                kb.loadScratch(kb.f32, kb.gep(kb.gep(p, key, kb.f32), i * kPage, kb.f32)));
            for (int64_t v = 0; v < vectors; ++v)
              next[i * vectors + v] = kb.fma(factor, x[v], next[i * vectors + v]);
          }
          return next;
        });
    for (int64_t i = 0; i < count; ++i)
      for (int64_t v = 0; v < vectors; ++v)
        kb.store(sums[i * vectors + v], address(i, v));
  }
}

/// The segment's state into the row's.
void AttentionEmitter::fold() {
  forRows([&](Value r) {
    Value a = kb.loadScratch(kb.f32, row(totalMax, r, 1));
    Value x = kb.loadScratch(kb.f32, row(segmentMax, r, 1));
    Value max = kb.fmax(a, x);
    Value scaleA = kb.broadcast(emitExp2NonPositive(kb, kb.fsub(a, max)));
    Value scaleX = kb.broadcast(emitExp2NonPositive(kb, kb.fsub(x, max)));
    kb.store(max, row(totalMax, r, 1));
    auto join = [&](Value into, Value from) {
      Value total = kb.fmul(kb.loadScratch(kb.vec(kb.f32), into), scaleA);
      kb.store(kb.fadd(total, kb.fmul(kb.loadScratch(kb.vec(kb.f32), from), scaleX)), into);
    };
    join(row(totalSum, r, kLanes), row(segmentSum, r, kLanes));
    int64_t stride = valueVectors * kLanes;
    for (int64_t v = 0; v < valueVectors; ++v)
      join(kb.gep(row(totalOut, r, stride), v * kLanes, kb.f32),
           kb.gep(row(segmentOut, r, stride), v * kLanes, kb.f32));
  });
}

void AttentionEmitter::output() {
  Value buffer = eval.resultBuffer(resultIndex);
  forRows([&](Value r) {
    Value max = kb.loadScratch(kb.f32, row(totalMax, r, 1));
    Value partial = kb.loadScratch(kb.vec(kb.f32), row(totalSum, r, kLanes));
    Value sum = kb.reduceTree(partial, [&](Value a, Value x) { return kb.fadd(a, x); });
    Value factor;
    if (op.getSinks()) {
      // One more logit, whose value is zero.
      Point point{{eval.uniform(headOf(r), 0, heads)}, {}, false};
      Value sink = kb.extend(eval.at(op.getSinks(), point).value, kb.f32,
                             getElementTypeOrSelf(op.getSinks().getType()));
      sink = kb.fmul(sink, f32(kLog2E));
      Value top = kb.fmax(max, sink);
      Value scale = emitExp2NonPositive(kb, kb.fsub(max, top));
      Value extra = emitExp2NonPositive(kb, kb.fsub(sink, top));
      factor = kb.fdiv(scale, kb.fadd(kb.fmul(sum, scale), extra));
    } else {
      factor = kb.fdiv(f32(1), sum);
    }
    Value alive = kb.fcmp(arith::CmpFPredicate::OGT, max, f32(kDropped));
    Value token = kb.add(firstToken, queryOf(r));
    Value first = kb.mul(kb.add(kb.mul(token, heads), headOf(r)), valueSize);
    forValueVectors([&](int64_t v, Value mask) {
      Value o = kb.loadScratch(kb.vec(kb.f32),
                               kb.gep(row(totalOut, r, valueVectors * kLanes), v * kLanes, kb.f32));
      // + 0 turns -0 into 0: blocks without effect may change the sign of a zero.
      o = kb.fma(o, kb.broadcast(factor), splat(0));
      o = kb.select(kb.broadcast(alive), o, splat(0));
      kb.store(o, kb.gep(kb.gep(buffer, first, kb.f32), v * kLanes, kb.f32), mask);
    });
  });
}

void codegen::emitAttention(KernelEmission &emission) {
  AttentionEmitter emitter{emission};
  if (!emitter.prepare())
    return;
  KernelBuilder &kb = emission.kb;
  kb.loop(kb.begin(), kb.end(), kb.c(1), [&](Value index) { emitter.item(index); });
}
