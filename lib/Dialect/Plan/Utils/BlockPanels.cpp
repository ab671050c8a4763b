//===- BlockPanels.cpp - block formats in panels ----------------------------------------------===//

#include "ingot/Dialect/Plan/Utils/BlockPanels.h"
#include <cstring>

using namespace ingot;
using namespace ingot::plan;
using formats::Format;

std::optional<BlockPanel> BlockPanel::get(Format format) {
  switch (format) {
  case Format::Q4_0:
    return BlockPanel{format, 1, Scales::F16, 4, 0, 8};
  case Format::Q4_1:
    return BlockPanel{format, 1, Scales::F16Min, 4, 0, 0};
  case Format::Q5_0:
    return BlockPanel{format, 1, Scales::F16, 4, 1, 16};
  case Format::Q5_1:
    return BlockPanel{format, 1, Scales::F16Min, 4, 1, 0};
  case Format::Q8_0:
    return BlockPanel{format, 1, Scales::F16, 8, 0, 128};
  case Format::Q4_K:
    return BlockPanel{format, 8, Scales::K6, 4, 0, 0};
  case Format::Q5_K:
    return BlockPanel{format, 8, Scales::K6, 4, 1, 0};
  case Format::Q6_K:
    return BlockPanel{format, 8, Scales::I8, 4, 2, 32};
  default:
    return std::nullopt;
  }
}

namespace {
/// A block of a file, taken apart.
struct Fields {
  const uint8_t *d = nullptr, *m = nullptr; ///< two bytes each
  uint32_t scales[4] = {};                  ///< as BlockPanels.h has them
  uint8_t q[256] = {};
};
} // namespace

/// The sixteen bytes that hold numbers j (low half) and j + 16 (high half).
static void splitHalves(const uint8_t *bytes, uint8_t *q) {
  for (int j = 0; j < 16; ++j) {
    q[j] = bytes[j] & 15;
    q[j + 16] = bytes[j] >> 4;
  }
}

static void addFifthBits(const uint8_t *bits, uint8_t *q) {
  for (int j = 0; j < 32; ++j)
    q[j] |= uint8_t(((bits[j / 8] >> (j % 8)) & 1) << 4);
}

/// Twelve bytes hold eight scales and eight minima of 6 bits.
static void splitScales(const uint8_t *s, uint32_t *words) {
  for (int g = 0; g < 8; ++g) {
    uint32_t scale, minimum;
    if (g < 4) {
      scale = s[g] & 63;
      minimum = s[g + 4] & 63;
    } else {
      scale = (s[g + 4] & 15) | (uint32_t(s[g - 4] >> 6) << 4);
      minimum = (s[g + 4] >> 4) | (uint32_t(s[g] >> 6) << 4);
    }
    words[0] |= (scale & 15) << (4 * g);
    words[1] |= (minimum & 15) << (4 * g);
    words[2] |= (scale >> 4) << (4 * g) | (minimum >> 4) << (4 * g + 2);
  }
}

static Fields takeApart(Format format, const uint8_t *block) {
  Fields fields;
  fields.d = block;
  const uint8_t *rest = block + 2;
  switch (format) {
  case Format::Q8_0:
    for (int j = 0; j < 32; ++j)
      fields.q[j] = uint8_t(rest[j] + 128);
    break;
  case Format::Q4_0:
    splitHalves(rest, fields.q);
    break;
  case Format::Q4_1:
    fields.m = rest;
    splitHalves(rest + 2, fields.q);
    break;
  case Format::Q5_0:
    splitHalves(rest + 4, fields.q);
    addFifthBits(rest, fields.q);
    break;
  case Format::Q5_1:
    fields.m = rest;
    splitHalves(rest + 6, fields.q);
    addFifthBits(rest + 2, fields.q);
    break;
  case Format::Q4_K:
  case Format::Q5_K: {
    fields.m = rest;
    splitScales(rest + 2, fields.scales);
    const uint8_t *high = rest + 14, *low = high + (format == Format::Q5_K ? 32 : 0);
    for (int g = 0; g < 8; ++g)
      for (int j = 0; j < 32; ++j) {
        uint8_t q = uint8_t(low[g / 2 * 32 + j] >> (4 * (g % 2))) & 15;
        if (format == Format::Q5_K)
          q |= uint8_t(((high[j] >> g) & 1) << 4);
        fields.q[g * 32 + j] = q;
      }
    break;
  }
  case Format::Q6_K: {
    const uint8_t *low = block, *high = block + 128, *scales = block + 192;
    fields.d = block + 208;
    memcpy(fields.scales, scales, 16);
    for (int i = 0; i < 256; ++i) {
      int half = i / 128, quarter = i % 128 / 32, j = i % 32;
      uint8_t nibble = low[half * 64 + quarter % 2 * 32 + j] >> (quarter / 2 * 4);
      uint8_t bits = high[half * 32 + j] >> (2 * quarter);
      fields.q[i] = uint8_t((nibble & 15) | ((bits & 3) << 4));
    }
    break;
  }
  default:
    break;
  }
  return fields;
}

void BlockPanel::interleave(const uint8_t *block, uint8_t *line, int64_t lanes,
                            int64_t lane) const {
  Fields fields = takeApart(format, block);
  auto half = [&](int64_t at, const uint8_t *value) {
    memcpy(line + at * lanes + 2 * lane, value, 2);
  };
  auto word = [&](int64_t at, uint32_t value) { memcpy(line + at * lanes + 4 * lane, &value, 4); };
  half(0, fields.d);
  if (hasMinimum())
    half(2, fields.m);
  for (int64_t i = 0; i < scaleWords(); ++i)
    word(scalesAt() + 4 * i, fields.scales[i]);
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t *q = fields.q + 32 * g;
    int64_t at = groupsAt() + g * groupBytes(), words = mainBits == 8 ? 8 : 4;
    for (int64_t i = 0; i < words; ++i) {
      uint32_t value = 0;
      for (int64_t j = 0; j < 4; ++j) {
        uint32_t main = mainBits == 8 ? q[4 * i + j]
                                      : (q[4 * i + j] & 15) | uint32_t(q[16 + 4 * i + j] & 15) << 4;
        value |= main << (8 * j);
      }
      word(at + 4 * i, value);
    }
    uint32_t extra[2] = {};
    for (int64_t n = 0; n < 32; ++n) {
      int64_t s = n / 4, j = n % 4;
      if (extraBits == 1)
        extra[0] |= uint32_t(q[n] >> 4) << (8 * j + s);
      else if (extraBits == 2)
        extra[s / 4] |= uint32_t(q[n] >> 4) << (8 * j + 2 * (s % 4));
    }
    for (int64_t i = 0; i < extraBits; ++i)
      word(at + mainBytes() + 4 * i, extra[i]);
  }
}
