//===- Tokenizer.h - Text to ids and back ------------------------*- C++ -*-===//
//
// The tokenizer runs from one contiguous binary blob (schema/tokenizer.fbs), usually mapped from an
// artifact: opening one checks every index in it but builds nothing per token.
//
// Thread rule: a Tokenizer is immutable; every const method may run on any number of threads at
// once. A StreamDecoder belongs to one thread.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_TOKENIZER_TOKENIZER_H
#define INGOT_TOKENIZER_TOKENIZER_H

#include "ingot/Tokenizer/Result.h"
#include "ingot/Tokenizer/TokenizerSpec.h"

#include <iosfwd>
#include <memory>
#include <string_view>

namespace ingot::tokenizer {

/// The binary form of `spec`. The same description gives the same bytes.
Result<std::vector<uint8_t>> serialize(const TokenizerSpec &spec);

class Tokenizer {
public:
  /// Opens a blob in place. `data` must be aligned to 8 bytes and outlive the tokenizer. Everything
  /// is checked first; a blob with one wrong number is refused.
  static Result<Tokenizer> open(const void *data, size_t size);

  /// Takes ownership of a blob.
  static Result<Tokenizer> open(std::vector<uint8_t> blob);

  /// serialize() followed by open().
  static Result<Tokenizer> fromSpec(const TokenizerSpec &spec);

  Tokenizer(Tokenizer &&) noexcept;
  Tokenizer &operator=(Tokenizer &&) noexcept;
  ~Tokenizer();

  /// The ids of `text`. With `addSpecial`, also the tokens that the post-processor adds (<s>, [CLS]
  /// and so on). Special tokens that are spelled out in the text are recognised in either case.
  /// Malformed UTF-8 reads as U+FFFD, as the reference library of the format has it. Fails when the
  /// text has no encoding (a character that is not in the vocabulary, and no unknown token) or when
  /// a pattern takes unreasonably many steps on it.
  Result<std::vector<int32_t>> encode(std::string_view text, bool addSpecial) const;

  /// What a model reads: ids, a token type for each, and how many tokens of the texts were cut.
  struct Sequence {
    std::vector<int32_t> ids, types;
    size_t dropped = 0;
  };

  /// `text`, or a pair of texts, with what the post-processor adds. It is cut to `maxTokens` ids,
  /// added ones included: one text at its end (or beginning: TokenizerSpec::cutsFront), of a pair
  /// the longer one first, until both are equally long. Also fails where the tokenizer has no form
  /// for pairs.
  Result<Sequence> encodeSequence(std::string_view text, std::optional<std::string_view> second,
                                  size_t maxTokens = SIZE_MAX) const;

  /// What texts are to be cut to; 0: the source does not say.
  size_t maxTokens() const;

  /// The text of `ids`. Ids without a token (padding of the vocabulary) contribute nothing.
  std::string decode(const int32_t *ids, size_t count, bool skipSpecial) const;
  std::string decode(const std::vector<int32_t> &ids, bool skipSpecial) const {
    return decode(ids.data(), ids.size(), skipSpecial);
  }

  /// One more than the largest id; some ids below it may have no token.
  size_t vocabSize() const;

  /// The token as the vocabulary spells it ("Ġthe", "▁the", "<0x0A>"); empty for ids without one.
  /// Valid as long as the blob is.
  std::string_view tokenBytes(int32_t id) const;

  /// The id of a token in that spelling, -1 if there is none.
  int32_t tokenId(std::string_view token) const;

  /// True for tokens that decoding with skipSpecial leaves out.
  bool isSpecial(int32_t id) const;

  const SpecialIds &specialIds() const;

  /// The chat template (Jinja) that came with the tokenizer, possibly empty.
  std::string_view chatTemplate() const;

private:
  struct Impl;
  friend class StreamDecoder;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

/// Decodes ids as they arrive. The pieces returned consist of whole UTF-8 characters, and all of
/// them together are exactly what decode() returns for all the ids. Text is held back only while a
/// later id can still change it (an unfinished character, a run of byte tokens).
class StreamDecoder {
public:
  /// `tokenizer` must outlive the decoder.
  StreamDecoder(const Tokenizer &tokenizer, bool skipSpecial);
  StreamDecoder(StreamDecoder &&) noexcept;
  StreamDecoder &operator=(StreamDecoder &&) noexcept;
  ~StreamDecoder();

  /// The text that `id` completes, often empty.
  std::string push(int32_t id);

  /// What was held back. The decoder then starts over.
  std::string finish();

private:
  struct Pipeline;
  const Tokenizer *tokenizer;
  bool skipSpecial;
  std::unique_ptr<Pipeline> pipeline;
};

struct LineOptions {
  bool addSpecial = true;
  bool decode = false;         ///< arrays of ids in, strings out
  size_t maxTokens = SIZE_MAX; ///< cut what is longer
};

/// The line protocol of `ingot-run tokenize`: one JSON string per line in, one JSON array of ids
/// per line out; of an array of two strings, a pair, an object of ids and types; with `decode` the
/// other way, special tokens included. Stops at the first line that fails; the message then names
/// the line.
MaybeError tokenizeLines(const Tokenizer &tokenizer, std::istream &in, std::ostream &out,
                         const LineOptions &options);

} // namespace ingot::tokenizer

#endif // INGOT_TOKENIZER_TOKENIZER_H
