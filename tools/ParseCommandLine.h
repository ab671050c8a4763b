//===- ParseCommandLine.h - usage errors of ingot-compile and ingot-run -----------*- C++ -*-===//
#ifndef INGOT_TOOLS_PARSECOMMANDLINE_H
#define INGOT_TOOLS_PARSECOMMANDLINE_H

#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>
#include <string_view>

/// A command line that can be read but makes no sense. The message says what to do.
class UsageError : public CLI::ParseError {
public:
  explicit UsageError(const std::string &what)
      : ParseError("UsageError", what, CLI::ExitCodes::ValidationError) {}
};

/// Throws for `--option=` at the end of an argument: the parser would take the next one as value.
inline void checkEmptyValues(const CLI::App &app, int argc, char **argv) {
  auto isOption = [&](const std::string &name) {
    bool known = app.get_option_no_throw(name) != nullptr;
    for (const CLI::App *each : app.get_subcommands([](const CLI::App *) { return true; }))
      known |= each->get_option_no_throw(name) != nullptr;
    return known;
  };
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    std::string argument = argv[i];
    if (argument.find('=') == argument.size() - 1 &&
        isOption(argument.substr(0, argument.size() - 1)))
      throw UsageError(argument + ": expected a value after the '='");
  }
}

/// The parser's message in the words of all others.
inline std::string describeError(const CLI::ParseError &error) {
  std::string what = error.what();
  auto after = [&](std::string_view beginning) {
    return what.rfind(beginning, 0) == 0 ? what.substr(beginning.size()) : std::string();
  };
  std::string option = after("Could not convert: ");
  if (size_t equals = option.find(" = "); equals != std::string::npos)
    return option.substr(0, equals) + ": expected a number, got '" + option.substr(equals + 3) +
           "'";
  for (const char *beginning :
       {"The following argument was not expected: ", "The following arguments were not expected: "})
    if (std::string arguments = after(beginning); !arguments.empty())
      return arguments + ": not expected";
  while (!what.empty() && (what.back() == '\n' || what.back() == '.'))
    what.pop_back();
  return what;
}

/// Parses the command line of `app`. Returns whether there is something to do; otherwise `code` is
/// the exit code, and help, the version or `error: what` has been printed.
inline bool parseCommandLine(CLI::App &app, int argc, char **argv, int &code) {
  try {
    checkEmptyValues(app, argc, argv);
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success &success) {
    code = app.exit(success);
  } catch (const UsageError &error) {
    fprintf(stderr, "error: %s\n", error.what());
    code = 1;
  } catch (const CLI::ParseError &error) {
    std::string tool = app.get_name();
    for (const CLI::App *subcommand : app.get_subcommands())
      tool += " " + subcommand->get_name();
    fprintf(stderr, "error: %s; see %s --help\n", describeError(error).c_str(), tool.c_str());
    code = 1;
  }
  return false;
}

#endif // INGOT_TOOLS_PARSECOMMANDLINE_H
