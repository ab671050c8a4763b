//===- Unigram.cpp - The segmentation with the best sum of scores -----------===//

#include "Model.h"
#include "Unicode.h"

#include <algorithm>
#include <limits>

namespace ingot::tokenizer {

namespace {

/// Finds the best way to reach each position, left to right. `Exact`: sums are double, as in
/// Hugging Face tokenizers. Otherwise they are float, as in SentencePiece, which decides between
/// segmentations of nearly equal scores.
template <bool Exact> class UnigramModel : public Model {
  using Score = std::conditional_t<Exact, double, float>;

public:
  explicit UnigramModel(const fb::Tokenizer &blob)
      : vocabulary(blob), scores(blob.scores()->data()) {
    // An unknown character is worse than every token.
    Score minScore = Exact ? std::numeric_limits<Score>::infinity() //
                           : std::numeric_limits<Score>::max();
    for (uint32_t id = 0; id < vocabulary.size + vocabulary.hidden; ++id) {
      TokenKind kind = vocabulary.kindOf(id);
      if (Exact ? kind == TokenKind::Absent : kind != TokenKind::Normal)
        continue;
      minScore = std::min(minScore, Score(scores[id]));
    }
    unknownScore = minScore - Score(10);
  }

  MaybeError encode(std::string_view word, std::vector<int32_t> &ids) const override {
    std::vector<Node> best(word.size() + 1);
    for (size_t begin = 0; begin < word.size();) {
      const Score here = best[begin].score;
      const size_t character = unicode::characterAt(word, begin).length;
      auto reach = [&](size_t end, Score score, int32_t id) {
        Node &target = best[end];
        score += here;
        if (target.begin == unreached || score > target.score)
          target = {score, uint32_t(begin), id};
      };
      bool hasSingle = false;
      uint32_t node = Trie::root;
      for (size_t end = begin; end < word.size() && vocabulary.trie.step(node, word[end]);) {
        ++end;
        int64_t id = vocabulary.trie.value(node);
        if (id == Trie::none)
          continue;
        Score score = Score(scores[id]);
        if constexpr (!Exact) {
          TokenKind kind = vocabulary.kindOf(uint32_t(id));
          if (kind == TokenKind::UserDefined) // better than most
            score = Score(double(end - begin) * 0.1 - 0.1);
          else if (kind != TokenKind::Normal)
            continue;
        }
        reach(end, score, int32_t(id));
        hasSingle |= end - begin == character;
      }
      if (!hasSingle) {
        if (vocabulary.unknownId < 0)
          return Error{"a character has no token, and there is no unknown token"};
        reach(begin + character, unknownScore, vocabulary.unknownId);
      }
      begin += character;
    }

    std::vector<Part> parts; // last first
    for (uint32_t end = uint32_t(word.size()); end > 0; end = best[end].begin)
      parts.push_back({best[end].begin, end, best[end].id});
    std::reverse(parts.begin(), parts.end());
    return Exact ? emitFused(word, parts, ids) : emitPlain(word, parts, ids);
  }

private:
  static constexpr uint32_t unreached = 0xFFFFFFFF;
  struct Node {
    Score score = 0;
    uint32_t begin = unreached;
    int32_t id = -1;
  };
  struct Part {
    uint32_t begin, end;
    int32_t id;
  };

  /// Hugging Face joins runs of unknown characters and then looks each part up by its text.
  MaybeError emitFused(std::string_view word, const std::vector<Part> &parts,
                       std::vector<int32_t> &ids) const {
    for (size_t i = 0; i < parts.size();) {
      size_t first = i++;
      if (parts[first].id == vocabulary.unknownId)
        while (i < parts.size() && parts[i].id == vocabulary.unknownId)
          ++i;
      std::string_view text =
          word.substr(parts[first].begin, parts[i - 1].end - parts[first].begin);
      if (int32_t id = vocabulary.find(text); id >= 0)
        ids.push_back(id);
      else if (!vocabulary.byteFallback || !vocabulary.appendBytes(text, ids))
        ids.push_back(vocabulary.unknownId);
    }
    return {};
  }

  MaybeError emitPlain(std::string_view word, const std::vector<Part> &parts,
                       std::vector<int32_t> &ids) const {
    SentencePieceEmitter emitter{vocabulary, ids};
    for (const Part &part : parts)
      if (MaybeError error = emitter.emit(word.substr(part.begin, part.end - part.begin), part.id))
        return error;
    return {};
  }

  Vocabulary vocabulary;
  const double *scores;
  Score unknownScore;
};

} // namespace

std::unique_ptr<Model> createUnigram(const fb::Tokenizer &blob) {
  return std::make_unique<UnigramModel<true>>(blob);
}

std::unique_ptr<Model> createSentencePieceUnigram(const fb::Tokenizer &blob) {
  return std::make_unique<UnigramModel<false>>(blob);
}

} // namespace ingot::tokenizer
