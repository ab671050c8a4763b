//===- Evaluator.cpp - Statements and expressions ---------------------------===//

#include "Evaluator.h"

#include <algorithm>
#include <cmath>

namespace ingot::chat {

//===----------------------------------------------------------------------===//
// Rendering
//===----------------------------------------------------------------------===//

struct Template::Impl {
  Block block;
};

Template::Template(std::string_view source) : impl(new Impl{parse(source)}) {}
Template::Template(Template &&) noexcept = default;
Template &Template::operator=(Template &&) noexcept = default;
Template::~Template() = default;

std::string Template::render(std::string_view variables, const Limits &limits, int64_t now) const {
  Value values = fromJson(variables);
  if (!values.dict())
    fail("expected the variables of a template as an object, got " + typeName(values));
  return Evaluator(limits, now).run(impl->block, values);
}

Evaluator::~Evaluator() {
  scope.reset();
  std::vector<Value> values;
  for (auto &owner : macroScopes)
    for (auto &[name, value] : owner->variables)
      values.push_back(std::move(value));
  for (auto &space : namespaces)
    for (auto &[name, value] : space->entries)
      values.push_back(std::move(value));
}

std::string Evaluator::run(const Block &block, const Value &variables) {
  auto globals = std::make_shared<Scope>();
  defineGlobals(*globals);
  // As transformers calls a template that is given neither.
  for (const char *name : {"tools", "documents"})
    globals->variables[name] = Value();
  for (auto &[name, value] : variables.dict()->entries)
    globals->variables[toText(name)] = value;
  scope = std::make_shared<Scope>();
  scope->parent = std::move(globals);
  try {
    execute(block);
  } catch (const TemplateError &error) {
    throw TemplateError("line " + std::to_string(line) + ": " + error.what());
  }
  return std::move(out);
}

//===----------------------------------------------------------------------===//
// Statements
//===----------------------------------------------------------------------===//

Evaluator::Flow Evaluator::execute(const Block &block) {
  for (const auto &stmt : block)
    if (Flow flow = execute(*stmt); flow != Flow::Next)
      return flow;
  return Flow::Next;
}

std::string Evaluator::capture(const Block &block) {
  std::string outer = std::exchange(out, std::string());
  execute(block);
  return std::exchange(out, std::move(outer));
}

void Evaluator::print(const Value &value) {
  allocate(weightOf(value));
  out += toText(value);
}

Evaluator::Flow Evaluator::execute(const Stmt &stmt) {
  Nested nested(*this);
  line = stmt.line;
  switch (stmt.kind) {
  case StmtKind::Text:
    allocate(stmt.text.size());
    out += stmt.text;
    return Flow::Next;
  case StmtKind::Print:
    print(evaluate(*stmt.exprs[0]));
    return Flow::Next;
  case StmtKind::If:
    for (size_t i = 0; i < stmt.exprs.size(); ++i)
      if (isTrue(evaluate(*stmt.exprs[i])))
        return execute(stmt.blocks[i]);
    return stmt.blocks.size() > stmt.exprs.size() ? execute(stmt.blocks.back()) : Flow::Next;
  case StmtKind::For:
    return executeFor(stmt);
  case StmtKind::Set:
    assign(*stmt.target, evaluate(*stmt.exprs[0]));
    return Flow::Next;
  case StmtKind::SetBlock: {
    std::string text;
    {
      ScopeGuard guard(*this, scope);
      text = capture(stmt.blocks[0]);
    }
    Value value = makeString(std::move(text));
    if (!stmt.exprs.empty())
      value = filter(*stmt.exprs[0], &value);
    assign(*stmt.target, std::move(value));
    return Flow::Next;
  }
  case StmtKind::With: {
    Values values;
    for (const ExprPtr &expr : stmt.exprs)
      values.push_back(evaluate(*expr));
    ScopeGuard guard(*this, scope);
    for (size_t i = 0; i < values.size(); ++i)
      scope->variables[stmt.names[i]] = std::move(values[i]);
    return execute(stmt.blocks[0]);
  }
  case StmtKind::Macro:
    macroScopes.push_back(scope);
    scope->variables[stmt.text] = makeMacro(stmt);
    return Flow::Next;
  case StmtKind::CallBlock: {
    macroScopes.push_back(scope);
    Value caller = makeMacro(stmt);
    print(call(*stmt.call, &caller));
    return Flow::Next;
  }
  case StmtKind::Filter: {
    std::string text;
    {
      ScopeGuard guard(*this, scope);
      text = capture(stmt.blocks[0]);
    }
    Value value = makeString(std::move(text));
    print(filter(*stmt.exprs[0], &value));
    return Flow::Next;
  }
  case StmtKind::Scope: {
    ScopeGuard guard(*this, scope);
    return execute(stmt.blocks[0]);
  }
  case StmtKind::Break:
    return Flow::Break;
  case StmtKind::Continue:
    return Flow::Continue;
  }
  return Flow::Next;
}

Evaluator::Flow Evaluator::executeFor(const Stmt &stmt) {
  Value iterable = evaluate(*stmt.exprs[0]);
  Values items = iterate(iterable);
  if (stmt.exprs[1]) {
    Values kept;
    for (Value &item : items) {
      step();
      ScopeGuard guard(*this, scope);
      assign(*stmt.target, item);
      if (isTrue(evaluate(*stmt.exprs[1])))
        kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  if (items.empty()) {
    ScopeGuard guard(*this, scope);
    return execute(stmt.blocks[1]);
  }
  auto loop = std::make_shared<Loop>();
  loop->items = std::make_shared<List>();
  loop->depth = depthOver(items);
  loop->items->items = std::move(items);
  for (; loop->index < loop->items->items.size(); ++loop->index) {
    step();
    ScopeGuard guard(*this, scope);
    scope->variables["loop"] = Value(Value::Data(loop));
    assign(*stmt.target, loop->items->items[loop->index]);
    if (execute(stmt.blocks[0]) == Flow::Break)
      break;
  }
  return Flow::Next;
}

void Evaluator::assign(const Expr &target, Value value) {
  if (target.kind == ExprKind::Name) {
    scope->variables[target.name] = std::move(value);
    return;
  }
  if (target.kind == ExprKind::Attribute) {
    const std::string &name = target.operands[0]->name;
    const Value *object = scope->find(name);
    Dict *space = object ? object->dict() : nullptr;
    if (!space || !space->isNamespace)
      fail("cannot assign to '" + name + "." + target.name + "': '" + name +
           "' is not a namespace");
    space->set(makeString(target.name), std::move(value));
    return;
  }
  Values items = iterate(value);
  if (items.size() != target.operands.size())
    fail("expected " + std::to_string(target.operands.size()) + " values to assign, got " +
         std::to_string(items.size()));
  for (size_t i = 0; i < items.size(); ++i)
    assign(*target.operands[i], std::move(items[i]));
}

//===----------------------------------------------------------------------===//
// Macros
//===----------------------------------------------------------------------===//

Value Evaluator::makeMacro(const Stmt &stmt) {
  return Value::callable(stmt.text, [&stmt, definedIn = scope](Call &call) {
    return call.evaluator.callMacro(stmt, definedIn, call);
  });
}

Value Evaluator::callMacro(const Stmt &stmt, const std::shared_ptr<Scope> &definedIn, Call &call) {
  Nested nested(*this);
  ScopeGuard guard(*this, definedIn);
  auto &variables = scope->variables;
  size_t withoutDefault = stmt.names.size() - stmt.exprs.size();
  std::vector<bool> used(call.keywords.size());
  for (size_t i = 0; i < stmt.names.size(); ++i) {
    const std::string &name = stmt.names[i];
    Value value = Value::undefined("parameter '" + name + "' was not provided");
    bool given = i < call.positional.size();
    if (given)
      value = call.positional[i];
    for (size_t k = 0; k < call.keywords.size(); ++k)
      if (call.keywords[k].first == name) {
        if (given)
          fail("macro '" + stmt.text + "' got two values for the argument '" + name + "'");
        given = used[k] = true;
        value = call.keywords[k].second;
      }
    if (!given && i >= withoutDefault)
      value = evaluate(*stmt.exprs[i - withoutDefault]);
    variables[name] = std::move(value);
  }
  Values rest;
  for (size_t i = stmt.names.size(); i < call.positional.size(); ++i)
    rest.push_back(call.positional[i]);
  if (!rest.empty() && !stmt.usesVarargs)
    fail("macro '" + stmt.text + "' takes at most " + std::to_string(stmt.names.size()) +
         " arguments, got " + std::to_string(call.positional.size()));
  if (stmt.usesVarargs)
    variables["varargs"] = makeList(std::move(rest), ListKind::Tuple);
  std::vector<std::pair<Value, Value>> named;
  for (size_t k = 0; k < call.keywords.size(); ++k) {
    auto &[name, value] = call.keywords[k];
    if (used[k])
      continue;
    if (name == "caller" && stmt.usesCaller)
      variables[name] = value;
    else if (stmt.usesKwargs)
      named.emplace_back(makeString(name), value);
    else
      fail("macro '" + stmt.text + "' has no argument '" + name + "'");
  }
  if (stmt.usesKwargs)
    variables["kwargs"] = Value::dict(std::move(named));
  return makeString(capture(stmt.blocks[0]));
}

Value Evaluator::makeNamespace(Call &call) {
  auto space = std::make_shared<Dict>();
  space->isNamespace = true;
  for (const Value &from : call.positional) {
    if (!from.dict())
      fail("'namespace' expects a dict, got " + typeName(from));
    for (auto &[key, value] : from.dict()->entries)
      space->set(key, value);
  }
  for (auto &[name, value] : call.keywords)
    space->set(makeString(name), value);
  allocate(128);
  namespaces.push_back(space);
  return Value(Value::Data(std::move(space)));
}

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

Value Evaluator::evaluate(const Expr &expr) {
  Nested nested(*this);
  line = expr.line;
  Value value = evaluateKind(expr);
  line = expr.line;
  return value;
}

Value Evaluator::evaluateKind(const Expr &expr) {
  const Exprs &operands = expr.operands;
  switch (expr.kind) {
  case ExprKind::Constant:
    return expr.value;
  case ExprKind::Name:
    if (const Value *value = scope->find(expr.name))
      return *value;
    return Value::undefined("'" + expr.name + "' is undefined");
  case ExprKind::List:
  case ExprKind::Tuple: {
    Values items;
    for (const ExprPtr &operand : operands)
      items.push_back(evaluate(*operand));
    return makeList(std::move(items),
                    expr.kind == ExprKind::List ? ListKind::List : ListKind::Tuple);
  }
  case ExprKind::Dict: {
    std::vector<std::pair<Value, Value>> entries;
    for (size_t i = 0; i < operands.size(); i += 2) {
      Value key = evaluate(*operands[i]);
      entries.emplace_back(std::move(key), evaluate(*operands[i + 1]));
    }
    step(entries.size());
    allocate(entries.size() * 2 * sizeof(Value) + 64);
    return Value::dict(std::move(entries));
  }
  case ExprKind::Unary: {
    Value value = evaluate(*operands[0]);
    if (expr.name == "not")
      return Value::boolean(!isTrue(value));
    if (auto *undefined = value.as<Undefined>())
      fail(*undefined->what);
    if (!value.isNumber())
      fail("bad operand type for unary " + expr.name + ": '" + typeName(value) + "'");
    if (auto *real = value.as<double>())
      return Value::real(expr.name == "-" ? -*real : *real);
    return expr.name == "-" ? binary("-", Value::integer(0), value)
                            : Value::integer(*value.integer());
  }
  case ExprKind::Binary: {
    Value left = evaluate(*operands[0]);
    Value right = evaluate(*operands[1]);
    return binary(expr.name, left, right);
  }
  case ExprKind::Compare:
    return compareChain(expr);
  case ExprKind::And: {
    Value left = evaluate(*operands[0]);
    return isTrue(left) ? evaluate(*operands[1]) : left;
  }
  case ExprKind::Or: {
    Value left = evaluate(*operands[0]);
    return isTrue(left) ? left : evaluate(*operands[1]);
  }
  case ExprKind::Conditional:
    if (isTrue(evaluate(*operands[0])))
      return evaluate(*operands[1]);
    if (operands[2])
      return evaluate(*operands[2]);
    return Value::undefined("the inline if-expression on line " + std::to_string(expr.line) +
                            " evaluated to false and no else section was defined");
  case ExprKind::Attribute:
    return attribute(evaluate(*operands[0]), expr.name);
  case ExprKind::Item: {
    Value object = evaluate(*operands[0]);
    return item(object, evaluate(*operands[1]));
  }
  case ExprKind::Slice:
    return slice(expr);
  case ExprKind::Call:
    return call(expr);
  case ExprKind::Filter:
    return filter(expr);
  case ExprKind::Test: {
    Call call(*this, expr.name);
    call.positional.push_back(evaluate(*operands[0]));
    arguments(expr, 1, call);
    line = expr.line;
    return Value::boolean(test(expr.name, call));
  }
  }
  return Value();
}

void Evaluator::arguments(const Expr &expr, size_t first, Call &call) {
  for (size_t i = first; i < expr.operands.size(); ++i)
    call.positional.push_back(evaluate(*expr.operands[i]));
  for (auto &[name, value] : expr.keywords)
    call.keywords.emplace_back(name, evaluate(*value));
}

Value Evaluator::call(const Expr &expr, const Value *caller) {
  Value callee = evaluate(*expr.operands[0]);
  if (auto *undefined = callee.as<Undefined>())
    fail(*undefined->what);
  auto *callable = callee.as<std::shared_ptr<Callable>>();
  if (!callable)
    fail("a value of type " + typeName(callee) + " cannot be called");
  Call call(*this, (*callable)->name);
  arguments(expr, 1, call);
  if (caller)
    call.keywords.emplace_back("caller", *caller);
  line = expr.line;
  return (*callable)->function(call);
}

Value Evaluator::filter(const Expr &expr, const Value *input) {
  Call call(*this, expr.name);
  // In a block the innermost filter has no operand: it gets the text.
  if (!expr.operands[0])
    call.positional.push_back(*input);
  else if (input && expr.operands[0]->kind == ExprKind::Filter)
    call.positional.push_back(filter(*expr.operands[0], input));
  else
    call.positional.push_back(evaluate(*expr.operands[0]));
  arguments(expr, 1, call);
  line = expr.line;
  return filter(expr.name, call);
}

Value Evaluator::compareChain(const Expr &expr) {
  Value left = evaluate(*expr.operands[0]);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    const std::string &op = expr.ops[i];
    Value right = evaluate(*expr.operands[i + 1]);
    bool holds;
    step(std::min(weightOf(left), weightOf(right)) / 64);
    if (op == "==" || op == "!=")
      holds = equals(left, right) == (op == "==");
    else if (op == "in" || op == "not in")
      holds = contains(right, left) == (op == "in");
    else {
      int order = compare(left, right, op.c_str());
      holds = op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
    }
    if (!holds)
      return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

bool Evaluator::contains(const Value &container, const Value &element) {
  if (auto *text = container.text()) {
    if (auto *undefined = element.as<Undefined>())
      fail(*undefined->what);
    if (!element.text())
      fail("'in' of a str expects a str, got " + typeName(element));
    step(text->size() / 64);
    return text->find(*element.text()) != text->npos;
  }
  if (Dict *dict = container.dict(); dict && !dict->isNamespace) {
    step(dict->entries.size());
    return dict->find(element);
  }
  if (container.list() || container.isUndefined()) {
    Values items = iterate(container);
    return std::any_of(items.begin(), items.end(), [&](const Value &item) {
      step(std::min(weightOf(item), weightOf(element)) / 64);
      return equals(item, element);
    });
  }
  fail("a value of type " + typeName(container) + " contains nothing");
}

Values Evaluator::iterate(const Value &value) {
  if (value.isUndefined())
    return {};
  Values items;
  if (List *list = value.list()) {
    step(list->items.size());
    if (list->kind == ListKind::Generator)
      return std::exchange(list->items, {});
    allocate(list->items.size() * sizeof(Value));
    return list->items;
  }
  if (auto *text = value.text()) {
    step(text->size());
    for (std::string_view character : characters(*text))
      items.push_back(makeString(std::string(character)));
    return items;
  }
  if (Dict *dict = value.dict(); dict && !dict->isNamespace) {
    step(dict->entries.size());
    allocate(dict->entries.size() * sizeof(Value));
    for (auto &[key, entry] : dict->entries)
      items.push_back(key);
    return items;
  }
  fail("a value of type " + typeName(value) + " cannot be iterated over");
}

int64_t Evaluator::length(const Value &value) {
  if (value.isUndefined())
    return 0;
  if (auto *text = value.text()) {
    step(text->size() / 16);
    return int64_t(characterCount(*text));
  }
  if (List *list = value.list(); list && list->kind != ListKind::Generator)
    return int64_t(list->items.size());
  if (Dict *dict = value.dict(); dict && !dict->isNamespace)
    return int64_t(dict->entries.size());
  if (auto *loop = value.as<std::shared_ptr<Loop>>())
    return int64_t((*loop)->items->items.size());
  fail("a value of type " + typeName(value) + " has no length");
}

//===----------------------------------------------------------------------===//
// Attributes and elements
//===----------------------------------------------------------------------===//

static Value loopAttribute(const std::shared_ptr<Loop> &loop, const std::string &name) {
  const Values &items = loop->items->items;
  int64_t index = int64_t(loop->index), length = int64_t(items.size());
  if (name == "index")
    return Value::integer(index + 1);
  if (name == "index0")
    return Value::integer(index);
  if (name == "revindex")
    return Value::integer(length - index);
  if (name == "revindex0")
    return Value::integer(length - index - 1);
  if (name == "first")
    return Value::boolean(index == 0);
  if (name == "last")
    return Value::boolean(index + 1 == length);
  if (name == "length")
    return Value::integer(length);
  if (name == "depth")
    return Value::integer(1); // of recursive loops
  if (name == "depth0")
    return Value::integer(0);
  if (name == "previtem")
    return index ? items[size_t(index) - 1] : Value::undefined("there is no previous item");
  if (name == "nextitem")
    return index + 1 < length ? items[size_t(index) + 1]
                              : Value::undefined("there is no next item");
  if (name == "cycle")
    return Value::callable(
        name,
        [loop](Call &call) {
          if (call.positional.empty())
            fail("'cycle' needs an argument");
          return call.positional[loop->index % call.positional.size()];
        },
        Value(Value::Data(loop)));
  if (name == "changed")
    return Value::callable(
        name,
        [loop](Call &call) {
          Value now = Value::list(call.positional, ListKind::Tuple);
          bool changed = !loop->sawChange || !equals(loop->lastChange, now);
          loop->sawChange = true;
          loop->depth = std::max(loop->depth, depthOver({now}));
          loop->lastChange = std::move(now);
          return Value::boolean(changed);
        },
        Value(Value::Data(loop)));
  return Value::undefined("'loop' has no attribute '" + name + "'");
}

static Value missing(const Value &object, const std::string &name) {
  return Value::undefined("'" + typeName(object) + " object' has no attribute '" + name + "'");
}

Value Evaluator::attribute(const Value &object, const std::string &name) {
  if (auto *undefined = object.as<Undefined>())
    fail(*undefined->what);
  if (auto *loop = object.as<std::shared_ptr<Loop>>())
    return loopAttribute(*loop, name);
  Dict *dict = object.dict();
  if (!dict || !dict->isNamespace)
    if (Value bound = method(object, name); !bound.isUndefined())
      return bound;
  if (dict) {
    step(dict->entries.size() / 4);
    if (const Value *value = dict->find(name))
      return *value;
  }
  return missing(object, name);
}

Value Evaluator::item(const Value &object, const Value &key) {
  if (auto *undefined = object.as<Undefined>())
    fail(*undefined->what);
  if (Dict *dict = object.dict()) {
    step(dict->entries.size() / 4);
    if (const Value *value = dict->find(key))
      return *value;
  }
  if (auto *index = key.integer()) {
    List *list = object.list();
    if (list && list->kind != ListKind::Generator && list->kind != ListKind::View) {
      int64_t size = int64_t(list->items.size()), i = *index < 0 ? *index + size : *index;
      if (i >= 0 && i < size)
        return list->items[size_t(i)];
    }
    if (auto *text = object.text()) {
      step(text->size() / 16);
      int64_t i = *index < 0 ? *index + int64_t(characterCount(*text)) : *index;
      size_t at = i < 0 ? text->size() : byteOffset(*text, size_t(i));
      if (at < text->size())
        return makeString(text->substr(at, characterLength(*text, at)));
    }
    return missing(object, std::to_string(*index));
  }
  if (auto *name = key.text()) {
    if (!object.dict() || object.dict()->isNamespace)
      return attribute(object, *name);
    if (Value bound = method(object, *name); !bound.isUndefined())
      return bound;
    return missing(object, *name);
  }
  return missing(object, toText(key));
}

Value Evaluator::attributePath(const Value &object, const Value &path, const Value *fallback) {
  auto step = [&](const Value &from, const Value &key) {
    Value value = item(from, key);
    return value.isUndefined() && fallback ? *fallback : value;
  };
  if (path.integer())
    return step(object, path);
  if (!path.text())
    fail("expected the name of an attribute, got " + typeName(path));
  Value value = object;
  for (size_t begin = 0; begin <= path.text()->size();) {
    size_t end = std::min(path.text()->find('.', begin), path.text()->size());
    std::string name = path.text()->substr(begin, end - begin);
    bool isIndex = !name.empty() && name.size() < 10 &&
                   name.find_first_not_of("0123456789") == std::string::npos;
    value = step(value, isIndex ? Value::integer(std::stoll(name)) : Value::string(name));
    begin = end + 1;
  }
  return value;
}

Value Evaluator::slice(const Expr &expr) {
  Value object = evaluate(*expr.operands[0]);
  int64_t bounds[3] = {};
  bool given[3] = {};
  for (int i = 0; i < 3; ++i) {
    if (!expr.operands[size_t(i) + 1])
      continue;
    Value bound = evaluate(*expr.operands[size_t(i) + 1]);
    if (bound.isNone())
      continue;
    if (!bound.integer())
      fail("expected an integer in a slice, got " + typeName(bound));
    bounds[i] = *bound.integer();
    given[i] = true;
  }
  if (auto *undefined = object.as<Undefined>())
    fail(*undefined->what);
  auto *text = object.text();
  List *list = object.list();
  if (!text && (!list || list->kind == ListKind::Generator || list->kind == ListKind::View))
    return missing(object, "slice");
  int64_t step = given[2] ? bounds[2] : 1;
  if (step == 0)
    fail("slice step cannot be zero");
  int64_t size = text ? length(object) : int64_t(list->items.size());
  auto clip = [&](int i, int64_t fallback) {
    if (!given[i])
      return fallback;
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
    return std::clamp(bounds[i] < 0 ? bounds[i] + size : bounds[i], low, high);
  };
  int64_t begin = clip(0, step < 0 ? size - 1 : 0), end = clip(1, step < 0 ? -1 : size);
  if (text && step == 1) {
    size_t first = byteOffset(*text, size_t(begin));
    size_t last = end <= begin ? first
                               : first + byteOffset(std::string_view(*text).substr(first),
                                                    size_t(end - begin));
    return makeString(text->substr(first, last - first));
  }
  std::vector<std::string_view> parts;
  if (text) {
    this->step(text->size());
    parts = characters(*text);
  }
  std::string out;
  Values items;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    this->step();
    if (text)
      out += parts[size_t(i)];
    else
      items.push_back(list->items[size_t(i)]);
    if (__builtin_add_overflow(i, step, &i))
      break;
  }
  return text ? makeString(std::move(out)) : makeList(std::move(items), list->kind);
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

static Value arithmetic(char op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = op == '+'   ? __builtin_add_overflow(a, b, &result)
                  : op == '-' ? __builtin_sub_overflow(a, b, &result)
                              : __builtin_mul_overflow(a, b, &result);
  if (overflow)
    fail("an integer that is too large");
  return Value::integer(result);
}

static Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0)
      fail("division by zero");
    return Value::real(std::pow(double(base), double(exponent)));
  }
  Value result = Value::integer(1);
  if (base == 0 || base == 1 || base == -1)
    return Value::integer(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base);
  for (; exponent > 0; --exponent)
    result = arithmetic('*', *result.integer(), base);
  return result;
}

Value Evaluator::binary(std::string_view op, const Value &a, const Value &b) {
  if (op == "~") {
    allocate(weightOf(a) + weightOf(b));
    std::string text = toText(a);
    text += toText(b);
    return makeString(std::move(text));
  }
  for (const Value *value : {&a, &b})
    if (auto *undefined = value->as<Undefined>())
      fail(*undefined->what);
  if (a.isNumber() && b.isNumber()) {
    bool integers = a.integer() && b.integer();
    int64_t x = integers ? *a.integer() : 0, y = integers ? *b.integer() : 0;
    double u = a.number(), v = b.number();
    bool divides = op == "/" || op == "//" || op == "%";
    if (divides && v == 0)
      fail("division by zero");
    if (op == "/")
      return Value::real(u / v);
    if (op == "**")
      return integers ? power(x, y) : Value::real(std::pow(u, v));
    if (!divides && integers)
      return arithmetic(op[0], x, y);
    if (!divides)
      return Value::real(op == "+" ? u + v : op == "-" ? u - v : u * v);
    if (integers) {
      if (y == -1) // the one quotient that can be too large
        return op == "//" ? arithmetic('-', 0, x) : Value::integer(0);
      int64_t quotient = x / y, rest = x % y;
      bool down = rest != 0 && (rest < 0) != (y < 0);
      return Value::integer(op == "//" ? quotient - down : down ? rest + y : rest);
    }
    double rest = std::fmod(u, v);
    if (rest != 0 && (rest < 0) != (v < 0))
      rest += v;
    return Value::real(op == "//" ? std::floor((u - rest) / v + 0.5) : rest);
  }
  if (op == "+" && a.text() && b.text())
    return makeString(*a.text() + *b.text());
  if (op == "+" && a.list() && b.list() && a.list()->kind == b.list()->kind &&
      a.list()->kind <= ListKind::Tuple) {
    Values items = iterate(a), more = iterate(b);
    items.insert(items.end(), more.begin(), more.end());
    return makeList(std::move(items), a.list()->kind);
  }
  if (op == "*") {
    const Value &repeated = a.integer() ? b : a;
    const int64_t *given = a.integer() ? a.integer() : b.integer();
    size_t count = given && *given > 0 ? size_t(*given) : 0;
    auto fits = [&](size_t size) {
      if (size && count > limits.bytes / size)
        allocate(limits.bytes + 1);
      allocate(size * count);
      step(count);
    };
    if (given && repeated.text()) {
      fits(repeated.text()->size());
      std::string text;
      for (size_t i = 0; i < count && !repeated.text()->empty(); ++i)
        text += *repeated.text();
      return makeString(std::move(text));
    }
    if (given && repeated.list() && repeated.list()->kind <= ListKind::Tuple) {
      fits(repeated.list()->items.size() * sizeof(Value));
      Values items;
      for (size_t i = 0; i < count && !repeated.list()->items.empty(); ++i)
        items.insert(items.end(), repeated.list()->items.begin(), repeated.list()->items.end());
      return makeList(std::move(items), repeated.list()->kind);
    }
  }
  if (op == "%" && a.text())
    return formatPercent(*this, *a.text(), b);
  fail("unsupported operand types for " + std::string(op) + ": '" + typeName(a) + "' and '" +
       typeName(b) + "'");
}

} // namespace ingot::chat
