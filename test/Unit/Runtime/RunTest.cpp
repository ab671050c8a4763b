//===- RunTest.cpp - entry points, targets --------------------------------------------------===//
#include "Steps.h"

#include <limits>

using namespace toy;

namespace {

TEST(Run, AddsArrays) {
  Model model = loadGraphs(3);
  for (int64_t rows : {0, 1, 5, 1000}) {
    std::vector<float> a(static_cast<size_t>(rows) * 4), b(a.size());
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] = static_cast<float>(i) * 0.5f;
      b[i] = 3.0f - static_cast<float>(i);
    }
    ingot_tensor inputs[] = {tensor("b", {rows, 4}, b), tensor("a", {rows, 4}, a)};
    ingot_tensor output = {};
    output.name = "c";
    check(ingot_run(model.get(), model.findProgram("add"), inputs, 2, &output, 1, nullptr));
    ASSERT_EQ(output.type, INGOT_F32);
    ASSERT_EQ(output.rank, 2u);
    EXPECT_EQ(output.shape[0], rows);
    EXPECT_EQ(output.shape[1], 4);
    ASSERT_EQ(output.bytes, a.size() * 4);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(static_cast<float *>(output.data)[i], a[i] + b[i]);
    ingot_tensor_release(&output);
    EXPECT_EQ(output.data, nullptr);
  }
}

TEST(Run, WritesToMemoryOfTheCaller) {
  Model model = loadGraphs();
  std::vector<float> a(40, 1.5f), b(40, 2.0f), c(41, -1.0f);
  for (size_t offset : {0, 1}) { // at least one of them is not aligned to 64 bytes
    ingot_tensor inputs[] = {tensor("a", {10, 4}, a), tensor("b", {10, 4}, b)};
    ingot_tensor output = {};
    output.name = "c";
    output.data = c.data() + offset;
    output.bytes = 160;
    check(ingot_run(model.get(), model.findProgram("add"), inputs, 2, &output, 1, nullptr));
    EXPECT_EQ(c[offset], 3.5f);
    EXPECT_EQ(c[offset + 39], 3.5f);
    output.bytes = 159;
    EXPECT_EQ(
        statusOf(ingot_run(model.get(), model.findProgram("add"), inputs, 2, &output, 1, nullptr)),
        INGOT_INVALID_ARGUMENT);
  }
}

TEST(Run, RefusesWhatDoesNotFit) {
  Model model = loadGraphs();
  size_t add = model.findProgram("add");
  std::vector<float> a(40), b(36);
  std::string message;
  ingot_tensor inputs[] = {tensor("a", {10, 4}, a), tensor("b", {9, 4}, b)};
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr), &message),
            INGOT_INVALID_ARGUMENT);
  EXPECT_NE(message.find("10 and 9"), std::string::npos) << message;
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 1, nullptr, 0, nullptr), &message),
            INGOT_INVALID_ARGUMENT);
  EXPECT_NE(message.find("input b is missing"), std::string::npos) << message;
  inputs[1] = inputs[0];
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr)),
            INGOT_INVALID_ARGUMENT);
  inputs[1].name = "z";
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr)), INGOT_NOT_FOUND);
  inputs[1].name = "b";
  inputs[1].shape[1] = 5;
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr), &message),
            INGOT_INVALID_ARGUMENT);
  EXPECT_NE(message.find("expected shape [?, 4], got [10, 5]"), std::string::npos) << message;
  inputs[1].shape[1] = 4;
  inputs[1].type = INGOT_F16;
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr), &message),
            INGOT_INVALID_ARGUMENT);
  EXPECT_NE(message.find("expected elements of type f32, got f16"), std::string::npos) << message;
  inputs[1].type = INGOT_F32;
  inputs[1].bytes = 3;
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr)),
            INGOT_INVALID_ARGUMENT);
  ingot_tensor output = {};
  output.name = "nothing";
  inputs[1] = tensor("b", {10, 4}, a);
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, &output, 1, nullptr)), INGOT_NOT_FOUND);
  EXPECT_EQ(statusOf(ingot_run(model.get(), 99, inputs, 2, nullptr, 0, nullptr)), INGOT_NOT_FOUND);
}

TEST(Run, UniformBatchesWithATransientCache) {
  for (uint32_t threads : {1u, 3u}) {
    Model model = loadGraphs(threads);
    const int64_t B = 3, S = 7, T = 70; // two pages per sequence
    std::vector<float> q(B * S * 8), k(B * T * 8), v(B * T * 8);
    uint32_t state = 5;
    for (auto *data : {&q, &k, &v})
      for (float &x : *data) {
        state = state * 1664525 + 1013904223;
        x = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
      }
    ingot_tensor inputs[] = {tensor("q", {B, S, 8}, q), tensor("k", {B, T, 8}, k),
                             tensor("v", {B, T, 8}, v)};
    ingot_tensor output = {};
    output.name = "o";
    check(ingot_run(model.get(), model.findProgram("attention"), inputs, 3, &output, 1, nullptr));
    ASSERT_EQ(output.bytes, q.size() * 4);
    for (int64_t b = 0; b < B; ++b)
      for (int64_t s = 0; s < S; ++s) {
        double total = 0, o[8] = {};
        for (int64_t t = 0; t < T; ++t) {
          double dot = 0;
          for (int64_t i = 0; i < 8; ++i)
            dot += static_cast<double>(q[static_cast<size_t>((b * S + s) * 8 + i)]) *
                   static_cast<double>(k[static_cast<size_t>((b * T + t) * 8 + i)]);
          double w = dot * dot + 0.0625;
          total += w;
          for (int64_t i = 0; i < 8; ++i)
            o[i] +=
                w * (0.5 * static_cast<double>(v[static_cast<size_t>((b * T + t) * 8 + i)]) + 0.25);
        }
        for (int64_t i = 0; i < 8; ++i)
          ASSERT_NEAR(static_cast<double>(static_cast<float *>(output.data)[(b * S + s) * 8 + i]),
                      o[i] / total, 1e-5);
      }
    ingot_tensor_release(&output);
  }
}

TEST(Run, FlushesDenormalsOnEveryThreadAndRestoresTheCaller) {
  Model model = loadGraphs(4);
  std::vector<float> in(64, std::numeric_limits<float>::denorm_min());
  ingot_tensor input = tensor("in", {64}, in);
  ingot_tensor output = {};
  output.name = "out";
  check(ingot_run(model.get(), model.findProgram("denormal"), &input, 1, &output, 1, nullptr));
  for (int i = 0; i < 64; ++i)
    EXPECT_EQ(static_cast<float *>(output.data)[i], 0.0f) << i;
  ingot_tensor_release(&output);
  volatile float tiny = std::numeric_limits<float>::denorm_min();
  volatile float kept = tiny * 1.0f;
  EXPECT_NE(kept, 0.0f) << "the caller's floating-point state was changed";
}

TEST(Target, RefusesMissingFeatures) {
  toy::LanguageModelOptions options;
  options.feature = "flux-capacitor";
  std::string path = toy::writeTemporary("feature.ingot", toy::languageModel(options));
  ingot_model *model = nullptr;
  std::string message;
  EXPECT_EQ(statusOf(ingot_model_load(path.c_str(), nullptr, &model), &message), INGOT_UNSUPPORTED);
  EXPECT_EQ(model, nullptr);
  EXPECT_NE(message.find("flux-capacitor"), std::string::npos) << message;
  ingot_model_options wanted = withThreads(1);
  wanted.target = "other";
  EXPECT_EQ(statusOf(ingot_model_load(path.c_str(), &wanted, &model), &message), INGOT_NOT_FOUND);
}

TEST(Target, IsNotNeededToInspect) {
  toy::LanguageModelOptions options;
  options.feature = "flux-capacitor";
  std::string path = toy::writeTemporary("feature.ingot", toy::languageModel(options));
  ingot_model_options look = withThreads(1);
  look.inspect_only = true;
  ingot_model *model = nullptr;
  ASSERT_EQ(statusOf(ingot_model_load(path.c_str(), &look, &model)), INGOT_OK);
  ingot_model_info info;
  ingot_model_info_init(&info);
  ASSERT_EQ(statusOf(ingot_model_get_info(model, &info)), INGOT_OK);
  EXPECT_EQ(info.chosen_target, SIZE_MAX);
  ingot_model_destroy(model);
  // Even code that this processor could run is not there.
  path = toy::writeTemporary("graphs.ingot", toy::graphs());
  ASSERT_EQ(statusOf(ingot_model_load(path.c_str(), &look, &model)), INGOT_OK);
  std::string message;
  EXPECT_EQ(statusOf(ingot_run(model, 0, nullptr, 0, nullptr, 0, nullptr), &message),
            INGOT_UNSUPPORTED);
  EXPECT_NE(message.find("opened to be inspected"), std::string::npos) << message;
  ingot_model_destroy(model);
}

#if defined(__x86_64__)
TEST(Target, KnowsThisProcessor) {
  // Features that the compiler of this test may use are those of the processor it runs on.
  for (auto [name, has] : {std::pair<const char *, int>{"avx2", __builtin_cpu_supports("avx2")},
                           {"fma", __builtin_cpu_supports("fma")},
                           {"avx512f", __builtin_cpu_supports("avx512f")},
                           {"avx512bf16", __builtin_cpu_supports("avx512bf16")},
                           {"avx512vnni", __builtin_cpu_supports("avx512vnni")},
                           {"sse4.2", __builtin_cpu_supports("sse4.2")},
                           {"bmi2", __builtin_cpu_supports("bmi2")}}) {
    toy::LanguageModelOptions options;
    options.feature = name;
    std::string path = toy::writeTemporary("this.ingot", toy::languageModel(options));
    ingot_model *model = nullptr;
    ingot_status status = statusOf(ingot_model_load(path.c_str(), nullptr, &model));
    EXPECT_EQ(status, has ? INGOT_OK : INGOT_UNSUPPORTED) << name;
    ingot_model_destroy(model);
  }
}
#endif

} // namespace
