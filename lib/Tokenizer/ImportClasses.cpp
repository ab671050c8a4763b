//===- ImportClasses.cpp - Vocabularies by their tokenizer class ------------===//
//
// One reader per kind of vocabulary. SentencePiece files serve most classes under other numbers
// than their own: fairseq's models put four tokens in front and languages behind (XLM-R, mBART,
// NLLB), Pegasus makes room for 105, and Marian and M2M100 number the pieces in a vocab.json.
//
//===----------------------------------------------------------------------===//

#include "ImportClasses.h"
#include "PreTokenizerNames.h"

#include <set>

namespace ingot::tokenizer {

namespace {

[[noreturn]] void unsupportedClass(const Surroundings &around, const char *with) {
  throw ImportError(around.directory.string() + ": tokenizer class '" + around.className +
                    "' is not supported with " + with + ", expected a tokenizer.json");
}

/// An object of tokens and ids.
std::vector<Token> readVocabularyJson(const fs::path &path) {
  return inFile(path, [&] {
    json document = parseJson(readFile(path));
    if (!document.is_object())
      throw ImportError(std::string("expected an object of tokens and ids, got ") +
                        document.type_name());
    std::vector<Token> tokens;
    for (auto &[text, value] : document.items()) {
      size_t id = size_t(Field(value, "['" + text + "']").id());
      if (id >= tokens.size())
        tokens.resize(id + 1);
      tokens[id] = {text, 0, TokenKind::Normal};
    }
    return tokens;
  });
}

DecoderStep decoderStep(DecoderKind kind, std::string pattern, std::string content) {
  DecoderStep step(kind);
  step.pattern = std::move(pattern);
  step.content = std::move(content);
  step.cleanup = kind == DecoderKind::WordPiece;
  return step;
}

PreTokenizerStep preTokenizerStep(PreTokenizerKind kind) {
  PreTokenizerStep step;
  step.kind = kind;
  return step;
}

//===----------------------------------------------------------------------===//
// vocab.json and merges.txt
//===----------------------------------------------------------------------===//

/// Byte-level words, unless the class has its own.
void addWordsOf(const Surroundings &around, TokenizerSpec &spec) {
  if (around.isClass({"CLIPTokenizer"})) {
    spec.model.endOfWordSuffix = "</w>";
    NormalizerStep spaces(NormalizerKind::Replace);
    spaces.pattern = R"(\s+)";
    spaces.isRegex = true;
    spaces.content = " ";
    spec.normalizer = {NormalizerStep(NormalizerKind::NFC), spaces,
                       NormalizerStep(NormalizerKind::Lowercase)};
    PreTokenizerStep words = preTokenizerStep(PreTokenizerKind::Split);
    words.pattern = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
    words.isRegex = true;
    words.behavior = SplitBehavior::Removed;
    words.invert = true;
    PreTokenizerStep bytes = preTokenizerStep(PreTokenizerKind::ByteLevel);
    bytes.useRegex = true;
    spec.preTokenizer = {words, bytes};
    spec.decoder.emplace_back(DecoderKind::ByteLevel);
  } else if (around.isClass({"OpenAIGPTTokenizer"})) {
    spec.model.endOfWordSuffix = "</w>";
    NormalizerStep normalizer(NormalizerKind::Bert);
    normalizer.cleanText = normalizer.handleChinese = true;
    normalizer.lowercase = normalizer.stripAccents = true;
    spec.normalizer.push_back(normalizer);
    spec.preTokenizer.push_back(preTokenizerStep(PreTokenizerKind::Bert));
    spec.decoder.push_back(decoderStep(DecoderKind::BPE, "</w>", ""));
  } else {
    addNamedPreTokenizer(spec, around.isClass({"Qwen2Tokenizer"}) ? "qwen2" : "gpt-2");
    spec.preTokenizer.back().addPrefixSpace = around.boolean("add_prefix_space", false);
  }
}

TokenizerSpec readVocabularyAndMerges(const Surroundings &around, ClassRules &rules) {
  const std::map<std::string, std::string> roberta = {
      {"bos_token", "<s>"},   {"eos_token", "</s>"},  {"sep_token", "</s>"},   {"cls_token", "<s>"},
      {"unk_token", "<unk>"}, {"pad_token", "<pad>"}, {"mask_token", "<mask>"}};
  if (around.isClass({"", "GPT2Tokenizer", "CodeGenTokenizer", "GPTNeoXTokenizer"})) {
    rules.names = {{"bos_token", "<|endoftext|>"},
                   {"eos_token", "<|endoftext|>"},
                   {"unk_token", "<|endoftext|>"}};
  } else if (around.isClass({"RobertaTokenizer", "BartTokenizer", "LEDTokenizer", "MvpTokenizer",
                             "LongformerTokenizer"})) {
    rules = {roberta, {"cls_token"}, {"sep_token"}, false, false, false, true};
  } else if (around.isClass({"BlenderbotTokenizer"})) {
    rules = {roberta, {}, {"eos_token"}, false, false, false, true};
  } else if (around.isClass({"DebertaTokenizer"})) {
    rules = {{{"bos_token", "[CLS]"},
              {"eos_token", "[SEP]"},
              {"sep_token", "[SEP]"},
              {"cls_token", "[CLS]"},
              {"unk_token", "[UNK]"},
              {"pad_token", "[PAD]"},
              {"mask_token", "[MASK]"}},
             {"cls_token"},
             {"sep_token"},
             false,
             false,
             false,
             true};
  } else if (around.isClass({"Qwen2Tokenizer"})) {
    rules.names = {{"eos_token", "<|endoftext|>"}, {"pad_token", "<|endoftext|>"}};
  } else if (around.isClass({"CLIPTokenizer"})) {
    rules = {{{"bos_token", "<|startoftext|>"},
              {"eos_token", "<|endoftext|>"},
              {"unk_token", "<|endoftext|>"},
              {"pad_token", "<|endoftext|>"}},
             {"bos_token"},
             {"eos_token"},
             false,
             false,
             false,
             false,
             std::vector<std::string>(2, "eos_token")};
  } else if (around.isClass({"OpenAIGPTTokenizer"})) {
    rules = {{{"unk_token", "<unk>"}}, {}, {}, false, false, false, false};
  } else {
    unsupportedClass(around, "vocab.json and merges.txt");
  }
  TokenizerSpec spec;
  ModelSpec &model = spec.model;
  model.kind = ModelKind::BPE;
  model.tokens = readVocabularyJson(around.directory / "vocab.json");
  fs::path merges = around.directory / "merges.txt";
  inFile(merges, [&] {
    std::vector<std::pair<std::string, std::string>> pairs;
    std::vector<std::string> lines = readLines(merges);
    for (size_t i = 0; i < lines.size(); ++i)
      if (lines[i].compare(0, 8, "#version") != 0 && !lines[i].empty())
        pairs.push_back(splitMerge(lines[i], i + 1));
    addMerges(model, pairs);
    return 0;
  });
  addWordsOf(around, spec);
  if (!model.endOfWordSuffix.empty()) { // words of characters, some of which may be unknown
    model.hasUnknown = true;
    model.unknownId = TokenIndex(model.tokens).find(rules.names.at("unk_token")).value_or(-1);
  }
  return spec;
}

//===----------------------------------------------------------------------===//
// vocab.txt
//===----------------------------------------------------------------------===//

TokenizerSpec readWordPieceVocabulary(const Surroundings &around, ClassRules &rules) {
  rules.names = {{"unk_token", "[UNK]"},
                 {"sep_token", "[SEP]"},
                 {"pad_token", "[PAD]"},
                 {"cls_token", "[CLS]"},
                 {"mask_token", "[MASK]"}};
  if (around.isClass({"MPNetTokenizer"})) {
    rules.names = {{"bos_token", "<s>"},    {"eos_token", "</s>"},  {"sep_token", "</s>"},
                   {"cls_token", "<s>"},    {"unk_token", "[UNK]"}, {"pad_token", "<pad>"},
                   {"mask_token", "<mask>"}};
    rules.stripBeforeMask = true;
  } else if (around.isClass({"FunnelTokenizer"})) {
    rules.names = {{"bos_token", "<s>"},    {"eos_token", "</s>"},  {"sep_token", "<sep>"},
                   {"cls_token", "<cls>"},  {"unk_token", "<unk>"}, {"pad_token", "<pad>"},
                   {"mask_token", "<mask>"}};
    rules.clsType = 2;
  } else if (!around.isClass({"", "BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer",
                              "MobileBertTokenizer", "ConvBertTokenizer", "LayoutLMTokenizer",
                              "SqueezeBertTokenizer", "LxmertTokenizer", "RetriBertTokenizer",
                              "SplinterTokenizer", "DPRQuestionEncoderTokenizer",
                              "DPRContextEncoderTokenizer", "DPRReaderTokenizer"})) {
    unsupportedClass(around, "vocab.txt");
  }
  rules.hasFlags = false;
  rules.before = {"cls_token"};
  rules.after = {"sep_token"};
  TokenizerSpec spec;
  ModelSpec &model = spec.model;
  model.kind = ModelKind::WordPiece;
  model.continuingPrefix = "##";
  for (std::string &line : readLines(around.directory / "vocab.txt")) {
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t'))
      line.pop_back();
    model.tokens.push_back({std::move(line), 0, TokenKind::Normal});
  }
  NormalizerStep normalizer(NormalizerKind::Bert);
  normalizer.cleanText = true;
  normalizer.handleChinese = around.boolean("tokenize_chinese_chars", true);
  normalizer.lowercase = around.boolean("do_lower_case", true);
  normalizer.stripAccents = around.boolean("strip_accents", normalizer.lowercase);
  spec.normalizer.push_back(normalizer);
  spec.preTokenizer.push_back(preTokenizerStep(PreTokenizerKind::Bert));
  spec.decoder.push_back(decoderStep(DecoderKind::WordPiece, "", "##"));
  return spec;
}

//===----------------------------------------------------------------------===//
// SentencePiece under other numbers
//===----------------------------------------------------------------------===//

/// Puts tokens in front of the pieces, whose first `dropped` go.
void putInFront(TokenizerSpec &spec, const std::vector<std::string> &front, size_t dropped,
                const std::string &unknown) {
  ModelSpec &model = spec.model;
  if (model.tokens.size() < dropped)
    throw ImportError("expected at least " + std::to_string(dropped) + " pieces, got " +
                      std::to_string(model.tokens.size()));
  std::vector<Token> tokens;
  for (const std::string &text : front)
    tokens.push_back({text, 0, TokenKind::Control});
  tokens.insert(tokens.end(), std::make_move_iterator(model.tokens.begin() + long(dropped)),
                std::make_move_iterator(model.tokens.end()));
  model.tokens = std::move(tokens);
  model.unknownId = -1;
  for (size_t id = 0; id < model.tokens.size(); ++id) {
    Token &token = model.tokens[id];
    if (token.text == unknown && token.kind != TokenKind::Normal && model.unknownId < 0) {
      token.kind = TokenKind::Unknown;
      model.unknownId = int32_t(id);
    } else if (token.kind == TokenKind::Unknown) {
      token.kind = TokenKind::Control;
    }
  }
  if (model.unknownId < 0)
    throw ImportError("no piece is the unknown one, '" + unknown + "'");
  spec.special = SpecialIds();
}

/// Adds tokens behind the pieces that are cut out of the text.
void putBehind(TokenizerSpec &spec, const std::vector<std::string> &texts) {
  for (const std::string &text : texts) {
    spec.model.tokens.push_back({text, 0, TokenKind::Control});
    AddedToken token;
    token.id = int32_t(spec.model.tokens.size() - 1);
    token.text = text;
    token.special = true;
    spec.addedTokens.push_back(std::move(token));
  }
}

/// Gives the pieces the ids of a vocab.json. Pieces that it does not have are found in a text
/// nevertheless, and then stand for the unknown token; they get ids behind all others.
void numberBy(TokenizerSpec &spec, std::vector<Token> tokens, const std::string &unknown) {
  std::map<std::string_view, size_t> ids;
  for (size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id].kind != TokenKind::Absent) {
      ids[tokens[id].text] = id;
      tokens[id].kind = TokenKind::Unused; // unless it is a piece
    }
  std::vector<Token> hidden;
  std::vector<std::pair<size_t, Token>> known;
  for (Token &piece : spec.model.tokens) {
    if (auto it = ids.find(piece.text); it != ids.end())
      known.emplace_back(it->second, std::move(piece));
    else if (piece.kind == TokenKind::Normal || piece.kind == TokenKind::UserDefined)
      hidden.push_back(std::move(piece));
  }
  auto it = ids.find(unknown);
  if (it == ids.end())
    throw ImportError("vocab.json has no '" + unknown + "'");
  size_t unknownId = it->second;
  for (auto &[id, piece] : known)
    tokens[id] = std::move(piece);
  for (Token &token : tokens)
    if (token.kind == TokenKind::Unknown)
      token.kind = TokenKind::Control;
  tokens[unknownId].kind = TokenKind::Unknown;
  spec.model.unknownId = int32_t(unknownId);
  spec.model.tokens = std::move(tokens);
  spec.special = SpecialIds();
  spec.hiddenTokens = std::move(hidden);
}

/// The languages of mBART; mBART-50 has all of them.
const char *const languages[] = {
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN",
    "hi_IN", "it_IT", "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP",
    "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN", //
    "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH",
    "mk_MK", "ml_IN", "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE",
    "ta_IN", "te_IN", "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI"};

const char *const languagesOfM2M100[] = {
    "af", "am", "ar", "ast", "az", "ba", "be", "bg", "bn", "br",  "bs", "ca", "ceb", "cs", "cy",
    "da", "de", "el", "en",  "es", "et", "fa", "ff", "fi", "fr",  "fy", "ga", "gd",  "gl", "gu",
    "ha", "he", "hi", "hr",  "ht", "hu", "hy", "id", "ig", "ilo", "is", "it", "ja",  "jv", "ka",
    "kk", "km", "kn", "ko",  "lb", "lg", "ln", "lo", "lt", "lv",  "mg", "mk", "ml",  "mn", "mr",
    "ms", "my", "ne", "nl",  "no", "ns", "oc", "or", "pa", "pl",  "ps", "pt", "ro",  "ru", "sd",
    "si", "sk", "sl", "so",  "sq", "sr", "ss", "su", "sv", "sw",  "ta", "th", "tl",  "tn", "tr",
    "uk", "ur", "uz", "vi",  "wo", "xh", "yi", "yo", "zh", "zu"};

/// The tokens that the configuration lists in additional_special_tokens.
std::vector<std::string> additionalTokens(const Surroundings &around) {
  std::vector<std::string> texts;
  for (const json *source : {&around.config, &around.specialTokensMap}) {
    Field list = Field(*source, "")["additional_special_tokens"];
    if (!texts.empty() || list.isNull())
      continue;
    for (size_t i = 0; i < list.arraySize(); ++i)
      texts.push_back(list.at(i).raw().is_object() ? list.at(i)["content"].string()
                                                   : list.at(i).string());
  }
  return texts;
}

std::string sourceLanguage(const Surroundings &around, const char *fallback) {
  return inFile(around.directory / "tokenizer_config.json", [&] {
    Field field = around.field("src_lang");
    return field.isNull() ? std::string(fallback) : field.string();
  });
}

const std::map<std::string, std::string> fairseqNames = {
    {"bos_token", "<s>"},   {"eos_token", "</s>"},  {"sep_token", "</s>"},   {"cls_token", "<s>"},
    {"unk_token", "<unk>"}, {"pad_token", "<pad>"}, {"mask_token", "<mask>"}};
const std::vector<std::string> fairseqFront = {"<s>", "<pad>", "</s>", "<unk>"};

const std::map<std::string, std::string> bracketNames = {
    {"bos_token", "[CLS]"}, {"eos_token", "[SEP]"}, {"sep_token", "[SEP]"},  {"cls_token", "[CLS]"},
    {"unk_token", "<unk>"}, {"pad_token", "<pad>"}, {"mask_token", "[MASK]"}};

/// Between the texts of a pair that follow each other.
const std::vector<std::string> nothing;

/// What ALBERT and XLNet do to a text before SentencePiece sees it.
void addAlbertNormalizer(const Surroundings &around, TokenizerSpec &spec, bool lowerCase) {
  std::vector<NormalizerStep> steps;
  for (const char *quotes : {"``", "''"}) {
    NormalizerStep step(NormalizerKind::Replace);
    step.pattern = quotes;
    step.content = "\"";
    steps.push_back(step);
  }
  if (!around.boolean("keep_accents", false)) {
    steps.emplace_back(NormalizerKind::NFKD);
    steps.emplace_back(NormalizerKind::StripAccents);
  }
  if (around.boolean("do_lower_case", lowerCase))
    steps.emplace_back(NormalizerKind::Lowercase);
  spec.normalizer.insert(spec.normalizer.begin(), steps.begin(), steps.end());
}

/// Renumbers the pieces as the class does, and writes down its rules. False: the numbers of the
/// file are the class's too.
bool renumber(const Surroundings &around, TokenizerSpec &spec, ClassRules &rules) {
  auto wrap = [&](const std::map<std::string, std::string> &names, std::vector<std::string> before,
                  std::vector<std::string> after,
                  std::optional<std::vector<std::string>> between = std::nullopt) {
    rules = {names, std::move(before), std::move(after), false, false, false, true, between};
    return true;
  };
  if (around.isClass({"XLMRobertaTokenizer", "XLMRobertaXLTokenizer"})) {
    putInFront(spec, fairseqFront, 3, "<unk>");
    putBehind(spec, {"<mask>"});
    return wrap(fairseqNames, {"cls_token"}, {"sep_token"});
  }
  if (around.isClass({"CamembertTokenizer"})) {
    putInFront(spec, {"<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"}, 1, "<unk>");
    putBehind(spec, {"<mask>"});
    return wrap(fairseqNames, {"cls_token"}, {"sep_token"});
  }
  if (around.isClass({"MBartTokenizer", "MBart50Tokenizer", "NllbTokenizer"})) {
    putInFront(spec, fairseqFront, 3, "<unk>");
    bool isMBart = around.className == "MBartTokenizer", isNllb = around.className[0] == 'N';
    std::vector<std::string> names = additionalTokens(around);
    if (names.empty() && isNllb)
      throw ImportError("the languages of an NllbTokenizer are in its additional_special_tokens, "
                        "which are missing");
    if (names.empty() || !isNllb)
      names.assign(std::begin(languages), isMBart ? languages + 25 : std::end(languages));
    names.push_back("<mask>");
    putBehind(spec, names);
    std::string source = sourceLanguage(around, isNllb ? "eng_Latn" : "en_XX");
    bool behind = isMBart || (isNllb && around.boolean("legacy_behaviour", false));
    return behind ? wrap(fairseqNames, {}, {"eos_token", source}, nothing)
                  : wrap(fairseqNames, {source}, {"eos_token"}, nothing);
  }
  if (around.isClass({"XGLMTokenizer"})) {
    putInFront(spec, fairseqFront, 3, "<unk>");
    std::vector<std::string> madeUp;
    for (int i = 0; i < 7; ++i)
      madeUp.push_back("<madeupword" + std::to_string(i) + ">");
    putBehind(spec, madeUp);
    return wrap(fairseqNames, {"sep_token"}, {}, std::vector<std::string>(2, "sep_token"));
  }
  if (around.isClass({"PegasusTokenizer"})) {
    std::vector<std::string> front = {"<pad>", "</s>", "<mask_1>", "<mask_2>"};
    for (int i = 2; i < 103; ++i)
      front.push_back("<unk_" + std::to_string(i) + ">");
    putInFront(spec, front, 2, "<unk>");
    return wrap({{"eos_token", "</s>"},
                 {"pad_token", "<pad>"},
                 {"unk_token", "<unk>"},
                 {"mask_token", "<mask_2>"}},
                {}, {"eos_token"}, nothing);
  }
  if (around.isClass({"M2M100Tokenizer"})) {
    numberBy(spec, readVocabularyJson(around.directory / "vocab.json"), "<unk>");
    std::vector<std::string> names = additionalTokens(around);
    if (names.empty())
      for (const char *name : languagesOfM2M100)
        names.push_back("__" + std::string(name) + "__");
    putBehind(spec, names);
    return wrap(fairseqNames, {"__" + sourceLanguage(around, "en") + "__"}, {"eos_token"}, nothing);
  }
  if (around.isClass({"AlbertTokenizer", "FNetTokenizer"})) {
    addAlbertNormalizer(around, spec, true);
    return wrap(bracketNames, {"cls_token"}, {"sep_token"});
  }
  if (around.isClass({"BigBirdTokenizer", "RemBertTokenizer"}))
    return wrap(bracketNames, {"cls_token"}, {"sep_token"});
  if (around.isClass({"XLNetTokenizer"})) {
    addAlbertNormalizer(around, spec, false);
    wrap({{"bos_token", "<s>"},
          {"eos_token", "</s>"},
          {"sep_token", "<sep>"},
          {"cls_token", "<cls>"},
          {"unk_token", "<unk>"},
          {"pad_token", "<pad>"},
          {"mask_token", "<mask>"}},
         {}, {"sep_token", "cls_token"}, std::vector<std::string>{"sep_token"});
    rules.secondType = 1;
    rules.clsType = 2;
    return true;
  }
  if (around.isClass({"DebertaV2Tokenizer"})) {
    // The mask follows the pieces, unless added_tokens.json says where it is.
    if (!TokenIndex(spec.model.tokens).find("[MASK]") && around.addedTokens.empty() &&
        around.field("added_tokens_decoder").isNull())
      putBehind(spec, {"[MASK]"});
    auto names = bracketNames;
    names["unk_token"] = "[UNK]";
    names["pad_token"] = "[PAD]";
    return wrap(names, {"cls_token"}, {"sep_token"});
  }
  if (around.isClass({"ChatGLMTokenizer"})) {
    // The first five are only spelled by the program, the roles in texts as well.
    std::vector<AddedToken> none = spec.addedTokens;
    putBehind(spec, {"[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"});
    spec.addedTokens = none;
    putBehind(spec, {"<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"});
    return wrap({{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}},
                {"[gMASK]", "sop"}, {});
  }
  return false;
}

TokenizerSpec readSentencePieceDirectory(const Surroundings &around, const fs::path &path,
                                         ClassRules &rules) {
  if (around.isClass(
          {"BarthezTokenizer", "ReformerTokenizer", "CpmTokenizer", "Speech2TextTokenizer"}))
    unsupportedClass(around, "a SentencePiece model");
  TokenizerSpec spec = inFile(path, [&] { return readSentencePiece(readFile(path)); });
  if (inFile(path, [&] { return renumber(around, spec, rules); }))
    return spec;
  NormalizerStep &normalizer = spec.normalizer[0];
  if (Field prefix = around.field("add_prefix_space"); !prefix.isNull())
    normalizer.addDummyPrefix = around.boolean("add_prefix_space", true);
  normalizer.prefixOnlyAtStart = !around.boolean("legacy", true);
  spec.decoder[0].stripFirst = normalizer.addDummyPrefix || normalizer.removeExtraWhitespaces;
  auto text = [&](int32_t id) { return id >= 0 ? spec.model.tokens[size_t(id)].text : ""; };
  rules.names = {{"bos_token", text(spec.special.bos)},
                 {"eos_token", text(spec.special.eos)},
                 {"unk_token", text(spec.special.unk)},
                 {"pad_token", text(spec.special.pad)}};
  rules.addBos = isLlamaClass(around);
  if (around.isClass({"T5Tokenizer", "MT5Tokenizer"})) {
    rules.addEos = true;
    // Sentinels follow the pieces, the last one first, unless the configuration places them.
    uint64_t count = inFile(around.directory / "tokenizer_config.json", [&] {
      Field extra = around.field("extra_ids");
      return extra.isNull() ? uint64_t(around.className == "T5Tokenizer" ? 100 : 0)
                            : extra.unsignedInteger();
    });
    std::vector<std::string> sentinels;
    for (uint64_t i = std::min<uint64_t>(count, 10000); i-- > 0;)
      sentinels.push_back("<extra_id_" + std::to_string(i) + ">");
    if (around.field("added_tokens_decoder").isNull() && around.addedTokens.empty() &&
        !TokenIndex(spec.model.tokens).find("<extra_id_0>"))
      putBehind(spec, sentinels);
  }
  return spec;
}

/// Marian: two SentencePiece models, one for each side, and one vocabulary. Texts are the source's.
TokenizerSpec readMarian(const Surroundings &around, ClassRules &rules) {
  fs::path path = around.directory / "source.spm";
  TokenizerSpec spec = inFile(path, [&] { return readSentencePiece(readFile(path)); });
  inFile(around.directory / "vocab.json", [&] {
    numberBy(spec, readVocabularyJson(around.directory / "vocab.json"), "<unk>");
    return 0;
  });
  // Languages to translate to: >>fra<<.
  std::vector<Token> &tokens = spec.model.tokens;
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string &text = tokens[id].text;
    if (text.size() <= 4 || text.compare(0, 2, ">>") != 0 ||
        text.compare(text.size() - 2, 2, "<<") != 0)
      continue;
    AddedToken token;
    token.id = int32_t(id);
    token.text = text;
    spec.addedTokens.push_back(std::move(token));
  }
  for (Token &token : tokens)
    if (token.text == "</s>" || token.text == "<pad>")
      token.kind = TokenKind::Control;
  rules = {{{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}},
           {},
           {"eos_token"},
           false,
           false,
           false,
           false,
           nothing};
  return spec;
}

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

/// What surrounds the ranks of one kind of model.
struct RankedModel {
  const char *file;                  ///< the beginning of its name
  const char *tokenizerClass;        ///< or the class that reads it
  const char *words;                 ///< see addNamedPreTokenizer
  std::vector<const char *> special; ///< behind the ranks, in order
  unsigned reserved;                 ///< and so many more of `reservedName`
  const char *reservedName;
  const char *bos, *eos, *prefix1, *prefix2;
};

const RankedModel *rankedModel(const std::string &file, const std::string &tokenizerClass) {
  static const std::vector<RankedModel> models = {
      {"qwen",
       "QWenTokenizer",
       "qwen2",
       {"<|endoftext|>", "<|im_start|>", "<|im_end|>"},
       205,
       "<|extra_%>",
       nullptr,
       "<|endoftext|>",
       nullptr,
       nullptr},
      {"cl100k",
       nullptr,
       "dbrx",
       {"<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"},
       0,
       nullptr,
       nullptr,
       "<|endoftext|>",
       nullptr,
       nullptr},
      {"o200k", nullptr, "gpt-4o", {}, 0, nullptr, nullptr, nullptr, nullptr, nullptr},
      {"r50k",
       nullptr,
       "gpt-2",
       {"<|endoftext|>"},
       0,
       nullptr,
       nullptr,
       "<|endoftext|>",
       nullptr,
       nullptr},
      {"gpt2",
       nullptr,
       "gpt-2",
       {"<|endoftext|>"},
       0,
       nullptr,
       nullptr,
       "<|endoftext|>",
       nullptr,
       nullptr},
      {nullptr,
       "ChatGLM4Tokenizer",
       "dbrx",
       {},
       0,
       nullptr,
       nullptr,
       "<|endoftext|>",
       "[gMASK]",
       "<sop>"},
      {nullptr,
       "ChatGLMTokenizer",
       "dbrx",
       {},
       0,
       nullptr,
       nullptr,
       "<|endoftext|>",
       "[gMASK]",
       "<sop>"},
  };
  for (const RankedModel &model : models)
    if (model.tokenizerClass && tokenizerClass == model.tokenizerClass)
      return &model;
  for (const RankedModel &model : models)
    if (model.file && file.compare(0, std::string_view(model.file).size(), model.file) == 0)
      return &model;
  return nullptr;
}

TokenizerSpec readRanks(const Surroundings &around, const fs::path &path, ClassRules &rules) {
  const RankedModel *kind = rankedModel(path.filename().string(), around.className);
  if (!kind)
    throw ImportError(path.string() + ": ranks of a tokenizer of unknown class '" +
                      around.className + "', expected a tokenizer.json");
  TokenizerSpec spec = inFile(path, [&] { return readTiktoken(readFile(path)); });
  // Whole words are looked up before anything is merged.
  addNamedPreTokenizer(spec, kind->words);
  spec.model.ignoreMerges = true;
  AddedTokenList list(spec);
  auto add = [&](std::string text) {
    AddedToken token;
    token.text = std::move(text);
    token.special = true;
    token.id = int32_t(spec.model.tokens.size() + spec.addedTokens.size());
    list.addWithId(std::move(token));
  };
  for (const char *text : kind->special)
    add(text);
  for (unsigned i = 0; i < kind->reserved; ++i) {
    std::string name = kind->reservedName;
    add(name.replace(name.find('%'), 1, std::to_string(i) + "|"));
  }
  if (kind->eos)
    rules.names = {{"eos_token", kind->eos}};
  if (kind->prefix1) {
    rules.hasFlags = false;
    rules.before = {kind->prefix1, kind->prefix2};
  }
  return spec;
}

} // namespace

bool isLlamaClass(const Surroundings &around) {
  return around.isClass({"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"});
}

fs::path vocabularyFile(const fs::path &directory) {
  for (const char *name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
                           "sentencepiece.model", "spm.model"})
    if (isFile(directory / name))
      return directory / name;
  // The first by name, so that the choice does not depend on the file system.
  std::error_code error;
  std::set<fs::path> ranks;
  for (const auto &entry : fs::directory_iterator(directory, error))
    if (entry.path().extension() == ".tiktoken" && isFile(entry.path()))
      ranks.insert(entry.path());
  if (!ranks.empty())
    return *ranks.begin();
  if (isFile(directory / "vocab.json"))
    for (const char *name : {"source.spm", "merges.txt"})
      if (isFile(directory / name))
        return directory / name;
  return isFile(directory / "vocab.txt") ? directory / "vocab.txt" : fs::path();
}

std::optional<TokenizerSpec> readVocabulary(const Surroundings &around, ClassRules &rules) {
  fs::path path = vocabularyFile(around.directory);
  if (path.empty())
    return std::nullopt;
  if (path.extension() == ".tiktoken")
    return readRanks(around, path, rules);
  if (path.filename() == "source.spm")
    return readMarian(around, rules);
  if (path.filename() == "merges.txt")
    return readVocabularyAndMerges(around, rules);
  if (path.filename() == "vocab.txt")
    return readWordPieceVocabulary(around, rules);
  // Some files of that name hold ranks.
  if (isTiktoken(readFile(path)))
    return readRanks(around, path, rules);
  return readSentencePieceDirectory(around, path, rules);
}

} // namespace ingot::tokenizer
