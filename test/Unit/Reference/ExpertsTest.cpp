//===- ExpertsTest.cpp - mixtures of experts against their formulas --------------------------===//

#include "Harness.h"
#include <algorithm>
#include <cmath>
#include <numeric>

using namespace ingot::reference;

namespace {

/// The chosen experts by sorting, ascending.
std::vector<int> chosenBySorting(std::vector<double> ranks, int groups, int keep, int best,
                                 int chosen) {
  int experts = ranks.size(), size = experts / groups;
  auto firstOf = [](const std::vector<double> &values, int count) {
    std::vector<int> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
      return values[a] > values[b] || (values[a] == values[b] && a < b);
    });
    order.resize(count);
    std::sort(order.begin(), order.end());
    return order;
  };
  std::vector<double> groupRanks;
  for (int g = 0; g < groups; ++g) {
    std::vector<double> members(ranks.begin() + g * size, ranks.begin() + (g + 1) * size);
    std::sort(members.rbegin(), members.rend());
    groupRanks.push_back(std::accumulate(members.begin(), members.begin() + best, 0.0));
  }
  std::vector<int> kept = firstOf(groupRanks, keep);
  for (int e = 0; e < experts; ++e)
    if (std::find(kept.begin(), kept.end(), e / size) == kept.end())
      ranks[e] = -INFINITY;
  return firstOf(ranks, chosen);
}

TEST(Experts, route) {
  Program program(R"(
    func.func @plain(%s: tensor<?x12xf32>) -> (tensor<?x3xi32>, tensor<?x3xf32>) {
      %0, %1 = tfm.route %s : tensor<?x12xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
      return %0, %1 : tensor<?x3xi32>, tensor<?x3xf32>
    }
    func.func @all(%s: tensor<?x12xf32>, %b: tensor<12xf32>) -> (tensor<?x4xi32>, tensor<?x4xf32>) {
      %0, %1 = tfm.route %s bias(%b : tensor<12xf32>) groups(4, 2, 2) normalize scale(2.5)
        : tensor<?x12xf32> -> tensor<?x4xi32>, tensor<?x4xf32>
      return %0, %1 : tensor<?x4xi32>, tensor<?x4xf32>
    })");
  // Of 128 different numbers: ties occur, and go to the lower expert.
  constexpr int kRows = 50, kExperts = 12;
  std::vector<double> scores = randomNumbers(kRows * kExperts, 1),
                      bias = randomNumbers(kExperts, 2);
  for (double &score : scores)
    score = std::abs(score) + 1.0 / 64;
  std::vector<int64_t> plainIds, allIds;
  std::vector<double> plainWeights, allWeights;
  for (int t = 0; t < kRows; ++t) {
    std::vector<double> row(scores.begin() + t * kExperts, scores.begin() + (t + 1) * kExperts);
    for (int e : chosenBySorting(row, 1, 1, 1, 3)) {
      plainIds.push_back(e);
      plainWeights.push_back(row[e]);
    }
    std::vector<double> ranks = row;
    for (int e = 0; e < kExperts; ++e)
      ranks[e] += bias[e];
    std::vector<int> chosen = chosenBySorting(ranks, 4, 2, 2, 4);
    double sum = 0;
    for (int e : chosen)
      sum += row[e];
    for (int e : chosen) {
      allIds.push_back(e);
      allWeights.push_back(row[e] / sum * 2.5);
    }
  }
  RuntimeValue input = program.tensor({kRows, kExperts}, scores),
               biasInput = program.tensor({kExperts}, bias);
  EXPECT_EQ(program.ints("plain", {input}), plainIds);
  expectNear(plainWeights, program.floats("plain", {input}, Precision::F64, 1), 0);
  EXPECT_EQ(program.ints("all", {input, biasInput}), allIds);
  expectNear(allWeights, program.floats("all", {input, biasInput}, Precision::F64, 1), 1e-14);
}

TEST(Experts, routeOfWhatIsNotANumber) {
  Program program(R"(
    func.func @f(%s: tensor<?x4xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
      %0, %1 = tfm.route %s : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
      return %0, %1 : tensor<?x2xi32>, tensor<?x2xf32>
    })");
  std::vector<double> scores = {NAN, NAN, NAN, NAN, 1, NAN, -5, NAN, NAN, 2, NAN, 3};
  EXPECT_EQ(program.ints("f", {program.tensor({3, 4}, scores)}),
            (std::vector<int64_t>{0, 1, 0, 2, 1, 3}));
}

TEST(Experts, expertLinear) {
  Program program(R"(
    func.func @shared(%x: tensor<?x7xf32>, %w: tensor<20x7xbf16>, %ids: tensor<?x2xi32>) -> tensor<?x2x5xf32> {
      %0 = tfm.expert_linear %x, %w ids(%ids : tensor<?x2xi32>) experts(4)
        : tensor<?x7xf32>, tensor<20x7xbf16> -> tensor<?x2x5xf32>
      return %0 : tensor<?x2x5xf32>
    }
    func.func @own(%x: tensor<?x2x7xf32>, %w: tensor<7x20xf16>, %b: tensor<4x5xf32>, %ids: tensor<?x2xi32>)
        -> tensor<?x2x5xf32> {
      %0 = tfm.expert_linear %x, %w ids(%ids : tensor<?x2xi32>) bias(%b : tensor<4x5xf32>) experts(4) transposed
        : tensor<?x2x7xf32>, tensor<7x20xf16> -> tensor<?x2x5xf32>
      return %0 : tensor<?x2x5xf32>
    }
    func.func @heads(%x: tensor<?x4x7xf32>, %w: tensor<20x7xf32>) -> tensor<?x4x5xf32> {
      %0 = tfm.expert_linear %x, %w experts(4) : tensor<?x4x7xf32>, tensor<20x7xf32> -> tensor<?x4x5xf32>
      return %0 : tensor<?x4x5xf32>
    })");
  constexpr int kRows = 9;
  std::vector<double> x = randomNumbers(kRows * 4 * 7, 1), w = randomNumbers(20 * 7, 2),
                      b = randomNumbers(20, 3), shared, own, heads;
  std::vector<int64_t> ids;
  for (int i = 0; i < kRows * 2; ++i)
    ids.push_back(randomBits(4, i) % 3); // expert 3 has no rows
  for (int t = 0; t < kRows; ++t)
    for (int j = 0; j < 4; ++j)
      for (int n = 0; n < 5; ++n) {
        double sums[3] = {};
        int64_t e = j < 2 ? ids[t * 2 + j] : 0;
        for (int k = 0; k < 7; ++k) {
          sums[0] += x[t * 7 + k] * w[(e * 5 + n) * 7 + k];
          sums[1] += x[(t * 2 + j) * 7 + k] * w[k * 20 + e * 5 + n];
          sums[2] += x[(t * 4 + j) * 7 + k] * w[(j * 5 + n) * 7 + k];
        }
        if (j < 2) {
          shared.push_back(sums[0]);
          own.push_back(sums[1] + b[e * 5 + n]);
        }
        heads.push_back(sums[2]);
      }
  auto first = [&](size_t count) { return std::vector<double>(x.begin(), x.begin() + count); };
  RuntimeValue numbers = Tensor::ofInts({kRows, 2}, program.integer(32), ids);
  expectNear(shared,
             program.floats("shared", {program.tensor({kRows, 7}, first(kRows * 7)),
                                       program.tensor({20, 7}, w, program.bf16()), numbers}),
             1e-14);
  expectNear(own,
             program.floats("own", {program.tensor({kRows, 2, 7}, first(kRows * 14)),
                                    program.tensor({7, 20}, w, program.f16()),
                                    program.tensor({4, 5}, b), numbers}),
             1e-14);
  expectNear(
      heads,
      program.floats("heads", {program.tensor({kRows, 4, 7}, x), program.tensor({20, 7}, w)}),
      1e-14);
}

TEST(Experts, combine) {
  Program program(R"(
    func.func @plain(%x: tensor<?x3x5xf32>, %w: tensor<?x3xf32>) -> tensor<?x5xf32> {
      %0 = tfm.combine %x, %w : tensor<?x3x5xf32>, tensor<?x3xf32> -> tensor<?x5xf32>
      return %0 : tensor<?x5xf32>
    }
    func.func @base(%x: tensor<?x3x5xf32>, %w: tensor<?x3xf32>, %b: tensor<?x5xf32>) -> tensor<?x5xf32> {
      %0 = tfm.combine %x, %w base(%b : tensor<?x5xf32>) : tensor<?x3x5xf32>, tensor<?x3xf32> -> tensor<?x5xf32>
      return %0 : tensor<?x5xf32>
    })");
  constexpr int kRows = 4;
  std::vector<double> x = randomNumbers(kRows * 15, 1), w = randomNumbers(kRows * 3, 2),
                      b = randomNumbers(kRows * 5, 3), plain, base;
  for (int t = 0; t < kRows; ++t)
    for (int n = 0; n < 5; ++n) {
      double sum = 0;
      for (int j = 0; j < 3; ++j)
        sum += w[t * 3 + j] * x[(t * 3 + j) * 5 + n];
      plain.push_back(sum);
      base.push_back(b[t * 5 + n] + sum);
    }
  RuntimeValue rows = program.tensor({kRows, 3, 5}, x), weights = program.tensor({kRows, 3}, w);
  expectNear(plain, program.floats("plain", {rows, weights}), 1e-14);
  expectNear(base, program.floats("base", {rows, weights, program.tensor({kRows, 5}, b)}), 1e-14);
}

} // namespace
