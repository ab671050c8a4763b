//===- Reductions.h - sums and maxima along a dimension ---------------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_REDUCTIONS_H
#define INGOT_LIB_TRANSFORMS_REDUCTIONS_H

#include "mlir/IR/Value.h"
#include <optional>

namespace ingot {

/// The sum or the maximum of a tensor along one dimension, which the result does not have.
struct Reduction {
  enum Kind { Sum, Max } kind;
  mlir::Value input;
  int64_t dim;
};

/// `op` as a reduction of floats that starts from the neutral element (for a maximum, from a number
/// that no finite element is below).
std::optional<Reduction> reductionOf(mlir::Operation *op);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_REDUCTIONS_H
