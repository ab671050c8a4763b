//===- NumbersTest.cpp - rounding and bits ----------------------------------------------------===//

#include "ingot/Reference/Numbers.h"
#include "ingot/Reference/Random.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>

using namespace ingot::reference;

/// All finite numbers of a 16-bit format that are not negative, ascending: their bits ascend too.
static std::vector<double> finiteNumbers(FloatFormat format, unsigned count) {
  std::vector<double> numbers(count);
  for (unsigned bits = 0; bits < count; ++bits)
    numbers[bits] = decodeFloat(bits, format);
  return numbers;
}

/// Rounds by searching the numbers of the format.
static double roundBySearch(double value, const std::vector<double> &numbers, double overflow) {
  double magnitude = std::fabs(value);
  if (magnitude >= overflow)
    return std::copysign(HUGE_VAL, value);
  size_t above = std::lower_bound(numbers.begin(), numbers.end(), magnitude) - numbers.begin();
  if (above == numbers.size())
    return std::copysign(numbers.back(), value);
  if (above == 0 || numbers[above] == magnitude)
    return std::copysign(numbers[above], value);
  double low = magnitude - numbers[above - 1], high = numbers[above] - magnitude;
  bool up = high < low || (high == low && above % 2 == 0);
  return std::copysign(numbers[up ? above : above - 1], value);
}

TEST(Numbers, decodeKnownBits) {
  EXPECT_EQ(decodeFloat(0x3C00, FloatFormat::F16), 1.0);
  EXPECT_EQ(decodeFloat(0xC100, FloatFormat::F16), -2.5);
  EXPECT_EQ(decodeFloat(0x7BFF, FloatFormat::F16), 65504.0);
  EXPECT_EQ(decodeFloat(0x0001, FloatFormat::F16), 0x1p-24);
  EXPECT_EQ(decodeFloat(0x8400, FloatFormat::F16), -0x1p-14);
  EXPECT_EQ(decodeFloat(0xFC00, FloatFormat::F16), -HUGE_VAL);
  EXPECT_TRUE(std::isnan(decodeFloat(0x7C01, FloatFormat::F16)));
  EXPECT_EQ(decodeFloat(0x3F80, FloatFormat::BF16), 1.0);
  EXPECT_EQ(decodeFloat(0xC049, FloatFormat::BF16), -3.140625);
  EXPECT_EQ(decodeFloat(0x40490FDB, FloatFormat::F32), double(3.14159274f));
}

TEST(Numbers, bitsRoundTrip) {
  for (FloatFormat format : {FloatFormat::F16, FloatFormat::BF16})
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
      double value = decodeFloat(bits, format);
      if (std::isnan(value))
        EXPECT_TRUE(std::isnan(decodeFloat(encodeFloat(value, format), format)));
      else
        ASSERT_EQ(encodeFloat(value, format), bits);
    }
}

TEST(Numbers, roundToNearestEven) {
  struct Case {
    FloatFormat format;
    unsigned count; // of finite numbers that are not negative
    double overflow;
    int largestExponent;
  };
  for (Case c : {Case{FloatFormat::F16, 0x7C00, 65520.0, 17},
                 Case{FloatFormat::BF16, 0x7F80, 0x1.FFp127, 130}}) {
    std::vector<double> numbers = finiteNumbers(c.format, c.count);
    for (uint64_t i = 0; i < 20000; ++i) {
      int exponent = int(randomBits(1, i) % (2 * c.largestExponent)) - c.largestExponent;
      double value = std::ldexp(toUnit(randomBits(2, i)) * 2 - 1, exponent);
      ASSERT_EQ(roundToFormat(value, c.format), roundBySearch(value, numbers, c.overflow)) << value;
      // Halfway between two neighbours.
      size_t low = randomBits(3, i) % (c.count - 1);
      double tie = (numbers[low] + numbers[low + 1]) / 2;
      ASSERT_EQ(roundToFormat(tie, c.format), numbers[low % 2 ? low + 1 : low]) << tie;
      ASSERT_EQ(roundToFormat(-tie, c.format), -numbers[low % 2 ? low + 1 : low]) << tie;
    }
    EXPECT_EQ(roundToFormat(c.overflow, c.format), HUGE_VAL);
    EXPECT_EQ(roundToFormat(std::nextafter(c.overflow, 0), c.format), numbers.back());
    EXPECT_TRUE(std::signbit(roundToFormat(-0.0, c.format)));
  }
  // Rounding to f32 first would make a tie of what is none.
  EXPECT_EQ(roundToFormat(1 + 0x1p-8 + 0x1p-40, FloatFormat::BF16), 1 + 0x1p-7);
}

TEST(Numbers, integers) {
  EXPECT_EQ(wrapInteger(200, 8), -56);
  EXPECT_EQ(wrapInteger(-1, 1), 1);
  EXPECT_EQ(wrapInteger(INT64_MIN, 64), INT64_MIN);
  EXPECT_EQ(signedValue(1, 1), -1);
  EXPECT_EQ(unsignedValue(-1, 8), 255u);
  EXPECT_EQ(unsignedValue(-1, 64), UINT64_MAX);
}
