//===- RaiseSoftmax.h - decomposed softmax becomes tfm.softmax --------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H
#define INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <string>

namespace ingot {

/// Replaces what is written as `exp(x - max(x)) / sum(exp(x - max(x)))` by tfm.softmax. Returns how
/// many there were.
int64_t raiseSoftmaxes(mlir::func::FuncOp function);

/// Erases an operation whose results are not used, and what only it used.
void eraseDead(mlir::Operation *op);

/// A sum of exponentials along a dimension that no softmax was made of.
struct UnnamedSoftmax {
  mlir::Operation *sum;
  mlir::Value exponentials;
  /// What keeps it from being a softmax.
  std::string why;
};

/// What `raiseSoftmaxes` left in `function`.
llvm::SmallVector<UnnamedSoftmax> findUnnamedSoftmaxes(mlir::func::FuncOp function);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H
