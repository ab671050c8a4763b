//===- Evaluator.h - One rendering of a template -----------------*- C++ -*-===//
//
// Everything that takes time or memory goes through step() and allocate(), which hold a rendering
// to its limits; recursion goes through Nested.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_LIB_CHAT_EVALUATOR_H
#define INGOT_LIB_CHAT_EVALUATOR_H

#include "Syntax.h"

#include <unordered_map>

namespace ingot::chat {

/// Variables. Loops and macros open scopes of their own; an assignment stays in its scope.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::unordered_map<std::string, Value> variables;

  const Value *find(const std::string &name) const {
    for (const Scope *scope = this; scope; scope = scope->parent.get())
      if (auto it = scope->variables.find(name); it != scope->variables.end())
        return &it->second;
    return nullptr;
  }
};

class Evaluator {
public:
  Evaluator(const Limits &limits, int64_t now) : limits(limits), now(now) {}
  ~Evaluator();
  std::string run(const Block &block, const Value &variables);

  void step(uint64_t count = 1) {
    steps += count;
    if (steps > limits.steps)
      fail("the template takes more than " + std::to_string(limits.steps) + " steps");
  }
  void allocate(size_t size) {
    bytes += size;
    if (bytes > limits.bytes)
      fail("the template makes more than " + std::to_string(limits.bytes) + " bytes of text");
  }
  /// Values that count against the limits.
  Value makeString(std::string text) {
    allocate(text.size() + 32);
    return Value::string(std::move(text));
  }
  Value makeList(Values items, ListKind kind = ListKind::List) {
    allocate(items.size() * sizeof(Value) + 64);
    return Value::list(std::move(items), kind);
  }
  /// str(), for filters that take any value.
  std::string text(const Value &value) {
    if (!value.text())
      allocate(weightOf(value));
    return toText(value);
  }

  /// The elements of a list, the characters of a text, the keys of a dictionary; nothing for an
  /// undefined value. A generator is empty afterwards.
  Values iterate(const Value &value);
  /// object.name and object[key], undefined if there is none.
  Value attribute(const Value &object, const std::string &name);
  Value item(const Value &object, const Value &key);
  /// "a.b" or a number, as filters name attributes; `fallback` stands for what is undefined.
  Value attributePath(const Value &object, const Value &path, const Value *fallback = nullptr);
  Value filter(std::string_view name, Call &call);
  bool test(std::string_view name, Call &call);
  bool contains(const Value &container, const Value &element);
  Value binary(std::string_view op, const Value &a, const Value &b);
  int64_t length(const Value &value);
  int64_t present() const { return now; }

  Value makeNamespace(Call &call);

private:
  enum class Flow : uint8_t { Next, Break, Continue };
  struct Nested {
    explicit Nested(Evaluator &evaluator) : evaluator(evaluator) {
      evaluator.step();
      if (++evaluator.depth > maxNesting)
        fail("the template nests more than " + std::to_string(maxNesting) + " deep");
    }
    ~Nested() { --evaluator.depth; }
    Evaluator &evaluator;
  };
  static constexpr unsigned maxNesting = 800;

  Flow execute(const Block &block);
  Flow execute(const Stmt &stmt);
  Flow executeFor(const Stmt &stmt);
  std::string capture(const Block &block);
  Value makeMacro(const Stmt &stmt);
  Value callMacro(const Stmt &stmt, const std::shared_ptr<Scope> &definedIn, Call &call);
  void assign(const Expr &target, Value value);
  void print(const Value &value);

  Value evaluate(const Expr &expr);
  Value evaluateKind(const Expr &expr);
  Value compareChain(const Expr &expr);
  Value slice(const Expr &expr);
  Value call(const Expr &expr, const Value *caller = nullptr);
  Value filter(const Expr &expr, const Value *input = nullptr);
  void arguments(const Expr &expr, size_t first, Call &call);

  /// Opens a scope until the end of a block of code.
  struct ScopeGuard {
    ScopeGuard(Evaluator &evaluator, std::shared_ptr<Scope> parent)
        : evaluator(evaluator), outer(evaluator.scope) {
      evaluator.scope = std::make_shared<Scope>();
      evaluator.scope->parent = std::move(parent);
    }
    ~ScopeGuard() { evaluator.scope = std::move(outer); }
    Evaluator &evaluator;
    std::shared_ptr<Scope> outer;
  };

  const Limits &limits;
  int64_t now;
  uint64_t steps = 0, bytes = 0;
  unsigned depth = 0;
  unsigned line = 0; ///< of what is being evaluated
  std::string out;
  std::shared_ptr<Scope> scope;
  // A macro knows the scope that knows it, and a namespace may hold itself: these are taken apart
  // at the end. All namespaces live until then, so that chains of them are not freed recursively.
  std::vector<std::shared_ptr<Scope>> macroScopes;
  std::vector<std::shared_ptr<Dict>> namespaces;
};

/// The functions that every template can call.
void defineGlobals(Scope &scope);

/// A method of a text, list or dictionary, bound to it; undefined if there is none of that name.
Value method(const Value &object, const std::string &name);

/// Python's text % arguments.
Value formatPercent(Evaluator &evaluator, const std::string &text, const Value &arguments);

std::string toLower(const std::string &text);
std::string toUpper(const std::string &text);
std::string capitalize(const std::string &text);
std::string strip(const std::string &text, const std::string *characters, bool left, bool right);
std::string replaceText(const std::string &text, const std::string &from, const std::string &to,
                        int64_t count);

} // namespace ingot::chat

#endif // INGOT_LIB_CHAT_EVALUATOR_H
