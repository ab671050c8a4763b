//===- CompareTest.cpp - inputs, differences, weights and language models ---------------------===//

#include "Harness.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <array>
#include <cmath>

using namespace ingot::reference;
using namespace mlir;

namespace {

TEST(Compare, differences) {
  Program program("module {}");
  auto compare = [&](llvm::ArrayRef<double> a, llvm::ArrayRef<double> b) {
    return compareResults({RuntimeValue(program.tensor({int64_t(a.size())}, a))},
                          {RuntimeValue(program.tensor({int64_t(b.size())}, b))});
  };
  double inf = HUGE_VAL;
  EXPECT_EQ(compare({1, NAN, -inf, 0.0}, {1, NAN, -inf, -0.0}).absolute, 0);
  Difference d = compare({4, -10, 2}, {4, -9, 2.5});
  EXPECT_EQ(d.absolute, 1);
  EXPECT_EQ(d.relative, 0.1);
  EXPECT_EQ(d.element, 1);
  EXPECT_TRUE(d.isWithin(0.1));
  EXPECT_FALSE(d.isWithin(0.09));
  EXPECT_EQ(d.describe(),
            "result 0, element 1: expected -10, got -9, a difference of 1 (0.1 relative)");
  // Small results are compared absolutely.
  EXPECT_EQ(compare({1e-12}, {2e-12}).relative, 1e-12);
  EXPECT_FALSE(compare({1, 2}, {1, NAN}).isWithin(1e9));
  EXPECT_FALSE(compare({1, inf}, {1, 2}).isWithin(1e9));
  EXPECT_FALSE(compare({1, 2}, {1, 2, 3}).isWithin(1e9));
  EXPECT_FALSE(compareResults({}, {RuntimeValue(Batch())}).isWithin(1e9));
  RuntimeValue ints = Tensor::ofInts({2}, program.integer(32), {1, 2}),
               others = Tensor::ofInts({2}, program.integer(32), {1, 3});
  EXPECT_TRUE(compareResults({ints}, {ints}).isWithin(0));
  EXPECT_EQ(compareResults({ints}, {others}).mismatch, "result 0, element 1: expected 2, got 3");
}

TEST(Compare, inputsDependOnTheSeedAlone) {
  Program program(R"(
    func.func @f(%x: tensor<?x3xf16>, %ids: tensor<?xi32>, %b: !tfm.batch, %c: !tfm.cache<2x4x8xf32>, %s: f32) {
      %t = tfm.parameter "t" from "m" at 0 : tensor<5x2xf32>
      %0 = tfm.embedding %ids, %t : tensor<?xi32>, tensor<5x2xf32> -> tensor<?x2xf32>
      return
    })");
  auto function = program.module->lookupSymbol<FunctionOpInterface>("f");
  InputOptions options;
  auto a = makeInputs(function, options), b = makeInputs(function, options);
  options.seed = 2;
  auto c = makeInputs(function, options);
  ASSERT_TRUE(succeeded(a) && succeeded(b) && succeeded(c));
  EXPECT_EQ(compareResults(*a, *b).absolute, 0);
  EXPECT_GT(compareResults({(*a)[0]}, {(*c)[0]}).absolute, 0.1);
  const Tensor &x = std::get<Tensor>((*a)[0]), &ids = std::get<Tensor>((*a)[1]);
  EXPECT_EQ(x.getDim(0), 7);
  for (int64_t i = 0; i < x.getNumElements(); ++i)
    EXPECT_EQ(x.floatAt(i), roundToFormat(x.floatAt(i), FloatFormat::F16));
  for (int64_t i = 0; i < ids.getNumElements(); ++i)
    EXPECT_TRUE(ids.intAt(i) >= 0 && ids.intAt(i) < 5);
  EXPECT_EQ(std::get<Batch>((*a)[2]).getTokens(), 7);
  EXPECT_EQ(std::get<Cache>((*a)[3]).getSequences(), 2);
  options.kind = InputKind::Extreme;
  auto extreme = makeInputs(function, options);
  ASSERT_TRUE(succeeded(extreme));
  double largest = 0;
  for (int64_t i = 0; i < x.getNumElements(); ++i)
    largest = std::max(largest, std::fabs(std::get<Tensor>((*extreme)[0]).floatAt(i)));
  EXPECT_GE(largest, 30);
}

TEST(Compare, madeUpWeightsDoNotDependOnHowTheyAreCut) {
  RandomParameterSource a(3), b(3), c(4);
  MLIRContext context(MLIRContext::Threading::DISABLED);
  Type f32 = Float32Type::get(&context);
  auto read = [&](RandomParameterSource &source, llvm::StringRef file, int64_t at, int64_t bytes) {
    return llvm::cantFail(source.resolve(file, at, bytes, f32)).vec();
  };
  std::vector<uint8_t> whole = read(a, "m", 100, 400), half = read(b, "m", 300, 200);
  EXPECT_TRUE(std::equal(half.begin(), half.end(), whole.begin() + 200));
  EXPECT_EQ(read(a, "m", 100, 400), whole);
  EXPECT_NE(read(a, "n", 100, 400), whole);
  EXPECT_NE(read(c, "m", 100, 400), whole);
}

TEST(Compare, weightsFromFiles) {
  SmallString<128> folder;
  ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("ingot-reference", folder));
  SmallString<128> path(folder);
  llvm::sys::path::append(path, "w.bin");
  {
    std::error_code error;
    llvm::raw_fd_ostream(path, error) << "0123456789";
  }
  MLIRContext context(MLIRContext::Threading::DISABLED);
  Type i8 = IntegerType::get(&context, 8);
  FileParameterSource source(folder);
  auto bytes = source.resolve("w.bin", 3, 4, i8);
  ASSERT_TRUE(bool(bytes));
  EXPECT_EQ(std::string(bytes->begin(), bytes->end()), "3456");
  auto error = [&](llvm::StringRef file, int64_t at, int64_t size) {
    auto result = source.resolve(file, at, size, i8);
    return result ? "" : toString(result.takeError());
  };
  EXPECT_EQ(error("w.bin", 7, 4), "'w.bin' has 10 bytes, expected 4 from 7 on");
  EXPECT_EQ(error("w.bin", -1, 4), "'w.bin' has 10 bytes, expected 4 from -1 on");
  EXPECT_EQ(error("w.bin", 5, INT64_MAX),
            "'w.bin' has 10 bytes, expected 9223372036854775807 from 5 on");
  EXPECT_NE(error("../w.bin", 0, 1), "");
  EXPECT_NE(error("/w.bin", 0, 1), "");
  EXPECT_NE(error("", 0, 1), "");
  EXPECT_NE(error("v.bin", 0, 1), "");
  llvm::sys::fs::remove_directories(folder);
}

/// A small language model, plain and in phases: embeddings, one attention that looks 4 tokens back,
/// and a head.
std::string model(bool phases) {
  std::string body = R"(
    %e = tfm.parameter "e" from "m" at 0 : tensor<11x6xf32>
    %p = tfm.parameter "p" from "m" at 264 : tensor<32x6xf32>
    %x0 = tfm.embedding %ids, %e : tensor<?xi32>, tensor<11x6xf32> -> tensor<?x6xf32>
    %pos = tfm.positions %ids POSITIONS : tensor<?xi32> -> tensor<?xi32>
    %x1 = tfm.embedding %pos, %p : tensor<?xi32>, tensor<32x6xf32> -> tensor<?x6xf32>
    %x = arith.addf %x0, %x1 : tensor<?x6xf32>
    %c0 = arith.constant 0 : index
    %s = tensor.dim %ids, %c0 : tensor<?xi32>
    %h = tensor.expand_shape %x [[0], [1, 2]] output_shape [%s, 2, 3] : tensor<?x6xf32> into tensor<?x2x3xf32>
    ATTENTION
    %y = tensor.collapse_shape %o [[0], [1, 2]] : tensor<?x2x3xf32> into tensor<?x6xf32>
    GATHER
    %logits = tfm.linear %g, %e : tensor<?x6xf32>, tensor<11x6xf32> -> tensor<?x11xf32>
  )";
  auto replace = [](std::string text, const std::string &from, const std::string &to) {
    return text.replace(text.find(from), from.size(), to);
  };
  if (!phases) {
    body = replace(body, "GATHER", "%g = tensor.cast %y : tensor<?x6xf32> to tensor<?x6xf32>");
    body = replace(replace(body, "POSITIONS", ""), "ATTENTION", R"(
      %t = tensor.empty(%s) : tensor<2x?x3xf32>
      %q = linalg.transpose ins(%h : tensor<?x2x3xf32>) outs(%t : tensor<2x?x3xf32>) permutation = [1, 0, 2]
      %a = tfm.attention %q, %q, %q causal window(4) : tensor<2x?x3xf32>, tensor<2x?x3xf32>, tensor<2x?x3xf32> -> tensor<2x?x3xf32>
      %u = tensor.empty(%s) : tensor<?x2x3xf32>
      %o = linalg.transpose ins(%a : tensor<2x?x3xf32>) outs(%u : tensor<?x2x3xf32>) permutation = [1, 0, 2])");
    return "func.func @forward(%ids: tensor<?xi32>) -> tensor<?x11xf32> {" + body +
           "return %logits : tensor<?x11xf32>\n}";
  }
  body = replace(body, "GATHER",
                 "%g = tfm.gather_outputs %y batch(%b) : tensor<?x6xf32> -> tensor<?x6xf32>");
  body = replace(replace(body, "POSITIONS", "batch(%b)"), "ATTENTION", R"(
      %next = tfm.cache_append %c, %h, %h batch(%b) : !tfm.cache<2x3x3xf32>, tensor<?x2x3xf32>, tensor<?x2x3xf32>
      %o = tfm.attention %h, %next batch(%b) causal window(4) : tensor<?x2x3xf32>, !tfm.cache<2x3x3xf32> -> tensor<?x2x3xf32>)");
  std::string text;
  for (std::string name : {"prefill", "decode"})
    text += "func.func @" + name +
            "(%ids: tensor<?xi32>, %b: !tfm.batch, %c: !tfm.cache<2x3x3xf32>)"
            " -> (tensor<?x11xf32>, !tfm.cache<2x3x3xf32>) {" +
            body + "return %logits, %next : tensor<?x11xf32>, !tfm.cache<2x3x3xf32>\n}\n";
  return text;
}

TEST(LanguageModel, phasesEqualTheWholeGraph) {
  Program whole(model(false)), phases(model(true));
  InterpreterOptions options;
  options.parameters = std::make_shared<RandomParameterSource>(7);
  std::vector<int32_t> ids = {1, 10, 3, 3, 0, 7, 2, 9, 4, 5, 6, 8, 1, 1, 2};
  auto expected = evaluateTokens(*whole.module, ids, options);
  ASSERT_TRUE(succeeded(expected));
  EXPECT_EQ(expected->getShape(), llvm::ArrayRef<int64_t>({15, 11}));
  for (llvm::SmallVector<int64_t> steps :
       {llvm::SmallVector<int64_t>{}, {15}, {1}, {2, 5, 1}, {0, 14, 20}}) {
    FeedOptions feed;
    feed.prefillSteps = steps;
    auto actual = evaluateTokens(*phases.module, ids, options, feed);
    ASSERT_TRUE(succeeded(actual));
    EXPECT_LT(compareResults({RuntimeValue(*expected)}, {RuntimeValue(*actual)}).relative, 1e-14);
  }
  // Several sequences in one batch, and some of their outputs.
  std::vector<std::vector<int32_t>> sequences = {ids, {5, 5, 2, 0}, {8}};
  FeedOptions feed;
  feed.prefillSteps = {1, 4, 3};
  for (auto [outputs, rows] :
       {std::pair(FeedOptions::Outputs::All, std::array<int64_t, 3>{15, 4, 1}),
        {FeedOptions::Outputs::Last, {10, 2, 1}},
        {FeedOptions::Outputs::InTurn, {12, 2, 1}}}) {
    feed.outputs = outputs;
    Interpreter plain(*whole.module, options), stepwise(*phases.module, options);
    auto alone = evaluateSequences(*whole.module, plain, sequences, feed),
         together = evaluateSequences(*phases.module, stepwise, sequences, feed);
    ASSERT_TRUE(succeeded(alone) && succeeded(together));
    for (int b = 0; b < 3; ++b)
      EXPECT_EQ(std::get<Tensor>((*together)[b]).getDim(0), rows[b]);
    Difference difference = compareResults(*alone, *together);
    EXPECT_TRUE(difference.isWithin(1e-14)) << difference.describe();
  }
  // The test can fail: another sequence has other logits.
  ids[3] = 4;
  auto other = evaluateTokens(*phases.module, ids, options);
  ASSERT_TRUE(succeeded(other));
  EXPECT_GT(compareResults({RuntimeValue(*expected)}, {RuntimeValue(*other)}).relative, 1e-6);
  EXPECT_FALSE(bool(findLanguageModel(*Program("module {}").module)));
}

} // namespace
