//===- Products.h - products of tensors, softmaxes and sizes ----------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_PRODUCTS_H
#define INGOT_LIB_TRANSFORMS_PRODUCTS_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/STLExtras.h"
#include <optional>

namespace ingot {

/// A sum over one iterator of products of elements of two tensors.
struct Product {
  mlir::Value operands[2];
  /// For each dimension of an operand (or of the result) its iterator.
  llvm::SmallVector<unsigned> dims[2], resultDims;
  unsigned sum = 0;
  llvm::SmallVector<int64_t> sizes;

  mlir::RankedTensorType typeOf(unsigned k) const {
    return mlir::cast<mlir::RankedTensorType>(operands[k].getType());
  }
  bool has(unsigned k, unsigned iterator) const { return llvm::is_contained(dims[k], iterator); }
};

/// `op` as a product: tfm.matmul, and the contractions of linalg that start from 0.
std::optional<Product> productOf(mlir::Operation *op);

/// The input of a softmax and the dimension that it normalises; null for other operations.
mlir::Value softmaxInput(mlir::Operation *op, int64_t &dim);

/// The value and dimension that the size of a dimension comes from, as far as it can be followed.
std::pair<mlir::Value, int64_t> sizeOrigin(mlir::Value value, int64_t dim);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_PRODUCTS_H
