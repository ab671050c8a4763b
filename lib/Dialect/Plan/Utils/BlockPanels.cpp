//===- BlockPanels.cpp - block formats in panels ----------------------------------------------===//

#include "ingot/Dialect/Plan/Utils/BlockPanels.h"
#include <algorithm>
#include <cstring>
#include <numeric>

using namespace ingot;
using namespace ingot::plan;
using formats::Format;

std::optional<BlockPanel> BlockPanel::get(Format format) {
  switch (format) {
  case Format::Q4_0:
    return BlockPanel{format, 1, Scales::F16, 4, 8};
  case Format::Q4_1:
    return BlockPanel{format, 1, Scales::F16Min, 4, 0};
  case Format::Q5_0:
    return BlockPanel{format, 1, Scales::F16, 5, 16};
  case Format::Q5_1:
    return BlockPanel{format, 1, Scales::F16Min, 5, 0};
  case Format::Q8_0:
    return BlockPanel{format, 1, Scales::F16, 8, 128};
  case Format::Q4_K:
    return BlockPanel{format, 8, Scales::K6, 4, 0};
  case Format::Q5_K:
    return BlockPanel{format, 8, Scales::K6, 5, 0};
  case Format::Q6_K:
    return BlockPanel{format, 8, Scales::I8, 6, 32};
  default:
    return std::nullopt;
  }
}

namespace {
/// A block of a file, taken apart.
struct Fields {
  const uint8_t *d = nullptr, *m = nullptr; ///< two bytes each
  uint8_t scales[16] = {};                  ///< `scaleBytes` of them, as BlockPanels.h has them
  uint8_t q[256];                           ///< as many as the block has
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
static void splitScales(const uint8_t *s, uint8_t *scales) {
  for (int g = 0; g < 8; ++g) {
    int scale = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | (s[g - 4] >> 6) << 4;
    int minimum = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | (s[g] >> 6) << 4;
    scales[g] = uint8_t(scale | minimum << 6);
    scales[8 + g / 2] |= uint8_t(minimum >> 2 << (4 * (g % 2)));
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

namespace {
/// The slices of a group's eight quads.
struct SliceTable {
  BlockPanel::Slice slices[8][3] = {};
  size_t counts[8] = {};

  explicit constexpr SliceTable(int64_t bits) {
    // The shortest period: so many quads are so many words.
    int64_t shared = std::gcd(bits, int64_t(8)), quads = 8 / shared, words = bits / shared;
    for (int64_t quad = 0; quad < 8; ++quad) {
      int64_t first = quad / quads * words, inPeriod = quad % quads;
      if (inPeriod < words) {
        slices[quad][counts[quad]++] = {first + inPeriod, 0, bits, 0};
        continue;
      }
      int64_t spare = 8 - bits, at = (inPeriod - words) * bits;
      for (int64_t to = 0; to < bits;) {
        int64_t count = std::min(bits - to, spare - at % spare);
        slices[quad][counts[quad]++] = {first + at / spare, bits + at % spare, count, to};
        at += count;
        to += count;
      }
    }
  }

  /// Whether all bits of `bits` words are numbers, each once.
  constexpr bool isWhole(int64_t bits) const {
    int64_t words[8] = {}, total = 0;
    for (int64_t quad = 0; quad < 8; ++quad)
      for (size_t i = 0; i < counts[quad]; ++i) {
        const BlockPanel::Slice &slice = slices[quad][i];
        int64_t part = ((int64_t(1) << slice.bits) - 1) << slice.from;
        if (slice.word >= bits || words[slice.word] & part)
          return false;
        words[slice.word] |= part;
        total += slice.bits;
      }
    return total == 8 * bits;
  }
};
constexpr SliceTable kSlices4(4), kSlices5(5), kSlices6(6), kSlices8(8);
static_assert(kSlices4.isWhole(4) && kSlices5.isWhole(5) && kSlices6.isWhole(6) &&
              kSlices8.isWhole(8));
} // namespace

static const SliceTable &tableOf(int64_t bits) {
  return bits == 4 ? kSlices4 : bits == 5 ? kSlices5 : bits == 6 ? kSlices6 : kSlices8;
}

int64_t BlockPanel::period(int64_t bits) { return 8 / std::gcd(bits, int64_t(8)); }

llvm::ArrayRef<BlockPanel::Slice> BlockPanel::slices(int64_t bits, int64_t quad) {
  const SliceTable &table = tableOf(bits);
  return {table.slices[quad], table.counts[quad]};
}

/// The words of groups. The table is a constant, so that it becomes straight code.
template <const SliceTable &table, int64_t bits>
static void pack(const uint8_t *q, int64_t groups, uint32_t *words) {
  for (int64_t g = 0; g < groups; ++g, q += 32, words += bits) {
    std::fill_n(words, bits, 0);
    for (size_t s = 0; s < 8; ++s) {
      uint32_t quad;
      memcpy(&quad, q + 4 * s, 4);
      for (size_t i = 0; i < table.counts[s]; ++i) {
        const BlockPanel::Slice &slice = table.slices[s][i];
        uint32_t mask = 0x01010101 * ((uint32_t(1) << slice.bits) - 1);
        words[slice.word] |= (quad >> slice.to & mask) << slice.from;
      }
    }
  }
}

void BlockPanel::interleave(const uint8_t *block, uint8_t *line, int64_t lanes,
                            int64_t lane) const {
  Fields fields = takeApart(format, block);
  auto half = [&](int64_t at, const uint8_t *value) {
    memcpy(line + at * lanes + 2 * lane, value, 2);
  };
  half(0, fields.d);
  if (hasMinimum())
    half(2, fields.m);
  for (int64_t i = 0; i < scaleBytes(); ++i)
    line[(scalesAt() + i) * lanes + lane] = fields.scales[i];
  uint32_t words[8 * 8];
  switch (bits) {
  case 4:
    pack<kSlices4, 4>(fields.q, groups, words);
    break;
  case 5:
    pack<kSlices5, 5>(fields.q, groups, words);
    break;
  case 6:
    pack<kSlices6, 6>(fields.q, groups, words);
    break;
  case 8:
    pack<kSlices8, 8>(fields.q, groups, words);
    break;
  }
  for (int64_t i = 0; i < groups * bits; ++i)
    memcpy(line + (groupsAt() + 4 * i) * lanes + 4 * lane, &words[i], 4);
}
