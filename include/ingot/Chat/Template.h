//===- Template.h - Chat templates -------------------------------*- C++ -*-===//
//
// Published models say how a conversation becomes text with a template in Jinja's language. This
// library evaluates the part of that language that such templates use, with the results of Jinja
// 3.1 in the environment of Hugging Face transformers (a sandbox, trim_blocks, lstrip_blocks, loop
// controls, generation blocks, tojson without escapes).
//
// A template is data of unknown origin. It reaches nothing but the values it is given: no files, no
// modules, no attributes other than those listed in lib/Chat. Its steps, the bytes of text and of
// lists that it makes, its output and its nesting are bounded, and what is unknown is one error
// that names it and its line.
//
// Thread rule: a Template is immutable and may render on any number of threads at once.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_CHAT_TEMPLATE_H
#define INGOT_CHAT_TEMPLATE_H

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ingot::chat {

/// What is wrong with a template, or what it says is wrong with a conversation: "line 3: unknown
/// filter 'x'", lower case and without a final period (but for the template's own words).
struct TemplateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Bounds of one rendering.
struct Limits {
  uint64_t steps = 5'000'000;           ///< expressions, statements and elements looked at
  uint64_t bytes = uint64_t(256) << 20; ///< of all texts and lists that are made, output included
};

class Template {
public:
  /// Parses `source`. Throws TemplateError.
  explicit Template(std::string_view source);
  Template(Template &&) noexcept;
  Template &operator=(Template &&) noexcept;
  ~Template();

  /// The text of a conversation. `variables` is a JSON object: "messages" (an array of objects with
  /// "role" and "content"), "add_generation_prompt", "bos_token" and whatever else the template
  /// asks for. "tools" and "documents" are none unless they are given. `now` is what strftime_now
  /// formats, in seconds since 1970; negative: the present. Throws TemplateError.
  std::string render(std::string_view variables, const Limits &limits = {}, int64_t now = -1) const;

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

} // namespace ingot::chat

#endif // INGOT_CHAT_TEMPLATE_H
