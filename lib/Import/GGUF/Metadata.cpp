//===- Metadata.cpp - typed reading of a GGUF file's keys -------------------------------------===//

#include "Metadata.h"
#include "../Config.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

const GGUFValue *Metadata::value(StringRef key) {
  std::string full = fullKey(key);
  const GGUFValue *found = file.find(full);
  if (found)
    keysRead.insert(std::move(full));
  return found;
}

void Metadata::error(StringRef key, const Twine &text) {
  (void)diagnostics.error(file.path(), "key " + quote(fullKey(key)) + ": " + text);
}

void Metadata::mismatch(StringRef key, const Twine &expected, const GGUFValue *got) {
  error(key, "expected " + expected + ", got " + (got ? got->describe() : "nothing"));
}

int64_t Metadata::integer(StringRef key, int64_t low, int64_t high,
                          std::optional<int64_t> fallback) {
  const GGUFValue *got = value(key);
  if (!got && fallback)
    return *fallback;
  std::optional<int64_t> number =
      got && !got->isArray() ? got->integer() : std::optional<int64_t>();
  if (number && *number >= low && *number <= high)
    return *number;
  mismatch(key, "an integer from " + Twine(low) + " to " + Twine(high), got);
  return low;
}

std::vector<int64_t> Metadata::integers(StringRef key, size_t count, int64_t low, int64_t high,
                                        std::optional<int64_t> fallback) {
  const GGUFValue *got = value(key);
  if (!got || !got->isArray())
    return std::vector<int64_t>(count, integer(key, low, high, fallback));
  std::vector<int64_t> result(count, low);
  if (got->count != count) {
    mismatch(key, "one integer for each of the " + Twine(count) + " layers", got);
    return result;
  }
  for (size_t i = 0; i < count; ++i) {
    std::optional<int64_t> number = got->integer(i);
    if (number && *number >= low && *number <= high)
      result[i] = *number;
    else
      error(key, "expected integers from " + Twine(low) + " to " + Twine(high) +
                     ", got another for layer " + Twine(i));
  }
  return result;
}

double Metadata::number(StringRef key, double low, double high, std::optional<double> fallback) {
  const GGUFValue *got = value(key);
  if (!got && fallback)
    return *fallback;
  std::optional<double> number = got && !got->isArray() ? got->number() : std::optional<double>();
  if (number && *number >= low && *number <= high)
    return *number;
  bool isPositive = low == std::numeric_limits<float>::min();
  mismatch(key,
           isPositive ? "a number greater than 0"
                      : "a number from " + toText(low) + " to " + toText(high),
           got);
  return low;
}

bool Metadata::flag(StringRef key, bool fallback) {
  const GGUFValue *got = value(key);
  if (!got)
    return fallback;
  if (std::optional<bool> flag = got->flag())
    return *flag;
  mismatch(key, "true or false", got);
  return fallback;
}

StringRef Metadata::string(StringRef key, std::optional<StringRef> fallback) {
  const GGUFValue *got = value(key);
  if (!got && fallback)
    return *fallback;
  if (std::optional<StringRef> text = got ? got->string() : std::optional<StringRef>())
    return *text;
  mismatch(key, "a string", got);
  return fallback.value_or("");
}

std::vector<std::string> Metadata::strings(StringRef key) {
  const GGUFValue *got = value(key);
  std::vector<std::string> result;
  std::optional<std::vector<StringRef>> texts = got ? got->strings() : std::nullopt;
  if (got && !texts)
    mismatch(key, "an array of strings", got);
  for (StringRef text : texts.value_or(std::vector<StringRef>()))
    result.push_back(text.str());
  return result;
}

std::vector<bool> Metadata::windowLayers(size_t count, int64_t pattern, bool fullIsFirst) {
  StringRef key = ".attention.sliding_window_pattern";
  const GGUFValue *listed = value(key);
  bool isList = listed && listed->isArray();
  if (listed && !isList)
    pattern = integer(key, 1, maxLayers);
  else if (isList && (listed->count != count ||
                      !(listed->integer() || listed->elementType == GGUFValue::Bool))) {
    error(key, "expected true or false for each of the " + Twine(count) + " layers, got " +
                   listed->describe());
    return std::vector<bool>(count);
  }
  std::vector<bool> result(count);
  for (size_t i = 0; i < count; ++i) {
    result[i] = !pattern || int64_t(i) % pattern != (fullIsFirst ? 0 : pattern - 1);
    if (isList)
      result[i] = listed->elementType == GGUFValue::Bool ? listed->bytes[i] != 0
                                                         : listed->integer(i).value_or(0) != 0;
  }
  return result;
}

int64_t Metadata::id(StringRef key, int64_t vocab) {
  // Writers put -1 or the largest u32 where there is none.
  const GGUFValue *got = value(key);
  if (!got)
    return -1;
  std::optional<int64_t> number = got->isArray() ? std::nullopt : got->integer();
  if (number && (*number == -1 || *number == int64_t(UINT32_MAX)))
    return -1;
  if (number && *number >= 0 && *number < vocab)
    return *number;
  mismatch(key, "an id from 0 to " + Twine(vocab - 1), got);
  return -1;
}

/// Whether a key cannot change what a model computes.
static bool isWithoutEffect(StringRef key, StringRef architecture) {
  static constexpr StringLiteral prefixes[] = {"general.", "tokenizer.", "split.", "quantize.",
                                               "imatrix."};
  if (any_of(prefixes, [&](StringRef prefix) { return key.starts_with(prefix); }))
    return true;
  // The later ones say what the tensors say.
  static constexpr StringLiteral names[] = {
      ".tensor_data_layout",        ".rope.scaling.finetuned",
      ".embedding_length_out",      ".name",
      ".expert_shared_count",       ".expert_shared_feed_forward_length",
      ".leading_dense_block_count", ".interleave_moe_layer_step"};
  return key.consume_front(architecture) && is_contained(names, key);
}

void Metadata::reportUnread() {
  ImportReport &report = diagnostics.getReport();
  for (const auto &[key, value] : file.getValues()) {
    if (keysRead.count(key)) {
      report.fieldsRead.push_back(key);
    } else if (isWithoutEffect(key, architecture)) {
      report.fieldsWithoutEffect.push_back(key);
    } else {
      report.fieldsUnknown.push_back(key);
      diagnostics.warning(file.path(), "key " + quote(key) + " is unknown and was ignored");
    }
  }
}
