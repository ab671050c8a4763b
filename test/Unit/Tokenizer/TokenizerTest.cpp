//===- TokenizerTest.cpp - The Tokenizer and StreamDecoder classes ----------===//

#include "TestSupport.h"

#include <chrono>
#include <cstring>
#include <functional>
#include <random>
#include <sstream>
#include <thread>

using namespace ingot::tokenizer;

namespace {

using Strings = std::vector<std::string>;

/// Single characters and what they merge to, with the unknown token 0.
json plainModel() {
  json vocab = {{"<unk>", 0}};
  for (char c : std::string("abcdefghijklmnopqrstuvwxyz <>/.,"))
    vocab[std::string(1, c)] = vocab.size();
  json model = bpe(vocab);
  model["unk_token"] = "<unk>";
  return model;
}

/// All bytes and a few merges, as byte-level models have them.
json byteLevelDocument() {
  json vocab = json::object();
  for (unsigned i = 0; i < 0x144; ++i) {
    bool prints = (i >= 0x21 && i <= 0x7E) || (i >= 0xA1 && i <= 0xFF && i != 0xAD) || i >= 0x100;
    if (!prints)
      continue;
    std::string text;
    if (i < 0x80)
      text = std::string(1, char(i));
    else
      text = {char(0xC0 | i >> 6), char(0x80 | (i & 0x3F))};
    vocab[text] = vocab.size();
  }
  Merges merges = {{"t", "h"}, {"th", "e"}, {"\u0120", "the"}};
  for (const char *token : {"th", "the", "\u0120the"})
    vocab[token] = vocab.size();
  json doc = document(bpe(vocab, merges));
  doc["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  doc["decoder"] = {{"type", "ByteLevel"}};
  doc["added_tokens"] = {addedToken("<|end|>")};
  return doc;
}

TEST(AddedTokens, LongestAtTheLeftmostPlace) {
  json doc = document(plainModel());
  doc["added_tokens"] = {addedToken("<a"), addedToken("<ab>"), addedToken("b>")};
  EXPECT_EQ(pieces(load(doc), "x<ab>b>"), (Strings{"x", "<ab>", "b>"}));
  EXPECT_EQ(pieces(load(doc), "<ac<a"), (Strings{"<a", "c", "<a"}));
}

TEST(AddedTokens, StripOptions) {
  json doc = document(plainModel());
  json token = addedToken("<a>");
  token["lstrip"] = true;
  doc["added_tokens"] = {token};
  EXPECT_EQ(pieces(load(doc), "b  <a> b"), (Strings{"b", "<a>", " ", "b"}));
  token["lstrip"] = false;
  token["rstrip"] = true;
  doc["added_tokens"] = {token};
  EXPECT_EQ(pieces(load(doc), "b <a>\n\u3000b"), (Strings{"b", " ", "<a>", "b"}));
}

TEST(AddedTokens, WhitespaceTokenBehindAStrippingOne) {
  json doc = document(plainModel());
  json strips = addedToken("<a>");
  strips["rstrip"] = true;
  doc["added_tokens"] = {strips, addedToken("  ")};
  // The spaces that were taken are found again, as in the reference.
  EXPECT_EQ(pieces(load(doc), "<a>  b"), (Strings{"<a>", "  ", "b"}));
}

TEST(AddedTokens, SingleWord) {
  json doc = document(plainModel());
  json token = addedToken("ab");
  token["single_word"] = true;
  doc["added_tokens"] = {token};
  EXPECT_EQ(pieces(load(doc), "ab,abc ab"), (Strings{"ab", ",", "a", "b", "c", " ", "ab"}));
  EXPECT_EQ(pieces(load(doc), "\u00E9ab"), (Strings{"<unk>", "a", "b"}));
}

TEST(AddedTokens, Normalized) {
  json doc = document(plainModel());
  doc["normalizer"] = {{"type", "Lowercase"}};
  json token = addedToken("Yes");
  doc["added_tokens"] = {token};
  EXPECT_EQ(pieces(load(doc), "yesYes"), (Strings{"y", "e", "s", "Yes"}));
  token["normalized"] = true;
  doc["added_tokens"] = {token};
  Tokenizer tokenizer = load(doc);
  EXPECT_EQ(encode(tokenizer, "yesYES"), (Ids{33, 33}));
  EXPECT_EQ(tokenizer.decode({33}, false), "yes"); // its normalised spelling
}

TEST(AddedTokens, IdsComeFromTheVocabulary) {
  json doc = document(plainModel());
  json known = addedToken("b"), first = addedToken("<x>"), second = addedToken("<y>");
  known["id"] = 999;
  first["id"] = 777;
  doc["added_tokens"] = {known, first, second};
  Tokenizer tokenizer = load(doc);
  EXPECT_EQ(tokenizer.tokenId("b"), tokenizer.tokenId("a") + 1);
  EXPECT_EQ(tokenizer.tokenId("<x>"), 33);
  EXPECT_EQ(tokenizer.tokenId("<y>"), 34);
  EXPECT_EQ(tokenizer.vocabSize(), 35u);
}

TEST(Tokenizer, Accessors) {
  Tokenizer tokenizer = load(byteLevelDocument());
  int32_t the = tokenizer.tokenId("\u0120the"), end = tokenizer.tokenId("<|end|>");
  EXPECT_EQ(encode(tokenizer, " the<|end|>"), (Ids{the, end}));
  EXPECT_EQ(tokenizer.tokenBytes(the), "\u0120the");
  EXPECT_EQ(tokenizer.tokenId("nothing"), -1);
  EXPECT_TRUE(tokenizer.isSpecial(end));
  EXPECT_FALSE(tokenizer.isSpecial(the));
  EXPECT_FALSE(tokenizer.isSpecial(-1));
  EXPECT_EQ(tokenizer.tokenBytes(-1), "");
  EXPECT_EQ(tokenizer.tokenBytes(1 << 30), "");
  EXPECT_EQ(tokenizer.vocabSize(), 260u);
}

TEST(Tokenizer, DecodeSkipsSpecialAndUnknownIds) {
  Tokenizer tokenizer = load(byteLevelDocument());
  int32_t the = tokenizer.tokenId("\u0120the"), end = tokenizer.tokenId("<|end|>");
  EXPECT_EQ(tokenizer.decode({the, end, 12345, -7}, false), " the<|end|>");
  EXPECT_EQ(tokenizer.decode({the, end, 12345, -7}, true), " the");
}

TEST(Tokenizer, HolesInTheVocabulary) {
  json doc = document(bpe({{"a", 0}, {"b", 5}}));
  doc["decoder"] = {{"type", "Fuse"}};
  Tokenizer tokenizer = load(doc);
  EXPECT_EQ(encode(tokenizer, "ab"), (Ids{0, 5}));
  EXPECT_EQ(tokenizer.vocabSize(), 6u);
  EXPECT_EQ(tokenizer.decode({0, 3, 5}, false), "ab");
}

TEST(Tokenizer, MalformedText) {
  Tokenizer tokenizer = load(byteLevelDocument());
  for (std::string text :
       {"a\x80", "\xE4\xBD", "\xF0\x9F\x98\x80\xF0\x9F", "\xC0\xAF\xFF", "\xED\xA0\x80"}) {
    Ids ids = encode(tokenizer, text);
    EXPECT_TRUE(isWholeUtf8(tokenizer.decode(ids, false)));
  }
  EXPECT_EQ(tokenizer.decode(encode(tokenizer, "a\xE4\xBDz"), false), "a\uFFFDz");
}

TEST(PostProcessor, Template) {
  json doc = document(plainModel());
  doc["added_tokens"] = {addedToken("<s>"), addedToken("</s>")};
  doc["post_processor"] = {{"type", "TemplateProcessing"},
                           {"single",
                            {{{"SpecialToken", {{"id", "B"}, {"type_id", 0}}}},
                             {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                             {{"SpecialToken", {{"id", "E"}, {"type_id", 0}}}}}},
                           {"pair", json::array()},
                           {"special_tokens",
                            {{"B", {{"id", "B"}, {"ids", {33, 33}}, {"tokens", {"<s>", "<s>"}}}},
                             {"E", {{"id", "E"}, {"ids", {34}}, {"tokens", {"</s>"}}}}}}};
  Tokenizer tokenizer = load(doc);
  EXPECT_EQ(pieces(tokenizer, "a", true), (Strings{"<s>", "<s>", "a", "</s>"}));
  EXPECT_EQ(pieces(tokenizer, "a", false), (Strings{"a"}));
  EXPECT_EQ(pieces(tokenizer, "", true), (Strings{"<s>", "<s>", "</s>"}));
  doc["post_processor"]["single"][0]["SpecialToken"]["id"] = "X";
  EXPECT_EQ(refusal(doc),
            "special token 'X' is not in special_tokens (at post_processor.single[0])");
}

TEST(PostProcessor, BertRobertaAndSequence) {
  json doc = document(plainModel());
  json bert = {{"type", "BertProcessing"}, {"sep", {"a", 1}}, {"cls", {"b", 2}}};
  doc["post_processor"] = bert;
  EXPECT_EQ(pieces(load(doc), "x", true), (Strings{"b", "x", "a"}));
  json byteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}};
  json roberta = {{"type", "RobertaProcessing"}, {"sep", {"c", 3}}, {"cls", {"d", 4}}};
  doc["post_processor"] = {{"type", "Sequence"}, {"processors", {byteLevel, bert, roberta}}};
  EXPECT_EQ(pieces(load(doc), "x", true), (Strings{"d", "b", "x", "a", "c"}));
  doc["post_processor"] = byteLevel;
  EXPECT_EQ(pieces(load(doc), "x", true), (Strings{"x"}));
}

/// "ids / types", tokens as they are spelled.
std::string sequenceOf(const Tokenizer &tokenizer, std::string_view text,
                       std::optional<std::string_view> second, size_t maxTokens = SIZE_MAX) {
  auto sequence = tokenizer.encodeSequence(text, second, maxTokens);
  if (!sequence)
    return sequence.error();
  std::string tokens, types;
  for (size_t i = 0; i < sequence->ids.size(); ++i) {
    tokens += tokenizer.tokenBytes(sequence->ids[i]);
    types += std::to_string(sequence->types[i]);
  }
  return tokens + " / " + types +
         (sequence->dropped ? " -" + std::to_string(sequence->dropped) : "");
}

TEST(PostProcessor, Pairs) {
  json doc = document(plainModel());
  EXPECT_EQ(sequenceOf(load(doc), "xy", "z"), "xyz / 001");
  EXPECT_EQ(sequenceOf(load(doc), "xy", std::nullopt), "xy / 00");
  json bert = {{"type", "BertProcessing"}, {"sep", {"a", 1}}, {"cls", {"b", 2}}};
  json roberta = {{"type", "RobertaProcessing"}, {"sep", {"a", 1}}, {"cls", {"b", 2}}};
  doc["post_processor"] = bert;
  EXPECT_EQ(sequenceOf(load(doc), "xy", "z"), "bxyaza / 000011");
  doc["post_processor"] = roberta;
  EXPECT_EQ(sequenceOf(load(doc), "xy", "z"), "bxyaaza / 0000000");
  auto sequence = [](const char *name, int type) {
    return json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  auto token = [](int type) { return json{{"SpecialToken", {{"id", "S"}, {"type_id", type}}}}; };
  doc["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {sequence("A", 2), token(1)}},
      {"pair", {sequence("B", 3), token(4), sequence("A", 0)}},
      {"special_tokens", {{"S", {{"id", "S"}, {"ids", {1}}, {"tokens", {"a"}}}}}}};
  EXPECT_EQ(sequenceOf(load(doc), "xy", "z"), "zaxy / 3400");
  EXPECT_EQ(sequenceOf(load(doc), "xy", std::nullopt), "xya / 221");
  doc["post_processor"]["pair"][0]["Sequence"]["id"] = "C";
  EXPECT_EQ(refusal(doc), "expected sequence A or B, got 'C' (at post_processor.pair[0].Sequence)");
  doc["post_processor"]["pair"] = nullptr;
  EXPECT_EQ(sequenceOf(load(doc), "xy", "z"), "the tokenizer has no form for pairs of texts");
  doc["post_processor"]["pair"] = {sequence("A", 256)};
  EXPECT_EQ(refusal(doc),
            "expected a type of at most 255 (at post_processor.pair[0].Sequence.type_id)");
}

TEST(PostProcessor, Cut) {
  json doc = document(plainModel());
  doc["post_processor"] = {{"type", "BertProcessing"}, {"sep", {"a", 1}}, {"cls", {"b", 2}}};
  Tokenizer tokenizer = load(doc);
  EXPECT_EQ(sequenceOf(tokenizer, "uvwxyz", std::nullopt, 8), "buvwxyza / 00000000");
  EXPECT_EQ(sequenceOf(tokenizer, "uvwxyz", std::nullopt, 5), "buvwa / 00000 -3");
  EXPECT_EQ(sequenceOf(tokenizer, "uvwxyz", std::nullopt, 1), "ba / 00 -6");
  // The longer one first, then both; an odd token stays with the longer one.
  EXPECT_EQ(sequenceOf(tokenizer, "uvwxyz", "mn", 8), "buvwamna / 00000111 -3");
  EXPECT_EQ(sequenceOf(tokenizer, "mn", "uvwxyz", 8), "bmnauvwa / 00001111 -3");
  EXPECT_EQ(sequenceOf(tokenizer, "uvwxyz", "mnop", 8), "buvwamna / 00000111 -5");
  EXPECT_EQ(sequenceOf(tokenizer, "mnop", "uvwxyz", 8), "bmnauvwa / 00001111 -5");
  EXPECT_EQ(sequenceOf(tokenizer, "uvwxyz", "mnop", 3), "baa / 001 -10");
}

//===----------------------------------------------------------------------===//
// StreamDecoder
//===----------------------------------------------------------------------===//

std::string streamed(const Tokenizer &tokenizer, const Ids &ids, bool skipSpecial) {
  StreamDecoder stream(tokenizer, skipSpecial);
  std::string text;
  for (int32_t id : ids) {
    std::string piece = stream.push(id);
    EXPECT_TRUE(isWholeUtf8(piece)) << piece;
    text += piece;
  }
  std::string rest = stream.finish();
  EXPECT_TRUE(isWholeUtf8(rest)) << rest;
  return text + rest;
}

TEST(StreamDecoder, YieldsWholeCharacters) {
  Tokenizer tokenizer = load(byteLevelDocument());
  Ids ids = encode(tokenizer, "\U0001F642x");
  ASSERT_EQ(ids.size(), 5u);
  StreamDecoder stream(tokenizer, false);
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.push(ids[1]), "");
  EXPECT_EQ(stream.push(ids[2]), "");
  EXPECT_EQ(stream.push(ids[3]), "\U0001F642");
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.push(ids[4]), "\uFFFDx"); // the character can no longer be finished
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.push(ids[4]), "x"); // and it starts over
}

TEST(StreamDecoder, EqualsDecodeForEveryDecoder) {
  json vocab = json::object();
  for (const char *token : {"a",      "\u2581a", "\u2581", "##b",    "b</w>", "<0xC3>",    "<0xA9>",
                            "<0xE4>", "\u0120c", "\u00C3", "\u00A9", ".",     " ",         "<pad>",
                            "n't",    "\u00E9",  "aa",     "x",      "ee",    "\U0001F642"})
    vocab[token] = vocab.size();
  json replace = {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}};
  json replaceLong = {
      {"type", "Replace"}, {"pattern", {{"String", "aa.x"}}}, {"content", "\u00E9"}};
  json replaceRegex = {
      {"type", "Replace"}, {"pattern", {{"Regex", "a+|\u00E9"}}}, {"content", "-"}};
  json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 1}};
  json metaspace = {{"type", "Metaspace"}, {"replacement", "\u2581"}};
  json wordPiece = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  json suffix = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  json ctc = {
      {"type", "CTC"}, {"pad_token", "<pad>"}, {"word_delimiter_token", "x"}, {"cleanup", true}};
  json byteLevel = {{"type", "ByteLevel"}}, fallback = {{"type", "ByteFallback"}},
       fuse = {{"type", "Fuse"}};
  std::vector<json> parts = {replace, replaceLong, replaceRegex, strip,    metaspace, wordPiece,
                             suffix,  ctc,         byteLevel,    fallback, fuse};
  std::mt19937 random(3);
  for (unsigned round = 0; round < 300; ++round) {
    json decoders = json::array();
    for (unsigned i = random() % 4; i > 0; --i)
      decoders.push_back(parts[random() % parts.size()]);
    json doc = document(bpe(vocab));
    doc["decoder"] = decoders.empty() ? json() : json{{"type", "Sequence"}, {"decoders", decoders}};
    doc["added_tokens"] = {addedToken("x")};
    Tokenizer tokenizer = load(doc);
    for (unsigned text = 0; text < 10; ++text) {
      Ids ids;
      for (unsigned i = random() % 12; i > 0; --i)
        ids.push_back(int32_t(random() % (vocab.size() + 1)));
      bool skip = random() % 2;
      EXPECT_EQ(streamed(tokenizer, ids, skip), tokenizer.decode(ids, skip)) << doc["decoder"];
    }
  }
}

TEST(StreamDecoder, OneAtATimeForTheCommonDecoders) {
  // Text may wait for a later token only where that can change it.
  json vocab = {{"\u2581a", 0}, {"b", 1}, {"<0xC3>", 2}, {"<0xA9>", 3}};
  json doc = document(bpe(vocab));
  doc["decoder"] = {{"type", "Sequence"},
                    {"decoders",
                     {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
                      {{"type", "ByteFallback"}},
                      {{"type", "Fuse"}},
                      {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  Tokenizer tokenizer = load(doc);
  StreamDecoder stream(tokenizer, false);
  EXPECT_EQ(stream.push(0), "a");
  EXPECT_EQ(stream.push(0), " a");
  EXPECT_EQ(stream.push(2), "");
  EXPECT_EQ(stream.push(3), "");
  EXPECT_EQ(stream.push(1), "\u00E9b");
  EXPECT_EQ(stream.finish(), "");
}

//===----------------------------------------------------------------------===//
// Size, speed, threads
//===----------------------------------------------------------------------===//

double seconds(const std::function<void()> &work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The best of a few attempts: others use the machine too.
double bestSeconds(const std::function<void()> &work) {
  double best = seconds(work);
  for (unsigned i = 0; i < 3; ++i)
    best = std::min(best, seconds(work));
  return best;
}

TEST(Scaling, LongWordsAreNotQuadratic) {
  Merges merges;
  json vocab = {{"<unk>", 0}, {"a", 1}, {"b", 2}};
  std::string token = "a";
  for (unsigned i = 0; i < 6; ++i) {
    merges.push_back({token, token});
    token += token;
    vocab[token] = vocab.size();
  }
  merges.push_back({"a", "b"});
  vocab["ab"] = vocab.size();
  json model = bpe(vocab, merges);
  json wordPiece = {{"type", "WordPiece"},
                    {"unk_token", "<unk>"},
                    {"continuing_subword_prefix", ""},
                    {"max_input_chars_per_word", 100000000},
                    {"vocab", vocab}};
  json list = json::array();
  for (auto &[text, id] : vocab.items())
    list.push_back({text, -double(text.size())});
  json unigram = {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", list}};
  for (const json &each : {model, wordPiece, unigram}) {
    Tokenizer tokenizer = load(document(each));
    std::string small, large;
    for (unsigned i = 0; i < 1u << 20; ++i)
      large += i % 97 == 0 ? 'b' : 'a';
    small = large.substr(0, large.size() / 16);
    double one = bestSeconds([&] { (void)encode(tokenizer, small); });
    double sixteen = bestSeconds([&] { (void)encode(tokenizer, large); });
    EXPECT_LT(sixteen, 16 * one * 6 + 0.1) << each["type"];
  }
}

TEST(Scaling, SentencePieceLongWords) {
  TokenizerSpec spec;
  spec.model.kind = ModelKind::SentencePieceBPE;
  spec.model.tokens = {{"<unk>", 0, TokenKind::Unknown}};
  std::string token = "a";
  for (unsigned i = 0; i < 8; ++i) {
    spec.model.tokens.push_back({token, -double(i), TokenKind::Normal});
    token += token;
  }
  spec.model.hasUnknown = true;
  spec.model.unknownId = 0;
  spec.normalizer.emplace_back(NormalizerKind::SentencePiece);
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(spec);
  ASSERT_TRUE(tokenizer) << tokenizer.error();
  std::string large(1 << 20, 'a'), small(1 << 16, 'a');
  double one = bestSeconds([&] { (void)encode(*tokenizer, small); });
  double sixteen = bestSeconds([&] { (void)encode(*tokenizer, large); });
  EXPECT_LT(sixteen, 16 * one * 6 + 0.1);
}

TEST(Scaling, OpeningDoesNotParse) {
  // 50,000 tokens with merges: opening is one pass over the tables.
  json vocab = json::object();
  Merges merges;
  std::vector<std::string> tokens;
  for (char c = 'a'; c <= 'z'; ++c)
    tokens.push_back(std::string(1, c));
  for (size_t i = 0; tokens.size() < 50000; ++i) {
    std::string left = tokens[i / 26], right = tokens[i % 26];
    merges.push_back({left, right});
    tokens.push_back(left + right);
  }
  for (const std::string &token : tokens)
    vocab[token] = vocab.size();
  Result<TokenizerSpec> spec = importTokenizerJson(document(bpe(vocab, merges)).dump());
  ASSERT_TRUE(spec) << spec.error();
  Result<std::vector<uint8_t>> blob = serialize(*spec);
  ASSERT_TRUE(blob) << blob.error();
  std::vector<uint64_t> aligned((blob->size() + 7) / 8);
  std::memcpy(aligned.data(), blob->data(), blob->size());
  double time = bestSeconds([&] {
    Result<Tokenizer> tokenizer = Tokenizer::open(aligned.data(), blob->size());
    ASSERT_TRUE(tokenizer) << tokenizer.error();
  });
  EXPECT_LT(time, 0.05); // about a millisecond without sanitizers
  Result<Tokenizer> tokenizer = Tokenizer::open(aligned.data(), blob->size());
  ASSERT_TRUE(tokenizer);
  for (size_t id = 0; id < tokens.size(); id += 997) {
    EXPECT_EQ(tokenizer->tokenId(tokens[id]), int32_t(id));
    EXPECT_EQ(tokenizer->tokenBytes(int32_t(id)), tokens[id]);
  }
}

TEST(Serialize, Deterministic) {
  Result<TokenizerSpec> spec = importTokenizerJson(byteLevelDocument().dump());
  ASSERT_TRUE(spec);
  Result<std::vector<uint8_t>> first = serialize(*spec), second = serialize(*spec);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, *second);
}

TEST(Threads, ShareATokenizer) {
  Tokenizer tokenizer = load(byteLevelDocument());
  std::string text;
  for (unsigned i = 0; i < 2000; ++i)
    text += " the cat \u00E9" + std::to_string(i);
  Ids expected = encode(tokenizer, text);
  std::vector<std::thread> threads;
  std::vector<int> good(4);
  for (int &result : good)
    threads.emplace_back([&] {
      Result<Ids> ids = tokenizer.encode(text, false);
      result = ids && *ids == expected && tokenizer.decode(*ids, false) == text;
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(good, std::vector<int>(4, 1));
}

//===----------------------------------------------------------------------===//
// The line protocol
//===----------------------------------------------------------------------===//

TEST(Lines, BothWays) {
  Tokenizer tokenizer = load(byteLevelDocument());
  std::istringstream in("\" the\"\n\"\"\n\"\\u00e9\\n\"\n");
  std::ostringstream out;
  EXPECT_FALSE(tokenizeLines(tokenizer, in, out, {}));
  std::istringstream back(out.str());
  std::ostringstream text;
  LineOptions options;
  options.decode = true;
  EXPECT_FALSE(tokenizeLines(tokenizer, back, text, options));
  EXPECT_EQ(text.str(), "\" the\"\n\"\"\n\"\\u00e9\\n\"\n");
}

TEST(Lines, ErrorsNameTheLine) {
  Tokenizer tokenizer = load(byteLevelDocument());
  auto message = [&](const std::string &input, bool decode) {
    std::istringstream in(input);
    std::ostringstream out;
    LineOptions options;
    options.decode = decode;
    MaybeError error = tokenizeLines(tokenizer, in, out, options);
    return error ? error->message : "";
  };
  EXPECT_EQ(message("\"a\"\n[1]\n", false),
            "line 2: expected a JSON string, or an array of two, got array");
  EXPECT_EQ(message("nonsense\n", false), "line 1: expected a line of JSON");
  EXPECT_EQ(message("\"\\ud800\"\n", false), "line 1: expected a line of JSON");
  EXPECT_EQ(message("[1, -1]\n", true), "line 1: expected an id, got -1");
  EXPECT_EQ(message("[1.5]\n", true), "line 1: expected an id, got 1.5");
  EXPECT_EQ(message("\"a\"\n", true), "line 1: expected a JSON array of ids, got string");
}

} // namespace
