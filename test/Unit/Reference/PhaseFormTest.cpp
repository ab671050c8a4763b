//===- PhaseFormTest.cpp - batches, caches and attention on them ------------------------------===//

#include "Harness.h"
#include <cmath>

using namespace ingot::reference;

namespace {

/// Attention of the same q, k and v on a whole sequence, and on packed tokens with a cache.
const char kModule[] = R"(
  func.func @whole(%q: tensor<4x?x5xf32>, %k: tensor<2x?x5xf32>, %v: tensor<2x?x3xf32>) -> tensor<4x?x3xf32> {
    %0 = tfm.attention %q, %k, %v causal window(6)
      : tensor<4x?x5xf32>, tensor<2x?x5xf32>, tensor<2x?x3xf32> -> tensor<4x?x3xf32>
    return %0 : tensor<4x?x3xf32>
  }
  func.func @step(%q: tensor<?x4x5xf32>, %k: tensor<?x2x5xf32>, %v: tensor<?x2x3xf32>, %batch: !tfm.batch,
                  %cache: !tfm.cache<2x5x3xf32>)
      -> (tensor<?x4x3xf32>, !tfm.cache<2x5x3xf32>, tensor<?xi32>, tensor<?x4x3xf32>) {
    %next = tfm.cache_append %cache, %k, %v batch(%batch)
      : !tfm.cache<2x5x3xf32>, tensor<?x2x5xf32>, tensor<?x2x3xf32>
    %0 = tfm.attention %q, %next batch(%batch) causal window(6)
      : tensor<?x4x5xf32>, !tfm.cache<2x5x3xf32> -> tensor<?x4x3xf32>
    %1 = tfm.positions %q batch(%batch) : tensor<?x4x5xf32> -> tensor<?xi32>
    %2 = tfm.gather_outputs %0 batch(%batch) : tensor<?x4x3xf32> -> tensor<?x4x3xf32>
    return %0, %next, %1, %2 : tensor<?x4x3xf32>, !tfm.cache<2x5x3xf32>, tensor<?xi32>, tensor<?x4x3xf32>
  })";

/// The cache of @step.
Cache makeCache(Program &program, int64_t sequences) {
  mlir::Type f32 = program.f32();
  return Cache(ingot::tfm::CacheType::get(f32.getContext(), 2, 5, 3, f32, false), sequences);
}

/// One sequence: numbers by (position, head, element), token-major.
struct Sequence {
  int64_t length;
  std::vector<double> q, k, v;
  Sequence(int64_t length, uint64_t seed)
      : length(length), q(randomNumbers(length * 20, seed)),
        k(randomNumbers(length * 10, seed + 1)), v(randomNumbers(length * 6, seed + 2)) {}
};

std::vector<double> transposed(const std::vector<double> &x, int64_t a, int64_t b, int64_t size) {
  std::vector<double> y(x.size());
  for (int64_t i = 0; i < a; ++i)
    for (int64_t j = 0; j < b; ++j)
      for (int64_t e = 0; e < size; ++e)
        y[(j * a + i) * size + e] = x[(i * b + j) * size + e];
  return y;
}

/// [length, 4, 3] by @whole.
std::vector<double> computeWhole(Program &program, const Sequence &s) {
  int64_t n = s.length;
  return transposed(program.floats("whole", {program.tensor({4, n, 5}, transposed(s.q, n, 4, 5)),
                                             program.tensor({2, n, 5}, transposed(s.k, n, 2, 5)),
                                             program.tensor({2, n, 3}, transposed(s.v, n, 2, 3))}),
                    4, n, 3);
}

TEST(PhaseForm, raggedStepsEqualWholeSequences) {
  Program program(kModule);
  std::vector<Sequence> sequences = {{13, 1}, {1, 4}, {9, 7}};
  std::vector<std::vector<double>> got(3);
  RuntimeValue cache = makeCache(program, 3);
  // Rows of each sequence in each step; some have none.
  int64_t steps[][3] = {{5, 0, 2}, {1, 1, 0}, {0, 0, 6}, {6, 0, 1}, {1, 0, 0}};
  int64_t position[3] = {0, 0, 0};
  for (auto &rows : steps) {
    std::vector<double> q, k, v;
    std::vector<int64_t> positions;
    int64_t tokens = 0;
    for (int b = 0; b < 3; ++b) {
      auto take = [&](std::vector<double> &to, const std::vector<double> &from, int64_t width) {
        to.insert(to.end(), from.begin() + position[b] * width,
                  from.begin() + (position[b] + rows[b]) * width);
      };
      take(q, sequences[b].q, 20);
      take(k, sequences[b].k, 10);
      take(v, sequences[b].v, 6);
      for (int64_t i = 0; i < rows[b]; ++i)
        positions.push_back(position[b] + i);
      tokens += rows[b];
    }
    Batch batch = Batch::pack(rows, position);
    batch.outputRows = {tokens - 1};
    std::vector<RuntimeValue> results =
        program.run("step", {program.tensor({tokens, 4, 5}, q), program.tensor({tokens, 2, 5}, k),
                             program.tensor({tokens, 2, 3}, v), batch, cache});
    ASSERT_EQ(results.size(), 4u);
    cache = results[1];
    const Tensor &out = std::get<Tensor>(results[0]), &at = std::get<Tensor>(results[2]),
                 &last = std::get<Tensor>(results[3]);
    int64_t row = 0;
    for (int b = 0; b < 3; ++b) {
      for (int64_t i = 0; i < rows[b] * 12; ++i)
        got[b].push_back(out.floatAt(row * 12 + i));
      row += rows[b];
      position[b] += rows[b];
    }
    for (int64_t i = 0; i < tokens; ++i)
      EXPECT_EQ(at.intAt(i), positions[i]);
    ASSERT_EQ(last.getDim(0), 1);
    for (int64_t i = 0; i < 12; ++i)
      EXPECT_EQ(last.floatAt(i), out.floatAt((tokens - 1) * 12 + i));
  }
  for (int b = 0; b < 3; ++b)
    expectNear(computeWhole(program, sequences[b]), got[b], 1e-14);
}

TEST(PhaseForm, forkAndTruncate) {
  Program program(kModule);
  Sequence s(8, 20), other(8, 30);
  auto step = [&](const Sequence &from, int64_t begin, int64_t rows, Cache cache) {
    auto part = [&](const std::vector<double> &x, int64_t width) {
      return std::vector<double>(x.begin() + begin * width, x.begin() + (begin + rows) * width);
    };
    return program.run("step", {program.tensor({rows, 4, 5}, part(from.q, 20)),
                                program.tensor({rows, 2, 5}, part(from.k, 10)),
                                program.tensor({rows, 2, 3}, part(from.v, 6)),
                                Batch::pack(rows, begin), cache});
  };
  Cache cache = makeCache(program, 1);
  std::vector<RuntimeValue> first = step(s, 0, 5, cache);
  EXPECT_TRUE(cache.isStale());
  Cache held = std::get<Cache>(first[1]), fork = held.clone();
  // Three tokens of something else, dropped again by appending at position 5.
  std::vector<RuntimeValue> wrong = step(other, 5, 3, held);
  EXPECT_EQ(std::get<Cache>(wrong[1]).getLength(0), 8);
  EXPECT_EQ(fork.getLength(0), 5);
  std::vector<RuntimeValue> truncated = step(s, 5, 3, std::get<Cache>(wrong[1])),
                            forked = step(s, 5, 3, fork);
  std::vector<double> expected = computeWhole(program, s);
  for (int64_t i = 0; i < 3 * 12; ++i) {
    EXPECT_NEAR(std::get<Tensor>(truncated[0]).floatAt(i), expected[5 * 12 + i], 1e-14);
    EXPECT_NEAR(std::get<Tensor>(forked[0]).floatAt(i), expected[5 * 12 + i], 1e-14);
  }
}

TEST(PhaseForm, cacheRoundsToItsType) {
  Program program(R"(
    func.func @f(%k: tensor<?x1x2xf32>, %batch: !tfm.batch) -> tensor<?x1x2xf32> {
      %0 = tfm.cache_create %batch : !tfm.cache<1x2x2xbf16>
      %1 = tfm.cache_append %0, %k, %k batch(%batch)
        : !tfm.cache<1x2x2xbf16>, tensor<?x1x2xf32>, tensor<?x1x2xf32>
      %2 = tfm.attention %k, %1 batch(%batch) : tensor<?x1x2xf32>, !tfm.cache<1x2x2xbf16> -> tensor<?x1x2xf32>
      return %2 : tensor<?x1x2xf32>
    })");
  double third = float(1.0 / 3);
  llvm::SmallVector<RuntimeValue> inputs = {program.tensor({1, 1, 2}, {third, 1}),
                                            Batch::uniform(1, 1, 1)};
  EXPECT_EQ(program.floats("f", inputs, Precision::F32), (std::vector<double>{0.333984375, 1}));
  EXPECT_EQ(program.floats("f", inputs, Precision::F64), (std::vector<double>{third, 1}));
}

TEST(PhaseForm, keysThatHoldTheValues) {
  // Also in i8, where values then have the scale of their keys.
  for (const char *element : {"f32", "bf16", "i8"}) {
    std::string shared = std::string("!tfm.cache<2x5x3x") + element + ", values_in_keys>";
    Program program(R"(
      func.func @f(%q: tensor<?x4x5xf32>, %k: tensor<?x2x5xf32>, %batch: !tfm.batch) -> tensor<?x4x3xf32> {
        %0 = tfm.cache_create %batch : )" +
                    shared + R"(
        %1 = tfm.cache_append %0, %k batch(%batch) : )" +
                    shared + R"(, tensor<?x2x5xf32>
        %2 = tfm.attention %q, %1 batch(%batch) causal : tensor<?x4x5xf32>, )" +
                    shared + R"( -> tensor<?x4x3xf32>
        return %2 : tensor<?x4x3xf32>
      }
      func.func @whole(%q: tensor<?x4x5xf32>, %k: tensor<?x2x5xf32>, %batch: !tfm.batch) -> tensor<?x4x5xf32> {
        %0 = tfm.cache_create %batch : !tfm.cache<2x5x5x)" +
                    element + R"(>
        %1 = tfm.cache_append %0, %k, %k batch(%batch) : !tfm.cache<2x5x5x)" +
                    element + R"(>, tensor<?x2x5xf32>, tensor<?x2x5xf32>
        %2 = tfm.attention %q, %1 batch(%batch) causal : tensor<?x4x5xf32>, !tfm.cache<2x5x5x)" +
                    element + R"(> -> tensor<?x4x5xf32>
        return %2 : tensor<?x4x5xf32>
      })");
    llvm::SmallVector<RuntimeValue> inputs = {program.tensor({7, 4, 5}, randomNumbers(140, 1)),
                                              program.tensor({7, 2, 5}, randomNumbers(70, 2)),
                                              Batch::uniform(1, 7, 7)};
    std::vector<double> part = program.floats("f", inputs, Precision::F32),
                        whole = program.floats("whole", inputs, Precision::F32);
    ASSERT_EQ(part.size(), 7u * 4 * 3);
    for (size_t i = 0; i < part.size(); ++i)
      EXPECT_EQ(part[i], whole[i / 3 * 5 + i % 3]) << element;
  }
}

TEST(PhaseForm, crossAttentionThroughUniformBatches) {
  Program program(R"(
    func.func @f(%q: tensor<?x4x5xf32>, %k: tensor<?x2x5xf32>, %v: tensor<?x2x3xf32>, %n: index, %s: index,
                 %t: index) -> tensor<?x4x3xf32> {
      %keys = tfm.uniform_batch %n, %t, %t
      %queries = tfm.uniform_batch %n, %s, %t
      %0 = tfm.cache_create %keys : !tfm.cache<2x5x3xf32>
      %1 = tfm.cache_append %0, %k, %v batch(%keys) : !tfm.cache<2x5x3xf32>, tensor<?x2x5xf32>, tensor<?x2x3xf32>
      %2 = tfm.attention %q, %1 batch(%queries) : tensor<?x4x5xf32>, !tfm.cache<2x5x3xf32> -> tensor<?x4x3xf32>
      return %2 : tensor<?x4x3xf32>
    }
    func.func @whole(%q: tensor<2x4x3x5xf32>, %k: tensor<2x2x7x5xf32>, %v: tensor<2x2x7x3xf32>) -> tensor<2x4x3x3xf32> {
      %0 = tfm.attention %q, %k, %v
        : tensor<2x4x3x5xf32>, tensor<2x2x7x5xf32>, tensor<2x2x7x3xf32> -> tensor<2x4x3x3xf32>
      return %0 : tensor<2x4x3x3xf32>
    })");
  std::vector<double> q = randomNumbers(2 * 4 * 3 * 5, 1), k = randomNumbers(2 * 2 * 7 * 5, 2),
                      v = randomNumbers(2 * 2 * 7 * 3, 3), expected;
  // Token-major: within each of the two sequences the heads and the positions change places.
  auto tokenMajor = [](const std::vector<double> &x, int64_t heads, int64_t rows, int64_t size) {
    std::vector<double> y;
    for (size_t b = 0; b < 2; ++b) {
      std::vector<double> part(x.begin() + b * x.size() / 2, x.begin() + (b + 1) * x.size() / 2);
      for (double value : transposed(part, heads, rows, size))
        y.push_back(value);
    }
    return y;
  };
  expected = tokenMajor(
      program.floats("whole", {program.tensor({2, 4, 3, 5}, q), program.tensor({2, 2, 7, 5}, k),
                               program.tensor({2, 2, 7, 3}, v)}),
      4, 3, 3);
  auto index = [&](int64_t value) { return Tensor::scalar(program.index(), makeInt(value)); };
  expectNear(expected,
             program.floats("f", {program.tensor({6, 4, 5}, tokenMajor(q, 4, 3, 5)),
                                  program.tensor({14, 2, 5}, tokenMajor(k, 2, 7, 5)),
                                  program.tensor({14, 2, 3}, tokenMajor(v, 2, 7, 3)), index(2),
                                  index(3), index(7)}),
             1e-14);
}

TEST(PhaseForm, batchSizes) {
  Program program(R"(
    func.func @f(%b: !tfm.batch) -> (index, index, index, index, index, index, index, index, index, index) {
      %0 = tfm.batch_dim %b tokens
      %1 = tfm.batch_dim %b sequences
      %2 = tfm.batch_dim %b outputs
      %3 = tfm.batch_dim %b keys
      %4 = tfm.batch_dim %b keys {window = 10 : i64}
      %5 = tfm.batch_dim %b pairs
      %6 = tfm.batch_dim %b pairs {window = 10 : i64}
      %7 = tfm.batch_dim %b pages
      %8 = tfm.batch_dim %b items
      %9 = tfm.batch_dim %b all_pairs
      return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9 : index, index, index, index, index, index, index, index, index, index
    })");
  // 3 rows after 4 positions, 1 row after 64, none after 5.
  Batch batch = Batch::pack({3, 1, 0}, {4, 64, 5});
  batch.outputRows = {2, 3};
  std::vector<RuntimeValue> results = program.run("f", {batch});
  // Rows of the first sequence see 5, 6 and 7 keys; with a window of 10 the second sees 10 of 65.
  int64_t expected[] = {
      4, 3, 2, 7 + 65 + 5, 7 + 10 + 5, 5 + 6 + 7 + 65, 5 + 6 + 7 + 10, 1 + 2 + 1, 2, 3 * 7 + 65};
  ASSERT_EQ(results.size(), 10u);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(std::get<Tensor>(results[i]).intAt(0), expected[i]) << i;
}

TEST(PhaseForm, promptLengths) {
  Program program(R"(
    func.func @step(%ids: tensor<?xi32>, %b: !tfm.batch) -> tensor<?xi32> {
      %0 = tfm.prompt_lengths %ids batch(%b) : tensor<?xi32> -> tensor<?xi32>
      return %0 : tensor<?xi32>
    }
    func.func @whole(%ids: tensor<?xi32>) -> tensor<?xi32> {
      %0 = tfm.prompt_lengths %ids : tensor<?xi32> -> tensor<?xi32>
      return %0 : tensor<?xi32>
    })");
  auto ids = Tensor::ofInts({4}, program.integer(32), {0, 1, 2, 3});
  auto lengths = [&](llvm::StringRef name, std::vector<RuntimeValue> inputs) {
    std::vector<RuntimeValue> results = program.run(name, inputs);
    std::vector<int64_t> values;
    for (int64_t i = 0; i < 4; ++i)
      values.push_back(std::get<Tensor>(results[0]).intAt(i));
    return values;
  };
  EXPECT_EQ(lengths("whole", {ids}), (std::vector<int64_t>{4, 4, 4, 4}));
  EXPECT_EQ(lengths("step", {ids, Batch::pack({3, 1}, {4, 64}, {5, 64})}),
            (std::vector<int64_t>{5, 5, 5, 64}));
  EXPECT_EQ(lengths("step", {ids, Batch::pack({3, 1}, {4, 64})}),
            (std::vector<int64_t>{7, 7, 7, 65}));
}

TEST(PhaseForm, kernelsAndPrograms) {
  Program program(R"(
    plan.kernel @linear(%x: tensor<?x5xf32>, %w: tensor<6x5xbf16, #plan.panels<16, 1>>, %y: tensor<?x6xf32>)
        -> tensor<?x6xf32> {
      %0 = tfm.linear %x, %w : tensor<?x5xf32>, tensor<6x5xbf16, #plan.panels<16, 1>> -> tensor<?x6xf32>
      %1 = arith.addf %y, %0 : tensor<?x6xf32>
      plan.yield %1 : tensor<?x6xf32>
    }
    func.func @packed(%x: tensor<?x5xf32>, %y: tensor<?x6xf32>, %a: tensor<5x4xbf16>, %b: tensor<5x2xbf16>) -> tensor<?x6xf32> {
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?x5xf32>
      %w = plan.pack %a, %b transposed : tensor<5x4xbf16>, tensor<5x2xbf16> -> tensor<6x5xbf16, #plan.panels<16, 1>>
      %0 = plan.dispatch @linear(%x, %w, %y) sizes(%n)
        : (tensor<?x5xf32>, tensor<6x5xbf16, #plan.panels<16, 1>>, tensor<?x6xf32>) -> tensor<?x6xf32>
      return %0 : tensor<?x6xf32>
    })");
  std::vector<double> x = randomNumbers(3 * 5, 1), y = randomNumbers(3 * 6, 2),
                      a = randomNumbers(5 * 4, 3), b = randomNumbers(5 * 2, 4), expected = y;
  for (int m = 0; m < 3; ++m)
    for (int n = 0; n < 6; ++n)
      for (int k = 0; k < 5; ++k)
        expected[m * 6 + n] += x[m * 5 + k] * (n < 4 ? a[k * 4 + n] : b[k * 2 + n - 4]);
  expectNear(expected,
             program.floats("packed", {program.tensor({3, 5}, x), program.tensor({3, 6}, y),
                                       program.tensor({5, 4}, a, program.bf16()),
                                       program.tensor({5, 2}, b, program.bf16())}),
             1e-14);
}

} // namespace
