//===- ClassTest.cpp - Vocabularies by their tokenizer class ----------------===//
//
// What the classes of transformers do around a vocabulary; directories.py compares with them.
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

using namespace ingot::tokenizer;

namespace {

using Classes = Directory;
using Strings = std::vector<std::string>;

/// <unk> <s> </s> ▁ a ▁a, unigram.
std::string unigramModel() {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("\u2581", -3, 1) +
         piece("a", -3, 1) + piece("\u2581a", -1, 1) + trainer(1) + normalizer(true, true);
}

/// The ids and types of two texts; empty without a form for pairs.
using Pair = std::pair<Ids, Ids>;
Pair pairOf(const Tokenizer &tokenizer, const char *first, const char *second) {
  auto sequence = tokenizer.encodeSequence(first, second);
  return sequence ? Pair{sequence->ids, sequence->types} : Pair();
}

json tokenizerClass(const char *name, json more = json::object()) {
  more["tokenizer_class"] = name;
  return more;
}

TEST_F(Classes, NumbersOfFairseq) {
  write("sentencepiece.bpe.model", unigramModel());
  writeJson("tokenizer_config.json", tokenizerClass("XLMRobertaTokenizer"));
  Tokenizer tokenizer = open();
  // <s> <pad> </s> <unk>, the pieces from the fourth on, <mask>.
  EXPECT_EQ(encode(tokenizer, "a b", true), (Ids{0, 6, 4, 3, 2}));
  EXPECT_EQ(encode(tokenizer, "a <mask></s>", true), (Ids{0, 6, 7, 2, 2}));
  EXPECT_EQ(tokenizer.decode({0, 6, 6, 2}, true), "a a");
  EXPECT_EQ(tokenizer.specialIds().pad, 1);
  EXPECT_EQ(tokenizer.vocabSize(), 8u);
  EXPECT_EQ(pairOf(tokenizer, "a", "b"), (Pair{{0, 6, 2, 2, 4, 3, 2}, Ids(7, 0)}));

  writeJson("tokenizer_config.json", tokenizerClass("CamembertTokenizer"));
  EXPECT_EQ(encode(open(), "a b<mask>", true), (Ids{5, 9, 7, 3, 10, 6}));

  writeJson("tokenizer_config.json", tokenizerClass("XGLMTokenizer"));
  EXPECT_EQ(encode(open(), "a", true), (Ids{2, 6}));
  EXPECT_EQ(pairOf(open(), "a", "b"), (Pair{{2, 6, 2, 2, 4, 3}, {0, 0, 0, 0, 0, 0}}));
}

TEST_F(Classes, Languages) {
  write("sentencepiece.bpe.model", unigramModel());
  writeJson("tokenizer_config.json", tokenizerClass("MBartTokenizer"));
  EXPECT_EQ(pieces(open(), "a<mask>", true), (Strings{"\u2581a", "<mask>", "</s>", "en_XX"}));
  EXPECT_EQ(encode(open(), "a<mask>", true), (Ids{6, 32, 2, 10}));
  // One after the other: nobody separates what is translated.
  EXPECT_EQ(pairOf(open(), "a", "aa"), (Pair{{6, 6, 5, 2, 10}, {0, 0, 0, 0, 0}}));
  writeJson("tokenizer_config.json", tokenizerClass("MBart50Tokenizer", {{"src_lang", "sl_SI"}}));
  EXPECT_EQ(encode(open(), "a", true), (Ids{58, 6, 2}));
  writeJson("tokenizer_config.json", tokenizerClass("MBart50Tokenizer", {{"src_lang", "xx"}}));
  EXPECT_EQ(error(), path.string() + "/: the tokenizer adds 'xx' to every text, which is not in "
                                     "the vocabulary");
  json nllb = {{"additional_special_tokens", {"ace_Arab", "eng_Latn"}}};
  writeJson("tokenizer_config.json", tokenizerClass("NllbTokenizer", nllb));
  EXPECT_EQ(encode(open(), "a<mask>", true), (Ids{8, 6, 9, 2}));
  EXPECT_EQ(pairOf(open(), "a", "a"), (Pair{{8, 6, 6, 2}, {0, 0, 0, 0}}));
  nllb["legacy_behaviour"] = true;
  writeJson("tokenizer_config.json", tokenizerClass("NllbTokenizer", nllb));
  EXPECT_EQ(encode(open(), "a", true), (Ids{6, 2, 8}));
  writeJson("tokenizer_config.json", tokenizerClass("NllbTokenizer"));
  EXPECT_EQ(error(), (path / "sentencepiece.bpe.model").string() +
                         ": the languages of an NllbTokenizer are in its "
                         "additional_special_tokens, which are missing");
}

TEST_F(Classes, NumbersOfAVocabulary) {
  write("sentencepiece.bpe.model", unigramModel());
  // "a" alone has no number, and "b" is no piece.
  json vocabulary = {{"<s>", 0},     {"<pad>", 1}, {"</s>", 2},  {"<unk>", 3},
                     {"\u2581a", 4}, {"b", 5},     {"\u2581", 6}};
  writeJson("vocab.json", vocabulary);
  writeJson("tokenizer_config.json", tokenizerClass("M2M100Tokenizer", {{"src_lang", "af"}}));
  Tokenizer tokenizer = open();
  EXPECT_EQ(encode(tokenizer, "a aa", true), (Ids{7, 4, 4, 3, 2}));
  EXPECT_EQ(pairOf(tokenizer, "a", "a"), (Pair{{7, 4, 4, 2}, {0, 0, 0, 0}}));
  EXPECT_EQ(tokenizer.vocabSize(), 107u); // pieces without a number have no id
  EXPECT_EQ(tokenizer.decode({7, 4, 4, 2}, true), "a a");

  write("source.spm", unigramModel());
  fs::remove(path / "sentencepiece.bpe.model");
  vocabulary = {{"</s>", 0},   {"<unk>", 1},   {"\u2581a", 2},
                {">>fr<<", 3}, {"\u2581x", 4}, {"<pad>", 5}};
  writeJson("vocab.json", vocabulary);
  writeJson("tokenizer_config.json", tokenizerClass("MarianTokenizer"));
  Tokenizer marian = open();
  EXPECT_EQ(encode(marian, ">>fr<< a", true), (Ids{3, 2, 0}));
  EXPECT_EQ(encode(marian, "aa", true), (Ids{2, 1, 0}));
  EXPECT_EQ(pairOf(marian, "a", "a"), (Pair{{2, 2, 0}, {0, 0, 0}}));
  EXPECT_EQ(marian.decode({2, 4, 0}, true), "a x"); // the target's pieces too
  vocabulary.erase("<unk>");
  writeJson("vocab.json", vocabulary);
  EXPECT_EQ(error(), (path / "vocab.json").string() + ": vocab.json has no '<unk>'");
}

TEST_F(Classes, Pegasus) {
  write("spiece.model", piece("<pad>", 0, 3) + piece("</s>", 0, 3) + piece("<unk>", 0, 2) +
                            piece("\u2581a", -1, 1) + trainer(1) + normalizer(true, true));
  writeJson("tokenizer_config.json", tokenizerClass("PegasusTokenizer"));
  EXPECT_EQ(encode(open(), "a x", true), (Ids{106, 105, 1}));
  EXPECT_EQ(encode(open(), "<mask_2>", true), (Ids{3, 1}));
  writeJson("tokenizer_config.json", tokenizerClass("T5Tokenizer"));
  EXPECT_EQ(encode(open(), "a<extra_id_0>", true), (Ids{3, 103, 1}));
  writeJson("tokenizer_config.json", tokenizerClass("T5Tokenizer", {{"extra_ids", 0}}));
  EXPECT_EQ(open().vocabSize(), 4u);
}

TEST_F(Classes, Albert) {
  write("spiece.model", piece("<pad>", 0, 3) + piece("<unk>", 0, 2) + piece("[CLS]", 0, 3) +
                            piece("[SEP]", 0, 3) + piece("\u2581a", -1, 1) + trainer(1) +
                            normalizer(true, true));
  writeJson("tokenizer_config.json", tokenizerClass("AlbertTokenizer"));
  EXPECT_EQ(encode(open(), "A \u00C1", true), (Ids{2, 4, 4, 3}));
  writeJson("tokenizer_config.json", tokenizerClass("AlbertTokenizer", {{"do_lower_case", false}}));
  EXPECT_EQ(encode(open(), "A", true), (Ids{2, 1, 3}));
}

TEST_F(Classes, PairsOfXLNet) {
  write("spiece.model", piece("<unk>", 0, 2) + piece("<cls>", 0, 3) + piece("<sep>", 0, 3) +
                            piece("\u2581a", -1, 1) + trainer(1) + normalizer(true, true));
  writeJson("tokenizer_config.json", tokenizerClass("XLNetTokenizer"));
  EXPECT_EQ(pairOf(open(), "a", "a"), (Pair{{3, 2, 3, 2, 1}, {0, 0, 1, 1, 2}}));
  auto single = open().encodeSequence("a", std::nullopt);
  ASSERT_TRUE(single);
  EXPECT_EQ(single->types, (Ids{0, 0, 2}));
}

TEST_F(Classes, NoPairs) {
  writeJson("vocab.json", {{"<unk>", 0}, {"a</w>", 1}, {"a", 2}, {"</w>", 3}});
  write("merges.txt", "#version: 0.2\na </w>\n");
  writeJson("tokenizer_config.json", tokenizerClass("OpenAIGPTTokenizer"));
  EXPECT_EQ(open().encodeSequence("a", "a").error(),
            "the tokenizer has no form for pairs of texts");
}

TEST_F(Classes, ChatGLM) {
  write("tokenizer.model", unigramModel());
  writeJson("tokenizer_config.json", tokenizerClass("ChatGLMTokenizer"));
  Tokenizer tokenizer = open();
  EXPECT_EQ(encode(tokenizer, "a", true), (Ids{7, 9, 5}));
  EXPECT_EQ(encode(tokenizer, "<|user|>a"), (Ids{12, 5}));
  EXPECT_EQ(tokenizer.tokenBytes(14), "<|observation|>");
  EXPECT_EQ(tokenizer.specialIds().eos, 2);
  writeJson("tokenizer_config.json", tokenizerClass("ReformerTokenizer"));
  EXPECT_EQ(error(), path.string() +
                         "/: tokenizer class 'ReformerTokenizer' is not supported with a "
                         "SentencePiece model, expected a tokenizer.json");
}

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

std::string base64(const std::string &bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < bytes.size() ? uint8_t(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k)
      out += i + k <= bytes.size() ? digits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string ranks(const std::vector<std::string> &tokens) {
  std::string out;
  for (unsigned byte = 0; byte < 256; ++byte)
    out += base64(std::string(1, char(byte))) + " " + std::to_string(byte) + "\n";
  for (size_t i = 0; i < tokens.size(); ++i)
    out += base64(tokens[i]) + " " + std::to_string(256 + i) + "\n";
  return out;
}

TEST_F(Classes, Ranks) {
  write("qwen.tiktoken", ranks({"aa", "aaa", "ba", " aa"}));
  writeJson("tokenizer_config.json", tokenizerClass("QWenTokenizer"));
  Tokenizer tokenizer = open();
  EXPECT_TRUE(hasTokenizer(path.string()));
  EXPECT_EQ(tokenizer.vocabSize(), 260u + 208);
  EXPECT_EQ(encode(tokenizer, "aaa"), (Ids{257}));
  // The leftmost of equals: (aa a) before (a aa).
  EXPECT_EQ(encode(tokenizer, "aaaaaa"), (Ids{256, 256, 256}));
  EXPECT_EQ(encode(tokenizer, "baaa"), (Ids{98, 257})); // aa, then aaa, come before ba
  EXPECT_EQ(encode(tokenizer, "<|im_start|>aa<|extra_204|>", true), (Ids{261, 256, 467}));
  EXPECT_EQ(tokenizer.specialIds().eos, 260);
  EXPECT_EQ(tokenizer.decode({97, 256, 0xE4, 0xBD, 0xA0}, true), "aaa\u4F60");
  EXPECT_EQ(encode(open("qwen.tiktoken"), "aaa"), (Ids{257}));

  fs::rename(path / "qwen.tiktoken", path / "mine.tiktoken");
  writeJson("tokenizer_config.json", json::object());
  EXPECT_EQ(error(), (path / "mine.tiktoken").string() +
                         ": ranks of a tokenizer of unknown class '', expected a tokenizer.json");
}

TEST(Tiktoken, Refused) {
  auto message = [](const std::string &text) {
    Result<TokenizerSpec> spec = importTiktoken(text);
    return spec ? "accepted" : spec.error();
  };
  EXPECT_EQ(message(""), "byte 0 has no rank");
  EXPECT_EQ(message("YQ==\n"), "line 1: expected base64 and a rank");
  EXPECT_EQ(message("Y!== 0\n"), "line 1: expected base64 and a rank");
  EXPECT_EQ(message("YQ== x\n"), "line 1: expected base64 and a rank");
  EXPECT_EQ(message("YQ== 99999999\n"), "line 1: expected a rank below 16777216, got 99999999");
  EXPECT_EQ(message("YQ== 0\nYg== 0\n"), "line 2: rank 0 is there twice");
  EXPECT_EQ(message("YQ== 0\nYQ== 1\n"), "ranks 0 and 1 have the same bytes");
  EXPECT_EQ(message(std::string(100000, 'A') + " 0\n"), "line 1: the tokens are too long");
}

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

TEST_F(Classes, WordsOfClip) {
  writeJson("vocab.json", {{"<|startoftext|>", 0},
                           {"<|endoftext|>", 1},
                           {"h", 2},
                           {"i</w>", 3},
                           {"hi</w>", 4},
                           {"!</w>", 5}});
  write("merges.txt", "#version: 0.2\nh i</w>\n");
  writeJson("tokenizer_config.json", tokenizerClass("CLIPTokenizer"));
  EXPECT_EQ(encode(open(), "HI  hi!", true), (Ids{0, 4, 4, 5, 1}));
  EXPECT_EQ(pairOf(open(), "hi", "!"), (Pair{{0, 4, 1, 1, 5, 1}, {0, 0, 0, 0, 0, 0}}));
}

TEST_F(Classes, OtherWordPieces) {
  write("vocab.txt", "<s>\n<pad>\n</s>\n[UNK]\nhe\n<mask>\n");
  writeJson("tokenizer_config.json", tokenizerClass("MPNetTokenizer"));
  EXPECT_EQ(encode(open(), "He <mask> x", true), (Ids{0, 4, 5, 3, 2}));
  writeJson("tokenizer_config.json", tokenizerClass("FunnelTokenizer"));
  EXPECT_EQ(error(), path.string() + "/: the tokenizer adds 'cls_token' to every text, which is "
                                     "not in the vocabulary");
  write("vocab.txt", "<unk>\n<cls>\n<sep>\nhe\n");
  EXPECT_EQ(pairOf(open(), "he", "x"), (Pair{{1, 3, 2, 0, 2}, {2, 0, 0, 1, 1}}));
  auto single = open().encodeSequence("he", std::nullopt);
  ASSERT_TRUE(single);
  EXPECT_EQ(single->types, (Ids{2, 0, 0}));
}

} // namespace
