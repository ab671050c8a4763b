//===- BlockFormatsTest.cpp - number formats --------------------------------------------------===//
//
// Blocks made by hand whose numbers follow from the format's description, the rounding of f16 and
// bf16 over all their values, the errors of the encoders; and, where the shared vectors are there,
// every format bit for bit against ggml.
//
//===----------------------------------------------------------------------------------------===//

#include "../../../lib/Formats/SearchQ4.h"
#include "ingot/Formats/ScaledFormats.h"
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <vector>

using namespace ingot::formats;
using Bytes = std::vector<uint8_t>;

static Bytes readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

static std::vector<float> decodeAll(Format format, const Bytes &blocks) {
  size_t count = blocks.size() / getInfo(format).bytes * getInfo(format).length;
  std::vector<float> numbers(count);
  decode(format, blocks.data(), count, numbers.data());
  return numbers;
}

TEST(BlockFormats, NamesAndSizes) {
  for (size_t i = 0; i < kNumFormats; ++i)
    EXPECT_EQ(parseFormat(getInfo(Format(i)).name), Format(i));
  EXPECT_FALSE(parseFormat("q4_2"));
  EXPECT_FALSE(parseFormat(""));
  EXPECT_EQ(getInfo(Format::Q6_K).bytes, 210u);
  EXPECT_EQ(bytesOf(Format::Q4_1, 96), 60u);
  EXPECT_FALSE(getInfo(Format::BF16).isBlock());
}

TEST(BlockFormats, BlocksMadeByHand) {
  // d = 0.5, m = -1: number 0 is 3, number 16 is 10, all others 0.
  Bytes block(20);
  block[1] = 0x38, block[3] = 0xBC, block[4] = 0xA3;
  std::vector<float> numbers = decodeAll(Format::Q4_1, block);
  EXPECT_EQ(numbers[0], 0.5f);
  EXPECT_EQ(numbers[16], 4.0f);
  EXPECT_EQ(numbers[1], -1.0f);

  // e = 128: twos. Number 1 is code 15, -6; number 17 is code 7, 6; code 1 is a half.
  Bytes mx(17);
  mx[0] = 128, mx[2] = 0x7F, mx[3] = 0x01;
  numbers = decodeAll(Format::MXFP4, mx);
  EXPECT_EQ(numbers[0], 0.0f);
  EXPECT_EQ(numbers[1], -12.0f);
  EXPECT_EQ(numbers[17], 12.0f);
  EXPECT_EQ(numbers[2], 1.0f);
  // The smallest exponents are subnormal numbers.
  mx[0] = 0;
  EXPECT_EQ(decodeAll(Format::MXFP4, mx)[2], std::ldexp(1.0f, -128));
}

TEST(BlockFormats, HalvesRoundToNearestEven) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    float value = halfToFloat(uint16_t(bits));
    if (std::isnan(value)) {
      EXPECT_EQ(floatToHalf(value) & 0x7E00, 0x7E00) << bits;
      continue;
    }
    EXPECT_EQ(floatToHalf(value), bits);
    if ((bits & 0x7FFF) >= 0x7BFF)
      continue;
    float next = halfToFloat(uint16_t(bits + 1)), middle = (value + next) / 2;
    EXPECT_EQ(floatToHalf(middle), bits + (bits & 1)) << bits;
    EXPECT_EQ(floatToHalf(std::nextafter(middle, value)), bits);
    EXPECT_EQ(floatToHalf(std::nextafter(middle, next)), bits + 1);
  }
  EXPECT_EQ(floatToHalf(65519.0f), 0x7BFF);
  EXPECT_EQ(floatToHalf(65520.0f), 0x7C00);
  EXPECT_EQ(floatToHalf(1e30f), 0x7C00);
}

TEST(BlockFormats, FloatsKeepWhatFits) {
  std::vector<float> values = {1.0f, -0.0f, 3.140625f, 1.00390625f, 1.01171875f, INFINITY, 1e-42f};
  Bytes bytes(values.size() * 2);
  encode(Format::BF16, values.data(), values.size(), bytes.data());
  // Ties to even: 1 + 2^-8 goes down, 1 + 3 * 2^-8 up.
  EXPECT_EQ(decodeAll(Format::BF16, bytes),
            (std::vector<float>{1.0f, -0.0f, 3.140625f, 1.0f, 1.015625f, INFINITY, 0.0f}));
  float quiet = NAN;
  encode(Format::BF16, &quiet, 1, bytes.data());
  EXPECT_TRUE(std::isnan(decodeAll(Format::BF16, {bytes[0], bytes[1]})[0]));
}

TEST(BlockFormats, EncodersAreNear) {
  // Numbers of all signs and magnitudes, and a block of zeros.
  std::vector<float> values(32 * 9);
  for (size_t i = 0; i < 32 * 8; ++i)
    values[i] = std::sin(float(i * i)) * std::ldexp(1.0f, int(i / 32) - 4);
  for (auto [format, share] : {std::pair(Format::Q8_0, 0.5f / 127), {Format::Q4_0, 1.0f / 8}}) {
    ASSERT_TRUE(canEncode(format));
    Bytes bytes(bytesOf(format, values.size()));
    encode(format, values.data(), values.size(), bytes.data());
    std::vector<float> numbers = decodeAll(format, bytes);
    for (size_t block = 0; block < values.size(); block += 32) {
      float largest = 0;
      for (size_t i = block; i < block + 32; ++i)
        largest = std::max(largest, std::fabs(values[i]));
      for (size_t i = block; i < block + 32; ++i)
        EXPECT_LE(std::fabs(numbers[i] - values[i]), largest * share * 1.002f) << i;
    }
  }
  EXPECT_FALSE(canEncode(Format::Q4_K));
}

/// What ggml's reference makes of 32 numbers in q4_0, with a scale that is not rounded.
static std::vector<float> plainQ4(const float *x) {
  float largest = 0;
  for (unsigned i = 0; i < 32; ++i)
    if (std::fabs(x[i]) > std::fabs(largest))
      largest = x[i];
  float d = largest / -8;
  std::vector<float> result(32);
  for (unsigned i = 0; i < 32 && d != 0; ++i)
    result[i] = d * std::min(7.0f, std::floor(x[i] / d + 0.5f));
  return result;
}

TEST(BlockFormats, ScalesOfFourBitsAreSearched) {
  constexpr size_t kBlocks = 400;
  // Sums of four even numbers are about normal.
  std::vector<float> values(32 * kBlocks);
  uint32_t state = 1;
  for (float &value : values)
    for (unsigned i = 0; i < 4; ++i)
      value += float(int32_t(state = state * 1664525 + 1013904223)) * 0x1p-36f;
  Bytes bytes(bytesOf(Format::Q4_0, values.size()));
  encode(Format::Q4_0, values.data(), values.size(), bytes.data());
  std::vector<float> numbers = decodeAll(Format::Q4_0, bytes);
  double searched = 0, plain = 0, weighted = 0, plainWeighted = 0;
  for (size_t block = 0; block < values.size(); block += 32) {
    const float *x = &values[block];
    double squares = 0;
    for (unsigned i = 0; i < 32; ++i)
      squares += double(x[i]) * x[i];
    std::vector<float> other = plainQ4(x);
    for (unsigned i = 0; i < 32; ++i) {
      double error = numbers[block + i] - x[i], otherError = other[i] - x[i];
      double weight = std::sqrt(squares / 32) + std::fabs(x[i]);
      searched += error * error, plain += otherError * otherError;
      weighted += weight * error * error, plainWeighted += weight * otherError * otherError;
    }
  }
  EXPECT_LT(searched, 0.94 * plain);
  EXPECT_LT(weighted, 0.92 * plainWeighted);

  // What the format can say stays as it is, also near the ends of f16.
  for (float d : {0.5f, -0.25f, 0x1p-14f, 0x1p-24f, 4096.0f}) {
    float block[32], back[32];
    for (int i = 0; i < 32; ++i)
      block[i] = float(i % 16 - 8) * d;
    encode(Format::Q4_0, block, 32, bytes.data());
    decode(Format::Q4_0, bytes.data(), 32, back);
    EXPECT_TRUE(std::equal(block, block + 32, back)) << d;
  }
  // Below any scale.
  std::vector<float> tiny(32, 1e-40f), none(32);
  encode(Format::Q4_0, tiny.data(), 32, bytes.data());
  decode(Format::Q4_0, bytes.data(), 32, tiny.data());
  EXPECT_EQ(tiny, none);
}

TEST(BlockFormats, SearchesAreTheSame) {
  uint32_t state = 7;
  auto random = [&] { return float(int32_t(state = state * 1664525 + 1013904223)) * 0x1p-31f; };
  for (size_t count : {1, 7, 31, 32, 33, 95, 1000, 4097}) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) {
      // Blocks of magnitudes of their own, single large numbers, and zeros.
      values[i] = std::ldexp(random(), int(i / 32 % 61) - 40);
      if (i % 97 == 5)
        values[i] *= 100;
      if (i % 11 == 3)
        values[i] = 0;
    }
    Bytes encoded(bytesOf(Format::Q4_0, count)), expected(encoded.size());
    encode(Format::Q4_0, values.data(), count, encoded.data());
    values.resize((count + 31) / 32 * 32);
    for (size_t block = 0; block < values.size() / 32; ++block)
      searchQ4_0Anywhere(&values[32 * block], expected.data() + 18 * block);
    EXPECT_EQ(encoded, expected) << count;
  }
}

TEST(BlockFormats, RowsOfActivations) {
  std::vector<float> values(32 * 6);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(float(i * i)) * std::ldexp(1.0f, int(i / 32) * 10 - 20);
  values[5] = -4; // the largest magnitude of its block
  std::fill_n(values.begin() + 64, 32, 0x1p-101f);
  EXPECT_FALSE(canEncode(Format::Q8_X));
  Bytes bytes(bytesOf(Format::Q8_X, values.size()));
  ASSERT_EQ(bytes.size(), 6 * 40u);
  encode(Format::Q8_X, values.data(), values.size(), bytes.data());
  std::vector<float> numbers = decodeAll(Format::Q8_X, bytes);
  for (size_t block = 0; block < 6; ++block) {
    float d;
    int16_t sums[2];
    memcpy(&d, &bytes[block * 40], 4);
    memcpy(sums, &bytes[block * 40 + 4], 4);
    float largest = 0;
    int expected[2] = {};
    for (size_t i = 0; i < 32; ++i) {
      float value = values[block * 32 + i];
      largest = std::max(largest, std::fabs(value));
      expected[i / 16] += int8_t(bytes[block * 40 + 8 + i]);
      EXPECT_LE(std::fabs(numbers[block * 32 + i] - value), std::max(d * 0.5001f, 0x1p-100f)) << i;
    }
    EXPECT_EQ(d, block == 2 ? 0 : largest / 127);
    EXPECT_EQ(sums[0], expected[0]);
    EXPECT_EQ(sums[1], expected[1]);
  }
  EXPECT_EQ(int8_t(bytes[8 + 5]), -127);

  // Ties go to even numbers: d is 1.
  std::vector<float> ties = {127, 0.5, 1.5, -2.5, 126.5};
  ties.resize(32);
  encode(Format::Q8_X, ties.data(), 32, bytes.data());
  numbers = decodeAll(Format::Q8_X, Bytes(bytes.begin(), bytes.begin() + 40));
  EXPECT_EQ(std::vector<float>(numbers.begin(), numbers.begin() + 5),
            (std::vector<float>{127, 0, 2, -2, 126}));

  // What is not finite is not hidden.
  for (float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    ties[7] = bad;
    encode(Format::Q8_X, ties.data(), 32, bytes.data());
    float d;
    memcpy(&d, bytes.data(), 4);
    EXPECT_FALSE(std::isfinite(d));
  }
}

TEST(BlockFormats, RowsNeedNotBeWholeBlocks) {
  std::vector<float> values(45), whole(64), some(45), all(64);
  for (size_t i = 0; i < values.size(); ++i)
    whole[i] = values[i] = std::cos(float(i));
  for (Format format : {Format::Q8_0, Format::Q4_0, Format::Q8_X}) {
    Bytes bytes(bytesOf(format, 45)), padded(bytesOf(format, 64));
    ASSERT_EQ(bytes.size(), padded.size());
    encode(format, values.data(), 45, bytes.data());
    encode(format, whole.data(), 64, padded.data());
    EXPECT_EQ(bytes, padded);
    decode(format, bytes.data(), 45, some.data());
    decode(format, bytes.data(), 64, all.data());
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
    for (size_t i = 45; i < 64; ++i)
      EXPECT_EQ(all[i], 0.0f) << i;
  }
}

TEST(BlockFormats, TameScalesMakeWeights) {
  for (size_t f = size_t(Format::Q4_0); f < kNumFormats; ++f) {
    Format format = Format(f);
    const FormatInfo &info = getInfo(format);
    Bytes bytes(info.bytes * 64);
    uint32_t state = 1;
    for (uint8_t &byte : bytes)
      byte = uint8_t((state = state * 1664525 + 1013904223) >> 24);
    tameScales(format, bytes.data(), info.length * 64);
    double square = 0;
    for (float number : decodeAll(format, bytes)) {
      ASSERT_LE(std::fabs(number), 4.0f) << info.name;
      square += double(number) * number;
    }
    EXPECT_GT(std::sqrt(square / (info.length * 64)), 0.01) << info.name;
  }
}

TEST(BlockFormats, MatchesGgmlBitForBit) {
  const char *set = std::getenv("INGOT_SHARED");
  std::string folder =
      (set ? std::string(set) : INGOT_SOURCE_DIR "/../shared") + "/conformance/ggml-quant-vectors/";
  if (!std::ifstream(folder + "INDEX.tsv"))
    GTEST_SKIP() << "reference vectors are not there (INGOT_SHARED)";
  Bytes input = readFile(folder + "input.f32");
  std::vector<float> values(input.size() / 4);
  memcpy(values.data(), input.data(), input.size());
  unsigned compared = 0;
  for (size_t f = 0; f < kNumFormats; ++f) {
    Format format = Format(f);
    std::string name(getInfo(format).name);
    if (name.size() == 4 && name.substr(2) == "_k")
      name.back() = 'K';
    if (!std::ifstream(folder + name + ".q"))
      continue;
    Bytes blocks = readFile(folder + name + ".q"), expected = readFile(folder + name + ".f32");
    std::vector<float> numbers = decodeAll(format, blocks);
    ASSERT_EQ(numbers.size() * 4, expected.size()) << name;
    EXPECT_EQ(memcmp(numbers.data(), expected.data(), expected.size()), 0) << name;
    ++compared;
    // The vectors of q4_0 come from a search for the best scale, not from the reference.
    if (canEncode(format) && format != Format::Q4_0) {
      Bytes encoded(blocks.size());
      encode(format, values.data(), values.size(), encoded.data());
      EXPECT_EQ(encoded, blocks) << name << ", encoded";
    }
  }
  EXPECT_EQ(compared, 23u);
}

TEST(ScaledFormats, SmallFloats) {
  const float halves[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (unsigned i = 0; i < 8; ++i) {
    EXPECT_EQ(decodeE2M1(i), halves[i]);
    EXPECT_EQ(decodeE2M1(i + 8), -halves[i]);
  }
  EXPECT_EQ(decodeE4M3(0x01), 0x1p-9f);
  EXPECT_EQ(decodeE4M3(0x08), 0x1p-6f);
  EXPECT_EQ(decodeE4M3(0x38), 1.0f);
  EXPECT_EQ(decodeE4M3(0x7E), 448.0f);
  EXPECT_EQ(decodeE4M3(0xFE), -448.0f);
  EXPECT_NE(decodeE4M3(0x7F), decodeE4M3(0x7F)); // not a number
  EXPECT_EQ(decodeE8M0(127), 1.0f);
  EXPECT_EQ(decodeE8M0(0), 0x1p-127f);
  EXPECT_NE(decodeE8M0(255), decodeE8M0(255));
}

TEST(ScaledFormats, BlocksOfRowsAndColumns) {
  // 5 x 6 elements, a scale for 2 by 4; read from anywhere.
  Scaling scaling;
  scaling.scales = Format::F32;
  scaling.columns = 6;
  scaling.blockRows = 2;
  scaling.blockColumns = 4;
  std::vector<uint8_t> elements(30, 0x38); // 1
  const float scales[] = {1, 2, 3, 4, 5, 6};
  for (size_t first = 0; first < 30; ++first) {
    float out[30];
    size_t count = 30 - first, blockRow = first / 6 / 2;
    decodeScaled(scaling, elements.data() + first, scales + blockRow * 2, first, count, out);
    for (size_t i = 0; i < count; ++i) {
      size_t row = (first + i) / 6, column = (first + i) % 6;
      EXPECT_EQ(out[i], scales[row / 2 * 2 + column / 4]);
    }
  }
}
