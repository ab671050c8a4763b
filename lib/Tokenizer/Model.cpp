//===- Model.cpp - The simple models, and what all models share -------------===//

#include "Model.h"
#include "Unicode.h"

#include <cstdio>

namespace ingot::tokenizer {

Vocabulary::Vocabulary(const fb::Tokenizer &blob)
    : blob(blob), trie(trieOf(blob.trie())), flags(blob.token_flags()->data()),
      size(blob.token_flags()->size()), hidden(blob.hidden()), hasUnknown(blob.has_unknown()),
      byteFallback(blob.byte_fallback()), unknownId(blob.unknown_id()) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    byteIds[byte] = find(name);
  }
}

bool Vocabulary::appendBytes(std::string_view text, std::vector<int32_t> &ids) const {
  for (char byte : text)
    if (byteIds[uint8_t(byte)] < 0)
      return false;
  for (char byte : text)
    ids.push_back(byteIds[uint8_t(byte)]);
  return true;
}

MaybeError SentencePieceEmitter::emit(std::string_view text, int32_t id) {
  if (id < 0)
    return Error{"a character has no token, and there is no unknown token"};
  if (vocabulary.isHidden(uint32_t(id))) {
    ids.push_back(vocabulary.unknownId);
    afterUnknown = false;
    return {};
  }
  bool unknown = id == vocabulary.unknownId;
  if (unknown && vocabulary.byteFallback) {
    if (!vocabulary.appendBytes(text, ids))
      return Error{"a byte has no token"};
  } else if (!unknown || !afterUnknown) {
    ids.push_back(id);
  }
  afterUnknown = unknown;
  return {};
}

namespace {

class WordPieceModel : public Model {
public:
  explicit WordPieceModel(const fb::Tokenizer &blob)
      : vocabulary(blob), maxChars(blob.max_chars_per_word()) {
    hasContinuations = vocabulary.trie.walk(continuation, viewOf(blob.continuing_prefix()));
  }

  MaybeError encode(std::string_view word, std::vector<int32_t> &ids) const override {
    size_t first = ids.size();
    if (!tooLong(word)) {
      size_t begin = 0;
      while (begin < word.size()) {
        // The longest token; those behind the first carry the prefix.
        uint32_t node = begin ? continuation : Trie::root;
        size_t end = begin;
        int64_t id = Trie::none;
        if (begin == 0 || hasContinuations)
          for (size_t i = begin; i < word.size() && vocabulary.trie.step(node, word[i]); ++i)
            if (int64_t value = vocabulary.trie.value(node); value != Trie::none) {
              id = value;
              end = i + 1;
            }
        if (id == Trie::none)
          break;
        ids.push_back(int32_t(id));
        begin = end;
      }
      if (begin == word.size())
        return {};
      ids.resize(first);
    }
    if (vocabulary.unknownId < 0)
      return Error{"a word has no tokens, and the unknown token is not in the vocabulary"};
    ids.push_back(vocabulary.unknownId);
    return {};
  }

private:
  bool tooLong(std::string_view word) const {
    uint64_t characters = 0;
    for (size_t i = 0; i < word.size() && characters <= maxChars; ++characters)
      i += unicode::characterAt(word, i).length;
    return characters > maxChars;
  }

  Vocabulary vocabulary;
  uint64_t maxChars;
  uint32_t continuation = Trie::root; // where the prefix leads
  bool hasContinuations;
};

class WordLevelModel : public Model {
public:
  explicit WordLevelModel(const fb::Tokenizer &blob) : vocabulary(blob) {}

  MaybeError encode(std::string_view word, std::vector<int32_t> &ids) const override {
    int32_t id = vocabulary.find(word);
    if (id < 0)
      id = vocabulary.unknownId;
    if (id < 0)
      return Error{"a word has no token, and the unknown token is not in the vocabulary"};
    ids.push_back(id);
    return {};
  }

private:
  Vocabulary vocabulary;
};

/// SentencePiece's models without subwords: a token is a character, or what lies between spaces.
class SentencePiecePlain : public Model {
public:
  SentencePiecePlain(const fb::Tokenizer &blob, bool characters)
      : vocabulary(blob), userDefined(trieOf(blob.user_defined_trie())), characters(characters) {}

  MaybeError encode(std::string_view word, std::vector<int32_t> &ids) const override {
    SentencePieceEmitter emitter{vocabulary, ids};
    for (size_t begin = 0; begin < word.size();) {
      size_t end = begin;
      if (characters) {
        size_t symbol = userDefined.longestPrefix(word.substr(begin)).first;
        end += symbol ? symbol : unicode::characterAt(word, begin).length;
      } else {
        do
          end += unicode::characterAt(word, end).length;
        while (end < word.size() && unicode::characterAt(word, end).codepoint != 0x2581);
      }
      std::string_view text = word.substr(begin, end - begin);
      if (MaybeError error = emitter.emit(text, vocabulary.findForText(text)))
        return error;
      begin = end;
    }
    return {};
  }

private:
  Vocabulary vocabulary;
  Trie userDefined;
  bool characters;
};

} // namespace

std::unique_ptr<Model> Model::create(const fb::Tokenizer &blob) {
  switch (blob.model()) {
  case fb::ModelKind::BPE:
    return createMergeModel(blob);
  case fb::ModelKind::WordPiece:
    return std::make_unique<WordPieceModel>(blob);
  case fb::ModelKind::WordLevel:
    return std::make_unique<WordLevelModel>(blob);
  case fb::ModelKind::Unigram:
    return createUnigram(blob);
  case fb::ModelKind::SentencePieceBPE:
    return createSentencePieceBPE(blob);
  case fb::ModelKind::SentencePieceUnigram:
    return createSentencePieceUnigram(blob);
  case fb::ModelKind::SentencePieceWord:
    return std::make_unique<SentencePiecePlain>(blob, false);
  case fb::ModelKind::SentencePieceChar:
    return std::make_unique<SentencePiecePlain>(blob, true);
  }
  return nullptr;
}

} // namespace ingot::tokenizer
