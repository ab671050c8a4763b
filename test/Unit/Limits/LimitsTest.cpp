//===- LimitsTest.cpp - limits, given and measured --------------------------------------------===//

#include "ingot/Limits/Limits.h"
#include "gtest/gtest.h"

using namespace ingot;

TEST(Limits, AreReadWithAnyUnit) {
  Limits limits;
  EXPECT_EQ(parseLimits("read=1008GB/s,f16=83T", limits), "");
  EXPECT_DOUBLE_EQ(limits.readGBs, 1008);
  EXPECT_DOUBLE_EQ(limits.bf16Gflops, 83000);
  EXPECT_EQ(limits.f32Gflops, 0);
  EXPECT_DOUBLE_EQ(limits.int8Gops, 83000) << "as fast as the next wider type";
  EXPECT_EQ(parseLimits("f32=1.5T,int8=4e12,read=2e9", limits), "");
  EXPECT_DOUBLE_EQ(limits.f32Gflops, 1500);
  EXPECT_DOUBLE_EQ(limits.bf16Gflops, 1500);
  EXPECT_DOUBLE_EQ(limits.int8Gops, 4000);
  EXPECT_DOUBLE_EQ(limits.readGBs, 2);
  EXPECT_EQ(parseLimits("bf16=500MFLOPS", limits), "");
  EXPECT_DOUBLE_EQ(limits.bf16Gflops, 0.5);
}

TEST(Limits, RefuseNonsense) {
  Limits limits;
  for (const char *text : {"", "read", "read=", "read=fast", "read=-3G", "read=0", "read=inf",
                           "speed=3G", "read=1G,", "f32=nan"})
    EXPECT_NE(parseLimits(text, limits), "") << text;
}

TEST(Limits, ReadingAndArithmeticOverlap) {
  Limits limits;
  limits.readGBs = 10;
  EXPECT_DOUBLE_EQ(limits.seconds(20e9, 30e9, 10), 3);
  EXPECT_DOUBLE_EQ(limits.seconds(20e9, 30e9, 0), 2) << "an unknown rate is no limit";
}

TEST(Limits, AreMeasured) {
  Limits limits = measureLimits(2, /*quick=*/true);
  EXPECT_GT(limits.readGBs, 0.1);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    EXPECT_GT(limits.f32Gflops, 0.1);
    EXPECT_GT(limits.bf16Gflops, 0.1);
    EXPECT_GT(limits.int8Gops, 0.1);
    EXPECT_STRNE(limits.f32By, "");
  }
#endif
}

TEST(Limits, MedianIsOfEachRate) {
  Limits a, b, c;
  a.readGBs = 1, b.readGBs = 9, c.readGBs = 4;
  a.int8Gops = 30, b.int8Gops = 20, c.int8Gops = 10;
  EXPECT_DOUBLE_EQ(medianOf({a, b, c}).readGBs, 4);
  EXPECT_DOUBLE_EQ(medianOf({a, b, c}).int8Gops, 20);
  EXPECT_DOUBLE_EQ(medianOf({a, b}).readGBs, 9);
  EXPECT_DOUBLE_EQ(medianOf({}).readGBs, 0) << "not known";
}
