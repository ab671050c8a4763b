//===- CorruptTest.cpp - artifacts that lie --------------------------------------------------===//
#include "Toy.h"
#include "ingot/runtime.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

using namespace ingot;

namespace {

struct Loaded {
  ingot_status status;
  std::string message;
  Model model;
};

Loaded tryLoad(const std::string &bytes) {
  std::string path = toy::writeTemporary("corrupt.ingot", bytes);
  ingot_model_options options;
  ingot_model_options_init(&options);
  options.threads = 2;
  ingot_model *model = nullptr;
  ingot_error *error = ingot_model_load(path.c_str(), &options, &model);
  Loaded result = {ingot_error_status(error), ingot_error_message(error), Model()};
  ingot_error_destroy(error);
  if (result.status == INGOT_OK)
    ingot_model_destroy(model);
  else
    EXPECT_EQ(model, nullptr);
  return result;
}

void expectClear(const Loaded &loaded) {
  EXPECT_NE(loaded.message.find("corrupt.ingot: "), std::string::npos) << loaded.message;
  EXPECT_EQ(loaded.message.find('\n'), std::string::npos) << loaded.message;
}

std::vector<std::string> samples() {
  toy::LanguageModelOptions restart;
  restart.pastContext = 2;
  restart.keep = 10;
  toy::LanguageModelOptions whole;
  whole.cached = false;
  return {toy::languageModel(), toy::languageModel(restart), toy::languageModel(whole),
          toy::graphs()};
}

TEST(Corrupt, SamplesLoad) {
  for (const std::string &bytes : samples())
    EXPECT_EQ(tryLoad(bytes).message, "");
}

TEST(Corrupt, EveryTruncationIsRefused) {
  std::mt19937 random(1);
  for (const std::string &bytes : samples())
    for (int i = 0; i < 60; ++i) {
      size_t length = i < 20 ? static_cast<size_t>(i * 8) : random() % bytes.size();
      Loaded loaded = tryLoad(bytes.substr(0, length));
      EXPECT_EQ(loaded.status, INGOT_CORRUPT) << length;
      expectClear(loaded);
    }
}

TEST(Corrupt, EveryChangedByteIsRefused) {
  std::mt19937 random(2);
  for (const std::string &bytes : samples())
    for (int i = 0; i < 150; ++i) {
      std::string changed = bytes;
      size_t at = i < 64 ? static_cast<size_t>(i) : random() % bytes.size();
      changed[at] = static_cast<char>(changed[at] ^ (1 << random() % 8));
      Loaded loaded = tryLoad(changed);
      EXPECT_EQ(loaded.status, INGOT_CORRUPT) << "byte " << at;
      expectClear(loaded);
    }
}

TEST(Corrupt, TrustSkipsTheWeightsOnly) {
  std::string bytes = toy::languageModel();
  std::vector<float> table = toy::table();
  size_t weights = bytes.find(std::string(reinterpret_cast<char *>(table.data()), 64));
  ASSERT_NE(weights, std::string::npos);
  ingot_model_options options;
  ingot_model_options_init(&options);
  options.trust = true;
  std::string changed = bytes;
  changed[weights + 5] ^= 1;
  EXPECT_EQ(tryLoad(changed).status, INGOT_CORRUPT);
  EXPECT_NO_THROW(Model(toy::writeTemporary("trust.ingot", changed), &options));
  changed = bytes;
  changed[weights - 4096] ^= 1; // code
  EXPECT_THROW(Model(toy::writeTemporary("trust.ingot", changed), &options), Error);
}

/// With the hashes made right again everything is up to the verifiers. What they let through may be
/// run by nobody (the code could be entered anywhere), but loading it must be safe.
TEST(Corrupt, LyingHeadsWithRightHashes) {
  std::mt19937_64 random(3);
  size_t refused = 0, tries = 0;
  for (const std::string &bytes : samples()) {
    uint64_t headLength;
    memcpy(&headLength, &bytes[24], 8);
    for (int i = 0; i < 700; ++i, ++tries) {
      std::string changed = bytes;
      for (int n = 1 + static_cast<int>(random() % 3); n > 0; --n) {
        size_t at = 64 + random() % headLength;
        switch (random() % 4) {
        case 0:
          changed[at] = static_cast<char>(changed[at] ^ (1 << random() % 8));
          break;
        case 1:
          changed[at] = static_cast<char>(random());
          break;
        default: {
          static const uint64_t values[] = {~uint64_t(0),      0,          INT64_MAX,
                                            uint64_t(1) << 63, UINT32_MAX, INT32_MAX,
                                            uint64_t(1) << 40};
          uint64_t value = values[random() % 7];
          size_t width = random() % 2 ? 4 : 8;
          at = at / width * width;
          memcpy(&changed[at], &value, std::min(width, changed.size() - at));
        }
        }
      }
      toy::rehash(changed);
      Loaded loaded = tryLoad(changed);
      if (loaded.status == INGOT_OK)
        continue;
      ++refused;
      expectClear(loaded);
    }
    // Preambles that lie about the head.
    for (int i = 0; i < 100; ++i) {
      std::string changed = bytes;
      uint64_t value = i % 2 ? random() : uint64_t(1) << random() % 64;
      memcpy(&changed[8 + random() % 6 * 8], &value, 8);
      if (changed == bytes)
        continue;
      toy::rehash(changed);
      Loaded loaded = tryLoad(changed);
      if (loaded.status != INGOT_OK)
        expectClear(loaded);
    }
  }
  EXPECT_GT(refused, tries / 4);
}

TEST(Corrupt, OtherFilesAreNoArtifacts) {
  EXPECT_EQ(tryLoad("").status, INGOT_CORRUPT);
  EXPECT_EQ(tryLoad("hello").status, INGOT_CORRUPT);
  EXPECT_EQ(tryLoad(std::string(100000, '\0')).status, INGOT_CORRUPT);
  EXPECT_NE(tryLoad(std::string(100000, 'x')).message.find("not an ingot artifact"),
            std::string::npos);
  ingot_model *model = nullptr;
  ingot_error *error = ingot_model_load("/nonexistent/x.ingot", nullptr, &model);
  EXPECT_EQ(ingot_error_status(error), INGOT_NOT_FOUND);
  ingot_error_destroy(error);
  error = ingot_model_load("/", nullptr, &model);
  EXPECT_EQ(ingot_error_status(error), INGOT_IO);
  ingot_error_destroy(error);
}

TEST(Corrupt, OtherVersionsAreNamed) {
  std::string bytes = toy::languageModel();
  bytes[8] = 9;
  toy::rehash(bytes);
  Loaded loaded = tryLoad(bytes);
  EXPECT_EQ(loaded.status, INGOT_UNSUPPORTED);
  EXPECT_NE(loaded.message.find("format version 9"), std::string::npos) << loaded.message;
  bytes = toy::languageModel();
  bytes[12] = 9;
  toy::rehash(bytes);
  EXPECT_EQ(tryLoad(bytes).status, INGOT_UNSUPPORTED);
}

} // namespace
