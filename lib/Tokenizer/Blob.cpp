//===- Blob.cpp - Checking the binary form ----------------------------------===//
//
// After the flatbuffers verifier, which knows only the structure, every number is checked against
// every other one that it is used with. What follows the check may then index without looking.
// (Tries are the exception: a walk checks each of its steps, so only their values are checked
// here.)
//
//===----------------------------------------------------------------------===//

#include "Blob.h"

#include <algorithm>
#include <cmath>

namespace ingot::tokenizer {

namespace {

class Checker {
public:
  explicit Checker(const fb::Tokenizer &blob) : blob(blob) {}

  MaybeError run() {
    if (blob.format() != blobFormat)
      return fail("expected format " + std::to_string(blobFormat) + ", got " +
                  std::to_string(blob.format()));
    using Check = MaybeError (Checker::*)();
    for (Check check :
         {&Checker::vocabulary, &Checker::model, &Checker::merges, &Checker::addedTokens,
          &Checker::charsmaps, &Checker::steps, &Checker::roles})
      if (MaybeError error = (this->*check)())
        return error;
    return {};
  }

private:
  static Error fail(std::string what) { return {"damaged tokenizer: " + std::move(what)}; }

  bool isId(int64_t id) const { return id >= 0 && uint64_t(id) < count; }
  bool isIdOrNone(int64_t id) const { return id == -1 || isId(id); }

  MaybeError vocabulary() {
    auto &offsets = *blob.token_offsets();
    count = blob.token_flags()->size();
    if (count > maxVocabulary || offsets.size() != count + 1)
      return fail("expected " + std::to_string(count + 1) + " token offsets, got " +
                  std::to_string(offsets.size()));
    const uint32_t *data = offsets.data();
    bool ascending = data[0] == 0;
    for (size_t i = 0; i < count; ++i)
      ascending &= data[i] <= data[i + 1] && data[i + 1] - data[i] <= maxTokenBytes;
    if (!ascending || data[count] != blob.token_bytes()->size())
      return fail("token offsets are not ascending");
    const uint8_t *flags = blob.token_flags()->data();
    uint8_t largestKind = 0;
    for (size_t i = 0; i < count; ++i)
      largestKind = std::max(largestKind, uint8_t(flags[i] & uint8_t(fb::TokenFlag::KindMask)));
    if (largestKind > uint8_t(TokenKind::Byte))
      return fail("unknown kind of token " + std::to_string(largestKind));
    hidden = blob.hidden();
    if (hidden > maxVocabulary || (hidden && blob.model() < fb::ModelKind::SentencePieceBPE))
      return fail(std::to_string(hidden) + " hidden tokens");
    if (trieOf(blob.trie()).maxValue() >= int64_t(count + hidden))
      return fail("the trie refers to a token that does not exist");
    return {};
  }

  MaybeError model() {
    if (blob.model() > fb::ModelKind::MAX)
      return fail("unknown model " + std::to_string(int(blob.model())));
    bool scored = blob.model() == fb::ModelKind::Unigram ||
                  blob.model() == fb::ModelKind::SentencePieceBPE ||
                  blob.model() == fb::ModelKind::SentencePieceUnigram;
    size_t scores = blob.scores() ? blob.scores()->size() : 0;
    size_t expected = scored ? count + hidden : 0;
    if (scores != expected || (scored && !blob.scores()))
      return fail("expected " + std::to_string(expected) + " scores, got " +
                  std::to_string(scores));
    for (size_t i = 0; i < scores; ++i)
      if (std::isnan(blob.scores()->data()[i]))
        return fail("a score is not a number");
    if (!isIdOrNone(blob.unknown_id()) || (hidden && blob.unknown_id() < 0))
      return fail("unknown token " + std::to_string(blob.unknown_id()) + " does not exist");
    return {};
  }

  MaybeError merges() {
    if (!blob.merges())
      return {};
    size_t slots = blob.merges()->size();
    if (slots == 0 || (slots & (slots - 1)))
      return fail("expected a power of two of merge slots, got " + std::to_string(slots));
    auto *data = reinterpret_cast<const fb::MergeSlot *>(blob.merges()->Data());
    // Runs that wrap around the end count as one, so start behind an empty slot.
    size_t start = 0;
    while (start < slots && data[start].left() != MergeTable::emptySlot)
      ++start;
    size_t run = 0, longest = start == slots ? slots : 0;
    bool inRange = true;
    for (size_t i = 0; i < slots; ++i) {
      const fb::MergeSlot &slot = data[(start + i) & (slots - 1)];
      bool used = slot.left() != MergeTable::emptySlot;
      inRange &= !used || (slot.left() < count && slot.right() < count && slot.result() < count);
      run = used ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    if (!inRange)
      return fail("a merge refers to a token that does not exist");
    if (start == slots || longest > MergeTable::longestRun)
      return fail("the table of merges is too full");
    return {};
  }

  MaybeError addedTokens() {
    size_t added = blob.added_tokens() ? blob.added_tokens()->size() : 0;
    for (size_t i = 0; i < added; ++i)
      if (!isId(blob.added_tokens()->Get(i)->id()))
        return fail("added token " + std::to_string(i) + " has an id that does not exist");
    if (trieOf(blob.added_trie()).maxValue() >= int64_t(added) ||
        trieOf(blob.added_normalized_trie()).maxValue() >= int64_t(added))
      return fail("a trie refers to an added token that does not exist");
    return {};
  }

  MaybeError charsmaps() {
    size_t maps = blob.charsmaps() ? blob.charsmaps()->size() : 0;
    for (size_t i = 0; i < maps; ++i) {
      auto *map = blob.charsmaps()->Get(i);
      if (trieOf<DoubleArray>(map->trie()).maxValue() >= int64_t(map->strings()->size()))
        return fail("a character map refers to text outside itself");
    }
    return {};
  }

  template <typename Steps, typename Check> static bool all(const Steps *steps, Check check) {
    if (steps)
      for (auto *step : *steps)
        if (!check(*step))
          return false;
    return true;
  }

  MaybeError steps() {
    // Strings and references of the steps are checked where the steps are built.
    if (!all(blob.normalizer(), [](auto &step) {
          return step.kind() <= fb::NormalizerKind::MAX && step.charsmap() >= -1;
        }))
      return fail("unknown normaliser");
    if (!all(blob.pre_tokenizer(), [](auto &step) {
          return step.kind() <= fb::PreTokenizerKind::MAX &&
                 step.behavior() <= fb::SplitBehavior::MAX &&
                 step.prepend_scheme() <= fb::PrependScheme::MAX;
        }))
      return fail("unknown pre-tokeniser");
    if (!all(blob.decoder(), [](auto &step) { return step.kind() <= fb::DecoderKind::MAX; }))
      return fail("unknown decoder");
    for (auto *pieces : {blob.post_processor(), blob.pair_processor()})
      if (!all(pieces, [&](auto &piece) {
            if (piece.ids())
              for (uint32_t id : *piece.ids())
                if (!isId(id))
                  return false;
            return true;
          }))
        return fail("the post-processor adds a token that does not exist");
    return {};
  }

  MaybeError roles() {
    for (int32_t id :
         {blob.bos(), blob.eos(), blob.unk(), blob.pad(), blob.sep(), blob.cls(), blob.mask()})
      if (!isIdOrNone(id))
        return fail("special token " + std::to_string(id) + " does not exist");
    return {};
  }

  const fb::Tokenizer &blob;
  size_t count = 0, hidden = 0;
};

} // namespace

Result<const fb::Tokenizer *> verifyBlob(const void *data, size_t size) {
  if (reinterpret_cast<uintptr_t>(data) % 8 != 0)
    return Error{"expected a tokenizer at an address that is a multiple of 8"};
  if (size < 16 || size >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return Error{"damaged tokenizer: " + std::to_string(size) + " bytes"};
  // A vocabulary may have some thousand added tokens, each a table.
  flatbuffers::Verifier verifier(static_cast<const uint8_t *>(data), size, /*max_depth=*/16,
                                 /*max_tables=*/1u << 22);
  if (!fb::TokenizerBufferHasIdentifier(data) || !fb::VerifyTokenizerBuffer(verifier))
    return Error{"damaged tokenizer: not a valid flatbuffer"};
  const fb::Tokenizer *blob = fb::GetTokenizer(data);
  if (MaybeError error = Checker(*blob).run())
    return std::move(*error);
  return blob;
}

static std::string stringOf(const flatbuffers::String *string) {
  return std::string(viewOf(string));
}

std::vector<NormalizerStep> normalizerOf(const fb::Tokenizer &blob) {
  std::vector<NormalizerStep> steps;
  if (blob.normalizer())
    for (const fb::NormalizerStep *from : *blob.normalizer()) {
      NormalizerStep step;
      step.kind = NormalizerKind(from->kind());
      step.pattern = stringOf(from->pattern());
      step.isRegex = from->is_regex();
      step.content = stringOf(from->content());
      step.left = from->left();
      step.right = from->right();
      step.cleanText = from->clean_text();
      step.handleChinese = from->handle_chinese();
      step.stripAccents = from->strip_accents();
      step.lowercase = from->lowercase();
      step.charsmap = from->charsmap();
      step.addDummyPrefix = from->add_dummy_prefix();
      step.removeExtraWhitespaces = from->remove_extra_whitespaces();
      step.escapeWhitespaces = from->escape_whitespaces();
      step.whitespaceAsSuffix = from->whitespace_as_suffix();
      step.prefixOnlyAtStart = from->prefix_only_at_start();
      steps.push_back(std::move(step));
    }
  return steps;
}

std::vector<PreTokenizerStep> preTokenizerOf(const fb::Tokenizer &blob) {
  std::vector<PreTokenizerStep> steps;
  if (blob.pre_tokenizer())
    for (const fb::PreTokenizerStep *from : *blob.pre_tokenizer()) {
      PreTokenizerStep step;
      step.kind = PreTokenizerKind(from->kind());
      step.pattern = stringOf(from->pattern());
      step.isRegex = from->is_regex();
      step.behavior = SplitBehavior(from->behavior());
      step.invert = from->invert();
      step.addPrefixSpace = from->add_prefix_space();
      step.useRegex = from->use_regex();
      step.individualDigits = from->individual_digits();
      step.replacement = stringOf(from->replacement());
      step.prependScheme = PrependScheme(from->prepend_scheme());
      step.split = from->split();
      step.length = from->length();
      steps.push_back(std::move(step));
    }
  return steps;
}

std::vector<DecoderStep> decoderOf(const fb::Tokenizer &blob) {
  std::vector<DecoderStep> steps;
  if (blob.decoder())
    for (const fb::DecoderStep *from : *blob.decoder()) {
      DecoderStep step;
      step.kind = DecoderKind(from->kind());
      step.pattern = stringOf(from->pattern());
      step.isRegex = from->is_regex();
      step.content = stringOf(from->content());
      step.keepFirst = from->keep_first();
      step.cleanup = from->cleanup();
      step.start = from->start();
      step.stop = from->stop();
      step.stripFirst = from->strip_first();
      step.stripAll = from->strip_all();
      steps.push_back(std::move(step));
    }
  return steps;
}

} // namespace ingot::tokenizer
