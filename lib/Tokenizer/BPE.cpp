//===- BPE.cpp - Byte pair encoding -----------------------------------------===//
//
// Two models. One applies a list of merges in the order of their ranks (GPT-2, Llama 3, Hugging
// Face in general); the other merges whatever neighbours form a token, best score first
// (SentencePiece). Both take the leftmost pair among equals. Short words are merged by looking for
// the best pair again and again, long ones with a heap over a linked list, in O(n log n).
//
//===----------------------------------------------------------------------===//

#include "Model.h"
#include "Unicode.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

namespace ingot::tokenizer {

namespace {

//===----------------------------------------------------------------------===//
// Ranked merges
//===----------------------------------------------------------------------===//

class MergeModel : public Model {
public:
  explicit MergeModel(const fb::Tokenizer &blob)
      : vocabulary(blob), prefix(viewOf(blob.continuing_prefix())),
        suffix(viewOf(blob.end_of_word_suffix())), fuseUnknown(blob.fuse_unknown()),
        ignoreMerges(blob.ignore_merges()) {
    if (blob.merges())
      merges = MergeTable(reinterpret_cast<const fb::MergeSlot *>(blob.merges()->Data()),
                          blob.merges()->size());
  }

  MaybeError encode(std::string_view word, std::vector<int32_t> &ids) const override {
    if (ignoreMerges)
      if (int32_t id = vocabulary.find(word); id >= 0) {
        ids.push_back(id);
        return {};
      }
    size_t first = ids.size();
    if (MaybeError error = appendCharacters(word, ids))
      return error;
    if (ids.size() - first <= shortWord)
      mergeShort(ids, first);
    else
      mergeLong(ids, first);
    return {};
  }

private:
  static constexpr size_t shortWord = 32;
  static constexpr uint32_t noRank = 0xFFFFFFFF;

  /// Appends one id per character, before any merge.
  MaybeError appendCharacters(std::string_view word, std::vector<int32_t> &ids) const {
    bool pendingUnknown = false;
    std::string spelling;
    for (size_t i = 0; i < word.size();) {
      size_t length = unicode::characterAt(word, i).length;
      std::string_view character = word.substr(i, length);
      bool isLast = i + length == word.size();
      if ((i > 0 && !prefix.empty()) || (isLast && !suffix.empty())) {
        spelling.clear();
        if (i > 0)
          spelling += prefix;
        spelling += character;
        if (isLast)
          spelling += suffix;
        character = spelling;
      }
      i += length;
      if (int32_t id = vocabulary.find(character); id >= 0) {
        if (pendingUnknown)
          ids.push_back(vocabulary.unknownId);
        pendingUnknown = false;
        ids.push_back(id);
        continue;
      }
      if (vocabulary.byteFallback && vocabulary.appendBytes(character, ids))
        continue;
      if (!vocabulary.hasUnknown)
        continue; // such characters vanish
      if (vocabulary.unknownId < 0)
        return Error{"a character has no token, and the unknown token is not in the vocabulary"};
      // An unknown character waits for the next known one, so that a run of them can be fused.
      if (pendingUnknown && !fuseUnknown)
        ids.push_back(vocabulary.unknownId);
      pendingUnknown = true;
    }
    if (pendingUnknown)
      ids.push_back(vocabulary.unknownId);
    return {};
  }

  void mergeShort(std::vector<int32_t> &ids, size_t first) const {
    size_t count = ids.size() - first;
    int32_t *symbols = ids.data() + first;
    MergeTable::Found pairs[shortWord]; // of symbol i with symbol i + 1
    auto look = [&](size_t i) {
      if (i + 1 >= count || !merges.find(uint32_t(symbols[i]), uint32_t(symbols[i + 1]), pairs[i]))
        pairs[i].rank = noRank;
    };
    for (size_t i = 0; i < count; ++i)
      look(i);
    while (count > 1) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < count; ++i)
        if (pairs[i].rank < pairs[best].rank)
          best = i;
      if (pairs[best].rank == noRank)
        break;
      symbols[best] = int32_t(pairs[best].result);
      std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
      std::copy(pairs + best + 2, pairs + count, pairs + best + 1);
      --count;
      look(best);
      if (best > 0)
        look(best - 1);
    }
    ids.resize(first + count);
  }

  void mergeLong(std::vector<int32_t> &ids, size_t first) const {
    constexpr uint32_t end = 0xFFFFFFFF;
    struct Symbol {
      int32_t id; // -1: merged into the one before
      uint32_t previous, next;
    };
    uint32_t count = uint32_t(ids.size() - first);
    std::vector<Symbol> symbols(count);
    for (uint32_t i = 0; i < count; ++i)
      symbols[i] = {ids[first + i], i ? i - 1 : end, i + 1 < count ? i + 1 : end};

    struct Candidate {
      uint64_t order; // rank, then position
      uint32_t result;
      bool operator<(const Candidate &other) const { return order > other.order; }
    };
    std::vector<Candidate> initial;
    auto candidate = [&](uint32_t left, uint32_t right, Candidate &out) {
      MergeTable::Found found;
      if (!merges.find(uint32_t(symbols[left].id), uint32_t(symbols[right].id), found))
        return false;
      out = {uint64_t(found.rank) << 32 | left, found.result};
      return true;
    };
    Candidate next;
    for (uint32_t i = 0; i + 1 < count; ++i)
      if (candidate(i, i + 1, next))
        initial.push_back(next);
    std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(initial));
    while (!queue.empty()) {
      Candidate top = queue.top();
      queue.pop();
      uint32_t left = uint32_t(top.order);
      Symbol &symbol = symbols[left];
      if (symbol.id < 0 || symbol.next == end)
        continue;
      uint32_t right = symbol.next;
      // The pair that the candidate stood for may be gone.
      MergeTable::Found found;
      if (!merges.find(uint32_t(symbol.id), uint32_t(symbols[right].id), found) ||
          found.result != top.result)
        continue;
      symbol.id = int32_t(top.result);
      symbol.next = symbols[right].next;
      symbols[right].id = -1;
      if (symbol.next != end)
        symbols[symbol.next].previous = left;
      if (symbol.previous != end && candidate(symbol.previous, left, next))
        queue.push(next);
      if (symbol.next != end && candidate(left, symbol.next, next))
        queue.push(next);
    }
    ids.resize(first);
    for (uint32_t i = 0; i != end; i = symbols[i].next)
      ids.push_back(symbols[i].id);
  }

  Vocabulary vocabulary;
  MergeTable merges;
  std::string_view prefix, suffix;
  bool fuseUnknown, ignoreMerges;
};

//===----------------------------------------------------------------------===//
// Merges by score
//===----------------------------------------------------------------------===//

class SentencePieceBPE : public Model {
public:
  explicit SentencePieceBPE(const fb::Tokenizer &blob)
      : vocabulary(blob), scores(blob.scores()->data()),
        userDefined(trieOf(blob.user_defined_trie())) {}

  MaybeError encode(std::string_view word, std::vector<int32_t> &ids) const override {
    constexpr uint32_t end = 0xFFFFFFFF;
    struct Symbol {
      uint32_t begin, length; // length 0: merged into the one before
      uint32_t previous, next;
      bool frozen;
    };
    std::vector<Symbol> symbols;
    symbols.reserve(word.size());
    for (size_t i = 0; i < word.size();) {
      auto [length, value] = userDefined.longestPrefix(word.substr(i));
      bool frozen = length > 0;
      if (!frozen)
        length = unicode::characterAt(word, i).length;
      uint32_t index = uint32_t(symbols.size());
      symbols.push_back(
          {uint32_t(i), uint32_t(length), index ? index - 1 : end, index + 1, frozen});
      i += length;
    }
    if (symbols.empty())
      return {};
    symbols.back().next = end;

    struct Candidate {
      float score;
      uint32_t left, right, length;
      bool operator<(const Candidate &other) const {
        return score < other.score || (score == other.score && left > other.left);
      }
    };
    std::priority_queue<Candidate> queue;
    // Tokens that are only steps on the way to others are taken apart again at the end.
    std::unordered_map<std::string_view, uint32_t> leftLengths;
    auto consider = [&](uint32_t left, uint32_t right) {
      if (left == end || right == end || symbols[left].frozen || symbols[right].frozen)
        return;
      uint32_t length = symbols[left].length + symbols[right].length;
      std::string_view text = word.substr(symbols[left].begin, length);
      int64_t id = vocabulary.trie.find(text);
      if (id == Trie::none)
        return;
      TokenKind kind = vocabulary.kindOf(uint32_t(id));
      if (kind != TokenKind::Normal && kind != TokenKind::UserDefined && kind != TokenKind::Unused)
        return;
      queue.push({float(scores[id]), left, right, length});
      if (kind == TokenKind::Unused)
        leftLengths[text] = symbols[left].length;
    };
    for (uint32_t i = 1; i < symbols.size(); ++i)
      consider(i - 1, i);
    while (!queue.empty()) {
      Candidate top = queue.top();
      queue.pop();
      Symbol &left = symbols[top.left], &right = symbols[top.right];
      if (left.length == 0 || right.length == 0 || left.length + right.length != top.length)
        continue;
      left.length += right.length;
      left.next = right.next;
      right.length = 0;
      if (left.next != end)
        symbols[left.next].previous = top.left;
      consider(left.previous, top.left);
      consider(top.left, left.next);
    }

    SentencePieceEmitter emitter{vocabulary, ids};
    std::vector<std::string_view> open;
    for (uint32_t i = 0; i != end; i = symbols[i].next) {
      open.push_back(word.substr(symbols[i].begin, symbols[i].length));
      while (!open.empty()) {
        std::string_view text = open.back();
        open.pop_back();
        // Only tokens that may not be used were put down there.
        if (auto it = leftLengths.find(text); it != leftLengths.end()) {
          open.push_back(text.substr(it->second));
          open.push_back(text.substr(0, it->second));
          continue;
        }
        if (MaybeError error = emitter.emit(text, vocabulary.findForText(text)))
          return error;
      }
    }
    return {};
  }

private:
  Vocabulary vocabulary;
  const double *scores;
  Trie userDefined;
};

} // namespace

std::unique_ptr<Model> createMergeModel(const fb::Tokenizer &blob) {
  return std::make_unique<MergeModel>(blob);
}

std::unique_ptr<Model> createSentencePieceBPE(const fb::Tokenizer &blob) {
  return std::make_unique<SentencePieceBPE>(blob);
}

} // namespace ingot::tokenizer
