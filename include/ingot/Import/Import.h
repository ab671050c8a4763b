//===- Import.h - what every importer takes and reports -----------------------------*- C++ -*-===//
//
// An importer reads a model as its framework left it and makes a module in the graph form of the
// tfm dialect: plain whole-sequence mathematics, weights by reference (tfm.parameter), one private
// function per distinct layer body. It prints nothing; everything that it has to say is in the
// report, and goes to the report's handler at once.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_IMPORT_IMPORT_H
#define INGOT_IMPORT_IMPORT_H

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ingot {

struct ImportOptions {
  /// Unknown config fields and unused tensors are errors, not warnings.
  bool strict = false;
  /// Positions that the model has to serve; 0 means as many as the config says, more is an error.
  int64_t context = 0;
  /// Read no weights: every tensor that the config implies is taken to be there, in bf16. The
  /// module names no file and can be costed, not compiled.
  bool weightless = false;
};

struct ImportMessage {
  bool isError = false;
  /// The file that the message is about.
  std::string file;
  /// What is wrong and what was expected; lower case, no full stop.
  std::string text;

  std::string str() const { return file + ": " + text; }
};

/// What an import found. An import that fails has exactly one error, its last message.
struct ImportReport {
  /// Called with each message as it comes; may be empty.
  std::function<void(const ImportMessage &)> handler;
  std::vector<ImportMessage> messages;
  /// Fields of the config by class, as paths ("rope_parameters.factor"), in the order of names.
  std::vector<std::string> fieldsRead, fieldsWithoutEffect, fieldsUnknown;
  /// Tensors of the checkpoint that the graph does not use: known to be redundant, and others.
  std::vector<std::string> tensorsWithoutEffect, tensorsUnused;
};

} // namespace ingot

#endif // INGOT_IMPORT_IMPORT_H
