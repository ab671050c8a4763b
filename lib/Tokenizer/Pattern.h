//===- Pattern.h - Strings and regular expressions to search for -*- C++ -*-===//
//
// Regular expressions run on Oniguruma, the engine that Hugging Face tokenizers uses, in its own
// syntax. A pattern from a file may take exponential time, so each search has a limit on its
// retries and each call of the tokenizer a budget of time for all of them.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_LIB_TOKENIZER_PATTERN_H
#define INGOT_LIB_TOKENIZER_PATTERN_H

#include "ingot/Tokenizer/Result.h"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::tokenizer {

/// Time for the regular expressions of one call. It is generous: only a pattern that backtracks
/// without end on this text spends it.
class Budget {
public:
  explicit Budget(size_t textSize)
      : deadline(Clock::now() + std::chrono::seconds(10) +
                 std::chrono::microseconds(20 * uint64_t(textSize))) {}
  bool spent() const { return Clock::now() > deadline; }

private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point deadline;
};

struct Range {
  size_t begin, end;
};

class Pattern {
public:
  static Result<Pattern> create(std::string pattern, bool isRegex);

  /// Appends the matches in `text`, leftmost first, not overlapping. An empty match is not reported
  /// where the one before it ended.
  MaybeError findAll(std::string_view text, Budget &budget, std::vector<Range> &matches) const;

  /// The string to search for; empty if this is a regular expression.
  std::string_view literal() const { return regex ? std::string_view() : source; }

private:
  std::string source;
  std::shared_ptr<void> regex; // OnigRegex; null: a literal string
};

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_PATTERN_H
