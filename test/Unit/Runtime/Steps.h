//===- Steps.h - the toy model in steps, and what it must compute -----------------*- C++ -*-===//
#ifndef INGOT_TEST_STEPS_H
#define INGOT_TEST_STEPS_H

#include "Toy.h"
#include "ingot/runtime.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace toy {

using namespace ingot;

constexpr size_t V = toy::kVocabulary;

inline std::vector<int32_t> randomIds(size_t count, uint32_t seed) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525 + 1013904223;
    ids.push_back(static_cast<int32_t>(seed >> 8) % static_cast<int32_t>(V));
  }
  return ids;
}

/// What the toy model computes, written down once more, in double.
inline std::vector<double> reference(const std::vector<int32_t> &ids, size_t window = 0) {
  std::vector<float> table = toy::table();
  size_t n = ids.size();
  std::vector<double> x(n * 8), logits(n * V);
  for (size_t r = 0; r < n; ++r)
    for (size_t i = 0; i < 8; ++i)
      x[r * 8 + i] = static_cast<double>(table[static_cast<size_t>(ids[r]) * 8 + i]) +
                     0.0625 * static_cast<double>((r * 7 + i * 3) % 11);
  for (size_t r = 0; r < n; ++r) {
    double total = 0, o[8] = {};
    for (size_t k = window && r + 1 > window ? r + 1 - window : 0; k <= r; ++k) {
      double dot = 0;
      for (size_t i = 0; i < 8; ++i)
        dot += x[r * 8 + i] * x[k * 8 + i];
      double w = dot * dot + 0.0625;
      total += w;
      for (size_t i = 0; i < 8; ++i)
        o[i] += w * (0.5 * x[k * 8 + i] + 0.25);
    }
    for (size_t id = 0; id < V; ++id)
      for (size_t i = 0; i < 8; ++i)
        logits[r * V + id] +=
            (o[i] / total + 0.25 * x[r * 8 + i]) * static_cast<double>(table[id * 8 + i]);
  }
  return logits;
}

inline void expectNear(const std::vector<float> &got, const std::vector<double> &want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(static_cast<double>(got[i]), want[i], 2e-5) << "element " << i;
}

inline bool sameBits(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

inline ingot_model_options withThreads(uint32_t threads) {
  ingot_model_options options;
  ingot_model_options_init(&options);
  options.threads = threads;
  return options;
}

inline Model load(const toy::LanguageModelOptions &toyOptions = {}, uint32_t threads = 2,
                  uint64_t budget = 0) {
  ingot_model_options options = withThreads(threads);
  options.page_budget = budget;
  return Model(toy::writeTemporary("lm.ingot", toy::languageModel(toyOptions)), &options);
}

inline Model loadGraphs(uint32_t threads = 2) {
  ingot_model_options options = withThreads(threads);
  return Model(toy::writeTemporary("graphs.ingot", toy::graphs()), &options);
}

inline ingot_tensor tensor(const char *name, std::vector<int64_t> shape, std::vector<float> &data) {
  ingot_tensor t = {};
  t.name = name;
  t.type = INGOT_F32;
  t.rank = shape.size();
  std::copy(shape.begin(), shape.end(), t.shape);
  t.data = data.data();
  t.bytes = data.size() * 4;
  return t;
}

inline ingot_status statusOf(ingot_error *error, std::string *message = nullptr) {
  ingot_status status = ingot_error_status(error);
  if (message)
    *message = ingot_error_message(error);
  ingot_error_destroy(error);
  return status;
}

/// All logits of one sequence, with options.
inline std::vector<float> allLogits(const Model &model, const std::vector<int32_t> &ids,
                                    uint64_t chunk = 0, uint32_t threads = 0) {
  Session session(model);
  std::vector<float> logits(ids.size() * V);
  ingot_step_sequence sequence = {session.get(),    ids.data(),    ids.size(),
                                  INGOT_LOGITS_ALL, logits.data(), logits.size()};
  ingot_run_options run;
  ingot_run_options_init(&run);
  run.prefill_chunk = chunk;
  run.threads = threads;
  check(ingot_step(model.get(), &sequence, 1, nullptr, nullptr, &run));
  return logits;
}

constexpr uint64_t kPage = 64 * 2 * 8 * 4;

} // namespace toy

#endif // INGOT_TEST_STEPS_H
