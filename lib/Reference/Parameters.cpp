//===- Parameters.cpp - where the bytes of weights come from ----------------------------------===//

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Reference/Interpreter.h"
#include "ingot/Reference/Random.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;

namespace ingot::reference {

llvm::Expected<ArrayRef<uint8_t>> FileParameterSource::resolve(StringRef file, int64_t offset,
                                                               int64_t size, Type elementType) {
  namespace path = llvm::sys::path;
  bool leaves = std::find(path::begin(file), path::end(file), "..") != path::end(file);
  if (file.empty() || path::is_absolute(file) || leaves)
    return llvm::createStringError("expected a file below the model's folder, got '" + file + "'");
  std::unique_ptr<llvm::MemoryBuffer> &buffer = files[file];
  if (!buffer) {
    SmallString<128> full(root);
    path::append(full, file);
    llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> opened =
        llvm::MemoryBuffer::getFile(full, /*IsText=*/false, /*RequiresNullTerminator=*/false);
    if (!opened)
      return llvm::createStringError(full + ": " + opened.getError().message());
    buffer = std::move(*opened);
  }
  int64_t length = buffer->getBufferSize();
  if (offset < 0 || size < 0 || offset > length || size > length - offset)
    return llvm::createStringError("'" + file + "' has " + Twine(length) + " bytes, expected " +
                                   Twine(size) + " from " + Twine(offset) + " on");
  return ArrayRef(reinterpret_cast<const uint8_t *>(buffer->getBufferStart()) + offset, size);
}

llvm::Expected<ArrayRef<uint8_t>> RandomParameterSource::resolve(StringRef file, int64_t offset,
                                                                 int64_t size, Type elementType) {
  std::optional<NumberKind> kind = getNumberKind(elementType);
  auto format = dyn_cast<tfm::BlockType>(elementType);
  int64_t unit = format ? format.getBlockBytes() : kind ? kind->storageBytes() : 1;
  if (!kind || offset < 0 || size < 0 || size % unit != 0)
    return llvm::createStringError("expected whole numbers of a known type");
  std::string key;
  llvm::raw_string_ostream(key) << file << '\n' << offset << ' ' << size << ' ' << elementType;
  std::vector<uint8_t> *&block = known[key];
  if (block)
    return ArrayRef(*block);
  blocks.push_back(std::make_unique<std::vector<uint8_t>>(size));
  block = blocks.back().get();
  uint64_t stream = seed ^ llvm::xxh3_64bits(file);
  if (format) {
    for (int64_t at = 0; at < size; ++at)
      (*block)[at] = uint8_t(randomBits(stream, offset + at));
    formats::tameScales(format.getFormat(), block->data(), size / unit * format.getBlockLength());
    return ArrayRef(*block);
  }
  int64_t width = kind->storageBytes();
  for (int64_t at = 0; at < size; at += width) {
    uint64_t draw = randomBits(stream, offset + at);
    uint64_t bits = kind->isFloat ? encodeFloat((toUnit(draw) - 0.5) * 0.5, kind->format)
                                  : uint64_t(kind->width == 1 ? draw & 1 : draw % 4);
    std::memcpy(block->data() + at, &bits, width);
  }
  return ArrayRef(*block);
}

} // namespace ingot::reference
