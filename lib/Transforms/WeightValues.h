//===- WeightValues.h - which values are known when the artifact is written -------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_WEIGHTVALUES_H
#define INGOT_LIB_TRANSFORMS_WEIGHTVALUES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseSet.h"

namespace ingot {

/// The weights of a module: parameters, tensor constants that are not splats, concatenations of
/// weights, and the arguments of private functions that every call gives a weight.
class WeightValues {
public:
  explicit WeightValues(mlir::ModuleOp module);

  bool contains(mlir::Value value) const { return weights.contains(value); }

private:
  llvm::DenseSet<mlir::Value> weights;
};

/// Gives arguments of private functions the types that their calls pass. Fails where calls pass
/// different ones.
mlir::LogicalResult updateSignatures(mlir::ModuleOp module);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_WEIGHTVALUES_H
