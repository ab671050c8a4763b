//===- StepTest.cpp - Normalisers, pre-tokenisers, decoders one by one ------===//
//
// The expected results are those of Hugging Face tokenizers 0.23.3.
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include "Decoder.h"
#include "DoubleArray.h"
#include "Normalizer.h"
#include "PreTokenizer.h"
#include "Unicode.h"

using namespace ingot::tokenizer;

namespace {

//===----------------------------------------------------------------------===//
// Normalisers
//===----------------------------------------------------------------------===//

std::string normalized(const json &step, const std::string &text) {
  json doc = document(bpe(json::object()));
  doc["normalizer"] = step;
  Result<TokenizerSpec> spec = importTokenizerJson(doc.dump());
  if (!spec)
    return "error: " + spec.error();
  std::vector<CharsmapView> maps;
  for (const Charsmap &map : spec->charsmaps)
    maps.push_back({DoubleArray(map.trie.data(), map.trie.size()), map.strings});
  Normalizer normalizer;
  if (MaybeError error = normalizer.init(spec->normalizer, maps, Trie()))
    return "error: " + error->message;
  Piece piece{text, text.empty() ? 0u : 1u};
  Budget budget(text.size());
  if (MaybeError error = normalizer.run(piece, budget))
    return "error: " + error->message;
  return piece.text;
}

TEST(Normalizer, Forms) {
  EXPECT_EQ(normalized({{"type", "NFC"}}, "e\u0301 \u212B"), "\u00E9 \u00C5");
  EXPECT_EQ(normalized({{"type", "NFD"}}, "\u00E9\uAC00"), "e\u0301\u1100\u1161");
  EXPECT_EQ(normalized({{"type", "NFKC"}}, "\uFB01\u00BD\uFF11"), "fi1\u204421");
  EXPECT_EQ(normalized({{"type", "NFKD"}}, "\u1E9B\u0323"), "s\u0323\u0307");
}

TEST(Normalizer, FormsFollowUnicodeNine) {
  // U+11938 (Unicode 13) decomposes, and U+0898 (14) is reordered, in newer versions only.
  EXPECT_EQ(normalized({{"type", "NFD"}}, "\U00011938"), "\U00011938");
  EXPECT_EQ(normalized({{"type", "NFC"}}, "a\u0898\u0323"), "a\u0898\u0323");
}

TEST(Normalizer, LowercaseIsPerCharacter) {
  EXPECT_EQ(normalized({{"type", "Lowercase"}}, "\u00C4\u0130 \u03A3\u03A3"),
            "\u00E4i\u0307 \u03C3\u03C3");
}

TEST(Normalizer, Strip) {
  json step = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}};
  EXPECT_EQ(normalized(step, " \u3000a b\t"), "a b\t");
  step["strip_left"] = false;
  step["strip_right"] = true;
  EXPECT_EQ(normalized(step, " a b\t\u00A0"), " a b");
  EXPECT_EQ(normalized(step, " \n"), "");
}

TEST(Normalizer, StripAccents) {
  EXPECT_EQ(normalized({{"type", "StripAccents"}}, "e\u0301\u0903x"), "ex");
  EXPECT_EQ(normalized({{"type", "StripAccents"}}, "\u00E9"), "\u00E9");
}

TEST(Normalizer, Bert) {
  json step = {{"type", "BertNormalizer"},
               {"clean_text", true},
               {"handle_chinese_chars", true},
               {"strip_accents", nullptr},
               {"lowercase", true}};
  std::string zero(1, '\0');
  EXPECT_EQ(normalized(step, "H\u00E9\tl" + zero + "\u0007\u200D\u4E00o\uFFFD"), "he l \u4E00 o");
  step["lowercase"] = false; // and with it the accents stay
  EXPECT_EQ(normalized(step, "\u00C9"), "\u00C9");
  step["strip_accents"] = true;
  EXPECT_EQ(normalized(step, "\u00C9"), "E");
  step["clean_text"] = false;
  EXPECT_EQ(normalized(step, "\t\u200D"), "\t\u200D");
}

TEST(Normalizer, Nmt) {
  EXPECT_EQ(normalized({{"type", "Nmt"}}, "a\u0001\tb\u200Bc\uFEFF\u2581\u007F"), "a b c  ");
}

TEST(Normalizer, Replace) {
  json step = {{"type", "Replace"}, {"pattern", {{"String", "a."}}}, {"content", "x"}};
  EXPECT_EQ(normalized(step, "a.ab a.a."), "xab xx");
  step["pattern"] = {{"Regex", "a."}};
  EXPECT_EQ(normalized(step, "a.ab a.a."), "xx xx");
  step["pattern"] = {{"Regex", ""}};
  EXPECT_EQ(normalized(step, "a\u00E9"), "xax\u00E9x");
}

TEST(Normalizer, PrependOnlyToSomething) {
  json step = {{"type", "Prepend"}, {"prepend", "\u2581"}};
  EXPECT_EQ(normalized(step, "a"), "\u2581a");
  EXPECT_EQ(normalized(step, ""), "");
}

TEST(Normalizer, ByteLevel) {
  EXPECT_EQ(normalized({{"type", "ByteLevel"}}, " \u00E9\n"), "\u0120\u00C3\u00A9\u010A");
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string text;
    appendByteLevel(text, uint8_t(byte));
    EXPECT_EQ(byteLevelByte(unicode::characterAt(text, 0).codepoint), int(byte));
  }
  EXPECT_EQ(byteLevelByte(' '), -1);
  EXPECT_EQ(byteLevelByte(0xAD), -1);
  EXPECT_EQ(byteLevelByte(0x144), -1);
}

TEST(Normalizer, Sequence) {
  json step = {
      {"type", "Sequence"},
      {"normalizers", {{{"type", "NFD"}}, {{"type", "StripAccents"}}, {{"type", "Lowercase"}}}}};
  EXPECT_EQ(normalized(step, "\u00C9\u00C0"), "ea");
}

/// A precompiled_charsmap in base64. The trie holds raw bytes, which buildTrie can make as long as
/// no key contains a zero.
std::string charsmapBase64(const std::vector<std::pair<std::string, std::string>> &rules) {
  std::string strings;
  std::vector<std::pair<std::string_view, uint32_t>> entries;
  for (auto &[from, to] : rules) {
    entries.push_back({from, uint32_t(strings.size())});
    strings += to;
    strings += '\0';
  }
  std::vector<uint32_t> units = buildTrie(entries);
  uint32_t size = uint32_t(units.size() * 4);
  std::string blob(reinterpret_cast<char *>(&size), 4);
  blob.append(reinterpret_cast<char *>(units.data()), size);
  blob += strings;
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < blob.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < blob.size() ? uint8_t(blob[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k)
      out += i + k <= blob.size() ? digits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

TEST(Normalizer, Precompiled) {
  json step = {{"type", "Precompiled"},
               {"precompiled_charsmap",
                charsmapBase64({{"\uFB01", "fi"}, {"\t", " "}, {"e", "E"}, {"e\u0301", "X"}})}};
  EXPECT_EQ(normalized(step, "\uFB01\tx"), "fi x");
  // A short cluster is replaced as a whole by what its shortest prefix maps to.
  EXPECT_EQ(normalized(step, "e\u0301"), "E");
  // A long one goes character by character.
  EXPECT_EQ(normalized(step, "e\u0301\u0301\u0301"), "E\u0301\u0301\u0301");
}

TEST(Unicode, GraphemeClusters) {
  auto lengths = [](std::string_view text) {
    std::vector<size_t> out;
    for (size_t i = 0; i < text.size();) {
      size_t end = unicode::graphemeEnd(text, i);
      out.push_back(end - i);
      i = end;
    }
    return out;
  };
  using Lengths = std::vector<size_t>;
  EXPECT_EQ(lengths("e\u0301a\r\n\n"), (Lengths{3, 1, 2, 1}));
  EXPECT_EQ(lengths("\u1100\u1161\u11A8\u1100"), (Lengths{9, 3}));              // Hangul
  EXPECT_EQ(lengths("\U0001F1E9\U0001F1EA\U0001F1E9"), (Lengths{8, 4}));        // flags
  EXPECT_EQ(lengths("\U0001F469\u200D\U0001F469\U0001F469"), (Lengths{11, 4})); // joined
  EXPECT_EQ(lengths("a\u200D\U0001F469"), (Lengths{4, 4}));                     // not joined
}

TEST(Unicode, SanitizeReplacesMaximalParts) {
  EXPECT_EQ(unicode::sanitize("a\x80z"), "a\uFFFDz");
  EXPECT_EQ(unicode::sanitize("\xF0\x9F\x98"), "\uFFFD");
  EXPECT_EQ(unicode::sanitize("\xE4\xBD"
                              "x\xED\xA0\x80"),
            "\uFFFDx\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(unicode::sanitize("\xC0\x80\xF5"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(unicode::sanitize("\u00E9\U0010FFFF"), "\u00E9\U0010FFFF");
}

//===----------------------------------------------------------------------===//
// Pre-tokenisers
//===----------------------------------------------------------------------===//

using Strings = std::vector<std::string>;

Strings words(const json &step, const std::string &text) {
  json doc = document(bpe(json::object()));
  doc["pre_tokenizer"] = step;
  Result<TokenizerSpec> spec = importTokenizerJson(doc.dump());
  if (!spec)
    return {"error: " + spec.error()};
  PreTokenizer preTokenizer;
  if (MaybeError error = preTokenizer.init(spec->preTokenizer))
    return {"error: " + error->message};
  Words result(Piece{text, text.empty() ? 0u : 1u});
  Budget budget(text.size());
  if (MaybeError error = preTokenizer.run(result, budget))
    return {"error: " + error->message};
  Strings out;
  for (const Words::Word &word : result.words)
    out.push_back(result.text.substr(word.begin, word.end - word.begin));
  return out;
}

json split(json pattern, const char *behavior, bool invert = false) {
  return {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}};
}

TEST(PreTokenizer, SplitBehaviors) {
  json dash = {{"String", "-"}};
  const char *text = "-a--b";
  EXPECT_EQ(words(split(dash, "Removed"), text), (Strings{"a", "b"}));
  EXPECT_EQ(words(split(dash, "Isolated"), text), (Strings{"-", "a", "-", "-", "b"}));
  EXPECT_EQ(words(split(dash, "MergedWithPrevious"), text), (Strings{"-", "a-", "-", "b"}));
  EXPECT_EQ(words(split(dash, "MergedWithNext"), text), (Strings{"-a", "-", "-b"}));
  EXPECT_EQ(words(split(dash, "Contiguous"), text), (Strings{"-", "a", "--", "b"}));
}

TEST(PreTokenizer, SplitInverted) {
  json word = {{"Regex", "[a-z]+"}};
  EXPECT_EQ(words(split(word, "Removed", true), "ab, cd"), (Strings{"ab", "cd"}));
  EXPECT_EQ(words(split(word, "Isolated", true), "ab, cd"), (Strings{"ab", ", ", "cd"}));
}

TEST(PreTokenizer, SplitNestedClassesAndLookahead) {
  EXPECT_EQ(words(split({{"Regex", "[^(\\s|[.,])]+"}}, "Isolated"), "a.b c"),
            (Strings{"a", ".", "b", " ", "c"}));
  EXPECT_EQ(words(split({{"Regex", "\\s+(?!\\S)|\\s+"}}, "Isolated"), "a   b "),
            (Strings{"a", "  ", " ", "b", " "}));
}

TEST(PreTokenizer, SplitAtEmptyMatches) {
  EXPECT_EQ(words(split({{"Regex", ""}}, "Isolated"), "a\u00E9b"), (Strings{"a", "\u00E9", "b"}));
  EXPECT_EQ(words(split({{"String", ""}}, "Removed"), "ab"), (Strings{"a", "b"}));
  EXPECT_EQ(words(split({{"Regex", "b*"}}, "Isolated"), "abba"), (Strings{"a", "bb", "a"}));
}

TEST(PreTokenizer, ByteLevel) {
  json step = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  EXPECT_EQ(words(step, "it's  12\u00E9!"),
            (Strings{"it", "'s", "\u0120", "\u012012", "\u00C3\u00A9", "!"}));
  step["add_prefix_space"] = true;
  step["use_regex"] = false;
  EXPECT_EQ(words(step, "a b"), (Strings{"\u0120a\u0120b"}));
  EXPECT_EQ(words(step, " a"), (Strings{"\u0120a"}));
}

TEST(PreTokenizer, Digits) {
  json step = {{"type", "Digits"}, {"individual_digits", true}};
  EXPECT_EQ(words(step, "a12\u00BDb"), (Strings{"a", "1", "2", "\u00BD", "b"}));
  step["individual_digits"] = false;
  EXPECT_EQ(words(step, "a12\u00BDb"), (Strings{"a", "12\u00BD", "b"}));
}

TEST(PreTokenizer, Punctuation) {
  json step = {{"type", "Punctuation"}};
  EXPECT_EQ(words(step, "a,$\u3002b"), (Strings{"a", ",", "$", "\u3002", "b"}));
  step["behavior"] = "Contiguous";
  EXPECT_EQ(words(step, "a,$\u3002b"), (Strings{"a", ",$\u3002", "b"}));
  // U+2E52 became punctuation after Unicode 8.
  EXPECT_EQ(words(step, "a\u2E52b"), (Strings{"a\u2E52b"}));
}

TEST(PreTokenizer, Whitespaces) {
  EXPECT_EQ(words({{"type", "Whitespace"}}, "a_1 -+\u00E9\u0301\u3000b"),
            (Strings{"a_1", "-+", "\u00E9\u0301", "b"}));
  EXPECT_EQ(words({{"type", "WhitespaceSplit"}}, " a-b\u00A0c\n"), (Strings{"a-b", "c"}));
  EXPECT_EQ(words({{"type", "BertPreTokenizer"}}, "a b,c"), (Strings{"a", "b", ",", "c"}));
  EXPECT_EQ(words({{"type", "CharDelimiterSplit"}, {"delimiter", "\u00E9"}}, "a\u00E9\u00E9b"),
            (Strings{"a", "b"}));
}

TEST(PreTokenizer, Metaspace) {
  json step = {{"type", "Metaspace"}, {"replacement", "\u2581"}};
  EXPECT_EQ(words(step, "a  b"), (Strings{"\u2581a", "\u2581", "\u2581b"}));
  EXPECT_EQ(words(step, " a"), (Strings{"\u2581a"}));
  step["split"] = false;
  EXPECT_EQ(words(step, "a b"), (Strings{"\u2581a\u2581b"}));
  step["prepend_scheme"] = "never";
  EXPECT_EQ(words(step, "a b"), (Strings{"a\u2581b"}));
}

TEST(PreTokenizer, MetaspaceFirstOnlyAtTheStart) {
  json first = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}};
  json step = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "WhitespaceSplit"}}, first}}};
  EXPECT_EQ(words(step, "a b"), (Strings{"_a", "b"}));
  EXPECT_EQ(words(step, " a b"), (Strings{"a", "b"}));
}

TEST(PreTokenizer, MetaspaceOldSpelling) {
  json step = {{"type", "Metaspace"}, {"replacement", "_"}, {"add_prefix_space", false}};
  EXPECT_EQ(words(step, "a b"), (Strings{"a", "_b"}));
  step["prepend_scheme"] = "first";
  EXPECT_EQ(words(step, "a b"), (Strings{"error: add_prefix_space does not match prepend_scheme "
                                         "'first' (at pre_tokenizer)"}));
}

TEST(PreTokenizer, UnicodeScripts) {
  json step = {{"type", "UnicodeScripts"}};
  EXPECT_EQ(words(step, "ab \u0430\u6F22\u304B\u30AB."),
            (Strings{"ab ", "\u0430", "\u6F22\u304B\u30AB", "."}));
  EXPECT_EQ(words(step, " a"), (Strings{"a"})); // what comes before the first script is lost
}

TEST(PreTokenizer, FixedLength) {
  json step = {{"type", "FixedLength"}, {"length", 2}};
  EXPECT_EQ(words(step, "ab\u00E9cd"), (Strings{"ab", "\u00E9c", "d"}));
}

TEST(PreTokenizer, SequenceSeesByteLevelCharacters) {
  // The byte 0xB2 is spelled with a character that is a digit.
  json step = {{"type", "Sequence"},
               {"pretokenizers",
                {{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}},
                 {{"type", "Digits"}, {"individual_digits", false}}}}};
  EXPECT_EQ(words(step, "\u00F2"), (Strings{"\u00C3", "\u00B2"}));
}

//===----------------------------------------------------------------------===//
// Decoders
//===----------------------------------------------------------------------===//

/// Decodes tokens in one go, and checks that feeding them one by one gives the same.
std::string decoded(const json &step, const Strings &tokens) {
  json doc = document(bpe(json::object()));
  doc["decoder"] = step;
  Result<TokenizerSpec> spec = importTokenizerJson(doc.dump());
  if (!spec)
    return "error: " + spec.error();
  Decoder decoder;
  if (MaybeError error = decoder.init(spec->decoder))
    return "error: " + error->message;
  std::string out;
  auto chain = decoder.makeChain(out);
  for (unsigned round = 0; round < 2; ++round) { // the second shows that finish() starts over
    out.clear();
    for (const std::string &token : tokens) {
      chain.front()->push({token});
      EXPECT_TRUE(isWholeUtf8(out)) << out;
    }
    chain.front()->finish();
  }
  return out;
}

TEST(Decoder, NoneJoinsWithSpaces) {
  EXPECT_EQ(decoded(nullptr, {"a", "b", "c"}), "a b c");
  EXPECT_EQ(decoded({{"type", "Sequence"}, {"decoders", json::array()}}, {"a", "b"}), "ab");
}

TEST(Decoder, ByteLevel) {
  json step = {{"type", "ByteLevel"}};
  EXPECT_EQ(decoded(step, {"\u0120a", "\u00C3", "\u00A9"}), " a\u00E9");
  EXPECT_EQ(decoded(step, {"\u00C3", "a"}), "\uFFFDa");
  EXPECT_EQ(decoded(step, {"\u00C3"}), "\uFFFD");
  EXPECT_EQ(decoded(step, {"a b", "\u0120"}), "a b "); // a token with other characters stays
}

TEST(Decoder, Metaspace) {
  json step = {{"type", "Metaspace"}, {"replacement", "\u2581"}};
  EXPECT_EQ(decoded(step, {"\u2581a\u2581", "\u2581b"}), "a b");
  step["prepend_scheme"] = "never";
  EXPECT_EQ(decoded(step, {"\u2581a", "\u2581b"}), " a b");
}

TEST(Decoder, WordPiece) {
  json step = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", false}};
  EXPECT_EQ(decoded(step, {"##a", "##b", "c", "."}), "##ab c .");
  step["cleanup"] = true;
  EXPECT_EQ(decoded(step, {"do", "n't", "x", "."}), "don't x.");
}

TEST(Decoder, ByteFallback) {
  json step = {{"type", "ByteFallback"}};
  EXPECT_EQ(decoded(step, {"a", "<0xC3>", "<0xA9>", "b", "<0xc3>"}), "a\u00E9b\uFFFD");
  EXPECT_EQ(decoded(step, {"<0x41>", "<0xFF>"}), "\uFFFD\uFFFD"); // the run is bad as a whole
  EXPECT_EQ(decoded(step, {"<0x4>", "<0xZZ>"}), "<0x4><0xZZ>");
}

TEST(Decoder, StripAndFuse) {
  json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  EXPECT_EQ(decoded(strip, {"  a", " b"}), " ab");
  json both = {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, strip}}};
  EXPECT_EQ(decoded(both, {"", " ", " a", " b"}), " a b");
  strip["start"] = 0;
  strip["stop"] = 2;
  both = {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, strip}}};
  EXPECT_EQ(decoded(both, {"a ", " ", "b ", " ", " "}), "a  b ");
}

TEST(Decoder, Replace) {
  json step = {{"type", "Replace"}, {"pattern", {{"String", "aab"}}}, {"content", "\u00E9"}};
  EXPECT_EQ(decoded(step, {"aaab", "aa", "b"}), "a\u00E9aab");
  json fused = {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, step}}};
  EXPECT_EQ(decoded(fused, {"a", "aa", "baa", "b", "aa"}), "a\u00E9\u00E9aa");
  step["pattern"] = {{"Regex", "[ab]+"}};
  EXPECT_EQ(decoded(step, {"cab", "b"}), "c\u00E9\u00E9");
}

TEST(Decoder, BPE) {
  json step = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  EXPECT_EQ(decoded(step, {"a", "b</w>", "c</w>"}), "ab c");
  EXPECT_EQ(decoded(step, {}), "");
}

TEST(Decoder, CTC) {
  json step = {
      {"type", "CTC"}, {"pad_token", "<pad>"}, {"word_delimiter_token", "|"}, {"cleanup", true}};
  EXPECT_EQ(decoded(step, {"a", "a", "<pad>", "a", "|", "|", "b"}), "aa b");
}

TEST(Decoder, ReplaceStreamsAcrossFragments) {
  // Text appears as soon as it cannot be part of a match.
  json doc = document(bpe({{"xa", 0}, {"b", 1}, {"c", 2}}));
  doc["decoder"] = {{"type", "Sequence"},
                    {"decoders",
                     {{{"type", "Fuse"}},
                      {{"type", "Replace"}, {"pattern", {{"String", "ab"}}}, {"content", "-"}}}}};
  Tokenizer tokenizer = load(doc);
  StreamDecoder stream(tokenizer, false);
  EXPECT_EQ(stream.push(0), "x");
  EXPECT_EQ(stream.push(1), "-");
  EXPECT_EQ(stream.push(0), "x");
  EXPECT_EQ(stream.push(2), "ac");
  EXPECT_EQ(stream.finish(), "");
}

//===----------------------------------------------------------------------===//
// Tries
//===----------------------------------------------------------------------===//

TEST(Trie, FindsExactlyItsKeys) {
  // Enough keys of every shape to need several blocks; a zero byte in some.
  std::vector<std::string> keys;
  uint32_t state = 1;
  auto random = [&](uint32_t bound) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % bound;
  };
  for (unsigned i = 0; i < 20000; ++i) {
    std::string key;
    for (unsigned k = random(12) + 1; k > 0; --k)
      key += char(random(4) ? 'a' + random(4) : random(0xF5));
    keys.push_back(key);
  }
  std::vector<std::pair<std::string_view, uint32_t>> entries;
  std::map<std::string_view, uint32_t> expected;
  for (size_t i = 0; i < keys.size(); i += 2) {
    entries.push_back({keys[i], uint32_t(i)});
    expected[keys[i]] = uint32_t(i);
  }
  std::vector<uint32_t> units = buildTrie(entries);
  Trie trie(units.data(), units.size());
  for (const std::string &key : keys) {
    auto it = expected.find(key);
    EXPECT_EQ(trie.find(key), it == expected.end() ? Trie::none : int64_t(it->second));
    std::pair<size_t, int64_t> longest{0, Trie::none};
    for (size_t length = 1; length <= key.size(); ++length)
      if (auto prefix = expected.find(std::string_view(key).substr(0, length));
          prefix != expected.end())
        longest = {length, int64_t(prefix->second)};
    EXPECT_EQ(trie.longestPrefix(key), longest);
  }
  EXPECT_LT(units.size(), 20000u * 12);
}

TEST(Trie, EmptyAndForeignBytes) {
  Trie empty;
  EXPECT_EQ(empty.find("a"), Trie::none);
  std::vector<uint32_t> units = buildTrie({{std::string_view("\0", 1), 7}});
  Trie trie(units.data(), units.size());
  EXPECT_EQ(trie.find(std::string_view("\0", 1)), 7);
  EXPECT_EQ(trie.find("\xFF"), Trie::none); // the label that stands for the zero byte
}

} // namespace
