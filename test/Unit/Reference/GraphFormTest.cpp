//===- GraphFormTest.cpp - tfm operations in graph form against their formulas ----------------===//
//
// Every formula is written here once more, element by element, without anything of the interpreter.
//
//===----------------------------------------------------------------------------------------===//

#include "Harness.h"
#include <cmath>

using namespace ingot::reference;

namespace {

TEST(GraphForm, linear) {
  Program program(R"(
    func.func @plain(%x: tensor<?x3x7xf32>, %w: tensor<19x7xbf16>) -> tensor<?x3x19xf32> {
      %0 = tfm.linear %x, %w : tensor<?x3x7xf32>, tensor<19x7xbf16> -> tensor<?x3x19xf32>
      return %0 : tensor<?x3x19xf32>
    }
    func.func @bias(%x: tensor<?x3x7xf32>, %w: tensor<7x19xf16>, %b: tensor<19xf32>) -> tensor<?x3x19xf32> {
      %0 = tfm.linear %x, %w bias(%b : tensor<19xf32>) transposed
        : tensor<?x3x7xf32>, tensor<7x19xf16> -> tensor<?x3x19xf32>
      return %0 : tensor<?x3x19xf32>
    })");
  std::vector<double> x = randomNumbers(5 * 3 * 7, 1), w = randomNumbers(19 * 7, 2),
                      b = randomNumbers(19, 3), plain(5 * 3 * 19), withBias(5 * 3 * 19);
  for (int m = 0; m < 15; ++m)
    for (int n = 0; n < 19; ++n) {
      for (int k = 0; k < 7; ++k) {
        plain[m * 19 + n] += x[m * 7 + k] * w[n * 7 + k];
        withBias[m * 19 + n] += x[m * 7 + k] * w[k * 19 + n];
      }
      withBias[m * 19 + n] += b[n];
    }
  RuntimeValue rows = program.tensor({5, 3, 7}, x);
  expectNear(plain, program.floats("plain", {rows, program.tensor({19, 7}, w, program.bf16())}),
             1e-14);
  expectNear(withBias,
             program.floats("bias", {rows, program.tensor({7, 19}, w, program.f16()),
                                     program.tensor({19}, b)}),
             1e-14);
}

TEST(GraphForm, linearInF32IsAChainOfFusedMultiplyAdds) {
  Program program(R"(
    func.func @f(%x: tensor<3x37xf32>, %w: tensor<21x37xf32>, %b: tensor<21xf32>) -> tensor<3x21xf32> {
      %0 = tfm.linear %x, %w bias(%b : tensor<21xf32>) : tensor<3x37xf32>, tensor<21x37xf32> -> tensor<3x21xf32>
      return %0 : tensor<3x21xf32>
    })");
  std::vector<double> x(3 * 37), w(21 * 37), b(21), expected;
  for (auto [list, seed] : {std::pair(&x, 1), {&w, 2}, {&b, 3}})
    for (size_t i = 0; i < list->size(); ++i)
      (*list)[i] = float(toUnit(randomBits(seed, i)) * 2 - 1);
  bool unfusedDiffers = false;
  for (int m = 0; m < 3; ++m)
    for (int n = 0; n < 21; ++n) {
      float sum = 0, unfused = 0;
      for (int k = 0; k < 37; ++k) {
        sum = std::fma(float(x[m * 37 + k]), float(w[n * 37 + k]), sum);
        unfused += float(x[m * 37 + k]) * float(w[n * 37 + k]);
      }
      unfusedDiffers |= sum != unfused;
      expected.push_back(sum + float(b[n]));
    }
  EXPECT_TRUE(unfusedDiffers) << "the test cannot tell the orders apart";
  EXPECT_EQ(program.floats(
                "f",
                {program.tensor({3, 37}, x), program.tensor({21, 37}, w), program.tensor({21}, b)},
                Precision::F32),
            expected);
}

TEST(GraphForm, matmul) {
  Program program(R"(
    func.func @plain(%a: tensor<2x3x?x5xf32>, %b: tensor<2x3x5x?xf32>) -> tensor<2x3x?x?xf32> {
      %0 = tfm.matmul %a, %b : tensor<2x3x?x5xf32>, tensor<2x3x5x?xf32> -> tensor<2x3x?x?xf32>
      return %0 : tensor<2x3x?x?xf32>
    }
    func.func @transposed(%a: tensor<2x3x?x5xf32>, %b: tensor<2x3x?x5xf16>) -> tensor<2x3x?x?xf32> {
      %0 = tfm.matmul %a, %b transpose_b : tensor<2x3x?x5xf32>, tensor<2x3x?x5xf16> -> tensor<2x3x?x?xf32>
      return %0 : tensor<2x3x?x?xf32>
    })");
  constexpr int kM = 7, kN = 33, kK = 5;
  std::vector<double> a = randomNumbers(6 * kM * kK, 1), b = randomNumbers(6 * kK * kN, 2);
  std::vector<double> plain(6 * kM * kN), transposed(6 * kM * kN);
  for (int batch = 0; batch < 6; ++batch)
    for (int m = 0; m < kM; ++m)
      for (int n = 0; n < kN; ++n)
        for (int k = 0; k < kK; ++k) {
          double left = a[(batch * kM + m) * kK + k];
          plain[(batch * kM + m) * kN + n] += left * b[(batch * kK + k) * kN + n];
          transposed[(batch * kM + m) * kN + n] += left * b[(batch * kN + n) * kK + k];
        }
  RuntimeValue left = program.tensor({2, 3, kM, kK}, a);
  expectNear(plain, program.floats("plain", {left, program.tensor({2, 3, kK, kN}, b)}), 1e-14);
  expectNear(transposed,
             program.floats("transposed", {left, program.tensor({2, 3, kN, kK}, b, program.f16())}),
             1e-14);
}

TEST(GraphForm, softmax) {
  Program program(R"(
    func.func @middle(%x: tensor<3x?x5xf32>) -> tensor<3x?x5xf32> {
      %0 = tfm.softmax %x dim(1) : tensor<3x?x5xf32>
      return %0 : tensor<3x?x5xf32>
    })");
  std::vector<double> x = randomNumbers(3 * 37 * 5, 4), expected(x.size());
  for (double &value : x)
    value *= 40;
  for (int a = 0; a < 3; ++a)
    for (int c = 0; c < 5; ++c) {
      double sum = 0;
      for (int b = 0; b < 37; ++b)
        sum += std::exp(x[(a * 37 + b) * 5 + c]);
      for (int b = 0; b < 37; ++b)
        expected[(a * 37 + b) * 5 + c] = std::exp(x[(a * 37 + b) * 5 + c]) / sum;
    }
  expectNear(expected, program.floats("middle", {program.tensor({3, 37, 5}, x)}), 1e-14);
  // A row that is masked with a large negative number is uniform, one of -inf has no value.
  std::vector<double> masked(3 * 2 * 5, -3e38);
  for (double p : program.floats("middle", {program.tensor({3, 2, 5}, masked)}))
    EXPECT_EQ(p, 0.5);
  std::vector<double> infinite(3 * 2 * 5, -HUGE_VAL);
  for (double p : program.floats("middle", {program.tensor({3, 2, 5}, infinite)}))
    EXPECT_TRUE(std::isnan(p));
}

TEST(GraphForm, norms) {
  Program program(R"(
    func.func @rms(%x: tensor<?x2x37xf32>, %w: tensor<37xbf16>) -> tensor<?x2x37xf32> {
      %0 = tfm.rms_norm %x weight(%w : tensor<37xbf16>) eps(0.01) : tensor<?x2x37xf32>
      return %0 : tensor<?x2x37xf32>
    }
    func.func @bare(%x: tensor<?x2x37xf32>) -> tensor<?x2x37xf32> {
      %0 = tfm.rms_norm %x eps(0.01) : tensor<?x2x37xf32>
      return %0 : tensor<?x2x37xf32>
    }
    func.func @layer(%x: tensor<?x2x37xf32>, %w: tensor<37xf32>, %b: tensor<37xf32>) -> tensor<?x2x37xf32> {
      %0 = tfm.layer_norm %x weight(%w : tensor<37xf32>) bias(%b : tensor<37xf32>) eps(0.01) : tensor<?x2x37xf32>
      return %0 : tensor<?x2x37xf32>
    })");
  constexpr int kF = 37;
  std::vector<double> x = randomNumbers(6 * kF, 5), w = randomNumbers(kF, 6),
                      b = randomNumbers(kF, 7), rms(x.size()), bare(x.size()), layer(x.size());
  for (int row = 0; row < 6; ++row) {
    double square = 0, sum = 0, variance = 0;
    for (int i = 0; i < kF; ++i) {
      square += x[row * kF + i] * x[row * kF + i];
      sum += x[row * kF + i];
    }
    for (int i = 0; i < kF; ++i)
      variance += std::pow(x[row * kF + i] - sum / kF, 2) / kF;
    for (int i = 0; i < kF; ++i) {
      bare[row * kF + i] = x[row * kF + i] / std::sqrt(square / kF + 0.01);
      rms[row * kF + i] = bare[row * kF + i] * w[i];
      layer[row * kF + i] = (x[row * kF + i] - sum / kF) / std::sqrt(variance + 0.01) * w[i] + b[i];
    }
  }
  RuntimeValue rows = program.tensor({3, 2, kF}, x), weight = program.tensor({kF}, w),
               bias = program.tensor({kF}, b);
  expectNear(rms, program.floats("rms", {rows, program.tensor({kF}, w, program.bf16())}), 1e-14);
  expectNear(bare, program.floats("bare", {rows}), 1e-14);
  expectNear(layer, program.floats("layer", {rows, weight, bias}), 1e-14);

  // In f32: 16 partial sums by index mod 16, then lanes 8, 4, 2 and 1 apart.
  constexpr int kRows = 200; // most rows round to the same deviation in most orders
  x.resize(kRows * kF);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = float(toUnit(randomBits(8, i)) * 2 - 1);
  std::vector<double> single;
  bool orderMatters = false;
  for (int row = 0; row < kRows; ++row) {
    float lanes[16] = {}, ascending = 0;
    for (int i = 0; i < kF; ++i) {
      lanes[i % 16] += float(x[row * kF + i]) * float(x[row * kF + i]);
      ascending += float(x[row * kF + i]) * float(x[row * kF + i]);
    }
    for (int distance : {8, 4, 2, 1})
      for (int i = 0; i < distance; ++i)
        lanes[i] += lanes[i + distance];
    orderMatters |= lanes[0] != ascending;
    float deviation = std::sqrt(lanes[0] / float(kF) + 0.01f);
    for (int i = 0; i < kF; ++i)
      single.push_back(float(x[row * kF + i]) / deviation);
  }
  EXPECT_TRUE(orderMatters) << "the test cannot tell the orders apart";
  EXPECT_EQ(program.floats("bare", {program.tensor({kRows / 2, 2, kF}, x)}, Precision::F32),
            single);
}

TEST(GraphForm, rotary) {
  Program program(R"(
    func.func @halves(%x: tensor<?x3x7xf32>, %c: tensor<?x2xf32>, %s: tensor<?x2xf32>) -> tensor<?x3x7xf32> {
      %0 = tfm.rotary %x, %c, %s : tensor<?x3x7xf32>, tensor<?x2xf32>
      return %0 : tensor<?x3x7xf32>
    }
    func.func @neighbours(%x: tensor<?x3x7xf32>, %c: tensor<?x2xf32>, %s: tensor<?x2xf32>) -> tensor<?x3x7xf32> {
      %0 = tfm.rotary %x, %c, %s interleaved : tensor<?x3x7xf32>, tensor<?x2xf32>
      return %0 : tensor<?x3x7xf32>
    })");
  std::vector<double> x = randomNumbers(5 * 3 * 7, 8), c = randomNumbers(10, 9),
                      s = randomNumbers(10, 10), halves = x, neighbours = x;
  for (int t = 0; t < 5; ++t)
    for (int h = 0; h < 3; ++h)
      for (int i = 0; i < 2; ++i) {
        int row = (t * 3 + h) * 7;
        double cosine = c[t * 2 + i], sine = s[t * 2 + i];
        halves[row + i] = x[row + i] * cosine - x[row + i + 2] * sine;
        halves[row + i + 2] = x[row + i + 2] * cosine + x[row + i] * sine;
        neighbours[row + 2 * i] = x[row + 2 * i] * cosine - x[row + 2 * i + 1] * sine;
        neighbours[row + 2 * i + 1] = x[row + 2 * i + 1] * cosine + x[row + 2 * i] * sine;
      }
  llvm::SmallVector<RuntimeValue> inputs = {program.tensor({5, 3, 7}, x), program.tensor({5, 2}, c),
                                            program.tensor({5, 2}, s)};
  expectNear(halves, program.floats("halves", inputs), 1e-15);
  expectNear(neighbours, program.floats("neighbours", inputs), 1e-15);
}

/// Attention as the sum over keys that it is, for q [B, H, S, D], k [B, KVH, T, D], v [B, KVH, T,
/// DV].
struct Attention {
  int b, h, kvh, s, t, d, dv;
  std::vector<double> q = randomNumbers(b * h * s * d, 11), k = randomNumbers(b * kvh * t * d, 12),
                      v = randomNumbers(b * kvh * t * dv, 13);

  template <typename Score, typename Keep>
  std::vector<double> compute(double scale, Score score, Keep keep,
                              const std::vector<double> &sinks = {}) const {
    std::vector<double> out;
    for (int batch = 0; batch < b; ++batch)
      for (int head = 0; head < h; ++head)
        for (int i = 0; i < s; ++i)
          for (int e = 0; e < dv; ++e) {
            double numerator = 0, denominator = 0;
            bool any = false;
            for (int j = 0; j < t; ++j) {
              if (!keep(batch, head, i, j))
                continue;
              any = true;
              int matrix = batch * kvh + head * kvh / h;
              double product = 0;
              for (int x = 0; x < d; ++x)
                product += q[((batch * h + head) * s + i) * d + x] * k[(matrix * t + j) * d + x];
              double p = std::exp(score(scale * product, batch, head, i, j));
              numerator += p * v[(matrix * t + j) * dv + e];
              denominator += p;
            }
            if (!sinks.empty())
              denominator += std::exp(sinks[head]);
            out.push_back(any ? numerator / denominator : 0);
          }
    return out;
  }
};

double same(double score, int, int, int, int) { return score; }

TEST(GraphForm, attentionCommonRegions) {
  Program program(R"(
    func.func @f(%q: tensor<2x6x?x5xf32>, %k: tensor<2x3x?x5xf32>, %v: tensor<2x3x?x7xf32>,
                 %scale: f32, %slopes: tensor<6xf16>) -> tensor<2x6x?x7xf32> {
      %0 = tfm.attention %q, %k, %v scale(%scale) causal window(6) softcap(2.0) alibi(%slopes : tensor<6xf16>)
        : tensor<2x6x?x5xf32>, tensor<2x3x?x5xf32>, tensor<2x3x?x7xf32> -> tensor<2x6x?x7xf32>
      return %0 : tensor<2x6x?x7xf32>
    }
    func.func @plain(%q: tensor<2x6x?x5xf32>, %k: tensor<2x3x?x5xf32>, %v: tensor<2x3x?x7xf32>) -> tensor<2x6x?x7xf32> {
      %0 = tfm.attention %q, %k, %v
        : tensor<2x6x?x5xf32>, tensor<2x3x?x5xf32>, tensor<2x3x?x7xf32> -> tensor<2x6x?x7xf32>
      return %0 : tensor<2x6x?x7xf32>
    })");
  Attention a{2, 6, 3, 9, 13, 5, 7};
  std::vector<double> slopes = randomNumbers(6, 14);
  llvm::SmallVector<RuntimeValue> inputs = {program.tensor({2, 6, 9, 5}, a.q),
                                            program.tensor({2, 3, 13, 5}, a.k),
                                            program.tensor({2, 3, 13, 7}, a.v)};
  expectNear(a.compute(1, same, [](int, int, int, int) { return true; }),
             program.floats("plain", inputs), 1e-14);
  inputs.push_back(program.tensor({}, {0.75}));
  inputs.push_back(program.tensor({6}, slopes, program.f16()));
  auto score = [&](double s, int, int h, int i, int j) {
    return 2 * std::tanh(s / 2) + slopes[h] * (j - i);
  };
  auto keep = [](int, int, int i, int j) { return j <= i && i - j < 6; };
  expectNear(a.compute(0.75, score, keep), program.floats("f", inputs), 1e-14);
  // The same in f32, to f32's precision.
  expectNear(a.compute(0.75, score, keep), program.floats("f", inputs, Precision::F32), 2e-6);
}

TEST(GraphForm, attentionOwnRegions) {
  // A table that differs by batch, row and key; rows 2 and 5 keep nothing; sinks.
  Program program(R"(
    func.func @f(%q: tensor<2x2x?x3xf32>, %k: tensor<2x1x?x3xf32>, %v: tensor<2x1x?x3xf32>,
                 %bias: tensor<2x?x?xf32>, %sinks: tensor<2xf32>, %factor: f32) -> tensor<2x2x?x3xf32> {
      %c3 = arith.constant 3 : index
      %c2 = arith.constant 2 : index
      %0 = tfm.attention %q, %k, %v sinks(%sinks : tensor<2xf32>)
        score {
        ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
          %t = tensor.extract %bias[%b, %i, %j] : tensor<2x?x?xf32>
          %u = arith.mulf %t, %factor : f32
          %w = arith.addf %s, %u : f32
          tfm.yield %w : f32
        }
        mask {
        ^bb0(%b: index, %h: index, %i: index, %j: index):
          %r = arith.remsi %i, %c3 : index
          %keep = arith.cmpi ne, %r, %c2 : index
          tfm.yield %keep : i1
        } : tensor<2x2x?x3xf32>, tensor<2x1x?x3xf32>, tensor<2x1x?x3xf32> -> tensor<2x2x?x3xf32>
      return %0 : tensor<2x2x?x3xf32>
    })");
  Attention a{2, 2, 1, 7, 5, 3, 3};
  std::vector<double> bias = randomNumbers(2 * 7 * 5, 15), sinks = {0.5, -1.25};
  std::vector<double> expected = a.compute(
      1, [&](double s, int b, int, int i, int j) { return s + 3 * bias[(b * 7 + i) * 5 + j]; },
      [](int, int, int i, int) { return i % 3 != 2; }, sinks);
  EXPECT_EQ(expected[2 * 3], 0.0);
  expectNear(
      expected,
      program.floats("f", {program.tensor({2, 2, 7, 3}, a.q), program.tensor({2, 1, 5, 3}, a.k),
                           program.tensor({2, 1, 5, 3}, a.v), program.tensor({2, 7, 5}, bias),
                           program.tensor({2}, sinks), program.tensor({}, {3.0})}),
      1e-14);
}

TEST(GraphForm, attentionRegionsOfAnyOperation) {
  // scf.if is not compiled but interpreted.
  Program program(R"(
    func.func @f(%q: tensor<1x?x3xf32>) -> tensor<1x?x3xf32> {
      %0 = tfm.attention %q, %q, %q
        score {
        ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
          %near = arith.cmpi eq, %i, %j : index
          %t = scf.if %near -> f32 {
            %twice = arith.addf %s, %s : f32
            scf.yield %twice : f32
          } else {
            scf.yield %s : f32
          }
          tfm.yield %t : f32
        } : tensor<1x?x3xf32>, tensor<1x?x3xf32>, tensor<1x?x3xf32> -> tensor<1x?x3xf32>
      return %0 : tensor<1x?x3xf32>
    })");
  Attention a{1, 1, 1, 5, 5, 3, 3};
  a.k = a.v = a.q;
  expectNear(a.compute(
                 1, [](double s, int, int, int i, int j) { return i == j ? 2 * s : s; },
                 [](int, int, int, int) { return true; }),
             program.floats("f", {program.tensor({1, 5, 3}, a.q)}), 1e-14);
}

TEST(GraphForm, scoresOfMinusInfinityAreAsMasked) {
  Program program(R"(
    func.func @f(%q: tensor<1x2x1xf32>, %bias: tensor<2x2xf32>) -> tensor<1x2x1xf32> {
      %0 = tfm.attention %q, %q, %q
        score {
        ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
          %t = tensor.extract %bias[%i, %j] : tensor<2x2xf32>
          %u = arith.addf %s, %t : f32
          tfm.yield %u : f32
        } : tensor<1x2x1xf32>, tensor<1x2x1xf32>, tensor<1x2x1xf32> -> tensor<1x2x1xf32>
      return %0 : tensor<1x2x1xf32>
    })");
  RuntimeValue q = program.tensor({1, 2, 1}, {0.5, 0.25});
  double inf = HUGE_VAL;
  EXPECT_EQ(program.floats("f", {q, program.tensor({2, 2}, {-inf, 0, -inf, -inf})}),
            (std::vector<double>{0.25, 0}));
  std::vector<double> nan = program.floats("f", {q, program.tensor({2, 2}, {NAN, 0, 0, 0})});
  EXPECT_TRUE(std::isnan(nan[0]));
  EXPECT_FALSE(std::isnan(nan[1]));
}

TEST(GraphForm, embeddingAndPositions) {
  Program program(R"(
    func.func @f(%ids: tensor<?xi64>, %table: tensor<5x3xf16>) -> (tensor<?x3xf32>, tensor<?xi32>) {
      %0 = tfm.embedding %ids, %table : tensor<?xi64>, tensor<5x3xf16> -> tensor<?x3xf32>
      %1 = tfm.positions %0 : tensor<?x3xf32> -> tensor<?xi32>
      return %0, %1 : tensor<?x3xf32>, tensor<?xi32>
    })");
  std::vector<double> table = randomNumbers(15, 16), expected;
  for (int id : {4, 0, 4, 2})
    expected.insert(expected.end(), table.begin() + id * 3, table.begin() + id * 3 + 3);
  llvm::SmallVector<RuntimeValue> inputs = {Tensor::ofInts({4}, program.integer(64), {4, 0, 4, 2}),
                                            program.tensor({5, 3}, table, program.f16())};
  EXPECT_EQ(program.floats("f", inputs), expected);
  EXPECT_EQ(program.ints("f", inputs, 1), (std::vector<int64_t>{0, 1, 2, 3}));
}

} // namespace
