//===- Value.h - What a template computes with -------------------*- C++ -*-===//
//
// Python's values, as far as templates see them. Texts, lists and dictionaries are immutable and
// shared; a namespace is the one thing that a template can change. What the iterating filters
// return (map, select, ...) is a list of kind Generator: it is always true, has no length, and is
// empty once it has been looped over, as in Python.
//
// A value that holds others knows how deep it nests and how much it would print, and nothing deeper
// than `maxDepth` or heavier than `maxWeight` can be made: so the functions here may recurse, and a
// list that holds the same list many times cannot blow up.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_LIB_CHAT_VALUE_H
#define INGOT_LIB_CHAT_VALUE_H

#include "ingot/Chat/Template.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace ingot::chat {

class Value;
using Values = std::vector<Value>;

enum class ListKind : uint8_t { List, Tuple, Generator, Range, View };

struct List;
struct Dict;
struct Loop;
struct Callable;

struct Undefined {
  std::shared_ptr<const std::string> what; ///< "'x' is undefined"
};
struct None {};

class Value {
public:
  using String = std::shared_ptr<const std::string>;
  using Data =
      std::variant<Undefined, None, bool, int64_t, double, String, std::shared_ptr<List>,
                   std::shared_ptr<Dict>, std::shared_ptr<Loop>, std::shared_ptr<Callable>>;

  Value() = default; ///< none
  explicit Value(Data data) : data(std::move(data)) {}
  static Value undefined(std::string what);
  static Value boolean(bool value) { return Value(Data(value)); }
  static Value integer(int64_t value) { return Value(Data(value)); }
  static Value real(double value) { return Value(Data(value)); }
  static Value string(std::string text);
  static Value list(Values items, ListKind kind = ListKind::List);
  static Value dict(std::vector<std::pair<Value, Value>> entries);
  static Value callable(std::string name, std::function<Value(struct Call &)> function);
  /// A function that holds a value.
  static Value callable(std::string name, std::function<Value(struct Call &)> function,
                        const Value &holder);

  template <typename T> const T *as() const { return std::get_if<T>(&data); }
  bool isUndefined() const { return as<Undefined>(); }
  bool isNone() const { return as<None>(); }
  const std::string *text() const {
    auto *shared = as<String>();
    return shared ? shared->get() : nullptr;
  }
  List *list() const {
    auto *shared = as<std::shared_ptr<List>>();
    return shared ? shared->get() : nullptr;
  }
  Dict *dict() const {
    auto *shared = as<std::shared_ptr<Dict>>();
    return shared ? shared->get() : nullptr;
  }
  /// An int, or a bool, which is one in Python.
  const int64_t *integer() const;
  bool isNumber() const { return integer() || as<double>(); }
  double number() const;

  Data data = None();
};

struct List {
  Values items;
  ListKind kind = ListKind::List;
  unsigned depth = 1;
  uint64_t weight = 1;
};

/// A dictionary in the order of insertion, or a namespace.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  bool isNamespace = false;
  unsigned depth = 1;
  uint64_t weight = 1;

  const Value *find(const Value &key) const;
  const Value *find(std::string_view key) const;
  void set(const Value &key, Value value);

private:
  std::unordered_map<std::string_view, size_t> texts; ///< keys that are texts, and where they are
};

/// The variable `loop`.
struct Loop {
  std::shared_ptr<List> items;
  size_t index = 0;
  unsigned depth = 1;
  bool sawChange = false;
  Value lastChange;
};

/// Arguments of a function, filter or test. In filters and tests the first one is what stands in
/// front.
struct Call {
  Call(class Evaluator &evaluator, std::string_view name) : evaluator(evaluator), name(name) {}

  class Evaluator &evaluator;
  std::string_view name; ///< of the function, for messages
  Values positional;
  std::vector<std::pair<std::string, Value>> keywords;

  /// The argument with that place or name, null if it is not given. All names must be asked for
  /// before finish().
  const Value *get(size_t index, std::string_view name);
  Value get(size_t index, std::string_view name, Value fallback);
  const Value &require(size_t index, std::string_view name);
  bool flag(size_t index, std::string_view name, bool fallback);
  int64_t integer(size_t index, std::string_view name, int64_t fallback);
  const std::string &string(size_t index, std::string_view name);
  /// Refuses arguments that nobody asked for.
  void finish() const;

private:
  size_t asked = 0;
  std::vector<std::string_view> askedNames;
};

struct Callable {
  std::string name;
  std::function<Value(Call &)> function;
  unsigned depth = 1;
};

constexpr unsigned maxDepth = 100;
constexpr uint64_t maxWeight = uint64_t(1) << 28;

/// The depth of something that holds `items`; fails if that is too deep.
unsigned depthOver(const Values &items);
/// About how many bytes the value prints.
uint64_t weightOf(const Value &value);

[[noreturn]] void fail(const std::string &what);

/// "str", "list", "dict", ...
std::string typeName(const Value &value);
bool isTrue(const Value &value);
bool equals(const Value &a, const Value &b);
/// Negative, zero or positive; fails for values without an order.
int compare(const Value &a, const Value &b, const char *op);
/// str() and repr().
std::string toText(const Value &value);
std::string toRepr(const Value &value);
/// json.dumps. `indent` is negative for one line.
std::string toJson(const Value &value, int indent, bool ensureAscii, bool sortKeys,
                   const std::string &itemSeparator, const std::string &keySeparator);
/// The value of a JSON document; fails if it is not one.
Value fromJson(std::string_view json);

/// Python's repr of a float.
std::string formatReal(double value);

//===----------------------------------------------------------------------===//
// Text as Python sees it: a sequence of code points
//===----------------------------------------------------------------------===//

/// Bytes of the character at `position`; a malformed byte counts as one.
size_t characterLength(std::string_view text, size_t position);
char32_t characterAt(std::string_view text, size_t position);
size_t characterCount(std::string_view text);
/// The byte at which character `index` begins; the size of the text if there are fewer.
size_t byteOffset(std::string_view text, size_t index);
std::vector<std::string_view> characters(std::string_view text);
void appendCharacter(std::string &text, char32_t codepoint);
bool isSpace(char32_t c);

} // namespace ingot::chat

#endif // INGOT_LIB_CHAT_VALUE_H
