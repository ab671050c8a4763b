//===- TargetTest.cpp - names of processors ---------------------------------------------------===//

#include "ingot/CodeGen/CPU.h"
#include "llvm/ADT/STLExtras.h"
#include "gtest/gtest.h"

using namespace ingot::codegen;

static std::string errorOf(llvm::StringRef name) {
  llvm::Expected<CPUTarget> target = CPUTarget::resolve(name);
  return target ? "" : llvm::toString(target.takeError());
}

TEST(Target, LevelsHaveTheirFeatures) {
  llvm::Expected<CPUTarget> v3 = CPUTarget::resolve("x86-64-v3"),
                            v4 = CPUTarget::resolve("x86-64-v4");
  ASSERT_TRUE(bool(v3) && bool(v4));
  EXPECT_EQ(v3->name, "x86-64-v3");
  EXPECT_TRUE(v3->has("avx2") && v3->has("fma") && v3->has("f16c") && !v3->has("avx512f"));
  EXPECT_TRUE(v4->has("avx512f") && v4->has("avx512bw") && !v4->has("amx-tile"));
  EXPECT_TRUE(llvm::is_sorted(v4->features));
}

TEST(Target, ProcessorsHaveMoreThanTheirLevel) {
  llvm::Expected<CPUTarget> zen4 = CPUTarget::resolve("znver4"),
                            amx = CPUTarget::resolve("sapphirerapids");
  ASSERT_TRUE(bool(zen4) && bool(amx));
  EXPECT_TRUE(zen4->has("avx512bf16") && zen4->has("avx512vnni") && !zen4->has("amx-tile"));
  EXPECT_TRUE(amx->has("amx-tile") && amx->has("amx-bf16"));
  // Both multiply pairs of bf16, but only one of them gains by it.
  EXPECT_TRUE(amx->has("avx512bf16"));
  EXPECT_TRUE(zen4->multipliesPairsFast() && !amx->multipliesPairsFast());
  // Only what code can use is required of the machine that runs it.
  for (const char *feature : {"xsaves", "rdrnd", "prefer-256-bit", "fast-gather"})
    EXPECT_FALSE(zen4->has(feature)) << feature;
}

TEST(Target, KernelsFollowTheProcessor) {
  auto resolve = [](llvm::StringRef name) { return llvm::cantFail(CPUTarget::resolve(name)); };
  EXPECT_EQ(resolve("x86-64-v3").byteDotLanes(), 0);
  EXPECT_EQ(resolve("x86-64-v4").byteDotLanes(), 0);
  EXPECT_EQ(resolve("alderlake").byteDotLanes(), 8);
  EXPECT_EQ(resolve("znver4").byteDotLanes(), 16);
  EXPECT_EQ(resolve("znver5@x86-64-v3").byteDotLanes(), 16);
  EXPECT_EQ(resolve("znver3").streams(), 2);
  EXPECT_EQ(resolve("znver5").streams(), 1);
}

TEST(Target, NativeIsThisProcessor) {
  llvm::Expected<CPUTarget> native = CPUTarget::resolve("native");
  if (!native) {
    llvm::consumeError(native.takeError());
    GTEST_SKIP() << "this processor is below x86-64-v3";
  }
  EXPECT_NE(native->name, "native");
  EXPECT_TRUE(native->has("avx2"));
  EXPECT_EQ(native->has("avx512f"), bool(__builtin_cpu_supports("avx512f")));
}

TEST(Target, RefusesWhatItDoesNotKnow) {
  EXPECT_NE(errorOf("pentium9").find("got 'pentium9'"), std::string::npos);
  EXPECT_NE(errorOf("").find("got ''"), std::string::npos);
  EXPECT_NE(errorOf("x86-64-v2").find("'x86-64-v2' has no avx2"), std::string::npos);
  EXPECT_NE(errorOf("i686"), "");
}
