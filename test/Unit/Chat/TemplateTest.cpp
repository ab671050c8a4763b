//===- TemplateTest.cpp - Chat templates ------------------------------------===//
//
// cases.json holds templates, variables and what Jinja makes of them (make-cases.py wrote it).
//
//===----------------------------------------------------------------------===//

#include "ingot/Chat/Template.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

using namespace ingot::chat;

namespace {

std::string render(const std::string &source, const std::string &variables = "{}") {
  return Template(source).render(variables, {}, 0);
}

std::string errorOf(const std::string &source, const std::string &variables = "{}",
                    const Limits &limits = {}) {
  try {
    Template(source).render(variables, limits);
  } catch (const TemplateError &error) {
    return error.what();
  }
  return "no error";
}

TEST(Template, GivesWhatJinjaGives) {
  std::ifstream file(INGOT_CHAT_CASES);
  auto data = nlohmann::ordered_json::parse(file);
  ASSERT_GT(data["cases"].size(), 600u);
  for (const auto &test : data["cases"]) {
    const std::string source = data["templates"][test["template"].get<size_t>()];
    const std::string variables = data["variables"][test["variables"].get<size_t>()].dump();
    SCOPED_TRACE(source);
    std::string got;
    bool failed = false;
    try {
      got = Template(source).render(variables);
    } catch (const TemplateError &error) {
      failed = true;
      got = error.what();
    }
    if (test.contains("raises")) {
      EXPECT_TRUE(failed) << got;
      // What the template itself says must reach the user.
      EXPECT_NE(got.find(test["raises"].get<std::string>()), std::string::npos) << got;
    } else {
      EXPECT_FALSE(failed);
      EXPECT_EQ(got, test["expected"].get<std::string>());
    }
  }
}

TEST(Template, NamesWhatItDoesNotKnow) {
  EXPECT_EQ(errorOf("a\n{% include 'x' %}"), "line 2: the statement 'include' is not supported");
  EXPECT_EQ(errorOf("{% import 'x' as y %}"), "line 1: the statement 'import' is not supported");
  EXPECT_EQ(errorOf("{% block a %}{% endblock %}"),
            "line 1: the statement 'block' is not supported");
  EXPECT_EQ(errorOf("\n\n{{ 1 | xmlattr }}"), "line 3: unknown filter 'xmlattr'");
  EXPECT_EQ(errorOf("{{ 1 is prime }}"), "line 1: unknown test 'prime'");
  EXPECT_EQ(errorOf("{{ f(*a) }}"), "line 1: '*' in front of an argument is not supported");
  EXPECT_EQ(errorOf("{% for a in b recursive %}{% endfor %}"),
            "line 1: recursive loops are not supported");
  EXPECT_EQ(errorOf("{{ 1\n | sort(attribute='a,b') }}"),
            "line 2: a value of type int cannot be iterated over");
  EXPECT_EQ(errorOf("{{ '' | sort(attribute='a,b') }}"),
            "line 1: 'sort' by several attributes is not supported");
}

TEST(Template, Syntax) {
  EXPECT_EQ(errorOf("{{ 1 +"), "line 1: expected '}}' before the end of the template");
  EXPECT_EQ(errorOf("{{ }}"), "line 1: expected an expression, got '}}'");
  EXPECT_EQ(errorOf("{% if a %}x"), "line 1: expected '{% endif %}', got the end of the template");
  EXPECT_EQ(errorOf("x\n{% endif %}"), "line 2: unexpected 'endif'");
  EXPECT_EQ(errorOf("{% if a %}{% endfor %}"), "line 1: unexpected 'endfor'");
  EXPECT_EQ(errorOf("{% else %}"), "line 1: unexpected 'else'");
  EXPECT_EQ(errorOf("{# a"), "line 1: a comment that is not closed");
  EXPECT_EQ(errorOf("{% raw %} a"), "line 1: a raw block that is not closed");
  EXPECT_EQ(errorOf("{{ 'a }}"), "line 1: a string that is not closed");
  EXPECT_EQ(errorOf("{{ $ }}"), "line 1: unexpected character '$'");
  EXPECT_EQ(errorOf("{{ (1] }}"), "line 1: unexpected ']'");
  EXPECT_EQ(errorOf("{{ 99999999999999999999 }}"),
            "line 1: the number '99999999999999999999' is not supported");
  EXPECT_EQ(errorOf("{{ '\\xZZ' }}"), "line 1: expected 2 hexadecimal digits after '\\x'");
  EXPECT_EQ(errorOf("{{ '\\N{DASH}' }}"), "line 1: character names ('\\N') are not supported");
  EXPECT_EQ(errorOf("{% set true = 1 %}"), "line 1: cannot assign to 'true'");
  EXPECT_EQ(errorOf("{% break %}"), "line 1: 'break' outside a loop");
  EXPECT_EQ(errorOf("{{ 1 is string is string }}"), "line 1: tests cannot be chained with 'is'");
  EXPECT_EQ(errorOf("{% %}"), "line 1: expected a statement, got '%}'");
  EXPECT_EQ(errorOf("{{ a b }}"), "line 1: expected '}}', got 'b'");
  EXPECT_EQ(errorOf("{% call x %}{% endcall %}"), "line 1: expected a call");
  EXPECT_EQ(errorOf("{% macro m(a=1, b) %}{% endmacro %}"),
            "line 1: a parameter without a default behind one with a default");
}

TEST(Template, Values) {
  EXPECT_EQ(errorOf("{{ a.b }}"), "line 1: 'a' is undefined");
  EXPECT_EQ(errorOf("{{ a.b.c }}", R"({"a": {}})"), "line 1: 'dict object' has no attribute 'b'");
  EXPECT_EQ(errorOf("{{ 'a' + 1 }}"), "line 1: unsupported operand types for +: 'str' and 'int'");
  EXPECT_EQ(errorOf("{{ 1 < 'a' }}"), "line 1: '<' not supported between 'int' and 'str'");
  EXPECT_EQ(errorOf("{{ 1 / 0 }}"), "line 1: division by zero");
  EXPECT_EQ(errorOf("{{ 9223372036854775807 + 1 }}"), "line 1: an integer that is too large");
  EXPECT_EQ(errorOf("{{ 3 ** 60 }}"), "line 1: an integer that is too large");
  EXPECT_EQ(errorOf("{% set a.b = 1 %}"), "line 1: cannot assign to 'a.b': 'a' is not a namespace");
  EXPECT_EQ(errorOf("{% set a, b = 1, 2, 3 %}"), "line 1: expected 2 values to assign, got 3");
  EXPECT_EQ(errorOf("{{ [].append(1) }}"),
            "line 1: 'append' would change a list, which templates may not");
  EXPECT_EQ(errorOf("{{ {}.update({}) }}"),
            "line 1: 'update' would change a dict, which templates may not");
  EXPECT_EQ(errorOf("{{ ''.__class__.x }}"), "line 1: 'str object' has no attribute '__class__'");
  EXPECT_EQ(errorOf("{{ range.__globals__.x }}"),
            "line 1: 'function object' has no attribute '__globals__'");
  EXPECT_EQ(errorOf("{{ 1 | default(0, true, 3, 4) }}"),
            "line 1: 'default' takes at most 3 arguments, got 5");
  EXPECT_EQ(errorOf("{{ 1 | default(0, bool=true) }}"), "line 1: 'default' has no argument 'bool'");
  EXPECT_EQ(errorOf("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}"),
            "line 1: macro 'm' takes at most 1 arguments, got 2");
  EXPECT_EQ(errorOf("{{ 1 }}", "[]"),
            "expected the variables of a template as an object, got list");
  EXPECT_EQ(errorOf("{{ 1 }}", "{"), "not valid JSON");
  EXPECT_EQ(errorOf("{{ {[]: 1} }}"), "line 1: unhashable type: 'list'");
  EXPECT_EQ(errorOf("\n{{ raise_exception('Only user and assistant roles!') }}"),
            "line 2: Only user and assistant roles!");
}

TEST(Template, Time) { EXPECT_EQ(render("{{ strftime_now('%Y') }}").substr(0, 2), "19"); }

// Templates that mean harm end with an error, soon, and with little memory.
TEST(Template, Limits) {
  auto repeat = [](const std::string &text, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i)
      out += text;
    return out;
  };
  auto mentions = [](const std::string &error, const char *what) {
    EXPECT_NE(error.find(what), std::string::npos) << error;
  };
  const char *steps = "steps", *deep = "deep", *bytes = "bytes";
  mentions(errorOf(repeat("{% for a in range(100) %}", 10) + repeat("{% endfor %}", 10)),
           "template");
  mentions(
      errorOf("{% for a in range(20000) %}{{ '' if " + repeat("1 + ", 150) + "1 }}{% endfor %}"),
      steps);
  mentions(errorOf("{{ 'a' * 10 ** 15 }}"), bytes);
  mentions(errorOf("{{ [1] * 10 ** 15 }}"), bytes);
  mentions(errorOf("{{ 'a'.center(10 ** 15) }}"), bytes);
  mentions(errorOf("{{ [1] | batch(10 ** 15, 2) | list }}"), bytes);
  mentions(errorOf("{{ range(10 ** 15) }}"), "range");
  mentions(errorOf("{% set n = namespace(t='aa') %}{% for i in range(1000) %}"
                   "{% set n.t = n.t + n.t %}{% endfor %}"),
           bytes);
  mentions(errorOf("{% set n = namespace(t='aa') %}{% for i in range(1000) %}"
                   "{% set n.t = n.t | replace('a', n.t) %}{% endfor %}"),
           bytes);
  mentions(errorOf("{% set n = namespace(t=[]) %}{% for i in range(1000) %}"
                   "{% set n.t = [n.t] %}{% endfor %}"),
           deep);
  mentions(errorOf("{% set n = namespace() %}{% for k in range(99999) %}{% for i in [n.x] %}"
                   "{% set n.x = loop %}{% endfor %}{% endfor %}"),
           deep);
  mentions(errorOf("{% set n = namespace() %}{% for k in range(99999) %}"
                   "{% set n.x = [n.x].index %}{% endfor %}"),
           deep);
  // A list that prints as 2^60 elements.
  mentions(errorOf("{% set n = namespace(t=['x']) %}{% for i in range(60) %}"
                   "{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t }}"),
           bytes);
  mentions(errorOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), deep);
  mentions(errorOf("{{ " + repeat("(", 100000) + "1" + repeat(")", 100000) + " }}"), deep);
  mentions(errorOf("{{ " + repeat("-", 100000) + "1 }}"), deep);
  mentions(errorOf("{{ " + repeat("not ", 100000) + "1 }}"), deep);
  mentions(errorOf("{{ 1" + repeat(" + 1", 100000) + " }}"), deep);
  mentions(errorOf("{{ a" + repeat(".a", 100000) + " }}"), deep);
  mentions(errorOf("{{ a" + repeat("|list", 100000) + " }}"), deep);
  mentions(errorOf("{% set " + repeat("(", 100000) + "a" + repeat(")", 100000) + " = 1 %}"), deep);
  mentions(errorOf(repeat("{% if 1 %}", 100000)), deep);
  mentions(errorOf("{{ x }}", "{\"x\": " + repeat("[", 100000) + repeat("]", 100000) + "}"), deep);
  // Values that hold themselves are freed, and print.
  EXPECT_EQ(render("{% set n = namespace() %}{% set n.n = n %}{{ n }}"), "<Namespace>");
  mentions(errorOf("{% set n = namespace() %}{% set n.n = n %}{% for i in range(50000) %}"
                   "{% set m = namespace(n=n) %}{% set n.n = m %}{% endfor %}{{ n is defined }}"),
           deep);
}

} // namespace
