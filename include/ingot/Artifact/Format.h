//===- Format.h - constants of the artifact's layout ------------------------------*- C++ -*-===//
//
// The layout itself is described in schema/ingot.fbs. The runtime has constants of its own: a
// change of what readers rely on is a new format version, and both are changed by hand.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_ARTIFACT_FORMAT_H
#define INGOT_ARTIFACT_FORMAT_H

#include <cstdint>

namespace ingot::artifact {

inline constexpr char kMagic[8] = {'\x89', 'I', 'N', 'G', 'O', 'T', '\r', '\n'};
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint64_t kPreambleBytes = 64;
inline constexpr uint64_t kMaxHeadBytes = uint64_t(64) << 20; ///< heads are smaller
inline constexpr uint64_t kSegmentAlignment = 4096;
/// Long segments start at a multiple of a huge page and are written in pieces of whole ones: the
/// kernel then maps each by one entry of the page tables, through which weights are read faster.
/// Readers do not rely on it. The zeros in front are at most a sixteenth of a long segment.
inline constexpr uint64_t kHugePageBytes = uint64_t(2) << 20;
inline constexpr uint64_t kLongSegmentBytes = 16 * kHugePageBytes;
inline constexpr uint64_t kChunkBytes = uint64_t(4) << 20; ///< bytes per hash

} // namespace ingot::artifact

#endif // INGOT_ARTIFACT_FORMAT_H
