//===- Config.h - typed reading of config.json ------------------------------------*- C++ -*-===//
//
// Every field of a config is of one of three classes: read by the importer; known to have no effect
// on inference; unknown. A field that is read has a range or a list of values, and anything else is
// an error that names the field, what was expected and what was found. Which fields were read is
// recorded, so that the others can be classified at the end.
//
// Readers return a harmless value after an error, so that a family's code needs no checks of its
// own: it is called, then Diagnostics::failed says whether its result may be used.
//
// Several names of one field are written "n_embd|hidden_size". It is an error if two of them are
// there and differ.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_CONFIG_H
#define INGOT_LIB_IMPORT_CONFIG_H

#include "Json.h"
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace ingot::importer {

/// Bounds of sizes. They are far beyond any model, and keep products within 64 bits and hostile
/// configs from taking memory before the checkpoint contradicts them.
constexpr int64_t maxLayers = 10'000, maxHeads = 1 << 16, maxHeadDim = 1 << 16, maxWidth = 1 << 24,
                  maxVocab = 1 << 26, maxExperts = 1 << 14, maxPositions = (int64_t(1) << 31) - 1;

/// Takes `asked` positions, if it is not 0, in place of the `context` that the model in `file` has.
llvm::LogicalResult chooseContext(int64_t asked, int64_t &context, llvm::StringRef file,
                                  Diagnostics &diagnostics);

class Config {
public:
  Config(std::string file, const llvm::json::Object &object, Diagnostics &diagnostics,
         std::string path = "")
      : file(std::move(file)), path(std::move(path)), object(object), diagnostics(diagnostics) {}

  /// Whether the field is there and not null. Does not count as reading it.
  bool has(llvm::StringRef names) const;

  /// Whether the field is there and a string. Does not count as reading it.
  bool isString(llvm::StringRef names) const {
    const llvm::json::Value *value = find(names);
    return value && value->getAsString();
  }

  /// Whether the field is there and null, for fields where that differs from absence. Counts as
  /// reading it.
  bool isNull(llvm::StringRef names);

  /// An integer from `low` to `high`. Absent or null is `fallback`, or an error without one.
  int64_t integer(llvm::StringRef names, int64_t low, int64_t high,
                  std::optional<int64_t> fallback = std::nullopt);
  /// A finite number from `low` to `high`.
  double number(llvm::StringRef names, double low, double high,
                std::optional<double> fallback = std::nullopt);
  /// A number greater than zero and within the range of f32.
  double positive(llvm::StringRef names, std::optional<double> fallback = std::nullopt) {
    return number(names, std::numeric_limits<float>::min(), std::numeric_limits<float>::max(),
                  fallback);
  }
  /// true or false; null is false.
  bool flag(llvm::StringRef names, std::optional<bool> fallback = std::nullopt);
  llvm::StringRef string(llvm::StringRef names,
                         std::optional<llvm::StringRef> fallback = std::nullopt);
  /// A list of strings; empty if absent.
  std::vector<std::string> strings(llvm::StringRef names);
  /// A list of finite numbers; empty if absent.
  std::vector<double> numbers(llvm::StringRef names);
  /// The value as it is, for fields of a shape of their own; null if absent or null.
  const llvm::json::Value *value(llvm::StringRef names) {
    return readValue(names, /*optional=*/true, "");
  }
  /// An id or a list of ids, each at least 0; `fallback` if absent, nothing if null.
  std::vector<int64_t> ids(llvm::StringRef names, std::vector<int64_t> fallback = {});
  /// The reader of an object; null if absent or null. Lives as long as this reader.
  Config *child(llvm::StringRef names);
  /// Demands that the field is absent, null or false; nothing else is supported.
  void onlyFalse(llvm::StringRef names);
  /// Demands that the field is absent or null; `why` says what another value would mean.
  void onlyNull(llvm::StringRef names, llvm::StringRef why);

  /// Reports "field 'name': text" as the error; the first name counts.
  void error(llvm::StringRef names, const llvm::Twine &text);

  /// Puts the fields that nobody read into the report: those in `withoutEffect`, and the others as
  /// warnings. A field that is null says nothing and is not reported.
  void reportUnread(llvm::function_ref<bool(llvm::StringRef)> withoutEffect);

  bool empty() const { return object.empty(); }
  const std::string &getFile() const { return file; }
  Diagnostics &getDiagnostics() { return diagnostics; }

private:
  /// The field under whichever of its names is there; null if none is.
  const llvm::json::Value *find(llvm::StringRef names) const;
  const llvm::json::Value *read(llvm::StringRef names);
  /// As `read`, but null counts as absent and absence is an error unless `optional`.
  const llvm::json::Value *readValue(llvm::StringRef names, bool optional,
                                     llvm::StringRef expected);
  void mismatch(llvm::StringRef names, const llvm::Twine &expected, const llvm::json::Value &got);

  std::string file, path;
  const llvm::json::Object &object;
  Diagnostics &diagnostics;
  std::set<std::string, std::less<>> fieldsRead;
  std::vector<std::pair<const llvm::json::Value *, std::unique_ptr<Config>>> children;
};

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_CONFIG_H
