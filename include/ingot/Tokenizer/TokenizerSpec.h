//===- TokenizerSpec.h - Neutral description of a tokenizer ------*- C++ -*-===//
//
// Every importer produces a TokenizerSpec and `serialize` turns one into the binary form that the
// Tokenizer class runs from. The description follows the pipeline of Hugging Face tokenizers,
//
//   text -> [added tokens] -> normaliser -> [normalised added tokens] -> pre-tokeniser -> model
//        -> post-processor -> ids            ids -> decoder -> text
//
// with SentencePiece as one more kind of normaliser, model and decoder, because its arithmetic
// differs in details that change ids. Sequences are flattened: a pipeline is a list of steps.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_TOKENIZER_TOKENIZERSPEC_H
#define INGOT_TOKENIZER_TOKENIZERSPEC_H

#include <cstdint>
#include <string>
#include <vector>

namespace ingot::tokenizer {

/// Longest token in bytes, and one more than the largest id, that any importer accepts. They bound
/// the work that a hostile vocabulary can cause.
inline constexpr size_t maxTokenBytes = 8192;
inline constexpr size_t maxVocabulary = size_t(1) << 24;

/// The kinds are SentencePiece's; the models of Hugging Face only know Normal (and Absent).
enum class TokenKind : uint8_t { Absent, Normal, Unknown, Control, UserDefined, Unused, Byte };

/// One entry of the vocabulary; its id is its index. Ids without a token are Absent.
struct Token {
  std::string text;
  double score = 0;
  TokenKind kind = TokenKind::Absent;
};

/// A token that is cut out of the text before the model runs.
struct AddedToken {
  int32_t id = -1;
  std::string text;
  bool special = false;    ///< left out by decoding with skipSpecial
  bool lstrip = false;     ///< takes the white space before it
  bool rstrip = false;     ///< takes the white space after it
  bool singleWord = false; ///< not inside a word
  bool normalized = false; ///< searched in the normalised text, in its normalised spelling
};

/// SentencePiece's compiled character map: a double array over bytes whose values are offsets of
/// zero-terminated strings.
struct Charsmap {
  std::vector<uint32_t> trie;
  std::string strings;
};

enum class NormalizerKind : uint8_t {
  NFC,
  NFD,
  NFKC,
  NFKD,
  Lowercase,
  Strip,         ///< left, right
  StripAccents,  ///< removes combining marks
  Bert,          ///< cleanText, handleChinese, stripAccents, lowercase
  Nmt,           ///< removes control characters, maps odd spaces
  Precompiled,   ///< charsmap, applied to grapheme clusters as Hugging Face does
  Replace,       ///< pattern, isRegex, content
  Prepend,       ///< content
  ByteLevel,     ///< bytes to the printable characters of GPT-2
  SentencePiece, ///< charsmap and the five options at the end of NormalizerStep
};

struct NormalizerStep {
  NormalizerStep() = default;
  explicit NormalizerStep(NormalizerKind kind) : kind(kind) {}

  NormalizerKind kind = NormalizerKind::NFC;
  std::string pattern;
  bool isRegex = false;
  std::string content;
  bool left = false, right = false;
  bool cleanText = false, handleChinese = false, stripAccents = false, lowercase = false;
  int32_t charsmap = -1; ///< index into TokenizerSpec::charsmaps; -1: none

  bool addDummyPrefix = false;
  bool removeExtraWhitespaces = false;
  bool escapeWhitespaces = false;
  bool whitespaceAsSuffix = false;
  bool prefixOnlyAtStart = false; ///< no dummy prefix after an added token
};

enum class PreTokenizerKind : uint8_t {
  ByteLevel,       ///< addPrefixSpace, useRegex
  Split,           ///< pattern, isRegex, behavior, invert
  Digits,          ///< individualDigits
  Punctuation,     ///< behavior
  Whitespace,      ///< words and runs of other characters
  WhitespaceSplit, ///< what lies between white space
  Metaspace,       ///< replacement, prependScheme, split
  Bert,
  UnicodeScripts,
  CharDelimiterSplit, ///< pattern
  FixedLength,        ///< length
};

/// What becomes of the matches of a splitting pattern.
enum class SplitBehavior : uint8_t {
  Removed,
  Isolated,
  MergedWithPrevious,
  MergedWithNext,
  Contiguous
};

enum class PrependScheme : uint8_t { Always, First, Never };

struct PreTokenizerStep {
  PreTokenizerKind kind = PreTokenizerKind::ByteLevel;
  std::string pattern;
  bool isRegex = false;
  SplitBehavior behavior = SplitBehavior::Isolated;
  bool invert = false;
  bool addPrefixSpace = false, useRegex = false;
  bool individualDigits = false;
  std::string replacement; ///< one character
  PrependScheme prependScheme = PrependScheme::Always;
  bool split = false;
  uint32_t length = 0; ///< in characters, at least 1
};

enum class ModelKind : uint8_t {
  BPE,                  ///< merges in rank order
  WordPiece,            ///< longest match from the left
  WordLevel,            ///< whole pieces
  Unigram,              ///< best sum of scores, in double
  SentencePieceBPE,     ///< merges by the score of the merged token
  SentencePieceUnigram, ///< best sum of scores, in float as SentencePiece rounds it
  SentencePieceWord,
  SentencePieceChar,
};

/// Merge number `rank` is the element with that index; but see ModelSpec::rankByResult.
struct Merge {
  int32_t left, right, result;
};

struct ModelSpec {
  ModelKind kind = ModelKind::BPE;
  std::vector<Token> tokens;
  std::vector<Merge> merges;
  bool rankByResult = false; ///< the rank of a merge is the id that it makes
  bool hasUnknown = false;   ///< an unknown token is named ...
  int32_t unknownId = -1;    ///< ... and exists
  bool byteFallback = false;
  bool fuseUnknown = false;
  bool ignoreMerges = false;
  std::string continuingPrefix;
  std::string endOfWordSuffix;
  uint64_t maxCharsPerWord = 100;
};

/// One element of the post-processor's result: some ids, or the encoded text.
struct TemplatePiece {
  bool isText = false;
  std::vector<int32_t> ids;
  bool isSecond = false; ///< the text is the second of a pair
  uint8_t type = 0;      ///< the token type of all of it
};

enum class DecoderKind : uint8_t {
  ByteLevel,
  Metaspace, ///< content: replacement, keepFirst: no space was prepended
  WordPiece, ///< content: prefix, cleanup
  ByteFallback,
  Fuse,
  Strip,         ///< content: one character, start, stop
  Replace,       ///< pattern, isRegex, content
  BPE,           ///< pattern: suffix
  CTC,           ///< pattern: padding token, content: word delimiter, cleanup
  SentencePiece, ///< content: surface of the unknown token, stripFirst, stripAll
};

struct DecoderStep {
  DecoderStep() = default;
  explicit DecoderStep(DecoderKind kind) : kind(kind) {}

  DecoderKind kind = DecoderKind::Fuse;
  std::string pattern;
  bool isRegex = false;
  std::string content;
  bool keepFirst = false;
  bool cleanup = false;
  uint64_t start = 0, stop = 0;
  bool stripFirst = false; ///< drop the space that was added in front
  bool stripAll = false;   ///< drop all white space in front
};

/// Ids with a role; -1 where the tokenizer has none or the source does not say.
struct SpecialIds {
  int32_t bos = -1, eos = -1, unk = -1, pad = -1, sep = -1, cls = -1, mask = -1;
};

struct TokenizerSpec {
  ModelSpec model;
  /// SentencePiece: pieces without an id. They are found in a text like others, and stand for the
  /// unknown token.
  std::vector<Token> hiddenTokens;
  std::vector<AddedToken> addedTokens;
  std::vector<Charsmap> charsmaps;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> preTokenizer;
  std::vector<TemplatePiece> postProcessor; ///< empty: the text alone
  std::vector<TemplatePiece> pairProcessor; ///< of two texts; empty: the source does not say
  /// Texts are cut to so many tokens, those of the post-processor included; 0: the source does not
  /// say.
  uint32_t maxTokens = 0;
  bool cutsFront = false;           ///< a text that is cut loses its beginning
  std::vector<DecoderStep> decoder; ///< empty: tokens joined by spaces
  SpecialIds special;
  std::string chatTemplate; ///< Jinja, uninterpreted
};

} // namespace ingot::tokenizer

#endif // INGOT_TOKENIZER_TOKENIZERSPEC_H
