//===- Json.h - JSON files from strangers -----------------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_IMPORT_JSON_H
#define INGOT_LIB_IMPORT_JSON_H

#include "Diagnostics.h"
#include "llvm/Support/JSON.h"

namespace ingot::importer {

/// Parses `text`, which must be one JSON object. Reports text that is not JSON, a name that occurs
/// twice in an object, nesting deeper than 32 and more than four million values, as errors of
/// `file` with line and column. Integers beyond 64 bits become doubles.
mlir::FailureOr<llvm::json::Object> parseJson(llvm::StringRef text, const llvm::Twine &file,
                                              Diagnostics &diagnostics);

/// Reads and parses a whole file, at most 256 MiB of it.
mlir::FailureOr<llvm::json::Object> readJson(llvm::StringRef path, Diagnostics &diagnostics);

/// `value` as it would be written, shortened.
std::string toText(const llvm::json::Value &value);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_JSON_H
