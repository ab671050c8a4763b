//===- Sampling.h - choosing an id from logits -----------------------------------------------===//
#ifndef INGOT_RUNTIME_SAMPLING_H
#define INGOT_RUNTIME_SAMPLING_H

#include "Support.h"

#include <vector>

namespace ingot {

/// Reused between calls.
struct SamplingScratch {
  struct Candidate {
    float logit;
    int32_t id;
  };
  std::vector<Candidate> candidates;
  std::vector<double> weights;
  std::vector<int32_t> seen;
};

Error checkSampling(const ingot_sampling_options &options);

/// Options must have been checked.
int32_t sample(const float *logits, size_t vocabulary, const int32_t *history, size_t historyCount,
               uint64_t position, const ingot_sampling_options &options, SamplingScratch &scratch);

/// A number in [0, 1) that depends on seed and counter only.
double uniformAt(uint64_t seed, uint64_t counter);

} // namespace ingot

#endif // INGOT_RUNTIME_SAMPLING_H
