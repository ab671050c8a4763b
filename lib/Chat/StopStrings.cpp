//===- StopStrings.cpp - Texts that end an answer ---------------------------===//

#include "ingot/Chat/StopStrings.h"

#include <algorithm>
#include <utility>

namespace ingot::chat {

std::string StopStrings::push(std::string_view text) {
  if (found)
    return {};
  held += text;
  size_t first = held.npos;
  for (const std::string &stop : stops)
    first = std::min(first, held.find(stop));
  if (first != held.npos) {
    found = true;
    std::string out = held.substr(0, first);
    held.clear();
    return out;
  }
  // The longest end of the text that is the beginning of a stop string.
  size_t keep = 0;
  for (const std::string &stop : stops)
    for (size_t length = std::min(stop.size() - 1, held.size()); length > keep; --length)
      if (held.compare(held.size() - length, length, stop, 0, length) == 0)
        keep = length;
  std::string out = held.substr(0, held.size() - keep);
  held.erase(0, out.size());
  return out;
}

std::string StopStrings::finish() {
  found = false;
  return std::exchange(held, {});
}

} // namespace ingot::chat
