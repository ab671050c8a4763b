//===- TestSupport.h - Small tokenizers for tests ----------------*- C++ -*-===//

#ifndef INGOT_TEST_UNIT_TOKENIZER_TESTSUPPORT_H
#define INGOT_TEST_UNIT_TOKENIZER_TESTSUPPORT_H

#include "ingot/Tokenizer/Import.h"
#include "ingot/Tokenizer/Tokenizer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace ingot::tokenizer {

using nlohmann::json;
namespace fs = std::filesystem;
using Ids = std::vector<int32_t>;

/// The skeleton of a tokenizer.json around a model; tests replace what they are about.
inline json document(json model) {
  return {{"version", "1.0"},          {"truncation", nullptr},
          {"padding", nullptr},        {"added_tokens", json::array()},
          {"normalizer", nullptr},     {"pre_tokenizer", nullptr},
          {"post_processor", nullptr}, {"decoder", nullptr},
          {"model", std::move(model)}};
}

using Merges = std::vector<std::pair<std::string, std::string>>;

inline json bpe(json vocab, const Merges &merges = {}) {
  json list = json::array();
  for (auto &[left, right] : merges)
    list.push_back(json::array({left, right}));
  return {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(list)}};
}

inline json addedToken(const std::string &text) {
  return {{"id", 0},         {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

inline Tokenizer load(const json &document) {
  Result<TokenizerSpec> spec = importTokenizerJson(document.dump());
  if (!spec)
    throw std::runtime_error(spec.error());
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
  if (!tokenizer)
    throw std::runtime_error(tokenizer.error());
  return std::move(*tokenizer);
}

/// The message with which a document is refused, by the importer or when it is opened.
inline std::string refusal(const std::string &document) {
  Result<TokenizerSpec> spec = importTokenizerJson(document);
  if (!spec)
    return spec.error();
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
  return tokenizer ? "accepted" : tokenizer.error();
}
inline std::string refusal(const json &document) { return refusal(document.dump()); }

inline Ids encode(const Tokenizer &tokenizer, std::string_view text, bool addSpecial = false) {
  Result<Ids> ids = tokenizer.encode(text, addSpecial);
  if (!ids) {
    ADD_FAILURE() << ids.error();
    return {};
  }
  return std::move(*ids);
}

/// The ids' tokens as the vocabulary spells them.
inline std::vector<std::string> pieces(const Tokenizer &tokenizer, std::string_view text,
                                       bool addSpecial = false) {
  std::vector<std::string> out;
  for (int32_t id : encode(tokenizer, text, addSpecial))
    out.emplace_back(tokenizer.tokenBytes(id));
  return out;
}

/// Whether `bytes` is UTF-8 without a character cut in two; written apart from the library's own.
inline bool isWholeUtf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    uint8_t first = uint8_t(bytes[i]);
    size_t length = first < 0x80       ? 1
                    : first >> 5 == 6  ? 2
                    : first >> 4 == 14 ? 3
                    : first >> 3 == 30 ? 4
                                       : 0;
    if (length == 0 || i + length > bytes.size())
      return false;
    for (size_t k = 1; k < length; ++k)
      if ((uint8_t(bytes[i + k]) & 0xC0) != 0x80)
        return false;
    i += length;
  }
  return true;
}

//===----------------------------------------------------------------------===//
// SentencePiece models, spelled as protocol buffers
//===----------------------------------------------------------------------===//

inline void appendVarint(std::string &out, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    out += char(value | 0x80);
  out += char(value);
}
inline void appendInteger(std::string &out, unsigned field, uint64_t value) {
  appendVarint(out, field << 3);
  appendVarint(out, value);
}
inline void appendBytes(std::string &out, unsigned field, const std::string &bytes) {
  appendVarint(out, field << 3 | 2);
  appendVarint(out, bytes.size());
  out += bytes;
}
inline std::string piece(const std::string &text, float score, unsigned type) {
  std::string out, message;
  appendBytes(message, 1, text);
  appendVarint(message, 2 << 3 | 5);
  message.append(reinterpret_cast<const char *>(&score), 4);
  appendInteger(message, 3, type);
  appendBytes(out, 1, message);
  return out;
}
/// Types: 1 unigram, 2 BPE.
inline std::string trainer(unsigned type, bool byteFallback = false) {
  std::string out, message;
  appendInteger(message, 3, type);
  appendInteger(message, 35, byteFallback);
  appendBytes(out, 2, message);
  return out;
}
inline std::string normalizer(bool dummyPrefix, bool removeExtra) {
  std::string out, message;
  appendInteger(message, 3, dummyPrefix);
  appendInteger(message, 4, removeExtra);
  appendBytes(out, 3, message);
  return out;
}

inline std::string smallModel() {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("\u2581", -1, 1) +
         piece("a", -2, 1) + piece("\u2581a", -0.5f, 1) + piece("<x>", 0, 4) + trainer(2) +
         normalizer(true, false);
}

//===----------------------------------------------------------------------===//
// Directories
//===----------------------------------------------------------------------===//

class Directory : public testing::Test {
protected:
  void SetUp() override {
    path =
        fs::temp_directory_path() / ("ingot-tokenizer-" + std::to_string(getpid()) + "-" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(path);
    fs::create_directories(path);
  }
  void TearDown() override { fs::remove_all(path); }

  void write(const std::string &name, const std::string &text) {
    std::ofstream(path / name, std::ios::binary) << text;
  }
  void writeJson(const std::string &name, const json &value) { write(name, value.dump()); }

  Tokenizer open(const std::string &name = "") {
    Result<TokenizerSpec> spec = importPath((path / name).string());
    if (!spec)
      throw std::runtime_error(spec.error());
    Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
    if (!tokenizer)
      throw std::runtime_error(tokenizer.error());
    return std::move(*tokenizer);
  }
  std::string error(const std::string &name = "") {
    Result<TokenizerSpec> spec = importPath((path / name).string());
    return spec ? "accepted" : spec.error();
  }

  fs::path path;
};

} // namespace ingot::tokenizer

#endif // INGOT_TEST_UNIT_TOKENIZER_TESTSUPPORT_H
