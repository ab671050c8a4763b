//===- Normalizer.cpp - Normalising text ------------------------------------===//

#include "Normalizer.h"
#include "Unicode.h"

#include <algorithm>
#include <cstring>

namespace ingot::tokenizer {

//===----------------------------------------------------------------------===//
// Byte-level characters
//===----------------------------------------------------------------------===//

// GPT-2 spells bytes with printable characters: itself for those that Latin-1 prints (but for the
// soft hyphen), U+0100, U+0101, ... for the others, in order.

static bool printsAsItself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

/// The byte that is number `index` of those that do not print.
static int unprintable(unsigned index) {
  return index < 33 ? int(index) : index < 67 ? int(index) + 0x7F - 33 : index == 67 ? 0xAD : -1;
}

void appendByteLevel(std::string &text, uint8_t byte) {
  if (printsAsItself(byte))
    unicode::append(text, byte);
  else
    unicode::append(text, 0x100 + (byte < 33 ? byte : byte == 0xAD ? 67u : byte - 0x7Fu + 33u));
}

int byteLevelByte(char32_t c) {
  if (c < 0x100)
    return printsAsItself(c) ? int(c) : -1;
  return c < 0x144 ? unprintable(c - 0x100) : -1;
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// Rewrites `piece` character by character: `write` appends what becomes of one to `out`.
template <typename Write> static void mapCharacters(Piece &piece, Write write) {
  std::string out;
  out.reserve(piece.text.size() + piece.text.size() / 4 + 8);
  size_t originBytes = 0;
  for (size_t i = 0; i < piece.text.size();) {
    unicode::Character character = unicode::characterAt(piece.text, i);
    write(character.codepoint, out);
    if (i < piece.originBytes)
      originBytes = out.size();
    i += character.length;
  }
  piece.text = std::move(out);
  piece.originBytes = originBytes;
}

void mapToByteLevel(Piece &piece) {
  std::string out;
  out.reserve(piece.text.size() * 2);
  size_t originBytes = 0;
  for (size_t i = 0; i < piece.text.size(); ++i) {
    appendByteLevel(out, uint8_t(piece.text[i]));
    if (i < piece.originBytes)
      originBytes = out.size();
  }
  piece.text = std::move(out);
  piece.originBytes = originBytes;
}

static void normalizeForm(Piece &piece, unicode::Form form) {
  if (piece.originBytes)
    piece.originBytes =
        unicode::normalize(form, std::string_view(piece.text).substr(0, piece.originBytes)).size();
  piece.text = unicode::normalize(form, piece.text);
  piece.originBytes = std::min(piece.originBytes, piece.text.size());
}

static void strip(Piece &piece, bool left, bool right) {
  size_t begin = 0, end = piece.text.size();
  if (left)
    while (begin < end) {
      unicode::Character character = unicode::characterAt(piece.text, begin);
      if (!unicode::isWhitespace(character.codepoint))
        break;
      begin += character.length;
    }
  if (right) {
    // The end of the last character that is not white space.
    size_t last = begin;
    for (size_t i = begin; i < end;) {
      unicode::Character character = unicode::characterAt(piece.text, i);
      i += character.length;
      if (!unicode::isWhitespace(character.codepoint))
        last = i;
    }
    end = last;
  }
  piece.text = piece.text.substr(begin, end - begin);
  piece.originBytes =
      std::min(piece.originBytes - std::min(piece.originBytes, begin), piece.text.size());
}

static void bert(Piece &piece, const NormalizerStep &step) {
  if (step.cleanText)
    mapCharacters(piece, [](char32_t c, std::string &out) {
      if (c == '\t' || c == '\n' || c == '\r')
        out += ' ';
      else if (c != 0 && c != 0xFFFD && !unicode::isControl(c))
        unicode::append(out, unicode::isWhitespace(c) ? U' ' : c);
    });
  if (step.handleChinese)
    mapCharacters(piece, [](char32_t c, std::string &out) {
      bool ideograph = unicode::isCjkIdeograph(c);
      if (ideograph)
        out += ' ';
      unicode::append(out, c);
      if (ideograph)
        out += ' ';
    });
  if (step.stripAccents) {
    normalizeForm(piece, unicode::Form::NFD);
    mapCharacters(piece, [](char32_t c, std::string &out) {
      if (!unicode::isNonspacingMark(c))
        unicode::append(out, c);
    });
  }
  if (step.lowercase)
    mapCharacters(piece, [](char32_t c, std::string &out) { unicode::appendLower(out, c); });
}

static void nmt(char32_t c, std::string &out) {
  if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
      c == 0x9F)
    return;
  if (c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 ||
      (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
      c == 0xFFFD)
    c = ' ';
  unicode::append(out, c);
}

static MaybeError replace(Piece &piece, const Pattern &pattern, std::string_view content,
                          Budget &budget) {
  std::vector<Range> matches;
  if (MaybeError error = pattern.findAll(piece.text, budget, matches))
    return error;
  if (matches.empty())
    return {};
  std::string out;
  out.reserve(piece.text.size() + matches.size() * content.size());
  size_t originBytes = 0, last = 0;
  auto copy = [&](size_t end) {
    out.append(piece.text, last, end - last);
    if (last < piece.originBytes)
      originBytes = out.size() - (end - std::min(end, piece.originBytes));
  };
  for (Range match : matches) {
    copy(match.begin);
    out += content;
    // The new text stems from the last character that it replaces.
    if (piece.originBytes && match.end <= piece.originBytes)
      originBytes = out.size();
    last = match.end;
  }
  copy(piece.text.size());
  piece.text = std::move(out);
  piece.originBytes = originBytes;
  return {};
}

//===----------------------------------------------------------------------===//
// SentencePiece's character maps
//===----------------------------------------------------------------------===//

std::optional<std::string_view> CharsmapView::stringAt(int64_t offset) const {
  if (offset < 0 || uint64_t(offset) >= strings.size())
    return {};
  const char *begin = strings.data() + offset;
  size_t rest = strings.size() - size_t(offset);
  const void *zero = std::memchr(begin, 0, rest);
  std::string_view string(begin, zero ? size_t(static_cast<const char *>(zero) - begin) : rest);
  if (!unicode::isValid(string))
    return {};
  return string;
}

/// Hugging Face's use of a character map: on a whole grapheme cluster if it is short, else on each
/// character, the shortest key that the text starts with decides for all of it.
void Normalizer::precompiled(Piece &piece, const CharsmapView &charsmap) const {
  auto lookUp = [&](std::string_view text) -> std::optional<std::string_view> {
    uint32_t node = DoubleArray::root;
    for (char byte : text) {
      if (byte == 0 || !charsmap.trie.step(node, uint8_t(byte)))
        return {};
      if (int64_t value = charsmap.trie.value(node); value != DoubleArray::none)
        return charsmap.stringAt(value);
    }
    return {};
  };
  constexpr size_t longestCluster = 5;
  std::string_view text = piece.text;
  std::string out;
  out.reserve(text.size());
  size_t originBytes = 0;
  for (size_t i = 0; i < text.size();) {
    size_t end = unicode::graphemeEnd(text, i);
    if (end - i <= longestCluster)
      if (auto string = lookUp(text.substr(i, end - i))) {
        out += *string;
        if (i < piece.originBytes)
          originBytes = out.size();
        i = end;
        continue;
      }
    while (i < end) {
      size_t length = unicode::characterAt(text, i).length;
      auto string = lookUp(text.substr(i, length));
      out += string ? *string : text.substr(i, length);
      if (i < piece.originBytes)
        originBytes = out.size();
      i += length;
    }
  }
  // The reference does not notice when the map removes the first characters.
  if (piece.originBytes && originBytes == 0 && !out.empty())
    originBytes = unicode::characterAt(out, 0).length;
  piece.text = std::move(out);
  piece.originBytes = originBytes;
}

/// SentencePiece's own normaliser, which also reads malformed UTF-8: one U+FFFD per byte.
void Normalizer::sentencePiece(Piece &piece, const NormalizerStep &step) const {
  static constexpr std::string_view metaspace = "\xE2\x96\x81";
  const CharsmapView *charsmap = step.charsmap >= 0 ? &charsmaps[size_t(step.charsmap)] : nullptr;
  std::string_view rest = piece.text;

  // The normalised form of the prefix of `rest` that one rule covers, and its length.
  auto prefix = [&](size_t &length) -> std::string_view {
    if (auto [symbol, value] = userDefined.longestPrefix(rest); symbol) {
      length = symbol;
      return rest.substr(0, symbol);
    }
    int64_t found = DoubleArray::none;
    if (charsmap) {
      uint32_t node = DoubleArray::root;
      for (size_t i = 0; i < rest.size() && rest[i] && charsmap->trie.step(node, uint8_t(rest[i]));
           ++i)
        if (int64_t value = charsmap->trie.value(node); value != DoubleArray::none) {
          found = value;
          length = i + 1;
        }
      if (found != DoubleArray::none)
        if (auto string = charsmap->stringAt(found))
          return *string;
    }
    unicode::Sequence sequence = unicode::sequenceAt(rest, 0);
    length = sequence.valid ? sequence.length : 1;
    return sequence.valid ? rest.substr(0, length) : unicode::replacementCharacter;
  };

  size_t length = 0;
  if (step.removeExtraWhitespaces)
    while (!rest.empty() && prefix(length) == " ")
      rest.remove_prefix(length);
  std::string out;
  if (!rest.empty()) {
    out.reserve(rest.size() * 2 + 8);
    const std::string_view space = step.escapeWhitespaces ? metaspace : std::string_view(" ");
    bool addPrefix = step.addDummyPrefix && (!step.prefixOnlyAtStart || piece.originBytes);
    if (addPrefix && !step.whitespaceAsSuffix)
      out += space;
    bool afterSpace = step.removeExtraWhitespaces;
    while (!rest.empty()) {
      std::string_view normalized = prefix(length);
      while (afterSpace && !normalized.empty() && normalized[0] == ' ')
        normalized.remove_prefix(1);
      for (char c : normalized) {
        if (c == ' ')
          out += space;
        else
          out += c;
      }
      if (!normalized.empty())
        afterSpace = normalized.back() == ' ';
      if (!step.removeExtraWhitespaces)
        afterSpace = false;
      rest.remove_prefix(length);
    }
    if (step.removeExtraWhitespaces)
      while (out.size() >= space.size() &&
             out.compare(out.size() - space.size(), space.size(), space) == 0)
        out.resize(out.size() - space.size());
    if (addPrefix && step.whitespaceAsSuffix)
      out += space;
  }
  piece.text = std::move(out);
  piece.originBytes = std::min(piece.originBytes, piece.text.size());
}

//===----------------------------------------------------------------------===//
// The pipeline
//===----------------------------------------------------------------------===//

MaybeError Normalizer::init(const std::vector<NormalizerStep> &specs,
                            std::vector<CharsmapView> maps, Trie symbols) {
  charsmaps = std::move(maps);
  userDefined = symbols;
  for (const NormalizerStep &spec : specs) {
    Step step{spec, {}};
    bool needsCharsmap = spec.kind == NormalizerKind::Precompiled;
    if (spec.charsmap >= int64_t(charsmaps.size()) || (needsCharsmap && spec.charsmap < 0))
      return Error{"normaliser refers to character map " + std::to_string(spec.charsmap) + " of " +
                   std::to_string(charsmaps.size())};
    if (!unicode::isValid(spec.content))
      return Error{"normaliser inserts text that is not valid UTF-8"};
    if (spec.kind == NormalizerKind::Replace) {
      Result<Pattern> pattern = Pattern::create(spec.pattern, spec.isRegex);
      if (!pattern)
        return pattern.takeError();
      step.pattern = std::move(*pattern);
    }
    steps.push_back(std::move(step));
  }
  return {};
}

bool Normalizer::takesRawBytes() const {
  return !steps.empty() && steps[0].spec.kind == NormalizerKind::SentencePiece;
}

MaybeError Normalizer::run(Piece &piece, Budget &budget) const {
  for (const Step &step : steps) {
    const NormalizerStep &spec = step.spec;
    switch (spec.kind) {
    case NormalizerKind::NFC:
      normalizeForm(piece, unicode::Form::NFC);
      break;
    case NormalizerKind::NFD:
      normalizeForm(piece, unicode::Form::NFD);
      break;
    case NormalizerKind::NFKC:
      normalizeForm(piece, unicode::Form::NFKC);
      break;
    case NormalizerKind::NFKD:
      normalizeForm(piece, unicode::Form::NFKD);
      break;
    case NormalizerKind::Lowercase:
      mapCharacters(piece, [](char32_t c, std::string &out) { unicode::appendLower(out, c); });
      break;
    case NormalizerKind::Strip:
      strip(piece, spec.left, spec.right);
      break;
    case NormalizerKind::StripAccents:
      mapCharacters(piece, [](char32_t c, std::string &out) {
        if (!unicode::isCombiningMark(c))
          unicode::append(out, c);
      });
      break;
    case NormalizerKind::Bert:
      bert(piece, spec);
      break;
    case NormalizerKind::Nmt:
      mapCharacters(piece, nmt);
      break;
    case NormalizerKind::Precompiled:
      precompiled(piece, charsmaps[size_t(spec.charsmap)]);
      break;
    case NormalizerKind::Replace:
      if (MaybeError error = replace(piece, *step.pattern, spec.content, budget))
        return error;
      break;
    case NormalizerKind::Prepend:
      if (!piece.text.empty()) {
        piece.text.insert(0, spec.content);
        if (piece.originBytes)
          piece.originBytes += spec.content.size();
      }
      break;
    case NormalizerKind::ByteLevel:
      mapToByteLevel(piece);
      break;
    case NormalizerKind::SentencePiece:
      sentencePiece(piece, spec);
      break;
    }
  }
  return {};
}

} // namespace ingot::tokenizer
