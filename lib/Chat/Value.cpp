//===- Value.cpp - What a template computes with ----------------------------===//

#include "Value.h"

#include <nlohmann/json.hpp>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace ingot::chat {

void fail(const std::string &what) { throw TemplateError(what); }

//===----------------------------------------------------------------------===//
// Making values
//===----------------------------------------------------------------------===//

static unsigned depthOf(const Value &value) {
  if (auto *loop = value.as<std::shared_ptr<Loop>>())
    return (*loop)->depth;
  if (auto *callable = value.as<std::shared_ptr<Callable>>())
    return (*callable)->depth;
  return value.list() ? value.list()->depth : value.dict() ? value.dict()->depth : 0;
}

static unsigned depthAbove(unsigned inner) {
  if (inner >= maxDepth)
    fail("values nested more than " + std::to_string(maxDepth) + " deep");
  return inner + 1;
}

uint64_t weightOf(const Value &value) {
  if (auto *text = value.text())
    return text->size() + 2;
  return value.list() ? value.list()->weight : value.dict() ? value.dict()->weight : 8;
}

static uint64_t addWeight(uint64_t weight, const Value &inner) {
  weight += weightOf(inner) + 2;
  if (weight > maxWeight)
    fail("a value of more than " + std::to_string(maxWeight) + " bytes");
  return weight;
}

Value Value::undefined(std::string what) {
  return Value(Data(Undefined{std::make_shared<std::string>(std::move(what))}));
}

unsigned depthOver(const Values &items) {
  unsigned inner = 0;
  for (const Value &item : items)
    inner = std::max(inner, depthOf(item));
  return depthAbove(inner);
}

Value Value::string(std::string text) {
  return Value(Data(String(std::make_shared<std::string>(std::move(text)))));
}

Value Value::list(Values items, ListKind kind) {
  uint64_t weight = 2;
  for (const Value &item : items)
    weight = addWeight(weight, item);
  unsigned depth = depthOver(items);
  return Value(Data(std::make_shared<List>(List{std::move(items), kind, depth, weight})));
}

Value Value::dict(std::vector<std::pair<Value, Value>> entries) {
  auto dict = std::make_shared<Dict>();
  for (auto &[key, value] : entries)
    dict->set(key, std::move(value));
  return Value(Data(std::move(dict)));
}

Value Value::callable(std::string name, std::function<Value(Call &)> function) {
  return callable(std::move(name), std::move(function), Value());
}

Value Value::callable(std::string name, std::function<Value(Call &)> function,
                      const Value &holder) {
  return Value(Data(std::make_shared<Callable>(
      Callable{std::move(name), std::move(function), depthAbove(depthOf(holder))})));
}

const int64_t *Value::integer() const {
  static const int64_t bits[] = {0, 1};
  if (auto *flag = as<bool>())
    return &bits[*flag];
  return as<int64_t>();
}

double Value::number() const {
  if (auto *value = integer())
    return double(*value);
  return *as<double>();
}

const Value *Dict::find(const Value &key) const {
  if (auto *text = key.text())
    return find(std::string_view(*text));
  for (auto &[known, value] : entries)
    if (equals(known, key))
      return &value;
  return nullptr;
}

const Value *Dict::find(std::string_view key) const {
  auto it = texts.find(key);
  return it == texts.end() ? nullptr : &entries[it->second].second;
}

void Dict::set(const Value &key, Value value) {
  if (key.dict() || (key.list() && key.list()->kind == ListKind::List))
    fail("unhashable type: '" + typeName(key) + "'");
  depth = std::max(depth, depthAbove(std::max(depthOf(key), depthOf(value))));
  if (!isNamespace) // which prints without its content
    weight = addWeight(addWeight(weight, key), value);
  if (const Value *old = find(key)) {
    *const_cast<Value *>(old) = std::move(value);
    return;
  }
  entries.emplace_back(key, std::move(value));
  if (auto *text = entries.back().first.text())
    texts.emplace(*text, entries.size() - 1);
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

const Value *Call::get(size_t index, std::string_view name) {
  asked = std::max(asked, index + 1);
  askedNames.push_back(name);
  if (index < positional.size())
    return &positional[index];
  for (auto &[known, value] : keywords)
    if (known == name)
      return &value;
  return nullptr;
}

Value Call::get(size_t index, std::string_view name, Value fallback) {
  const Value *given = get(index, name);
  return given ? *given : std::move(fallback);
}

const Value &Call::require(size_t index, std::string_view argument) {
  if (const Value *given = get(index, argument))
    return *given;
  fail("'" + std::string(name) + "' needs the argument '" + std::string(argument) + "'");
}

bool Call::flag(size_t index, std::string_view argument, bool fallback) {
  const Value *given = get(index, argument);
  return given ? isTrue(*given) : fallback;
}

int64_t Call::integer(size_t index, std::string_view argument, int64_t fallback) {
  const Value *given = get(index, argument);
  if (!given || given->isNone())
    return fallback;
  if (auto *value = given->integer())
    return *value;
  fail("'" + std::string(name) + "' expects an integer as '" + std::string(argument) + "', got " +
       typeName(*given));
}

const std::string &Call::string(size_t index, std::string_view argument) {
  const Value &given = require(index, argument);
  if (auto *text = given.text())
    return *text;
  fail("'" + std::string(name) + "' expects a string as '" + std::string(argument) + "', got " +
       typeName(given));
}

void Call::finish() const {
  if (positional.size() > asked)
    fail("'" + std::string(name) + "' takes at most " + std::to_string(asked) + " arguments, got " +
         std::to_string(positional.size()));
  for (auto &[keyword, value] : keywords)
    if (std::find(askedNames.begin(), askedNames.end(), keyword) == askedNames.end())
      fail("'" + std::string(name) + "' has no argument '" + keyword + "'");
}

//===----------------------------------------------------------------------===//
// Comparing
//===----------------------------------------------------------------------===//

std::string typeName(const Value &value) {
  switch (value.data.index()) {
  case 0:
    return "Undefined";
  case 1:
    return "NoneType";
  case 2:
    return "bool";
  case 3:
    return "int";
  case 4:
    return "float";
  case 5:
    return "str";
  case 6: {
    static const char *const names[] = {"list", "tuple", "generator", "range", "dict_items"};
    return names[int(value.list()->kind)];
  }
  case 7:
    return value.dict()->isNamespace ? "Namespace" : "dict";
  case 8:
    return "LoopContext";
  default:
    return "function";
  }
}

bool isTrue(const Value &value) {
  if (value.isUndefined() || value.isNone())
    return false;
  if (auto *number = value.integer())
    return *number != 0;
  if (auto *number = value.as<double>())
    return *number != 0;
  if (auto *text = value.text())
    return !text->empty();
  if (List *list = value.list())
    return list->kind == ListKind::Generator || !list->items.empty();
  if (Dict *dict = value.dict())
    return dict->isNamespace || !dict->entries.empty();
  return true;
}

bool equals(const Value &a, const Value &b) {
  if (a.isNumber() && b.isNumber()) {
    if (a.integer() && b.integer())
      return *a.integer() == *b.integer();
    return a.number() == b.number();
  }
  if (a.data.index() != b.data.index())
    return false;
  if (auto *text = a.text())
    return *text == *b.text();
  if (List *list = a.list()) {
    List *other = b.list();
    if (list == other)
      return true;
    if (list->kind != other->kind || list->kind == ListKind::Generator)
      return false;
    return list->items.size() == other->items.size() &&
           std::equal(list->items.begin(), list->items.end(), other->items.begin(), equals);
  }
  if (Dict *dict = a.dict()) {
    Dict *other = b.dict();
    if (dict == other)
      return true;
    if (dict->isNamespace || other->isNamespace || dict->entries.size() != other->entries.size())
      return false;
    return std::all_of(dict->entries.begin(), dict->entries.end(), [&](auto &entry) {
      const Value *value = other->find(entry.first);
      return value && equals(entry.second, *value);
    });
  }
  if (auto *loop = a.as<std::shared_ptr<Loop>>())
    return *loop == *b.as<std::shared_ptr<Loop>>();
  if (auto *callable = a.as<std::shared_ptr<Callable>>())
    return *callable == *b.as<std::shared_ptr<Callable>>();
  return true; // two undefined values, or none twice
}

int compare(const Value &a, const Value &b, const char *op) {
  auto order = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  for (const Value *value : {&a, &b})
    if (auto *undefined = value->as<Undefined>())
      fail(*undefined->what);
  if (a.integer() && b.integer())
    return order(*a.integer(), *b.integer());
  if (a.isNumber() && b.isNumber())
    return order(a.number(), b.number());
  if (a.text() && b.text())
    return order(a.text()->compare(*b.text()), 0);
  if (a.list() && b.list() && a.list()->kind == b.list()->kind &&
      a.list()->kind <= ListKind::Tuple) {
    const Values &x = a.list()->items, &y = b.list()->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equals(x[i], y[i]))
        return compare(x[i], y[i], op);
    return order(x.size(), y.size());
  }
  fail(std::string("'") + op + "' not supported between '" + typeName(a) + "' and '" + typeName(b) +
       "'");
}

//===----------------------------------------------------------------------===//
// Printing
//===----------------------------------------------------------------------===//

std::string formatReal(double value) {
  if (std::isnan(value))
    return "nan";
  if (std::isinf(value))
    return value < 0 ? "-inf" : "inf";
  // The shortest digits that read back as the same number, and where the point stands.
  char buffer[40];
  auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  std::string scientific(buffer, end.ptr);
  size_t e = scientific.find('e');
  int exponent = std::stoi(scientific.substr(e + 1));
  std::string sign = scientific[0] == '-' ? "-" : "";
  std::string digits;
  for (char c : scientific.substr(0, e))
    if (c >= '0' && c <= '9')
      digits += c;
  if (exponent < -4 || exponent >= 16) {
    std::string mantissa = digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "");
    char tail[16];
    std::snprintf(tail, sizeof(tail), "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return sign + mantissa + tail;
  }
  if (exponent < 0)
    return sign + "0." + std::string(size_t(-exponent - 1), '0') + digits;
  if (digits.size() <= size_t(exponent) + 1)
    return sign + digits + std::string(size_t(exponent) + 1 - digits.size(), '0') + ".0";
  return sign + digits.substr(0, size_t(exponent) + 1) + "." + digits.substr(size_t(exponent) + 1);
}

static bool isPrintable(char32_t c) {
  if (c == ' ')
    return true;
  switch (u_charType(UChar32(c))) {
  case U_CONTROL_CHAR:
  case U_FORMAT_CHAR:
  case U_SURROGATE:
  case U_PRIVATE_USE_CHAR:
  case U_UNASSIGNED:
  case U_LINE_SEPARATOR:
  case U_PARAGRAPH_SEPARATOR:
  case U_SPACE_SEPARATOR:
    return false;
  default:
    return true;
  }
}

static std::string quote(std::string_view text) {
  char mark = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, mark);
  for (size_t i = 0; i < text.size();) {
    char32_t c = characterAt(text, i);
    size_t length = characterLength(text, i);
    char buffer[16] = {};
    if (c == U'\n')
      out += "\\n";
    else if (c == U'\r')
      out += "\\r";
    else if (c == U'\t')
      out += "\\t";
    else if (c == U'\\' || c == char32_t(mark))
      (out += '\\') += char(c);
    else if (isPrintable(c))
      out += text.substr(i, length);
    else {
      std::snprintf(buffer, sizeof(buffer),
                    c < 0x100     ? "\\x%02x"
                    : c < 0x10000 ? "\\u%04x"
                                  : "\\U%08x",
                    unsigned(c));
      out += buffer;
    }
    i += length;
  }
  return out + mark;
}

std::string toRepr(const Value &value) {
  if (auto *text = value.text())
    return quote(*text);
  if (value.isUndefined())
    return "Undefined";
  if (value.isNone())
    return "None";
  if (auto *flag = value.as<bool>())
    return *flag ? "True" : "False";
  if (auto *number = value.as<int64_t>())
    return std::to_string(*number);
  if (auto *number = value.as<double>())
    return formatReal(*number);
  if (List *list = value.list()) {
    if (list->kind == ListKind::Generator)
      return "<generator object>";
    if (list->kind == ListKind::Range) {
      int64_t count = int64_t(list->items.size());
      int64_t first = count ? *list->items[0].integer() : 0;
      int64_t step = count > 1 ? *list->items[1].integer() - first : 1;
      return "range(" + std::to_string(first) + ", " + std::to_string(first + count * step) +
             (step != 1 ? ", " + std::to_string(step) : "") + ")";
    }
    std::string out;
    for (const Value &item : list->items)
      out += (out.empty() ? "" : ", ") + toRepr(item);
    if (list->kind == ListKind::Tuple)
      return "(" + out + (list->items.size() == 1 ? ",)" : ")");
    return list->kind == ListKind::View ? "dict_items([" + out + "])" : "[" + out + "]";
  }
  if (Dict *dict = value.dict()) {
    if (dict->isNamespace)
      return "<Namespace>";
    std::string out;
    for (auto &[key, item] : dict->entries)
      out += (out.empty() ? "" : ", ") + toRepr(key) + ": " + toRepr(item);
    return "{" + out + "}";
  }
  return "<" + typeName(value) + ">";
}

std::string toText(const Value &value) {
  if (auto *text = value.text())
    return *text;
  return value.isUndefined() ? std::string() : toRepr(value);
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

namespace {

struct JsonWriter {
  int indent;
  bool ensureAscii, sortKeys;
  const std::string &itemSeparator, &keySeparator;
  std::string out;

  void newLine(unsigned level) {
    if (indent >= 0)
      (out += '\n').append(size_t(indent) * level, ' ');
  }

  void text(std::string_view text) {
    out += '"';
    for (size_t i = 0; i < text.size();) {
      char32_t c = characterAt(text, i);
      size_t length = characterLength(text, i);
      static constexpr std::string_view plain = "\"\\\n\r\t\f\b", named = "\"\\nrtfb";
      size_t escape = c < 0x80 ? plain.find(char(c)) : plain.npos;
      if (escape != plain.npos)
        (out += '\\') += named[escape];
      else if (c < 0x20 || (ensureAscii && c >= 0x7F)) {
        char buffer[16];
        if (c == 0x7F)
          out += '\x7f';
        else if (c < 0x10000)
          out.append(buffer, size_t(std::snprintf(buffer, sizeof(buffer), "\\u%04x", unsigned(c))));
        else
          out.append(buffer, size_t(std::snprintf(buffer, sizeof(buffer), "\\u%04x\\u%04x",
                                                  0xD7C0 + unsigned(c >> 10),
                                                  0xDC00 + unsigned(c & 0x3FF))));
      } else {
        out += text.substr(i, length);
      }
      i += length;
    }
    out += '"';
  }

  /// Writes the elements of something between two brackets.
  template <typename Range, typename Write>
  void elements(char open, char close, const Range &range, unsigned level, Write write) {
    out += open;
    bool first = true;
    for (auto &element : range) {
      if (!first)
        out += itemSeparator;
      first = false;
      newLine(level + 1);
      write(element);
    }
    if (!first)
      newLine(level);
    out += close;
  }

  void value(const Value &value, unsigned level) {
    if (auto *string = value.text())
      return text(*string);
    if (value.isNone()) {
      out += "null";
    } else if (auto *flag = value.as<bool>()) {
      out += *flag ? "true" : "false";
    } else if (auto *number = value.as<double>()) {
      out += std::isnan(*number)   ? "NaN"
             : std::isinf(*number) ? (*number < 0 ? "-Infinity" : "Infinity")
                                   : formatReal(*number);
    } else if (value.integer()) {
      out += toRepr(value);
    } else if (List *list = value.list(); list && list->kind <= ListKind::Tuple) {
      elements('[', ']', list->items, level,
               [&](const Value &item) { this->value(item, level + 1); });
    } else if (Dict *dict = value.dict(); dict && !dict->isNamespace) {
      auto entries = dict->entries;
      if (sortKeys) {
        for (auto &entry : entries)
          if (!entry.first.text())
            fail("only keys that are strings can be sorted");
        std::sort(entries.begin(), entries.end(),
                  [](auto &a, auto &b) { return *a.first.text() < *b.first.text(); });
      }
      elements('{', '}', entries, level, [&](const std::pair<Value, Value> &entry) {
        if (entry.first.list())
          fail("keys must be str, int, float, bool or None, not tuple");
        JsonWriter key{-1, ensureAscii, false, itemSeparator, keySeparator, {}};
        key.value(entry.first, 0);
        if (entry.first.text())
          out += key.out;
        else
          text(key.out);
        out += keySeparator;
        this->value(entry.second, level + 1);
      });
    } else {
      fail("a value of type " + typeName(value) + " cannot be written as JSON");
    }
  }
};

Value convert(const nlohmann::ordered_json &json, unsigned depth) {
  if (depth > maxDepth)
    fail("JSON nested more than " + std::to_string(maxDepth) + " deep");
  switch (json.type()) {
  case nlohmann::ordered_json::value_t::boolean:
    return Value::boolean(json.get<bool>());
  case nlohmann::ordered_json::value_t::number_integer:
    return Value::integer(json.get<int64_t>());
  case nlohmann::ordered_json::value_t::number_unsigned:
    if (json.get<uint64_t>() > uint64_t(INT64_MAX))
      return Value::real(json.get<double>());
    return Value::integer(json.get<int64_t>());
  case nlohmann::ordered_json::value_t::number_float:
    return Value::real(json.get<double>());
  case nlohmann::ordered_json::value_t::string:
    return Value::string(json.get<std::string>());
  case nlohmann::ordered_json::value_t::array: {
    Values items;
    for (const auto &item : json)
      items.push_back(convert(item, depth + 1));
    return Value::list(std::move(items));
  }
  case nlohmann::ordered_json::value_t::object: {
    auto dict = std::make_shared<Dict>();
    for (const auto &[key, item] : json.items())
      dict->set(Value::string(key), convert(item, depth + 1));
    return Value(Value::Data(std::move(dict)));
  }
  default:
    return Value();
  }
}

} // namespace

std::string toJson(const Value &value, int indent, bool ensureAscii, bool sortKeys,
                   const std::string &itemSeparator, const std::string &keySeparator) {
  JsonWriter writer{indent, ensureAscii, sortKeys, itemSeparator, keySeparator, {}};
  writer.value(value, 0);
  return std::move(writer.out);
}

Value fromJson(std::string_view json) {
  auto document = nlohmann::ordered_json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded())
    fail("not valid JSON");
  return convert(document, 0);
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

size_t characterLength(std::string_view text, size_t position) {
  int32_t i = 0, length = int32_t(std::min<size_t>(4, text.size() - position));
  UChar32 c;
  const char *bytes = text.data() + position;
  U8_NEXT(bytes, i, length, c);
  return c < 0 ? 1 : size_t(i);
}

char32_t characterAt(std::string_view text, size_t position) {
  int32_t i = 0, length = int32_t(std::min<size_t>(4, text.size() - position));
  UChar32 c;
  const char *bytes = text.data() + position;
  U8_NEXT(bytes, i, length, c);
  return c < 0 ? 0xFFFD : char32_t(c);
}

size_t characterCount(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); i += characterLength(text, i))
    ++count;
  return count;
}

size_t byteOffset(std::string_view text, size_t index) {
  size_t i = 0;
  for (; index > 0 && i < text.size(); --index)
    i += characterLength(text, i);
  return i;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t i = 0; i < text.size(); i += out.back().size())
    out.push_back(text.substr(i, characterLength(text, i)));
  return out;
}

void appendCharacter(std::string &text, char32_t codepoint) {
  char bytes[4];
  int32_t length = 0;
  if (codepoint > 0x10FFFF || (codepoint >= 0xD800 && codepoint < 0xE000))
    codepoint = 0xFFFD;
  U8_APPEND_UNSAFE(bytes, length, codepoint);
  text.append(bytes, size_t(length));
}

bool isSpace(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

} // namespace ingot::chat
