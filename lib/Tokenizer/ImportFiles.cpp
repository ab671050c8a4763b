//===- ImportFiles.cpp - Files and directories ------------------------------===//
//
// A directory of a published model often says the same thing in several files. tokenizer.json is
// complete in itself; the other vocabularies (tokenizer.model, vocab.json with merges.txt,
// vocab.txt) leave what surrounds the model to the class that tokenizer_config.json names.
//
//===----------------------------------------------------------------------===//

#include "ImportSupport.h"
#include "PreTokenizerNames.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

namespace ingot::tokenizer {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t maxFileBytes = uint64_t(1) << 30;

/// Runs `read`, putting the name of a file in front of its errors.
template <typename Read> auto inFile(const fs::path &path, Read read) {
  try {
    return read();
  } catch (const ImportError &error) {
    throw ImportError(path.string() + ": " + error.what());
  }
}

bool isFile(const fs::path &path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

std::string readFile(const fs::path &path) {
  std::error_code error;
  uint64_t size = fs::file_size(path, error);
  if (error)
    throw ImportError(path.string() + ": " + error.message());
  if (size > maxFileBytes)
    throw ImportError(path.string() + ": " + std::to_string(size) + " bytes, expected at most " +
                      std::to_string(maxFileBytes));
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  if (!file.read(text.data(), std::streamsize(size)))
    throw ImportError(path.string() + ": cannot read " + std::to_string(size) + " bytes");
  return text;
}

std::vector<std::string> readLines(const fs::path &path) {
  std::string text = readFile(path);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    size_t last = end > begin && text[end - 1] == '\r' ? end - 1 : end;
    lines.push_back(text.substr(begin, last - begin));
    begin = end + 1;
  }
  return lines;
}

/// tokenizer_config.json, special_tokens_map.json, added_tokens.json; an absent file is empty.
struct Surroundings {
  fs::path directory;
  json config = json::object(), specialTokensMap = json::object(), addedTokens = json::object();
  std::string className; ///< without "Fast"

  explicit Surroundings(fs::path path) : directory(std::move(path)) {
    load("tokenizer_config.json", config);
    load("special_tokens_map.json", specialTokensMap);
    load("added_tokens.json", addedTokens);
    if (Field name = field("tokenizer_class"); !name.isNull())
      className = inFile(directory / "tokenizer_config.json", [&] { return name.string(); });
    if (className.size() > 4 && className.compare(className.size() - 4, 4, "Fast") == 0)
      className.resize(className.size() - 4);
  }

  Field field(const char *name) const { return Field(config, "")[name]; }
  bool boolean(const char *name, bool fallback) const {
    return inFile(directory / "tokenizer_config.json",
                  [&] { return field(name).boolean(fallback); });
  }
  bool isClass(std::initializer_list<const char *> names) const {
    return std::any_of(names.begin(), names.end(), [&](auto *name) { return className == name; });
  }

private:
  void load(const char *name, json &into) {
    fs::path path = directory / name;
    if (!isFile(path))
      return;
    into = inFile(path, [&] {
      json document = parseJson(readFile(path));
      if (!document.is_object())
        throw ImportError(std::string("expected an object, got ") + document.type_name());
      return document;
    });
  }
};

//===----------------------------------------------------------------------===//
// Vocabularies without a tokenizer.json
//===----------------------------------------------------------------------===//

/// The names of special tokens that a class has unless the configuration says otherwise.
using RoleNames = std::map<std::string, std::string>;

TokenizerSpec readVocabularyAndMerges(const Surroundings &around, RoleNames &defaults) {
  TokenizerSpec spec;
  ModelSpec &model = spec.model;
  model.kind = ModelKind::BPE;
  fs::path vocabulary = around.directory / "vocab.json", merges = around.directory / "merges.txt";
  inFile(vocabulary, [&] {
    json document = parseJson(readFile(vocabulary));
    if (!document.is_object())
      throw ImportError(std::string("expected an object of tokens and ids, got ") +
                        document.type_name());
    for (auto &[text, value] : document.items()) {
      size_t id = size_t(Field(value, "['" + text + "']").id());
      if (id >= model.tokens.size())
        model.tokens.resize(id + 1);
      model.tokens[id] = {text, 0, TokenKind::Normal};
    }
    return 0;
  });
  inFile(merges, [&] {
    std::vector<std::pair<std::string, std::string>> pairs;
    std::vector<std::string> lines = readLines(merges);
    for (size_t i = 0; i < lines.size(); ++i)
      if (lines[i].compare(0, 8, "#version") != 0 && !lines[i].empty())
        pairs.push_back(splitMerge(lines[i], i + 1));
    addMerges(model, pairs);
    return 0;
  });

  std::string words = "gpt-2";
  if (around.isClass({"", "GPT2Tokenizer", "CodeGenTokenizer", "GPTNeoXTokenizer"})) {
    defaults = {{"bos_token", "<|endoftext|>"},
                {"eos_token", "<|endoftext|>"},
                {"unk_token", "<|endoftext|>"}};
  } else if (around.isClass({"RobertaTokenizer", "BartTokenizer", "LEDTokenizer", "MvpTokenizer",
                             "LongformerTokenizer"})) {
    defaults = {{"bos_token", "<s>"},    {"eos_token", "</s>"},  {"sep_token", "</s>"},
                {"cls_token", "<s>"},    {"unk_token", "<unk>"}, {"pad_token", "<pad>"},
                {"mask_token", "<mask>"}};
  } else if (around.isClass({"Qwen2Tokenizer"})) {
    defaults = {{"eos_token", "<|endoftext|>"}, {"pad_token", "<|endoftext|>"}};
    words = "qwen2";
  } else {
    throw ImportError(around.directory.string() + ": tokenizer class '" + around.className +
                      "' is not supported with vocab.json and merges.txt, expected a "
                      "tokenizer.json");
  }
  addNamedPreTokenizer(spec, words);
  return spec;
}

TokenizerSpec readWordPieceVocabulary(const Surroundings &around, RoleNames &defaults) {
  if (!around.isClass({"", "BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer",
                       "MobileBertTokenizer", "ConvBertTokenizer"}))
    throw ImportError(around.directory.string() + ": tokenizer class '" + around.className +
                      "' is not supported with vocab.txt, expected a tokenizer.json");
  TokenizerSpec spec;
  ModelSpec &model = spec.model;
  model.kind = ModelKind::WordPiece;
  model.continuingPrefix = "##";
  for (std::string &line : readLines(around.directory / "vocab.txt")) {
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t'))
      line.pop_back();
    model.tokens.push_back({std::move(line), 0, TokenKind::Normal});
  }
  defaults = {{"unk_token", "[UNK]"},
              {"sep_token", "[SEP]"},
              {"pad_token", "[PAD]"},
              {"cls_token", "[CLS]"},
              {"mask_token", "[MASK]"}};
  NormalizerStep normalizer;
  normalizer.kind = NormalizerKind::Bert;
  normalizer.cleanText = true;
  normalizer.handleChinese = around.boolean("tokenize_chinese_chars", true);
  normalizer.lowercase = around.boolean("do_lower_case", true);
  normalizer.stripAccents = around.boolean("strip_accents", normalizer.lowercase);
  spec.normalizer.push_back(normalizer);
  PreTokenizerStep words;
  words.kind = PreTokenizerKind::Bert;
  spec.preTokenizer.push_back(words);
  DecoderStep decoder;
  decoder.kind = DecoderKind::WordPiece;
  decoder.content = "##";
  decoder.cleanup = true;
  spec.decoder.push_back(decoder);
  return spec;
}

TokenizerSpec readSentencePieceDirectory(const Surroundings &around, const fs::path &path,
                                         RoleNames &defaults) {
  // These number their tokens otherwise than the file does.
  if (around.isClass({"XLMRobertaTokenizer", "CamembertTokenizer", "MBartTokenizer",
                      "MBart50Tokenizer", "NllbTokenizer", "BarthezTokenizer", "XGLMTokenizer",
                      "M2M100Tokenizer", "PegasusTokenizer", "DebertaV2Tokenizer"}))
    throw ImportError(path.string() + ": tokenizer class '" + around.className +
                      "' does not use the ids of this file, expected a tokenizer.json");
  TokenizerSpec spec = inFile(path, [&] { return readSentencePiece(readFile(path)); });
  NormalizerStep &normalizer = spec.normalizer[0];
  if (Field prefix = around.field("add_prefix_space"); !prefix.isNull())
    normalizer.addDummyPrefix = around.boolean("add_prefix_space", true);
  normalizer.prefixOnlyAtStart = !around.boolean("legacy", true);
  spec.decoder[0].stripFirst = normalizer.addDummyPrefix || normalizer.removeExtraWhitespaces;
  auto text = [&](int32_t id) { return id >= 0 ? spec.model.tokens[size_t(id)].text : ""; };
  defaults = {{"bos_token", text(spec.special.bos)},
              {"eos_token", text(spec.special.eos)},
              {"unk_token", text(spec.special.unk)},
              {"pad_token", text(spec.special.pad)}};
  return spec;
}

//===----------------------------------------------------------------------===//
// What surrounds the vocabulary
//===----------------------------------------------------------------------===//

/// The text of a special token: a string or an object with it.
std::string roleName(const json &source, const char *role) {
  Field field = Field(source, "")[role];
  if (field.isNull())
    return {};
  return field.raw().is_object() ? field["content"].string() : field.string();
}

void addTokens(TokenizerSpec &spec, const Surroundings &around, const RoleNames &defaults) {
  // Tokens that the configuration adds with explicit ids, in the order of those.
  std::map<int32_t, AddedToken> tokens;
  inFile(around.directory / "added_tokens.json", [&] {
    for (auto &[text, value] : around.addedTokens.items()) {
      AddedToken token;
      token.id = Field(value, "['" + text + "']").id();
      token.text = text;
      tokens[token.id] = token;
    }
    return 0;
  });
  inFile(around.directory / "tokenizer_config.json", [&] {
    if (Field list = around.field("added_tokens_decoder"); !list.isNull()) {
      if (!list.raw().is_object())
        list.mismatch("an object");
      for (auto &[key, value] : list.raw().items()) {
        Field field(value, "added_tokens_decoder['" + key + "']");
        if (key.empty() || key.size() > 8 ||
            key.find_first_not_of("0123456789") != std::string::npos)
          field.fail("expected an id, got '" + key + "'");
        AddedToken token = readAddedToken(field);
        token.id = int32_t(std::stol(key));
        if (size_t(token.id) >= maxVocabulary)
          field.fail("expected an id below " + std::to_string(maxVocabulary));
        tokens[token.id] = token;
      }
    }
    return 0;
  });
  AddedTokenList list(spec);
  for (auto &[id, token] : tokens)
    list.addWithId(token);

  // Roles. Their tokens are special, and cut out of the text.
  static constexpr std::pair<const char *, int32_t SpecialIds::*> roles[] = {
      {"bos_token", &SpecialIds::bos},  {"eos_token", &SpecialIds::eos},
      {"unk_token", &SpecialIds::unk},  {"pad_token", &SpecialIds::pad},
      {"sep_token", &SpecialIds::sep},  {"cls_token", &SpecialIds::cls},
      {"mask_token", &SpecialIds::mask}};
  for (auto &entry : roles) {
    const char *role = entry.first;
    std::string name = inFile(around.directory / "tokenizer_config.json",
                              [&] { return roleName(around.config, role); });
    if (name.empty())
      name = inFile(around.directory / "special_tokens_map.json",
                    [&] { return roleName(around.specialTokensMap, role); });
    if (name.empty())
      if (auto it = defaults.find(role); it != defaults.end())
        name = it->second;
    std::optional<int32_t> id = name.empty() ? std::nullopt : list.find(name);
    if (!id)
      continue;
    spec.special.*entry.second = *id;
    AddedToken token;
    token.text = name;
    token.special = true;
    token.lstrip = std::string_view(role) == "mask_token" && spec.model.kind == ModelKind::BPE;
    list.addIfMissing(token);
  }
}

/// What add_bos_token and add_eos_token mean for the classes that look at them.
void addBeginAndEnd(TokenizerSpec &spec, const Surroundings &around, bool complete) {
  bool isLlama = around.isClass({"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"});
  bool isBert = spec.model.kind == ModelKind::WordPiece;
  bool isRoberta = around.isClass(
      {"RobertaTokenizer", "BartTokenizer", "LEDTokenizer", "MvpTokenizer", "LongformerTokenizer"});
  bool says = !around.field("add_bos_token").isNull() || !around.field("add_eos_token").isNull();
  if (complete && !(isLlama && says))
    return;
  if (!complete && (isBert || isRoberta)) {
    spec.postProcessor = surround(spec.special.cls, spec.special.sep);
    return;
  }
  bool bos = around.boolean("add_bos_token", isLlama);
  bool eos = around.boolean("add_eos_token", around.isClass({"T5Tokenizer"}));
  spec.postProcessor = surround(bos ? spec.special.bos : -1, eos ? spec.special.eos : -1);
}

void addChatTemplate(TokenizerSpec &spec, const Surroundings &around) {
  fs::path file = around.directory / "chat_template.jinja";
  if (isFile(file)) {
    spec.chatTemplate = readFile(file);
    return;
  }
  inFile(around.directory / "tokenizer_config.json", [&] {
    Field field = around.field("chat_template");
    if (field.raw().is_string())
      spec.chatTemplate = field.string();
    else if (field.raw().is_array()) // several, by name
      for (size_t i = 0; i < field.raw().size(); ++i)
        if (i == 0 || field.at(i)["name"].string() == "default")
          spec.chatTemplate = field.at(i)["template"].string();
    return 0;
  });
}

const char *const sentencePieceNames[] = {"tokenizer.model", "spiece.model"};

TokenizerSpec readDirectory(const fs::path &directory) {
  Surroundings around(directory);
  RoleNames defaults;
  TokenizerSpec spec;
  fs::path file = directory / "tokenizer.json";
  fs::path model;
  for (const char *name : sentencePieceNames)
    if (model.empty() && isFile(directory / name))
      model = directory / name;
  bool complete = isFile(file);
  if (complete) {
    spec = inFile(file, [&] { return readTokenizerJson(readFile(file)); });
    // The one option of the class that the file can be at odds with.
    if (!around.field("add_prefix_space").isNull() && spec.preTokenizer.size() == 1 &&
        spec.preTokenizer[0].kind == PreTokenizerKind::ByteLevel)
      spec.preTokenizer[0].addPrefixSpace = around.boolean("add_prefix_space", false);
  } else if (!model.empty()) {
    spec = readSentencePieceDirectory(around, model, defaults);
  } else if (isFile(directory / "vocab.json") && isFile(directory / "merges.txt")) {
    spec = readVocabularyAndMerges(around, defaults);
    spec.preTokenizer.back().addPrefixSpace = around.boolean("add_prefix_space", false);
  } else if (isFile(directory / "vocab.txt")) {
    spec = readWordPieceVocabulary(around, defaults);
  } else {
    throw ImportError(directory.string() +
                      ": no tokenizer, expected tokenizer.json, tokenizer.model, vocab.json with "
                      "merges.txt, or vocab.txt");
  }
  addTokens(spec, around, defaults);
  if (spec.model.kind == ModelKind::WordPiece && !complete) {
    spec.model.hasUnknown = true;
    spec.model.unknownId = spec.special.unk;
  }
  addBeginAndEnd(spec, around, complete);
  addChatTemplate(spec, around);
  return spec;
}

TokenizerSpec readPath(const fs::path &path) {
  std::error_code error;
  if (fs::is_directory(path, error))
    return readDirectory(path);
  if (!fs::exists(path, error))
    throw ImportError(path.string() + ": no such file or directory");
  fs::path name = path.filename();
  auto bytes = [&](Result<TokenizerSpec> (*import)(std::string_view)) {
    Result<TokenizerSpec> spec = import(readFile(path));
    if (!spec)
      throw ImportError(path.string() + ": " + spec.error());
    return std::move(*spec);
  };
  if (name == "vocab.json" || name == "merges.txt" || name == "vocab.txt") {
    // Parts of a directory whose other files count too.
    if (fs::path parent = path.parent_path(); !isFile(parent / "tokenizer.json"))
      return readDirectory(parent.empty() ? fs::path(".") : parent);
    throw ImportError(path.string() + ": expected the tokenizer.json beside it");
  }
  if (path.extension() == ".json")
    return bytes(importTokenizerJson);
  if (path.extension() == ".model")
    return bytes(importSentencePiece);
  if (path.extension() == ".bin")
    return bytes(importLlama2c);
  throw ImportError(path.string() + ": expected a tokenizer.json, a *.model or a *.bin file");
}

} // namespace

Result<TokenizerSpec> importPath(const std::string &path) {
  return guarded([&] { return readPath(fs::path(path)); });
}

bool hasTokenizer(const std::string &directory) {
  fs::path path(directory);
  for (const char *name : sentencePieceNames)
    if (isFile(path / name))
      return true;
  return isFile(path / "tokenizer.json") || isFile(path / "vocab.txt") ||
         (isFile(path / "vocab.json") && isFile(path / "merges.txt"));
}

} // namespace ingot::tokenizer
