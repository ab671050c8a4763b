//===- CommandLine.h - what ingot-compile is asked for ----------------------------*- C++ -*-===//
#ifndef INGOT_COMPILE_COMMANDLINE_H
#define INGOT_COMPILE_COMMANDLINE_H

#include "ingot/Pipeline/Compiler.h"
#include <optional>

struct CommandLine {
  /// All but the limits, which are measured only when they are wanted.
  ingot::CompileOptions options;
  /// Print what the model costs, and compile nothing.
  bool costOnly = false;
  ingot::CostOptions costs;
  /// Those of --limits.
  std::optional<ingot::Limits> limits;
  bool quiet = false;
};

/// Reads the command line. Returns whether there is something to do; otherwise help, the version or
/// an error has been printed, and `code` is the exit code.
bool readCommandLine(int argc, char **argv, CommandLine &line, int &code);

#endif // INGOT_COMPILE_COMMANDLINE_H
