//===- GenerateTest.cpp - sampling and generation --------------------------------------------===//
#include "Toy.h"
#include "ingot/runtime.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

using namespace ingot;

namespace {

constexpr size_t V = toy::kVocabulary;

ingot_sampling_options sampling(float temperature, uint64_t seed = 0) {
  ingot_sampling_options options;
  ingot_sampling_options_init(&options);
  options.temperature = temperature;
  options.seed = seed;
  return options;
}

int32_t sample(const std::vector<float> &logits, const ingot_sampling_options &options,
               uint64_t position = 0, const std::vector<int32_t> &history = {}) {
  int32_t id = -1;
  check(ingot_sample(logits.data(), logits.size(), history.data(), history.size(), position,
                     &options, &id));
  return id;
}

TEST(Sample, GreedyTakesTheLowestOfEquals) {
  EXPECT_EQ(sample({1, 3, 3, 2}, sampling(0)), 1);
  EXPECT_EQ(sample({-INFINITY, -INFINITY}, sampling(0)), 0);
  EXPECT_EQ(sample({NAN, 1, NAN}, sampling(0)), 1);
  EXPECT_EQ(sample({NAN, NAN}, sampling(0)), 0);
  EXPECT_EQ(sample({0.0f, -0.0f}, sampling(0)), 0);
  EXPECT_EQ(sample({1, INFINITY, INFINITY}, sampling(1)) >= 1, true);
}

TEST(Sample, FollowsTheDistribution) {
  std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  std::map<int32_t, int> counts;
  constexpr int n = 20000;
  for (uint64_t position = 0; position < n; ++position)
    ++counts[sample(logits, sampling(1, 42), position)];
  EXPECT_NEAR(counts[0], 0.5 * n, 300);
  EXPECT_NEAR(counts[1], 0.3 * n, 300);
  EXPECT_NEAR(counts[2], 0.15 * n, 250);
  EXPECT_NEAR(counts[3], 0.05 * n, 150);
  // A higher temperature flattens: p ~ sqrt.
  counts.clear();
  for (uint64_t position = 0; position < n; ++position)
    ++counts[sample(logits, sampling(2, 42), position)];
  double total = std::sqrt(0.5) + std::sqrt(0.3) + std::sqrt(0.15) + std::sqrt(0.05);
  EXPECT_NEAR(counts[3], std::sqrt(0.05) / total * n, 300);
}

TEST(Sample, TruncationsKeepTheMostProbable) {
  std::vector<float> logits = {std::log(0.05f), std::log(0.5f), std::log(0.3f), std::log(0.15f)};
  auto seen = [&](const ingot_sampling_options &options) {
    std::vector<int32_t> ids;
    for (uint64_t position = 0; position < 2000; ++position)
      ids.push_back(sample(logits, options, position));
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
  };
  ingot_sampling_options options = sampling(1, 3);
  options.top_k = 2;
  EXPECT_EQ(seen(options), (std::vector<int32_t>{1, 2}));
  options = sampling(1, 3);
  options.top_p = 0.6f;
  EXPECT_EQ(seen(options), (std::vector<int32_t>{1, 2}));
  options.top_p = 0.01f;
  EXPECT_EQ(seen(options), (std::vector<int32_t>{1}));
  options = sampling(1, 3);
  options.min_p = 0.2f; // of 0.5
  EXPECT_EQ(seen(options), (std::vector<int32_t>{1, 2, 3}));
  // Equal logits at the border of top-k are ordered by id.
  logits = {1, 1, 1, 1};
  options = sampling(1, 3);
  options.top_k = 2;
  EXPECT_EQ(seen(options), (std::vector<int32_t>{0, 1}));
}

TEST(Sample, PenaltyActsOnHistory) {
  ingot_sampling_options options = sampling(0);
  options.repetition_penalty = 2;
  EXPECT_EQ(sample({3, 2, 1}, options, 0, {0}), 1);
  EXPECT_EQ(sample({3, 2, 1}, options, 0, {0, 0, 1}), 0) << "once, however often it occurred";
  EXPECT_EQ(sample({-1, -1.5f}, options, 0, {0}), 1);
  EXPECT_EQ(sample({3, 2, 1}, options, 0, {99, -5}), 0) << "ids outside the vocabulary";
}

TEST(Sample, RefusesNonsense) {
  float logits[2] = {0, 1};
  int32_t id = 77;
  auto refused = [&](ingot_sampling_options options) {
    ingot_error *error = ingot_sample(logits, 2, nullptr, 0, 0, &options, &id);
    bool result = ingot_error_status(error) == INGOT_INVALID_ARGUMENT;
    ingot_error_destroy(error);
    return result;
  };
  ingot_sampling_options options = sampling(-1);
  EXPECT_TRUE(refused(options));
  EXPECT_TRUE(refused(sampling(NAN)));
  EXPECT_TRUE(refused(sampling(INFINITY)));
  options = sampling(1);
  options.top_p = 1.5f;
  EXPECT_TRUE(refused(options));
  options = sampling(1);
  options.repetition_penalty = -2;
  EXPECT_TRUE(refused(options));
  EXPECT_EQ(id, 77);
}

//===-- Generation ---------------------------------------------------------------------------===//

struct Generated {
  std::vector<std::vector<int32_t>> ids;
  std::vector<std::vector<float>> logits;
  std::vector<ingot_finish_reason> finish;
};

Generated generate(const Model &model, const std::vector<std::vector<int32_t>> &prompts, uint64_t n,
                   ingot_sampling_options options = sampling(0), bool ignoreEnd = true,
                   bool wantLogits = false) {
  Generated out;
  out.ids.resize(prompts.size());
  out.logits.resize(prompts.size());
  std::vector<Session> sessions;
  std::vector<ingot_generate_sequence> sequences;
  for (const auto &prompt : prompts) {
    sessions.emplace_back(model);
    sequences.push_back(
        {sessions.back().get(), prompt.data(), prompt.size(), INGOT_FINISH_NONE, 0});
  }
  ingot_generate_options generate;
  ingot_generate_options_init(&generate);
  generate.max_new_tokens = n;
  generate.ignore_end = ignoreEnd;
  generate.sampling = options;
  generate.user = &out;
  generate.on_token = [](void *user, size_t sequence, int32_t id) {
    static_cast<Generated *>(user)->ids[sequence].push_back(id);
    return true;
  };
  if (wantLogits)
    generate.on_logits = [](void *user, size_t sequence, size_t token, const float *row) {
      auto &logits = static_cast<Generated *>(user)->logits[sequence];
      EXPECT_EQ(token * V, logits.size());
      logits.insert(logits.end(), row, row + V);
    };
  check(ingot_generate(model.get(), sequences.data(), sequences.size(), &generate));
  for (const auto &sequence : sequences)
    out.finish.push_back(sequence.finish);
  return out;
}

Model loadModel(const toy::LanguageModelOptions &toyOptions = {}) {
  ingot_model_options options;
  ingot_model_options_init(&options);
  options.threads = 2;
  return Model(toy::writeTemporary("generate.ingot", toy::languageModel(toyOptions)), &options);
}

const std::vector<std::vector<int32_t>> kPrompts = {{1, 2, 3}, {40, 3}, {9, 9, 9, 8, 1, 30, 31}};

TEST(Generate, GreedyIsArgmaxOfTheLogits) {
  Model model = loadModel();
  Generated g = generate(model, kPrompts, 30, sampling(0), true, true);
  for (size_t i = 0; i < kPrompts.size(); ++i) {
    ASSERT_EQ(g.ids[i].size(), 30u);
    ASSERT_EQ(g.logits[i].size(), (kPrompts[i].size() + 29) * V) << "T + G - 1 rows";
    EXPECT_EQ(g.finish[i], INGOT_FINISH_LENGTH);
    std::vector<int32_t> all = kPrompts[i];
    all.insert(all.end(), g.ids[i].begin(), g.ids[i].end() - 1);
    Session session(model);
    std::vector<float> whole = session.feedAll(all);
    ASSERT_EQ(whole.size(), g.logits[i].size());
    EXPECT_EQ(memcmp(whole.data(), g.logits[i].data(), whole.size() * 4), 0)
        << "generated token by token or prefilled whole";
    for (size_t t = 0; t < 30; ++t) {
      const float *row = whole.data() + (kPrompts[i].size() - 1 + t) * V;
      EXPECT_EQ(g.ids[i][t], std::max_element(row, row + V) - row);
    }
  }
}

TEST(Generate, DrawsDoNotDependOnBatchMates) {
  Model model = loadModel();
  ingot_sampling_options options = sampling(1.5f, 11);
  options.top_k = 20;
  Generated together = generate(model, kPrompts, 40, options);
  for (size_t i = 0; i < kPrompts.size(); ++i)
    EXPECT_EQ(generate(model, {kPrompts[i]}, 40, options).ids[0], together.ids[i]);
  options.seed = 12;
  EXPECT_NE(generate(model, {kPrompts[0]}, 40, options).ids[0], together.ids[0]);
}

TEST(Generate, StopsAtAnEndIdUnlessToldNotTo) {
  Model model = loadModel();
  ingot_sampling_options options = sampling(3, 5);
  Generated on = generate(model, kPrompts, 190, options, true);
  Generated off = generate(model, kPrompts, 190, options, false);
  bool stopped = false;
  for (size_t i = 0; i < kPrompts.size(); ++i) {
    auto end = std::find(on.ids[i].begin(), on.ids[i].end(), 7);
    bool found = end != on.ids[i].end();
    stopped |= found;
    std::vector<int32_t> want(on.ids[i].begin(), found ? end + 1 : end);
    EXPECT_EQ(off.ids[i], want) << "the end id is handed out and is the last";
    EXPECT_EQ(off.finish[i], found ? INGOT_FINISH_END : INGOT_FINISH_LENGTH);
  }
  EXPECT_TRUE(stopped) << "the test's seed draws no end id";
}

TEST(Generate, ContextIsCheckedBeforeAnythingRuns) {
  Model model = loadModel();
  EXPECT_EQ(generate(model, {{1, 2, 3}}, 198).ids[0].size(), 198u); // 200 positions
  try {
    generate(model, {{1, 2, 3}}, 199);
    FAIL();
  } catch (const Error &error) {
    EXPECT_EQ(error.status(), INGOT_CONTEXT_FULL);
  }
  Generated g = generate(model, {{1, 2, 3}}, UINT64_MAX);
  EXPECT_EQ(g.ids[0].size(), 198u);
  EXPECT_EQ(g.finish[0], INGOT_FINISH_CONTEXT);
}

TEST(Generate, NothingNewFeedsThePrompt) {
  Model model = loadModel();
  Generated g = generate(model, kPrompts, 0, sampling(0), true, true);
  for (size_t i = 0; i < kPrompts.size(); ++i) {
    EXPECT_TRUE(g.ids[i].empty());
    EXPECT_EQ(g.logits[i].size(), kPrompts[i].size() * V);
  }
}

TEST(Generate, PoliciesAgreeWithAndWithoutACache) {
  for (int policy : {1, 2}) {
    toy::LanguageModelOptions options;
    options.pastContext = policy;
    options.context = 70;
    options.keep = 35;
    Model cached = loadModel(options);
    options.cached = false;
    Model whole = loadModel(options);
    Generated a = generate(cached, kPrompts, 300, sampling(1, 1), true, true);
    Generated b = generate(whole, kPrompts, 300, sampling(1, 1), true, true);
    EXPECT_EQ(a.ids, b.ids);
    for (size_t i = 0; i < kPrompts.size(); ++i)
      EXPECT_EQ(memcmp(a.logits[i].data(), b.logits[i].data(), a.logits[i].size() * 4), 0);
  }
}

TEST(Generate, CallbacksSeeAndChange) {
  Model model = loadModel();
  Session session(model);
  std::vector<int32_t> prompt = {1, 2}, got;
  ingot_generate_sequence sequence = {session.get(), prompt.data(), prompt.size(),
                                      INGOT_FINISH_NONE, 0};
  ingot_generate_options options;
  ingot_generate_options_init(&options);
  options.max_new_tokens = 50;
  options.user = &got;
  options.before_sampling = [](void *user, size_t, float *logits, size_t vocabulary) {
    // Force the ids 10, 11, 12, ...
    size_t id = 10 + static_cast<std::vector<int32_t> *>(user)->size();
    std::fill(logits, logits + vocabulary, -1.0f);
    logits[id] = 1;
  };
  options.on_token = [](void *user, size_t, int32_t id) {
    auto &ids = *static_cast<std::vector<int32_t> *>(user);
    ids.push_back(id);
    return ids.size() < 5;
  };
  check(ingot_generate(model.get(), &sequence, 1, &options));
  EXPECT_EQ(got, (std::vector<int32_t>{10, 11, 12, 13, 14}));
  EXPECT_EQ(sequence.finish, INGOT_FINISH_CALLER);
  EXPECT_EQ(sequence.generated, 5u);
  EXPECT_EQ(session.length(), 6u) << "the last id is not fed";
}

} // namespace
