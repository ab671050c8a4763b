//===- EraseDead.h - erases what nothing uses any more ----------------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_ERASEDEAD_H
#define INGOT_LIB_TRANSFORMS_ERASEDEAD_H

#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallPtrSet.h"

namespace ingot {

/// Erases an operation whose results are not used, and what only it used. `erased` gets them all,
/// so that lists of operations that are being walked can be checked against it.
inline void eraseDead(mlir::Operation *op, llvm::SmallPtrSetImpl<mlir::Operation *> &erased) {
  llvm::SetVector<mlir::Operation *> worklist;
  worklist.insert(op);
  while (!worklist.empty()) {
    mlir::Operation *next = worklist.pop_back_val();
    if (!mlir::isOpTriviallyDead(next))
      continue;
    for (mlir::Value operand : next->getOperands())
      if (mlir::Operation *producer = operand.getDefiningOp())
        worklist.insert(producer);
    erased.insert(next);
    next->erase();
  }
}

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_ERASEDEAD_H
