//===- ImportJson.cpp - tokenizer.json --------------------------------------===//

#include "ImportSupport.h"

#include <algorithm>

namespace ingot::tokenizer {

namespace {

/// Sequences nest; deeper than this only in a file that means harm.
constexpr unsigned maxNesting = 16;

struct PatternText {
  std::string text;
  bool isRegex;
};

PatternText readPattern(const Field &field) {
  if (field.raw().is_object() && !field["String"].isNull())
    return {field["String"].string(), false};
  if (field.raw().is_object() && !field["Regex"].isNull())
    return {field["Regex"].string(), true};
  field.mismatch("a pattern, {\"String\": ...} or {\"Regex\": ...}");
}

std::string readCharacter(const Field &field) {
  const std::string &text = field.string();
  size_t characters = size_t(
      std::count_if(text.begin(), text.end(), [](char c) { return (uint8_t(c) & 0xC0) != 0x80; }));
  if (characters != 1)
    field.mismatch("one character");
  return text;
}

SplitBehavior readBehavior(const Field &field) {
  const std::string &name = field.string();
  static constexpr std::pair<const char *, SplitBehavior> names[] = {
      {"Removed", SplitBehavior::Removed},
      {"Isolated", SplitBehavior::Isolated},
      {"MergedWithPrevious", SplitBehavior::MergedWithPrevious},
      {"MergedWithNext", SplitBehavior::MergedWithNext},
      {"Contiguous", SplitBehavior::Contiguous}};
  for (auto &[known, behavior] : names)
    if (name == known)
      return behavior;
  field.fail("unknown behavior '" + name + "'");
}

/// The scheme of a Metaspace component, in the new spelling or the old one (add_prefix_space).
PrependScheme readPrependScheme(const Field &field) {
  Field scheme = field["prepend_scheme"];
  if (!field["add_prefix_space"].boolean(true)) {
    if (!scheme.isNull() && scheme.string() != "never")
      field.fail("add_prefix_space does not match prepend_scheme '" + scheme.string() + "'");
    return PrependScheme::Never;
  }
  std::string name = scheme.isNull() ? "always" : scheme.string();
  if (name == "always")
    return PrependScheme::Always;
  if (name == "first")
    return PrependScheme::First;
  if (name == "never")
    return PrependScheme::Never;
  scheme.fail("unknown prepend_scheme '" + name + "'");
}

class Reader {
public:
  explicit Reader(const json &document) : root(document, "") {}

  TokenizerSpec read() {
    if (!root.raw().is_object() || root["model"].isNull())
      throw ImportError("expected a tokenizer.json, an object with a model");
    if (Field version = root["version"]; !version.isNull() && version.string() != "1.0")
      version.fail("expected version 1.0, got '" + version.string() + "'");
    readModel(root["model"]);
    readNormalizer(root["normalizer"], 0);
    readPreTokenizer(root["pre_tokenizer"], 0);
    readPostProcessor(root["post_processor"]);
    readDecoder(root["decoder"], 0);
    if (Field tokens = root["added_tokens"]; !tokens.isNull()) {
      AddedTokenList list(spec);
      for (size_t i = 0; i < tokens.arraySize(); ++i)
        list.add(readAddedToken(tokens.at(i)));
    }
    return std::move(spec);
  }

private:
  static void checkNesting(const Field &field, unsigned depth) {
    if (depth > maxNesting)
      field.fail("sequences nested more than " + std::to_string(maxNesting) + " deep");
  }

  //===--------------------------------------------------------------------===//
  // Models
  //===--------------------------------------------------------------------===//

  void readVocabulary(const Field &field) {
    if (!field.raw().is_object())
      field.mismatch("an object of tokens and ids");
    std::vector<Token> &tokens = spec.model.tokens;
    for (auto &[text, value] : field.raw().items()) {
      size_t id = size_t(Field(value, field.where() + "['" + text + "']").id());
      if (id >= tokens.size())
        tokens.resize(id + 1);
      tokens[id].text = text;
      tokens[id].kind = TokenKind::Normal;
    }
  }

  void readUnknown(const Field &field, bool required) {
    if (field.isNull() && !required)
      return;
    spec.model.hasUnknown = true;
    spec.model.unknownId = TokenIndex(spec.model.tokens).find(field.string()).value_or(-1);
    spec.special.unk = spec.model.unknownId;
  }

  void readModel(const Field &model) {
    std::string type;
    if (Field field = model["type"]; !field.isNull())
      type = field.string();
    else // files of old versions do not say
      type = !model["merges"].isNull()                     ? "BPE"
             : model["vocab"].raw().is_array()             ? "Unigram"
             : !model["max_input_chars_per_word"].isNull() ? "WordPiece"
                                                           : "WordLevel";
    if (type == "BPE")
      readBPE(model);
    else if (type == "Unigram")
      readUnigram(model);
    else if (type == "WordPiece") {
      spec.model.kind = ModelKind::WordPiece;
      readVocabulary(model["vocab"]);
      readUnknown(model["unk_token"], true);
      spec.model.continuingPrefix = model["continuing_subword_prefix"].string();
      spec.model.maxCharsPerWord = model["max_input_chars_per_word"].unsignedInteger();
    } else if (type == "WordLevel") {
      spec.model.kind = ModelKind::WordLevel;
      readVocabulary(model["vocab"]);
      readUnknown(model["unk_token"], true);
    } else {
      model["type"].fail("unknown model '" + type + "'");
    }
  }

  void readBPE(const Field &field) {
    ModelSpec &model = spec.model;
    model.kind = ModelKind::BPE;
    readVocabulary(field["vocab"]);
    readUnknown(field["unk_token"], false);
    if (Field prefix = field["continuing_subword_prefix"]; !prefix.isNull())
      model.continuingPrefix = prefix.string();
    if (Field suffix = field["end_of_word_suffix"]; !suffix.isNull())
      model.endOfWordSuffix = suffix.string();
    model.fuseUnknown = field["fuse_unk"].boolean(false);
    model.byteFallback = field["byte_fallback"].boolean(false);
    model.ignoreMerges = field["ignore_merges"].boolean(false);

    // Pairs, or in files of old versions lines.
    Field list = field["merges"];
    std::vector<std::pair<std::string, std::string>> merges;
    merges.reserve(list.arraySize());
    for (size_t i = 0; i < list.raw().size(); ++i) {
      const json &merge = list.raw()[i];
      if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
        merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      else if (!merge.is_string())
        list.at(i).mismatch("two tokens");
      else if (const auto &line = merge.get_ref<const std::string &>();
               line.compare(0, 8, "#version") != 0)
        merges.push_back(splitMerge(line, i));
    }
    addMerges(model, merges);
  }

  void readUnigram(const Field &field) {
    ModelSpec &model = spec.model;
    model.kind = ModelKind::Unigram;
    Field list = field["vocab"];
    size_t count = list.arraySize();
    for (size_t i = 0; i < count; ++i) {
      Field entry = list.at(i);
      if (entry.arraySize() != 2)
        entry.mismatch("a token and its score");
      model.tokens.push_back({entry.at(0).string(), entry.at(1).number(), TokenKind::Normal});
    }
    if (Field unknown = field["unk_id"]; !unknown.isNull()) {
      model.unknownId = unknown.id();
      if (size_t(model.unknownId) >= count)
        unknown.fail("unknown token " + std::to_string(model.unknownId) + " of " +
                     std::to_string(count));
      model.hasUnknown = true;
      spec.special.unk = model.unknownId;
    }
    model.byteFallback = field["byte_fallback"].boolean(false);
  }

  //===--------------------------------------------------------------------===//
  // Normalisers
  //===--------------------------------------------------------------------===//

  void readNormalizer(const Field &field, unsigned depth) {
    checkNesting(field, depth);
    if (field.isNull())
      return;
    const std::string &type = field["type"].string();
    if (type == "Sequence") {
      Field list = field["normalizers"];
      for (size_t i = 0; i < list.arraySize(); ++i)
        readNormalizer(list.at(i), depth + 1);
      return;
    }
    NormalizerStep step;
    static constexpr std::pair<const char *, NormalizerKind> kinds[] = {
        {"NFC", NormalizerKind::NFC},
        {"NFD", NormalizerKind::NFD},
        {"NFKC", NormalizerKind::NFKC},
        {"NFKD", NormalizerKind::NFKD},
        {"Lowercase", NormalizerKind::Lowercase},
        {"Strip", NormalizerKind::Strip},
        {"StripAccents", NormalizerKind::StripAccents},
        {"BertNormalizer", NormalizerKind::Bert},
        {"Bert", NormalizerKind::Bert},
        {"Nmt", NormalizerKind::Nmt},
        {"Precompiled", NormalizerKind::Precompiled},
        {"Replace", NormalizerKind::Replace},
        {"Prepend", NormalizerKind::Prepend},
        {"ByteLevel", NormalizerKind::ByteLevel}};
    auto *kind = std::find_if(std::begin(kinds), std::end(kinds),
                              [&](auto &known) { return type == known.first; });
    if (kind == std::end(kinds))
      field.fail("unknown normalizer '" + type + "'");
    step.kind = kind->second;
    switch (step.kind) {
    case NormalizerKind::Strip:
      step.left = field["strip_left"].boolean();
      step.right = field["strip_right"].boolean();
      break;
    case NormalizerKind::Bert:
      step.cleanText = field["clean_text"].boolean();
      step.handleChinese = field["handle_chinese_chars"].boolean();
      step.lowercase = field["lowercase"].boolean();
      step.stripAccents = field["strip_accents"].boolean(step.lowercase);
      break;
    case NormalizerKind::Precompiled: {
      // Some files carry an empty map, which changes nothing.
      Field map = field["precompiled_charsmap"];
      if (map.isNull() || map.string().empty())
        return;
      std::optional<std::string> bytes = decodeBase64(map.string());
      if (!bytes)
        map.fail("expected base64");
      step.charsmap = int32_t(spec.charsmaps.size());
      spec.charsmaps.push_back(parseCharsmap(*bytes));
      break;
    }
    case NormalizerKind::Replace: {
      PatternText pattern = readPattern(field["pattern"]);
      step.pattern = std::move(pattern.text);
      step.isRegex = pattern.isRegex;
      step.content = field["content"].string();
      break;
    }
    case NormalizerKind::Prepend:
      step.content = field["prepend"].string();
      break;
    default:
      break;
    }
    spec.normalizer.push_back(std::move(step));
  }

  //===--------------------------------------------------------------------===//
  // Pre-tokenisers
  //===--------------------------------------------------------------------===//

  void readPreTokenizer(const Field &field, unsigned depth) {
    checkNesting(field, depth);
    if (field.isNull())
      return;
    const std::string &type = field["type"].string();
    if (type == "Sequence") {
      Field list = field["pretokenizers"];
      for (size_t i = 0; i < list.arraySize(); ++i)
        readPreTokenizer(list.at(i), depth + 1);
      return;
    }
    PreTokenizerStep step;
    if (type == "ByteLevel") {
      step.kind = PreTokenizerKind::ByteLevel;
      step.addPrefixSpace = field["add_prefix_space"].boolean();
      step.useRegex = field["use_regex"].boolean(true);
    } else if (type == "Split") {
      step.kind = PreTokenizerKind::Split;
      PatternText pattern = readPattern(field["pattern"]);
      step.pattern = std::move(pattern.text);
      step.isRegex = pattern.isRegex;
      step.behavior = readBehavior(field["behavior"]);
      step.invert = field["invert"].boolean();
    } else if (type == "Digits") {
      step.kind = PreTokenizerKind::Digits;
      step.individualDigits = field["individual_digits"].boolean();
    } else if (type == "Punctuation") {
      step.kind = PreTokenizerKind::Punctuation;
      if (Field behavior = field["behavior"]; !behavior.isNull())
        step.behavior = readBehavior(behavior);
    } else if (type == "Whitespace") {
      step.kind = PreTokenizerKind::Whitespace;
    } else if (type == "WhitespaceSplit") {
      step.kind = PreTokenizerKind::WhitespaceSplit;
    } else if (type == "Metaspace") {
      step.kind = PreTokenizerKind::Metaspace;
      step.replacement = readCharacter(field["replacement"]);
      step.prependScheme = readPrependScheme(field);
      step.split = field["split"].boolean(true);
    } else if (type == "BertPreTokenizer") {
      step.kind = PreTokenizerKind::Bert;
    } else if (type == "UnicodeScripts") {
      step.kind = PreTokenizerKind::UnicodeScripts;
    } else if (type == "CharDelimiterSplit" || type == "Delimiter") {
      step.kind = PreTokenizerKind::CharDelimiterSplit;
      step.pattern = readCharacter(field["delimiter"]);
    } else if (type == "FixedLength") {
      step.kind = PreTokenizerKind::FixedLength;
      uint64_t length = field["length"].isNull() ? 5 : field["length"].unsignedInteger();
      if (length == 0)
        field["length"].fail("expected a length of at least 1");
      step.length = uint32_t(std::min<uint64_t>(length, UINT32_MAX));
    } else {
      field.fail("unknown pre_tokenizer '" + type + "'");
    }
    spec.preTokenizer.push_back(std::move(step));
  }

  //===--------------------------------------------------------------------===//
  // Post-processors
  //===--------------------------------------------------------------------===//

  // The reference passes a list of encodings from one processor of a sequence to the next: the
  // text, at first; a template makes each of its pieces an encoding of its own. Here the sequence
  // runs on descriptions of encodings: once for a text, once for a pair.
  using Encodings = std::vector<std::vector<TemplatePiece>>;

  void readPostProcessor(const Field &field) {
    Encodings single{{{true, {}}}}, pair{{{true, {}}}, {{true, {}, true, 1}}};
    if (!field.isNull()) {
      apply(field, single, 1, 0);
      apply(field, pair, 2, 0);
    }
    auto join = [](Encodings &encodings, std::vector<TemplatePiece> &pieces) {
      for (auto &encoding : encodings)
        for (TemplatePiece &piece : encoding)
          pieces.push_back(std::move(piece));
    };
    join(single, spec.postProcessor);
    join(pair, spec.pairProcessor);
    if (spec.postProcessor.size() == 1 && spec.postProcessor[0].isText &&
        spec.postProcessor[0].type == 0)
      spec.postProcessor.clear();
    else if (spec.postProcessor.empty())
      spec.postProcessor.push_back({false, {}}); // a template that leaves the text out
  }

  /// `texts`: what there was at first, 1 or 2.
  void apply(const Field &field, Encodings &encodings, size_t texts, unsigned depth) {
    checkNesting(field, depth);
    const std::string &type = field["type"].string();
    if (type == "Sequence") {
      Field list = field["processors"];
      for (size_t i = 0; i < list.arraySize(); ++i)
        apply(list.at(i), encodings, texts, depth + 1);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      int32_t separator = readTokenPair(field["sep"]), first = readTokenPair(field["cls"]);
      bool doubled = type == "RobertaProcessing"; // and all of it is of one type
      for (size_t i = 0; i < encodings.size(); ++i) {
        if (doubled)
          setType(encodings[i], 0);
        if (i == 0 || doubled)
          encodings[i].insert(encodings[i].begin(), {false, {i == 0 ? first : separator}});
        encodings[i].push_back({false, {separator}, false, uint8_t(i && !doubled)});
      }
    } else if (type == "TemplateProcessing") {
      applyTemplate(field, encodings, texts);
    } else if (type != "ByteLevel") { // which only trims offsets
      field.fail("unknown post_processor '" + type + "'");
    }
  }

  static int32_t readTokenPair(const Field &field) {
    if (field.arraySize() != 2)
      field.mismatch("a token and its id");
    return field.at(1).id();
  }

  static void setType(std::vector<TemplatePiece> &encoding, uint8_t type) {
    for (TemplatePiece &piece : encoding)
      piece.type = type;
  }

  static uint8_t readType(const Field &piece) {
    Field field = piece["type_id"];
    uint64_t type = field.isNull() ? 0 : field.unsignedInteger();
    if (type > UINT8_MAX)
      field.fail("expected a type of at most 255");
    return uint8_t(type);
  }

  static void applyTemplate(const Field &field, Encodings &encodings, size_t texts) {
    if (encodings.size() != texts) {
      if (texts == 1)
        field.fail("a template behind another template");
      encodings.clear(); // single texts may do
      return;
    }
    Encodings result;
    Field form = field[texts == 1 ? "single" : "pair"];
    if (texts == 2 && form.isNull()) { // nothing is known of pairs
      encodings.clear();
      return;
    }
    for (size_t i = 0; i < form.arraySize(); ++i) {
      Field piece = form.at(i);
      if (Field sequence = piece["Sequence"]; !sequence.isNull()) {
        const std::string &name = sequence["id"].string();
        if (name != "A" && (name != "B" || texts == 1))
          sequence.fail(std::string("expected sequence A") + (texts == 1 ? "" : " or B") +
                        ", got '" + name + "'");
        result.push_back(encodings[name == "B"]);
        setType(result.back(), readType(sequence));
        continue;
      }
      const std::string &name = piece["SpecialToken"]["id"].string();
      Field token = field["special_tokens"][name.c_str()];
      if (token.isNull())
        piece.fail("special token '" + name + "' is not in special_tokens");
      TemplatePiece ids;
      for (size_t k = 0; k < token["ids"].arraySize(); ++k)
        ids.ids.push_back(token["ids"].at(k).id());
      ids.type = readType(piece["SpecialToken"]);
      result.push_back({std::move(ids)});
    }
    encodings = std::move(result);
  }

  //===--------------------------------------------------------------------===//
  // Decoders
  //===--------------------------------------------------------------------===//

  void readDecoder(const Field &field, unsigned depth) {
    checkNesting(field, depth);
    if (field.isNull())
      return;
    const std::string &type = field["type"].string();
    if (type == "Sequence") {
      Field list = field["decoders"];
      for (size_t i = 0; i < list.arraySize(); ++i)
        readDecoder(list.at(i), depth + 1);
      // An empty sequence passes tokens on; no decoder at all puts spaces between them.
      if (depth == 0 && spec.decoder.empty())
        spec.decoder.emplace_back(DecoderKind::Fuse);
      return;
    }
    DecoderStep step;
    if (type == "ByteLevel") {
      step.kind = DecoderKind::ByteLevel;
    } else if (type == "Metaspace") {
      step.kind = DecoderKind::Metaspace;
      step.content = readCharacter(field["replacement"]);
      step.keepFirst = readPrependScheme(field) == PrependScheme::Never;
    } else if (type == "WordPiece") {
      step.kind = DecoderKind::WordPiece;
      step.content = field["prefix"].string();
      step.cleanup = field["cleanup"].boolean();
    } else if (type == "ByteFallback") {
      step.kind = DecoderKind::ByteFallback;
    } else if (type == "Fuse") {
      step.kind = DecoderKind::Fuse;
    } else if (type == "Strip") {
      step.kind = DecoderKind::Strip;
      step.content = readCharacter(field["content"]);
      step.start = field["start"].unsignedInteger();
      step.stop = field["stop"].unsignedInteger();
    } else if (type == "Replace") {
      step.kind = DecoderKind::Replace;
      PatternText pattern = readPattern(field["pattern"]);
      step.pattern = std::move(pattern.text);
      step.isRegex = pattern.isRegex;
      step.content = field["content"].string();
    } else if (type == "BPEDecoder") {
      step.kind = DecoderKind::BPE;
      step.pattern = field["suffix"].string();
    } else if (type == "CTC") {
      step.kind = DecoderKind::CTC;
      step.pattern = field["pad_token"].string();
      step.content = field["word_delimiter_token"].string();
      step.cleanup = field["cleanup"].boolean();
    } else {
      field.fail("unknown decoder '" + type + "'");
    }
    spec.decoder.push_back(std::move(step));
  }

  Field root;
  TokenizerSpec spec;
};

} // namespace

TokenizerSpec readTokenizerJson(std::string_view text) {
  json document = parseJson(text);
  return Reader(document).read();
}

Result<TokenizerSpec> importTokenizerJson(std::string_view text) {
  return guarded([&] { return readTokenizerJson(text); });
}

} // namespace ingot::tokenizer
