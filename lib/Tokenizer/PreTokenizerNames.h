//===- PreTokenizerNames.h - Pre-tokenisers known by name --------*- C++ -*-===//

#ifndef INGOT_LIB_TOKENIZER_PRETOKENIZERNAMES_H
#define INGOT_LIB_TOKENIZER_PRETOKENIZERNAMES_H

#include "ingot/Tokenizer/TokenizerSpec.h"

#include <string>

namespace ingot::tokenizer {

/// Adds the normaliser, pre-tokeniser and decoder of a byte-level model whose way of cutting words
/// has this name in GGUF files. Throws an ImportError for a name that is not known.
void addNamedPreTokenizer(TokenizerSpec &spec, const std::string &name);

/// Whether texts begin with a token in files with this name that do not say so.
bool beginsTexts(const std::string &name);

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_PRETOKENIZERNAMES_H
