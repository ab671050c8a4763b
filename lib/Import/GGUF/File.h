//===- File.h - what a GGUF file says about itself ---------------------------------*- C++ -*-===//
//
// A GGUF file is, little-endian: "GGUF", a version, the number of tensors, the number of key-value
// pairs; the pairs (key, type, value); for each tensor name, dimensions (innermost first), type and
// offset; padding; and the data, in which every tensor starts at its offset, a multiple of
// general.alignment.
//
// The file is mapped and only what comes before the data is looked at. Nothing in it is trusted:
// every count is compared with the bytes that are left before anything is read or allocated for it,
// and products are checked.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_GGUF_FILE_H
#define INGOT_LIB_IMPORT_GGUF_FILE_H

#include "../Diagnostics.h"
#include "../TensorTable.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/MemoryBuffer.h"
#include <map>
#include <memory>
#include <optional>

namespace ingot::importer {

/// One value of the metadata. Arrays are ranges of the file whose elements have been checked.
struct GGUFValue {
  /// In the order of the numbers that files use.
  enum Type : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };
  Type type = U8;
  /// Type and number of an array's elements.
  Type elementType = U8;
  uint64_t count = 1;
  /// Bytes of the value: of the text of a string, of all elements of an array.
  llvm::StringRef bytes;

  bool isArray() const { return type == Array; }
  /// Of a scalar; nothing if it is no integer or does not fit.
  std::optional<int64_t> integer() const { return integer(0); }
  std::optional<double> number() const { return number(0); }
  std::optional<bool> flag() const;
  std::optional<llvm::StringRef> string() const;
  /// Of element `index` of an array (of the scalar itself for 0).
  std::optional<int64_t> integer(uint64_t index) const;
  std::optional<double> number(uint64_t index) const;
  /// All elements; nothing if this is not an array of strings.
  std::optional<std::vector<llvm::StringRef>> strings() const;
  /// "a string", "an array of f32": for messages.
  std::string describe() const;

private:
  Type scalarType() const { return isArray() ? elementType : type; }
};

class GGUFFile {
public:
  /// Opens and checks `directory`/`name` and adds its tensors to `table`; in messages it is
  /// `path()`. Null after an error.
  static std::unique_ptr<GGUFFile> open(mlir::MLIRContext *context, llvm::StringRef directory,
                                        llvm::StringRef name, TensorTable &table,
                                        Diagnostics &diagnostics);

  const std::string &path() const { return fullPath; }
  const GGUFValue *find(llvm::StringRef key) const {
    auto it = values.find(key);
    return it == values.end() ? nullptr : &it->second;
  }
  /// By key, in the order of keys.
  const std::map<std::string, GGUFValue, std::less<>> &getValues() const { return values; }
  /// How many tensors this file has.
  uint64_t getNumTensors() const { return numTensors; }

private:
  std::string fullPath;
  std::unique_ptr<llvm::MemoryBuffer> buffer;
  std::map<std::string, GGUFValue, std::less<>> values;
  uint64_t numTensors = 0;

  friend class GGUFReader;
};

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_GGUF_FILE_H
