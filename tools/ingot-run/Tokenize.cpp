//===- Tokenize.cpp - text and ids, line by line --------------------------------------------===//
#include "Commands.h"

#if INGOT_HAS_TOKENIZER
#include "ingot/Tokenizer/Import.h"
#include "ingot/Tokenizer/Tokenizer.h"
#endif

#include <cstdio>
#include <cstring>
#include <iostream>

int runTokenize(const TokenizeOptions &options) {
#if INGOT_HAS_TOKENIZER
  namespace tk = ingot::tokenizer;
  tk::LineOptions lines;
  lines.addSpecial = !options.noSpecial;
  lines.decode = options.decode;
  if (options.maxTokens)
    lines.maxTokens = *options.maxTokens;
  std::ios::sync_with_stdio(false);
  // An artifact holds its tokenizer as a segment; everything else is the tokenizer library's.
  bool isArtifact = false;
  if (FILE *file = fopen(options.path.c_str(), "rbe")) {
    char magic[8];
    isArtifact = fread(magic, 1, 8, file) == 8 && memcmp(magic, "\x89INGOT\r\n", 8) == 0;
    fclose(file);
  }
  tk::MaybeError error;
  if (isArtifact) {
    LoadOptions load;
    load.path = options.path;
    load.trust = true; // weights are not looked at
    load.inspectOnly = true;
    ingot::Model model = loadModel(load);
    for (size_t i = 0; i < model.info().segment_count; ++i) {
      auto segment = ingot::Model::query<ingot_segment_info>(
          [&](auto *out) { return ingot_model_get_segment(model.get(), i, out); });
      if (std::string_view(segment.kind) != "tokenizer")
        continue;
      auto tokenizer = tk::Tokenizer::open(segment.data, segment.length);
      if (!tokenizer)
        throw Failure(options.path + ": " + tokenizer.error());
      error = tk::tokenizeLines(*tokenizer, std::cin, std::cout, lines);
      if (error)
        throw Failure(error->message);
      std::cout.flush();
      return std::cout.good() ? 0 : throw Failure("standard output: cannot be written");
    }
    throw Failure(options.path + ": has no tokenizer; compile from a directory with one");
  }
  error = tk::tokenizeLines(options.path, std::cin, std::cout, lines);
  if (error)
    throw Failure(error->message);
  std::cout.flush();
  return std::cout.good() ? 0 : throw Failure("standard output: cannot be written");
#else
  throw Failure(options.path + ": this build has no tokenizers");
#endif
}
