//===- TestSupport.h - Small tokenizers for tests ----------------*- C++ -*-===//

#ifndef INGOT_TEST_UNIT_TOKENIZER_TESTSUPPORT_H
#define INGOT_TEST_UNIT_TOKENIZER_TESTSUPPORT_H

#include "ingot/Tokenizer/Import.h"
#include "ingot/Tokenizer/Tokenizer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace ingot::tokenizer {

using nlohmann::json;
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

} // namespace ingot::tokenizer

#endif // INGOT_TEST_UNIT_TOKENIZER_TESTSUPPORT_H
