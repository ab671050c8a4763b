//===- Config.cpp - typed reading of config.json ----------------------------------------------===//

#include "Config.h"
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

llvm::LogicalResult importer::chooseContext(int64_t asked, int64_t &context, StringRef file,
                                            Diagnostics &diagnostics) {
  if (asked > context || asked < 0)
    return diagnostics.error(file, "a context of " + Twine(asked) +
                                       " was asked for, the model has " + Twine(context) +
                                       " positions");
  if (asked > 0)
    context = asked;
  return failure(diagnostics.failed());
}

static std::optional<int64_t> asInteger(const json::Value &value) {
  if (std::optional<uint64_t> number = value.getAsUINT64())
    return *number <= uint64_t(INT64_MAX) ? std::optional<int64_t>(*number) : std::nullopt;
  std::optional<double> number = value.getAsNumber();
  // 4096.0 is an integer to the framework too.
  if (!number || std::abs(*number) > 9.0e15 || std::trunc(*number) != *number)
    return std::nullopt;
  return int64_t(*number);
}

static StringRef firstName(StringRef names) { return names.split('|').first; }

const json::Value *Config::find(StringRef names) const {
  for (StringRef name : split(names, '|'))
    if (const json::Value *value = object.get(name))
      return value;
  return nullptr;
}

const json::Value *Config::read(StringRef names) {
  const json::Value *found = nullptr;
  StringRef foundName;
  for (StringRef name : split(names, '|')) {
    const json::Value *value = object.get(name);
    if (!value)
      continue;
    fieldsRead.insert(name.str());
    if (!found) {
      found = value;
      foundName = name;
    } else if (*found != *value) {
      error(name, "expected the same as field " + quote(path + foundName.str()) + ", " +
                      toText(*found) + ", got " + toText(*value));
    }
  }
  return found;
}

const json::Value *Config::readValue(StringRef names, bool optional, StringRef expected) {
  const json::Value *value = read(names);
  if (value && value->kind() != json::Value::Null)
    return value;
  if (!optional)
    error(names, "expected " + expected + ", got " + (value ? "null" : "nothing"));
  return nullptr;
}

void Config::error(StringRef names, const Twine &text) {
  (void)diagnostics.error(file, "field " + quote(path + firstName(names).str()) + ": " + text);
}

void Config::mismatch(StringRef names, const Twine &expected, const json::Value &got) {
  // The name that the file uses.
  StringRef used = firstName(names);
  for (StringRef name : split(names, '|'))
    if (object.get(name) == &got)
      used = name;
  error(used, "expected " + expected + ", got " + toText(got));
}

bool Config::has(StringRef names) const {
  const json::Value *value = find(names);
  return value && value->kind() != json::Value::Null;
}

bool Config::isNull(StringRef names) {
  const json::Value *value = read(names);
  return value && value->kind() == json::Value::Null;
}

int64_t Config::integer(StringRef names, int64_t low, int64_t high,
                        std::optional<int64_t> fallback) {
  std::string expected = "an integer from " + std::to_string(low) + " to " + std::to_string(high);
  const json::Value *value = readValue(names, fallback.has_value(), expected);
  if (!value)
    return fallback.value_or(low);
  std::optional<int64_t> number = asInteger(*value);
  if (number && *number >= low && *number <= high)
    return *number;
  mismatch(names, expected, *value);
  return low;
}

double Config::number(StringRef names, double low, double high, std::optional<double> fallback) {
  std::string expected = "a number from " + toText(low) + " to " + toText(high);
  if (low == std::numeric_limits<float>::min() && high == std::numeric_limits<float>::max())
    expected = "a number greater than 0";
  const json::Value *value = readValue(names, fallback.has_value(), expected);
  if (!value)
    return fallback.value_or(low);
  std::optional<double> number = value->getAsNumber();
  if (number && *number >= low && *number <= high)
    return *number;
  mismatch(names, expected, *value);
  return low;
}

bool Config::flag(StringRef names, std::optional<bool> fallback) {
  const json::Value *value = read(names);
  if (value && value->kind() == json::Value::Null)
    return false;
  if (value && value->getAsBoolean())
    return *value->getAsBoolean();
  if (value)
    mismatch(names, "true or false", *value);
  else if (!fallback)
    error(names, "expected true or false, got nothing");
  return fallback.value_or(false);
}

StringRef Config::string(StringRef names, std::optional<StringRef> fallback) {
  const json::Value *value = readValue(names, fallback.has_value(), "a string");
  if (!value)
    return fallback.value_or("");
  if (std::optional<StringRef> text = value->getAsString())
    return *text;
  mismatch(names, "a string", *value);
  return fallback.value_or("");
}

std::vector<std::string> Config::strings(StringRef names) {
  const json::Value *value = readValue(names, /*optional=*/true, "");
  std::vector<std::string> result;
  if (!value)
    return result;
  const json::Array *array = value->getAsArray();
  if (!array) {
    mismatch(names, "a list of strings", *value);
    return result;
  }
  for (const json::Value &element : *array) {
    if (std::optional<StringRef> text = element.getAsString())
      result.push_back(text->str());
    else
      mismatch(names, "a list of strings", *value);
  }
  return result;
}

std::vector<double> Config::numbers(StringRef names) {
  const json::Value *value = readValue(names, /*optional=*/true, "");
  std::vector<double> result;
  const json::Array *array = value ? value->getAsArray() : nullptr;
  if (value && !array)
    mismatch(names, "a list of numbers", *value);
  for (const json::Value &element : array ? *array : json::Array()) {
    std::optional<double> number = element.getAsNumber();
    if (!number || !std::isfinite(*number))
      mismatch(names, "a list of numbers", *value);
    result.push_back(number.value_or(0));
  }
  return result;
}

std::vector<int64_t> Config::ids(StringRef names, std::vector<int64_t> fallback) {
  const json::Value *value = read(names);
  if (!value)
    return fallback;
  if (value->kind() == json::Value::Null)
    return {};
  std::vector<int64_t> result;
  bool valid = true;
  auto add = [&](const json::Value &element) {
    std::optional<int64_t> id = asInteger(element);
    valid &= id && *id >= 0 && *id <= maxPositions;
    if (valid && !is_contained(result, *id))
      result.push_back(*id);
  };
  if (const json::Array *array = value->getAsArray())
    for_each(*array, add);
  else
    add(*value);
  if (!valid)
    mismatch(names, "an id or a list of ids", *value);
  return result;
}

Config *Config::child(StringRef names) {
  const json::Value *value = readValue(names, /*optional=*/true, "");
  if (!value)
    return nullptr;
  for (auto &[key, config] : children)
    if (key == value)
      return config.get();
  const json::Object *childObject = value->getAsObject();
  if (!childObject) {
    mismatch(names, "an object", *value);
    return nullptr;
  }
  StringRef used = firstName(names);
  for (StringRef name : split(names, '|'))
    if (object.get(name) == value)
      used = name;
  children.emplace_back(
      value, std::make_unique<Config>(file, *childObject, diagnostics, path + used.str() + "."));
  return children.back().second.get();
}

void Config::onlyFalse(StringRef names) {
  const json::Value *value = readValue(names, /*optional=*/true, "");
  if (value && value->getAsBoolean() != std::optional<bool>(false))
    mismatch(names, "false, nothing else is supported", *value);
}

void Config::onlyNull(StringRef names, StringRef why) {
  if (const json::Value *value = readValue(names, /*optional=*/true, ""))
    mismatch(names, "null (" + why + ")", *value);
}

void Config::reportUnread(llvm::function_ref<bool(StringRef)> withoutEffect) {
  ImportReport &report = diagnostics.getReport();
  std::map<StringRef, const json::Value *> fields;
  for (const auto &[name, value] : object)
    fields[name] = &value;
  for (auto [name, value] : fields) {
    std::string full = path + name.str();
    if (fieldsRead.count(name)) {
      report.fieldsRead.push_back(full);
    } else if (withoutEffect(full)) {
      report.fieldsWithoutEffect.push_back(full);
    } else if (value->kind() != json::Value::Null) {
      report.fieldsUnknown.push_back(full);
      diagnostics.warning(file, "field " + quote(full) + " is unknown and was ignored");
    }
    for (auto &[key, config] : children)
      if (key == value)
        config->reportUnread(withoutEffect);
  }
}
