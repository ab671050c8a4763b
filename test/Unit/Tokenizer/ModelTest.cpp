//===- ModelTest.cpp - Models on small vocabularies -------------------------===//

#include "TestSupport.h"

#include <random>

using namespace ingot::tokenizer;

namespace {

using Strings = std::vector<std::string>;

json letters(std::initializer_list<const char *> tokens) {
  json vocab = json::object();
  int id = 0;
  for (const char *token : tokens)
    vocab[token] = id++;
  return vocab;
}

TEST(BPE, MergesByRankThenPosition) {
  json vocab = letters({"a", "b", "c", "ab", "bc", "abc", "aa"});
  Tokenizer tokenizer =
      load(document(bpe(vocab, {{"b", "c"}, {"a", "b"}, {"a", "bc"}, {"a", "a"}})));
  EXPECT_EQ(pieces(tokenizer, "abc"), (Strings{"abc"}));
  EXPECT_EQ(pieces(tokenizer, "ab"), (Strings{"ab"}));
  EXPECT_EQ(pieces(tokenizer, "aaa"), (Strings{"aa", "a"}));
  EXPECT_EQ(pieces(tokenizer, ""), (Strings{}));
}

TEST(BPE, MergesAsLines) {
  json vocab = letters({"a", "b", "ab"});
  json doc = document(bpe(vocab));
  doc["model"]["merges"] = {"#version: 0.2", "a b"};
  EXPECT_EQ(pieces(load(doc), "ab"), (Strings{"ab"}));
}

TEST(BPE, LastOfRepeatedMergesCounts) {
  json vocab = letters({"a", "b", "c", "ab", "bc"});
  Merges merges = {{"a", "b"}, {"b", "c"}};
  EXPECT_EQ(pieces(load(document(bpe(vocab, merges))), "abc"), (Strings{"ab", "c"}));
  merges.push_back({"a", "b"});
  EXPECT_EQ(pieces(load(document(bpe(vocab, merges))), "abc"), (Strings{"a", "bc"}));
}

TEST(BPE, UnknownCharacters) {
  json model = bpe(letters({"<unk>", "a"}));
  EXPECT_EQ(pieces(load(document(model)), "xay"), (Strings{"a"})); // they vanish
  model["unk_token"] = "<unk>";
  EXPECT_EQ(pieces(load(document(model)), "xxay"), (Strings{"<unk>", "<unk>", "a", "<unk>"}));
  model["fuse_unk"] = true;
  EXPECT_EQ(pieces(load(document(model)), "xxay"), (Strings{"<unk>", "a", "<unk>"}));
  model["unk_token"] = "absent";
  Result<Ids> ids = load(document(model)).encode("x", false);
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error(),
            "a character has no token, and the unknown token is not in the vocabulary");
}

TEST(BPE, ByteFallback) {
  json vocab = letters({"<unk>", "a", "<0xC3>", "<0xA9>"});
  json model = bpe(vocab);
  model["unk_token"] = "<unk>";
  model["byte_fallback"] = true;
  Tokenizer tokenizer = load(document(model));
  EXPECT_EQ(pieces(tokenizer, "a\u00E9"), (Strings{"a", "<0xC3>", "<0xA9>"}));
  EXPECT_EQ(pieces(tokenizer, "\u00E8"), (Strings{"<unk>"})); // one of its bytes has no token
  // An unknown character waits until the next known one, as in the reference.
  EXPECT_EQ(pieces(tokenizer, "\u00E8\u00E9a"), (Strings{"<0xC3>", "<0xA9>", "<unk>", "a"}));
}

TEST(BPE, IgnoreMerges) {
  json model = bpe(letters({"a", "b", "ab", "aab"}), {{"a", "b"}});
  EXPECT_EQ(pieces(load(document(model)), "aab"), (Strings{"a", "ab"}));
  model["ignore_merges"] = true;
  EXPECT_EQ(pieces(load(document(model)), "aab"), (Strings{"aab"}));
}

TEST(BPE, PrefixAndSuffix) {
  json vocab = letters({"a", "##b", "##b</w>", "a</w>", "ab</w>", "##c"});
  json model = bpe(vocab, {{"a", "##b</w>"}});
  model["continuing_subword_prefix"] = "##";
  model["end_of_word_suffix"] = "</w>";
  Tokenizer tokenizer = load(document(model));
  EXPECT_EQ(pieces(tokenizer, "ab"), (Strings{"ab</w>"}));
  EXPECT_EQ(pieces(tokenizer, "acb"), (Strings{"a", "##c", "##b</w>"}));
  EXPECT_EQ(pieces(tokenizer, "a"), (Strings{"a</w>"}));
}

/// Merging by the definition: apply the best merge, again and again.
Strings mergeNaively(const std::string &text, const std::vector<std::pair<Strings, int>> &ranks) {
  Strings symbols;
  for (char c : text)
    symbols.push_back(std::string(1, c));
  for (;;) {
    int best = INT32_MAX;
    size_t at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i)
      for (auto &[pair, rank] : ranks)
        if (pair[0] == symbols[i] && pair[1] == symbols[i + 1] && rank < best) {
          best = rank;
          at = i;
        }
    if (best == INT32_MAX)
      return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + long(at) + 1);
  }
}

TEST(BPE, ShortAndLongWordsAgreeWithTheDefinition) {
  std::mt19937 random(1);
  for (unsigned round = 0; round < 20; ++round) {
    // Random merges over three letters.
    json vocab = letters({"a", "b", "c"});
    Strings tokens = {"a", "b", "c"};
    Merges merges;
    std::vector<std::pair<Strings, int>> ranks;
    for (int i = 0; i < 30; ++i) {
      Strings pair = {tokens[random() % tokens.size()], tokens[random() % tokens.size()]};
      std::string merged = pair[0] + pair[1];
      bool known = false;
      for (auto &entry : ranks)
        known |= entry.first == pair;
      if (known || merged.size() > 8)
        continue;
      if (!vocab.contains(merged)) {
        vocab[merged] = tokens.size();
        tokens.push_back(merged);
      }
      merges.push_back({pair[0], pair[1]});
      ranks.push_back({pair, int(ranks.size())});
    }
    Tokenizer tokenizer = load(document(bpe(vocab, merges)));
    for (size_t length : {1, 2, 5, 20, 31, 32, 33, 34, 100, 300}) {
      std::string text;
      for (size_t i = 0; i < length; ++i)
        text += char('a' + random() % 3);
      EXPECT_EQ(pieces(tokenizer, text), mergeNaively(text, ranks)) << text;
    }
  }
}

TEST(WordPiece, LongestMatchFirst) {
  json model = {
      {"type", "WordPiece"},
      {"unk_token", "[UNK]"},
      {"continuing_subword_prefix", "##"},
      {"max_input_chars_per_word", 6},
      {"vocab", letters({"[UNK]", "un", "una", "##ff", "##able", "##f", "\u00E9", "##"})}};
  Tokenizer tokenizer = load(document(model));
  EXPECT_EQ(pieces(tokenizer, "unaff"), (Strings{"una", "##ff"}));
  EXPECT_EQ(pieces(tokenizer, "unable"), (Strings{"[UNK]"})); // "una" leads nowhere
  EXPECT_EQ(pieces(tokenizer, "unfff"), (Strings{"un", "##ff", "##f"}));
  EXPECT_EQ(pieces(tokenizer, "unfffff"), (Strings{"[UNK]"})); // too long
  EXPECT_EQ(pieces(tokenizer, "\u00E9f"), (Strings{"\u00E9", "##f"}));
}

TEST(WordLevel, WholeWords) {
  json model = {{"type", "WordLevel"}, {"unk_token", "?"}, {"vocab", letters({"?", "ab"})}};
  json doc = document(model);
  doc["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
  EXPECT_EQ(pieces(load(doc), "ab abc"), (Strings{"ab", "?"}));
}

json unigram(const std::vector<std::pair<std::string, double>> &entries, json unknown = 0) {
  json vocab = json::array();
  for (auto &[text, score] : entries)
    vocab.push_back(json::array({text, score}));
  return {{"type", "Unigram"}, {"unk_id", unknown}, {"vocab", vocab}};
}

TEST(Unigram, BestSum) {
  std::vector<std::pair<std::string, double>> vocab = {{"<unk>", 0.0}, {"a", -1.0},   {"b", -1.0},
                                                       {"ab", -1.5},   {"abc", -9.0}, {"c", -3.0}};
  Tokenizer tokenizer = load(document(unigram(vocab)));
  EXPECT_EQ(pieces(tokenizer, "abc"), (Strings{"ab", "c"}));
  EXPECT_EQ(pieces(tokenizer, "xxa"), (Strings{"<unk>", "a"})); // unknown characters are joined
}

TEST(Unigram, FirstOfEqualSums) {
  std::vector<std::pair<std::string, double>> vocab = {{"<unk>", 0.0}, {"a", -1.0}, {"aa", -1.0}};
  // Reaching the end from position 1 was found before reaching it from position 2.
  EXPECT_EQ(pieces(load(document(unigram(vocab))), "aaa"), (Strings{"a", "aa"}));
}

TEST(Unigram, ByteFallback) {
  std::vector<std::pair<std::string, double>> vocab = {
      {"<unk>", 0.0}, {"a", -1.0}, {"<0xC3>", 0.0}, {"<0xA9>", 0.0}};
  json model = unigram(vocab);
  model["byte_fallback"] = true;
  EXPECT_EQ(pieces(load(document(model)), "a\u00E9"), (Strings{"a", "<0xC3>", "<0xA9>"}));
}

TEST(Unigram, WithoutUnknownToken) {
  Tokenizer tokenizer = load(document(unigram({{"a", -1.0}}, nullptr)));
  EXPECT_EQ(pieces(tokenizer, "aa"), (Strings{"a", "a"}));
  EXPECT_FALSE(tokenizer.encode("ab", false));
}

//===----------------------------------------------------------------------===//
// SentencePiece models, described directly
//===----------------------------------------------------------------------===//

TokenizerSpec sentencePiece(ModelKind kind, std::vector<Token> tokens) {
  TokenizerSpec spec;
  spec.model.kind = kind;
  spec.model.tokens = std::move(tokens);
  spec.model.hasUnknown = true;
  spec.model.unknownId = 0;
  NormalizerStep step(NormalizerKind::SentencePiece);
  step.escapeWhitespaces = true;
  spec.normalizer.push_back(step);
  spec.decoder.emplace_back(DecoderKind::SentencePiece);
  spec.decoder[0].content = "?";
  return spec;
}

Tokenizer open(const TokenizerSpec &spec) {
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(spec);
  if (!tokenizer)
    throw std::runtime_error(tokenizer.error());
  return std::move(*tokenizer);
}

constexpr TokenKind N = TokenKind::Normal, U = TokenKind::UserDefined;

TEST(SentencePieceBPE, MergesByScore) {
  Tokenizer tokenizer =
      open(sentencePiece(ModelKind::SentencePieceBPE, {{"<unk>", 0, TokenKind::Unknown},
                                                       {"ab", -2, N},
                                                       {"bc", -1, N},
                                                       {"a", -3, N},
                                                       {"b", -3, N},
                                                       {"c", -3, N},
                                                       {"aa", -4, N}}));
  EXPECT_EQ(pieces(tokenizer, "abc"), (Strings{"a", "bc"}));
  EXPECT_EQ(pieces(tokenizer, "aaa"), (Strings{"aa", "a"}));
  EXPECT_EQ(pieces(tokenizer, "xya"), (Strings{"<unk>", "a"}));
}

TEST(SentencePieceBPE, UserDefinedSymbolsStayWhole) {
  Tokenizer tokenizer = open(sentencePiece(
      ModelKind::SentencePieceBPE,
      {{"<unk>", 0, TokenKind::Unknown}, {"<x>", 0, U}, {"a", -1, N}, {"a<x>", -1, N}}));
  EXPECT_EQ(pieces(tokenizer, "a<x>a"), (Strings{"a", "<x>", "a"}));
}

TEST(SentencePieceBPE, UnusedTokensAreTakenApart) {
  Tokenizer tokenizer =
      open(sentencePiece(ModelKind::SentencePieceBPE, {{"<unk>", 0, TokenKind::Unknown},
                                                       {"a", -3, N},
                                                       {"b", -3, N},
                                                       {"c", -3, N},
                                                       {"ab", -1, TokenKind::Unused},
                                                       {"abc", -2, N}}));
  EXPECT_EQ(pieces(tokenizer, "ab"), (Strings{"a", "b"}));
  EXPECT_EQ(pieces(tokenizer, "abc"), (Strings{"abc"}));
}

TEST(SentencePieceBPE, OnlyTokensForTextComeFromText) {
  Tokenizer tokenizer =
      open(sentencePiece(ModelKind::SentencePieceBPE, {{"<unk>", 0, TokenKind::Unknown},
                                                       {"a", 0, TokenKind::Unused},
                                                       {"b", 0, TokenKind::Control},
                                                       {"c", 0, N}}));
  EXPECT_EQ(pieces(tokenizer, "acb"), (Strings{"<unk>", "c", "<unk>"}));
}

TEST(SentencePieceUnigram, KindsOfTokens) {
  Tokenizer tokenizer =
      open(sentencePiece(ModelKind::SentencePieceUnigram, {{"<unk>", 0, TokenKind::Unknown},
                                                           {"<s>", 0, TokenKind::Control},
                                                           {"a", -1, N},
                                                           {"b", -1, N},
                                                           {"ab", -9, U},
                                                           {"aab", -0.5, TokenKind::Unused},
                                                           {"<", -1, N},
                                                           {"s", -1, N},
                                                           {">", -1, N}}));
  EXPECT_EQ(pieces(tokenizer, "ab"), (Strings{"ab"}));
  EXPECT_EQ(pieces(tokenizer, "aab"), (Strings{"a", "ab"}));
  EXPECT_EQ(pieces(tokenizer, "<s>"), (Strings{"<", "s", ">"})); // never from text
}

TEST(SentencePieceWordAndChar, Pieces) {
  std::vector<Token> tokens = {{"<unk>", 0, TokenKind::Unknown},
                               {"\u2581a", 0, N},
                               {"b", 0, N},
                               {"\u2581", 0, N},
                               {"xy", 0, U},
                               {"c", 0, TokenKind::Unused},
                               {"</s>", 0, TokenKind::Control}};
  Tokenizer word = open(sentencePiece(ModelKind::SentencePieceWord, tokens));
  EXPECT_EQ(pieces(word, "b a zz"), (Strings{"b", "\u2581a", "<unk>"}));
  EXPECT_EQ(pieces(word, "</s> a"), (Strings{"<unk>", "\u2581a"}));
  Tokenizer character = open(sentencePiece(ModelKind::SentencePieceChar, tokens));
  EXPECT_EQ(pieces(character, "b xyz"), (Strings{"b", "\u2581", "xy", "<unk>"}));
  EXPECT_EQ(pieces(character, "bc"), (Strings{"b", "<unk>"}));
}

TEST(SentencePieceNormalizer, Options) {
  std::vector<Token> tokens = {{"<unk>", 0, TokenKind::Unknown},
                               {"a", 0, N},
                               {"\u2581", 0, N},
                               {" ", 0, N},
                               {"\uFFFD", 0, N}};
  TokenizerSpec spec = sentencePiece(ModelKind::SentencePieceChar, tokens);
  auto encoded = [&](std::string_view text) { return pieces(open(spec), text); };
  NormalizerStep &step = spec.normalizer[0];
  EXPECT_EQ(encoded(" a  a "), (Strings{"\u2581", "a", "\u2581", "\u2581", "a", "\u2581"}));
  step.removeExtraWhitespaces = true;
  EXPECT_EQ(encoded(" a  a "), (Strings{"a", "\u2581", "a"}));
  EXPECT_EQ(encoded("  "), (Strings{}));
  step.addDummyPrefix = true;
  EXPECT_EQ(encoded("a"), (Strings{"\u2581", "a"}));
  EXPECT_EQ(encoded(""), (Strings{}));
  step.whitespaceAsSuffix = true;
  EXPECT_EQ(encoded("a"), (Strings{"a", "\u2581"}));
  step.escapeWhitespaces = false;
  EXPECT_EQ(encoded("a a"), (Strings{"a", " ", "a", " "}));
  // Each malformed byte is a replacement character of its own.
  EXPECT_EQ(encoded("\xE4\xBD"), (Strings{"\uFFFD", "\uFFFD", " "}));
}

TEST(SentencePieceDecoder, SpacesBytesAndUnknown) {
  TokenizerSpec spec = sentencePiece(ModelKind::SentencePieceBPE, {{"<unk>", 0, TokenKind::Unknown},
                                                                   {"<s>", 0, TokenKind::Control},
                                                                   {"\u2581a", 0, N},
                                                                   {"\u2581", 0, N},
                                                                   {"<0xC3>", 0, TokenKind::Byte},
                                                                   {"<0xA9>", 0, TokenKind::Byte},
                                                                   {"b\u2581", 0, N}});
  auto decoded = [&](const Ids &ids) { return open(spec).decode(ids, false); };
  EXPECT_EQ(decoded({2, 2}), " a a");
  spec.decoder[0].stripFirst = true;
  EXPECT_EQ(decoded({1, 2, 2}), "a a");
  EXPECT_EQ(decoded({3, 3, 2}), "  a"); // one space was added in front, one goes
  spec.decoder[0].stripAll = true;
  EXPECT_EQ(decoded({3, 3, 2}), "a");
  EXPECT_EQ(decoded({6, 2}), "b  a");
  EXPECT_EQ(decoded({0, 4, 5, 4, 2}), "?\u00E9\uFFFD a");
}

} // namespace
