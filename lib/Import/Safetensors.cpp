//===- Safetensors.cpp - headers of safetensors files -----------------------------------------===//

#include "Safetensors.h"
#include "Json.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Regex.h"
#include <set>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

std::string importer::shapeText(ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

namespace {

constexpr uint64_t maxHeader = 100'000'000;

/// A type of the format: bits per element, and MLIR's type where there is one that a graph can use.
struct StoredType {
  StringLiteral name;
  unsigned bits;
  mlir::Type (*type)(mlir::MLIRContext *);
};

template <typename T> mlir::Type floatType(mlir::MLIRContext *context) { return T::get(context); }
template <unsigned bits> mlir::Type integerType(mlir::MLIRContext *context) {
  return mlir::IntegerType::get(context, bits);
}
mlir::Type noType(mlir::MLIRContext *) { return {}; }

constexpr StoredType storedTypes[] = {
    {"F64", 64, floatType<mlir::Float64Type>},
    {"F32", 32, floatType<mlir::Float32Type>},
    {"F16", 16, floatType<mlir::Float16Type>},
    {"BF16", 16, floatType<mlir::BFloat16Type>},
    {"I64", 64, integerType<64>},
    {"I32", 32, integerType<32>},
    {"I16", 16, integerType<16>},
    {"I8", 8, integerType<8>},
    {"U64", 64, noType},
    {"U32", 32, noType},
    {"U16", 16, noType},
    {"U8", 8, noType},
    {"BOOL", 8, noType},
    {"C64", 64, noType},
    {"F8_E5M2", 8, noType},
    {"F8_E4M3", 8, noType},
    {"F8_E8M0", 8, noType},
    {"F8_E5M2FNUZ", 8, noType},
    {"F8_E4M3FNUZ", 8, noType},
    {"F6_E2M3", 6, noType},
    {"F6_E3M2", 6, noType},
    {"F4", 4, noType},
};

/// Reads [offset, offset + length) of an open file.
std::error_code readRange(sys::fs::file_t file, uint64_t offset, MutableArrayRef<char> buffer) {
  while (!buffer.empty()) {
    Expected<size_t> count = sys::fs::readNativeFileSlice(file, buffer, offset);
    if (!count)
      return errorToErrorCode(count.takeError());
    if (*count == 0)
      return std::make_error_code(std::errc::io_error);
    buffer = buffer.drop_front(*count);
    offset += *count;
  }
  return {};
}

/// Reads the header of one file into `header`; returns the number of bytes after it.
FailureOr<uint64_t> readHeader(const std::string &path, std::string &header,
                               Diagnostics &diagnostics) {
  sys::fs::file_status status;
  if (std::error_code ec = sys::fs::status(path, status))
    return diagnostics.error(path, ec.message());
  if (!sys::fs::is_regular_file(status))
    return diagnostics.error(path, "not a regular file");
  Expected<sys::fs::file_t> file = sys::fs::openNativeFileForRead(path);
  if (!file)
    return diagnostics.error(path, toString(file.takeError()));
  scope_exit close([&] { (void)sys::fs::closeFile(*file); });

  uint64_t size = status.getSize();
  char lengthBytes[8];
  if (size < sizeof(lengthBytes))
    return diagnostics.error(path, "truncated: " + Twine(size) +
                                       " bytes, a safetensors file has at least 8");
  if (std::error_code ec = readRange(*file, 0, lengthBytes))
    return diagnostics.error(path, ec.message());
  uint64_t length = support::endian::read64le(lengthBytes);
  if (length > maxHeader)
    return diagnostics.error(path, "not a safetensors file: a header of " + Twine(length) +
                                       " bytes, the limit is " + Twine(maxHeader));
  if (length > size - sizeof(lengthBytes))
    return diagnostics.error(path, "truncated: the header has " + Twine(length) +
                                       " bytes, the file " + Twine(size));
  header.resize(length);
  if (std::error_code ec = readRange(*file, sizeof(lengthBytes), header))
    return diagnostics.error(path, ec.message());
  return size - sizeof(lengthBytes) - length;
}

/// One entry of a header. Fails after an error.
class EntryReader {
public:
  EntryReader(StringRef path, StringRef name, Diagnostics &diagnostics)
      : path(path), name(name), diagnostics(diagnostics) {}

  FailureOr<TensorInfo> read(const json::Value &value, mlir::MLIRContext *context) {
    const json::Object *entry = value.getAsObject();
    const json::Value *dtype = entry ? entry->get("dtype") : nullptr;
    const json::Value *shape = entry ? entry->get("shape") : nullptr;
    const json::Value *range = entry ? entry->get("data_offsets") : nullptr;
    if (!dtype || !shape || !range || entry->size() != 3)
      return error("expected dtype, shape and data_offsets, got " + toText(value));

    TensorInfo info;
    std::optional<StringRef> typeName = dtype->getAsString();
    const StoredType *stored = llvm::find_if(
        storedTypes, [&](const StoredType &type) { return typeName && type.name == *typeName; });
    if (stored == std::end(storedTypes))
      return error("expected a dtype of the safetensors format, got " + toText(*dtype));
    info.typeName = stored->name.str();
    info.elementType = stored->type(context);

    SmallVector<uint64_t> sizes, offsets;
    if (!readNumbers(*shape, sizes))
      return error("expected a shape of integers of at least 0, got " + toText(*shape));
    if (!readNumbers(*range, offsets) || offsets.size() != 2 || offsets[0] > offsets[1])
      return error("expected data_offsets [begin, end], got " + toText(*range));
    uint64_t bits = stored->bits;
    for (uint64_t size : sizes) {
      info.shape.push_back(int64_t(size));
      bool overflow = false;
      bits = SaturatingMultiply(bits, size, &overflow);
      if (overflow)
        return error("the shape " + shapeText(info.shape) + " has more than 2^64 bits");
    }
    if (bits % 8 != 0 || bits / 8 != offsets[1] - offsets[0])
      return error("the shape " + shapeText(info.shape) + " of " + info.typeName + " takes " +
                   Twine(bits / 8) + " bytes, data_offsets " + toText(*range) + " are " +
                   Twine(offsets[1] - offsets[0]));
    info.offset = offsets[0];
    info.bytes = offsets[1] - offsets[0];
    return info;
  }

private:
  LogicalResult error(const Twine &text) {
    return diagnostics.error(path, "tensor " + quote(name) + ": " + text);
  }
  static bool readNumbers(const json::Value &value, SmallVectorImpl<uint64_t> &numbers) {
    const json::Array *array = value.getAsArray();
    if (!array || array->size() > 16)
      return false;
    for (const json::Value &element : *array) {
      std::optional<uint64_t> number = element.getAsUINT64();
      if (!number)
        return false;
      numbers.push_back(*number);
    }
    return true;
  }

  StringRef path, name;
  Diagnostics &diagnostics;
};

} // namespace

LogicalResult importer::readSafetensors(mlir::MLIRContext *context, StringRef directory,
                                        StringRef file, TensorTable &table,
                                        Diagnostics &diagnostics) {
  SmallString<256> path(directory);
  sys::path::append(path, file);
  std::string text;
  FailureOr<uint64_t> dataSize = readHeader(path.str().str(), text, diagnostics);
  if (failed(dataSize))
    return failure();
  FailureOr<json::Object> header = parseJson(text, path + ": header", diagnostics);
  if (failed(header))
    return failure();

  struct Range {
    uint64_t begin, end;
    StringRef name;
  };
  std::vector<Range> ranges;
  // In the order of names, so that which error is reported does not depend on a hash.
  std::map<StringRef, const json::Value *> entries;
  for (const auto &[name, value] : *header)
    entries[name] = &value;
  for (auto [name, entry] : entries) {
    const json::Value &value = *entry;
    if (name == "__metadata__") {
      const json::Object *metadata = value.getAsObject();
      if (!metadata || !all_of(*metadata, [](const auto &field) {
            return field.second.kind() == json::Value::String;
          }))
        return diagnostics.error(path, "expected __metadata__ to map strings to strings");
      continue;
    }
    FailureOr<TensorInfo> info = EntryReader(path, name, diagnostics).read(value, context);
    if (failed(info))
      return failure();
    ranges.push_back({info->offset, info->offset + info->bytes, name});
    info->file = file.str();
    info->offset += 8 + text.size();
    if (!table.add(name, std::move(*info)))
      return diagnostics.error(path, "tensor " + quote(name) + " is also in " +
                                         quote(table.find(name)->file));
  }

  llvm::sort(ranges, [](const Range &a, const Range &b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t end = 0;
  for (const Range &range : ranges) {
    if (range.begin != end)
      return diagnostics.error(path, "tensor " + quote(range.name) + ": expected data from byte " +
                                         Twine(end) + " on, where the tensor before it ends, got " +
                                         Twine(range.begin));
    end = range.end;
  }
  if (end != *dataSize)
    return diagnostics.error(path, (end > *dataSize ? "truncated: " : "") +
                                       Twine("the header describes ") + Twine(end) +
                                       " bytes of data, the file holds " + Twine(*dataSize));
  return success();
}

/// Of files that are numbered as parts, "model-00001-of-00003.safetensors", all must be there.
static LogicalResult checkShards(StringRef indexPath, const std::set<StringRef> &files,
                                 Diagnostics &diagnostics) {
  Regex pattern("^(.*-)([0-9]{5})(-of-([0-9]{5})[.].*)$");
  for (StringRef file : files) {
    SmallVector<StringRef> parts;
    unsigned count = 0;
    if (!pattern.match(file, &parts) || parts[4].getAsInteger(10, count))
      continue;
    for (unsigned number = 1; number <= count; ++number) {
      std::string digits = std::to_string(number);
      std::string name =
          parts[1].str() + std::string(5 - digits.size(), '0') + digits + parts[3].str();
      if (!files.count(name))
        return diagnostics.error(indexPath, "expected tensors in " + quote(StringRef(name)) +
                                                ", one of the " + Twine(count) +
                                                " parts that the name " + quote(file) +
                                                " tells of, got none");
    }
  }
  return success();
}

LogicalResult importer::readCheckpoint(mlir::MLIRContext *context, StringRef directory,
                                       TensorTable &table, Diagnostics &diagnostics) {
  auto exists = [&](StringRef file) {
    SmallString<256> path(directory);
    sys::path::append(path, file);
    return sys::fs::exists(path);
  };
  if (exists("model.safetensors"))
    return readSafetensors(context, directory, "model.safetensors", table, diagnostics);
  if (!exists("model.safetensors.index.json")) {
    bool pickled = exists("pytorch_model.bin") || exists("pytorch_model.bin.index.json");
    return diagnostics.error(
        directory, "expected model.safetensors or model.safetensors.index.json" +
                       Twine(pickled ? ", got pickled weights: convert them to safetensors" : ""));
  }

  SmallString<256> indexPath(directory);
  sys::path::append(indexPath, "model.safetensors.index.json");
  FailureOr<json::Object> index = readJson(indexPath, diagnostics);
  if (failed(index))
    return failure();
  const json::Object *map = index->getObject("weight_map");
  if (!map || map->empty())
    return diagnostics.error(indexPath, "expected a weight_map from tensors to files");
  std::map<StringRef, const json::Value *> entries;
  for (const auto &[name, value] : *map)
    entries[name] = &value;
  std::map<StringRef, StringRef> fileOf;
  std::set<StringRef> files;
  for (auto [name, value] : entries) {
    std::optional<StringRef> file = value->getAsString();
    // A path could lead anywhere, and NUL would end it early.
    if (!file || file->empty() || *file == "." || *file == ".." ||
        file->find_first_of(StringRef("/\\\0", 3)) != StringRef::npos)
      return diagnostics.error(indexPath, "tensor " + quote(StringRef(name)) +
                                              ": expected the name of a file in this directory, "
                                              "got " +
                                              toText(*value));
    fileOf[name] = *file;
    files.insert(*file);
  }
  if (failed(checkShards(indexPath, files, diagnostics)))
    return failure();
  for (StringRef file : files)
    if (failed(readSafetensors(context, directory, file, table, diagnostics)))
      return failure();
  for (auto [name, file] : fileOf) {
    const TensorInfo *info = table.find(name);
    if (!info || info->file != file)
      return diagnostics.error(indexPath, "tensor " + quote(name) + ": expected it in " +
                                              quote(file) + ", it is " +
                                              (info ? "in " + quote(info->file) : "in no file"));
  }
  // What the index does not know is not part of the model.
  SmallVector<std::string> unknown;
  for (const auto &[name, info] : table)
    if (!fileOf.count(name))
      unknown.push_back(name);
  for (const std::string &name : unknown) {
    diagnostics.warning(indexPath, "tensor " + quote(name) + " of " +
                                       quote(table.find(name)->file) +
                                       " is not in the weight_map and was ignored");
    table.remove(name);
  }
  return success();
}
