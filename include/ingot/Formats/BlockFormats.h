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
  MXFP4
};
inline constexpr size_t kNumFormats = size_t(Format::MXFP4) + 1;

struct FormatInfo {
  std::string_view name; ///< "q4_1"
  unsigned length;       ///< numbers in a block; 1 for the plain floats
  unsigned bytes;        ///< bytes of a block

  bool isBlock() const { return length > 1; }
};

const FormatInfo &getInfo(Format format);

/// The format of this name.
std::optional<Format> parseFormat(std::string_view name);

/// Bytes of `count` numbers, a multiple of the block's length.
inline uint64_t bytesOf(Format format, uint64_t count) {
  return count / getInfo(format).length * getInfo(format).bytes;
}

/// Widens `count` numbers, a multiple of the block's length. `blocks` need not be aligned. Every
/// content of a block has a meaning (it may be infinite or NaN).
void decode(Format format, const void *blocks, size_t count, float *out);

/// Whether encode() knows the format: f32, f16, bf16, q8_0 and q4_0.
bool canEncode(Format format);

/// Rounds `count` numbers, a multiple of the block's length, to the format. f16 and bf16: to
/// nearest even. q8_0 and q4_0: as ggml's reference does, d = max / 127 (or / -8), stored as f16,
/// and numbers divided by the d that is not rounded yet, to nearest. What becomes of a
/// number that is not finite in a block is not defined. Each block depends on its own numbers only.
void encode(Format format, const float *values, size_t count, void *blocks);

/// Gives the scales of blocks of arbitrary bits moderate sizes, so that random bytes are weights of
/// magnitude about one or less.
void tameScales(Format format, void *blocks, size_t count);

float halfToFloat(uint16_t bits);
/// To nearest even.
uint16_t floatToHalf(float value);

} // namespace ingot::formats

#endif // INGOT_FORMATS_BLOCKFORMATS_H
