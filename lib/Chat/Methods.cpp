//===- Methods.cpp - Methods of texts, lists and dictionaries ---------------===//

#include "Evaluator.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cstdio>

namespace ingot::chat {

//===----------------------------------------------------------------------===//
// Case
//===----------------------------------------------------------------------===//

static bool isAscii(const std::string &text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c & 0x80; });
}

std::string toLower(const std::string &text) {
  std::string out;
  if (isAscii(text))
    for (char c : text)
      out += c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  else
    icu::UnicodeString::fromUTF8(text).toLower(icu::Locale::getRoot()).toUTF8String(out);
  return out;
}

std::string toUpper(const std::string &text) {
  std::string out;
  if (isAscii(text))
    for (char c : text)
      out += c >= 'a' && c <= 'z' ? char(c - 32) : c;
  else
    icu::UnicodeString::fromUTF8(text).toUpper(icu::Locale::getRoot()).toUTF8String(out);
  return out;
}

std::string capitalize(const std::string &text) {
  if (text.empty())
    return text;
  std::string out;
  appendCharacter(out, char32_t(u_totitle(UChar32(characterAt(text, 0)))));
  return out + toLower(text.substr(characterLength(text, 0)));
}

/// str.title(): letters behind letters are lower case.
static std::string title(const std::string &text) {
  std::string out;
  bool inside = false;
  for (size_t i = 0; i < text.size(); i += characterLength(text, i)) {
    UChar32 c = UChar32(characterAt(text, i));
    appendCharacter(out, char32_t(inside ? u_tolower(c) : u_totitle(c)));
    inside = u_hasBinaryProperty(c, UCHAR_CASED);
  }
  return out;
}

//===----------------------------------------------------------------------===//
// Texts
//===----------------------------------------------------------------------===//

std::string strip(const std::string &text, const std::string *set, bool left, bool right) {
  std::vector<std::string_view> accepted;
  if (set)
    accepted = characters(*set);
  auto goes = [&](std::string_view character) {
    return set ? std::find(accepted.begin(), accepted.end(), character) != accepted.end()
               : isSpace(characterAt(character, 0));
  };
  std::string_view rest = text;
  while (left && !rest.empty()) {
    size_t length = characterLength(rest, 0);
    if (!goes(rest.substr(0, length)))
      break;
    rest.remove_prefix(length);
  }
  while (right && !rest.empty()) {
    size_t begin = rest.size() - 1;
    while (begin > 0 && rest.size() - begin < 4 && (uint8_t(rest[begin]) & 0xC0) == 0x80)
      --begin;
    if (!goes(rest.substr(begin)))
      break;
    rest = rest.substr(0, begin);
  }
  return std::string(rest);
}

std::string replaceText(const std::string &text, const std::string &from, const std::string &to,
                        int64_t count) {
  std::string out;
  size_t at = 0;
  while (count != 0) {
    // An empty text is found in front of every character and at the end.
    size_t found = text.find(from, at);
    if (found == text.npos)
      break;
    out.append(text, at, found - at);
    out += to;
    at = found + from.size();
    --count;
    if (from.empty()) {
      if (at >= text.size())
        return out;
      size_t length = characterLength(text, at);
      out.append(text, at, length);
      at += length;
    }
  }
  return out.append(text, at);
}

namespace {

using Method = Value (*)(const std::string &, Call &);

Value makePieces(Call &call, const std::vector<std::string_view> &pieces) {
  Values items;
  for (std::string_view piece : pieces)
    items.push_back(call.evaluator.makeString(std::string(piece)));
  return call.evaluator.makeList(std::move(items));
}

Value split(const std::string &text, Call &call, bool fromRight) {
  const Value *separator = call.get(0, "sep");
  int64_t limit = call.integer(1, "maxsplit", -1);
  call.finish();
  std::string_view rest = text;
  std::vector<std::string_view> pieces;
  if (separator && !separator->isNone()) {
    if (!separator->text() || separator->text()->empty())
      fail("'" + std::string(call.name) + "' expects a separator that is not empty");
    const std::string &by = *separator->text();
    for (; limit != 0; --limit) {
      size_t found = fromRight ? rest.rfind(by) : rest.find(by);
      if (found == rest.npos)
        break;
      pieces.push_back(fromRight ? rest.substr(found + by.size()) : rest.substr(0, found));
      rest = fromRight ? rest.substr(0, found) : rest.substr(found + by.size());
    }
    pieces.push_back(rest);
  } else {
    // Words between white space; what is left at the limit keeps its inner and outer end.
    if (fromRight && limit >= 0)
      fail("'rsplit' at white space with a limit is not supported");
    while (true) {
      size_t begin = 0;
      while (begin < rest.size() && isSpace(characterAt(rest, begin)))
        begin += characterLength(rest, begin);
      rest.remove_prefix(begin);
      if (rest.empty() || limit == 0)
        break;
      size_t end = 0;
      while (end < rest.size() && !isSpace(characterAt(rest, end)))
        end += characterLength(rest, end);
      pieces.push_back(rest.substr(0, end));
      rest.remove_prefix(end);
      --limit;
    }
    if (!rest.empty())
      pieces.push_back(rest);
    return makePieces(call, pieces);
  }
  if (fromRight)
    std::reverse(pieces.begin(), pieces.end());
  return makePieces(call, pieces);
}

Value splitlines(const std::string &text, Call &call) {
  bool keep = call.flag(0, "keepends", false);
  call.finish();
  std::vector<std::string_view> lines;
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t end = 0, length = 0;
    for (; end < rest.size() && !length; end += length ? 0 : characterLength(rest, end)) {
      char32_t c = characterAt(rest, end);
      if (c == '\r' && end + 1 < rest.size() && rest[end + 1] == '\n')
        length = 2;
      else if ((c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
               c == 0x2029)
        length = characterLength(rest, end);
      if (length)
        break;
    }
    lines.push_back(rest.substr(0, end + (keep ? length : 0)));
    rest.remove_prefix(end + length);
  }
  return makePieces(call, lines);
}

Value affix(const std::string &text, Call &call, bool atEnd) {
  const Value &given = call.require(0, "prefix");
  call.finish();
  auto matches = [&](const Value &value) {
    const std::string *part = value.text();
    if (!part)
      fail("'" + std::string(call.name) + "' expects a string or a tuple of strings, got " +
           typeName(value));
    return part->size() <= text.size() &&
           text.compare(atEnd ? text.size() - part->size() : 0, part->size(), *part) == 0;
  };
  if (List *list = given.list(); list && list->kind == ListKind::Tuple)
    return Value::boolean(std::any_of(list->items.begin(), list->items.end(), matches));
  return Value::boolean(matches(given));
}

Value find(const std::string &text, Call &call, bool last, bool required) {
  const std::string &part = call.string(0, "sub");
  size_t begin = byteOffset(text, size_t(std::max<int64_t>(0, call.integer(1, "start", 0))));
  call.finish();
  size_t found = last ? text.rfind(part) : text.find(part, begin);
  if (found == text.npos || found < begin) {
    if (required)
      fail("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(int64_t(characterCount(std::string_view(text).substr(0, found))));
}

template <bool left, bool right> Value stripMethod(const std::string &text, Call &call) {
  const Value *set = call.get(0, "chars");
  call.finish();
  return call.evaluator.makeString(strip(text, set ? set->text() : nullptr, left, right));
}

template <std::string (*function)(const std::string &)>
Value change(const std::string &text, Call &call) {
  call.finish();
  return call.evaluator.makeString(function(text));
}

/// All characters have a property, and there is one.
template <bool (*property)(UChar32)> Value check(const std::string &text, Call &call) {
  call.finish();
  bool all = !text.empty();
  for (size_t i = 0; i < text.size() && all; i += characterLength(text, i))
    all = property(UChar32(characterAt(text, i)));
  return Value::boolean(all);
}

int numericType(UChar32 c) { return u_getIntPropertyValue(c, UCHAR_NUMERIC_TYPE); }
bool isAlpha(UChar32 c) { return u_isalpha(c); }
bool isDecimal(UChar32 c) { return numericType(c) == U_NT_DECIMAL; }
bool isDigit(UChar32 c) { return numericType(c) == U_NT_DECIMAL || numericType(c) == U_NT_DIGIT; }
bool isNumeric(UChar32 c) { return numericType(c) != U_NT_NONE; }
bool isAlnum(UChar32 c) { return u_isalpha(c) || isNumeric(c); }
bool isBlank(UChar32 c) { return isSpace(char32_t(c)); }

template <bool upper> Value checkCase(const std::string &text, Call &call) {
  call.finish();
  bool same = (upper ? toUpper(text) : toLower(text)) == text;
  return Value::boolean(same && (upper ? toLower(text) : toUpper(text)) != text);
}

Value pad(const std::string &text, Call &call, bool left, bool right) {
  int64_t width = call.integer(0, "width", 0);
  Value fill = call.get(1, "fillchar", Value::string(" "));
  call.finish();
  if (!fill.text() || characterCount(*fill.text()) != 1)
    fail("'" + std::string(call.name) + "' fills with one character");
  int64_t missing = std::max<int64_t>(0, width - int64_t(characterCount(text)));
  call.evaluator.allocate(size_t(missing) * fill.text()->size());
  int64_t before = left && right ? missing / 2 + (missing & width & 1) : left ? missing : 0;
  std::string out;
  for (int64_t i = 0; i < before; ++i)
    out += *fill.text();
  out += text;
  for (int64_t i = before; i < missing; ++i)
    out += *fill.text();
  return call.evaluator.makeString(std::move(out));
}

Value partition(const std::string &text, Call &call, bool last) {
  const std::string &by = call.string(0, "sep");
  call.finish();
  size_t found = last ? text.rfind(by) : text.find(by);
  Evaluator &evaluator = call.evaluator;
  auto piece = [&](std::string part) { return evaluator.makeString(std::move(part)); };
  if (found == text.npos)
    return last ? evaluator.makeList({piece(""), piece(""), piece(text)}, ListKind::Tuple)
                : evaluator.makeList({piece(text), piece(""), piece("")}, ListKind::Tuple);
  return evaluator.makeList(
      {piece(text.substr(0, found)), piece(by), piece(text.substr(found + by.size()))},
      ListKind::Tuple);
}

/// str.format with {}, {0} and {name}.
Value format(const std::string &text, Call &call) {
  std::string out;
  size_t automatic = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      out += c;
      ++i;
      continue;
    }
    if (c == '}')
      fail("single '}' in a format");
    if (c != '{') {
      out += c;
      continue;
    }
    size_t end = text.find('}', i);
    if (end == text.npos)
      fail("single '{' in a format");
    std::string field = text.substr(i + 1, end - i - 1);
    i = end;
    const Value *value = nullptr;
    if (field.find_first_not_of("0123456789") == field.npos && field.size() < 9) {
      size_t index = field.empty() ? automatic++ : size_t(std::stoul(field));
      value = index < call.positional.size() ? &call.positional[index] : nullptr;
    } else {
      for (auto &[name, given] : call.keywords)
        if (name == field)
          value = &given;
    }
    if (!value)
      fail("the field '{" + field + "}' of a format is not supported, or has no argument");
    std::string piece = call.evaluator.text(*value);
    call.evaluator.allocate(piece.size());
    out += piece;
  }
  return call.evaluator.makeString(std::move(out));
}

Value join(const std::string &text, Call &call) {
  Values items = call.evaluator.iterate(call.require(0, "iterable"));
  call.finish();
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].text())
      fail("'join' expects strings, got " + typeName(items[i]));
    call.evaluator.allocate(text.size() + items[i].text()->size());
    out += (i ? text : "") + *items[i].text();
  }
  return call.evaluator.makeString(std::move(out));
}

Value replaceMethod(const std::string &text, Call &call) {
  std::string from = call.string(0, "old"), to = call.string(1, "new");
  int64_t count = call.integer(2, "count", -1);
  call.finish();
  call.evaluator.allocate((text.size() + 1) * (to.size() / (from.size() + 1) + 1));
  return call.evaluator.makeString(replaceText(text, from, to, count));
}

Value countMethod(const std::string &text, Call &call) {
  const std::string &part = call.string(0, "sub");
  call.finish();
  int64_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != text.npos; ++count)
    at += std::max<size_t>(1, part.size());
  return Value::integer(part.empty() ? int64_t(characterCount(text)) + 1 : count);
}

const std::unordered_map<std::string_view, Method> &textMethods() {
  static const std::unordered_map<std::string_view, Method> table = {
      {"capitalize", change<capitalize>},
      {"center", [](const std::string &text, Call &call) { return pad(text, call, true, true); }},
      {"count", countMethod},
      {"endswith", [](const std::string &text, Call &call) { return affix(text, call, true); }},
      {"find", [](const std::string &text, Call &call) { return find(text, call, false, false); }},
      {"format", format},
      {"index", [](const std::string &text, Call &call) { return find(text, call, false, true); }},
      {"isalnum", check<isAlnum>},
      {"isalpha", check<isAlpha>},
      {"isdecimal", check<isDecimal>},
      {"isdigit", check<isDigit>},
      {"islower", checkCase<false>},
      {"isnumeric", check<isNumeric>},
      {"isspace", check<isBlank>},
      {"isupper", checkCase<true>},
      {"join", join},
      {"ljust", [](const std::string &text, Call &call) { return pad(text, call, false, true); }},
      {"lower", change<toLower>},
      {"lstrip", stripMethod<true, false>},
      {"partition",
       [](const std::string &text, Call &call) { return partition(text, call, false); }},
      {"removeprefix",
       [](const std::string &text, Call &call) {
         const std::string &part = call.string(0, "prefix");
         call.finish();
         bool has = text.compare(0, part.size(), part) == 0;
         return call.evaluator.makeString(has ? text.substr(part.size()) : text);
       }},
      {"removesuffix",
       [](const std::string &text, Call &call) {
         const std::string &part = call.string(0, "suffix");
         call.finish();
         size_t rest = text.size() - std::min(part.size(), text.size());
         bool has = text.compare(rest, text.npos, part) == 0;
         return call.evaluator.makeString(has ? text.substr(0, rest) : text);
       }},
      {"replace", replaceMethod},
      {"rfind", [](const std::string &text, Call &call) { return find(text, call, true, false); }},
      {"rjust", [](const std::string &text, Call &call) { return pad(text, call, true, false); }},
      {"rpartition",
       [](const std::string &text, Call &call) { return partition(text, call, true); }},
      {"rsplit", [](const std::string &text, Call &call) { return split(text, call, true); }},
      {"rstrip", stripMethod<false, true>},
      {"split", [](const std::string &text, Call &call) { return split(text, call, false); }},
      {"splitlines", splitlines},
      {"startswith", [](const std::string &text, Call &call) { return affix(text, call, false); }},
      {"strip", stripMethod<true, true>},
      {"title", change<title>},
      {"upper", change<toUpper>},
  };
  return table;
}

Value notAllowed(const Value &object, const std::string &name) {
  std::string message =
      "'" + name + "' would change a " + typeName(object) + ", which templates may not";
  return Value::callable(name, [message](Call &) -> Value { fail(message); });
}

Value dictMethod(const std::shared_ptr<Dict> &dict, const std::string &name) {
  const Value self{Value::Data(dict)};
  if (name == "get")
    return Value::callable(
        name,
        [dict](Call &call) {
          const Value &key = call.require(0, "key");
          Value fallback = call.get(1, "default", Value());
          call.finish();
          call.evaluator.step(dict->entries.size() / 4);
          const Value *value = dict->find(key);
          return value ? *value : fallback;
        },
        self);
  if (name == "copy")
    return Value::callable(
        name, [self](Call &) { return self; }, self);
  if (name == "items" || name == "keys" || name == "values")
    return Value::callable(
        name,
        [dict, kind = name[0]](Call &call) {
          call.finish();
          Values items;
          for (auto &[key, value] : dict->entries)
            items.push_back(kind == 'i'   ? call.evaluator.makeList({key, value}, ListKind::Tuple)
                            : kind == 'k' ? key
                                          : value);
          return call.evaluator.makeList(std::move(items), ListKind::View);
        },
        self);
  for (const char *changing : {"clear", "pop", "popitem", "setdefault", "update"})
    if (name == changing)
      return notAllowed(self, name);
  return Value::undefined("");
}

Value listMethod(const std::shared_ptr<List> &list, const std::string &name) {
  if (list->kind > ListKind::Tuple)
    return Value::undefined("");
  if (name == "index" || name == "count")
    return Value::callable(
        name,
        [list, isIndex = name == "index"](Call &call) {
          const Value &wanted = call.require(0, "value");
          call.finish();
          call.evaluator.step(list->weight / 16);
          auto same = [&](const Value &item) { return equals(item, wanted); };
          auto begin = list->items.begin(), end = list->items.end();
          if (!isIndex)
            return Value::integer(std::count_if(begin, end, same));
          auto found = std::find_if(begin, end, same);
          if (found == end)
            fail("the value is not in the list");
          return Value::integer(found - begin);
        },
        Value(Value::Data(list)));
  for (const char *changing :
       {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"})
    if (name == changing && list->kind == ListKind::List)
      return notAllowed(Value(Value::Data(list)), name);
  return Value::undefined("");
}

} // namespace

Value method(const Value &object, const std::string &name) {
  if (auto *text = object.as<Value::String>()) {
    auto it = textMethods().find(name);
    if (it == textMethods().end())
      return Value::undefined("");
    return Value::callable(name, [text = *text, function = it->second](Call &call) {
      call.evaluator.step(text->size() / 16);
      return function(*text, call);
    });
  }
  if (auto *dict = object.as<std::shared_ptr<Dict>>())
    return dictMethod(*dict, name);
  if (auto *list = object.as<std::shared_ptr<List>>())
    return listMethod(*list, name);
  return Value::undefined("");
}

Value formatPercent(Evaluator &evaluator, const std::string &text, const Value &arguments) {
  List *tuple = arguments.list();
  bool several = tuple && tuple->kind == ListKind::Tuple;
  size_t next = 0, count = several ? tuple->items.size() : 1;
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    size_t begin = i++;
    while (i < text.size() && std::string_view("-+ 0123456789.").find(text[i]) != std::string::npos)
      ++i;
    char kind = i < text.size() ? text[i] : 0;
    std::string spec = text.substr(begin, i - begin);
    if (kind == '%' && spec == "%") {
      out += '%';
      continue;
    }
    if (kind == 0 || std::string_view("srdifgex").find(kind) == std::string_view::npos ||
        spec.size() > 8)
      fail("the format '" + text.substr(begin, i + 1 - begin) + "' is not supported");
    if (next == count)
      fail("not enough arguments for a format");
    const Value &value = several ? tuple->items[next] : arguments;
    ++next;
    std::string piece;
    if (kind == 's' || kind == 'r') {
      if (spec != "%")
        fail("the format '" + spec + kind + "' is not supported");
      piece = kind == 's' ? evaluator.text(value) : toRepr(value);
    } else {
      if (!value.isNumber() || (kind == 'x' && !value.integer()))
        fail(std::string("%") + kind + " expects a number, got " + typeName(value));
      // Width and precision have at most four digits.
      char buffer[12000];
      bool isInteger = kind == 'd' || kind == 'i' || kind == 'x';
      for (size_t run = 0, k = 1; k < spec.size(); ++k)
        if ((run = spec[k] >= '0' && spec[k] <= '9' ? run + 1 : 0) > 3)
          fail("the format '" + spec + kind + "' is not supported");
      int length;
      if (isInteger) {
        int64_t integer = value.integer() ? *value.integer() : int64_t(value.number());
        spec += kind == 'x' ? "llx" : "lld";
        length = std::snprintf(buffer, sizeof(buffer), spec.c_str(), (long long)integer);
      } else {
        spec += kind;
        length = std::snprintf(buffer, sizeof(buffer), spec.c_str(), value.number());
      }
      piece.assign(buffer, size_t(std::max(length, 0)));
    }
    evaluator.allocate(piece.size());
    out += piece;
  }
  if (several && next < count)
    fail("not all arguments were used by a format");
  return evaluator.makeString(std::move(out));
}

} // namespace ingot::chat
