//===- Codebooks.cpp - formats whose numbers come from tables ---------------------------------===//
//
// An iq block of 256 numbers is eight groups of 32, each with a scale of a few bits and four (iq3:
// eight) indices into a table of vectors of eight (four) magnitudes. Signs are stored apart: a bit
// for each number, or seven bits for eight numbers, the eighth making their parity even.
//
//===----------------------------------------------------------------------------------------===//

#include "BlockDecoders.h"
#include <cstring>

using namespace ingot::formats;

#include "Codebooks.inc"

/// Digit `i` of `bits` bits.
static unsigned digit(unsigned code, unsigned i, unsigned bits) {
  return code >> (i * bits) & ((1u << bits) - 1);
}

/// Eight signs from seven bits: the eighth is their parity.
static unsigned withParity(unsigned signs) {
  return signs | unsigned(__builtin_parity(signs)) << 7;
}

/// `count` magnitudes of a vector times `scale`, with signs.
static void putVector(float scale, unsigned code, unsigned bits, const float *values,
                      unsigned count, unsigned signs, float *out) {
  for (unsigned i = 0; i < count; ++i)
    out[i] = scale * values[digit(code, i, bits)] * (signs >> i & 1 ? -1.0f : 1.0f);
}

static constexpr float kValues2[4] = {8, 25, 43, 0};
static constexpr float kValues3xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
static constexpr float kValues3s[8] = {1, 3, 5, 7, 9, 11, 13, 15};

//===----------------------------------------------------------------------===//
// iq2, iq3
//===----------------------------------------------------------------------===//

// d, then for each group four bytes of indices and a word of 4 x 7 sign bits and a 4-bit scale.
void ingot::formats::decodeIQ2XXS(const Byte *block, float *out) {
  float d = readHalf(block);
  for (unsigned group = 0; group < 8; ++group) {
    const Byte *indices = block + 2 + 8 * group;
    uint32_t word = read32(indices + 4);
    float scale = d * (0.5f + float(word >> 28)) * 0.25f;
    for (unsigned v = 0; v < 4; ++v, out += 8)
      putVector(scale, kCodes2xxs[indices[v]], 2, kValues2, 8, withParity(word >> (7 * v) & 127),
                out);
  }
}

// d, 32 words of a 9-bit index and 7 sign bits, 16 4-bit scales: one for two vectors.
void ingot::formats::decodeIQ2XS(const Byte *block, float *out) {
  float d = readHalf(block);
  const Byte *words = block + 2, *scales = block + 66;
  for (unsigned v = 0; v < 32; ++v, out += 8) {
    unsigned word = read16(words + 2 * v);
    float scale = d * (0.5f + float(scales[v / 4] >> (v & 2 ? 4 : 0) & 15)) * 0.25f;
    putVector(scale, kCodes2xs[word & 511], 2, kValues2, 8, withParity(word >> 9), out);
  }
}

// d, 32 low bytes of indices, 32 bytes of signs, 2 high bits of each index, 16 4-bit scales.
void ingot::formats::decodeIQ2S(const Byte *block, float *out) {
  float d = readHalf(block);
  const Byte *low = block + 2, *signs = block + 34, *high = block + 66, *scales = block + 74;
  for (unsigned v = 0; v < 32; ++v, out += 8) {
    unsigned index = low[v] | digit(high[v / 4], v % 4, 2) << 8;
    float scale = d * (0.5f + float(scales[v / 4] >> (v & 2 ? 4 : 0) & 15)) * 0.25f;
    putVector(scale, kCodes2s[index], 2, kValues2, 8, signs[v], out);
  }
}

// d, 64 indices of vectors of four, then a word for each group as in iq2_xxs.
void ingot::formats::decodeIQ3XXS(const Byte *block, float *out) {
  float d = readHalf(block);
  const Byte *indices = block + 2;
  for (unsigned group = 0; group < 8; ++group) {
    uint32_t word = read32(block + 66 + 4 * group);
    float scale = d * (0.5f + float(word >> 28)) * 0.5f;
    for (unsigned v = 0; v < 8; ++v, out += 4)
      putVector(scale, kCodes3xxs[*indices++], 3, kValues3xxs, 4,
                withParity(word >> (7 * (v / 2)) & 127) >> (v % 2 * 4), out);
  }
}

// d, 64 low bytes of indices, their ninth bits, 32 bytes of signs, eight 4-bit scales.
void ingot::formats::decodeIQ3S(const Byte *block, float *out) {
  float d = readHalf(block);
  const Byte *low = block + 2, *high = block + 66, *signs = block + 74, *scales = block + 106;
  for (unsigned v = 0; v < 64; ++v, out += 4) {
    unsigned group = v / 8;
    unsigned index = low[v] | (high[group] >> (v % 8) & 1) << 8;
    float scale = d * float(1 + 2 * digit(scales[group / 2], group % 2, 4));
    putVector(scale, kCodes3s[index], 3, kValues3s, 4, unsigned(signs[v / 2]) >> (v % 2 * 4), out);
  }
}

//===----------------------------------------------------------------------===//
// iq1
//===----------------------------------------------------------------------===//

/// Vectors of -1, 0 and 1, all moved by an eighth up or down.
static void putTernary(float scale, unsigned index, bool down, float *out) {
  for (unsigned i = 0; i < 8; ++i)
    out[i] = scale * (float(int(digit(kCodes1s[index], i, 2)) - 1) + (down ? -0.125f : 0.125f));
}

// d, 32 low bytes of indices, a word for each group: 4 x 3 high bits, a 3-bit scale, the direction.
void ingot::formats::decodeIQ1S(const Byte *block, float *out) {
  float d = readHalf(block);
  const Byte *low = block + 2;
  for (unsigned v = 0; v < 32; ++v, out += 8) {
    unsigned word = read16(block + 34 + 2 * (v / 4));
    float scale = d * float(2 * (word >> 12 & 7) + 1);
    putTernary(scale, low[v] | digit(word, v % 4, 3) << 8, word & 0x8000, out);
  }
}

// 32 low bytes of indices; 4 bits for each, 3 high ones and the direction; 16 3-bit scales, of
// which four share a word with 4 bits of d.
void ingot::formats::decodeIQ1M(const Byte *block, float *out) {
  const Byte *low = block, *high = block + 32, *scales = block + 48;
  unsigned bits = 0;
  for (unsigned i = 0; i < 4; ++i)
    bits |= (read16(scales + 2 * i) >> 12) << (4 * i);
  float d = halfToFloat(uint16_t(bits));
  for (unsigned v = 0; v < 32; ++v, out += 8) {
    unsigned nibble = digit(high[v / 2], v % 2, 4), pair = v / 2;
    float scale = d * float(2 * digit(read16(scales + 2 * (pair / 4)), pair % 4, 3) + 1);
    putTernary(scale, low[v] | (nibble & 7) << 8, nibble & 8, out);
  }
}

//===----------------------------------------------------------------------===//
// Non-linear numbers of four bits
//===----------------------------------------------------------------------===//

static constexpr float kNonLinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};
/// Twice the numbers of a 4-bit float with two bits of exponent.
static constexpr float kE2M1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void putNibbles(float scale, const Byte *nibbles, const float *values, float *out) {
  for (unsigned i = 0; i < 16; ++i) {
    out[i] = scale * values[nibbles[i] & 15];
    out[i + 16] = scale * values[nibbles[i] >> 4];
  }
}

void ingot::formats::decodeIQ4NL(const Byte *block, float *out) {
  putNibbles(readHalf(block), block + 2, kNonLinear, out);
}

// d, a word of 2 high bits of eight 6-bit scales, their low 4 bits, nibbles.
void ingot::formats::decodeIQ4XS(const Byte *block, float *out) {
  float d = readHalf(block);
  unsigned high = read16(block + 2);
  for (unsigned group = 0; group < 8; ++group) {
    int scale = int(digit(block[4 + group / 2], group % 2, 4) | digit(high, group, 2) << 4);
    putNibbles(d * float(scale - 32), block + 8 + 16 * group, kNonLinear, out + 32 * group);
  }
}

// An exponent of two, nibbles. The table is doubled, so the scale is half of 2^(e - 127).
void ingot::formats::decodeMXFP4(const Byte *block, float *out) {
  uint32_t bits = block[0] < 2 ? 0x00200000u << block[0] : uint32_t(block[0] - 1) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof(scale));
  putNibbles(scale, block + 1, kE2M1, out);
}
