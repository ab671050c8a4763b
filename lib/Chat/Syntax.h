//===- Syntax.h - Tokens and trees of templates ------------------*- C++ -*-===//

#ifndef INGOT_LIB_CHAT_SYNTAX_H
#define INGOT_LIB_CHAT_SYNTAX_H

#include "Value.h"

namespace ingot::chat {

enum class TokenKind : uint8_t {
  Text,
  PrintBegin, // {{
  PrintEnd,
  BlockBegin, // {%
  BlockEnd,
  Name,
  String,
  Number,
  Operator,
  End
};

struct Token {
  TokenKind kind;
  std::string text; ///< a string's value; a name or operator as it is spelled
  unsigned line;
  Value number;
};

/// Cuts a template into tokens, white space control included. Throws TemplateError.
std::vector<Token> tokenize(std::string_view source);

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using Exprs = std::vector<ExprPtr>;
using Block = std::vector<std::unique_ptr<Stmt>>;

enum class ExprKind : uint8_t {
  Constant,    // value
  Name,        // name
  List,        // operands
  Tuple,       // operands
  Dict,        // operands: key, value, key, value, ...
  Unary,       // name: "-", "+", "not"
  Binary,      // name: "+", "-", "*", "/", "//", "%", "**", "~"
  Compare,     // operands[0] ops[0] operands[1] ops[1] ...
  And,         // operands[0], operands[1]
  Or,          //
  Conditional, // operands: condition, then, else (may be null)
  Attribute,   // operands[0].name
  Item,        // operands[0][operands[1]]
  Slice,       // operands[0][operands[1]:operands[2]:operands[3]], each may be null
  Call,        // operands[0](operands[1], ..., keywords)
  Filter,      // operands[0] | name(operands[1], ..., keywords); in a block operands[0] is null
  Test,        // operands[0] is name(operands[1], ...)
};

struct Expr {
  ExprKind kind;
  unsigned line;
  std::string name;
  Value value;
  Exprs operands;
  std::vector<std::string> ops;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  unsigned depth = 1; ///< of the tree
};

enum class StmtKind : uint8_t {
  Text,      // text
  Print,     // exprs[0]
  If,        // exprs[i]: conditions, blocks[i]; one more block: else
  For,       // target, exprs: iterable, condition (may be null); blocks: body, else
  Set,       // target, exprs[0]
  SetBlock,  // target, blocks[0], exprs: filters (may be empty)
  With,      // exprs[i] for names[i]; blocks[0]
  Macro,     // text: name; names, exprs: defaults (of the last parameters); blocks[0]
  CallBlock, // exprs[0]: the call; macro's fields for what it passes on
  Filter,    // exprs[0], blocks[0]
  Scope,     // blocks[0]: a generation block
  Break,
  Continue
};

struct Stmt {
  StmtKind kind;
  unsigned line;
  std::string text;
  ExprPtr target; ///< a Name, an Attribute of a name, or a Tuple of targets
  Exprs exprs;
  std::vector<std::string> names;
  std::vector<Block> blocks;
  ExprPtr call; ///< CallBlock
  /// Macro: the body asks for these.
  bool usesVarargs = false, usesKwargs = false, usesCaller = false;
};

/// Throws TemplateError.
Block parse(std::string_view source);

} // namespace ingot::chat

#endif // INGOT_LIB_CHAT_SYNTAX_H
