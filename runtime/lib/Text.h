//===- Text.h - the tokenizer of a model -----------------------------------------------------===//
#ifndef INGOT_RUNTIME_TEXT_H
#define INGOT_RUNTIME_TEXT_H

#include "Support.h"

#include <memory>
#include <string>

#if INGOT_HAS_TOKENIZER
#include "ingot/Tokenizer/Tokenizer.h"
#else
namespace ingot::tokenizer { // until the library is there: artifacts' tokenizers are ignored
struct Tokenizer {};
} // namespace ingot::tokenizer
#endif

namespace ingot {

/// The tokenizer of an artifact, used in place.
class TextCodec {
public:
  explicit TextCodec(tokenizer::Tokenizer tokenizer) : tokenizer(std::move(tokenizer)) {}

  static Error create(const std::string &path, const void *data, size_t bytes,
                      std::unique_ptr<TextCodec> &codec) {
#if INGOT_HAS_TOKENIZER
    auto opened = tokenizer::Tokenizer::open(data, bytes);
    if (!opened)
      return makeError(INGOT_CORRUPT, "%s: tokenizer: %s", path.c_str(), opened.error().c_str());
    codec = std::make_unique<TextCodec>(std::move(*opened));
#endif
    return nullptr;
  }

  const tokenizer::Tokenizer tokenizer;
};

} // namespace ingot

#endif // INGOT_RUNTIME_TEXT_H
