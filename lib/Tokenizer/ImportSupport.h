//===- ImportSupport.h - What the importers share ----------------*- C++ -*-===//
//
// Inside the importers an ImportError is thrown from wherever something is wrong, and turned into a
// Result at the public functions.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_LIB_TOKENIZER_IMPORTSUPPORT_H
#define INGOT_LIB_TOKENIZER_IMPORTSUPPORT_H

#include "ingot/Tokenizer/Import.h"

#include <nlohmann/json.hpp>

#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>

namespace ingot::tokenizer {

using nlohmann::json;

struct ImportError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Runs `read`, turning what it throws into an error.
template <typename Read> auto guarded(Read read) -> Result<decltype(read())> {
  try {
    return read();
  } catch (const ImportError &error) {
    return Error{error.what()};
  } catch (const std::bad_alloc &) {
    return Error{"out of memory"};
  } catch (const std::exception &error) {
    return Error{std::string("internal error: ") + error.what()};
  }
}

/// A value of a JSON document and where it is ("model.vocab"), for messages.
class Field {
public:
  Field(const json &value, std::string where) : value(&value), path(std::move(where)) {}

  const json &raw() const { return *value; }
  const std::string &where() const { return path; }
  bool isNull() const { return value->is_null(); }

  /// A member; a missing one reads as null.
  Field operator[](const char *key) const {
    static const json null;
    if (!value->is_object())
      mismatch("an object");
    auto it = value->find(key);
    std::string where = path.empty() ? key : path + "." + key;
    return Field(it == value->end() ? null : *it, std::move(where));
  }
  Field at(size_t index) const {
    return Field((*value)[index], path + "[" + std::to_string(index) + "]");
  }
  size_t arraySize() const {
    if (!value->is_array())
      mismatch("an array");
    return value->size();
  }

  const std::string &string() const {
    if (!value->is_string())
      mismatch("a string");
    return value->get_ref<const std::string &>();
  }
  bool boolean() const {
    if (!value->is_boolean())
      mismatch("a boolean");
    return value->get<bool>();
  }
  bool boolean(bool fallback) const { return isNull() ? fallback : boolean(); }
  double number() const {
    if (!value->is_number())
      mismatch("a number");
    return value->get<double>();
  }
  uint64_t unsignedInteger() const {
    if (!value->is_number_unsigned())
      mismatch("a non-negative integer");
    return value->get<uint64_t>();
  }
  int32_t id() const {
    uint64_t id = unsignedInteger();
    if (id >= maxVocabulary)
      fail("expected an id below " + std::to_string(maxVocabulary) + ", got " + std::to_string(id));
    return int32_t(id);
  }

  [[noreturn]] void mismatch(const std::string &expected) const {
    fail("expected " + expected + ", got " +
         (value->is_string() ? "'" + value->get<std::string>() + "'" : value->type_name()));
  }
  [[noreturn]] void fail(const std::string &what) const {
    throw ImportError(path.empty() ? what : what + " (at " + path + ")");
  }

private:
  const json *value;
  std::string path;
};

/// The bytes that base64 stands for, with or without padding; nothing if it is not that.
std::optional<std::string> decodeBase64(std::string_view text);

/// Throws an ImportError if `text` is not JSON.
json parseJson(std::string_view text);

/// Finds tokens of a model by their text, as the reference's hash map from text to id does.
class TokenIndex {
public:
  explicit TokenIndex(const std::vector<Token> &tokens) {
    for (size_t id = 0; id < tokens.size(); ++id)
      if (tokens[id].kind != TokenKind::Absent)
        ids[tokens[id].text] = int32_t(id);
  }
  std::optional<int32_t> find(std::string_view text) const {
    auto it = ids.find(text);
    return it == ids.end() ? std::nullopt : std::optional<int32_t>(it->second);
  }
  size_t size() const { return ids.size(); }

private:
  std::unordered_map<std::string_view, int32_t> ids;
};

/// Splits "left right"; throws an ImportError about line `number`.
std::pair<std::string, std::string> splitMerge(std::string_view line, size_t number);

/// Appends the merges of `pairs` to `model`, whose tokens are complete.
void addMerges(ModelSpec &model, const std::vector<std::pair<std::string, std::string>> &pairs);

/// Adds tokens to the description as the reference does: a text that is in the vocabulary keeps its
/// id there, another one gets the next free id whatever the file says.
class AddedTokenList {
public:
  explicit AddedTokenList(TokenizerSpec &spec);
  void add(AddedToken token);
  /// Takes the id that the token comes with, unless its text has one already.
  void addWithId(AddedToken token);
  /// Leaves a token that is in the list as it is; one that is nowhere is not added.
  void addIfMissing(AddedToken token);
  std::optional<int32_t> find(std::string_view text) const;

private:
  TokenizerSpec &spec;
  TokenIndex vocabulary;
  std::unordered_map<std::string, size_t> positions; // in spec.addedTokens
  size_t nextId;
};

/// One added token, from an object with its fields.
AddedToken readAddedToken(const Field &field);

/// SentencePiece's precompiled_charsmap.
Charsmap parseCharsmap(std::string_view bytes);

/// <s> and </s> around a text, and around each of a pair; -1: nothing there.
void surround(TokenizerSpec &spec, int32_t before, int32_t after);

/// BERT's [CLS] A [SEP] B [SEP], the second text with its [SEP] of type 1; or `doubled`, RoBERTa's
/// <s> A </s></s> B </s>, all of one type.
void separate(TokenizerSpec &spec, int32_t first, int32_t separator, bool doubled);

/// What a tokenizer made with SentencePiece does around its model.
void addSentencePieceDecoder(TokenizerSpec &spec, const NormalizerStep &normalizer,
                             std::string unknownSurface);

TokenizerSpec readTokenizerJson(std::string_view text);
TokenizerSpec readSentencePiece(std::string_view bytes);

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_IMPORTSUPPORT_H
