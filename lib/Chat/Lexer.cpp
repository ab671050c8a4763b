//===- Lexer.cpp - Templates to tokens --------------------------------------===//
//
// White space control is decided here, as Jinja does with trim_blocks and lstrip_blocks: the line
// break behind a block or comment disappears, and so do the blanks before one that begins its line.
// `-` at a delimiter takes all white space on its side, `+` switches the rules off.
//
//===----------------------------------------------------------------------===//

#include "Syntax.h"

#include <algorithm>
#include <charconv>

namespace ingot::chat {

namespace {

class Lexer {
public:
  explicit Lexer(std::string_view given) {
    // One kind of line break, and none at the very end.
    for (size_t i = 0; i < given.size(); ++i) {
      source += given[i] == '\r' ? '\n' : given[i];
      if (given[i] == '\r' && i + 1 < given.size() && given[i + 1] == '\n')
        ++i;
    }
    if (!source.empty() && source.back() == '\n')
      source.pop_back();
  }

  std::vector<Token> run() {
    while (at < source.size()) {
      size_t open = at;
      do
        open = source.find('{', open);
      while (open != source.npos && !isDelimiter(open) && ++open);
      if (open == source.npos) {
        addText(source.size(), source.size());
        break;
      }
      char kind = source[open + 1];
      size_t inside = open + 2;
      char sign = inside < source.size() ? source[inside] : 0;
      if (sign == '-' || sign == '+')
        ++inside;
      else
        sign = 0;
      addText(stripBefore(open, kind, sign), open);
      if (kind == '#')
        comment(inside);
      else if (kind == '{' || !raw(inside))
        code(kind, inside);
    }
    tokens.push_back({TokenKind::End, "", line, {}});
    return std::move(tokens);
  }

private:
  [[noreturn]] void error(const std::string &what, unsigned where) {
    throw TemplateError("line " + std::to_string(where) + ": " + what);
  }

  bool isDelimiter(size_t i) const {
    char next = i + 1 < source.size() ? source[i + 1] : 0;
    return next == '{' || next == '%' || next == '#';
  }

  /// Where the text before a delimiter at `open` ends.
  size_t stripBefore(size_t open, char kind, char sign) const {
    size_t end = open;
    if (sign == '-') {
      while (end > at && isSpaceBefore(end))
        end = previous(end);
    } else if (sign == 0 && kind != '{') {
      size_t i = open;
      while (i > at && source[i - 1] != '\n' && isSpaceBefore(i))
        i = previous(i);
      if (i > at ? source[i - 1] == '\n' : lineStarting)
        end = i;
    }
    return end;
  }
  size_t previous(size_t i) const {
    do
      --i;
    while (i > 0 && (uint8_t(source[i]) & 0xC0) == 0x80);
    return i;
  }
  bool isSpaceBefore(size_t i) const { return isSpace(characterAt(source, previous(i))); }

  /// Adds the text from `at` to `end` and goes on at `next`.
  void addText(size_t end, size_t next) {
    if (end > at)
      tokens.push_back({TokenKind::Text, source.substr(at, end - at), line, {}});
    advance(next);
    lineStarting = false;
  }

  void advance(size_t next) {
    line += unsigned(std::count(source.begin() + long(at), source.begin() + long(next), '\n'));
    at = next;
  }

  void skipSpaces() {
    size_t i = at;
    while (i < source.size() && isSpace(characterAt(source, i)))
      i += characterLength(source, i);
    advance(i);
  }

  /// Goes past a closing delimiter whose two characters begin at `close`.
  void closeDelimiter(size_t close, char sign, bool trim) {
    size_t next = close + 2;
    advance(next);
    if (sign == '-')
      skipSpaces();
    else if (sign == 0 && trim && at < source.size() && source[at] == '\n')
      advance(at + 1);
    lineStarting = source[at - 1] == '\n';
  }

  static char signBefore(std::string_view text, size_t first, size_t close) {
    char sign = close > first ? text[close - 1] : 0;
    return sign == '-' || sign == '+' ? sign : 0;
  }

  void comment(size_t inside) {
    size_t close = source.find("#}", inside);
    if (close == source.npos)
      error("a comment that is not closed", line);
    closeDelimiter(close, signBefore(source, inside, close), true);
  }

  /// Matches white space, a word, white space, then "%}" with a sign; the position of "%}".
  size_t matchWord(size_t i, std::string_view word) const {
    auto skip = [&] {
      while (i < source.size() && isSpace(characterAt(source, i)))
        i += characterLength(source, i);
    };
    skip();
    if (source.compare(i, word.size(), word) != 0)
      return source.npos;
    i += word.size();
    skip();
    if (i < source.size() && (source[i] == '-' || source[i] == '+'))
      ++i;
    return source.compare(i, 2, "%}") == 0 ? i : source.npos;
  }

  bool raw(size_t inside) {
    size_t close = matchWord(inside, "raw");
    if (close == source.npos)
      return false;
    unsigned where = line;
    // No line break is trimmed behind {% raw %}.
    closeDelimiter(close, signBefore(source, inside, close) == '-' ? '-' : '+', true);
    lineStarting = false;
    for (size_t open = at; (open = source.find("{%", open)) != source.npos; ++open) {
      size_t word = open + 2;
      char sign = word < source.size() ? source[word] : 0;
      if (sign == '-' || sign == '+')
        ++word;
      else
        sign = 0;
      if (size_t end = matchWord(word, "endraw"); end != source.npos) {
        addText(stripBefore(open, '%', sign), open);
        closeDelimiter(end, signBefore(source, word, end), true);
        return true;
      }
    }
    error("a raw block that is not closed", where);
  }

  void code(char kind, size_t inside) {
    unsigned opened = line;
    tokens.push_back({kind == '{' ? TokenKind::PrintBegin : TokenKind::BlockBegin, "", line, {}});
    advance(inside);
    const std::string end = kind == '{' ? "}}" : "%}";
    std::string open; // brackets
    for (;;) {
      skipSpaces();
      if (at >= source.size())
        error(std::string("expected '") + end + "' before the end of the template", opened);
      if (open.empty()) {
        size_t sign = source[at] == '-' || (source[at] == '+' && kind == '%') ? 1 : 0;
        if (source.compare(at + sign, 2, end) == 0) {
          tokens.push_back(
              {kind == '{' ? TokenKind::PrintEnd : TokenKind::BlockEnd, end, line, {}});
          closeDelimiter(at + sign, sign ? source[at] : char(0), kind == '%');
          return;
        }
      }
      token(open);
    }
  }

  static bool isNameByte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (c & 0x80);
  }
  static bool isDigit(char c) { return c >= '0' && c <= '9'; }

  void token(std::string &open) {
    char c = source[at];
    size_t begin = at;
    if (isDigit(c))
      return number();
    if (isNameByte(c)) {
      size_t end = begin;
      while (end < source.size() && isNameByte(source[end]))
        ++end;
      add(TokenKind::Name, source.substr(begin, end - begin), end);
      return;
    }
    if (c == '\'' || c == '"')
      return string(c);
    static constexpr std::string_view two[] = {"//", "**", "==", "!=", ">=", "<="};
    for (std::string_view op : two)
      if (source.compare(begin, 2, op) == 0)
        return add(TokenKind::Operator, std::string(op), begin + 2);
    if (std::string_view("+-*/%~[](){}<>=.:|,").find(c) == std::string_view::npos)
      error("unexpected character '" + source.substr(begin, characterLength(source, begin)) + "'",
            line);
    if (c == '(' || c == '[' || c == '{')
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c)
        error(std::string("unexpected '") + c + "'", line);
      open.pop_back();
    }
    add(TokenKind::Operator, std::string(1, c), begin + 1);
  }

  void add(TokenKind kind, std::string text, size_t next) {
    tokens.push_back({kind, std::move(text), line, {}});
    advance(next);
  }

  void number() {
    size_t end = at;
    std::string digits;
    auto take = [&](auto accepts) {
      while (end < source.size() && (accepts(source[end]) || source[end] == '_')) {
        if (source[end] != '_')
          digits += source[end];
        ++end;
      }
    };
    int base = 10;
    bool isReal = false;
    char second = at + 1 < source.size() ? char(source[at + 1] | 0x20) : 0;
    if (source[at] == '0' && (second == 'x' || second == 'o' || second == 'b')) {
      base = second == 'x' ? 16 : second == 'o' ? 8 : 2;
      end += 2;
      take([](char c) { return isDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); });
    } else {
      take(isDigit);
      bool isIndex =
          !tokens.empty() && tokens.back().kind == TokenKind::Operator && tokens.back().text == ".";
      if (!isIndex && end + 1 < source.size() && source[end] == '.' && isDigit(source[end + 1])) {
        isReal = true;
        digits += '.';
        ++end;
        take(isDigit);
      }
      size_t exponent = end + 1;
      if (exponent < source.size() && (source[exponent] == '+' || source[exponent] == '-'))
        ++exponent;
      if (!isIndex && end < source.size() && (source[end] | 0x20) == 'e' &&
          exponent < source.size() && isDigit(source[exponent])) {
        isReal = true;
        digits += 'e';
        if (source[end + 1] == '-')
          digits += '-';
        end = exponent;
        take(isDigit);
      }
    }
    Value value;
    const char *first = digits.data(), *last = first + digits.size();
    std::errc code;
    const char *stop;
    if (isReal) {
      double real = 0;
      auto result = std::from_chars(first, last, real);
      code = result.ec, stop = result.ptr;
      value = Value::real(real);
    } else {
      int64_t integer = 0;
      auto result = std::from_chars(first, last, integer, base);
      code = result.ec, stop = result.ptr;
      value = Value::integer(integer);
    }
    if (code != std::errc() || stop != last)
      error("the number '" + source.substr(at, end - at) + "' is not supported", line);
    tokens.push_back({TokenKind::Number, source.substr(at, end - at), line, std::move(value)});
    advance(end);
  }

  void string(char mark) {
    std::string text;
    size_t i = at + 1;
    for (;; ++i) {
      if (i >= source.size())
        error("a string that is not closed", line);
      char c = source[i];
      if (c == mark)
        break;
      if (c != '\\' || i + 1 >= source.size()) {
        text += c;
        continue;
      }
      c = source[++i];
      static constexpr std::string_view names = "abfnrtv\\'\"", meanings = "\a\b\f\n\r\t\v\\'\"";
      if (size_t known = names.find(c); known != names.npos) {
        text += meanings[known];
      } else if (c == '\n') {
      } else if (c == 'x' || c == 'u' || c == 'U') {
        size_t width = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        uint32_t code = 0;
        const char *first = source.data() + i + 1;
        if (i + width >= source.size() ||
            std::from_chars(first, first + width, code, 16).ptr != first + width)
          error("expected " + std::to_string(width) + " hexadecimal digits after '\\" + c + "'",
                line);
        appendCharacter(text, code);
        i += width;
      } else if (c >= '0' && c <= '7') {
        uint32_t code = 0;
        size_t end = i;
        while (end < i + 3 && end < source.size() && source[end] >= '0' && source[end] <= '7')
          code = code * 8 + uint32_t(source[end++] - '0');
        appendCharacter(text, code);
        i = end - 1;
      } else if (c == 'N') {
        error("character names ('\\N') are not supported", line);
      } else {
        (text += '\\') += c;
      }
    }
    add(TokenKind::String, std::move(text), i + 1);
  }

  std::string source;
  size_t at = 0;
  unsigned line = 1;
  bool lineStarting = true; ///< the text at `at` begins a line
  std::vector<Token> tokens;
};

} // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

} // namespace ingot::chat
