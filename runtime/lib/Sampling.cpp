//===- Sampling.cpp - greedy and random choice -----------------------------------------------===//
//
// Everything here is a function of the logits, the options and the position: candidates are put
// into one total order (logit descending, then id ascending), and the randomness is a function of
// (seed, position). So batch mates, speculation and forks do not shift what is drawn.
//===----------------------------------------------------------------------------------------===//
#include "Sampling.h"

#include <algorithm>
#include <cmath>

using namespace ingot;

/// Philox4x32 with ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"): a
/// keyed bijection of counters.
double ingot::uniformAt(uint64_t seed, uint64_t counter) {
  uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0};
  uint32_t k[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t(0xD2511F53) * c[0], p1 = uint64_t(0xCD9E8D57) * c[2];
    uint32_t next[4] = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
                        static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    std::copy(next, next + 4, c);
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  uint64_t bits = (uint64_t(c[0]) << 32 | c[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

Error ingot::checkSampling(const ingot_sampling_options &options) {
  auto bad = [](const char *what, double value) {
    return makeError(INGOT_INVALID_ARGUMENT, "sampling: %s of %g", what, value);
  };
  if (!(options.temperature >= 0) || std::isinf(options.temperature))
    return bad("temperature", static_cast<double>(options.temperature));
  if (!(options.top_p >= 0 && options.top_p <= 1))
    return bad("top-p", static_cast<double>(options.top_p));
  if (!(options.min_p >= 0 && options.min_p <= 1))
    return bad("min-p", static_cast<double>(options.min_p));
  if (!(options.repetition_penalty >= 0) || std::isinf(options.repetition_penalty))
    return bad("repetition penalty", static_cast<double>(options.repetition_penalty));
  return nullptr;
}

namespace {

/// NaN counts as minus infinity: then there always is an order.
float ordered(float logit) { return std::isnan(logit) ? -INFINITY : logit; }

bool isBefore(const SamplingScratch::Candidate &a, const SamplingScratch::Candidate &b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

int32_t argmax(const float *logits, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; ++i)
    if (ordered(logits[i]) > ordered(logits[best]))
      best = i;
  return static_cast<int32_t>(best);
}

} // namespace

int32_t ingot::sample(const float *logits, size_t vocabulary, const int32_t *history,
                      size_t historyCount, uint64_t position, const ingot_sampling_options &options,
                      SamplingScratch &scratch) {
  bool greedy = options.temperature == 0;
  float penalty = options.repetition_penalty == 0 ? 1 : options.repetition_penalty;
  if (greedy && (penalty == 1 || historyCount == 0))
    return argmax(logits, vocabulary);

  auto &candidates = scratch.candidates;
  candidates.resize(vocabulary);
  for (size_t i = 0; i < vocabulary; ++i)
    candidates[i] = {ordered(logits[i]), static_cast<int32_t>(i)};
  if (penalty != 1) {
    scratch.seen.assign(history, history + historyCount);
    std::sort(scratch.seen.begin(), scratch.seen.end());
    scratch.seen.erase(std::unique(scratch.seen.begin(), scratch.seen.end()), scratch.seen.end());
    for (int32_t id : scratch.seen) {
      if (id < 0 || static_cast<size_t>(id) >= vocabulary)
        continue;
      float &logit = candidates[static_cast<size_t>(id)].logit;
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  if (greedy)
    return std::min_element(candidates.begin(), candidates.end(), isBefore)->id;

  for (SamplingScratch::Candidate &candidate : candidates)
    candidate.logit /= options.temperature;
  size_t kept = options.top_k ? std::min<size_t>(options.top_k, vocabulary) : vocabulary;
  if (kept < vocabulary) {
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(kept),
                     candidates.end(), isBefore);
    candidates.resize(kept);
  }
  std::sort(candidates.begin(), candidates.end(), isBefore);

  // Probabilities relative to the first; when that is infinite, all infinite ones share.
  auto &weights = scratch.weights;
  weights.resize(kept);
  double top = static_cast<double>(candidates[0].logit), total = 0;
  for (size_t i = 0; i < kept; ++i) {
    double logit = static_cast<double>(candidates[i].logit);
    weights[i] = std::isinf(top) ? (logit == top ? 1.0 : 0.0) : std::exp(logit - top);
    total += weights[i];
  }
  if (options.top_p > 0 && options.top_p < 1) {
    double limit = static_cast<double>(options.top_p) * total, sum = 0;
    size_t i = 0;
    while (i < kept && sum < limit)
      sum += weights[i++];
    kept = std::max<size_t>(i, 1);
  }
  if (options.min_p > 0) {
    double least = static_cast<double>(options.min_p) * weights[0];
    while (kept > 1 && weights[kept - 1] < least)
      --kept;
  }
  total = 0;
  for (size_t i = 0; i < kept; ++i)
    total += weights[i];
  double drawn = uniformAt(options.seed, position) * total, sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    sum += weights[i];
    if (drawn < sum)
      return candidates[i].id;
  }
  return candidates[kept - 1].id;
}

ingot_error *ingot_sample(const float *logits, size_t vocabulary, const int32_t *history,
                          size_t history_count, uint64_t position,
                          const ingot_sampling_options *options, int32_t *out_id) {
  return guarded([&]() -> Error {
    if (!logits || vocabulary == 0 || vocabulary > INT32_MAX || !out_id ||
        (!history && history_count))
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_sample: no logits or no room for the id");
    ingot_sampling_options given;
    INGOT_TRY(readOptions(given, options));
    INGOT_TRY(checkSampling(given));
    SamplingScratch scratch;
    *out_id = sample(logits, vocabulary, history, history_count, position, given, scratch);
    return nullptr;
  });
}
