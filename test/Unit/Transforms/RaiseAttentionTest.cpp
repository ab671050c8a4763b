//===- RaiseAttentionTest.cpp - attention is raised however it is written ---------------------===//
//
// A thousand graphs that are attention must become tfm.attention and compute the same; a thousand
// with one fact broken must not.
//
//===----------------------------------------------------------------------------------------===//

#include "AttentionGenerator.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Reference/Compare.h"
#include "ingot/Transforms/AttentionSites.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/raw_ostream.h"
#include <gtest/gtest.h>

using namespace ingot;
using namespace ingot::test;
using namespace mlir;

namespace {

constexpr uint64_t kVariants = 1000;
/// Factors are multiplied at compile time and rounded to f32 once more; everything else is f64.
constexpr double kTolerance = 1e-6;

class RaiseAttention : public testing::Test {
protected:
  RaiseAttention() {
    context.disableMultithreading();
    context.loadDialect<tfm::TransformerDialect, func::FuncDialect, arith::ArithDialect,
                        math::MathDialect, tensor::TensorDialect, linalg::LinalgDialect>();
  }

  OwningOpRef<ModuleOp> parse(const GeneratedAttention &attention) {
    return parseSourceString<ModuleOp>(attention.text, &context);
  }

  bool raise(ModuleOp module) {
    PassManager passes(&context);
    passes.addPass(createRaiseAttention());
    return succeeded(passes.run(module));
  }

  template <typename OpTy> static int count(ModuleOp module) {
    int found = 0;
    module.walk([&](OpTy) { ++found; });
    return found;
  }

  FailureOr<SmallVector<reference::RuntimeValue>>
  run(ModuleOp module, const GeneratedAttention &attention, uint64_t seed) {
    reference::InputOptions options;
    options.seed = seed;
    options.dims.assign(attention.dims.begin(), attention.dims.end());
    auto function = module.lookupSymbol<func::FuncOp>("f");
    auto inputs = reference::makeInputs(function, options);
    if (failed(inputs))
      return failure();
    return reference::Interpreter(module, {}).run("f", *inputs);
  }

  MLIRContext context;
};

std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module.print(os);
  return text;
}

TEST_F(RaiseAttention, EveryWritingIsRaisedAndComputesTheSame) {
  int withMaskRegion = 0;
  for (uint64_t seed = 0; seed < kVariants; ++seed) {
    GeneratedAttention attention = generateAttention(seed, Broken::Nothing);
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + attention.text);
    OwningOpRef<ModuleOp> module = parse(attention);
    ASSERT_TRUE(module);
    auto expected = run(*module, attention, seed);
    ASSERT_TRUE(succeeded(expected));
    ASSERT_TRUE(raise(*module));
    SmallVector<AttentionSite> sites = getAttentionSites(*module);
    ASSERT_EQ(sites.size(), 1u);
    ASSERT_TRUE(sites[0].raised()) << sites[0].detail;
    ASSERT_EQ(count<tfm::AttentionOp>(*module), 1);
    ASSERT_EQ(count<tfm::SoftmaxOp>(*module), 0);
    module->walk([&](tfm::AttentionOp op) { withMaskRegion += !op.getMask().empty(); });
    SCOPED_TRACE(print(*module));
    auto actual = run(*module, attention, seed);
    ASSERT_TRUE(succeeded(actual));
    reference::Difference difference = reference::compareResults(*expected, *actual);
    EXPECT_TRUE(difference.isWithin(kTolerance)) << difference.describe();
    if (HasFailure())
      return;
  }
  // Not all of the masks may have ended as scores.
  EXPECT_GT(withMaskRegion, int(kVariants) / 2);
}

TEST_F(RaiseAttention, WithOneFactBrokenNoneIsRaised) {
  constexpr unsigned kinds = unsigned(Broken::Last);
  for (uint64_t seed = 0; seed < kVariants; ++seed) {
    Broken broken = Broken(1 + seed % kinds);
    GeneratedAttention attention = generateAttention(seed, broken);
    SCOPED_TRACE("seed " + std::to_string(seed) + ", broken " + std::to_string(int(broken)) + "\n" +
                 attention.text);
    OwningOpRef<ModuleOp> module = parse(attention);
    ASSERT_TRUE(module);
    std::string before = print(*module);
    ASSERT_TRUE(raise(*module));
    ASSERT_EQ(count<tfm::AttentionOp>(*module), 0);
    SmallVector<AttentionSite> sites = getAttentionSites(*module);
    ASSERT_EQ(sites.size(), broken == Broken::NoSoftmax ? 0u : 1u);
    for (const AttentionSite &site : sites)
      EXPECT_FALSE(site.raised());
    // And nothing was touched.
    (*module)->removeAttr(kAttentionSitesAttrName);
    EXPECT_EQ(print(*module), before);
    if (HasFailure())
      return;
  }
}

} // namespace
