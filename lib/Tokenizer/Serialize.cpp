//===- Serialize.cpp - Writing the binary form ------------------------------===//

#include "Blob.h"
#include "Normalizer.h"
#include "Unicode.h"
#include "ingot/Tokenizer/Tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace ingot::tokenizer {

namespace {

using flatbuffers::FlatBufferBuilder;
template <typename T> using Offset = flatbuffers::Offset<T>;

class Serializer {
public:
  explicit Serializer(const TokenizerSpec &spec) : spec(spec) {}

  Result<std::vector<uint8_t>> run() {
    if (MaybeError error = check())
      return std::move(*error);
    if (MaybeError error = normalizeAddedTokens())
      return std::move(*error);
    if (MaybeError error = collectTokens())
      return std::move(*error);
    return write();
  }

private:
  size_t count() const { return texts.size(); }

  MaybeError check() {
    const ModelSpec &model = spec.model;
    size_t tokens = model.tokens.size();
    auto isId = [&](int32_t id) { return id >= 0 && size_t(id) < vocabularySize(); };
    auto isIdOrNone = [&](int32_t id) { return id == -1 || isId(id); };
    if (vocabularySize() > maxVocabulary)
      return Error{"expected at most " + std::to_string(maxVocabulary) + " tokens, got " +
                   std::to_string(vocabularySize())};
    for (size_t id = 0; id < tokens; ++id)
      if (MaybeError error = checkText(model.tokens[id].text, "token " + std::to_string(id)))
        return error;
    if (spec.hiddenTokens.size() > maxVocabulary ||
        (!spec.hiddenTokens.empty() && (!isSentencePiece(model.kind) || model.unknownId < 0)))
      return Error{std::to_string(spec.hiddenTokens.size()) +
                   " pieces without an id, and no unknown token"};
    for (const Token &token : spec.hiddenTokens)
      if (MaybeError error = checkText(token.text, "piece '" + token.text + "'"))
        return error;
    for (const AddedToken &token : spec.addedTokens) {
      if (token.id < 0)
        return Error{"added token '" + token.text + "' has no id"};
      if (MaybeError error = checkText(token.text, "added token " + std::to_string(token.id)))
        return error;
    }
    for (const Merge &merge : model.merges)
      for (int32_t id : {merge.left, merge.right, merge.result})
        if (id < 0 || size_t(id) >= tokens)
          return Error{"merge refers to token " + std::to_string(id) + " of " +
                       std::to_string(tokens)};
    for (auto *pieces : {&spec.postProcessor, &spec.pairProcessor})
      for (const TemplatePiece &piece : *pieces)
        for (int32_t id : piece.ids)
          if (!isId(id))
            return Error{"post-processor adds token " + std::to_string(id) + " of " +
                         std::to_string(vocabularySize())};
    const SpecialIds &special = spec.special;
    for (int32_t id : {model.unknownId, special.bos, special.eos, special.unk, special.pad,
                       special.sep, special.cls, special.mask})
      if (!isIdOrNone(id))
        return Error{"special token " + std::to_string(id) + " of " +
                     std::to_string(vocabularySize())};
    return {};
  }

  static MaybeError checkText(const std::string &text, const std::string &what) {
    if (text.size() > maxTokenBytes)
      return Error{what + " has " + std::to_string(text.size()) + " bytes, at most " +
                   std::to_string(maxTokenBytes) + " are allowed"};
    if (!unicode::isValid(text))
      return Error{what + " is not valid UTF-8"};
    return {};
  }

  size_t vocabularySize() const {
    size_t size = spec.model.tokens.size();
    for (const AddedToken &token : spec.addedTokens)
      size = std::max(size, size_t(std::max(token.id, -1) + 1));
    return size;
  }

  /// The spelling in which each added token is searched for and decoded.
  MaybeError normalizeAddedTokens() {
    std::vector<CharsmapView> maps;
    for (const Charsmap &map : spec.charsmaps)
      maps.push_back({DoubleArray(map.trie.data(), map.trie.size()), map.strings});
    Normalizer normalizer;
    if (MaybeError error = normalizer.init(spec.normalizer, std::move(maps), Trie()))
      return error;
    for (const AddedToken &token : spec.addedTokens) {
      Piece piece{token.text, token.text.empty() ? 0u : unicode::characterAt(token.text, 0).length};
      Budget budget(piece.text.size());
      if (token.normalized)
        if (MaybeError error = normalizer.run(piece, budget))
          return error;
      if (MaybeError error = checkText(piece.text, "added token " + std::to_string(token.id)))
        return error;
      spellings.push_back(std::move(piece.text));
    }
    return {};
  }

  /// What decoding needs to know of each id.
  MaybeError collectTokens() {
    texts.resize(vocabularySize());
    flags.resize(texts.size());
    const std::vector<Token> &tokens = spec.model.tokens;
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (tokens[id].kind != TokenKind::Absent)
        texts[id] = tokens[id].text;
      flags[id] = uint8_t(tokens[id].kind);
    }
    std::unordered_set<std::string_view> specials;
    for (size_t i = 0; i < spec.addedTokens.size(); ++i) {
      const AddedToken &token = spec.addedTokens[i];
      texts[size_t(token.id)] = spellings[i];
      flags[size_t(token.id)] |= uint8_t(fb::TokenFlag::Added);
      if ((flags[size_t(token.id)] & uint8_t(fb::TokenFlag::KindMask)) == 0)
        flags[size_t(token.id)] |= uint8_t(TokenKind::Normal);
      if (token.special)
        specials.insert(token.text);
    }
    // Specialness goes by the text: a token spelled like a special one is special.
    size_t total = 0;
    for (size_t id = 0; id < texts.size(); ++id) {
      if (flags[id] && specials.count(texts[id]))
        flags[id] |= uint8_t(fb::TokenFlag::Special);
      total += texts[id].size();
    }
    if (total > size_t(1) << 30)
      return Error{"the tokens have " + std::to_string(total) +
                   " bytes in all, at most 2^30 are "
                   "allowed"};
    return {};
  }

  std::vector<fb::MergeSlot> mergeTable() const {
    // The same pair may be listed again; the last one counts.
    std::vector<std::pair<Merge, uint32_t>> merges;
    std::unordered_map<uint64_t, size_t> seen;
    for (size_t rank = 0; rank < spec.model.merges.size(); ++rank) {
      const Merge &merge = spec.model.merges[rank];
      auto [it, isNew] =
          seen.try_emplace(uint64_t(merge.left) << 32 | uint32_t(merge.right), merges.size());
      if (isNew)
        merges.push_back({merge, uint32_t(rank)});
      else
        merges[it->second] = {merge, uint32_t(rank)};
    }
    if (spec.model.rankByResult)
      for (auto &[merge, rank] : merges)
        rank = uint32_t(merge.result);
    size_t slots = 16;
    while (slots * 7 < merges.size() * 10)
      slots *= 2;
    for (;; slots *= 2) {
      std::vector<fb::MergeSlot> table(slots, fb::MergeSlot(MergeTable::emptySlot, 0, 0, 0));
      bool crowded = false;
      for (auto &[merge, rank] : merges) {
        size_t slot = MergeTable::hash(uint32_t(merge.left), uint32_t(merge.right)) & (slots - 1);
        size_t probes = 0;
        for (; table[slot].left() != MergeTable::emptySlot; ++probes)
          slot = (slot + 1) & (slots - 1);
        crowded |= probes >= MergeTable::longestRun / 4;
        table[slot] = fb::MergeSlot(uint32_t(merge.left), uint32_t(merge.right), rank,
                                    uint32_t(merge.result));
      }
      if (!crowded)
        return table;
    }
  }

  static bool isSentencePiece(ModelKind kind) { return kind >= ModelKind::SentencePieceBPE; }

  Result<std::vector<uint8_t>> write() {
    const ModelSpec &model = spec.model;
    FlatBufferBuilder builder(1 << 20);

    std::vector<uint32_t> offsets{0};
    std::vector<uint8_t> bytes;
    for (const std::string &text : texts) {
      bytes.insert(bytes.end(), text.begin(), text.end());
      offsets.push_back(uint32_t(bytes.size()));
    }
    auto offsetsOut = builder.CreateVector(offsets);
    auto bytesOut = builder.CreateVector(bytes);
    auto flagsOut = builder.CreateVector(flags);

    using Entries = std::vector<std::pair<std::string_view, uint32_t>>;
    Entries vocabulary, userDefined, added, addedNormalized;
    for (size_t id = 0; id < model.tokens.size(); ++id) {
      const Token &token = model.tokens[id];
      if (token.kind == TokenKind::Absent || token.text.empty())
        continue;
      vocabulary.push_back({token.text, uint32_t(id)});
      if (token.kind == TokenKind::UserDefined && isSentencePiece(model.kind))
        userDefined.push_back({token.text, uint32_t(id)});
    }
    for (size_t i = 0; i < spec.hiddenTokens.size(); ++i)
      vocabulary.push_back({spec.hiddenTokens[i].text, uint32_t(texts.size() + i)});
    for (size_t i = 0; i < spec.addedTokens.size(); ++i)
      if (!spellings[i].empty())
        (spec.addedTokens[i].normalized ? addedNormalized : added)
            .push_back({spellings[i], uint32_t(i)});
    auto trie = [&](const Entries &entries) {
      return entries.empty() ? Offset<flatbuffers::Vector<uint32_t>>()
                             : builder.CreateVector(buildTrie(entries));
    };
    auto trieOut =
        builder.CreateVector(vocabulary.empty() ? std::vector<uint32_t>() : buildTrie(vocabulary));
    auto userDefinedOut = trie(userDefined);
    auto addedTrieOut = trie(added);
    auto addedNormalizedOut = trie(addedNormalized);

    Offset<flatbuffers::Vector<double>> scoresOut;
    if (model.kind == ModelKind::Unigram || model.kind == ModelKind::SentencePieceBPE ||
        model.kind == ModelKind::SentencePieceUnigram) {
      std::vector<double> scores(texts.size());
      for (size_t id = 0; id < model.tokens.size(); ++id)
        scores[id] = model.tokens[id].score;
      for (const Token &token : spec.hiddenTokens)
        scores.push_back(token.score);
      scoresOut = builder.CreateVector(scores);
    }
    Offset<flatbuffers::Vector<const fb::MergeSlot *>> mergesOut;
    if (!model.merges.empty())
      mergesOut = builder.CreateVectorOfStructs(mergeTable());

    std::vector<Offset<fb::AddedToken>> addedTokens;
    for (const AddedToken &token : spec.addedTokens)
      addedTokens.push_back(fb::CreateAddedToken(
          builder, uint32_t(token.id), builder.CreateString(token.text), token.special,
          token.lstrip, token.rstrip, token.singleWord, token.normalized));
    std::vector<Offset<fb::Charsmap>> charsmaps;
    for (const Charsmap &map : spec.charsmaps) {
      auto units = builder.CreateVector(map.trie);
      auto strings = builder.CreateVector(reinterpret_cast<const uint8_t *>(map.strings.data()),
                                          map.strings.size());
      charsmaps.push_back(fb::CreateCharsmap(builder, units, strings));
    }
    auto normalizer = writeNormalizer(builder);
    auto preTokenizer = writePreTokenizer(builder);
    auto decoder = writeDecoder(builder);
    auto writePieces = [&](const std::vector<TemplatePiece> &pieces) {
      std::vector<Offset<fb::TemplatePiece>> out;
      for (const TemplatePiece &piece : pieces)
        out.push_back(fb::CreateTemplatePiece(
            builder, piece.isText,
            builder.CreateVector(std::vector<uint32_t>(piece.ids.begin(), piece.ids.end())),
            piece.isSecond, piece.type));
      return builder.CreateVector(out);
    };

    auto addedTokensOut = builder.CreateVector(addedTokens);
    auto charsmapsOut = builder.CreateVector(charsmaps);
    auto normalizerOut = builder.CreateVector(normalizer);
    auto preTokenizerOut = builder.CreateVector(preTokenizer);
    auto postProcessorOut = writePieces(spec.postProcessor);
    auto pairProcessorOut = writePieces(spec.pairProcessor);
    auto decoderOut = builder.CreateVector(decoder);
    auto prefixOut = string(builder, model.continuingPrefix);
    auto suffixOut = string(builder, model.endOfWordSuffix);
    auto chatTemplateOut = string(builder, spec.chatTemplate);

    fb::TokenizerBuilder root(builder);
    root.add_format(blobFormat);
    root.add_token_offsets(offsetsOut);
    root.add_token_bytes(bytesOut);
    root.add_token_flags(flagsOut);
    root.add_scores(scoresOut);
    root.add_hidden(uint32_t(spec.hiddenTokens.size()));
    root.add_trie(trieOut);
    root.add_model(fb::ModelKind(model.kind));
    root.add_merges(mergesOut);
    root.add_has_unknown(model.hasUnknown);
    root.add_unknown_id(model.unknownId);
    root.add_byte_fallback(model.byteFallback);
    root.add_fuse_unknown(model.fuseUnknown);
    root.add_ignore_merges(model.ignoreMerges);
    root.add_continuing_prefix(prefixOut);
    root.add_end_of_word_suffix(suffixOut);
    root.add_max_chars_per_word(model.maxCharsPerWord);
    root.add_added_tokens(addedTokensOut);
    root.add_added_trie(addedTrieOut);
    root.add_added_normalized_trie(addedNormalizedOut);
    root.add_user_defined_trie(userDefinedOut);
    root.add_charsmaps(charsmapsOut);
    root.add_normalizer(normalizerOut);
    root.add_pre_tokenizer(preTokenizerOut);
    root.add_post_processor(postProcessorOut);
    root.add_pair_processor(pairProcessorOut);
    root.add_max_tokens(spec.maxTokens);
    root.add_cuts_front(spec.cutsFront);
    root.add_decoder(decoderOut);
    root.add_bos(spec.special.bos);
    root.add_eos(spec.special.eos);
    root.add_unk(spec.special.unk);
    root.add_pad(spec.special.pad);
    root.add_sep(spec.special.sep);
    root.add_cls(spec.special.cls);
    root.add_mask(spec.special.mask);
    root.add_chat_template(chatTemplateOut);
    fb::FinishTokenizerBuffer(builder, root.Finish());
    return std::vector<uint8_t>(builder.GetBufferPointer(),
                                builder.GetBufferPointer() + builder.GetSize());
  }

  static Offset<flatbuffers::String> string(FlatBufferBuilder &builder, const std::string &text) {
    return text.empty() ? Offset<flatbuffers::String>() : builder.CreateString(text);
  }

  std::vector<Offset<fb::NormalizerStep>> writeNormalizer(FlatBufferBuilder &builder) const {
    std::vector<Offset<fb::NormalizerStep>> out;
    for (const NormalizerStep &step : spec.normalizer) {
      auto pattern = string(builder, step.pattern), content = string(builder, step.content);
      fb::NormalizerStepBuilder to(builder);
      to.add_kind(fb::NormalizerKind(step.kind));
      to.add_pattern(pattern);
      to.add_is_regex(step.isRegex);
      to.add_content(content);
      to.add_left(step.left);
      to.add_right(step.right);
      to.add_clean_text(step.cleanText);
      to.add_handle_chinese(step.handleChinese);
      to.add_strip_accents(step.stripAccents);
      to.add_lowercase(step.lowercase);
      to.add_charsmap(step.charsmap);
      to.add_add_dummy_prefix(step.addDummyPrefix);
      to.add_remove_extra_whitespaces(step.removeExtraWhitespaces);
      to.add_escape_whitespaces(step.escapeWhitespaces);
      to.add_whitespace_as_suffix(step.whitespaceAsSuffix);
      to.add_prefix_only_at_start(step.prefixOnlyAtStart);
      out.push_back(to.Finish());
    }
    return out;
  }

  std::vector<Offset<fb::PreTokenizerStep>> writePreTokenizer(FlatBufferBuilder &builder) const {
    std::vector<Offset<fb::PreTokenizerStep>> out;
    for (const PreTokenizerStep &step : spec.preTokenizer) {
      auto pattern = string(builder, step.pattern), replacement = string(builder, step.replacement);
      fb::PreTokenizerStepBuilder to(builder);
      to.add_kind(fb::PreTokenizerKind(step.kind));
      to.add_pattern(pattern);
      to.add_is_regex(step.isRegex);
      to.add_behavior(fb::SplitBehavior(step.behavior));
      to.add_invert(step.invert);
      to.add_add_prefix_space(step.addPrefixSpace);
      to.add_use_regex(step.useRegex);
      to.add_individual_digits(step.individualDigits);
      to.add_replacement(replacement);
      to.add_prepend_scheme(fb::PrependScheme(step.prependScheme));
      to.add_split(step.split);
      to.add_length(step.length);
      out.push_back(to.Finish());
    }
    return out;
  }

  std::vector<Offset<fb::DecoderStep>> writeDecoder(FlatBufferBuilder &builder) const {
    std::vector<Offset<fb::DecoderStep>> out;
    for (const DecoderStep &step : spec.decoder) {
      auto pattern = string(builder, step.pattern), content = string(builder, step.content);
      fb::DecoderStepBuilder to(builder);
      to.add_kind(fb::DecoderKind(step.kind));
      to.add_pattern(pattern);
      to.add_is_regex(step.isRegex);
      to.add_content(content);
      to.add_keep_first(step.keepFirst);
      to.add_cleanup(step.cleanup);
      to.add_start(step.start);
      to.add_stop(step.stop);
      to.add_strip_first(step.stripFirst);
      to.add_strip_all(step.stripAll);
      out.push_back(to.Finish());
    }
    return out;
  }

  const TokenizerSpec &spec;
  std::vector<std::string> spellings; // of the added tokens
  std::vector<std::string> texts;     // of all ids
  std::vector<uint8_t> flags;
};

} // namespace

Result<std::vector<uint8_t>> serialize(const TokenizerSpec &spec) {
  static_assert(int(ModelKind::SentencePieceChar) == int(fb::ModelKind::MAX));
  static_assert(int(NormalizerKind::SentencePiece) == int(fb::NormalizerKind::MAX));
  static_assert(int(PreTokenizerKind::FixedLength) == int(fb::PreTokenizerKind::MAX));
  static_assert(int(SplitBehavior::Contiguous) == int(fb::SplitBehavior::MAX));
  static_assert(int(PrependScheme::Never) == int(fb::PrependScheme::MAX));
  static_assert(int(DecoderKind::SentencePiece) == int(fb::DecoderKind::MAX));
  return Serializer(spec).run();
}

} // namespace ingot::tokenizer
