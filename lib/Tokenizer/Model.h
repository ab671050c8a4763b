//===- Model.h - Words to ids ------------------------------------*- C++ -*-===//

#ifndef INGOT_LIB_TOKENIZER_MODEL_H
#define INGOT_LIB_TOKENIZER_MODEL_H

#include "Blob.h"

#include <memory>

namespace ingot::tokenizer {

/// What every model needs, read from a verified blob.
struct Vocabulary {
  explicit Vocabulary(const fb::Tokenizer &blob);

  TokenKind kindOf(uint32_t id) const {
    return isHidden(id) ? TokenKind::Normal : TokenKind(flags[id] & 15);
  }
  /// True for pieces that stand for the unknown token.
  bool isHidden(uint32_t id) const { return id >= size; }

  /// The id of a token in the model's spelling, -1 if there is none.
  int32_t find(std::string_view text) const { return int32_t(trie.find(text)); }

  /// The token that SentencePiece gives to `text`: the unknown one unless it is meant for text.
  int32_t findForText(std::string_view text) const {
    int32_t id = find(text);
    bool usable = id >= 0 && (kindOf(uint32_t(id)) == TokenKind::Normal ||
                              kindOf(uint32_t(id)) == TokenKind::UserDefined);
    return usable ? id : unknownId;
  }

  /// Appends the ids of the byte tokens of `text`; false, and nothing appended, if one is missing.
  bool appendBytes(std::string_view text, std::vector<int32_t> &ids) const;

  const fb::Tokenizer &blob;
  Trie trie;
  const uint8_t *flags;
  size_t size, hidden; ///< hidden pieces follow the ids
  bool hasUnknown, byteFallback;
  int32_t unknownId;
  int32_t byteIds[256]; ///< of the tokens <0x00> to <0xFF>, -1 for those that are missing
};

class Model {
public:
  virtual ~Model() = default;

  /// Appends the ids of `word`, which is not empty.
  virtual MaybeError encode(std::string_view word, std::vector<int32_t> &ids) const = 0;

  /// The model of a verified blob, which must outlive it.
  static std::unique_ptr<Model> create(const fb::Tokenizer &blob);
};

/// Words longer than this are refused: positions in them are 32 bits wide, and the models need
/// about 30 bytes for each.
inline constexpr size_t maxWordBytes = size_t(1) << 28;

/// Writes ids as SentencePiece's processor does: unknown text as bytes, or else a run of it as one
/// unknown token.
struct SentencePieceEmitter {
  const Vocabulary &vocabulary;
  std::vector<int32_t> &ids;
  bool afterUnknown = false;

  MaybeError emit(std::string_view text, int32_t id);
};

std::unique_ptr<Model> createMergeModel(const fb::Tokenizer &blob);
std::unique_ptr<Model> createSentencePieceBPE(const fb::Tokenizer &blob);
std::unique_ptr<Model> createUnigram(const fb::Tokenizer &blob);
std::unique_ptr<Model> createSentencePieceUnigram(const fb::Tokenizer &blob);

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_MODEL_H
