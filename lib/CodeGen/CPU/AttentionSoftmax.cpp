//===- AttentionSoftmax.cpp - from scores to weights ------------------------------------------===//
//
// Rows are taken 16 at a time: each row's scores are reduced to one vector, 16 of those to one
// vector that holds the maximum of a row per lane (a transposition and a reduction in one), so that
// the new maxima and the factors of the old sums are computed for all rows at once. A maximum does
// not depend on the order in which it is found.
//
//===----------------------------------------------------------------------------------------===//

#include "Attention.h"
#include "Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

/// 2^x for x <= 0. Weights that are rounded to 8 bits need fewer terms.
Value AttentionEmitter::exp2(Value x) { return emitExp2NonPositive(kb, x, rounded ? 4 : 6); }

/// The scores of a row as the softmax takes them: through the score region, dropped ones at -1e30.
AttentionEmitter::Values AttentionEmitter::scoresOf(Value r, Value number, bool partial) {
  Value line = scoreRow(r), firstKey = kb.mul(number, kPage);
  Values result;
  for (int64_t v = 0; v < kPanels; ++v) {
    Value score = loadVector(kb.field(line, v * 64));
    Value key = kb.add(kb.broadcast(kb.add(firstKey, v * kLanes)), kb.iota(kb.i64));
    Value there = partial ? kb.lt(key, kb.broadcast(keyEnd)) : Value();
    LaneValue arguments[4] = {
        {sequenceNumber}, {headOf(r)}, {kb.add(firstPosition, queryOf(r))}, {key}};
    auto run = [&](Region &region, ArrayRef<LaneValue> values) {
      DenseMap<Value, LaneValue> env;
      for (auto [argument, value] : llvm::zip_equal(region.getArguments(), values))
        env[argument] = value;
      region.walk([&](tfm::PackedRowOp op) {
        LaneValue position = env.lookup(op.getPosition());
        Value shift = position.isUniform() ? rowShift : kb.broadcast(rowShift);
        env[op.getResult()] = {kb.add(position.value, shift)};
      });
      return eval.broadcast(eval.run(region.front(), env, there).front());
    };
    if (!op.getScore().empty()) {
      SmallVector<LaneValue> withScore{{score}};
      withScore.append(std::begin(arguments), std::end(arguments));
      // In this order a NaN stays one.
      score = kb.fmax(splat(kDropped), run(op.getScore(), withScore));
      score = kb.fmul(score, splat(kLog2E));
    }
    if (partial) {
      Value keep = there;
      if (!op.getMask().empty())
        keep = kb.andi(keep, run(op.getMask(), arguments));
      score = kb.select(keep, score, splat(kDropped));
    }
    result.push_back(score);
  }
  return result;
}

/// 16 vectors at `rows` to one: lane r is the maximum of vector r.
Value AttentionEmitter::reduceRows(Value rows) {
  Values all;
  for (int64_t r = 0; r < kLanes; ++r)
    all.push_back(loadVector(kb.field(rows, r * 64)));
  // Lanes with bit `half` go to the vectors of the upper half, the others to those of the lower.
  for (int64_t half = kLanes / 2; half; half /= 2) {
    SmallVector<int64_t> here, there;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      bool upper = lane & half;
      here.push_back(upper ? kLanes + lane : lane);
      there.push_back(upper ? kLanes + (lane ^ half) : lane ^ half);
    }
    Values joined;
    for (int64_t r = 0; r < half; ++r) {
      Value a = kb.make<vector::ShuffleOp>(all[r], all[r + half], here);
      Value x = kb.make<vector::ShuffleOp>(all[r], all[r + half], there);
      joined.push_back(kb.fmax(a, x));
    }
    all = joined;
  }
  return all.front();
}

/// Scores to weights, and the maxima, factors and sums of up to 16 rows.
void AttentionEmitter::softmax(Value first, Value number, Value keys, bool partial) {
  Value count = kb.min(kb.sub(rowCount, first), kb.c(kLanes));
  bool changes = partial || !op.getScore().empty();
  kb.loop(kb.c(0), count, kb.c(1), [&](Value i) {
    Value r = kb.add(first, i);
    Values s = scoresOf(r, number, partial);
    if (changes)
      for (auto [v, score] : llvm::enumerate(s))
        kb.store(score, kb.field(scoreRow(r), v * 64));
    kb.store(kb.fmax(kb.fmax(s[0], s[1]), kb.fmax(s[2], s[3])), at(tops, i, 64));
  });
  // Lanes beyond `count` hold what is never read.
  Value maximum = kb.gep(maximaBase, first, kb.f32), factor = kb.gep(factors, first, kb.f32);
  Value before = loadVector(maximum);
  Value max = kb.fmax(reduceRows(tops), before);
  kb.store(max, maximum);
  kb.store(exp2(kb.fsub(before, max)), factor);
  kb.loop(kb.c(0), count, kb.c(1), [&](Value i) {
    weights(kb.add(first, i), kb.loadScratch(kb.f32, kb.gep(maximum, i, kb.f32)),
            kb.loadScratch(kb.f32, kb.gep(factor, i, kb.f32)), keys);
  });
}

void AttentionEmitter::weights(Value r, Value max, Value factor, Value keys) {
  Value line = scoreRow(r), sums = kb.field(recordOf(r), kSums);
  Value sum = kb.fmul(loadVector(sums), kb.broadcast(factor));
  for (int64_t v = 0; v < kPanels; ++v) {
    Value weight = exp2(kb.fsub(loadVector(kb.field(line, v * 64)), kb.broadcast(max)));
    sum = kb.fadd(sum, weight);
    if (layout.scaled)
      weight = kb.fmul(weight, loadVector(kb.field(keys, layout.valueScalesOffset + v * 64)));
    if (product == Product::PairDots)
      kb.store(convertToBF16(kb, weight), kb.field(line, v * 32));
    else
      kb.store(rounded ? roundToBF16(kb, weight) : weight, kb.field(line, v * 64));
  }
  kb.store(sum, sums);
}
