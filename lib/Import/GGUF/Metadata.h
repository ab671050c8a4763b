//===- Metadata.h - typed reading of a GGUF file's keys ----------------------------*- C++ -*-===//
//
// As Config.h for config.json: a key that is read has a range or a list of values, and anything
// else is an error that names the key, what was expected and what was found; readers return a
// harmless value after an error. Keys are read, known to be without effect, or reported.
//
// A key that starts with a dot belongs to the model's architecture: ".block_count" is
// "llama.block_count".
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_GGUF_METADATA_H
#define INGOT_LIB_IMPORT_GGUF_METADATA_H

#include "File.h"
#include <limits>
#include <set>

namespace ingot::importer {

class Metadata {
public:
  Metadata(const GGUFFile &file, Diagnostics &diagnostics) : file(file), diagnostics(diagnostics) {}

  /// The prefix of keys that start with a dot.
  std::string architecture;

  /// Whether the key is there. Does not count as reading it.
  bool has(llvm::StringRef key) const { return file.find(fullKey(key)); }
  /// The value, whatever it is; null if it is not there.
  const GGUFValue *value(llvm::StringRef key);

  /// An integer from `low` to `high`. Absence is `fallback`, or an error without one.
  int64_t integer(llvm::StringRef key, int64_t low, int64_t high,
                  std::optional<int64_t> fallback = std::nullopt);
  /// One integer for each of `count` layers: an array, or one for all.
  std::vector<int64_t> integers(llvm::StringRef key, size_t count, int64_t low, int64_t high,
                                std::optional<int64_t> fallback = std::nullopt);
  /// A finite number from `low` to `high`.
  double number(llvm::StringRef key, double low, double high,
                std::optional<double> fallback = std::nullopt);
  /// A number greater than zero and within the range of f32.
  double positive(llvm::StringRef key, std::optional<double> fallback = std::nullopt) {
    return number(key, std::numeric_limits<float>::min(), std::numeric_limits<float>::max(),
                  fallback);
  }
  bool flag(llvm::StringRef key, bool fallback);
  llvm::StringRef string(llvm::StringRef key,
                         std::optional<llvm::StringRef> fallback = std::nullopt);
  /// Which of `count` layers see near tokens only: ".attention.sliding_window_pattern" says so of
  /// each, or that one of so many (`pattern` where it is absent; 0: none) sees all, the last one of
  /// them, or the first.
  std::vector<bool> windowLayers(size_t count, int64_t pattern, bool fullIsFirst = false);
  /// An array of strings; empty if absent.
  std::vector<std::string> strings(llvm::StringRef key);
  /// An id below `vocab`, or -1 where the key is absent.
  int64_t id(llvm::StringRef key, int64_t vocab);

  /// Reports "key 'name': text" as the error.
  void error(llvm::StringRef key, const llvm::Twine &text);
  /// Puts the keys that nobody read into the report; unknown ones as warnings.
  void reportUnread();

  Diagnostics &getDiagnostics() { return diagnostics; }
  const std::string &getFile() const { return file.path(); }

private:
  std::string fullKey(llvm::StringRef key) const {
    return key.starts_with(".") ? architecture + key.str() : key.str();
  }
  void mismatch(llvm::StringRef key, const llvm::Twine &expected, const GGUFValue *got);

  const GGUFFile &file;
  Diagnostics &diagnostics;
  std::set<std::string, std::less<>> keysRead;
};

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_GGUF_METADATA_H
