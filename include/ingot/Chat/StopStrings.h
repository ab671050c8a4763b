//===- StopStrings.h - Texts that end an answer ------------------*- C++ -*-===//
//
// A stop string may begin in one token and end in another, so text is held back as long as it could
// be the beginning of one.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_CHAT_STOPSTRINGS_H
#define INGOT_CHAT_STOPSTRINGS_H

#include <string>
#include <string_view>
#include <vector>

namespace ingot::chat {

class StopStrings {
public:
  /// None of `stops` may be empty.
  explicit StopStrings(std::vector<std::string> stops) : stops(std::move(stops)) {}

  /// The text that can be shown now that `text` has come. Once a stop string is complete, that is
  /// what stands in front of the first one, and everything behind it is dropped.
  std::string push(std::string_view text);

  /// What was held back, at the end of the text. The object then starts over.
  std::string finish();

  bool stopped() const { return found; }

private:
  std::vector<std::string> stops;
  std::string held;
  bool found = false;
};

} // namespace ingot::chat

#endif // INGOT_CHAT_STOPSTRINGS_H
