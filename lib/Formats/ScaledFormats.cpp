//===- ScaledFormats.cpp - small elements whose scales are in another tensor ------------------===//

#include "ingot/Formats/ScaledFormats.h"
#include <cmath>
#include <limits>

using namespace ingot::formats;

/// A sign, `exponentBits` bits of exponent and `mantissaBits` of mantissa, without infinities.
static float decodeSmall(unsigned bits, int exponentBits, int mantissaBits) {
  int bias = (1 << (exponentBits - 1)) - 1;
  int mantissa = int(bits & ((1u << mantissaBits) - 1));
  int exponent = int(bits >> mantissaBits & ((1u << exponentBits) - 1));
  float value =
      exponent ? std::ldexp(float((1 << mantissaBits) + mantissa), exponent - bias - mantissaBits)
               : std::ldexp(float(mantissa), 1 - bias - mantissaBits);
  return bits >> (exponentBits + mantissaBits) & 1 ? -value : value;
}

float ingot::formats::decodeE2M1(unsigned bits) { return decodeSmall(bits, 2, 1); }

float ingot::formats::decodeE4M3(unsigned bits) {
  return (bits & 0x7F) == 0x7F ? std::numeric_limits<float>::quiet_NaN() : decodeSmall(bits, 4, 3);
}

float ingot::formats::decodeE8M0(unsigned bits) {
  return bits == 0xFF ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, int(bits) - 127);
}

void ingot::formats::decodeScaled(const Scaling &scaling, const void *elements, const void *scales,
                                  uint64_t first, size_t count, float *out) {
  struct Tables {
    float half[16], whole[256];
  };
  static const Tables tables = [] {
    Tables made;
    for (unsigned i = 0; i < 16; ++i)
      made.half[i] = decodeE2M1(i);
    for (unsigned i = 0; i < 256; ++i)
      made.whole[i] = decodeE4M3(i);
    return made;
  }();
  auto bytes = static_cast<const uint8_t *>(elements),
       factors = static_cast<const uint8_t *>(scales);
  uint64_t columns = uint64_t(scaling.columns), row = first / columns, column = first % columns;
  uint64_t firstBlockRow = row / uint64_t(scaling.blockRows);
  uint64_t scaleBytes = scaling.scaleBytes(), known = ~uint64_t(0);
  float scale = 1;
  for (size_t i = 0; i < count; ++i) {
    uint64_t number =
        (row / uint64_t(scaling.blockRows) - firstBlockRow) * uint64_t(scaling.scaleColumns()) +
        column / uint64_t(scaling.blockColumns);
    if (number != known) {
      const uint8_t *at = factors + number * scaleBytes;
      if (scaling.scales)
        decode(*scaling.scales, at, 1, &scale);
      else
        scale = decodeE8M0(*at);
      known = number;
    }
    float element =
        scaling.halfBytes ? tables.half[bytes[i / 2] >> (i % 2 * 4) & 15] : tables.whole[bytes[i]];
    out[i] = element * scale;
    if (++column == columns) {
      column = 0;
      ++row;
    }
  }
}
