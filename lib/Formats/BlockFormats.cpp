//===- BlockFormats.cpp - how files store the numbers of weights ------------------------------===//

#include "ingot/Formats/BlockFormats.h"
#include "BlockDecoders.h"
#include "SearchQ4.h"
#include <algorithm>
#include <cmath>
#include <cstring>

using namespace ingot::formats;

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

static float asFloat(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

static uint32_t asBits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float ingot::formats::halfToFloat(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16, magnitude = half & 0x7FFF;
  if (magnitude >= 0x7C00) // infinities and NaNs
    return asFloat(sign | 0x7F800000 | (magnitude & 0x3FF) << 13);
  if (magnitude < 0x400) // multiples of 2^-24
    return asFloat(sign | asBits(float(magnitude) * 0x1p-24f));
  return asFloat(sign | ((magnitude << 13) + (112u << 23)));
}

uint16_t ingot::formats::floatToHalf(float value) {
  uint32_t bits = asBits(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000)
    return uint16_t(sign | 0x7E00 | (magnitude >> 13 & 0x1FF));
  if (magnitude >= 0x477FF000) // 65520 and more round to infinity
    return uint16_t(sign | 0x7C00);
  if (magnitude < 0x38800000) { // the sum rounds to a multiple of 2^-24
    float moved = asFloat(magnitude) + 0.5f;
    return uint16_t(sign | (asBits(moved) - asBits(0.5f)));
  }
  uint32_t rounded = magnitude - (112u << 23) + 0xFFF + (magnitude >> 13 & 1);
  return uint16_t(sign | rounded >> 13);
}

static uint16_t floatToBF16(float value) {
  uint32_t bits = asBits(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000)
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static void decodeF32(const Byte *block, float *out) { memcpy(out, block, 4); }
static void decodeF16(const Byte *block, float *out) { *out = readHalf(block); }
static void decodeBF16(const Byte *block, float *out) { *out = asFloat(read16(block) << 16); }

//===----------------------------------------------------------------------===//
// Blocks of 32
//===----------------------------------------------------------------------===//

/// 16 bytes: low nibbles are numbers 0 to 15, high ones 16 to 31. A fifth bit of each may be in
/// `high`; `offset` is subtracted.
template <typename Put>
static void eachNibble(const Byte *nibbles, uint32_t high, int offset, Put put) {
  for (unsigned i = 0; i < 16; ++i) {
    put(i, int((nibbles[i] & 15) | (high >> i & 1) << 4) - offset);
    put(i + 16, int(nibbles[i] >> 4 | (high >> (i + 16) & 1) << 4) - offset);
  }
}

static void decodeQ4_0(const Byte *block, float *out) {
  float d = readHalf(block);
  eachNibble(block + 2, 0, 8, [&](unsigned i, int q) { out[i] = float(q) * d; });
}

static void decodeQ4_1(const Byte *block, float *out) {
  float d = readHalf(block), m = readHalf(block + 2);
  eachNibble(block + 4, 0, 0, [&](unsigned i, int q) { out[i] = float(q) * d + m; });
}

static void decodeQ5_0(const Byte *block, float *out) {
  float d = readHalf(block);
  eachNibble(block + 6, read32(block + 2), 16, [&](unsigned i, int q) { out[i] = float(q) * d; });
}

static void decodeQ5_1(const Byte *block, float *out) {
  float d = readHalf(block), m = readHalf(block + 2);
  eachNibble(block + 8, read32(block + 4), 0,
             [&](unsigned i, int q) { out[i] = float(q) * d + m; });
}

static void decodeQ8_0(const Byte *block, float *out) {
  float d = readHalf(block);
  for (unsigned i = 0; i < 32; ++i)
    out[i] = float(int8_t(block[2 + i])) * d;
}

static void decodeQ8_X(const Byte *block, float *out) {
  float d;
  memcpy(&d, block, 4);
  for (unsigned i = 0; i < 32; ++i)
    out[i] = float(int8_t(block[kQ8XNumbers + i])) * d;
}

//===----------------------------------------------------------------------===//
// Blocks of 256
//===----------------------------------------------------------------------===//

/// Two bits of each number: byte l of 32 holds numbers l, l + 32, l + 64 and l + 96 of 128.
static unsigned twoBits(const Byte *bytes, unsigned i) {
  return bytes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

static void decodeQ2_K(const Byte *block, float *out) {
  const Byte *scales = block, *q = block + 16;
  float d = readHalf(block + 80), dmin = readHalf(block + 82);
  for (unsigned i = 0; i < 256; ++i) {
    float scale = d * float(scales[i / 16] & 15), minimum = dmin * float(scales[i / 16] >> 4);
    out[i] = scale * float(twoBits(q, i)) - minimum;
  }
}

static void decodeQ3_K(const Byte *block, float *out) {
  const Byte *high = block, *q = block + 32, *packed = block + 96;
  float d = readHalf(block + 108);
  for (unsigned i = 0; i < 256; ++i) {
    unsigned g = i / 16;
    int low4 = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
    int scale = (low4 | (packed[8 + g % 4] >> (2 * (g / 4)) & 3) << 4) - 32;
    int number = int(twoBits(q, i)) - (high[i % 32] >> (i / 32) & 1 ? 0 : 4);
    out[i] = d * float(scale) * float(number);
  }
}

/// Eight 6-bit scales and eight 6-bit minima in 12 bytes.
static void scaleAndMinimum(const Byte *packed, unsigned g, unsigned &scale, unsigned &minimum) {
  if (g < 4) {
    scale = packed[g] & 63;
    minimum = packed[g + 4] & 63;
  } else {
    scale = (packed[g + 4] & 15) | packed[g - 4] >> 6 << 4;
    minimum = unsigned(packed[g + 4] >> 4) | packed[g] >> 6 << 4;
  }
}

/// `fifth`: 32 bytes with the fifth bits, bit g of byte l for number l of group g; or null.
static void decodeScaledMin(const Byte *block, const Byte *fifth, const Byte *nibbles, float *out) {
  float d = readHalf(block), dmin = readHalf(block + 2);
  for (unsigned g = 0; g < 8; ++g) {
    unsigned scale, minimum;
    scaleAndMinimum(block + 4, g, scale, minimum);
    float ds = d * float(scale), m = dmin * float(minimum);
    for (unsigned l = 0; l < 32; ++l) {
      unsigned q = nibbles[g / 2 * 32 + l] >> (g % 2 * 4) & 15;
      if (fifth)
        q |= (fifth[l] >> g & 1) << 4;
      out[32 * g + l] = ds * float(q) - m;
    }
  }
}

static void decodeQ4_K(const Byte *block, float *out) {
  decodeScaledMin(block, nullptr, block + 16, out);
}

static void decodeQ5_K(const Byte *block, float *out) {
  decodeScaledMin(block, block + 16, block + 48, out);
}

static void decodeQ6_K(const Byte *block, float *out) {
  const Byte *low = block, *high = block + 128, *scales = block + 192;
  float d = readHalf(block + 208);
  for (unsigned i = 0; i < 256; ++i) {
    // Byte l of 64 holds the low nibbles of numbers l and l + 64 of 128.
    unsigned nibble = low[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
    int q = int(nibble | twoBits(high, i) << 4) - 32;
    out[i] = d * float(int8_t(scales[i / 16])) * float(q);
  }
}

/// Digit `n` of a byte that holds up to five ternary digits as a fraction of 256.
static float ternary(Byte byte, unsigned n, float d) {
  static constexpr unsigned powers[5] = {1, 3, 9, 27, 81};
  unsigned shifted = byte * powers[n] & 255;
  return float(int(shifted * 3 >> 8) - 1) * d;
}

static void decodeTQ1_0(const Byte *block, float *out) {
  float d = readHalf(block + 52);
  // 32 and 16 bytes of five digits, 4 bytes of four.
  static constexpr unsigned sizes[3] = {32, 16, 4}, digits[3] = {5, 5, 4};
  for (unsigned part = 0; part < 3; block += sizes[part], ++part)
    for (unsigned n = 0; n < digits[part]; ++n)
      for (unsigned l = 0; l < sizes[part]; ++l)
        *out++ = ternary(block[l], n, d);
}

static void decodeTQ2_0(const Byte *block, float *out) {
  float d = readHalf(block + 64);
  for (unsigned i = 0; i < 256; ++i)
    out[i] = float(int(twoBits(block, i)) - 1) * d;
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

namespace {
struct Row {
  FormatInfo info;
  BlockDecoder decode;
  /// Places of f16 scales in a block; -1: none.
  int scales[2];
  /// With scales about 2^exponent numbers are below one.
  int exponent;
};
} // namespace

// In the order of the enumeration.
static constexpr Row rows[] = {
    {{"f32", 1, 4}, decodeF32, {-1, -1}, 0},
    {{"f16", 1, 2}, decodeF16, {-1, -1}, 0},
    {{"bf16", 1, 2}, decodeBF16, {-1, -1}, 0},
    {{"q4_0", 32, 18}, decodeQ4_0, {0, -1}, -6},
    {{"q4_1", 32, 20}, decodeQ4_1, {0, 2}, -6},
    {{"q5_0", 32, 22}, decodeQ5_0, {0, -1}, -7},
    {{"q5_1", 32, 24}, decodeQ5_1, {0, 2}, -7},
    {{"q8_0", 32, 34}, decodeQ8_0, {0, -1}, -9},
    {{"q2_k", 256, 84}, decodeQ2_K, {80, 82}, -8},
    {{"q3_k", 256, 110}, decodeQ3_K, {108, -1}, -10},
    {{"q4_k", 256, 144}, decodeQ4_K, {0, 2}, -12},
    {{"q5_k", 256, 176}, decodeQ5_K, {0, 2}, -13},
    {{"q6_k", 256, 210}, decodeQ6_K, {208, -1}, -14},
    {{"iq1_s", 256, 50}, decodeIQ1S, {0, -1}, -6},
    {{"iq1_m", 256, 56}, decodeIQ1M, {-1, -1}, -6},
    {{"iq2_xxs", 256, 66}, decodeIQ2XXS, {0, -1}, -10},
    {{"iq2_xs", 256, 74}, decodeIQ2XS, {0, -1}, -10},
    {{"iq2_s", 256, 82}, decodeIQ2S, {0, -1}, -10},
    {{"iq3_xxs", 256, 98}, decodeIQ3XXS, {0, -1}, -11},
    {{"iq3_s", 256, 110}, decodeIQ3S, {0, -1}, -11},
    {{"iq4_nl", 32, 18}, decodeIQ4NL, {0, -1}, -9},
    {{"iq4_xs", 256, 136}, decodeIQ4XS, {0, -1}, -14},
    {{"tq1_0", 256, 54}, decodeTQ1_0, {52, -1}, -2},
    {{"tq2_0", 256, 66}, decodeTQ2_0, {64, -1}, -2},
    {{"mxfp4", 32, 17}, decodeMXFP4, {-1, -1}, 0},
    {{"q8_x", 32, kQ8XBytes}, decodeQ8_X, {-1, -1}, 0},
};
static_assert(std::size(rows) == kNumFormats);

const FormatInfo &ingot::formats::getInfo(Format format) { return rows[size_t(format)].info; }

std::optional<Format> ingot::formats::parseFormat(std::string_view name) {
  for (size_t i = 0; i < kNumFormats; ++i)
    if (rows[i].info.name == name)
      return Format(i);
  return std::nullopt;
}

void ingot::formats::decode(Format format, const void *blocks, size_t count, float *out) {
  const Row &row = rows[size_t(format)];
  const Byte *block = static_cast<const Byte *>(blocks);
  size_t length = row.info.length, whole = count / length * length;
  for (size_t i = 0; i < whole; i += length, block += row.info.bytes)
    row.decode(block, out + i);
  if (whole < count) {
    float last[256];
    row.decode(block, last);
    std::copy_n(last, count - whole, out + whole);
  }
}

//===----------------------------------------------------------------------===//
// Encoding
//===----------------------------------------------------------------------===//

static void write16(Byte *at, unsigned value) {
  at[0] = Byte(value);
  at[1] = Byte(value >> 8);
}

static void encodeQ8_0(const float *x, Byte *block) {
  float largest = 0;
  for (unsigned i = 0; i < 32; ++i)
    largest = std::max(largest, std::fabs(x[i]));
  float d = largest / 127, inverse = d != 0 ? 1 / d : 0;
  write16(block, floatToHalf(d));
  for (unsigned i = 0; i < 32; ++i) {
    float q = std::round(x[i] * inverse);
    block[2 + i] = Byte(q >= -127 && q <= 127 ? int(q) : 0); // else it was not finite
  }
}

/// What 32 numbers become on a grid of 16: `y * s` to the nearest integer, at least -8 and at
/// most 7. The sum with 1.5 * 2^23 has no bits for fractions; unlike nearbyint it is a vector
/// instruction everywhere.
[[gnu::always_inline]] static inline float toGrid(float y, float s) {
  constexpr float kWhole = 0x1.8p23f;
  float q = (y * s + kWhole) - kWhole;
  q = q > -8 ? q : -8;
  return q < 7 ? q : 7;
}

/// The scale d of 32 numbers `y`, none above one in magnitude, with the least error of d * q, where
/// q are the numbers on the grid of 8 steps, 7, 7.25 and so on up to 8.75. For given q it is (w y
/// q) / (w q q), and the error then is (w y y) - (w y q)^2 / (w q q).
///
/// Errors of large numbers weigh more, w = rms + |y|. With equal weights the sum of the squares is
/// smaller, but the large numbers go wrong.
[[gnu::always_inline]] static inline float findScaleQ4_0(const float *y) {
  // Sums that do not wait for each other, in a fixed order: of every eighth number, then of each
  // try.
  constexpr unsigned kLanes = 8;
  float squares[kLanes] = {}, square = 0;
  for (unsigned i = 0; i < 32; i += kLanes)
    for (unsigned lane = 0; lane < kLanes; ++lane)
      squares[lane] += y[i + lane] * y[i + lane];
  for (float part : squares)
    square += part;
  float rms = std::sqrt(square / 32), wyq[kLanes] = {}, wqq[kLanes] = {};
  for (unsigned i = 0; i < 32; ++i) {
    float w = rms + std::fabs(y[i]), wy = w * y[i];
    for (unsigned t = 0; t < kLanes; ++t) {
      float q = toGrid(y[i], -7 - 0.25f * float(t));
      wyq[t] += wy * q;
      wqq[t] += w * (q * q);
    }
  }
  float best = 0, scale = 0;
  for (unsigned t = 0; t < kLanes; ++t) {
    float fitted = wqq[t] != 0 ? wyq[t] / wqq[t] : 0, gain = wyq[t] * fitted;
    scale = gain > best ? fitted : scale;
    best = gain > best ? gain : best;
  }
  return scale;
}

[[gnu::always_inline]] static inline void searchQ4_0(const float *x, Byte *block) {
  float largest = 0; // in magnitude; it becomes about -8
  for (unsigned i = 0; i < 32; ++i)
    if (std::fabs(x[i]) > std::fabs(largest))
      largest = x[i];
  float y[32], inverse = 1 / largest;
  // No f16 is as small as the scale of such numbers, which may be zero and have no inverse.
  bool none = std::fabs(largest) < 0x1p-30f;
  for (unsigned i = 0; i < 32; ++i)
    y[i] = none ? 0 : x[i] * inverse;
  uint16_t d = floatToHalf(findScaleQ4_0(y) * largest);
  write16(block, d);
  float rounded = halfToFloat(d), steps = rounded != 0 ? 1 / rounded : 0;
  auto nibble = [&](unsigned i) { return unsigned(int(toGrid(x[i], steps)) + 8); };
  for (unsigned i = 0; i < 16; ++i)
    block[2 + i] = Byte(nibble(i) | nibble(i + 16) << 4);
}

void ingot::formats::searchQ4_0Anywhere(const float *values, unsigned char *block) {
  searchQ4_0(values, block);
}

#ifdef __x86_64__
/// The same bits in half the instructions; without fused multiply-add.
[[gnu::target("avx2")]] static void searchQ4_0WithAVX2(const float *x, Byte *block) {
  searchQ4_0(x, block);
}
#endif

static void encodeQ4_0(const float *x, Byte *block) {
#ifdef __x86_64__
  static const bool wide = __builtin_cpu_supports("avx2");
  if (wide)
    return searchQ4_0WithAVX2(x, block);
#endif
  searchQ4_0Anywhere(x, block);
}

static void encodeQ8_X(const float *x, Byte *block) {
  // As numbers without a sign floats are ordered like their bits, and what is not finite comes
  // last.
  uint32_t largestBits = 0;
  for (unsigned i = 0; i < 32; ++i)
    largestBits = std::max(largestBits, asBits(x[i]) & 0x7FFFFFFF);
  float largest = asFloat(largestBits);
  bool none = largestBits < kQ8XLeastBits;
  float d = none ? 0 : largest / 127, inverse = none ? 0 : 127 / largest;
  int sums[2] = {};
  for (unsigned i = 0; i < 32; ++i) {
    float product = x[i] * inverse;
    int q = std::fabs(product) < 128 ? int(std::nearbyint(product)) : 0; // else it was not finite
    block[kQ8XNumbers + i] = Byte(q);
    sums[i / 16] += q;
  }
  memcpy(block, &d, 4);
  write16(block + kQ8XSums, unsigned(sums[0]));
  write16(block + kQ8XSums + 2, unsigned(sums[1]));
}

static void encodeBlock(Format format, const float *values, Byte *block) {
  if (format == Format::F32)
    memcpy(block, values, 4);
  else if (format == Format::F16)
    write16(block, floatToHalf(values[0]));
  else if (format == Format::BF16)
    write16(block, floatToBF16(values[0]));
  else if (format == Format::Q8_0)
    encodeQ8_0(values, block);
  else if (format == Format::Q8_X)
    encodeQ8_X(values, block);
  else
    encodeQ4_0(values, block);
}

bool ingot::formats::canEncode(Format format) {
  return !getInfo(format).isBlock() || format == Format::Q8_0 || format == Format::Q4_0;
}

void ingot::formats::encode(Format format, const float *values, size_t count, void *blocks) {
  const FormatInfo &info = getInfo(format);
  Byte *block = static_cast<Byte *>(blocks);
  size_t whole = count / info.length * info.length;
  for (size_t i = 0; i < whole; i += info.length, block += info.bytes)
    encodeBlock(format, values + i, block);
  if (whole < count) {
    float last[256] = {};
    std::copy_n(values + whole, count - whole, last);
    encodeBlock(format, last, block);
  }
}

void ingot::formats::tameScales(Format format, void *blocks, size_t count) {
  const Row &row = rows[size_t(format)];
  Byte *block = static_cast<Byte *>(blocks);
  for (size_t i = 0; i < count; i += row.info.length, block += row.info.bytes) {
    // The signs and the fractions stay.
    unsigned exponent = unsigned(row.exponent + 15) << 10;
    for (int at : row.scales)
      if (at >= 0)
        write16(block + at, (read16(block + at) & 0x83FF) | exponent);
    if (format == Format::IQ1_M) { // d is in the upper nibbles of four words
      block[53] = Byte((block[53] & 0x3F) | (exponent >> 10 & 3) << 6);
      block[55] = Byte((block[55] & 0x8F) | (exponent >> 12 & 7) << 4);
    }
    if (format == Format::MXFP4)
      block[0] = Byte(122 + block[0] % 4);
    if (format == Format::Q8_X) { // f32
      block[3] = Byte((block[3] & 0x80) | 0x3B);
      block[2] &= 0x7F;
    }
  }
}
