//===- BlockPanels.h - block formats in panels ------------------------------------*- C++ -*-===//
//
// How a matrix that a file stores in blocks lies in panels. A line of the panel (PanelLayout.h)
// holds one block of every lane, so nothing is widened: the bits are the file's, sorted so that
// each field is a vector over lanes. With L lanes, and all sections one after the other:
//
//   d          [L] f16       the scale
//   m          [L] f16       the minimum, where the format has one
//   scales                   of sub-blocks, where the format has them (K6, I8)
//   for each group of 32 numbers of n bits:
//              [n][L] u32
//
// Four consecutive numbers of a lane, a quad, are the bytes of one word: what products of bytes
// want. So words have quads in the low n bits of their bytes, and what is left above them holds
// the quads for which there are no words, in order. The shortest such period of words is, word by
// word:
//
//   8 bits   quad 0
//   6 bits   quads 0, 1, 2; above them two bits each of quad 3
//   5 bits   quads 0 to 4; above them 5 (3 bits, then 2), 6 (1, 3, 1) and 7 (2, 3)
//   4 bits   quad 0, and quad 1 above it
//
// Numbers are unsigned; `zero` is what they are above the number meant.
//
//   F16    x = d (q - zero)                        q4_0, q5_0, q8_0
//   F16Min x = d q + m                             q4_1, q5_1
//   K6     x = (d s) q - (m t), s and t of 6 bits per group                        q4_k, q5_k
//            [8][L] u8   s of a group, and above it the low two bits of t
//            [4][L] u8   the high four bits of t, of groups 2 i (low half) and 2 i + 1
//   I8     x = (d s) (q - zero), s signed, one for 16 numbers                      q6_k
//            [16][L] i8
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_DIALECT_PLAN_UTILS_BLOCKPANELS_H
#define INGOT_DIALECT_PLAN_UTILS_BLOCKPANELS_H

#include "ingot/Formats/BlockFormats.h"
#include "llvm/ADT/ArrayRef.h"
#include <optional>

namespace ingot::plan {

struct BlockPanel {
  enum class Scales { F16, F16Min, K6, I8 };

  formats::Format format;
  int64_t groups; ///< of 32 numbers, in a block
  Scales scales;
  int64_t bits; ///< of a number
  int64_t zero; ///< subtracted from a stored number

  /// How a format lies in panels; nothing where it has no kernels.
  static std::optional<BlockPanel> get(formats::Format format);

  bool hasMinimum() const { return scales == Scales::F16Min || scales == Scales::K6; }
  /// Two where a scale is for half of a group.
  int64_t scalesPerGroup() const { return scales == Scales::I8 ? 2 : 1; }
  // Sizes of sections, in bytes per lane.
  int64_t scalesAt() const { return hasMinimum() ? 4 : 2; }
  int64_t scaleBytes() const { return scales == Scales::K6 ? 12 : scales == Scales::I8 ? 16 : 0; }
  int64_t groupsAt() const { return scalesAt() + scaleBytes(); }
  int64_t groupBytes() const { return 4 * bits; }

  /// Bits `from` on of every byte of a word are bits `to` on of a quad's numbers.
  struct Slice {
    int64_t word, from, bits, to;
  };
  /// Where a quad of a group's numbers of 4, 5, 6 or 8 bits is, its low bits first.
  static llvm::ArrayRef<Slice> slices(int64_t bits, int64_t quad);
  /// Quads that share words with no others.
  static int64_t period(int64_t bits);

  /// Writes a block of the file into lane `lane` of a line of `lanes` lanes.
  void interleave(const uint8_t *block, uint8_t *line, int64_t lanes, int64_t lane) const;
};

} // namespace ingot::plan

#endif // INGOT_DIALECT_PLAN_UTILS_BLOCKPANELS_H
