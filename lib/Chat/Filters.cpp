//===- Filters.cpp - Filters, tests and global functions --------------------===//

#include "Evaluator.h"

#include <algorithm>
#include <charconv>
#include <clocale>
#include <cmath>
#include <ctime>
#include <locale.h>

namespace ingot::chat {

namespace {

/// value|filter: the value in front.
const Value &input(Call &call) { return call.positional[0]; }

/// What an attribute of the element is, or the element itself; text in lower case unless case
/// matters. Filters that compare elements do it by this.
struct Key {
  const Value *attribute;
  bool caseSensitive;

  Value operator()(Evaluator &evaluator, const Value &item) const {
    Value value =
        attribute && !attribute->isNone() ? evaluator.attributePath(item, *attribute) : item;
    if (caseSensitive || !value.text())
      return value;
    return evaluator.makeString(toLower(*value.text()));
  }
};

Value sorted(Evaluator &evaluator, Values items, const Key &key, bool reverse) {
  Values keys;
  std::vector<size_t> order, merged;
  for (size_t i = 0; i < items.size(); ++i) {
    keys.push_back(key(evaluator, items[i]));
    order.push_back(i);
  }
  // Merged by hand: the order of a template's values need not be one (NaN), which the library's
  // algorithms do not survive.
  for (size_t width = 1; width < order.size(); width *= 2) {
    merged.clear();
    for (size_t begin = 0; begin < order.size(); begin += 2 * width) {
      size_t a = begin, middle = std::min(begin + width, order.size());
      size_t b = middle, end = std::min(middle + width, order.size());
      while (a < middle || b < end) {
        bool second = a == middle;
        if (a < middle && b < end) {
          const Value &x = keys[order[a]], &y = keys[order[b]];
          evaluator.step(1 + std::min(weightOf(x), weightOf(y)) / 64);
          second = (reverse ? compare(x, y, "<") : compare(y, x, "<")) < 0;
        }
        merged.push_back(order[second ? b++ : a++]);
      }
    }
    order.swap(merged);
  }
  Values out;
  for (size_t index : order)
    out.push_back(std::move(items[index]));
  return evaluator.makeList(std::move(out));
}

Value sortFilter(Call &call) {
  bool reverse = call.flag(1, "reverse", false);
  bool caseSensitive = call.flag(2, "case_sensitive", false);
  const Value *attribute = call.get(3, "attribute");
  call.finish();
  Evaluator &evaluator = call.evaluator;
  Values items = evaluator.iterate(input(call));
  if (!attribute || !attribute->text() || attribute->text()->find(',') == std::string::npos)
    return sorted(evaluator, std::move(items), {attribute, caseSensitive}, reverse);
  fail("'sort' by several attributes is not supported");
}

Value dictsortFilter(Call &call) {
  bool caseSensitive = call.flag(1, "case_sensitive", false);
  Value by = call.get(2, "by", Value::string("key"));
  bool reverse = call.flag(3, "reverse", false);
  call.finish();
  Dict *dict = input(call).dict();
  if (!dict)
    fail("'dictsort' expects a dict, got " + typeName(input(call)));
  if (!by.text() || (*by.text() != "key" && *by.text() != "value"))
    fail("'dictsort' sorts by 'key' or 'value'");
  Values items;
  for (auto &[key, value] : dict->entries)
    items.push_back(call.evaluator.makeList({key, value}, ListKind::Tuple));
  Value index = Value::integer(*by.text() == "value");
  return sorted(call.evaluator, std::move(items), {&index, caseSensitive}, reverse);
}

Value uniqueFilter(Call &call) {
  bool caseSensitive = call.flag(1, "case_sensitive", false);
  Key key{call.get(2, "attribute"), caseSensitive};
  call.finish();
  Values out, seen;
  for (Value &item : call.evaluator.iterate(input(call))) {
    Value value = key(call.evaluator, item);
    call.evaluator.step(seen.size() + weightOf(value) / 64);
    if (std::any_of(seen.begin(), seen.end(), [&](auto &old) { return equals(old, value); }))
      continue;
    seen.push_back(std::move(value));
    out.push_back(std::move(item));
  }
  return call.evaluator.makeList(std::move(out), ListKind::Generator);
}

Value extreme(Call &call, int sign) {
  bool caseSensitive = call.flag(1, "case_sensitive", false);
  Key key{call.get(2, "attribute"), caseSensitive};
  call.finish();
  Values items = call.evaluator.iterate(input(call));
  if (items.empty())
    return Value::undefined("no items, sequence was empty");
  size_t best = 0;
  Value bestKey = key(call.evaluator, items[0]);
  for (size_t i = 1; i < items.size(); ++i)
    if (Value value = key(call.evaluator, items[i]); sign * compare(value, bestKey, "<") < 0) {
      best = i;
      bestKey = std::move(value);
    }
  return items[best];
}

Value defaultFilter(Call &call) {
  Value fallback = call.get(1, "default_value", Value::string(""));
  bool boolean = call.flag(2, "boolean", false);
  call.finish();
  const Value &value = input(call);
  return value.isUndefined() || (boolean && !isTrue(value)) ? fallback : value;
}

Value joinFilter(Call &call) {
  Value separator = call.get(1, "d", Value::string(""));
  const Value *attribute = call.get(2, "attribute");
  call.finish();
  Evaluator &evaluator = call.evaluator;
  std::string out, between = evaluator.text(separator);
  bool first = true;
  for (const Value &item : evaluator.iterate(input(call))) {
    if (!first)
      out += between;
    first = false;
    std::string text = evaluator.text(
        attribute && !attribute->isNone() ? evaluator.attributePath(item, *attribute) : item);
    evaluator.allocate(text.size() + between.size());
    out += text;
  }
  return evaluator.makeString(std::move(out));
}

Value firstFilter(Call &call) {
  call.get(0, "");
  call.finish();
  if (List *list = input(call).list(); list && list->kind == ListKind::Generator) {
    if (list->items.empty())
      return Value::undefined("no first item, sequence was empty");
    call.evaluator.step(list->items.size());
    Value first = std::move(list->items.front());
    list->items.erase(list->items.begin());
    return first;
  }
  if (input(call).text())
    return input(call).text()->empty() ? Value::undefined("no first item, sequence was empty")
                                       : call.evaluator.item(input(call), Value::integer(0));
  Values items = call.evaluator.iterate(input(call));
  return items.empty() ? Value::undefined("no first item, sequence was empty") : items.front();
}

Value lastFilter(Call &call) {
  call.get(0, "");
  call.finish();
  if (List *list = input(call).list(); list && list->kind == ListKind::Generator)
    fail("'last' of a generator; make a list of it first");
  Values items = call.evaluator.iterate(input(call));
  return items.empty() ? Value::undefined("no last item, sequence was empty") : items.back();
}

Value reverseFilter(Call &call) {
  call.get(0, "");
  call.finish();
  Values items = call.evaluator.iterate(input(call));
  std::reverse(items.begin(), items.end());
  if (!input(call).text())
    return call.evaluator.makeList(std::move(items), ListKind::Generator);
  std::string text;
  for (const Value &item : items)
    text += *item.text();
  return call.evaluator.makeString(std::move(text));
}

Value itemsFilter(Call &call) {
  call.get(0, "");
  call.finish();
  if (input(call).isUndefined())
    return call.evaluator.makeList({}, ListKind::Generator);
  if (!input(call).dict() || input(call).dict()->isNamespace)
    fail("'items' expects a dict, got " + typeName(input(call)));
  Values items;
  for (auto &[key, value] : input(call).dict()->entries)
    items.push_back(call.evaluator.makeList({key, value}, ListKind::Tuple));
  return call.evaluator.makeList(std::move(items), ListKind::Generator);
}

Value batchFilter(Call &call) {
  int64_t size = call.integer(1, "linecount", 0);
  const Value *fill = call.get(2, "fill_with");
  call.finish();
  if (size < 1)
    fail("'batch' expects a positive size");
  Evaluator &evaluator = call.evaluator;
  Values out, batch;
  for (Value &item : evaluator.iterate(input(call))) {
    if (int64_t(batch.size()) == size)
      out.push_back(evaluator.makeList(std::exchange(batch, {})));
    batch.push_back(std::move(item));
  }
  if (!batch.empty()) {
    for (; fill && !fill->isNone() && int64_t(batch.size()) < size; evaluator.allocate(64))
      batch.push_back(*fill);
    out.push_back(evaluator.makeList(std::move(batch)));
  }
  return evaluator.makeList(std::move(out), ListKind::Generator);
}

Value mapFilter(Call &call) {
  Evaluator &evaluator = call.evaluator;
  Values items = evaluator.iterate(input(call)), out;
  if (call.positional.size() == 1) {
    const Value &attribute = call.require(1, "attribute");
    const Value *fallback = call.get(2, "default");
    call.finish();
    for (const Value &item : items)
      out.push_back(evaluator.attributePath(item, attribute, fallback));
  } else {
    const std::string *name = call.positional[1].text();
    if (!name)
      fail("'map' expects the name of a filter, got " + typeName(call.positional[1]));
    for (Value &item : items) {
      Call inner(evaluator, *name);
      inner.keywords = call.keywords;
      inner.positional.push_back(std::move(item));
      inner.positional.insert(inner.positional.end(), call.positional.begin() + 2,
                              call.positional.end());
      evaluator.step();
      out.push_back(evaluator.filter(*name, inner));
    }
  }
  return evaluator.makeList(std::move(out), ListKind::Generator);
}

/// select, reject, and with `byAttribute` selectattr and rejectattr.
Value select(Call &call, bool wanted, bool byAttribute) {
  Evaluator &evaluator = call.evaluator;
  size_t first = byAttribute ? 2 : 1;
  if (call.positional.size() < first)
    fail("'" + std::string(call.name) + "' needs the name of an attribute");
  const std::string *name = nullptr;
  if (call.positional.size() > first && !(name = call.positional[first].text()))
    fail("'" + std::string(call.name) + "' expects the name of a test, got " +
         typeName(call.positional[first]));
  Values out;
  for (Value &item : evaluator.iterate(input(call))) {
    Value value = byAttribute ? evaluator.attributePath(item, call.positional[1]) : item;
    bool holds;
    if (name) {
      Call inner(evaluator, *name);
      inner.keywords = call.keywords;
      inner.positional.push_back(std::move(value));
      inner.positional.insert(inner.positional.end(), call.positional.begin() + long(first) + 1,
                              call.positional.end());
      evaluator.step();
      holds = evaluator.test(*name, inner);
    } else {
      holds = isTrue(value);
    }
    if (holds == wanted)
      out.push_back(std::move(item));
  }
  return evaluator.makeList(std::move(out), ListKind::Generator);
}

Value tojsonFilter(Call &call) {
  bool ensureAscii = call.flag(1, "ensure_ascii", false);
  int64_t indent = call.integer(2, "indent", -1);
  const Value *separators = call.get(3, "separators");
  bool sortKeys = call.flag(4, "sort_keys", false);
  call.finish();
  if (indent > 64)
    fail("'tojson' indents by at most 64, got " + std::to_string(indent));
  std::string item = indent >= 0 ? "," : ", ", key = ": ";
  if (separators && !separators->isNone()) {
    List *list = separators->list();
    if (!list || list->items.size() != 2 || !list->items[0].text() || !list->items[1].text())
      fail("'tojson' expects two strings as separators");
    item = *list->items[0].text();
    key = *list->items[1].text();
  }
  call.evaluator.allocate(weightOf(input(call)));
  return call.evaluator.makeString(
      toJson(input(call), int(indent), ensureAscii, sortKeys, item, key));
}

std::string titleFilter(const std::string &text) {
  // Words are what lies between blanks, hyphens and opening brackets.
  static constexpr std::string_view separators = "-({[<";
  std::string out, word;
  auto flush = [&] {
    size_t first = word.empty() ? 0 : characterLength(word, 0);
    out += toUpper(word.substr(0, first)) + toLower(word.substr(first));
    word.clear();
  };
  for (std::string_view character : characters(text)) {
    if (isSpace(characterAt(character, 0)) || separators.find(character) != separators.npos) {
      flush();
      out += character;
    } else {
      word += character;
    }
  }
  flush();
  return out;
}

Value indentFilter(Call &call) {
  Value width = call.get(1, "width", Value::integer(4));
  bool first = call.flag(2, "first", false), blank = call.flag(3, "blank", false);
  call.finish();
  if (!width.text() && (!width.integer() || *width.integer() > 1000))
    fail("'indent' expects a small number or a string");
  std::string by = width.text() ? *width.text()
                                : std::string(size_t(std::max<int64_t>(0, *width.integer())), ' ');
  std::string text = call.evaluator.text(input(call)), out;
  bool isFirst = true;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    call.evaluator.allocate(end - begin + by.size() + 1);
    if (!isFirst)
      out += '\n';
    if (isFirst ? first : blank || end > begin)
      out += by;
    out.append(text, begin, end - begin);
    isFirst = false;
    begin = end + 1;
  }
  return call.evaluator.makeString(std::move(out));
}

Value roundFilter(Call &call) {
  int64_t precision = call.integer(1, "precision", 0);
  Value method = call.get(2, "method", Value::string("common"));
  call.finish();
  const Value &value = input(call);
  if (!value.isNumber() || !method.text())
    fail("'round' expects a number, got " + typeName(value));
  if (precision < 0 || precision > 15)
    fail("'round' expects a precision between 0 and 15, got " + std::to_string(precision));
  double number = value.number(), scale = std::pow(10.0, double(precision));
  if (*method.text() == "ceil")
    return Value::real(std::ceil(number * scale) / scale);
  if (*method.text() == "floor")
    return Value::real(std::floor(number * scale) / scale);
  if (*method.text() != "common")
    fail("'round' knows the methods common, ceil and floor, got '" + *method.text() + "'");
  if (value.integer())
    return Value::integer(*value.integer());
  char digits[400];
  int length = std::snprintf(digits, sizeof(digits), "%.*f", int(precision), number);
  std::from_chars(digits, digits + length, number);
  return Value::real(number);
}

/// Reads all of `text`, blanks around it aside, as a number.
bool readReal(const std::string &given, double &number) {
  std::string text = strip(given, nullptr, true, true);
  const char *first = text.c_str();
  if (*first == '+')
    ++first;
  auto result = std::from_chars(first, text.c_str() + text.size(), number);
  return !text.empty() && result.ec == std::errc() && result.ptr == text.c_str() + text.size();
}

Value intFilter(Call &call) {
  Value fallback = call.get(1, "default", Value::integer(0));
  int64_t base = call.integer(2, "base", 10);
  call.finish();
  const Value &value = input(call);
  double real = 0;
  if (value.integer())
    return Value::integer(*value.integer());
  if (auto *text = value.text()) {
    if (base < 2 || base > 36)
      fail("'int' expects a base between 2 and 36");
    std::string digits = strip(*text, nullptr, true, true);
    int64_t number = 0;
    const char *first = digits.c_str() + (digits[0] == '+');
    auto result = std::from_chars(first, digits.c_str() + digits.size(), number, int(base));
    if (!digits.empty() && result.ec == std::errc() && result.ptr == digits.c_str() + digits.size())
      return Value::integer(number);
    if (!readReal(*text, real))
      return fallback;
  } else if (auto *number = value.as<double>()) {
    real = *number;
  } else {
    return fallback;
  }
  return std::abs(real) < 9e18 ? Value::integer(int64_t(real)) : fallback;
}

Value floatFilter(Call &call) {
  Value fallback = call.get(1, "default", Value::real(0));
  call.finish();
  double number = 0;
  if (input(call).isNumber())
    return Value::real(input(call).number());
  return input(call).text() && readReal(*input(call).text(), number) ? Value::real(number)
                                                                     : fallback;
}

Value sumFilter(Call &call) {
  const Value *attribute = call.get(1, "attribute");
  Value sum = call.get(2, "start", Value::integer(0));
  call.finish();
  for (const Value &item : call.evaluator.iterate(input(call)))
    sum = call.evaluator.binary(
        "+", sum,
        attribute && !attribute->isNone() ? call.evaluator.attributePath(item, *attribute) : item);
  return sum;
}

/// Filters of a text alone.
template <std::string (*function)(const std::string &)> Value ofText(Call &call) {
  call.get(0, "");
  call.finish();
  return call.evaluator.makeString(function(call.evaluator.text(input(call))));
}

using Filter = Value (*)(Call &);

const std::unordered_map<std::string_view, Filter> &filters() {
  static const std::unordered_map<std::string_view, Filter> table = {
      {"abs",
       [](Call &call) {
         const Value &value = input(call);
         call.get(0, "");
         call.finish();
         if (value.as<double>())
           return Value::real(std::abs(value.number()));
         if (!value.integer())
           fail("'abs' expects a number, got " + typeName(value));
         return *value.integer() < 0 ? call.evaluator.binary("-", Value::integer(0), value)
                                     : Value::integer(*value.integer());
       }},
      {"attr",
       [](Call &call) {
         std::string name = call.string(1, "name");
         call.finish();
         Value bound = method(input(call), name);
         return bound.isUndefined() ? Value::undefined("no attribute '" + name + "'") : bound;
       }},
      {"batch", batchFilter},
      {"capitalize", ofText<capitalize>},
      {"count",
       [](Call &call) {
         call.get(0, "");
         call.finish();
         return Value::integer(call.evaluator.length(input(call)));
       }},
      {"d", defaultFilter},
      {"default", defaultFilter},
      {"dictsort", dictsortFilter},
      {"first", firstFilter},
      {"float", floatFilter},
      {"format",
       [](Call &call) {
         if (!call.keywords.empty())
           fail("'format' with named arguments is not supported");
         Values arguments(call.positional.begin() + 1, call.positional.end());
         return formatPercent(call.evaluator, call.evaluator.text(input(call)),
                              Value::list(std::move(arguments), ListKind::Tuple));
       }},
      {"indent", indentFilter},
      {"int", intFilter},
      {"items", itemsFilter},
      {"join", joinFilter},
      {"last", lastFilter},
      {"list",
       [](Call &call) {
         call.get(0, "");
         call.finish();
         return call.evaluator.makeList(call.evaluator.iterate(input(call)));
       }},
      {"lower", ofText<toLower>},
      {"map", mapFilter},
      {"max", [](Call &call) { return extreme(call, -1); }},
      {"min", [](Call &call) { return extreme(call, 1); }},
      {"reject", [](Call &call) { return select(call, false, false); }},
      {"rejectattr", [](Call &call) { return select(call, false, true); }},
      {"replace",
       [](Call &call) {
         std::string from = call.evaluator.text(call.require(1, "old"));
         std::string to = call.evaluator.text(call.require(2, "new"));
         int64_t count = call.integer(3, "count", -1);
         call.finish();
         std::string text = call.evaluator.text(input(call));
         call.evaluator.allocate((text.size() + 1) * (to.size() / (from.size() + 1) + 1));
         return call.evaluator.makeString(replaceText(text, from, to, count));
       }},
      {"reverse", reverseFilter},
      {"round", roundFilter},
      {"safe",
       [](Call &call) {
         call.get(0, "");
         call.finish();
         return call.evaluator.makeString(call.evaluator.text(input(call)));
       }},
      {"select", [](Call &call) { return select(call, true, false); }},
      {"selectattr", [](Call &call) { return select(call, true, true); }},
      {"sort", sortFilter},
      {"string",
       [](Call &call) {
         call.get(0, "");
         call.finish();
         return call.evaluator.makeString(call.evaluator.text(input(call)));
       }},
      {"sum", sumFilter},
      {"title", ofText<titleFilter>},
      {"tojson", tojsonFilter},
      {"trim",
       [](Call &call) {
         const Value *characters = call.get(1, "chars");
         call.finish();
         return call.evaluator.makeString(strip(call.evaluator.text(input(call)),
                                                characters ? characters->text() : nullptr, true,
                                                true));
       }},
      {"unique", uniqueFilter},
      {"upper", ofText<toUpper>},
  };
  return table;
}

//===----------------------------------------------------------------------===//
// Tests
//===----------------------------------------------------------------------===//

bool ordered(Call &call, const char *op, bool (*holds)(int)) {
  return holds(compare(input(call), call.require(1, "other"), op));
}

int64_t remainder(Call &call, int64_t by) {
  const Value &value = input(call);
  if (!value.integer())
    fail("'" + std::string(call.name) + "' expects an integer, got " + typeName(value));
  if (by == 0)
    fail("division by zero");
  return by == -1 ? 0 : *value.integer() % by;
}

/// Some cased characters, and none that `change` changes.
bool hasCase(const std::string &text, std::string (*change)(const std::string &),
             std::string (*other)(const std::string &)) {
  return change(text) == text && other(text) != text;
}

using Test = bool (*)(Call &);

const std::unordered_map<std::string_view, Test> &tests() {
  static constexpr Test equal = [](Call &call) {
    return equals(input(call), call.require(1, "other"));
  };
  static constexpr Test less = [](Call &call) {
    return ordered(call, "<", [](int order) { return order < 0; });
  };
  static constexpr Test lessOrEqual = [](Call &call) {
    return ordered(call, "<=", [](int order) { return order <= 0; });
  };
  static constexpr Test greater = [](Call &call) {
    return ordered(call, ">", [](int order) { return order > 0; });
  };
  static constexpr Test greaterOrEqual = [](Call &call) {
    return ordered(call, ">=", [](int order) { return order >= 0; });
  };
  static constexpr Test notEqual = [](Call &call) {
    return !equals(input(call), call.require(1, "other"));
  };
  static const std::unordered_map<std::string_view, Test> table = {
      {"boolean", [](Call &call) { return input(call).as<bool>() != nullptr; }},
      {"callable",
       [](Call &call) { return input(call).as<std::shared_ptr<Callable>>() != nullptr; }},
      {"defined", [](Call &call) { return !input(call).isUndefined(); }},
      {"divisibleby", [](Call &call) { return remainder(call, call.integer(1, "num", 0)) == 0; }},
      {"eq", equal},
      {"equalto", equal},
      {"==", equal},
      {"even", [](Call &call) { return remainder(call, 2) == 0; }},
      {"false", [](Call &call) { return input(call).as<bool>() && !isTrue(input(call)); }},
      {"float", [](Call &call) { return input(call).as<double>() != nullptr; }},
      {"ge", greaterOrEqual},
      {">=", greaterOrEqual},
      {"greaterthan", greater},
      {"gt", greater},
      {">", greater},
      {"in",
       [](Call &call) { return call.evaluator.contains(call.require(1, "seq"), input(call)); }},
      {"integer", [](Call &call) { return input(call).as<int64_t>() != nullptr; }},
      {"iterable",
       [](Call &call) {
         const Value &value = input(call);
         return value.isUndefined() || value.text() || value.list() ||
                value.as<std::shared_ptr<Loop>>() || (value.dict() && !value.dict()->isNamespace);
       }},
      {"le", lessOrEqual},
      {"<=", lessOrEqual},
      {"lessthan", less},
      {"lt", less},
      {"<", less},
      {"lower",
       [](Call &call) { return hasCase(call.evaluator.text(input(call)), toLower, toUpper); }},
      {"mapping",
       [](Call &call) { return input(call).dict() && !input(call).dict()->isNamespace; }},
      {"ne", notEqual},
      {"!=", notEqual},
      {"none", [](Call &call) { return input(call).isNone(); }},
      {"number", [](Call &call) { return input(call).isNumber(); }},
      {"odd", [](Call &call) { return remainder(call, 2) != 0; }},
      {"sameas",
       [](Call &call) {
         const Value &other = call.require(1, "other");
         if (input(call).list() || input(call).dict())
           return input(call).list() == other.list() && input(call).dict() == other.dict();
         return input(call).data.index() == other.data.index() && equals(input(call), other);
       }},
      {"sequence",
       [](Call &call) {
         const Value &value = input(call);
         return value.isUndefined() || value.text() ||
                (value.list() && value.list()->kind != ListKind::Generator &&
                 value.list()->kind != ListKind::View) ||
                (value.dict() && !value.dict()->isNamespace);
       }},
      {"string", [](Call &call) { return input(call).text() != nullptr; }},
      {"true", [](Call &call) { return input(call).as<bool>() && isTrue(input(call)); }},
      {"undefined", [](Call &call) { return input(call).isUndefined(); }},
      {"upper",
       [](Call &call) { return hasCase(call.evaluator.text(input(call)), toUpper, toLower); }},
  };
  return table;
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

Value rangeFunction(Call &call) {
  int64_t bounds[3] = {0, 0, 1};
  size_t count = call.positional.size();
  if (count < 1 || count > 3 || !call.keywords.empty())
    fail("'range' takes one to three integers");
  for (size_t i = 0; i < count; ++i) {
    if (!call.positional[i].integer())
      fail("'range' expects integers, got " + typeName(call.positional[i]));
    bounds[count == 1 ? 1 : i] = *call.positional[i].integer();
  }
  int64_t step = bounds[2];
  if (step == 0)
    fail("'range' with step zero");
  constexpr size_t longest = 100000; // as Jinja's sandbox has it
  Values items;
  for (int64_t i = bounds[0]; step > 0 ? i < bounds[1] : i > bounds[1];) {
    if (items.size() == longest)
      fail("a range of more than " + std::to_string(longest) + " elements");
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i))
      break;
  }
  call.evaluator.step(items.size());
  return call.evaluator.makeList(std::move(items), ListKind::Range);
}

Value dictFunction(Call &call) {
  std::vector<std::pair<Value, Value>> entries;
  for (const Value &from : call.positional) {
    if (!from.dict())
      fail("'dict' expects a dict, got " + typeName(from));
    entries.insert(entries.end(), from.dict()->entries.begin(), from.dict()->entries.end());
  }
  for (auto &[name, value] : call.keywords)
    entries.emplace_back(Value::string(name), value);
  call.evaluator.allocate(entries.size() * 2 * sizeof(Value) + 64);
  return Value::dict(std::move(entries));
}

Value strftimeFunction(Call &call) {
  std::string format = call.string(0, "format");
  call.finish();
  if (format.size() > 200)
    fail("'strftime_now' with a format of " + std::to_string(format.size()) + " bytes");
  time_t now = call.evaluator.present() < 0 ? time(nullptr) : time_t(call.evaluator.present());
  struct tm fields;
  localtime_r(&now, &fields);
  // Names of days and months in English, whatever the caller's locale.
  locale_t locale = newlocale(LC_ALL_MASK, "C", nullptr);
  char text[4096];
  size_t length = locale ? strftime_l(text, sizeof(text), format.c_str(), &fields, locale) : 0;
  if (locale)
    freelocale(locale);
  return call.evaluator.makeString(std::string(text, length));
}

} // namespace

Value Evaluator::filter(std::string_view name, Call &call) {
  if (name == "length")
    name = "count";
  auto it = filters().find(name);
  if (it == filters().end())
    fail("unknown filter '" + std::string(name) + "'");
  step(weightOf(call.positional[0]) / 64);
  return it->second(call);
}

bool Evaluator::test(std::string_view name, Call &call) {
  auto it = tests().find(name);
  if (it == tests().end())
    fail("unknown test '" + std::string(name) + "'");
  return it->second(call);
}

void defineGlobals(Scope &scope) {
  auto define = [&](const char *name, Value (*function)(Call &)) {
    scope.variables[name] = Value::callable(name, function);
  };
  define("range", rangeFunction);
  define("dict", dictFunction);
  define("strftime_now", strftimeFunction);
  define("namespace", [](Call &call) { return call.evaluator.makeNamespace(call); });
  define("raise_exception",
         [](Call &call) -> Value { fail(call.evaluator.text(call.require(0, "message"))); });
}

} // namespace ingot::chat
