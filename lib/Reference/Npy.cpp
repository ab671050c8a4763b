//===- Npy.cpp - NumPy's array files ----------------------------------------------------------===//
//
// A .npy file is "\x93NUMPY", two bytes of version, the length of the header in 2 (version 1) or 4
// bytes, the header (a Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4),
// }), and the elements.
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/Reference/Npy.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <cstring>

using namespace mlir;

namespace ingot::reference {

static constexpr StringLiteral kMagic("\x93NUMPY");

namespace {

struct Header {
  std::string descr;
  bool fortranOrder = false;
  bool hasOrder = false, hasShape = false;
  SmallVector<int64_t> shape;
};

/// Parses the header's dictionary, which is a literal of a known form.
class HeaderParser {
public:
  explicit HeaderParser(StringRef text) : rest(text) {}

  /// Nothing where it is malformed.
  std::optional<Header> parse() {
    if (!take("{"))
      return std::nullopt;
    while (!take("}")) {
      StringRef key;
      if (!string(key) || !take(":") || !value(key) || (!take(",") && !peek("}")))
        return std::nullopt;
    }
    rest = rest.ltrim();
    if (!rest.empty() || header.descr.empty() || !header.hasOrder || !header.hasShape)
      return std::nullopt;
    return header;
  }

private:
  bool peek(StringRef token) {
    rest = rest.ltrim();
    return rest.starts_with(token);
  }
  bool take(StringRef token) {
    rest = rest.ltrim();
    return rest.consume_front(token);
  }
  bool string(StringRef &result) {
    char quote = peek("\"") ? '"' : '\'';
    if (!take(StringRef(&quote, 1)))
      return false;
    size_t end = rest.find(quote);
    if (end == StringRef::npos)
      return false;
    result = rest.take_front(end);
    rest = rest.drop_front(end + 1);
    return true;
  }
  bool value(StringRef key) {
    StringRef text;
    if (key == "descr") {
      if (!string(text))
        return false;
      header.descr = text.str();
      return true;
    }
    if (key == "fortran_order") {
      header.hasOrder = true;
      header.fortranOrder = take("True");
      return header.fortranOrder || take("False");
    }
    if (key != "shape" || !take("("))
      return false;
    header.hasShape = true;
    while (!take(")")) {
      int64_t size;
      rest = rest.ltrim();
      if (rest.consumeInteger(10, size) || size < 0 || (!take(",") && !peek(")")))
        return false;
      header.shape.push_back(size);
    }
    return true;
  }

  StringRef rest;
  Header header;
};

} // namespace

llvm::Expected<Tensor> parseNpy(StringRef contents, StringRef name, Type elementType) {
  auto fail = [&](const Twine &what) { return llvm::createStringError(name + ": " + what); };
  StringRef rest = contents;
  if (!rest.consume_front(kMagic) || rest.size() < 4)
    return fail("expected a .npy file");
  unsigned version = uint8_t(rest[0]), lengthBytes = version == 1 ? 2 : 4;
  if (version < 1 || version > 3)
    return fail("expected version 1, 2 or 3 of the format, got " + Twine(version));
  rest = rest.drop_front(2);
  uint64_t length = 0;
  if (rest.size() < lengthBytes)
    return fail("ends inside its header");
  for (unsigned i = 0; i < lengthBytes; ++i)
    length |= uint64_t(uint8_t(rest[i])) << (8 * i);
  rest = rest.drop_front(lengthBytes);
  if (length > rest.size())
    return fail("ends inside its header");
  std::optional<Header> header = HeaderParser(rest.take_front(length)).parse();
  if (!header)
    return fail("has a malformed header");
  rest = rest.drop_front(length);
  if (header->fortranOrder && header->shape.size() > 1)
    return fail("expected C order, got Fortran order");

  // '<f4', '|b1', '<i8', '|u1': byte order, kind, bytes.
  StringRef descr = header->descr;
  unsigned bytes = 0;
  if (descr.size() != 3 || !StringRef("<|=").contains(descr[0]) ||
      !StringRef("fiub").contains(descr[1]) || descr.drop_front(2).getAsInteger(10, bytes) ||
      !llvm::isPowerOf2_32(bytes) || bytes > 8 || (descr[1] == 'f' && bytes == 1) ||
      (descr[1] == 'b' && bytes != 1))
    return fail("expected little-endian floats, integers or booleans, got '" + descr + "'");
  bool isFloat = descr[1] == 'f', isUnsigned = descr[1] != 'i';
  std::optional<NumberKind> kind = getNumberKind(elementType);
  std::string typeName;
  llvm::raw_string_ostream(typeName) << elementType;
  if (!kind || kind->isFloat != isFloat)
    return fail("expected elements for " + typeName + ", got '" + descr + "'");
  std::optional<int64_t> count = checkedProduct(header->shape);
  if (!count || *count > Tensor::maxElements() || uint64_t(*count) * bytes != rest.size())
    return fail("expected " + (count ? Twine(*count) : Twine("fewer")) + " elements of " +
                Twine(bytes) + " bytes, got " + Twine(rest.size()) + " bytes");

  llvm::Expected<Tensor> tensor = Tensor::create(header->shape, elementType);
  if (!tensor)
    return fail(toString(tensor.takeError()));
  FloatFormat format = bytes == 2   ? FloatFormat::F16
                       : bytes == 4 ? FloatFormat::F32
                                    : FloatFormat::F64;
  const char *next = rest.data();
  for (Scalar &element : tensor->mutableElements()) {
    uint64_t bits = 0;
    std::memcpy(&bits, next, bytes);
    next += bytes;
    if (isFloat) {
      element.f = roundToFormat(decodeFloat(bits, format), kind->format);
      continue;
    }
    int64_t value = isUnsigned ? int64_t(bits) : llvm::SignExtend64(bits, 8 * bytes);
    element.i = wrapInteger(value, kind->width);
    // An i8 tensor may hold 255 of a u1 file; what must be kept are the bits.
    bool fits = element.i == value || (isUnsigned && unsignedValue(element.i, kind->width) == bits);
    if (!fits)
      return fail("holds " + Twine(value) + ", which does not fit " + typeName);
  }
  return tensor;
}

llvm::Expected<Tensor> readNpy(StringRef path, Type elementType) {
  llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> buffer =
      llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return llvm::createStringError(path + ": " + buffer.getError().message());
  return parseNpy((*buffer)->getBuffer(), path, elementType);
}

std::string formatNpy(const Tensor &tensor, bool asDoubles) {
  NumberKind kind = tensor.getKind();
  FloatFormat format = asDoubles                          ? FloatFormat::F64
                       : kind.format == FloatFormat::BF16 ? FloatFormat::F32
                                                          : kind.format;
  unsigned bytes = !kind.isFloat                ? kind.storageBytes()
                   : format == FloatFormat::F64 ? 8
                   : format == FloatFormat::F32 ? 4
                                                : 2;
  std::string header;
  llvm::raw_string_ostream stream(header);
  stream << "{'descr': '" << (bytes == 1 ? '|' : '<')
         << (kind.isFloat      ? 'f'
             : kind.width == 1 ? 'b'
                               : 'i')
         << bytes << "', 'fortran_order': False, 'shape': (";
  for (int64_t size : tensor.getShape())
    stream << size << ", ";
  stream << "), }";
  // The elements start at a multiple of 64; a newline ends the header.
  size_t before = kMagic.size() + 4;
  header.append(63 - (before + header.size()) % 64, ' ');
  header.push_back('\n');

  std::string contents = kMagic.str();
  contents += {'\1', '\0', char(header.size() & 0xFF), char(header.size() >> 8)};
  contents += header;
  for (int64_t i = 0; i < tensor.getNumElements(); ++i) {
    uint64_t bits =
        kind.isFloat ? encodeFloat(tensor.floatAt(i), format) : uint64_t(tensor.intAt(i));
    contents.append(reinterpret_cast<const char *>(&bits), bytes);
  }
  return contents;
}

llvm::Error writeNpy(StringRef path, const Tensor &tensor, bool asDoubles) {
  std::string contents = formatNpy(tensor, asDoubles);
  llvm::Error error = llvm::writeToOutput(path, [&](llvm::raw_ostream &stream) {
    stream << contents;
    return llvm::Error::success();
  });
  if (error)
    return llvm::createStringError(path + ": " + toString(std::move(error)));
  return llvm::Error::success();
}

} // namespace ingot::reference
