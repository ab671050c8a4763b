//===- PreTokenizer.h - Cutting text into words ------------------*- C++ -*-===//

#ifndef INGOT_LIB_TOKENIZER_PRETOKENIZER_H
#define INGOT_LIB_TOKENIZER_PRETOKENIZER_H

#include "Normalizer.h"

namespace ingot::tokenizer {

/// A text and the words in it: ascending, disjoint, not empty, with or without gaps.
struct Words {
  struct Word {
    size_t begin, end;
    size_t originBytes; ///< as in Piece
  };
  std::string text;
  std::vector<Word> words;

  explicit Words(Piece piece);
};

class PreTokenizer {
public:
  MaybeError init(const std::vector<PreTokenizerStep> &steps);
  MaybeError run(Words &words, Budget &budget) const;

private:
  struct Step {
    PreTokenizerStep spec;
    std::optional<Pattern> pattern;
  };
  std::vector<Step> steps;
};

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_PRETOKENIZER_H
