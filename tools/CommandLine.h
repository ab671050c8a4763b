//===- CommandLine.h - one form of usage errors for all tools -------------------*- C++ -*-===//
#ifndef INGOT_TOOLS_COMMANDLINE_H
#define INGOT_TOOLS_COMMANDLINE_H

#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

/// Parses the command line of `app`. Returns whether there is something to do; otherwise `code` is
/// the exit code, and help, the version or `error: what; see TOOL --help` has been printed.
inline bool parseCommandLine(CLI::App &app, int argc, char **argv, int &code) {
  try {
    // The parser would take the next argument as the value.
    for (int i = 1; i < argc; ++i) {
      std::string argument = argv[i];
      if (argument.size() > 3 && argument.compare(0, 2, "--") == 0 &&
          argument.find('=') == argument.size() - 1)
        throw CLI::ArgumentMismatch(argument + " needs a value after the '='");
    }
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success &success) {
    code = app.exit(success);
  } catch (const CLI::ParseError &error) {
    std::string what = error.what();
    while (!what.empty() && (what.back() == '\n' || what.back() == '.'))
      what.pop_back();
    fprintf(stderr, "error: %s; see %s --help\n", what.c_str(), app.get_name().c_str());
    code = 1;
  }
  return false;
}

#endif // INGOT_TOOLS_COMMANDLINE_H
