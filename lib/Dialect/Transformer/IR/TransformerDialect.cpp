//===- TransformerDialect.cpp - the tfm dialect and its types ---------------------------------===//

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

#include "ingot/Dialect/Transformer/IR/TransformerDialect.cpp.inc"
#include "ingot/Dialect/Transformer/IR/TransformerEnums.cpp.inc"
#include "ingot/Dialect/Transformer/IR/TransformerInterfaces.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "ingot/Dialect/Transformer/IR/TransformerTypes.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "ingot/Dialect/Transformer/IR/TransformerAttrs.cpp.inc"

namespace {
/// Constants of score and mask regions stay inside: a region then says all of what it computes.
struct TransformerFoldInterface : DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  bool shouldMaterializeInto(Region *region) const final {
    return isa<AttentionOp>(region->getParentOp());
  }
};
} // namespace

void TransformerDialect::initialize() {
  addInterfaces<TransformerFoldInterface>();
  addTypes<
#define GET_TYPEDEF_LIST
#include "ingot/Dialect/Transformer/IR/TransformerTypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "ingot/Dialect/Transformer/IR/TransformerAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "ingot/Dialect/Transformer/IR/TransformerOps.cpp.inc"
      >();
}

// <heads x keySize x valueSize x type> or <..., values_in_keys>
Type CacheType::parse(AsmParser &parser) {
  SmallVector<int64_t> sizes;
  Type elementType;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseDimensionList(sizes, /*allowDynamic=*/false) ||
      parser.parseType(elementType))
    return {};
  bool valuesInKeys = succeeded(parser.parseOptionalComma());
  if ((valuesInKeys && parser.parseKeyword("values_in_keys")) || parser.parseGreater())
    return {};
  if (sizes.size() != 3) {
    parser.emitError(loc, "expected heads x key size x value size, got ")
        << sizes.size() << " sizes";
    return {};
  }
  return CacheType::getChecked([&] { return parser.emitError(loc); }, parser.getContext(), sizes[0],
                               sizes[1], sizes[2], elementType, valuesInKeys);
}

void CacheType::print(AsmPrinter &printer) const {
  printer << '<' << getHeads() << 'x' << getKeySize() << 'x' << getValueSize() << 'x'
          << getElementType() << (getValuesInKeys() ? ", values_in_keys>" : ">");
}

LogicalResult CacheType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t heads,
                                int64_t keySize, int64_t valueSize, Type elementType,
                                bool valuesInKeys) {
  if (heads < 1 || keySize < 1 || valueSize < 1)
    return emitError() << "expected positive sizes of a cache, got " << heads << "x" << keySize
                       << "x" << valueSize;
  if (!isa<Float32Type, Float16Type, BFloat16Type>(elementType) && !elementType.isInteger(8))
    return emitError() << "expected f32, f16, bf16 or i8 cache elements, got " << elementType;
  if (valuesInKeys && valueSize > keySize)
    return emitError() << "expected values in keys to be at most as long as the keys, got "
                       << valueSize << " of " << keySize;
  return success();
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

// <q4_1>
Type BlockType::parse(AsmParser &parser) {
  StringRef name;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword(&name) || parser.parseGreater())
    return {};
  std::optional<formats::Format> format = formats::parseFormat(name);
  if (!format) {
    parser.emitError(loc, "expected a block format, got ") << name;
    return {};
  }
  return BlockType::getChecked([&] { return parser.emitError(loc); }, parser.getContext(), *format);
}

void BlockType::print(AsmPrinter &printer) const {
  printer << '<' << StringRef(formats::getInfo(getFormat()).name) << '>';
}

LogicalResult BlockType::verify(function_ref<InFlightDiagnostic()> emitError,
                                formats::Format format) {
  if (!formats::getInfo(format).isBlock())
    return emitError() << "expected a block format, got "
                       << StringRef(formats::getInfo(format).name);
  return success();
}

std::optional<formats::Format> ingot::tfm::getStorageFormat(Type elementType) {
  return TypeSwitch<Type, std::optional<formats::Format>>(elementType)
      .Case([](Float32Type) { return formats::Format::F32; })
      .Case([](Float16Type) { return formats::Format::F16; })
      .Case([](BFloat16Type) { return formats::Format::BF16; })
      .Case([](BlockType block) { return block.getFormat(); })
      .Default([](Type) { return std::nullopt; });
}

std::optional<int64_t> ingot::tfm::getStorageBytes(RankedTensorType type) {
  int64_t units = 1, unitBytes;
  Type elementType = type.getElementType();
  auto block = dyn_cast<BlockType>(elementType);
  if (block)
    unitBytes = block.getBlockBytes();
  else if (elementType.isIntOrFloat())
    unitBytes = llvm::divideCeil(elementType.getIntOrFloatBitWidth(), 8);
  else
    return std::nullopt;
  for (auto [dim, size] : llvm::enumerate(type.getShape())) {
    bool isLast = int64_t(dim) + 1 == type.getRank();
    if (size < 0)
      return std::nullopt;
    int64_t count = block && isLast ? formats::blocksOf(block.getFormat(), size) : size;
    if (llvm::MulOverflow(units, count, units))
      return std::nullopt;
  }
  if ((block && type.getRank() == 0) || llvm::MulOverflow(units, unitBytes, units))
    return std::nullopt;
  return units;
}
