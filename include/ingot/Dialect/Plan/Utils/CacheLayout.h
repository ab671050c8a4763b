//===- CacheLayout.h - where keys and values lie in a page of the cache -----------*- C++ -*-===//
//
// A page holds 64 positions of every layer of a cache group. What a layer has in it is a
// !tfm.cache<heads x D x DV x type>: head after head, the keys and the values of a head side by
// side, so that a step which goes through the heads of a page reads memory in one stream.
//
//   f32, f16   keys as 4 panels [D][16 keys], values as [64 keys][DV]
//   bf16       keys as 4 panels [D / 2][16 keys][2], values as [32 pairs of keys][DV][2]: the
//   operands
//              of instructions that add two products; an odd D is padded with a zero
//   i8         keys as 4 panels [D][16 keys], values as [64 keys][DV], then an f32 scale per key
//   and one
//              per value. A number x of a row with the largest magnitude m is the integer nearest
//              to x / (m / 127) (ties to even) and is read back as that times m / 127
//
// A cache with `values_in_keys` has no values here: a value is the first DV elements of its key,
// and with i8 has the key's scale. Kernels turn the panels of a block into the layout of values as
// they need it.
//
// One token can be appended to any of them, and one layout serves a step of one row and of many: a
// vector is 16 keys of a panel, or 16 elements of a value. Kernels read values in whole
// vectors; where 16 does not divide DV they may read up to 60 bytes beyond the last one, hence the
// slack.
//
// Example: bf16, D = 64: key 21, element 5 lies 1 * 2048 (panel) + 2 * 64 (pair) + 5 * 4 (key)
// + 1 * 2 bytes from the head's start.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_DIALECT_PLAN_UTILS_CACHELAYOUT_H
#define INGOT_DIALECT_PLAN_UTILS_CACHELAYOUT_H

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "llvm/Support/Error.h"

namespace ingot::plan {

/// Positions per page; INGOT_PAGE_POSITIONS of the kernel ABI.
inline constexpr int64_t kPagePositions = 64;
/// Keys in a panel: lanes of a vector.
inline constexpr int64_t kPanelKeys = 16;
/// Positions after which attention starts from a fresh state (INGOT_SEGMENT_POSITIONS).
inline constexpr int64_t kSegmentPositions = 1024;

/// All sizes and offsets in bytes.
struct CacheLayout {
  int64_t heads = 0, keySize = 0, valueSize = 0;
  int64_t elementBytes = 0;
  bool pairs = false;        ///< bf16: two elements of a key, or of two values, side by side
  bool scaled = false;       ///< i8
  bool valuesInKeys = false; ///< valuesOffset and valueScalesOffset mean nothing
  /// D, rounded up to whole pairs.
  int64_t keyDims = 0;
  int64_t panelBytes = 0, valuesOffset = 0;
  int64_t keyScalesOffset = 0, valueScalesOffset = 0; ///< scaled: from the head's start
  int64_t headBytes = 0;                              ///< a multiple of 64
  int64_t layerBytes = 0;

  /// Fails where a product does not fit into 64 bits.
  static llvm::Expected<CacheLayout> get(tfm::CacheType type);

  /// Bytes of what lies side by side for one key of a panel, or one element of a value: a lane.
  int64_t laneBytes() const { return pairs ? 2 * elementBytes : elementBytes; }
  /// Dimensions of a line of a panel, and keys of a line of values.
  int64_t perLine() const { return pairs ? 2 : 1; }
};

/// Bytes of one layer's keys and values in a page; a multiple of 64.
llvm::Expected<int64_t> getCachePageBytes(tfm::CacheType type);

} // namespace ingot::plan

#endif // INGOT_DIALECT_PLAN_UTILS_CACHELAYOUT_H
