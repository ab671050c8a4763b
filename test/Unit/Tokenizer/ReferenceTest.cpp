//===- ReferenceTest.cpp - Encodings recorded from the originals ------------===//
//
// Runs over reference data outside the repository (INGOT_SHARED, or `shared` beside the checkout);
// each test says so when it is not there.
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

using namespace ingot::tokenizer;
namespace fs = std::filesystem;

namespace {

fs::path shared() {
  if (const char *path = std::getenv("INGOT_SHARED"))
    return path;
  return fs::path(INGOT_SOURCE_DIR) / ".." / "shared";
}

#define NEEDS_SHARED(path)                                                                         \
  if (!fs::exists(path))                                                                           \
  GTEST_SKIP() << "skipped: " << path << " is not there (set INGOT_SHARED)"

json readJson(const fs::path &path) {
  std::ifstream file(path);
  return json::parse(file);
}

Tokenizer open(const fs::path &path) {
  Result<TokenizerSpec> spec = importPath(path.string());
  if (!spec)
    throw std::runtime_error(spec.error());
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
  if (!tokenizer)
    throw std::runtime_error(tokenizer.error());
  return std::move(*tokenizer);
}

std::string streamed(const Tokenizer &tokenizer, const Ids &ids) {
  StreamDecoder stream(tokenizer, false);
  std::string text;
  for (int32_t id : ids)
    text += stream.push(id);
  return text + stream.finish();
}

TEST(Reference, Constructions) {
  fs::path root = shared() / "tokenizers" / "constructions";
  NEEDS_SHARED(root);
  unsigned count = 0;
  for (const fs::directory_entry &entry : fs::directory_iterator(root)) {
    SCOPED_TRACE(entry.path().filename().string());
    fs::path file = entry.path() / "tokenizer.json";
    Tokenizer tokenizer = open(fs::exists(file) ? file : entry.path() / "tokenizer.model");
    for (const json &each : readJson(entry.path() / "reference.json")) {
      std::string text = each["text"];
      Ids plain = each["plain"];
      EXPECT_EQ(encode(tokenizer, text), plain) << text;
      if (each.contains("ids"))
        EXPECT_EQ(encode(tokenizer, text, true), each["ids"].get<Ids>()) << text;
      EXPECT_EQ(tokenizer.decode(plain, false), each["decoded"].get<std::string>());
      EXPECT_EQ(streamed(tokenizer, plain), each["decoded"].get<std::string>());
    }
    ++count;
  }
  EXPECT_GE(count, 24u);
}

TEST(Reference, Gpt2) {
  fs::path root = shared() / "tokenizers";
  NEEDS_SHARED(root / "gpt2" / "vocab.json");
  Tokenizer tokenizer = open(root / "gpt2");
  json cases = readJson(root / "reference" / "gpt2.cases.json");
  unsigned count = 0;
  for (const char *name : {"Xenova/gpt2", "openai-community/gpt2"})
    for (const json &each : cases[name]) {
      EXPECT_EQ(encode(tokenizer, each["text"].get<std::string>()), each["ids"].get<Ids>())
          << each["text"];
      ++count;
    }
  EXPECT_GT(count, 40u);

  // Texts separated by a line, ids one line for each.
  std::ifstream texts(root / "reference" / "gpt2.texts"), ids(root / "reference" / "gpt2.ids");
  std::string all{std::istreambuf_iterator<char>(texts), {}}, line;
  const std::string separator = "\n__ggml_vocab_test__\n";
  size_t begin = 0, number = 0;
  while (begin < all.size()) {
    size_t end = all.find(separator, begin);
    if (end == std::string::npos)
      break;
    ASSERT_TRUE(std::getline(ids, line));
    std::istringstream words(line);
    Ids expected{std::istream_iterator<int32_t>(words), {}};
    EXPECT_EQ(encode(tokenizer, all.substr(begin, end - begin)), expected)
        << all.substr(begin, end - begin);
    begin = end + separator.size();
    ++number;
  }
  EXPECT_GT(number, 40u);
}

TEST(Reference, SentencePiece) {
  fs::path root = shared() / "tokenizers";
  NEEDS_SHARED(root / "reference" / "sentencepiece_reference.json");
  unsigned count = 0;
  json models = readJson(root / "reference" / "sentencepiece_reference.json");
  for (auto &[name, value] : models.items()) {
    if (!fs::exists(root / name))
      continue;
    Tokenizer tokenizer = open(root / name);
    EXPECT_EQ(tokenizer.vocabSize(), value["vocab_size"].get<size_t>());
    for (const json &each : value["cases"])
      EXPECT_EQ(encode(tokenizer, each["text"].get<std::string>()), each["ids"].get<Ids>())
          << name << " " << each["text"];
    ++count;
  }
  EXPECT_GE(count, 1u);
}

TEST(Reference, Llama2c) {
  fs::path root = shared() / "models" / "stories260K";
  NEEDS_SHARED(root / "tok512.bin");
  Tokenizer tokenizer = open(root / "tok512.bin");
  for (const json &each : readJson(root / "ref" / "tok512_reference.json"))
    EXPECT_EQ(encode(tokenizer, each["text"].get<std::string>(), true), each["ids"].get<Ids>())
        << each["text"];
}

TEST(Reference, SmolLM2) {
  // The directory is made from a download (see models/smollm2-135m); INGOT_SMOLLM2 names it.
  fs::path reference = shared() / "models" / "smollm2-135m" / "tokenizer_reference.json";
  NEEDS_SHARED(reference);
  const char *directory = std::getenv("INGOT_SMOLLM2");
  if (!directory)
    GTEST_SKIP() << "skipped: set INGOT_SMOLLM2 to the SmolLM2-135M-Instruct directory";
  Tokenizer tokenizer = open(directory);
  for (const json &each : readJson(reference))
    EXPECT_EQ(encode(tokenizer, each["text"].get<std::string>()), each["ids"].get<Ids>())
        << each["text"];
}

} // namespace
