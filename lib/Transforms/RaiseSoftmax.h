//===- RaiseSoftmax.h - decomposed softmax becomes tfm.softmax --------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H
#define INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ingot {

/// Replaces what is written as `exp(x - max(x)) / sum(exp(x - max(x)))` by tfm.softmax. Returns how
/// many there were.
int64_t raiseSoftmaxes(mlir::func::FuncOp function);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_RAISESOFTMAX_H
