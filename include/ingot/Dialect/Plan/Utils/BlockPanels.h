//===- BlockPanels.h - block formats in panels ------------------------------------*- C++ -*-===//
//
// How a matrix that a file stores in blocks lies in panels. A line of the panel (PanelLayout.h)
// holds one block of every lane, so nothing is widened: the bits are the file's, sorted so that
// each field is a vector over lanes. With L lanes, and all sections one after the other:
//
//   d          [L] f16       the scale
//   m          [L] f16       the minimum, where the format has one
//   scales     [W][L] u32    of sub-blocks, where the format has them
//   for each group of 32 numbers:
//     main     [4][L] u32    4-bit numbers: byte j of word i is number 4 i + j in its low and
//     number
//              or            16 + 4 i + j in its high half
//              [8][L] u32    8-bit numbers: byte j of word i is number 4 i + j
//     extra    [L] u32       a fifth bit: bit s of byte j belongs to number 4 s + j
//              or            (after the main bits)
//              [2][L] u32    two more bits: bits 2 (s mod 4) of byte j of word s / 4 belong to 4 s
//              + j
//
// Four consecutive numbers of a lane are the bytes of one word: what products of bytes want.
// Numbers are unsigned; `zero` is what they are above the number meant.
//
//   F16    x = d (q - zero)                        q4_0, q5_0, q8_0
//   F16Min x = d q + m                             q4_1, q5_1
//   K6     x = (d s) q - (m t), s and t of 6 bits per group: scales[0] and [1] have the low four
//   bits
//          of s and t at bit 4 g, scales[2] the high two of s at 4 g and of t at 4 g + 2 q4_k, q5_k
//   I8     x = (d s) (q - zero), s signed, one for 16 numbers: byte g' of scales q6_k
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_DIALECT_PLAN_UTILS_BLOCKPANELS_H
#define INGOT_DIALECT_PLAN_UTILS_BLOCKPANELS_H

#include "ingot/Formats/BlockFormats.h"
#include <optional>

namespace ingot::plan {

struct BlockPanel {
  enum class Scales { F16, F16Min, K6, I8 };

  formats::Format format;
  int64_t groups; ///< of 32 numbers, in a block
  Scales scales;
  int64_t mainBits;  ///< 4 or 8
  int64_t extraBits; ///< 0, 1 or 2
  int64_t zero;      ///< subtracted from a stored number

  /// How a format lies in panels; nothing where it has no kernels.
  static std::optional<BlockPanel> get(formats::Format format);

  bool hasMinimum() const { return scales == Scales::F16Min || scales == Scales::K6; }
  int64_t scaleWords() const { return scales == Scales::K6 ? 3 : scales == Scales::I8 ? 4 : 0; }
  // Sizes of sections, in bytes per lane.
  int64_t scalesAt() const { return hasMinimum() ? 4 : 2; }
  int64_t groupsAt() const { return scalesAt() + 4 * scaleWords(); }
  int64_t mainBytes() const { return 4 * mainBits; }
  int64_t groupBytes() const { return mainBytes() + 4 * extraBits; }

  /// Writes a block of the file into lane `lane` of a line of `lanes` lanes.
  void interleave(const uint8_t *block, uint8_t *line, int64_t lanes, int64_t lane) const;
};

} // namespace ingot::plan

#endif // INGOT_DIALECT_PLAN_UTILS_BLOCKPANELS_H
