//===- ScaledFormats.h - small elements whose scales are in another tensor ----------*- C++ -*-===//
//
// Checkpoints of frameworks keep small elements and the scales of their blocks in two tensors, for
// example
//
//   MXFP4   two elements E2M1 in a byte (the first in its low half), one scale E8M0 for 32 of a row
//   FP8     an element E4M3 in a byte, one f32 scale for 128 rows by 128 columns
//
// A number is the product of element and scale in f32. E2M1 has a sign, two bits of exponent and
// one of mantissa; E4M3 is the finite kind, whose largest code is not a number; E8M0 is a power of
// two.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_FORMATS_SCALEDFORMATS_H
#define INGOT_FORMATS_SCALEDFORMATS_H

#include "ingot/Formats/BlockFormats.h"

namespace ingot::formats {

float decodeE2M1(unsigned bits);
float decodeE4M3(unsigned bits);
float decodeE8M0(unsigned bits);

/// How the elements and scales of a matrix lie.
struct Scaling {
  /// Two E2M1 in a byte, or one E4M3.
  bool halfBytes = false;
  /// Of the scales: f32, f16 or bf16; nothing: E8M0.
  std::optional<Format> scales;
  /// Of the matrix; even where elements are half a byte.
  int64_t columns = 0;
  /// Elements that share a scale.
  int64_t blockRows = 1, blockColumns = 1;

  uint64_t scaleBytes() const { return scales ? getInfo(*scales).bytes : 1; }
  /// Scales of a row of blocks.
  int64_t scaleColumns() const { return (columns + blockColumns - 1) / blockColumns; }
  uint64_t elementBytes(uint64_t count) const { return halfBytes ? count / 2 : count; }
};

/// Elements [first, first + count) of a matrix, row by row. `elements` is where the byte of the
/// first is (first is even where elements are half a byte), `scales` the first scale of the row of
/// blocks that it is in.
void decodeScaled(const Scaling &scaling, const void *elements, const void *scales, uint64_t first,
                  size_t count, float *out);

} // namespace ingot::formats

#endif // INGOT_FORMATS_SCALEDFORMATS_H
