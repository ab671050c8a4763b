//===- Pattern.cpp - Strings and regular expressions to search for ----------===//

#include "Pattern.h"
#include "Unicode.h"

// Or its UChar is a macro, which is a type in ICU.
#define ONIG_ESCAPE_UCHAR_COLLISION
#include <oniguruma.h>

#include <algorithm>
#include <mutex>

namespace ingot::tokenizer {

static constexpr size_t maxPatternBytes = size_t(1) << 16;
/// Entries of the matcher's stack, about 50 bytes each.
static constexpr unsigned maxMatchStack = 1u << 24;

static std::string onigMessage(int code, OnigErrorInfo *info = nullptr) {
  OnigUChar buffer[ONIG_MAX_ERROR_MESSAGE_LEN];
  int length = onig_error_code_to_str(buffer, code, info);
  return std::string(reinterpret_cast<char *>(buffer), size_t(length > 0 ? length : 0));
}

Result<Pattern> Pattern::create(std::string source, bool isRegex) {
  static std::once_flag initialized;
  std::call_once(initialized, [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings, 1);
  });

  if (source.size() > maxPatternBytes)
    return Error{"pattern of " + std::to_string(source.size()) + " bytes, at most " +
                 std::to_string(maxPatternBytes) + " are allowed"};
  if (!unicode::isValid(source))
    return Error{"pattern is not valid UTF-8"};
  Pattern pattern;
  // An empty string matches everywhere, as the empty regular expression does.
  if (isRegex || source.empty()) {
    OnigRegex regex = nullptr;
    OnigErrorInfo info;
    auto *begin = reinterpret_cast<const OnigUChar *>(source.data());
    int code = onig_new(&regex, begin, begin + source.size(), ONIG_OPTION_NONE, ONIG_ENCODING_UTF8,
                        ONIG_SYNTAX_ONIGURUMA, &info);
    if (code != ONIG_NORMAL)
      return Error{"regular expression '" + source + "': " + onigMessage(code, &info)};
    pattern.regex =
        std::shared_ptr<void>(regex, [](void *regex) { onig_free(static_cast<OnigRegex>(regex)); });
  }
  pattern.source = std::move(source);
  return pattern;
}

namespace {
/// Owns what one sequence of searches needs.
struct Matcher {
  OnigRegion *region = onig_region_new();
  OnigMatchParam *parameters = onig_new_match_param();
  ~Matcher() {
    if (region)
      onig_region_free(region, 1);
    if (parameters)
      onig_free_match_param(parameters);
  }
};
} // namespace

MaybeError Pattern::findAll(std::string_view text, Budget &budget,
                            std::vector<Range> &matches) const {
  if (text.empty())
    return {};
  if (!regex) {
    for (size_t at = text.find(source); at != std::string_view::npos;
         at = text.find(source, at + source.size()))
      matches.push_back({at, at + source.size()});
    return {};
  }

  // Oniguruma trusts its input to be well formed.
  if (!unicode::isValid(text))
    return Error{"text for a regular expression is not valid UTF-8"};
  Matcher matcher;
  if (!matcher.region || !matcher.parameters)
    return Error{"out of memory"};
  unsigned long retries = 10'000'000ul + 4ul * text.size();
  onig_set_retry_limit_in_match_of_match_param(matcher.parameters, retries);
  onig_set_retry_limit_in_search_of_match_param(matcher.parameters, 2 * retries);
  onig_set_match_stack_limit_size_of_match_param(matcher.parameters, maxMatchStack);

  auto *begin = reinterpret_cast<const OnigUChar *>(text.data());
  const OnigUChar *end = begin + text.size();
  size_t position = 0;
  size_t lastEnd = size_t(-1); // no match yet
  for (unsigned searches = 0; position <= text.size(); ++searches) {
    // Look at the clock now and then while searches are cheap.
    if ((searches & 15) == 15 && budget.spent())
      return Error{"a regular expression takes too long on this text"};
    onig_region_clear(matcher.region);
    int found =
        onig_search_with_param(static_cast<OnigRegex>(regex.get()), begin, end, begin + position,
                               end, matcher.region, ONIG_OPTION_NONE, matcher.parameters);
    if (found == ONIG_MISMATCH)
      return {};
    if (found < 0)
      return Error{"a regular expression fails on this text: " + onigMessage(found)};
    Range match{size_t(matcher.region->beg[0]), size_t(matcher.region->end[0])};
    if (match.begin == match.end && match.end == lastEnd) {
      position += position < text.size() ? unicode::characterAt(text, position).length : 1;
      continue;
    }
    // \K can move the begin of a match in front of the last one or behind the end.
    if (lastEnd != size_t(-1))
      match.begin = std::max(match.begin, lastEnd);
    match.end = std::max(match.begin, match.end);
    position = lastEnd = match.end;
    matches.push_back(match);
  }
  return {};
}

} // namespace ingot::tokenizer
