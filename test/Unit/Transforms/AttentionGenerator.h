//===- AttentionGenerator.h - attention in many writings, as MLIR text ------------*- C++ -*-===//
#ifndef INGOT_TEST_UNIT_TRANSFORMS_ATTENTIONGENERATOR_H
#define INGOT_TEST_UNIT_TRANSFORMS_ATTENTIONGENERATOR_H

#include <cstdint>
#include <string>
#include <vector>

namespace ingot::test {

/// What is wrong in a graph that looks like attention.
enum class Broken {
  Nothing,
  OtherAxis,       ///< softmax over the queries
  NoSoftmax,       ///< a sigmoid in place of it
  NonLinear,       ///< a function between softmax and values
  Selection,       ///< some probabilities are replaced after the softmax
  MaskAfter,       ///< a mask times the probabilities, not normalised again
  ScaleAfter,      ///< the probabilities times a number
  BiasAfter,       ///< a number added to the probabilities
  TransposedAfter, ///< the transposed probabilities meet the values
  NoProduct,       ///< scores that are no product of queries and keys
  Last = NoProduct
};

struct GeneratedAttention {
  /// A module with the function @f.
  std::string text;
  /// Sizes of its dynamic dimensions, in the order of the arguments.
  std::vector<int64_t> dims;
};

/// Attention written in a way that depends on `seed` alone: where and how often it is scaled, in
/// which order terms are added, masks as selections, sums, tables and comparisons, casts and
/// transposes in pairs, heads repeated, batches merged.
GeneratedAttention generateAttention(uint64_t seed, Broken broken);

} // namespace ingot::test

#endif // INGOT_TEST_UNIT_TRANSFORMS_ATTENTIONGENERATOR_H
