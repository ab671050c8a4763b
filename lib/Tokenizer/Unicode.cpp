//===- Unicode.cpp - UTF-8 and character properties -------------------------===//

#include "Unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/uscript.h>

#include <cstring>

namespace ingot::tokenizer::unicode {

//===----------------------------------------------------------------------===//
// UTF-8
//===----------------------------------------------------------------------===//

Sequence sequenceAt(std::string_view text, size_t position) {
  auto byteAt = [&](size_t i) { return uint8_t(text[position + i]); };
  uint8_t first = byteAt(0);
  if (first < 0x80)
    return {first, 1, true, false};
  // The second byte's range depends on the first, which excludes overlong forms, surrogates and
  // what lies beyond U+10FFFF; the others' does not.
  unsigned length = first >= 0xC2 && first <= 0xDF   ? 2
                    : (first & 0xF0) == 0xE0         ? 3
                    : first >= 0xF0 && first <= 0xF4 ? 4
                                                     : 0;
  if (length == 0)
    return {};
  uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  char32_t codepoint = first & (0x7F >> length);
  for (unsigned i = 1; i < length; ++i) {
    if (position + i >= text.size())
      return {0xFFFD, uint8_t(i), false, true};
    uint8_t byte = byteAt(i);
    if (byte < low || byte > high)
      return {0xFFFD, uint8_t(i), false, false};
    codepoint = codepoint << 6 | (byte & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {codepoint, uint8_t(length), true, false};
}

void append(std::string &text, char32_t c) {
  if (c < 0x80) {
    text += char(c);
  } else if (c < 0x800) {
    text += char(0xC0 | c >> 6);
    text += char(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    text += char(0xE0 | c >> 12);
    text += char(0x80 | (c >> 6 & 0x3F));
    text += char(0x80 | (c & 0x3F));
  } else {
    text += char(0xF0 | c >> 18);
    text += char(0x80 | (c >> 12 & 0x3F));
    text += char(0x80 | (c >> 6 & 0x3F));
    text += char(0x80 | (c & 0x3F));
  }
}

/// The number of ASCII bytes from `position` on.
static size_t asciiRun(std::string_view text, size_t position) {
  size_t i = position;
  for (uint64_t word; i + sizeof(word) <= text.size(); i += sizeof(word)) {
    std::memcpy(&word, text.data() + i, sizeof(word));
    if (word & 0x8080808080808080u)
      break;
  }
  while (i < text.size() && uint8_t(text[i]) < 0x80)
    ++i;
  return i - position;
}

bool isAscii(std::string_view text) { return asciiRun(text, 0) == text.size(); }

bool isValid(std::string_view text) {
  for (size_t i = asciiRun(text, 0); i < text.size(); i += asciiRun(text, i)) {
    Sequence sequence = sequenceAt(text, i);
    if (!sequence.valid)
      return false;
    i += sequence.length;
  }
  return true;
}

std::string sanitize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  StreamSanitizer sanitizer;
  sanitizer.push(text, out);
  sanitizer.finish(out);
  return out;
}

void StreamSanitizer::push(std::string_view bytes, std::string &out) {
  std::string joined;
  if (!pending.empty()) {
    joined = std::move(pending);
    joined += bytes;
    bytes = joined;
    pending.clear();
  }
  size_t i = 0;
  while (i < bytes.size()) {
    size_t run = asciiRun(bytes, i);
    out += bytes.substr(i, run);
    i += run;
    if (i == bytes.size())
      break;
    Sequence sequence = sequenceAt(bytes, i);
    if (sequence.unfinished) {
      pending = bytes.substr(i);
      break;
    }
    out += sequence.valid ? bytes.substr(i, sequence.length) : replacementCharacter;
    i += sequence.length;
  }
}

void StreamSanitizer::finish(std::string &out) {
  if (!pending.empty())
    out += replacementCharacter;
  pending.clear();
}

//===----------------------------------------------------------------------===//
// Properties
//===----------------------------------------------------------------------===//

/// True if `c` was assigned in Unicode `major`.0 or earlier.
static bool isAsOldAs(char32_t c, unsigned major) {
  UVersionInfo age;
  u_charAge(UChar32(c), age);
  return age[0] != 0 && (age[0] < major || (age[0] == major && age[1] == 0));
}

static bool hasCategory(char32_t c, uint32_t mask) { return U_MASK(u_charType(UChar32(c))) & mask; }

bool isWhitespace(char32_t c) { return u_isUWhiteSpace(UChar32(c)); }

bool isNumeric(char32_t c) { return hasCategory(c, U_GC_ND_MASK | U_GC_NL_MASK | U_GC_NO_MASK); }

bool isWord(char32_t c) {
  if (c < 0x80)
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  return hasCategory(c, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) || u_isUAlphabetic(UChar32(c)) ||
         u_hasBinaryProperty(UChar32(c), UCHAR_JOIN_CONTROL);
}

bool isPunctuation(char32_t c) {
  if (c < 0x80)
    return c > ' ' && c < 0x7F && (c == '_' || !isWord(c));
  if (c == 0x166D || c == 0x111C9) // Po then
    return true;
  return hasCategory(c, U_GC_P_MASK) && isAsOldAs(c, 8);
}

bool isControl(char32_t c) {
  return hasCategory(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK | U_GC_CS_MASK) &&
         isAsOldAs(c, 8);
}

bool isNonspacingMark(char32_t c) {
  if (c < 0x300)
    return false;
  if (c == 0x1734) // Mn then
    return true;
  if (c == 0x1885 || c == 0x1886 || c == 0xA9BD || c == 0x111C9) // something else then
    return false;
  return hasCategory(c, U_GC_MN_MASK) && isAsOldAs(c, 8);
}

bool isCombiningMark(char32_t c) {
  if (c < 0x300)
    return false;
  if (c == 0x1CF2 || c == 0x1CF3) // Mc then
    return true;
  if (c == 0x111C9) // Po then
    return false;
  return hasCategory(c, U_GC_M_MASK) && isAsOldAs(c, 9);
}

bool isCjkIdeograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
         (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

void appendLower(std::string &text, char32_t c) {
  if (c < 0x80) {
    text += char(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  if (c == 0x130) { // the only character whose lower case is longer, whatever surrounds it
    text += "i\xCC\x87";
    return;
  }
  append(text, char32_t(u_tolower(UChar32(c))));
}

int scriptClass(char32_t c) {
  // Unicode 9's scripts, with Japanese writing as one.
  if (c == ' ' || !isAsOldAs(c, 9))
    return anyScript;
  if (c == 0x30FC)
    return USCRIPT_HAN;
  if (c == 0x589 || c == 0x61C)
    return USCRIPT_COMMON;
  if (c == 0x953 || c == 0x954)
    return USCRIPT_DEVANAGARI;
  UErrorCode status = U_ZERO_ERROR;
  UScriptCode script = uscript_getScript(UChar32(c), &status);
  if (U_FAILURE(status) || script == USCRIPT_UNKNOWN)
    return anyScript;
  return script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA ? USCRIPT_HAN : script;
}

size_t graphemeEnd(std::string_view text, size_t position) {
  auto breakClass = [](char32_t c) {
    return u_getIntPropertyValue(UChar32(c), UCHAR_GRAPHEME_CLUSTER_BREAK);
  };
  Character current = characterAt(text, position);
  size_t end = position + current.length;
  int before = breakClass(current.codepoint);
  unsigned indicators = before == U_GCB_REGIONAL_INDICATOR;
  // Extended_Pictographic Extend* so far, and the same with a joiner behind it.
  bool pictograph = u_hasBinaryProperty(UChar32(current.codepoint), UCHAR_EXTENDED_PICTOGRAPHIC);
  bool joined = false;
  while (end < text.size()) {
    Character character = characterAt(text, end);
    int after = breakClass(character.codepoint);
    bool isPictograph =
        u_hasBinaryProperty(UChar32(character.codepoint), UCHAR_EXTENDED_PICTOGRAPHIC);
    bool join;
    if (before == U_GCB_CR && after == U_GCB_LF)
      join = true;
    else if (before == U_GCB_CR || before == U_GCB_LF || before == U_GCB_CONTROL ||
             after == U_GCB_CR || after == U_GCB_LF || after == U_GCB_CONTROL)
      join = false;
    else if (before == U_GCB_L)
      join = after == U_GCB_L || after == U_GCB_V || after == U_GCB_LV || after == U_GCB_LVT;
    else if (before == U_GCB_LV || before == U_GCB_V)
      join = after == U_GCB_V || after == U_GCB_T;
    else if (before == U_GCB_LVT || before == U_GCB_T)
      join = after == U_GCB_T;
    else
      join = before == U_GCB_PREPEND || (joined && isPictograph) ||
             (after == U_GCB_REGIONAL_INDICATOR && indicators % 2 == 1);
    bool extends = after == U_GCB_EXTEND || after == U_GCB_ZWJ || after == U_GCB_SPACING_MARK;
    bool control = before == U_GCB_CR || before == U_GCB_LF || before == U_GCB_CONTROL;
    if (!join && !(extends && !control))
      break;
    indicators = after == U_GCB_REGIONAL_INDICATOR ? indicators + 1 : 0;
    joined = pictograph && after == U_GCB_ZWJ;
    pictograph = isPictograph || (pictograph && after == U_GCB_EXTEND);
    before = after;
    end += character.length;
  }
  return end;
}

//===----------------------------------------------------------------------===//
// Normalisation
//===----------------------------------------------------------------------===//

namespace {
/// ICU's four normalisers, restricted to the characters of Unicode 9.
class Normalizers {
public:
  Normalizers() {
    UErrorCode status = U_ZERO_ERROR;
    filter.applyPattern(icu::UnicodeString(u"[:Age=9.0:]"), status);
    filter.freeze();
    const icu::Normalizer2 *plain[] = {
        icu::Normalizer2::getNFCInstance(status), icu::Normalizer2::getNFDInstance(status),
        icu::Normalizer2::getNFKCInstance(status), icu::Normalizer2::getNFKDInstance(status)};
    if (U_SUCCESS(status))
      for (int i = 0; i < 4; ++i)
        filtered[i] = new icu::FilteredNormalizer2(*plain[i], filter);
  }

  const icu::Normalizer2 *get(Form form) const { return filtered[int(form)]; }

private:
  icu::UnicodeSet filter;
  const icu::Normalizer2 *filtered[4] = {};
};
} // namespace

std::string normalize(Form form, std::string_view text) {
  // Never destroyed: other threads may still run at exit.
  static const Normalizers &normalizers = *new Normalizers;
  const icu::Normalizer2 *normalizer = normalizers.get(form);
  std::string out;
  if (isAscii(text) || !normalizer || text.size() > size_t(INT32_MAX))
    return out = text, out;
  out.reserve(text.size());
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  normalizer->normalizeUTF8(0, icu::StringPiece(text.data(), int32_t(text.size())), sink, nullptr,
                            status);
  if (U_FAILURE(status))
    out = text;
  return out;
}

} // namespace ingot::tokenizer::unicode
