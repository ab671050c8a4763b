//===- File.cpp - what a GGUF file says about itself ------------------------------------------===//

#include "File.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

namespace endian = llvm::support::endian;

/// Limits of the format (keys, dimensions) and of good sense (names).
static constexpr uint64_t kMaxKeyBytes = 65535, kMaxNameBytes = 255, kMaxDims = 4;

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

/// Bytes of a scalar of this type; 0 for strings, arrays and unknown types.
static unsigned sizeOf(uint32_t type) {
  static constexpr unsigned sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < std::size(sizes) ? sizes[type] : 0;
}

static StringRef nameOf(uint32_t type) {
  static constexpr StringLiteral names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                            "bool", "string", "array", "u64", "i64", "f64"};
  return names[type];
}

std::optional<int64_t> GGUFValue::integer(uint64_t index) const {
  Type kind = scalarType();
  if (index >= count || kind == String || kind == F32 || kind == F64 || kind == Bool)
    return std::nullopt;
  unsigned size = sizeOf(kind);
  uint64_t bits = 0;
  memcpy(&bits, bytes.data() + index * size, size);
  bool isSigned = kind == I8 || kind == I16 || kind == I32 || kind == I64;
  if (isSigned)
    return SignExtend64(bits, 8 * size);
  return bits <= uint64_t(INT64_MAX) ? std::optional<int64_t>(bits) : std::nullopt;
}

std::optional<double> GGUFValue::number(uint64_t index) const {
  if (index < count && scalarType() == F32)
    return endian::read<float, endianness::little>(bytes.data() + 4 * index);
  if (index < count && scalarType() == F64)
    return endian::read<double, endianness::little>(bytes.data() + 8 * index);
  std::optional<int64_t> value = integer(index);
  return value ? std::optional<double>(double(*value)) : std::nullopt;
}

std::optional<bool> GGUFValue::flag() const {
  return type == Bool ? std::optional<bool>(bytes[0] != 0) : std::nullopt;
}

std::optional<StringRef> GGUFValue::string() const {
  return type == String ? std::optional<StringRef>(bytes) : std::nullopt;
}

std::optional<std::vector<StringRef>> GGUFValue::strings() const {
  if (!isArray() || elementType != String)
    return std::nullopt;
  std::vector<StringRef> result;
  result.reserve(count); // each has taken eight bytes of the file at least
  for (StringRef rest = bytes; !rest.empty();) {
    uint64_t length = endian::read64le(rest.data());
    result.push_back(rest.substr(8, length));
    rest = rest.drop_front(8 + length);
  }
  return result;
}

std::string GGUFValue::describe() const {
  if (isArray())
    return ("an array of " + Twine(count) + " " + nameOf(elementType)).str();
  if (std::optional<StringRef> text = string())
    return quote(*text);
  if (type == Bool)
    return *flag() ? "true" : "false";
  return (Twine(nameOf(type)) + " " +
          (integer() ? std::to_string(*integer()) : std::to_string(number().value_or(NAN))))
      .str();
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
/// A type of tensors by the number that files use.
struct NumberedType {
  uint32_t number;
  StringLiteral name;
};
} // namespace

/// Block formats and floats have their name in lower case in the library of formats.
static constexpr NumberedType numberedTypes[] = {
    {0, "F32"},      {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},   {6, "Q5_0"},    {7, "Q5_1"},
    {8, "Q8_0"},     {10, "Q2_K"},   {11, "Q3_K"},    {12, "Q4_K"},  {13, "Q5_K"},   {14, "Q6_K"},
    {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},
    {22, "IQ2_S"},   {23, "IQ4_XS"}, {24, "I8"},      {25, "I16"},   {26, "I32"},    {27, "I64"},
    {28, "F64"},     {29, "IQ1_M"},  {30, "BF16"},    {34, "TQ1_0"}, {35, "TQ2_0"},  {39, "MXFP4"}};

static mlir::Type elementTypeOf(mlir::MLIRContext *context, StringRef name) {
  mlir::Builder b(context);
  if (name == "F64")
    return b.getF64Type();
  unsigned width;
  if (name.front() == 'I' && !name.drop_front().getAsInteger(10, width))
    return b.getIntegerType(width);
  formats::Format format = *formats::parseFormat(name.lower());
  if (formats::getInfo(format).isBlock())
    return tfm::BlockType::get(context, format);
  if (format == formats::Format::F32)
    return b.getF32Type();
  return format == formats::Format::F16 ? mlir::Type(b.getF16Type()) : mlir::Type(b.getBF16Type());
}

namespace ingot::importer {

class GGUFReader {
public:
  GGUFReader(mlir::MLIRContext *context, GGUFFile &file, Diagnostics &diagnostics)
      : context(context), file(file), diagnostics(diagnostics), rest(file.buffer->getBuffer()) {}

  LogicalResult read(StringRef name, TensorTable &table);

private:
  struct Tensor {
    std::string name;
    TensorInfo info;
  };

  LogicalResult error(const Twine &text) { return diagnostics.error(file.fullPath, text); }
  LogicalResult ended(const Twine &what) {
    return error("ends within " + what + " (the file has " + Twine(file.buffer->getBufferSize()) +
                 " bytes)");
  }
  /// The next integer; `what` it belongs to is for the message.
  template <typename T> LogicalResult take(T &value, const Twine &what) {
    if (rest.size() < sizeof(T))
      return ended(what);
    value = endian::read<T, endianness::little>(rest.data());
    rest = rest.drop_front(sizeof(T));
    return success();
  }
  LogicalResult takeString(StringRef &value, const Twine &what);
  /// A text that becomes part of messages and of the IR.
  LogicalResult takeName(StringRef &value, uint64_t limit, const Twine &what);
  LogicalResult takeValue(GGUFValue &value, const Twine &what);
  LogicalResult takeTensor(uint64_t number, Tensor &tensor);
  LogicalResult place(MutableArrayRef<Tensor> tensors);

  mlir::MLIRContext *context;
  GGUFFile &file;
  Diagnostics &diagnostics;
  StringRef rest;
};

} // namespace ingot::importer

LogicalResult GGUFReader::takeString(StringRef &value, const Twine &what) {
  uint64_t length;
  if (failed(take(length, what)))
    return failure();
  if (length > rest.size())
    return error(what + ": a string of " + Twine(length) + " bytes, the file has " +
                 Twine(rest.size()) + " more");
  value = rest.take_front(length);
  rest = rest.drop_front(length);
  return success();
}

LogicalResult GGUFReader::takeName(StringRef &value, uint64_t limit, const Twine &what) {
  if (failed(takeString(value, what)))
    return failure();
  if (value.empty() || value.size() > limit)
    return error(what + ": expected a name of 1 to " + Twine(limit) + " bytes, got " +
                 Twine(value.size()));
  if (llvm::any_of(value, [](unsigned char c) { return c < 0x20 || c == 0x7F; }))
    return error(what + ": expected a name without control characters, got " + quote(value));
  return success();
}

LogicalResult GGUFReader::takeValue(GGUFValue &value, const Twine &what) {
  uint32_t type;
  if (failed(take(type, what)))
    return failure();
  auto known = [&](uint32_t number) -> LogicalResult {
    return number <= GGUFValue::F64
               ? success()
               : error(what + ": unknown type " + Twine(number) + ", expected 0 to 12");
  };
  if (failed(known(type)))
    return failure();
  value.type = GGUFValue::Type(type);
  if (value.type == GGUFValue::String)
    return takeString(value.bytes, what);
  if (!value.isArray()) {
    if (rest.size() < sizeOf(type))
      return ended(what);
    value.bytes = rest.take_front(sizeOf(type));
    rest = rest.drop_front(sizeOf(type));
    return success();
  }

  uint32_t elementType;
  if (failed(take(elementType, what)) || failed(known(elementType)) ||
      failed(take(value.count, what)))
    return failure();
  value.elementType = GGUFValue::Type(elementType);
  if (value.elementType == GGUFValue::Array)
    return error(what + ": arrays of arrays are not supported");
  // A string takes its length at least.
  bool isStrings = value.elementType == GGUFValue::String;
  uint64_t least = isStrings ? 8 : sizeOf(elementType);
  if (value.count > rest.size() / least)
    return error(what + ": an array of " + Twine(value.count) + " " + nameOf(elementType) +
                 " values, the file has " + Twine(rest.size()) + " more bytes");
  StringRef begin = rest;
  if (isStrings) {
    StringRef text;
    for (uint64_t i = 0; i < value.count; ++i)
      if (failed(takeString(text, what)))
        return failure();
  } else {
    rest = rest.drop_front(value.count * least);
  }
  value.bytes = begin.drop_back(rest.size());
  return success();
}

LogicalResult GGUFReader::takeTensor(uint64_t number, Tensor &tensor) {
  StringRef name;
  uint32_t numDims, type;
  if (failed(takeName(name, kMaxNameBytes, "tensor " + Twine(number))))
    return failure();
  std::string what = "tensor " + quote(name);
  if (failed(take(numDims, what)))
    return failure();
  if (numDims < 1 || numDims > kMaxDims)
    return error(what + ": expected 1 to " + Twine(kMaxDims) + " dimensions, got " +
                 Twine(numDims));
  tensor.name = name.str();
  int64_t elements = 1;
  for (uint32_t i = 0; i < numDims; ++i) {
    uint64_t size;
    if (failed(take(size, what)))
      return failure();
    // The bytes of a number are at most eight.
    if (size < 1 || size > uint64_t(INT64_MAX) || MulOverflow(elements, int64_t(size), elements) ||
        elements > INT64_MAX / 8)
      return error(what + ": dimension " + Twine(i) + " is " + Twine(size) +
                   ", expected dimensions of at least 1 and fewer than 2^60 elements in all");
    tensor.info.shape.insert(tensor.info.shape.begin(), int64_t(size)); // outermost first
  }
  if (failed(take(type, what)) || failed(take(tensor.info.offset, what)))
    return failure();
  const NumberedType *known =
      llvm::find_if(numberedTypes, [&](const NumberedType &t) { return t.number == type; });
  if (known == std::end(numberedTypes))
    return error(what + ": unknown type " + Twine(type));
  tensor.info.typeName = known->name.str();
  tensor.info.elementType = elementTypeOf(context, known->name);
  auto stored = mlir::RankedTensorType::get(tensor.info.shape, tensor.info.elementType);
  std::optional<int64_t> bytes = tfm::getStorageBytes(stored); // 2^60 elements of eight bytes fit
  auto block = mlir::dyn_cast<tfm::BlockType>(tensor.info.elementType);
  if (!bytes || (block && tensor.info.shape.back() % block.getBlockLength()))
    return error(what + ": expected rows of whole blocks of " + known->name + ", got rows of " +
                 Twine(tensor.info.shape.back()) + " elements");
  tensor.info.bytes = uint64_t(*bytes);
  return success();
}

/// Turns offsets in the data into offsets in the file.
LogicalResult GGUFReader::place(MutableArrayRef<Tensor> tensors) {
  uint64_t alignment = 32;
  if (const GGUFValue *value = file.find("general.alignment")) {
    std::optional<int64_t> number = value->integer();
    if (value->isArray() || !number || *number < 1 || *number > (1 << 20) ||
        !isPowerOf2_64(*number))
      return error("'general.alignment': expected a power of two up to 2^20, got " +
                   value->describe());
    alignment = uint64_t(*number);
  }
  uint64_t size = file.buffer->getBufferSize();
  uint64_t data = alignTo(size - rest.size(), alignment);
  uint64_t left = data <= size ? size - data : 0;
  for (Tensor &tensor : tensors) {
    TensorInfo &info = tensor.info;
    std::string what = "tensor " + quote(tensor.name);
    if (info.offset % alignment != 0)
      return error(what + ": expected an offset that is a multiple of " + Twine(alignment) +
                   ", got " + Twine(info.offset));
    if (info.offset > left || info.bytes > left - info.offset)
      return error(what + ": expected " + Twine(info.bytes) + " bytes at " + Twine(info.offset) +
                   " of the data, the file has " + Twine(left) + " bytes of data");
    info.offset += data;
  }
  std::vector<const Tensor *> order;
  for (const Tensor &tensor : tensors)
    order.push_back(&tensor);
  llvm::sort(order, [](const Tensor *a, const Tensor *b) {
    return std::tie(a->info.offset, a->name) < std::tie(b->info.offset, b->name);
  });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i]->info.offset < order[i - 1]->info.offset + order[i - 1]->info.bytes)
      return error("tensors " + quote(order[i - 1]->name) + " and " + quote(order[i]->name) +
                   " overlap in the file");
  return success();
}

LogicalResult GGUFReader::read(StringRef name, TensorTable &table) {
  if (!rest.consume_front("GGUF"))
    return error("expected a GGUF file, which starts with 'GGUF'");
  uint32_t version;
  uint64_t numTensors, numValues;
  if (failed(take(version, "the header")))
    return failure();
  if (version != 2 && version != 3)
    return error(version && sys::getSwappedBytes(version) <= 3
                     ? Twine("is big-endian, expected a little-endian file")
                     : "expected version 2 or 3 of GGUF, got version " + Twine(version));
  if (failed(take(numTensors, "the header")) || failed(take(numValues, "the header")))
    return failure();

  for (uint64_t i = 0; i < numValues; ++i) {
    std::string what = "key " + std::to_string(i) + " of " + std::to_string(numValues);
    StringRef key;
    GGUFValue value;
    if (failed(takeName(key, kMaxKeyBytes, what)) || failed(takeValue(value, quote(key))))
      return failure();
    if (!file.values.emplace(key.str(), value).second)
      return error("key " + quote(key) + " occurs twice");
  }
  std::vector<Tensor> tensors;
  for (uint64_t i = 0; i < numTensors; ++i)
    if (failed(takeTensor(i, tensors.emplace_back())))
      return failure();
  if (failed(place(tensors)))
    return failure();
  for (Tensor &tensor : tensors) {
    tensor.info.file = name.str();
    if (!table.add(tensor.name, std::move(tensor.info)))
      return error("tensor " + quote(tensor.name) + " occurs twice");
  }
  file.numTensors = numTensors;
  return success();
}

std::unique_ptr<GGUFFile> GGUFFile::open(mlir::MLIRContext *context, StringRef directory,
                                         StringRef name, TensorTable &table,
                                         Diagnostics &diagnostics) {
  auto file = std::make_unique<GGUFFile>();
  SmallString<256> path(directory);
  sys::path::append(path, name);
  file->fullPath = path.str().str();
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer) {
    (void)diagnostics.error(path, "cannot be read (" + buffer.getError().message() + ")");
    return nullptr;
  }
  file->buffer = std::move(*buffer);
  if (failed(GGUFReader(context, *file, diagnostics).read(name, table)))
    return nullptr;
  return file;
}
