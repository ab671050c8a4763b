//===- Json.cpp - JSON files from strangers ---------------------------------------------------===//
//
// nlohmann-json parses, without recursion; its events build llvm::json values, because nothing of
// it reports a name that occurs twice, and what is refused here must be refused everywhere.
//
//===----------------------------------------------------------------------------------------===//

#include "Json.h"
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <nlohmann/json.hpp>

using namespace llvm;
using namespace ingot;

std::string importer::quote(StringRef text) {
  std::string result = "'";
  raw_string_ostream os(result);
  printEscapedString(text.take_front(200), os);
  os << (text.size() > 200 ? "...'" : "'");
  return result;
}

std::string importer::toText(const json::Value &value) {
  std::string result;
  raw_string_ostream os(result);
  // A shallow print: the value may be large.
  if (const json::Array *array = value.getAsArray(); array && array->size() > 16)
    os << "a list of " << array->size() << " values";
  else if (const json::Object *object = value.getAsObject(); object && object->size() > 16)
    os << "an object of " << object->size() << " fields";
  else
    os << value;
  if (result.size() > 100)
    result = result.substr(0, 100) + "...";
  return result;
}

namespace {

constexpr size_t maxDepth = 32, maxValues = size_t(4) << 20;

/// Receives the parser's events and builds values.
class ValueBuilder {
public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(number_integer_t value) { return add(int64_t(value)); }
  bool number_unsigned(number_unsigned_t value) {
    return value <= number_unsigned_t(INT64_MAX) ? add(int64_t(value)) : add(double(value));
  }
  bool number_float(number_float_t value, const string_t &) { return add(double(value)); }
  bool string(string_t &value) { return add(std::move(value)); }
  bool binary(binary_t &) { return fail("binary data"); }
  bool start_object(size_t) { return open(json::Object()); }
  bool end_object() { return close(); }
  bool start_array(size_t) { return open(json::Array()); }
  bool end_array() { return close(); }
  bool key(string_t &name) {
    Level &level = levels.back();
    if (level.value.getAsObject()->find(name) != level.value.getAsObject()->end())
      return fail("the name " + importer::quote(name) + " occurs twice in an object");
    level.key = std::move(name);
    return true;
  }
  template <typename Exception>
  bool parse_error(size_t position, const std::string &, const Exception &) {
    errorPosition = position;
    return fail("");
  }

  std::optional<json::Value> root;
  /// Why building stopped; empty if the text is not JSON, at `errorPosition`.
  std::string problem;
  size_t errorPosition = 0;

private:
  struct Level {
    json::Value value;
    std::string key;
  };

  bool fail(std::string why) {
    problem = std::move(why);
    return false;
  }
  bool add(json::Value value) {
    if (++values > maxValues)
      return fail("more than " + std::to_string(maxValues) + " values");
    if (levels.empty()) {
      root = std::move(value);
      return true;
    }
    Level &level = levels.back();
    if (json::Object *object = level.value.getAsObject())
      object->try_emplace(std::move(level.key), std::move(value));
    else
      level.value.getAsArray()->push_back(std::move(value));
    return true;
  }
  bool open(json::Value value) {
    if (levels.size() == maxDepth)
      return fail("values nested deeper than " + std::to_string(maxDepth));
    levels.push_back({std::move(value), {}});
    return true;
  }
  bool close() {
    json::Value value = std::move(levels.back().value);
    levels.pop_back();
    return add(std::move(value));
  }

  std::vector<Level> levels;
  size_t values = 0;
};

} // namespace

FailureOr<json::Object> importer::parseJson(StringRef text, const Twine &file,
                                            Diagnostics &diagnostics) {
  ValueBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    if (!builder.problem.empty())
      return diagnostics.error(file, builder.problem);
    StringRef before = text.take_front(builder.errorPosition ? builder.errorPosition - 1 : 0);
    size_t lineStart = before.rfind('\n');
    size_t column = before.size() - (lineStart == StringRef::npos ? 0 : lineStart + 1) + 1;
    return diagnostics.error(file, "not valid JSON (line " + Twine(before.count('\n') + 1) +
                                       ", column " + Twine(column) + ")");
  }
  if (json::Object *object = builder.root->getAsObject())
    return std::move(*object);
  return diagnostics.error(file, "expected a JSON object, got " + toText(*builder.root));
}

FailureOr<json::Object> importer::readJson(StringRef path, Diagnostics &diagnostics) {
  sys::fs::file_status status;
  if (std::error_code ec = sys::fs::status(path, status))
    return diagnostics.error(path, ec.message());
  if (!sys::fs::is_regular_file(status))
    return diagnostics.error(path, "not a regular file");
  if (status.getSize() > uint64_t(256) << 20)
    return diagnostics.error(path, "larger than 256 MiB");
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer =
      MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return diagnostics.error(path, buffer.getError().message());
  return parseJson((*buffer)->getBuffer(), path, diagnostics);
}
