//===- RaiseSoftmax.h - decomposed softmax becomes tfm.softmax --------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H
#define INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ingot {

/// Replaces what is written as `exp(x - max(x)) / sum(exp(x - max(x)))` by tfm.softmax. Returns how
/// many there were.
int64_t raiseSoftmaxes(mlir::func::FuncOp function);

/// A sum of exponentials (or of multiples of them) along a dimension, which something is divided
/// by, that no softmax was made of.
struct UnnamedSoftmax {
  mlir::Operation *sum;
  mlir::Value exponentials;
  /// What keeps it from being a softmax.
  llvm::StringRef why;
};

/// What `raiseSoftmaxes` left in `function`.
llvm::SmallVector<UnnamedSoftmax> findUnnamedSoftmaxes(mlir::func::FuncOp function);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H
