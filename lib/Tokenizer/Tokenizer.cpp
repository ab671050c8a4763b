//===- Tokenizer.cpp - Text to ids and back ---------------------------------===//

#include "ingot/Tokenizer/Tokenizer.h"

#include "Blob.h"
#include "Decoder.h"
#include "Model.h"
#include "Normalizer.h"
#include "PreTokenizer.h"
#include "Unicode.h"

#include <cstring>

namespace ingot::tokenizer {

namespace {

/// Searches a text for added tokens.
class AddedTokenFinder {
public:
  AddedTokenFinder() = default;
  AddedTokenFinder(Trie trie,
                   const flatbuffers::Vector<flatbuffers::Offset<fb::AddedToken>> *tokens)
      : trie(trie), tokens(tokens) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      uint32_t node = Trie::root;
      starts[byte] = trie.step(node, char(byte));
    }
  }

  /// A part of the text: an added token if `id` is not negative.
  struct Part {
    size_t begin, end;
    int32_t id;
  };

  /// Cuts `text` at its added tokens: the leftmost, and of those the longest, at each place. A
  /// token that also takes white space can overlap the next one, if that consists of white space.
  void cut(std::string_view text, std::vector<Part> &parts) const {
    size_t open = 0; // where the text after the last token begins
    if (!trie.empty())
      for (size_t i = 0; i < text.size();) {
        if (!starts[uint8_t(text[i])]) {
          ++i;
          continue;
        }
        auto [length, index] = trie.longestPrefix(text.substr(i));
        if (length == 0) {
          ++i;
          continue;
        }
        size_t begin = i, end = i + length;
        i = end;
        const fb::AddedToken &token = *tokens->Get(flatbuffers::uoffset_t(index));
        if (token.single_word() && (endsWithWord(text.substr(0, begin)) ||
                                    (end < text.size() && startsWithWord(text, end))))
          continue;
        if (token.lstrip())
          begin = std::max(whitespaceBefore(text, begin), open);
        if (token.rstrip())
          end = whitespaceAfter(text, end);
        if (open < begin)
          parts.push_back({open, begin, -1});
        // Nothing is left of a token whose white space the one before has taken.
        if (begin < end)
          parts.push_back({begin, end, int32_t(token.id())});
        open = end;
      }
    if (open < text.size())
      parts.push_back({open, text.size(), -1});
  }

private:
  static unicode::Character lastCharacter(std::string_view text) {
    size_t begin = text.size() - 1;
    while (begin > 0 && text.size() - begin < 4 && (uint8_t(text[begin]) & 0xC0) == 0x80)
      --begin;
    unicode::Character character = unicode::characterAt(text, begin);
    if (begin + character.length == text.size())
      return character;
    return {0xFFFD, 1};
  }
  static bool endsWithWord(std::string_view text) {
    return !text.empty() && unicode::isWord(lastCharacter(text).codepoint);
  }
  static bool startsWithWord(std::string_view text, size_t position) {
    return unicode::isWord(unicode::characterAt(text, position).codepoint);
  }
  static size_t whitespaceBefore(std::string_view text, size_t position) {
    while (position > 0) {
      unicode::Character character = lastCharacter(text.substr(0, position));
      if (!unicode::isWhitespace(character.codepoint))
        break;
      position -= character.length;
    }
    return position;
  }
  static size_t whitespaceAfter(std::string_view text, size_t position) {
    while (position < text.size()) {
      unicode::Character character = unicode::characterAt(text, position);
      if (!unicode::isWhitespace(character.codepoint))
        break;
      position += character.length;
    }
    return position;
  }

  Trie trie;
  const flatbuffers::Vector<flatbuffers::Offset<fb::AddedToken>> *tokens = nullptr;
  bool starts[256] = {};
};

/// The ids of words met before in the same text: natural text repeats itself. Entries are replaced
/// when they collide.
class WordCache {
public:
  explicit WordCache(size_t words) : entries(words < 32 ? 0 : words < 1024 ? 512 : 4096) {}

  struct Entry {
    std::string_view word;
    size_t begin = 0, end = 0; // of its ids among those written so far
  };
  /// The entry for `word`: its own, or one to overwrite. Null for a text of a few words.
  Entry *find(std::string_view word) {
    if (entries.empty() || word.size() > 64)
      return nullptr;
    return &entries[std::hash<std::string_view>()(word) & (entries.size() - 1)];
  }

private:
  std::vector<Entry> entries;
};

} // namespace

struct Tokenizer::Impl {
  /// A blob that the tokenizer owns, at an address that is a multiple of 8.
  std::vector<uint64_t> storage;
  const fb::Tokenizer *blob = nullptr;
  Trie trie;
  AddedTokenFinder added, addedNormalized;
  Normalizer normalizer;
  PreTokenizer preTokenizer;
  std::unique_ptr<Model> model;
  Decoder decoder;
  SpecialIds special;

  MaybeError init(const void *data, size_t size);
  MaybeError encodeText(std::string_view text, std::vector<int32_t> &ids) const;
  MaybeError encodeWords(Piece piece, Budget &budget, std::vector<int32_t> &ids) const;

  std::string_view text(int32_t id) const {
    if (id < 0 || uint64_t(id) >= blob->token_flags()->size())
      return {};
    const uint32_t *offsets = blob->token_offsets()->data() + id;
    return {reinterpret_cast<const char *>(blob->token_bytes()->data()) + offsets[0],
            offsets[1] - offsets[0]};
  }
  uint8_t flags(int32_t id) const {
    return id >= 0 && uint64_t(id) < blob->token_flags()->size() ? blob->token_flags()->data()[id]
                                                                 : uint8_t(0);
  }
};

MaybeError Tokenizer::Impl::init(const void *data, size_t size) {
  Result<const fb::Tokenizer *> verified = verifyBlob(data, size);
  if (!verified)
    return verified.takeError();
  blob = *verified;
  trie = trieOf(blob->trie());
  added = AddedTokenFinder(trieOf(blob->added_trie()), blob->added_tokens());
  addedNormalized = AddedTokenFinder(trieOf(blob->added_normalized_trie()), blob->added_tokens());

  std::vector<CharsmapView> charsmaps;
  if (blob->charsmaps())
    for (const fb::Charsmap *map : *blob->charsmaps())
      charsmaps.push_back(
          {trieOf<DoubleArray>(map->trie()),
           {reinterpret_cast<const char *>(map->strings()->data()), map->strings()->size()}});
  if (MaybeError error = normalizer.init(normalizerOf(*blob), std::move(charsmaps),
                                         trieOf(blob->user_defined_trie())))
    return error;
  if (MaybeError error = preTokenizer.init(preTokenizerOf(*blob)))
    return error;
  if (MaybeError error = decoder.init(decoderOf(*blob)))
    return error;
  model = Model::create(*blob);
  special = {blob->bos(), blob->eos(), blob->unk(), blob->pad(),
             blob->sep(), blob->cls(), blob->mask()};
  return {};
}

MaybeError Tokenizer::Impl::encodeText(std::string_view text, std::vector<int32_t> &ids) const {
  std::string sanitized;
  if (!normalizer.takesRawBytes() && !unicode::isValid(text)) {
    sanitized = unicode::sanitize(text);
    text = sanitized;
  }
  Budget budget(text.size());
  using Part = AddedTokenFinder::Part;
  std::vector<Part> parts, normalizedParts;
  added.cut(text, parts);
  for (const Part &part : parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    std::string_view plain = text.substr(part.begin, part.end - part.begin);
    Piece piece{std::string(plain), part.begin == 0 ? unicode::characterAt(plain, 0).length : 0u};
    if (MaybeError error = normalizer.run(piece, budget))
      return error;
    normalizedParts.clear();
    addedNormalized.cut(piece.text, normalizedParts);
    for (const Part &inner : normalizedParts) {
      if (inner.id >= 0) {
        ids.push_back(inner.id);
        continue;
      }
      Piece rest;
      bool whole = inner.begin == 0 && inner.end == piece.text.size();
      rest.originBytes = piece.originBytes > inner.begin ? piece.originBytes - inner.begin : 0;
      rest.text =
          whole ? std::move(piece.text) : piece.text.substr(inner.begin, inner.end - inner.begin);
      if (MaybeError error = encodeWords(std::move(rest), budget, ids))
        return error;
    }
  }
  return {};
}

MaybeError Tokenizer::Impl::encodeWords(Piece piece, Budget &budget,
                                        std::vector<int32_t> &ids) const {
  Words words(std::move(piece));
  if (MaybeError error = preTokenizer.run(words, budget))
    return error;
  WordCache cache(words.words.size());
  for (const Words::Word &at : words.words) {
    std::string_view word(words.text.data() + at.begin, at.end - at.begin);
    if (word.size() > maxWordBytes)
      return Error{"a word of " + std::to_string(word.size()) + " bytes, at most " +
                   std::to_string(maxWordBytes) + " are possible"};
    WordCache::Entry *entry = cache.find(word);
    if (entry && entry->word == word) {
      for (size_t i = entry->begin; i < entry->end; ++i)
        ids.push_back(int32_t(ids[i]));
      continue;
    }
    size_t begin = ids.size();
    if (MaybeError error = model->encode(word, ids))
      return error;
    if (entry)
      *entry = {word, begin, ids.size()};
  }
  return {};
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer &&) noexcept = default;
Tokenizer &Tokenizer::operator=(Tokenizer &&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::open(const void *data, size_t size) {
  auto impl = std::make_unique<Impl>();
  if (MaybeError error = impl->init(data, size))
    return std::move(*error);
  return Tokenizer(std::move(impl));
}

Result<Tokenizer> Tokenizer::open(std::vector<uint8_t> blob) {
  auto impl = std::make_unique<Impl>();
  impl->storage.resize((blob.size() + 7) / 8);
  if (!blob.empty())
    std::memcpy(impl->storage.data(), blob.data(), blob.size());
  if (MaybeError error = impl->init(impl->storage.data(), blob.size()))
    return std::move(*error);
  return Tokenizer(std::move(impl));
}

Result<Tokenizer> Tokenizer::fromSpec(const TokenizerSpec &spec) {
  Result<std::vector<uint8_t>> blob = serialize(spec);
  if (!blob)
    return blob.takeError();
  return open(std::move(*blob));
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, bool addSpecial) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  auto *pieces = impl->blob->post_processor();
  if (!pieces || pieces->size() == 0) {
    if (MaybeError error = impl->encodeText(text, ids))
      return std::move(*error);
    return ids;
  }
  std::vector<int32_t> encoded;
  if (MaybeError error = impl->encodeText(text, encoded))
    return std::move(*error);
  for (const fb::TemplatePiece *piece : *pieces) {
    if (piece->is_text())
      ids.insert(ids.end(), encoded.begin(), encoded.end());
    else if (addSpecial && piece->ids())
      ids.insert(ids.end(), piece->ids()->begin(), piece->ids()->end());
  }
  return ids;
}

/// How many tokens of each text stay where `room` are left for both: as the reference takes them
/// away, one by one of the longer.
static std::pair<size_t, size_t> shareRoom(size_t a, size_t b, size_t room) {
  size_t shorter = std::min(a, b), longer = std::max(a, b);
  if (a + b <= room)
    return {a, b};
  longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = room - shorter;
  }
  return a <= b ? std::pair(shorter, longer) : std::pair(longer, shorter);
}

Result<Tokenizer::Sequence> Tokenizer::encodeSequence(std::string_view text,
                                                      std::optional<std::string_view> second,
                                                      size_t maxTokens) const {
  auto *pieces = second ? impl->blob->pair_processor() : impl->blob->post_processor();
  bool isPlain = !pieces || pieces->size() == 0;
  if (second && isPlain)
    return Error{"the tokenizer has no form for pairs of texts"};
  std::vector<int32_t> texts[2];
  if (MaybeError error = impl->encodeText(text, texts[0]))
    return std::move(*error);
  if (second)
    if (MaybeError error = impl->encodeText(*second, texts[1]))
      return std::move(*error);
  size_t added = 0;
  if (!isPlain)
    for (const fb::TemplatePiece *piece : *pieces)
      added += piece->is_text() || !piece->ids() ? 0 : piece->ids()->size();
  Sequence sequence;
  auto kept = shareRoom(texts[0].size(), texts[1].size(), maxTokens - std::min(added, maxTokens));
  auto cut = [&](std::vector<int32_t> &ids, size_t count) {
    sequence.dropped += ids.size() - count;
    if (impl->blob->cuts_front())
      ids.erase(ids.begin(), ids.end() - ptrdiff_t(count));
    else
      ids.resize(count);
  };
  cut(texts[0], kept.first);
  cut(texts[1], kept.second);
  if (isPlain) {
    sequence.ids = std::move(texts[0]);
  } else {
    for (const fb::TemplatePiece *piece : *pieces) {
      if (piece->is_text()) {
        const std::vector<int32_t> &ids = texts[piece->is_second()];
        sequence.ids.insert(sequence.ids.end(), ids.begin(), ids.end());
      } else if (piece->ids()) {
        sequence.ids.insert(sequence.ids.end(), piece->ids()->begin(), piece->ids()->end());
      }
      sequence.types.resize(sequence.ids.size(), piece->type());
    }
  }
  sequence.types.resize(sequence.ids.size(), 0);
  return sequence;
}

size_t Tokenizer::maxTokens() const { return impl->blob->max_tokens(); }

std::string Tokenizer::decode(const int32_t *ids, size_t count, bool skipSpecial) const {
  StreamDecoder stream(*this, skipSpecial);
  std::string text;
  for (size_t i = 0; i < count; ++i)
    text += stream.push(ids[i]);
  text += stream.finish();
  return text;
}

size_t Tokenizer::vocabSize() const { return impl->blob->token_flags()->size(); }

std::string_view Tokenizer::tokenBytes(int32_t id) const { return impl->text(id); }

int32_t Tokenizer::tokenId(std::string_view token) const {
  if (impl->blob->added_tokens())
    for (const fb::AddedToken *added : *impl->blob->added_tokens())
      if (viewOf(added->text()) == token)
        return int32_t(added->id());
  return int32_t(impl->trie.find(token));
}

bool Tokenizer::isSpecial(int32_t id) const {
  return impl->flags(id) & uint8_t(fb::TokenFlag::Special);
}

const SpecialIds &Tokenizer::specialIds() const { return impl->special; }

std::string_view Tokenizer::chatTemplate() const { return viewOf(impl->blob->chat_template()); }

//===----------------------------------------------------------------------===//
// StreamDecoder
//===----------------------------------------------------------------------===//

struct StreamDecoder::Pipeline {
  explicit Pipeline(const Decoder &decoder) : stages(decoder.makeChain(out)) {}
  std::string take() {
    std::string text = std::move(out);
    out.clear();
    return text;
  }

  std::string out;
  std::vector<std::unique_ptr<DecoderStage>> stages;
};

StreamDecoder::StreamDecoder(const Tokenizer &tokenizer, bool skipSpecial)
    : tokenizer(&tokenizer), skipSpecial(skipSpecial),
      pipeline(std::make_unique<Pipeline>(tokenizer.impl->decoder)) {}
StreamDecoder::StreamDecoder(StreamDecoder &&) noexcept = default;
StreamDecoder &StreamDecoder::operator=(StreamDecoder &&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  const Tokenizer::Impl &impl = *tokenizer->impl;
  uint8_t flags = impl.flags(id);
  if (flags == 0 || (skipSpecial && (flags & uint8_t(fb::TokenFlag::Special))))
    return {};
  // Added tokens stand for their text even if the model calls them control tokens.
  TokenKind kind = flags & uint8_t(fb::TokenFlag::Added)
                       ? TokenKind::Normal
                       : TokenKind(flags & uint8_t(fb::TokenFlag::KindMask));
  pipeline->stages.front()->push({impl.text(id), true, kind});
  return pipeline->take();
}

std::string StreamDecoder::finish() {
  pipeline->stages.front()->finish();
  return pipeline->take();
}

} // namespace ingot::tokenizer
