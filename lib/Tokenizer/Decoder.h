//===- Decoder.h - Tokens to text --------------------------------*- C++ -*-===//
//
// Decoding is one chain of stages that tokens flow through. decode() pushes all tokens and
// finishes, a StreamDecoder pushes them one by one: both give the same text because they are the
// same code.
//
// A stage receives tokens in order, each as one or more fragments. Most stages look at whole
// tokens; those that join tokens (ByteLevel, Fuse) pass their one result on in fragments as it
// grows, and the stages that can work on fragments do, so that text appears as early as it is
// certain.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_LIB_TOKENIZER_DECODER_H
#define INGOT_LIB_TOKENIZER_DECODER_H

#include "Pattern.h"
#include "ingot/Tokenizer/TokenizerSpec.h"

#include <memory>
#include <optional>

namespace ingot::tokenizer {

/// A token on its way out.
struct Fragment {
  std::string_view text;
  bool last = true;                   ///< ends the token
  TokenKind kind = TokenKind::Normal; ///< only the first stage sees another kind
};

class DecoderStage {
public:
  virtual ~DecoderStage() = default;
  virtual void push(Fragment fragment) = 0;
  /// No more tokens come. Leaves the stage as new.
  virtual void finish() = 0;

  DecoderStage *next = nullptr;
};

/// The steps of a tokenizer's decoder, shared by the chains made from them.
class Decoder {
public:
  MaybeError init(const std::vector<DecoderStep> &steps);

  /// A new chain; the text arrives in `out`.
  std::vector<std::unique_ptr<DecoderStage>> makeChain(std::string &out) const;

private:
  struct Step {
    DecoderStep spec;
    std::optional<Pattern> pattern;
  };
  std::vector<Step> steps;
};

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_DECODER_H
