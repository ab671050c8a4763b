//===- ImportTest.cpp - Formats, directories, and their errors --------------===//

#include "TestSupport.h"

#include <cstring>
#include <set>
#include <sstream>

using namespace ingot::tokenizer;

namespace {

using Strings = std::vector<std::string>;

//===----------------------------------------------------------------------===//
// tokenizer.json: what is refused
//===----------------------------------------------------------------------===//

TEST(TokenizerJson, NotJson) {
  EXPECT_EQ(refusal(std::string("")).rfind("invalid JSON at byte", 0), 0u);
  EXPECT_EQ(refusal(std::string("{\"model\":")).rfind("invalid JSON at byte", 0), 0u);
  EXPECT_EQ(refusal(std::string("[]")), "expected a tokenizer.json, an object with a model");
  EXPECT_EQ(refusal(std::string("{}")), "expected a tokenizer.json, an object with a model");
}

struct Refused {
  const char *pointer; ///< where the document is changed
  json value;
  const char *message;
};

TEST(TokenizerJson, UnknownAndMistypedParts) {
  json doc = document(bpe({{"a", 0}, {"b", 1}, {"ab", 2}}, {{"a", "b"}}));
  EXPECT_EQ(refusal(doc), "accepted");
  const Refused cases[] = {
      {"/version", "2.0", "expected version 1.0, got '2.0' (at version)"},
      {"/model/type", "LSTM", "unknown model 'LSTM' (at model.type)"},
      {"/model/vocab", 3, "expected an object of tokens and ids, got number (at model.vocab)"},
      {"/model/vocab/a", -1, "expected a non-negative integer, got number (at model.vocab['a'])"},
      {"/model/vocab/a", 1e9, "expected a non-negative integer, got number (at model.vocab['a'])"},
      {"/model/vocab/a", 1000000000,
       "expected an id below 16777216, got 1000000000 (at model.vocab['a'])"},
      {"/model/merges", json::object(), "expected an array, got object (at model.merges)"},
      {"/model/merges/0", 7, "expected two tokens, got number (at model.merges[0])"},
      {"/model/merges/0", {"a", "c"}, "merge of 'c', which is not in the vocabulary"},
      {"/model/merges/0", {"b", "a"}, "merge of 'ba', which is not in the vocabulary"},
      {"/model/merges/0", "a b c", "expected two tokens in merge 0, got 'a b c'"},
      {"/model/fuse_unk", "yes", "expected a boolean, got 'yes' (at model.fuse_unk)"},
      {"/normalizer", {{"type", "Rot13"}}, "unknown normalizer 'Rot13' (at normalizer)"},
      {"/normalizer",
       {{"type", "Replace"}, {"pattern", "x"}, {"content", ""}},
       "expected a pattern, {\"String\": ...} or {\"Regex\": ...}, got 'x' (at "
       "normalizer.pattern)"},
      {"/normalizer",
       {{"type", "Precompiled"}, {"precompiled_charsmap", "AAA?"}},
       "expected base64 (at normalizer.precompiled_charsmap)"},
      {"/normalizer",
       {{"type", "Precompiled"}, {"precompiled_charsmap", "//////8="}},
       "character map with a table of 4294967295 bytes in 1"},
      {"/pre_tokenizer", {{"type", "Guess"}}, "unknown pre_tokenizer 'Guess' (at pre_tokenizer)"},
      {"/pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Guess"}}}}},
       "unknown pre_tokenizer 'Guess' (at pre_tokenizer.pretokenizers[0])"},
      {"/pre_tokenizer",
       {{"type", "Punctuation"}, {"behavior", "Gone"}},
       "unknown behavior 'Gone' (at pre_tokenizer.behavior)"},
      {"/pre_tokenizer",
       {{"type", "Metaspace"}, {"replacement", "ab"}},
       "expected one character, got 'ab' (at pre_tokenizer.replacement)"},
      {"/pre_tokenizer",
       {{"type", "FixedLength"}, {"length", 0}},
       "expected a length of at least 1 (at pre_tokenizer.length)"},
      {"/post_processor", {{"type", "Poet"}}, "unknown post_processor 'Poet' (at post_processor)"},
      {"/post_processor",
       {{"type", "BertProcessing"}, {"sep", {"x", 9}}, {"cls", {"y", 0}}},
       "post-processor adds token 9 of 3"},
      {"/decoder", {{"type", "Oracle"}}, "unknown decoder 'Oracle' (at decoder)"},
      {"/decoder",
       {{"type", "Strip"}, {"content", ""}, {"start", 1}, {"stop", 0}},
       "expected one character, got '' (at decoder.content)"},
      {"/added_tokens", {{{"id", 3}}}, "expected a string, got null (at added_tokens[0].content)"},
  };
  for (const Refused &each : cases) {
    json changed = doc;
    changed[json::json_pointer(each.pointer)] = each.value;
    EXPECT_EQ(refusal(changed), each.message);
  }
}

TEST(TokenizerJson, BadRegularExpression) {
  json doc = document(bpe(json::object()));
  doc["pre_tokenizer"] = {{"type", "Split"},
                          {"pattern", {{"Regex", "a("}}},
                          {"behavior", "Isolated"},
                          {"invert", false}};
  EXPECT_EQ(refusal(doc), "regular expression 'a(': end pattern with unmatched parenthesis");
}

TEST(TokenizerJson, DeepNesting) {
  json step = {{"type", "NFC"}};
  for (unsigned i = 0; i < 100; ++i)
    step = {{"type", "Sequence"}, {"normalizers", {step}}};
  json doc = document(bpe(json::object()));
  doc["normalizer"] = step;
  EXPECT_NE(refusal(doc).find("sequences nested more than 16 deep"), std::string::npos);
}

TEST(TokenizerJson, ModelsWithoutType) {
  json doc = document({{"vocab", {{"a", 0}}}, {"merges", json::array()}});
  EXPECT_EQ(pieces(load(doc), "aa"), (Strings{"a", "a"}));
  doc["model"] = {{"vocab", {{"a", 0.0}}}, {"unk_id", nullptr}};
  doc["model"]["vocab"] = json::array({json::array({"a", 0.0})});
  EXPECT_EQ(pieces(load(doc), "aa"), (Strings{"a", "a"}));
}

//===----------------------------------------------------------------------===//
// SentencePiece
//===----------------------------------------------------------------------===//

TEST(SentencePiece, Model) {
  Result<TokenizerSpec> spec = importSentencePiece(smallModel());
  ASSERT_TRUE(spec) << spec.error();
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
  ASSERT_TRUE(tokenizer) << tokenizer.error();
  EXPECT_EQ(pieces(*tokenizer, "a <x>", true), (Strings{"\u2581a", "\u2581", "<x>"}));
  EXPECT_EQ(tokenizer->specialIds().bos, 1);
  EXPECT_EQ(tokenizer->specialIds().eos, 2);
  EXPECT_EQ(tokenizer->specialIds().unk, 0);
  EXPECT_EQ(tokenizer->specialIds().pad, -1);
  EXPECT_EQ(tokenizer->decode({1, 5, 3, 6}, false), "a <x>");
}

TEST(SentencePiece, Refused) {
  auto message = [](const std::string &bytes) {
    Result<TokenizerSpec> spec = importSentencePiece(bytes);
    return spec ? "accepted" : spec.error();
  };
  EXPECT_EQ(message(""), "not a SentencePiece model: no pieces");
  EXPECT_EQ(message("\x0a\x65hello"),
            "not a SentencePiece model: a field of 101 bytes with 5 left");
  EXPECT_EQ(message("\x0b"), "not a SentencePiece model: wire type 3");
  EXPECT_EQ(message(std::string("\x02\x00", 2)), "not a SentencePiece model: field number 0");
  EXPECT_EQ(message(std::string(20, '\xFF')),
            "not a SentencePiece model: a number of more than ten bytes");
  EXPECT_EQ(message("\x0a\xFF"), "not a SentencePiece model: the end in the middle of a number");
  EXPECT_EQ(message(piece("a", 0, 1)), "no piece is the unknown one");
  EXPECT_EQ(message(piece("a", 0, 2) + piece("b", 0, 2)), "two unknown pieces, 0 and 1");
  EXPECT_EQ(message(piece("a", 0, 2) + piece("b", 0, 1) + piece("b", 0, 4)),
            "piece 'b' is defined twice");
  EXPECT_EQ(message(piece("", 0, 1)), "piece 0 is empty");
  EXPECT_EQ(message(piece("a", 0, 9)), "piece 0: unknown type 9");
  EXPECT_EQ(message(piece("a", 0, 2) + piece("<0xG0>", 0, 6)),
            "expected a byte piece like <0x0A>, got '<0xG0>'");
  EXPECT_EQ(message(piece("a", 0, 2) + trainer(1, true)),
            "bytes stand for unknown text, but byte 0 has no piece");
  EXPECT_EQ(message(piece("a", 0, 2) + trainer(9)), "unknown type of model 9");
  std::string wrongType, inner;
  appendInteger(inner, 1, 5); // a number where the text should be
  appendBytes(wrongType, 1, inner);
  EXPECT_EQ(message(wrongType), "not a SentencePiece model: wire type 0 of field 1, expected 2");
}

//===----------------------------------------------------------------------===//
// Other formats
//===----------------------------------------------------------------------===//

std::string llama2cFile(std::vector<std::pair<float, std::string>> tokens) {
  std::string out(4, '\0');
  for (auto &[score, text] : tokens) {
    uint32_t length = uint32_t(text.size());
    out.append(reinterpret_cast<const char *>(&score), 4);
    out.append(reinterpret_cast<const char *>(&length), 4);
    out += text;
  }
  return out;
}

TEST(Llama2c, File) {
  std::vector<std::pair<float, std::string>> tokens = {
      {0, "<unk>"}, {0, "\n<s>\n"}, {0, "\n</s>\n"}};
  for (unsigned byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    tokens.push_back({0, name});
  }
  tokens.push_back({-1, " a"});
  tokens.push_back({-2, "a"});
  tokens.push_back({-3, " "});
  Result<TokenizerSpec> spec = importLlama2c(llama2cFile(tokens));
  ASSERT_TRUE(spec) << spec.error();
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(encode(*tokenizer, "a a\n", true), (Ids{1, 259, 259, 13}));
  EXPECT_EQ(tokenizer->decode({1, 259, 259, 13}, true), "a a\n");

  EXPECT_EQ(importLlama2c("").error(), "expected at least 259 tokens, got 0");
  EXPECT_EQ(importLlama2c(llama2cFile(tokens).substr(0, 55)).error(),
            "token 3 of 6 bytes with 3 left");
  tokens[3].second = "x";
  EXPECT_EQ(importLlama2c(llama2cFile(tokens)).error(), "expected token 3 to be <0x00>, got 'x'");
}

TEST(TokenTable, BytePairs) {
  TokenTable table;
  table.model = "gpt2";
  table.preTokenizer = "smollm";
  table.tokens = {"<|end|>", "a", "b", "ab", "1", "2", "12", "\u0120"};
  table.kinds.assign(8, TokenKind::Normal);
  table.kinds[0] = TokenKind::Control;
  table.merges = {"a b", "1 2"};
  table.special.bos = 0;
  table.addBos = true;
  Result<TokenizerSpec> spec = importTokenTable(table);
  ASSERT_TRUE(spec) << spec.error();
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
  ASSERT_TRUE(tokenizer) << tokenizer.error();
  EXPECT_EQ(pieces(*tokenizer, "ab 12<|end|>", true),
            (Strings{"<|end|>", "ab", "\u0120", "1", "2", "<|end|>"}));
  table.preTokenizer = "gpt-2";
  tokenizer = Tokenizer::fromSpec(*importTokenTable(table));
  EXPECT_EQ(pieces(*tokenizer, "12"), (Strings{"12"}));
  table.preTokenizer = "unheard-of";
  EXPECT_EQ(importTokenTable(table).error(), "unknown pre-tokenizer 'unheard-of'");
  table.model = "rnn";
  EXPECT_EQ(importTokenTable(table).error(), "unknown tokenizer model 'rnn'");
  table.kinds.pop_back();
  EXPECT_EQ(importTokenTable(table).error(), "expected 8 kinds of tokens, got 7");
}

/// A text as GPT-2 spells its bytes: those that are no character of Latin-1 in print come behind
/// it.
static std::string spelled(std::string_view text) {
  std::string out;
  unsigned next = 256, codes[256];
  for (unsigned byte = 0; byte < 256; ++byte)
    codes[byte] = (byte > 32 && byte < 127) || (byte > 160 && byte != 173) ? byte : next++;
  for (unsigned char byte : text) {
    unsigned code = codes[byte];
    if (code < 128) {
      out += char(code);
    } else {
      out += char(0xC0 | code >> 6);
      out += char(0x80 | (code & 63));
    }
  }
  return out;
}

/// Every name cuts a text into the words that the patterns of its models cut it into.
TEST(TokenTable, NamedPreTokenizers) {
  const char *text = "It's I'LLx 1234567 x\n\n      e\u0301a\u00e9ABc<=x)\n// "
                     "\u4e2d\u6587\u304b\uac00\u3002 \u0931\u094dA1;\r\n\u0663";
  // Words are between carets.
  struct Case {
    std::vector<const char *> names;
    const char *words;
  };
  const Case cases[] = {
      {{"minicpm5", "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral",
        "midm-2.0", "lfm2", "jina-v5-nano", "dbrx", "smaug-bpe", "chatglm-bpe", "glm4", "glm5"},
       "It^'s^ I^'LL^x^ ^123^456^7^ x^\n\n^     ^ e^\u0301a\u00e9ABc^<=^x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094dA^1^;\r\n^\u0663"},
      {{"deepseek-llm"},
       "It^'^s^ I^'^LLx^ ^1234567^ x^\n^\n^     ^ e^\u0301^a^\u00e9^ABc^<=^x^)^\n^//^ "
       "^\u4e2d\u6587\u304b\uac00^\u3002^ ^\u0931\u094d^A^1^;^\r^\n^\u0663"},
      {{"deepseek-coder"},
       "It^'^s^ I^'^LLx^ ^1^2^3^4^5^6^7^ x^\n^\n^     ^ e^\u0301^a\u00e9ABc^<=^x^)^\n^//^ "
       "^\u4e2d\u6587\u304b\uac00^\u3002^ ^\u0931^\u094d^A^1^;^\r^\n^\u0663"},
      {{"deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"},
       "It^'s^ I^'LLx^ ^123^456^7^ x^\n\n^     ^ e\u0301a\u00e9ABc^<=^x^)\n^//^ "
       "^\u4e2d\u6587\u304b^\uac00^\u3002^ \u0931\u094dA^1^;\r\n^\u0663"},
      {{"spark2_5"},
       "It^'s^ I^'LLx^ ^1^2^3^4^5^6^7^ x^\n^\n^     ^ e\u0301a\u00e9ABc^<=^x^)^\n^//^ "
       "^\u4e2d\u6587\u304b^\uac00^\u3002^ \u0931\u094dA^1^;^\r^\n^\u0663"},
      {{"youtu"},
       "It's^ I'LL^x^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ e\u0301a\u00e9^ABc^<=^x^)\n//^ "
       "^\u4e2d\u6587\u304b^\uac00^\u3002^ \u0931\u094d^A^1^;\r\n^\u0663"},
      {{"mpt", "modern-bert", "olmo"},
       "It^'s^ I^'^LLx^ 1234567^ x^\n\n     ^ \u00e9a\u00e9ABc^<=^x^)^\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094d^A^1^;^\r^\n^\u0663"},
      {{"starcoder", "refact", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"},
       "It^'s^ I^'^LLx^ ^1^2^3^4^5^6^7^ x^\n\n     ^ e^\u0301^a\u00e9ABc^<=^x^)^\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094d^A^1^;^\r\n^\u0663"},
      {{"", "default", "gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es",
        "jina-v2-de", "a.x-4.0", "mellum", "jina-v1-en", "jina-v2-code", "roberta-bpe", "jais",
        "exaone4", "trillion", "granite-docling"},
       "It^'s^ I^'^LLx^ 1234567^ x^\n\n     ^ e^\u0301^a\u00e9ABc^<=^x^)^\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094d^A^1^;^\r^\n^\u0663"},
      {{"jais-2"},
       "It^'s^ I^'LL^x^ ^123^456^7^ x^\n\n^    ^ ^ e^\u0301a\u00e9ABc^<=^x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094dA^1^;\r\n^\u0663"},
      {{"command-r"},
       "It^'s^ I^'^LLx^ ^1^2^3^4^5^6^7^ x^\n\n     ^ \u00e9a\u00e9ABc^<=^x^)^\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094d^A^1^;^\r\n^\u0663"},
      {{"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "megrez"},
       "It^'s^ I^'LL^x^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ \u00e9a\u00e9ABc^<=^x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094dA^1^;\r\n^\u0663"},
      {{"qwen35"},
       "It^'s^ I^'LL^x^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ \u00e9a\u00e9ABc^<=^x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931\u094dA^1^;\r\n^\u0663"},
      {{"poro-chat", "bloom", "gpt3-finnish"},
       "It's^ I'LLx^ 1234567^ x^\n\n     ^ e\u0301a\u00e9ABc<=x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931\u094dA1;^\r\n^\u0663"},
      {{"viking"},
       "It's^ I'LLx^ ^1^2^3^4^5^6^7^ x^\n\n     ^ e\u0301a\u00e9ABc<=x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931\u094dA^1^;^\r\n^\u0663"},
      {{"tekken"},
       "It^'s^ I^'LLx^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ e\u0301a\u00e9^ABc^<=^x^)\n//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931\u094d^A^1^;\r\n^\u0663"},
      {{"exaone-moe"},
       "It^'s^ I^'LL^x^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ e\u0301a\u00e9ABc^<=^x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931\u094dA^1^;\r^\n^\u0663"},
      {{"chameleon"},
       "It^'^s^ I^'^LLx^ ^1^2^3^4^5^6^7^ x^\n^\n^    ^  ^e^\u0301^a\u00e9ABc^<^=^x^)^\n^/^/^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094d^A^1^;^\r^\n^\u0663"},
      {{"gpt-4o", "llama4", "kanana2", "talkie", "granite-embed-multi-97m", "minimax-m2"},
       "It's^ I'LL^x^ ^123^456^7^ x^\n\n^     ^ e\u0301a\u00e9^ABc^<=^x^)\n//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931\u094d^A^1^;\r\n^\u0663"},
      {{"tiny_aya", "cohere2moe"},
       "It's^ I'LL^x^ ^1^234^567^ x^\n\n^     ^ e\u0301a\u00e9^ABc^<=^x^)\n//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931\u094d^A^1^;\r\n^\u0663"},
      {{"superbpe"},
       "It's I'LLx ^1^234^567^ x\n\n      e\u0301a\u00e9ABc<=x)\n// \u4e2d\u6587\u304b\uac00\u3002 "
       "\u0931\u094dA^1^;\r\n^\u0663"},
      {{"bailingmoe", "bailingmoe2", "llada-moe", "hunyuan", "grok-2", "solar-open"},
       "It^'s^ I^'LL^x^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ e^\u0301a\u00e9ABc^<=^x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094dA^1^;\r\n^\u0663"},
      {{"seed-coder"},
       "It^'s^ I^'LL^x^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ e^\u0301a\u00e9ABc^<=^x^)^\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094dA^1^;^\r\n^\u0663"},
      {{"kimi-k2"},
       "It's^ I'LL^x^ ^123^456^7^ x^\n\n^     ^ e\u0301a\u00e9^ABc^<=^x^)\n^//^ "
       "^\u4e2d\u6587^\u304b\uac00^\u3002^ \u0931\u094d^A^1^;\r\n^\u0663"},
      {{"ufakzeka"},
       "It^'s^ I^'LLx^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ e^\u0301a\u00e9ABc^<=^x^)\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094dA^1^;\r\n^\u0663"},
      {{"afmoe"},
       "It^'s^ I^'LLx^ ^1^234^567^ x^\n\n^     ^ e\u0301a\u00e9ABc^<=^x^)\n^//^ "
       "^\u4e2d\u6587\u304b\uac00^\u3002^ \u0931\u094dA^1^;\r\n^\u0663"},
      {{"laguna"},
       "It^'s^ I^'LL^x^ ^1^2^3^4^5^6^7^ x^\n\n^     ^ e^\u0301a\u00e9ABc^<=^x^)^\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094dA^1^;\r^\n^\u0663"},
      {{"falcon"},
       "It^'^s^ I^'^LLx^ ^123^456^7^ x^\n\n     ^ e^\u0301^a\u00e9ABc^<=^x^)^\n^//^ "
       "\u4e2d\u6587\u304b\uac00^\u3002^ \u0931^\u094d^A^1^;^\r^\n^\u0663"},
  };
  for (const Case &each : cases) {
    Strings words;
    std::istringstream stream(each.words);
    for (std::string word; std::getline(stream, word, '^');)
      words.push_back(spelled(word));
    for (const char *name : each.names) {
      TokenTable table;
      table.model = "gpt2";
      table.preTokenizer = name;
      table.tokens = {"a"};
      Result<TokenizerSpec> spec = importTokenTable(table);
      ASSERT_TRUE(spec) << spec.error();
      // Only the expected words are tokens, so that others are none.
      spec->model.kind = ModelKind::WordLevel;
      spec->model.tokens.clear();
      for (const std::string &word : std::set<std::string>(words.begin(), words.end()))
        spec->model.tokens.push_back({word, 0, TokenKind::Normal});
      spec->model.tokens.push_back({"<unk>", 0, TokenKind::Normal});
      spec->model.unknownId = int32_t(spec->model.tokens.size() - 1);
      spec->model.hasUnknown = true;
      Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
      ASSERT_TRUE(tokenizer) << tokenizer.error();
      EXPECT_EQ(pieces(*tokenizer, text), words) << name;
    }
  }
}

TEST(TokenTable, WhatBeginsTexts) {
  TokenTable table;
  table.tokens = {"<s>", "a", "\u2581a"};
  table.scores = {0, -1, -1};
  table.special.bos = 0;
  auto ids = [&](const char *model, const char *preTokenizer) {
    table.model = model;
    table.preTokenizer = preTokenizer;
    Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*importTokenTable(table));
    auto sequence = tokenizer->encodeSequence("a", std::nullopt);
    return sequence ? sequence->ids : Ids();
  };
  EXPECT_EQ(ids("llama", ""), (Ids{0, 2}));
  EXPECT_EQ(ids("gpt2", "llama-bpe"), (Ids{0, 1}));
  EXPECT_EQ(ids("gpt2", "tekken"), (Ids{0, 1}));
  EXPECT_EQ(ids("gpt2", "chameleon"), (Ids{0, 1}));
  for (const char *name : {"", "smollm", "qwen2", "glm4", "falcon", "deepseek-llm"})
    EXPECT_EQ(ids("gpt2", name), (Ids{1})) << name;
  table.addBos = false;
  EXPECT_EQ(ids("gpt2", "llama-bpe"), (Ids{1}));
  EXPECT_EQ(ids("llama", ""), (Ids{2}));
}

TEST(TokenTable, SentencePieces) {
  TokenTable table;
  table.model = "llama";
  table.tokens = {"<unk>", "<s>", "\u2581a", "a", "\u2581"};
  table.scores = {0, 0, -1, -2, -3};
  table.kinds = {TokenKind::Unknown, TokenKind::Control, TokenKind::Normal, TokenKind::Normal,
                 TokenKind::Normal};
  table.special.bos = 1;
  table.addBos = true;
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*importTokenTable(table));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(pieces(*tokenizer, "a<s>a", true), (Strings{"<s>", "\u2581a", "<s>", "\u2581a"}));
  EXPECT_EQ(tokenizer->decode({1, 2, 2}, true), "a a");
  table.scores.clear();
  EXPECT_EQ(importTokenTable(table).error(), "expected scores for a tokenizer of model 'llama'");
}

TEST(TokenTable, PairsByKind) {
  TokenTable table;
  table.model = "gpt2";
  table.tokens = {"<s>", "</s>", "a", "b"};
  table.special.bos = 0;
  table.special.eos = 1;
  table.addBos = table.addEos = true;
  auto pair = [&] {
    auto tokenizer = Tokenizer::fromSpec(*importTokenTable(table));
    auto sequence = tokenizer->encodeSequence("a", "b");
    return sequence ? sequence->ids : Ids();
  };
  EXPECT_EQ(pair(), (Ids{0, 2, 1, 0, 3, 1})); // each text has both
  table.preTokenizer = "roberta-bpe";
  EXPECT_EQ(pair(), (Ids{0, 2, 1, 1, 3, 1}));
  table.preTokenizer = "modern-bert";
  EXPECT_EQ(pair(), (Ids{0, 2, 1, 3, 1}));
  table.preTokenizer = "roberta-bpe";
  table.addEos = false;
  EXPECT_EQ(pair(), (Ids{0, 2, 0, 3}));
  table.addEos = true;
  table.model = "t5"; // XLM-R
  table.preTokenizer.clear();
  table.scores = {0, 0, -1, -1};
  table.addSpacePrefix = false;
  EXPECT_EQ(pair(), (Ids{0, 2, 1, 1, 3, 1}));
  table.model = "llama";
  EXPECT_EQ(pair(), (Ids{0, 2, 1, 0, 3, 1}));
}

TEST(TokenTable, WordPieces) {
  TokenTable table;
  table.model = "bert";
  table.tokens = {"[UNK]", "[CLS]", "[SEP]", "\u2581he", "llo"};
  table.special.unk = 0;
  table.special.cls = 1;
  table.special.sep = 2;
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*importTokenTable(table));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(pieces(*tokenizer, "Hello", true), (Strings{"[CLS]", "he", "##llo", "[SEP]"}));
  auto pair = tokenizer->encodeSequence("he", "he");
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->ids, (Ids{1, 3, 2, 3, 2}));
  EXPECT_EQ(pair->types, (Ids{0, 0, 0, 1, 1}));
  // A vocabulary of capitals and accents.
  table.tokens = {"[UNK]", "[CLS]", "[SEP]", "\u2581H\u00e9", "\u2581He", "llo"};
  table.lowercase = table.stripAccents = false;
  tokenizer = Tokenizer::fromSpec(*importTokenTable(table));
  EXPECT_EQ(pieces(*tokenizer, "H\u00e9llo hello"), (Strings{"H\u00e9", "##llo", "[UNK]"}));
  table.stripAccents = true;
  tokenizer = Tokenizer::fromSpec(*importTokenTable(table));
  EXPECT_EQ(pieces(*tokenizer, "H\u00e9llo"), (Strings{"He", "##llo"}));
}

//===----------------------------------------------------------------------===//
// Directories
//===----------------------------------------------------------------------===//

TEST_F(Directory, Empty) {
  EXPECT_FALSE(hasTokenizer(path.string()));
  EXPECT_EQ(error(),
            (path / "").string() +
                ": no tokenizer, expected tokenizer.json, tokenizer.model, *.tiktoken, vocab.json "
                "with merges.txt, or vocab.txt");
  EXPECT_EQ(error("x.json"), (path / "x.json").string() + ": no such file or directory");
  write("x.txt", "hello");
  EXPECT_EQ(error("x.txt"),
            (path / "x.txt").string() +
                ": expected a tokenizer.json, a *.model, a *.tiktoken or a *.bin file");
}

TEST_F(Directory, TokenizerJsonWithConfiguration) {
  json doc = document(bpe({{"a", 0}, {"<s>", 1}, {"</s>", 2}, {"<pad>", 3}}));
  doc["added_tokens"] = {addedToken("<s>")};
  writeJson("tokenizer.json", doc);
  json config = {{"bos_token", "<s>"},
                 {"eos_token", {{"content", "</s>"}}},
                 {"pad_token", nullptr},
                 {"chat_template", "{{ x }}"},
                 {"tokenizer_class", "LlamaTokenizerFast"},
                 {"add_bos_token", true},
                 {"add_eos_token", true},
                 {"added_tokens_decoder", {{"4", {{"content", "<|user|>"}, {"special", true}}}}}};
  writeJson("tokenizer_config.json", config);
  writeJson("special_tokens_map.json", json{{"pad_token", "<pad>"}});
  EXPECT_TRUE(hasTokenizer(path.string()));
  Tokenizer tokenizer = open();
  EXPECT_EQ(tokenizer.specialIds().bos, 1);
  EXPECT_EQ(tokenizer.specialIds().eos, 2);
  EXPECT_EQ(tokenizer.specialIds().pad, 3);
  EXPECT_EQ(tokenizer.specialIds().cls, -1);
  EXPECT_EQ(tokenizer.chatTemplate(), "{{ x }}");
  EXPECT_EQ(pieces(tokenizer, "a</s><|user|>", true),
            (Strings{"<s>", "a", "</s>", "<|user|>", "</s>"}));
  // The file alone is complete in itself.
  EXPECT_EQ(pieces(open("tokenizer.json"), "a", true), (Strings{"a"}));

  config["add_bos_token"] = false;
  config["add_eos_token"] = false;
  config["chat_template"] = {{{"name", "tools"}, {"template", "T"}},
                             {{"name", "default"}, {"template", "D"}}};
  writeJson("tokenizer_config.json", config);
  EXPECT_EQ(pieces(open(), "a", true), (Strings{"a"}));
  EXPECT_EQ(open().chatTemplate(), "D");
  write("chat_template.jinja", "J");
  EXPECT_EQ(open().chatTemplate(), "J");

  config["added_tokens_decoder"] = {{"4x", {{"content", "y"}}}};
  writeJson("tokenizer_config.json", config);
  EXPECT_EQ(error(), (path / "tokenizer_config.json").string() +
                         ": expected an id, got '4x' (at added_tokens_decoder['4x'])");
  write("tokenizer_config.json", "[");
  EXPECT_EQ(error().rfind((path / "tokenizer_config.json").string() + ": invalid JSON", 0), 0u);
  write("tokenizer.json", "{}");
  write("tokenizer_config.json", "{}");
  EXPECT_EQ(error(), (path / "tokenizer.json").string() +
                         ": expected a tokenizer.json, an object with a model");
}

TEST_F(Directory, PrefixSpaceOfTheConfiguration) {
  json doc = document(bpe({{"a", 0}, {"\u0120", 1}}));
  doc["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  writeJson("tokenizer.json", doc);
  EXPECT_EQ(pieces(open(), "a"), (Strings{"a"}));
  writeJson("tokenizer_config.json", json{{"add_prefix_space", true}});
  EXPECT_EQ(pieces(open(), "a"), (Strings{"\u0120", "a"}));
}

TEST_F(Directory, VocabularyAndMerges) {
  writeJson("vocab.json", json{{"a", 0}, {"b", 1}, {"ab", 2}, {"<|endoftext|>", 3}, {"\u0120", 4}});
  EXPECT_FALSE(hasTokenizer(path.string()));
  write("merges.txt", "#version: 0.2\r\na b\r\n");
  EXPECT_TRUE(hasTokenizer(path.string()));
  Tokenizer tokenizer = open();
  EXPECT_EQ(pieces(tokenizer, "ab<|endoftext|> b"),
            (Strings{"ab", "<|endoftext|>", "\u0120", "b"}));
  EXPECT_EQ(tokenizer.specialIds().eos, 3);
  EXPECT_EQ(pieces(open("vocab.json"), "ab"), (Strings{"ab"}));
  writeJson("added_tokens.json", json{{"<x>", 7}});
  EXPECT_EQ(encode(open(), "a<x>"), (Ids{0, 7}));
  writeJson("tokenizer_config.json", json{{"tokenizer_class", "CTRLTokenizer"}});
  EXPECT_EQ(error(), (path / "").string() +
                         ": tokenizer class 'CTRLTokenizer' is not supported with vocab.json and "
                         "merges.txt, expected a tokenizer.json");
  writeJson("tokenizer_config.json",
            json{{"tokenizer_class", "GPT2Tokenizer"}, {"add_bos_token", true}});
  EXPECT_EQ(encode(open(), "a", true), (Ids{3, 0}));
  write("merges.txt", "a b c\n");
  EXPECT_EQ(error(),
            (path / "merges.txt").string() + ": expected two tokens in merge 1, got 'a b c'");
}

TEST_F(Directory, RobertaVocabulary) {
  writeJson("vocab.json", json{{"<s>", 0}, {"</s>", 1}, {"<mask>", 2}, {"a", 3}, {"\u0120", 4}});
  write("merges.txt", "");
  writeJson("tokenizer_config.json", json{{"tokenizer_class", "RobertaTokenizer"}});
  Tokenizer tokenizer = open();
  EXPECT_EQ(encode(tokenizer, "a", true), (Ids{0, 3, 1}));
  EXPECT_EQ(encode(tokenizer, "a <mask> a"), (Ids{3, 2, 4, 3})); // takes the space before it
}

TEST_F(Directory, SentencePieceModel) {
  write("tokenizer.model", smallModel());
  EXPECT_EQ(pieces(open(), "a", true), (Strings{"\u2581a"}));
  writeJson("tokenizer_config.json",
            json{{"tokenizer_class", "LlamaTokenizer"},
                 {"added_tokens_decoder", {{"7", {{"content", "<|user|>"}, {"special", true}}}}}});
  Tokenizer tokenizer = open();
  EXPECT_EQ(encode(tokenizer, "a<|user|>a</s>", true), (Ids{1, 5, 7, 5, 2}));
  EXPECT_EQ(tokenizer.decode({1, 5, 7, 2}, true), "a");
  writeJson("tokenizer_config.json",
            json{{"tokenizer_class", "LlamaTokenizer"}, {"legacy", false}});
  EXPECT_EQ(encode(open(), "a</s>a", true), (Ids{1, 5, 2, 4})); // no space behind a token
  // The file alone adds nothing.
  EXPECT_EQ(encode(open("tokenizer.model"), "a", true), (Ids{5}));
}

TEST_F(Directory, WordPieceVocabulary) {
  write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhe\n##llo\n");
  EXPECT_EQ(pieces(open(), "Hello x [SEP]", true),
            (Strings{"[CLS]", "he", "##llo", "[UNK]", "[SEP]", "[SEP]"}));
  writeJson("tokenizer_config.json", json{{"do_lower_case", false}});
  EXPECT_EQ(pieces(open(), "Hello"), (Strings{"[UNK]"}));
  auto pair = open().encodeSequence("he", "x");
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->ids, (Ids{2, 4, 3, 1, 3}));
  EXPECT_EQ(pair->types, (Ids{0, 0, 0, 1, 1}));
}

TEST_F(Directory, WhatTextsAreCutTo) {
  write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhe\n##llo\n");
  EXPECT_EQ(open().maxTokens(), 0u);
  writeJson("tokenizer_config.json", json{{"model_max_length", 1e30}, {"do_lower_case", false}});
  EXPECT_EQ(open().maxTokens(), 0u);
  writeJson("tokenizer_config.json", json{{"model_max_length", 512}, {"do_lower_case", false}});
  EXPECT_EQ(open().maxTokens(), 512u);
  // What sentence-transformers stores counts more.
  writeJson("sentence_bert_config.json", json{{"max_seq_length", 256}, {"do_lower_case", true}});
  EXPECT_EQ(open().maxTokens(), 256u);
  EXPECT_EQ(pieces(open(), "HeLLO"), (Strings{"he", "##llo"}));
  writeJson("sentence_bert_config.json", json{{"max_seq_length", nullptr}});
  EXPECT_EQ(open().maxTokens(), 512u);
  for (double tokens : {0., -1., 1.5}) {
    writeJson("sentence_bert_config.json", json{{"max_seq_length", tokens}});
    EXPECT_EQ(error(), (path / "sentence_bert_config.json").string() +
                           ": expected a whole number of tokens of at least 1 (at max_seq_length)");
  }
  write("sentence_bert_config.json", R"({"max_seq_length": 2e308})");
  EXPECT_EQ(error(), (path / "sentence_bert_config.json").string() +
                         ": invalid JSON: a number that is out of range");
  fs::remove(path / "sentence_bert_config.json");
  writeJson("tokenizer_config.json",
            json{{"truncation_side", "left"}, {"model_input_names", {"input_ids"}}});
  auto cut = open().encodeSequence("he hello he", std::nullopt, 4);
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->ids, (Ids{2, 5, 4, 3}));
  // Types that no model of the class takes.
  auto pair = open().encodeSequence("he", "he");
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->types, Ids(5, 0));
  writeJson("tokenizer_config.json", json{{"truncation_side", "middle"}});
  EXPECT_EQ(error(), (path / "tokenizer_config.json").string() +
                         ": expected left or right, got 'middle' (at truncation_side)");
}

} // namespace
