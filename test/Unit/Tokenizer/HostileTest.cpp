//===- HostileTest.cpp - Damaged blobs, lying files, slow patterns ----------===//
//
// None of this may crash, hang or read outside its buffers (the sanitizers check the last), and
// what is accepted must still work.
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>

using namespace ingot::tokenizer;

namespace {

/// INGOT_FUZZ multiplies the number of rounds and moves the seed, for longer runs by hand.
unsigned fuzz() {
  const char *factor = std::getenv("INGOT_FUZZ");
  return factor ? unsigned(std::max(1, std::atoi(factor))) : 1;
}

/// A tokenizer with something of everything.
json richDocument(const char *model) {
  json vocab = {{"<unk>", 0}};
  for (const char *token :
       {"a", "b", "c", "ab", "bc", "abc", "\u2581", "\u2581a", "<0x41>", "\u00E9"})
    vocab[token] = vocab.size();
  json doc = document(nullptr);
  if (!std::strcmp(model, "BPE")) {
    doc["model"] = bpe(vocab, {{"a", "b"}, {"b", "c"}, {"ab", "c"}, {"\u2581", "a"}});
    doc["model"]["unk_token"] = "<unk>";
    doc["model"]["byte_fallback"] = true;
  } else if (!std::strcmp(model, "WordPiece")) {
    doc["model"] = {{"type", "WordPiece"},
                    {"unk_token", "<unk>"},
                    {"continuing_subword_prefix", ""},
                    {"max_input_chars_per_word", 50},
                    {"vocab", vocab}};
  } else {
    json list = json::array();
    for (auto &[text, id] : vocab.items())
      list.push_back({text, -1.0});
    doc["model"] = {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", list}};
  }
  json token = addedToken("<S>");
  token["rstrip"] = true;
  json normal = addedToken("<T>");
  normal["normalized"] = true;
  doc["added_tokens"] = {token, normal};
  doc["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "NFKC"}},
        {{"type", "Lowercase"}},
        {{"type", "Replace"}, {"pattern", {{"Regex", "\\s"}}}, {"content", " "}}}}};
  doc["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", "\\p{N}+"}}},
         {"behavior", "Isolated"},
         {"invert", false}},
        {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}}}}};
  doc["decoder"] = {{"type", "Sequence"},
                    {"decoders",
                     {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
                      {{"type", "ByteFallback"}},
                      {{"type", "Fuse"}},
                      {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  doc["post_processor"] = {{"type", "BertProcessing"}, {"sep", {"a", 1}}, {"cls", {"b", 2}}};
  return doc;
}

std::vector<uint8_t> blobOf(const json &doc) {
  Result<TokenizerSpec> spec = importTokenizerJson(doc.dump());
  EXPECT_TRUE(spec) << spec.error();
  Result<std::vector<uint8_t>> blob = serialize(*spec);
  EXPECT_TRUE(blob) << blob.error();
  return std::move(*blob);
}

std::vector<uint8_t> sentencePieceBlob() {
  TokenizerSpec spec;
  spec.model.kind = ModelKind::SentencePieceBPE;
  spec.model.tokens = {{"<unk>", 0, TokenKind::Unknown},   {"a", -1, TokenKind::Normal},
                       {"aa", -2, TokenKind::Unused},      {"aaa", -1.5, TokenKind::Normal},
                       {"<x>", 0, TokenKind::UserDefined}, {"<0x41>", 0, TokenKind::Byte}};
  spec.model.hasUnknown = true;
  spec.model.unknownId = 0;
  NormalizerStep step(NormalizerKind::SentencePiece);
  step.addDummyPrefix = step.escapeWhitespaces = true;
  step.charsmap = 0;
  Charsmap map;
  map.trie.assign(512, 0);
  map.strings = std::string("x\0", 2);
  spec.charsmaps.push_back(map);
  spec.normalizer.push_back(step);
  spec.decoder.emplace_back(DecoderKind::SentencePiece);
  Result<std::vector<uint8_t>> blob = serialize(spec);
  EXPECT_TRUE(blob) << blob.error();
  return std::move(*blob);
}

/// Uses a tokenizer in every way; only that it ends matters.
void exercise(const Tokenizer &tokenizer) {
  for (const char *text : {"", "abc aBc 12 <S>  <T> \u00E9\u4E2D\uFB01",
                           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa<x>", "\xE4\xBD\xFF A\n"}) {
    Result<Ids> ids = tokenizer.encode(text, true);
    if (ids)
      (void)tokenizer.decode(*ids, true);
  }
  Ids all;
  for (int32_t id = -1; id <= int32_t(std::min<size_t>(tokenizer.vocabSize(), 1000)); ++id) {
    all.push_back(id);
    (void)tokenizer.tokenBytes(id);
  }
  (void)tokenizer.decode(all, false);
  (void)tokenizer.tokenId("a");
  (void)tokenizer.chatTemplate();
}

bool opens(const std::vector<uint8_t> &bytes) {
  // In a buffer of exactly the right size, so that reading behind it is noticed.
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), buffer.get());
  Result<Tokenizer> tokenizer = Tokenizer::open(buffer.get(), bytes.size());
  if (!tokenizer) {
    EXPECT_FALSE(tokenizer.error().empty());
    return false;
  }
  exercise(*tokenizer);
  return true;
}

std::vector<std::vector<uint8_t>> blobs() {
  return {blobOf(richDocument("BPE")), blobOf(richDocument("WordPiece")),
          blobOf(richDocument("Unigram")), sentencePieceBlob()};
}

TEST(Hostile, TruncatedBlobs) {
  for (const std::vector<uint8_t> &blob : blobs()) {
    EXPECT_TRUE(opens(blob));
    for (size_t size = 0; size < blob.size(); size += size < 64 ? 1 : 37)
      opens({blob.begin(), blob.begin() + long(size)});
    EXPECT_FALSE(opens({blob.begin(), blob.begin() + long(blob.size() / 2)}));
  }
}

TEST(Hostile, FlippedBits) {
  std::mt19937 random(5 + fuzz());
  for (const std::vector<uint8_t> &blob : blobs()) {
    unsigned refused = 0;
    for (unsigned round = 0; round < 3000 * fuzz(); ++round) {
      std::vector<uint8_t> damaged = blob;
      for (unsigned flips = 1 + random() % 3; flips > 0; --flips)
        damaged[random() % damaged.size()] ^= uint8_t(1u << random() % 8);
      refused += !opens(damaged);
    }
    EXPECT_GT(refused, 0u);
  }
}

TEST(Hostile, OverwrittenWords) {
  std::mt19937 random(6 + fuzz());
  const uint32_t values[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x000000FF, 0x01000000};
  for (const std::vector<uint8_t> &blob : blobs())
    for (unsigned round = 0; round < 3000 * fuzz(); ++round) {
      std::vector<uint8_t> damaged = blob;
      size_t at = random() % (damaged.size() / 4) * 4;
      std::memcpy(damaged.data() + at, &values[random() % std::size(values)], 4);
      opens(damaged);
    }
}

TEST(Hostile, BlobAtAnOddAddress) {
  std::vector<uint8_t> blob = blobOf(richDocument("BPE"));
  std::vector<uint64_t> buffer(blob.size() / 8 + 2);
  uint8_t *odd = reinterpret_cast<uint8_t *>(buffer.data()) + 4;
  std::memcpy(odd, blob.data(), blob.size());
  Result<Tokenizer> tokenizer = Tokenizer::open(odd, blob.size());
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error(), "expected a tokenizer at an address that is a multiple of 8");
}

TEST(Hostile, DescriptionsThatLie) {
  TokenizerSpec spec;
  spec.model.tokens = {{"a", 0, TokenKind::Normal}};
  auto message = [](const TokenizerSpec &spec) {
    Result<Tokenizer> tokenizer = Tokenizer::fromSpec(spec);
    return tokenizer ? "accepted" : tokenizer.error();
  };
  EXPECT_EQ(message(spec), "accepted");
  TokenizerSpec bad = spec;
  bad.model.merges = {{0, 0, 1}};
  EXPECT_EQ(message(bad), "merge refers to token 1 of 1");
  bad = spec;
  bad.model.unknownId = 5;
  EXPECT_EQ(message(bad), "special token 5 of 1");
  bad = spec;
  bad.postProcessor = {{false, {-2}}};
  EXPECT_EQ(message(bad), "post-processor adds token -2 of 1");
  bad = spec;
  bad.addedTokens.push_back({});
  EXPECT_EQ(message(bad), "added token '' has no id");
  bad = spec;
  bad.model.tokens[0].text = "\xFF";
  EXPECT_EQ(message(bad), "token 0 is not valid UTF-8");
  bad = spec;
  bad.model.tokens[0].text = std::string(10000, 'x');
  EXPECT_EQ(message(bad), "token 0 has 10000 bytes, at most 8192 are allowed");
  bad = spec;
  bad.normalizer.emplace_back(NormalizerKind::Precompiled);
  EXPECT_EQ(message(bad), "normaliser refers to character map -1 of 0");
  bad = spec;
  bad.model.kind = ModelKind::Unigram;
  bad.model.tokens[0].score = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(message(bad), "damaged tokenizer: a score is not a number");
}

TEST(Hostile, DamagedJson) {
  std::string text = richDocument("BPE").dump();
  std::mt19937 random(7 + fuzz());
  for (unsigned round = 0; round < 3000 * fuzz(); ++round) {
    std::string damaged = text;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
      size_t at = random() % damaged.size();
      switch (random() % 4) {
      case 0:
        damaged[at] = char(random());
        break;
      case 1:
        damaged.erase(at, random() % 20);
        break;
      case 2:
        damaged.insert(at, damaged.substr(random() % damaged.size(), random() % 20));
        break;
      case 3:
        damaged[at] = "[]{}\",:0123456789\\"[random() % 18];
        break;
      }
    }
    Result<TokenizerSpec> spec = importTokenizerJson(damaged);
    if (!spec) {
      EXPECT_EQ(spec.error().find("internal error"), std::string::npos) << spec.error();
      continue;
    }
    Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
    if (tokenizer)
      exercise(*tokenizer);
  }
}

TEST(Hostile, DamagedSentencePiece) {
  // ModelProto with pieces, a trainer and a normaliser, put together by hand.
  std::string model;
  auto piece = [&](const std::string &text, char type) {
    std::string body = std::string("\x0a") + char(text.size()) + text +
                       std::string("\x15\0\0\x80\xbf", 5) + "\x18" + type;
    model += std::string("\x0a") + char(body.size()) + body;
  };
  piece("<unk>", 2);
  piece("<s>", 3);
  piece("a", 1);
  piece("\xE2\x96\x81", 1);
  piece("aa", 4);
  model += std::string("\x12\x02\x18\x02", 4); // BPE
  model += std::string("\x1a\x0c\x12\x06\x04\0\0\0\x00\0\x18\x01\x20\x00", 14);
  std::mt19937 random(8 + fuzz());
  for (unsigned round = 0; round < 20000 * fuzz(); ++round) {
    std::string damaged = model;
    for (unsigned changes = random() % 4; changes > 0; --changes)
      damaged[random() % damaged.size()] = char(random());
    if (random() % 4 == 0)
      damaged.resize(random() % damaged.size());
    Result<TokenizerSpec> spec = importSentencePiece(damaged);
    if (!spec) {
      EXPECT_EQ(spec.error().find("internal error"), std::string::npos) << spec.error();
      continue;
    }
    Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
    if (tokenizer)
      exercise(*tokenizer);
  }
}

TEST(Hostile, RandomText) {
  std::mt19937 random(9 + fuzz());
  for (const char *model : {"BPE", "WordPiece", "Unigram"}) {
    Tokenizer tokenizer = load(richDocument(model));
    for (unsigned round = 0; round < 500 * fuzz(); ++round) {
      std::string text;
      for (unsigned i = random() % 40; i > 0; --i)
        text += random() % 3 ? char(random()) : "ab <S>"[random() % 6];
      Result<Ids> ids = tokenizer.encode(text, false);
      ASSERT_TRUE(ids) << ids.error();
      EXPECT_TRUE(isWholeUtf8(tokenizer.decode(*ids, false)));
    }
  }
}

TEST(Hostile, ExponentialPatternsEnd) {
  json doc = document(bpe({{"a", 0}}));
  doc["pre_tokenizer"] = {{"type", "Split"},
                          {"pattern", {{"Regex", "(?:a|a|aa)+$b|(a+)+c"}}},
                          {"behavior", "Isolated"},
                          {"invert", false}};
  Tokenizer tokenizer = load(doc);
  auto start = std::chrono::steady_clock::now();
  Result<Ids> ids = tokenizer.encode(std::string(200, 'a') + "d", false);
  double time = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().rfind("a regular expression", 0), 0u) << ids.error();
  EXPECT_LT(time, 60);
}

TEST(Hostile, ExponentialPatternsInDecoders) {
  json doc = document(bpe({{std::string(60, 'a'), 0}}));
  doc["decoder"] = {{"type", "Replace"}, {"pattern", {{"Regex", "(?:a|a|aa)+b"}}}, {"content", ""}};
  EXPECT_EQ(load(doc).decode({0}, false), std::string(60, 'a')); // given up, and left alone
}

TEST(Hostile, HugePatterns) {
  json doc = document(bpe(json::object()));
  auto withRegex = [&](const std::string &regex) {
    doc["pre_tokenizer"] = {{"type", "Split"},
                            {"pattern", {{"Regex", regex}}},
                            {"behavior", "Isolated"},
                            {"invert", false}};
    return refusal(doc);
  };
  EXPECT_EQ(withRegex(std::string(100000, 'a')),
            "pattern of 100000 bytes, at most 65536 are allowed");
  EXPECT_NE(withRegex(std::string(20000, '(')), "accepted");
}

} // namespace
