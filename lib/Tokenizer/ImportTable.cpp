//===- ImportTable.cpp - Flat lists of tokens, as in GGUF -------------------===//

#include "ImportSupport.h"
#include "PreTokenizerNames.h"

#include <algorithm>

namespace ingot::tokenizer {

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

namespace {

void readBytePairs(const TokenTable &table, TokenizerSpec &spec) {
  spec.model.kind = ModelKind::BPE;
  std::vector<std::pair<std::string, std::string>> merges;
  for (size_t i = 0; i < table.merges.size(); ++i)
    merges.push_back(splitMerge(table.merges[i], i));
  addMerges(spec.model, merges);
  addNamedPreTokenizer(spec, table.preTokenizer);
}

void readSentencePieces(const TokenTable &table, TokenizerSpec &spec) {
  ModelSpec &model = spec.model;
  model.kind = table.model == "t5" ? ModelKind::SentencePieceUnigram : ModelKind::SentencePieceBPE;
  if (table.scores.empty())
    throw ImportError("expected scores for a tokenizer of model '" + table.model + "'");
  model.byteFallback =
      std::any_of(model.tokens.begin(), model.tokens.end(),
                  [](const Token &token) { return token.kind == TokenKind::Byte; });
  auto unknown = std::find_if(model.tokens.begin(), model.tokens.end(),
                              [](const Token &token) { return token.kind == TokenKind::Unknown; });
  model.unknownId =
      unknown != model.tokens.end() ? int32_t(unknown - model.tokens.begin()) : table.special.unk;
  model.hasUnknown = model.unknownId >= 0;
  NormalizerStep step;
  step.kind = NormalizerKind::SentencePiece;
  step.addDummyPrefix = table.addSpacePrefix;
  step.removeExtraWhitespaces = table.removeExtraWhitespaces;
  step.escapeWhitespaces = true;
  if (!table.charsmap.empty()) {
    step.charsmap = 0;
    spec.charsmaps.push_back(parseCharsmap(table.charsmap));
  }
  addSentencePieceDecoder(spec, step, " \xE2\x81\x87 ");
  spec.normalizer.push_back(step);
}

void readWordPieces(const TokenTable &table, TokenizerSpec &spec) {
  // Such files mark the beginning of a word, where the original marks its continuation.
  static const std::string begin = "\xE2\x96\x81";
  ModelSpec &model = spec.model;
  model.kind = ModelKind::WordPiece;
  model.continuingPrefix = "##";
  for (Token &token : model.tokens) {
    bool isPlain =
        token.kind == TokenKind::Normal &&
        !(token.text.size() > 1 && token.text.front() == '[' && token.text.back() == ']');
    if (token.text.compare(0, begin.size(), begin) == 0)
      token.text.erase(0, begin.size());
    else if (isPlain)
      token.text = "##" + token.text;
  }
  model.unknownId = table.special.unk;
  model.hasUnknown = true;
  NormalizerStep normalizer;
  normalizer.kind = NormalizerKind::Bert;
  normalizer.cleanText = normalizer.handleChinese = true;
  normalizer.stripAccents = table.stripAccents;
  normalizer.lowercase = table.lowercase;
  spec.normalizer.push_back(normalizer);
  PreTokenizerStep words;
  words.kind = PreTokenizerKind::Bert;
  spec.preTokenizer.push_back(words);
  DecoderStep decoder;
  decoder.kind = DecoderKind::WordPiece;
  decoder.content = "##";
  decoder.cleanup = true;
  spec.decoder.push_back(decoder);
}

TokenizerSpec readTable(const TokenTable &table) {
  size_t count = table.tokens.size();
  auto expectCount = [&](size_t size, const char *what) {
    if (size != 0 && size != count)
      throw ImportError("expected " + std::to_string(count) + " " + what + ", got " +
                        std::to_string(size));
  };
  expectCount(table.scores.size(), "scores");
  expectCount(table.kinds.size(), "kinds of tokens");
  TokenizerSpec spec;
  for (size_t id = 0; id < count; ++id) {
    TokenKind kind = table.kinds.empty() ? TokenKind::Normal : table.kinds[id];
    double score = table.scores.empty() ? 0 : table.scores[id];
    spec.model.tokens.push_back({table.tokens[id], score, kind});
  }
  spec.special = table.special;
  spec.chatTemplate = table.chatTemplate;
  if (table.model == "gpt2")
    readBytePairs(table, spec);
  else if (table.model == "llama" || table.model == "t5")
    readSentencePieces(table, spec);
  else if (table.model == "bert")
    readWordPieces(table, spec);
  else
    throw ImportError("unknown tokenizer model '" + table.model + "'");

  // Control tokens, and outside SentencePiece user-defined ones, are cut out of the text.
  bool isSentencePiece = spec.model.kind >= ModelKind::SentencePieceBPE;
  AddedTokenList added(spec);
  for (const Token &token : spec.model.tokens)
    if (token.kind == TokenKind::Control ||
        (token.kind == TokenKind::UserDefined && !isSentencePiece)) {
      AddedToken entry;
      entry.text = token.text;
      entry.special = token.kind == TokenKind::Control;
      added.add(entry);
    }
  const SpecialIds &special = table.special;
  int32_t first = special.cls >= 0 ? special.cls : special.bos,
          separator = special.sep >= 0 ? special.sep : special.eos;
  // Of others, XLM-R has a Unigram model and RoBERTa's kin a named pre-tokenizer, and both tokens
  // around a text.
  bool addBos = table.addBos.value_or(table.model == "gpt2" ? beginsTexts(table.preTokenizer)
                                                            : table.model == "llama");
  auto isNamed = [&](const char *name) { return table.preTokenizer == name; };
  bool isBert = spec.model.kind == ModelKind::WordPiece ||
                (isNamed("modern-bert") && addBos && table.addEos),
       isRobertaKind = table.model == "t5" || isNamed("roberta-bpe") || isNamed("jina-v1-en") ||
                       isNamed("jina-v2-code") || isNamed("jina-v2-es") || isNamed("jina-v2-de"),
       isRoberta = isRobertaKind && addBos && table.addEos;
  if (isRoberta) {
    first = special.bos;
    separator = special.eos;
  }
  if ((isBert || isRoberta) && first >= 0 && separator >= 0)
    separate(spec, first, separator, isRoberta);
  else if (isBert)
    surround(spec, first, separator);
  else
    surround(spec, addBos ? special.bos : -1, table.addEos ? special.eos : -1);
  return spec;
}

} // namespace

Result<TokenizerSpec> importTokenTable(const TokenTable &table) {
  return guarded([&] { return readTable(table); });
}

} // namespace ingot::tokenizer
