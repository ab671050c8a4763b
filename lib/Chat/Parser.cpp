//===- Parser.cpp - Tokens to trees -----------------------------------------===//
//
// Recursive descent over Jinja's grammar, with its precedences: or, and, not, comparison, + and -,
// ~, * / // and %, **, unary minus, then calls, subscripts, filters and tests. Both the recursion
// here and the depth of the trees are bounded, because their evaluation recurses as well.
//
//===----------------------------------------------------------------------===//

#include "Syntax.h"

#include <algorithm>
#include <initializer_list>

namespace ingot::chat {

namespace {

constexpr unsigned maxExpressionDepth = 200;
constexpr unsigned maxBlockDepth = 50;

class Parser {
public:
  explicit Parser(std::string_view source) : tokens(tokenize(source)) {}

  Block run() {
    Block block = statements({});
    if (current().kind != TokenKind::End)
      unexpected(); // an end tag without a beginning
    return block;
  }

private:
  //===--------------------------------------------------------------------===//
  // Tokens
  //===--------------------------------------------------------------------===//

  const Token &current() const { return tokens[at]; }
  const Token &look() const { return tokens[std::min(at + 1, tokens.size() - 1)]; }
  const Token &next() {
    const Token &token = tokens[at];
    at = std::min(at + 1, tokens.size() - 1);
    return token;
  }
  static bool is(const Token &token, TokenKind kind, std::string_view text) {
    return token.kind == kind && token.text == text;
  }
  bool isName(std::string_view text) const { return is(current(), TokenKind::Name, text); }
  bool isOp(std::string_view text) const { return is(current(), TokenKind::Operator, text); }
  bool skipName(std::string_view text) { return isName(text) && (next(), true); }
  bool skipOp(std::string_view text) { return isOp(text) && (next(), true); }

  [[noreturn]] void error(const std::string &what, unsigned line) const {
    throw TemplateError("line " + std::to_string(line) + ": " + what);
  }
  std::string describe() const {
    const Token &token = current();
    switch (token.kind) {
    case TokenKind::PrintEnd:
    case TokenKind::BlockEnd:
      return "'" + token.text + "'";
    case TokenKind::End:
      return "the end of the template";
    case TokenKind::String:
      return "a string";
    default:
      return "'" + token.text + "'";
    }
  }
  [[noreturn]] void expected(const std::string &what) const {
    error("expected " + what + ", got " + describe(), current().line);
  }
  [[noreturn]] void unexpected() const {
    // `{%` has been read, or a tag stands where none can.
    error("unexpected " + describe(), current().line);
  }
  void expectOp(std::string_view text) {
    if (!skipOp(text))
      expected("'" + std::string(text) + "'");
  }
  std::string expectName(const char *what) {
    if (current().kind != TokenKind::Name)
      expected(what);
    return next().text;
  }
  void expectBlockEnd() {
    if (current().kind != TokenKind::BlockEnd)
      expected("'%}'");
    next();
  }

  //===--------------------------------------------------------------------===//
  // Statements
  //===--------------------------------------------------------------------===//

  /// Statements up to a tag of one of the names, which is current then, behind its `{%`.
  Block statements(std::initializer_list<const char *> ends) {
    if (++blockDepth > maxBlockDepth)
      error("blocks nested more than " + std::to_string(maxBlockDepth) + " deep", current().line);
    Block block;
    for (;;) {
      const Token &token = current();
      if (token.kind == TokenKind::Text) {
        block.push_back(make(StmtKind::Text));
        block.back()->text = next().text;
      } else if (token.kind == TokenKind::PrintBegin) {
        next();
        block.push_back(make(StmtKind::Print));
        block.back()->exprs.push_back(tuple(/*conditional=*/true, {}));
        if (current().kind != TokenKind::PrintEnd)
          expected("'}}'");
        next();
      } else if (token.kind == TokenKind::BlockBegin) {
        next();
        if (current().kind == TokenKind::Name &&
            std::any_of(ends.begin(), ends.end(), [&](auto *end) { return isName(end); }))
          break;
        block.push_back(statement());
        expectBlockEnd();
      } else {
        if (ends.size())
          expected("'{% " + std::string(*(ends.end() - 1)) + " %}'");
        break;
      }
    }
    --blockDepth;
    return block;
  }

  std::unique_ptr<Stmt> make(StmtKind kind) const {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = current().line;
    return stmt;
  }

  /// The body of a tag that ends with `end`, from the end of the opening tag on; leaves the end of
  /// the closing one to the caller.
  Block body(const char *end) {
    expectBlockEnd();
    Block block = statements({end});
    next();
    return block;
  }

  std::unique_ptr<Stmt> statement() {
    std::string name = current().kind == TokenKind::Name ? current().text : std::string();
    if (name == "if")
      return ifStatement();
    if (name == "for")
      return forStatement();
    if (name == "set")
      return setStatement();
    if (name == "macro")
      return macroStatement();
    if (name == "call")
      return callStatement();
    if (name == "with")
      return withStatement();
    if (name == "filter") {
      auto stmt = make(StmtKind::Filter);
      next();
      stmt->exprs.push_back(filters(nullptr, /*inlineStart=*/true));
      stmt->blocks.push_back(body("endfilter"));
      return stmt;
    }
    if (name == "generation") {
      auto stmt = make(StmtKind::Scope);
      next();
      stmt->blocks.push_back(body("endgeneration"));
      return stmt;
    }
    if (name == "break" || name == "continue") {
      auto stmt = make(name == "break" ? StmtKind::Break : StmtKind::Continue);
      if (!loopDepth)
        error("'" + name + "' outside a loop", stmt->line);
      next();
      return stmt;
    }
    if (name.empty())
      expected("a statement");
    if (name.compare(0, 3, "end") == 0 || name == "else" || name == "elif")
      error("unexpected '" + name + "'", current().line);
    error("the statement '" + name + "' is not supported", current().line);
  }

  std::unique_ptr<Stmt> ifStatement() {
    auto stmt = make(StmtKind::If);
    do {
      next();
      stmt->exprs.push_back(tuple(/*conditional=*/false, {}));
      expectBlockEnd();
      stmt->blocks.push_back(statements({"elif", "else", "endif"}));
    } while (isName("elif"));
    if (skipName("else")) {
      expectBlockEnd();
      stmt->blocks.push_back(statements({"endif"}));
    }
    next();
    return stmt;
  }

  std::unique_ptr<Stmt> forStatement() {
    auto stmt = make(StmtKind::For);
    next();
    stmt->target = target("in", /*attributes=*/false);
    if (!skipName("in"))
      expected("'in'");
    stmt->exprs.push_back(tuple(/*conditional=*/false, "recursive"));
    stmt->exprs.push_back(skipName("if") ? expression() : nullptr);
    if (isName("recursive"))
      error("recursive loops are not supported", current().line);
    expectBlockEnd();
    ++loopDepth;
    stmt->blocks.push_back(statements({"endfor", "else"}));
    --loopDepth;
    stmt->blocks.emplace_back();
    if (next().text == "else") {
      expectBlockEnd();
      stmt->blocks.back() = statements({"endfor"});
      next();
    }
    return stmt;
  }

  std::unique_ptr<Stmt> setStatement() {
    auto stmt = make(StmtKind::Set);
    next();
    stmt->target = target({}, /*attributes=*/true);
    if (skipOp("=")) {
      stmt->exprs.push_back(tuple(/*conditional=*/true, {}));
      return stmt;
    }
    stmt->kind = StmtKind::SetBlock;
    if (isOp("|"))
      stmt->exprs.push_back(filters(nullptr, /*inlineStart=*/false));
    stmt->blocks.push_back(body("endset"));
    return stmt;
  }

  std::unique_ptr<Stmt> withStatement() {
    auto stmt = make(StmtKind::With);
    next();
    while (current().kind != TokenKind::BlockEnd) {
      if (!stmt->names.empty())
        expectOp(",");
      stmt->names.push_back(expectName("a name"));
      expectOp("=");
      stmt->exprs.push_back(expression());
    }
    stmt->blocks.push_back(body("endwith"));
    return stmt;
  }

  void signature(Stmt &stmt) {
    expectOp("(");
    while (!isOp(")")) {
      if (!stmt.names.empty())
        expectOp(",");
      stmt.names.push_back(expectName("the name of a parameter"));
      if (skipOp("="))
        stmt.exprs.push_back(expression());
      else if (!stmt.exprs.empty())
        error("a parameter without a default behind one with a default", current().line);
    }
    next();
  }

  void macroBody(Stmt &stmt, const char *end) {
    // Loops outside the macro are not the macro's.
    unsigned outerLoops = std::exchange(loopDepth, 0);
    Stmt *outerMacro = std::exchange(macro, &stmt);
    stmt.blocks.push_back(body(end));
    macro = outerMacro;
    loopDepth = outerLoops;
  }

  std::unique_ptr<Stmt> macroStatement() {
    auto stmt = make(StmtKind::Macro);
    next();
    stmt->text = expectName("the name of a macro");
    signature(*stmt);
    macroBody(*stmt, "endmacro");
    return stmt;
  }

  std::unique_ptr<Stmt> callStatement() {
    auto stmt = make(StmtKind::CallBlock);
    next();
    stmt->text = "caller";
    if (isOp("("))
      signature(*stmt);
    stmt->call = expression();
    if (stmt->call->kind != ExprKind::Call)
      error("expected a call", stmt->line);
    macroBody(*stmt, "endcall");
    return stmt;
  }

  /// What is assigned to: a name, names with commas, or (`attributes`) name.attribute.
  ExprPtr target(std::string_view end, bool attributes) {
    ExprPtr first = singleTarget(attributes);
    if (!isOp(","))
      return first;
    ExprPtr tuple = expr(ExprKind::Tuple);
    add(*tuple, std::move(first));
    while (skipOp(",")) {
      if (isOp("=") || isName(end) || isOp(")"))
        break;
      add(*tuple, singleTarget(attributes));
    }
    return tuple;
  }

  ExprPtr singleTarget(bool attributes) {
    Nesting guard(*this);
    if (skipOp("(")) {
      ExprPtr inner = target({}, attributes);
      expectOp(")");
      return inner;
    }
    ExprPtr name = expr(ExprKind::Name);
    name->name = expectName("a name to assign to");
    if (attributes && isOp(".")) {
      ExprPtr attribute = expr(ExprKind::Attribute);
      next();
      attribute->name = expectName("the name of an attribute");
      add(*attribute, std::move(name));
      return attribute;
    }
    static constexpr std::string_view reserved[] = {"true",  "false", "none", "True",
                                                    "False", "None",  "loop"};
    for (std::string_view word : reserved)
      if (name->name == word)
        error("cannot assign to '" + name->name + "'", name->line);
    return name;
  }

  //===--------------------------------------------------------------------===//
  // Expressions
  //===--------------------------------------------------------------------===//

  struct Nesting {
    explicit Nesting(Parser &parser) : parser(parser) {
      if (++parser.nesting > maxExpressionDepth)
        parser.tooDeep();
    }
    ~Nesting() { --parser.nesting; }
    Parser &parser;
  };
  [[noreturn]] void tooDeep() const {
    error("an expression nested more than " + std::to_string(maxExpressionDepth) + " deep",
          current().line);
  }

  ExprPtr expr(ExprKind kind) const {
    auto made = std::make_unique<Expr>();
    made->kind = kind;
    made->line = current().line;
    return made;
  }
  void deepen(Expr &parent, const Expr &child) const {
    parent.depth = std::max(parent.depth, child.depth + 1);
    if (parent.depth > 2 * maxExpressionDepth)
      tooDeep();
  }
  void add(Expr &parent, ExprPtr child) const {
    if (child)
      deepen(parent, *child);
    parent.operands.push_back(std::move(child));
  }
  ExprPtr make(ExprKind kind, std::string name, ExprPtr a, ExprPtr b) const {
    ExprPtr made = expr(kind);
    made->line = a->line;
    made->name = std::move(name);
    add(*made, std::move(a));
    if (b)
      add(*made, std::move(b));
    return made;
  }

  bool isTupleEnd(std::string_view end) const {
    return current().kind == TokenKind::PrintEnd || current().kind == TokenKind::BlockEnd ||
           isOp(")") || (!end.empty() && isName(end));
  }

  /// An expression, or several with commas.
  ExprPtr tuple(bool conditional, std::string_view end, bool parentheses = false) {
    if (parentheses && isOp(")"))
      return expr(ExprKind::Tuple);
    auto element = [&] { return conditional ? expression() : orExpression(); };
    ExprPtr first = element();
    if (!isOp(","))
      return first;
    ExprPtr made = expr(ExprKind::Tuple);
    add(*made, std::move(first));
    while (skipOp(",") && !isTupleEnd(end))
      add(*made, element());
    return made;
  }

  ExprPtr expression() {
    Nesting guard(*this);
    ExprPtr then = orExpression();
    while (isName("if")) {
      ExprPtr made = expr(ExprKind::Conditional);
      next();
      add(*made, orExpression());
      add(*made, std::move(then));
      add(*made, skipName("else") ? expression() : nullptr);
      then = std::move(made);
    }
    return then;
  }

  ExprPtr orExpression() {
    ExprPtr left = andExpression();
    while (skipName("or"))
      left = make(ExprKind::Or, "or", std::move(left), andExpression());
    return left;
  }

  ExprPtr andExpression() {
    ExprPtr left = notExpression();
    while (skipName("and"))
      left = make(ExprKind::And, "and", std::move(left), notExpression());
    return left;
  }

  ExprPtr notExpression() {
    Nesting guard(*this);
    if (skipName("not"))
      return make(ExprKind::Unary, "not", notExpression(), nullptr);
    return comparison();
  }

  ExprPtr comparison() {
    ExprPtr left = sum();
    ExprPtr made;
    for (;;) {
      std::string op;
      if (current().kind == TokenKind::Operator) {
        for (const char *known : {"==", "!=", "<", "<=", ">", ">="})
          if (isOp(known))
            op = known;
      } else if (isName("in")) {
        op = "in";
      } else if (isName("not") && is(look(), TokenKind::Name, "in")) {
        next();
        op = "not in";
      }
      if (op.empty())
        return made ? std::move(made) : std::move(left);
      next();
      if (!made)
        made = make(ExprKind::Compare, "", std::move(left), nullptr);
      made->ops.push_back(std::move(op));
      add(*made, sum());
    }
  }

  /// Left-associative operators of one precedence.
  template <typename Operand>
  ExprPtr binary(std::initializer_list<const char *> ops, Operand operand) {
    ExprPtr left = operand();
    for (;;) {
      auto op = std::find_if(ops.begin(), ops.end(), [&](auto *known) { return isOp(known); });
      if (op == ops.end())
        return left;
      next();
      left = make(ExprKind::Binary, *op, std::move(left), operand());
    }
  }
  ExprPtr sum() {
    return binary({"+", "-"}, [&] { return concatenation(); });
  }
  ExprPtr concatenation() {
    return binary({"~"}, [&] { return product(); });
  }
  ExprPtr product() {
    return binary({"*", "/", "//", "%"}, [&] { return power(); });
  }
  ExprPtr power() {
    return binary({"**"}, [&] { return unary(/*withFilters=*/true); });
  }

  ExprPtr unary(bool withFilters) {
    Nesting guard(*this);
    ExprPtr made;
    if (isOp("-") || isOp("+")) {
      std::string op = next().text;
      made = make(ExprKind::Unary, std::move(op), unary(/*withFilters=*/false), nullptr);
    } else {
      made = primary();
    }
    made = postfix(std::move(made));
    return withFilters ? filtersAndTests(std::move(made)) : std::move(made);
  }

  ExprPtr constant(Value value) {
    ExprPtr made = expr(ExprKind::Constant);
    made->value = std::move(value);
    next();
    return made;
  }

  ExprPtr primary() {
    const Token &token = current();
    if (token.kind == TokenKind::Number)
      return constant(token.number);
    if (token.kind == TokenKind::String) {
      ExprPtr made = expr(ExprKind::Constant);
      std::string text;
      while (current().kind == TokenKind::String)
        text += next().text;
      made->value = Value::string(std::move(text));
      return made;
    }
    if (token.kind == TokenKind::Name) {
      if (token.text == "true" || token.text == "True")
        return constant(Value::boolean(true));
      if (token.text == "false" || token.text == "False")
        return constant(Value::boolean(false));
      if (token.text == "none" || token.text == "None")
        return constant(Value());
      ExprPtr made = expr(ExprKind::Name);
      made->name = next().text;
      if (macro) {
        macro->usesVarargs |= made->name == "varargs";
        macro->usesKwargs |= made->name == "kwargs";
        macro->usesCaller |= made->name == "caller";
      }
      return made;
    }
    if (skipOp("(")) {
      ExprPtr made = tuple(/*conditional=*/true, {}, /*parentheses=*/true);
      expectOp(")");
      return made;
    }
    if (isOp("[")) {
      ExprPtr made = expr(ExprKind::List);
      next();
      while (!isOp("]")) {
        if (!made->operands.empty())
          expectOp(",");
        if (isOp("]"))
          break;
        add(*made, expression());
      }
      next();
      return made;
    }
    if (isOp("{")) {
      ExprPtr made = expr(ExprKind::Dict);
      next();
      while (!isOp("}")) {
        if (!made->operands.empty())
          expectOp(",");
        if (isOp("}"))
          break;
        add(*made, expression());
        expectOp(":");
        add(*made, expression());
      }
      next();
      return made;
    }
    expected("an expression");
  }

  ExprPtr postfix(ExprPtr made) {
    for (;;) {
      if (isOp("."))
        made = attribute(std::move(made));
      else if (isOp("["))
        made = subscript(std::move(made));
      else if (isOp("("))
        made = call(std::move(made));
      else
        return made;
    }
  }

  ExprPtr attribute(ExprPtr object) {
    next();
    if (current().kind == TokenKind::Number && current().number.as<int64_t>()) {
      ExprPtr index = constant(current().number);
      return make(ExprKind::Item, "", std::move(object), std::move(index));
    }
    std::string name = expectName("a name or a number behind '.'");
    return make(ExprKind::Attribute, std::move(name), std::move(object), nullptr);
  }

  ExprPtr subscript(ExprPtr object) {
    next();
    ExprPtr parts[3];
    bool isSlice = false;
    if (!isOp(":"))
      parts[0] = expression();
    for (int i = 1; i < 3 && skipOp(":"); ++i) {
      isSlice = true;
      if (!isOp(":") && !isOp("]"))
        parts[i] = expression();
    }
    if (!isOp("]"))
      expected("']'");
    next();
    if (!isSlice)
      return make(ExprKind::Item, "", std::move(object), std::move(parts[0]));
    ExprPtr made = make(ExprKind::Slice, "", std::move(object), nullptr);
    for (ExprPtr &part : parts)
      add(*made, std::move(part));
    return made;
  }

  void arguments(Expr &made) {
    expectOp("(");
    bool first = true;
    while (!isOp(")")) {
      if (!first)
        expectOp(",");
      first = false;
      if (isOp(")"))
        break;
      if (isOp("*") || isOp("**"))
        error("'" + current().text + "' in front of an argument is not supported", current().line);
      if (current().kind == TokenKind::Name && is(look(), TokenKind::Operator, "=")) {
        std::string name = next().text;
        next();
        ExprPtr value = expression();
        deepen(made, *value);
        made.keywords.emplace_back(std::move(name), std::move(value));
      } else {
        if (!made.keywords.empty())
          error("an argument behind one with a name", current().line);
        add(made, expression());
      }
    }
    next();
  }

  ExprPtr call(ExprPtr callee) {
    ExprPtr made = make(ExprKind::Call, "", std::move(callee), nullptr);
    arguments(*made);
    return made;
  }

  std::string dottedName(const char *what) {
    std::string name = expectName(what);
    while (skipOp("."))
      name += "." + expectName(what);
    return name;
  }

  /// Filters behind `operand`, which is null for the text of a block; the first has no `|` with
  /// `inlineStart`.
  ExprPtr filters(ExprPtr operand, bool inlineStart) {
    while (inlineStart || skipOp("|")) {
      inlineStart = false;
      ExprPtr made = expr(ExprKind::Filter);
      made->name = dottedName("the name of a filter");
      add(*made, std::move(operand));
      if (isOp("("))
        arguments(*made);
      operand = std::move(made);
    }
    return operand;
  }

  ExprPtr filtersAndTests(ExprPtr operand) {
    for (;;) {
      if (isOp("|"))
        operand = filters(std::move(operand), /*inlineStart=*/false);
      else if (isName("is"))
        operand = test(std::move(operand));
      else if (isOp("("))
        operand = call(std::move(operand));
      else
        return operand;
    }
  }

  ExprPtr test(ExprPtr operand) {
    next();
    bool negated = skipName("not");
    ExprPtr made = expr(ExprKind::Test);
    made->name = dottedName("the name of a test");
    add(*made, std::move(operand));
    TokenKind kind = current().kind;
    if (isOp("(")) {
      arguments(*made);
    } else if ((kind == TokenKind::Name && !isName("else") && !isName("or") && !isName("and")) ||
               kind == TokenKind::String || kind == TokenKind::Number || isOp("[") || isOp("{")) {
      if (isName("is"))
        error("tests cannot be chained with 'is'", current().line);
      Nesting guard(*this);
      add(*made, postfix(primary()));
    }
    return negated ? make(ExprKind::Unary, "not", std::move(made), nullptr) : std::move(made);
  }

  std::vector<Token> tokens;
  size_t at = 0;
  unsigned nesting = 0, blockDepth = 0, loopDepth = 0;
  Stmt *macro = nullptr;
};

} // namespace

Block parse(std::string_view source) { return Parser(source).run(); }

} // namespace ingot::chat
