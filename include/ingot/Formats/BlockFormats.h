//===- BlockFormats.h - how files store the numbers of weights --------------------*- C++ -*-===//
//
// A *format* stores a row of numbers as consecutive blocks: `length` numbers in `bytes` bytes. The
// plain floats are formats with blocks of one number; the others are those of ggml, under its names
// in lower case. A block of these has one or more scales and small integers, for example
//
//   q4_1, 32 numbers in 20 bytes:  scale d (f16), minimum m (f16), 32 x 4 bits q;  x = d q + m
//
// The k formats group 256 numbers in sub-blocks of 16 or 32 whose scales are small integers
// themselves; the iq formats store indices into tables of likely vectors (Codebooks.inc).
//
// What a stored number means is the f32 that ggml's reference code computes, bit for bit: every
// product and sum below is rounded to f32 and none is contracted. So a compiler that widens a
// weight and one that computes on its bits can be compared exactly.
//
// A row is whole blocks. Where its length is no multiple of the block's, the last block has room
// for more numbers than there are; encode() makes them zero. Files have no such rows.
//
// One format is not a file's: q8_x, what rows of activations are rounded to before they meet
// weights of 8 or fewer bits. 32 numbers in 40 bytes:
//
//   scale d (f32), sums of q 0..15 and of q 16..31 (i16 each), 32 x 8 bits q signed;  x = d q
//
// The sums are what offsets and minima of weights are multiplied by; they say nothing new.
//
// This library depends on nothing: neither LLVM nor the runtime.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_FORMATS_BLOCKFORMATS_H
#define INGOT_FORMATS_BLOCKFORMATS_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ingot::formats {

enum class Format : uint8_t {
  F32,
  F16,
  BF16,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  IQ1_S,
  IQ1_M,
  IQ2_XXS,
  IQ2_XS,
  IQ2_S,
  IQ3_XXS,
  IQ3_S,
  IQ4_NL,
  IQ4_XS,
  TQ1_0,
  TQ2_0,
  MXFP4,
  Q8_X
};
inline constexpr size_t kNumFormats = size_t(Format::Q8_X) + 1;

struct FormatInfo {
  std::string_view name; ///< "q4_1"
  unsigned length;       ///< numbers in a block; 1 for the plain floats
  unsigned bytes;        ///< bytes of a block

  bool isBlock() const { return length > 1; }
};

const FormatInfo &getInfo(Format format);

/// Where the parts of a block of q8_x begin, and its bytes.
inline constexpr int64_t kQ8XSums = 4, kQ8XNumbers = 8, kQ8XBytes = 40;
/// The bits of 2^-100: a block of q8_x with no larger magnitude is zero.
inline constexpr uint32_t kQ8XLeastBits = 0x0D800000;

/// The format of this name.
std::optional<Format> parseFormat(std::string_view name);

/// Blocks of a row of `count` numbers.
inline uint64_t blocksOf(Format format, uint64_t count) {
  unsigned length = getInfo(format).length;
  return count / length + (count % length != 0);
}

/// Bytes of a row of `count` numbers.
inline uint64_t bytesOf(Format format, uint64_t count) {
  return blocksOf(format, count) * getInfo(format).bytes;
}

/// Widens the `count` numbers of a row. `blocks` need not be aligned. Every
/// content of a block has a meaning (it may be infinite or NaN).
void decode(Format format, const void *blocks, size_t count, float *out);

/// Whether weights can be written in the format: f32, f16, bf16, q8_0 and q4_0.
bool canEncode(Format format);

/// Rounds the `count` numbers of a row to the format, one that can be written or q8_x. f16, bf16:
/// to nearest even. q8_0: as ggml's reference, d = max / 127, stored as f16, and numbers divided by
/// the d before that. q4_0: the best of eight d about max / -8 for the squares of the errors times
/// (rms + |x|), fitted and stored as f16; numbers divided by that. In both, what becomes of a
/// number that is not finite, or whose d is beyond f16, is not defined. q8_x: d = max / 127, q = x
/// (127 / max) to nearest even, all in f32; a block whose largest magnitude is below 2^-100 is
/// zero, one with a number that is not finite has a d that is not finite. Each block depends on its
/// own numbers only.
void encode(Format format, const float *values, size_t count, void *blocks);

/// Gives the scales of blocks of arbitrary bits moderate sizes, so that random bytes are weights of
/// magnitude about one or less.
void tameScales(Format format, void *blocks, size_t count);

float halfToFloat(uint16_t bits);
/// To nearest even.
uint16_t floatToHalf(float value);

} // namespace ingot::formats

#endif // INGOT_FORMATS_BLOCKFORMATS_H
