//===- Import.h - Tokenizers of other projects' formats ----------*- C++ -*-===//
//
// Each function reads one format into the neutral description. The functions that take a path put
// it in front of the message; those that take bytes leave that to the caller.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_TOKENIZER_IMPORT_H
#define INGOT_TOKENIZER_IMPORT_H

#include "ingot/Tokenizer/Result.h"
#include "ingot/Tokenizer/Tokenizer.h"
#include "ingot/Tokenizer/TokenizerSpec.h"

#include <optional>
#include <string_view>

namespace ingot::tokenizer {

/// tokenizer.json of Hugging Face tokenizers. `truncation` and `padding` are ignored (callers
/// decide about lengths), and so is `dropout` (encoding is deterministic).
Result<TokenizerSpec> importTokenizerJson(std::string_view json);

/// tokenizer.model of SentencePiece (a protocol buffer): BPE, unigram, word and character models.
Result<TokenizerSpec> importSentencePiece(std::string_view bytes);

/// A *.tiktoken file (ranks of byte sequences): the model alone. What surrounds it depends on the
/// model that it is for, see importPath.
Result<TokenizerSpec> importTiktoken(std::string_view bytes);

/// tokenizer.bin of llama2.c: scores and strings of a BPE model with byte fallback.
Result<TokenizerSpec> importLlama2c(std::string_view bytes);

/// What a GGUF file, or any other flat list of tokens, says about its tokenizer.
struct TokenTable {
  std::string model;        ///< "llama", "gpt2", "bert" or "t5"
  std::string preTokenizer; ///< for "gpt2": "llama-bpe", "qwen2", "smollm", ...; empty: "gpt-2"
  std::vector<std::string> tokens;
  std::vector<float> scores;       ///< empty, or one per token
  std::vector<TokenKind> kinds;    ///< empty (all Normal), or one per token
  std::vector<std::string> merges; ///< "left right", for "gpt2"
  SpecialIds special;
  std::optional<bool> addBos; ///< nothing: as models of its kind do
  bool addEos = false, addSpacePrefix = true, removeExtraWhitespaces = false;
  std::string charsmap; ///< SentencePiece's precompiled map, for "t5"
  bool lowercase = true, stripAccents = true; ///< for "bert"
  std::string chatTemplate;
};
Result<TokenizerSpec> importTokenTable(const TokenTable &table);

/// A file (tokenizer.json, *.model, *.bin, *.tiktoken, vocab.json or merges.txt with the other
/// beside it, vocab.txt) or a directory. In a directory the first of tokenizer.json, a
/// SentencePiece model (tokenizer.model, spiece.model, sentencepiece.bpe.model,
/// sentencepiece.model, spm.model),
/// *.tiktoken, vocab.json with source.spm or merges.txt, and vocab.txt is read under the numbers of
/// the class that tokenizer_config.json names, and then what that file, special_tokens_map.json,
/// added_tokens.json and chat_template.jinja add to it.
Result<TokenizerSpec> importPath(const std::string &path);

/// True if the directory holds something that importPath can read.
bool hasTokenizer(const std::string &directory);

/// tokenizeLines on what `path` names: whatever importPath reads, or a serialised tokenizer.
MaybeError tokenizeLines(const std::string &path, std::istream &in, std::ostream &out,
                         const LineOptions &options);

} // namespace ingot::tokenizer

#endif // INGOT_TOKENIZER_IMPORT_H
