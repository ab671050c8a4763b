//===- OpSupport.h - what verifiers and interfaces of tfm operations share --------*- C++ -*-===//
#ifndef INGOT_LIB_DIALECT_TRANSFORMER_IR_OPSUPPORT_H
#define INGOT_LIB_DIALECT_TRANSFORMER_IR_OPSUPPORT_H

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace ingot::tfm {

/// Both known and different.
inline bool differ(int64_t a, int64_t b) {
  return !mlir::ShapedType::isDynamic(a) && !mlir::ShapedType::isDynamic(b) && a != b;
}

inline mlir::RankedTensorType typeOf(mlir::Value value) {
  return mlir::cast<mlir::RankedTensorType>(value.getType());
}

/// Whether `operand`'s element type is wider than `result`'s. f16 and bf16 do not widen to each
/// other. Blocks decode to f32.
inline bool isWider(mlir::Value operand, mlir::Value result) {
  mlir::Type from = typeOf(operand).getElementType(), to = typeOf(result).getElementType();
  if (mlir::isa<BlockType>(from))
    return to.getIntOrFloatBitWidth() < 32;
  return from != to && from.getIntOrFloatBitWidth() >= to.getIntOrFloatBitWidth();
}

/// The sizes of `value` as attributes or tensor.dim operations.
inline llvm::SmallVector<mlir::OpFoldResult> sizesOf(mlir::OpBuilder &builder, mlir::Location loc,
                                                     mlir::Value value) {
  return mlir::tensor::getMixedSizes(builder, loc, value);
}

/// The dynamic dimensions of a value as factors; the static ones multiply `coefficient`.
inline CostTerm costOfShape(CostClass cost, int64_t coefficient, mlir::Value value) {
  CostTerm term{cost, coefficient, {}};
  for (auto [dim, size] : llvm::enumerate(typeOf(value).getShape())) {
    if (mlir::ShapedType::isDynamic(size))
      term.factors.push_back({value, int64_t(dim)});
    else
      term.coefficient *= size;
  }
  return term;
}

/// Why a product cannot be made of such rows and weights where one of them is in blocks, or null.
inline const char *whyNotBlocks(mlir::Value x, mlir::Value weight, bool transposed) {
  auto rows = mlir::dyn_cast<BlockType>(typeOf(x).getElementType()),
       matrix = mlir::dyn_cast<BlockType>(typeOf(weight).getElementType());
  if (transposed && matrix)
    return "expected a weight in blocks not to be transposed, got ";
  if (matrix && matrix.getFormat() == formats::Format::Q8_X)
    return "expected a weight in a format of weights, got ";
  if (rows && (rows.getFormat() != formats::Format::Q8_X || !matrix))
    return "expected rows in blocks to be q8_x and to meet a weight in blocks, got ";
  return nullptr;
}

inline int64_t bytesOf(mlir::Type type) { return (type.getIntOrFloatBitWidth() + 7) / 8; }

/// Bytes of a weight operand.
inline CostTerm costOfWeight(mlir::Value weight) {
  if (std::optional<int64_t> bytes = getStorageBytes(typeOf(weight)))
    return {CostClass::Weights, *bytes, {}};
  // An input of a graph is a weight too; blocks are not of open sizes.
  mlir::Type element = typeOf(weight).getElementType();
  int64_t bytes = element.isIntOrFloat() ? bytesOf(element) : 1;
  return costOfShape(CostClass::Weights, bytes, weight);
}

} // namespace ingot::tfm

#endif // INGOT_LIB_DIALECT_TRANSFORMER_IR_OPSUPPORT_H
