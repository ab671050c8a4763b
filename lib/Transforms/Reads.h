//===- Reads.h - what an operation reads ------------------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_READS_H
#define INGOT_LIB_TRANSFORMS_READS_H

#include "mlir/Transforms/RegionUtils.h"

namespace ingot {

/// Calls `visit` on the operands, and on the values that the regions of the operation read from
/// outside.
inline void forEachRead(mlir::Operation *op, llvm::function_ref<void(mlir::Value)> visit) {
  for (mlir::Value operand : op->getOperands())
    visit(operand);
  llvm::SetVector<mlir::Value> captured;
  if (op->getNumRegions())
    mlir::getUsedValuesDefinedAbove(op->getRegions(), captured);
  for (mlir::Value value : captured)
    visit(value);
}

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_READS_H
