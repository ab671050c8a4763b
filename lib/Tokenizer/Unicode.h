//===- Unicode.h - UTF-8 and character properties ----------------*- C++ -*-===//
//
// The reference libraries take character properties from Rust crates whose tables stem from
// different versions of Unicode. A character assigned later is unassigned to them, so the functions
// here ask ICU for the age of a character too; each says which version it follows and lists the few
// characters whose property has changed since.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_LIB_TOKENIZER_UNICODE_H
#define INGOT_LIB_TOKENIZER_UNICODE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot::tokenizer::unicode {

//===----------------------------------------------------------------------===//
// UTF-8
//===----------------------------------------------------------------------===//

/// The bytes that one step through a text consumes.
struct Sequence {
  char32_t codepoint = 0xFFFD; ///< U+FFFD when malformed
  uint8_t length = 1;          ///< when malformed: of the longest prefix of a valid sequence, or 1
  bool valid = false;
  bool unfinished = false; ///< malformed only because the text ends here
};
Sequence sequenceAt(std::string_view text, size_t position);

/// The character at `position`; a malformed byte is U+FFFD of length 1. Always advances, never
/// leaves the text.
struct Character {
  char32_t codepoint;
  uint32_t length;
};
inline Character characterAt(std::string_view text, size_t position) {
  uint8_t first = uint8_t(text[position]);
  if (first < 0x80)
    return {first, 1};
  Sequence sequence = sequenceAt(text, position);
  return {sequence.codepoint, sequence.valid ? sequence.length : 1u};
}

void append(std::string &text, char32_t codepoint);

bool isValid(std::string_view text);
bool isAscii(std::string_view text);

/// `text` with each maximal malformed part replaced by U+FFFD.
std::string sanitize(std::string_view text);

inline constexpr std::string_view replacementCharacter = "\xEF\xBF\xBD";

/// sanitize() for text that arrives in parts.
class StreamSanitizer {
public:
  void push(std::string_view bytes, std::string &out);
  void finish(std::string &out);

private:
  std::string pending; // an unfinished character
};

//===----------------------------------------------------------------------===//
// Properties
//===----------------------------------------------------------------------===//

bool isWhitespace(char32_t c);     // White_Space
bool isNumeric(char32_t c);        // Nd, Nl, No
bool isWord(char32_t c);           // \w of UTS 18
bool isPunctuation(char32_t c);    // P, Unicode 8, and ASCII symbols
bool isControl(char32_t c);        // Cc, Cf, Co, Unicode 8
bool isNonspacingMark(char32_t c); // Mn, Unicode 8
bool isCombiningMark(char32_t c);  // M, Unicode 9
bool isCjkIdeograph(char32_t c);   // the blocks that BERT surrounds with spaces
void appendLower(std::string &text, char32_t c);

/// The script as the UnicodeScripts pre-tokeniser sees it: an opaque number; anyScript joins both
/// neighbours.
inline constexpr int anyScript = -1;
int scriptClass(char32_t c);

/// End of the extended grapheme cluster that starts at `position`.
size_t graphemeEnd(std::string_view text, size_t position);

enum class Form { NFC, NFD, NFKC, NFKD };

/// Normalised by Unicode 9's rules; newer characters are left alone.
std::string normalize(Form form, std::string_view text);

} // namespace ingot::tokenizer::unicode

#endif // INGOT_LIB_TOKENIZER_UNICODE_H
