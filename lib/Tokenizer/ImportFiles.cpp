//===- ImportFiles.cpp - Files and directories ------------------------------===//
//
// A directory of a published model often says the same thing in several files. tokenizer.json is
// complete in itself; the other vocabularies (tokenizer.model, vocab.json with merges.txt,
// vocab.txt, ...) leave what surrounds the model to the class that tokenizer_config.json names.
//
//===----------------------------------------------------------------------===//

#include "ImportClasses.h"

#include <cmath>
#include <fstream>

namespace ingot::tokenizer {

static constexpr uint64_t maxFileBytes = uint64_t(1) << 30;

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

Surroundings::Surroundings(fs::path path) : directory(std::move(path)) {
  load("tokenizer_config.json", config);
  load("special_tokens_map.json", specialTokensMap);
  load("added_tokens.json", addedTokens);
  if (Field name = field("tokenizer_class"); !name.isNull())
    className = inFile(directory / "tokenizer_config.json", [&] { return name.string(); });
  if (className.size() > 4 && className.compare(className.size() - 4, 4, "Fast") == 0)
    className.resize(className.size() - 4);
}

void Surroundings::load(const char *name, json &into) {
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

namespace {

//===----------------------------------------------------------------------===//
// What surrounds the vocabulary
//===----------------------------------------------------------------------===//

/// The roles of special tokens, as configurations name them.
static constexpr std::pair<const char *, int32_t SpecialIds::*> roles[] = {
    {"bos_token", &SpecialIds::bos},  {"eos_token", &SpecialIds::eos},
    {"unk_token", &SpecialIds::unk},  {"pad_token", &SpecialIds::pad},
    {"sep_token", &SpecialIds::sep},  {"cls_token", &SpecialIds::cls},
    {"mask_token", &SpecialIds::mask}};

/// The text of a special token: a string or an object with it.
std::string roleName(const json &source, const char *role) {
  Field field = Field(source, "")[role];
  if (field.isNull())
    return {};
  return field.raw().is_object() ? field["content"].string() : field.string();
}

void addTokens(TokenizerSpec &spec, const Surroundings &around, const ClassRules &rules) {
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
  for (auto &entry : roles) {
    const char *role = entry.first;
    std::string name = inFile(around.directory / "tokenizer_config.json",
                              [&] { return roleName(around.config, role); });
    if (name.empty())
      name = inFile(around.directory / "special_tokens_map.json",
                    [&] { return roleName(around.specialTokensMap, role); });
    if (name.empty())
      if (auto it = rules.names.find(role); it != rules.names.end())
        name = it->second;
    std::optional<int32_t> id = name.empty() ? std::nullopt : list.find(name);
    if (!id)
      continue;
    spec.special.*entry.second = *id;
    AddedToken token;
    token.text = name;
    token.special = true;
    token.lstrip = std::string_view(role) == "mask_token" && rules.stripBeforeMask;
    list.addIfMissing(token);
  }
}

/// What stands around a text: what add_bos_token and add_eos_token say for the classes that look at
/// them, or what the class always adds.
void addSurroundingTokens(TokenizerSpec &spec, const Surroundings &around,
                          const ClassRules &rules) {
  if (rules.hasFlags) {
    bool bos = around.boolean("add_bos_token", rules.addBos);
    bool eos = around.boolean("add_eos_token", rules.addEos);
    surround(spec, bos ? spec.special.bos : -1, eos ? spec.special.eos : -1);
    return;
  }
  using Names = std::vector<std::string>;
  auto add = [&](std::vector<TemplatePiece> &into, const Names &names, uint8_t type) {
    for (const std::string &name : names) {
      int32_t id = -1;
      for (auto &[role, member] : roles)
        if (name == role)
          id = spec.special.*member;
      if (id < 0)
        id = AddedTokenList(spec).find(name).value_or(-1);
      if (id < 0)
        throw ImportError(around.directory.string() + ": the tokenizer adds '" + name +
                          "' to every text, which is not in the vocabulary");
      into.push_back({false, {id}, false, name == "cls_token" ? rules.clsType : type});
    }
  };
  auto &single = spec.postProcessor, &pair = spec.pairProcessor;
  add(single, rules.before, 0);
  single.push_back({true, {}});
  pair = single;
  add(single, rules.after, 0);
  // Around a text as BERT has them, they separate as hers, or as RoBERTa's with the same spelling.
  std::optional<Names> between = rules.between;
  uint8_t secondType = rules.secondType;
  if (!between && rules.before == Names{"cls_token"} && rules.after == Names{"sep_token"}) {
    bool doubled = rules.names.at("sep_token") == "</s>";
    between = Names(doubled ? 2 : 1, "sep_token");
    secondType = !doubled;
  }
  if (!between) {
    pair.clear();
    return;
  }
  add(pair, *between, 0);
  pair.push_back({true, {}, true, secondType});
  add(pair, rules.after, secondType);
}

/// A number of tokens. "No limit" is spelled as a number of thirty digits.
void readLimit(const Field &field, TokenizerSpec &spec) {
  if (field.isNull())
    return;
  double tokens = field.number();
  if (tokens < 1 || (tokens < 1e9 && tokens != std::floor(tokens)))
    field.fail("expected a whole number of tokens of at least 1");
  if (tokens < 1e9)
    spec.maxTokens = uint32_t(tokens);
}

/// The number of tokens that texts are cut to, as sentence-transformers has it.
void addLimit(TokenizerSpec &spec, const Surroundings &around) {
  fs::path config = around.directory / "tokenizer_config.json";
  inFile(config, [&] {
    readLimit(around.field("model_max_length"), spec);
    if (Field side = around.field("truncation_side"); !side.isNull()) {
      spec.cutsFront = side.string() == "left";
      if (!spec.cutsFront && side.string() != "right")
        side.fail("expected left or right, got '" + side.string() + "'");
    }
    // Classes whose models take no token types do not make them.
    if (Field inputs = around.field("model_input_names"); !inputs.isNull()) {
      bool types = false;
      for (size_t i = 0; i < inputs.arraySize(); ++i)
        types |= inputs.at(i).string() == "token_type_ids";
      for (auto *pieces : {&spec.postProcessor, &spec.pairProcessor})
        for (TemplatePiece &piece : *pieces)
          piece.type = types ? piece.type : 0;
    }
    return 0;
  });
  for (const char *kind :
       {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"}) {
    fs::path path = around.directory / ("sentence_" + std::string(kind) + "_config.json");
    if (!isFile(path))
      continue;
    inFile(path, [&] {
      json document = parseJson(readFile(path));
      Field root(document, "");
      readLimit(root["max_seq_length"], spec);
      if (root["do_lower_case"].boolean(false))
        spec.normalizer.insert(spec.normalizer.begin(), NormalizerStep(NormalizerKind::Lowercase));
      return 0;
    });
    return;
  }
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

TokenizerSpec readDirectory(const fs::path &directory) {
  Surroundings around(directory);
  ClassRules rules;
  TokenizerSpec spec;
  fs::path file = directory / "tokenizer.json";
  bool complete = isFile(file);
  if (complete) {
    spec = inFile(file, [&] { return readTokenizerJson(readFile(file)); });
    // The one option of the class that the file can be at odds with.
    if (!around.field("add_prefix_space").isNull() && spec.preTokenizer.size() == 1 &&
        spec.preTokenizer[0].kind == PreTokenizerKind::ByteLevel)
      spec.preTokenizer[0].addPrefixSpace = around.boolean("add_prefix_space", false);
    rules.addBos = true;
  } else if (auto vocabulary = readVocabulary(around, rules)) {
    spec = std::move(*vocabulary);
  } else {
    throw ImportError(directory.string() +
                      ": no tokenizer, expected tokenizer.json, tokenizer.model, *.tiktoken, "
                      "vocab.json with merges.txt, or vocab.txt");
  }
  addTokens(spec, around, rules);
  if (spec.model.kind == ModelKind::WordPiece && !complete) {
    spec.model.hasUnknown = true;
    spec.model.unknownId = spec.special.unk;
  }
  // A tokenizer.json says itself what it adds, but Llama's class overrules it.
  bool says = !around.field("add_bos_token").isNull() || !around.field("add_eos_token").isNull();
  if (!complete || (isLlamaClass(around) && says))
    addSurroundingTokens(spec, around, rules);
  addLimit(spec, around);
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
  bool isRanks = path.extension() == ".model" && isTiktoken(readFile(path));
  if (path.extension() == ".tiktoken" || path.extension() == ".spm" || isRanks)
    return readDirectory(path.parent_path().empty() ? fs::path(".") : path.parent_path());
  if (path.extension() == ".json")
    return bytes(importTokenizerJson);
  if (path.extension() == ".model")
    return bytes(importSentencePiece);
  if (path.extension() == ".bin")
    return bytes(importLlama2c);
  throw ImportError(path.string() +
                    ": expected a tokenizer.json, a *.model, a *.tiktoken or a *.bin file");
}

} // namespace

Result<TokenizerSpec> importPath(const std::string &path) {
  return guarded([&] { return readPath(fs::path(path)); });
}

bool hasTokenizer(const std::string &directory) {
  fs::path path(directory);
  return isFile(path / "tokenizer.json") || !vocabularyFile(path).empty();
}

} // namespace ingot::tokenizer
