//===- Normalizer.h - Normalising text ---------------------------*- C++ -*-===//

#ifndef INGOT_LIB_TOKENIZER_NORMALIZER_H
#define INGOT_LIB_TOKENIZER_NORMALIZER_H

#include "DoubleArray.h"
#include "Pattern.h"
#include "ingot/Tokenizer/TokenizerSpec.h"

#include <optional>

namespace ingot::tokenizer {

/// A Charsmap wherever it lies.
struct CharsmapView {
  DoubleArray trie;
  std::string_view strings;

  /// The string that value `offset` of the trie names; nothing if it lies outside.
  std::optional<std::string_view> stringAt(int64_t offset) const;
};

/// A text on its way through the pipeline.
///
/// Some steps behave differently at the very start of the original text. `originBytes` is the
/// number of leading bytes that stem from the first character of the original text: 0 for a text
/// that is cut out further behind, and for one whose beginning has been removed. A step that
/// produces several characters from the first one makes all of them count.
struct Piece {
  std::string text;
  size_t originBytes = 0;
};

class Normalizer {
public:
  /// `charsmaps` and `userDefined` (symbols that the SentencePiece step copies) must outlive the
  /// normaliser.
  MaybeError init(const std::vector<NormalizerStep> &steps, std::vector<CharsmapView> charsmaps,
                  Trie userDefined);

  MaybeError run(Piece &piece, Budget &budget) const;

  /// True if the first step reads malformed UTF-8 in its own way.
  bool takesRawBytes() const;

private:
  struct Step {
    NormalizerStep spec;
    std::optional<Pattern> pattern;
  };
  void precompiled(Piece &piece, const CharsmapView &charsmap) const;
  void sentencePiece(Piece &piece, const NormalizerStep &step) const;

  std::vector<Step> steps;
  std::vector<CharsmapView> charsmaps;
  Trie userDefined;
};

/// Appends the character that stands for `byte` in a byte-level vocabulary.
void appendByteLevel(std::string &text, uint8_t byte);

/// The byte that a character stands for, -1 for characters that stand for none.
int byteLevelByte(char32_t c);

/// Replaces every byte of `piece` by its byte-level character.
void mapToByteLevel(Piece &piece);

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_NORMALIZER_H
