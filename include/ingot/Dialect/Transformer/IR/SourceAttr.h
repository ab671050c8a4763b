//===- SourceAttr.h - what belongs to the source of a sequence --------------------*- C++ -*-===//
#ifndef INGOT_DIALECT_TRANSFORMER_SOURCEATTR_H
#define INGOT_DIALECT_TRANSFORMER_SOURCEATTR_H

#include "mlir/Interfaces/FunctionInterfaces.h"

namespace ingot::tfm {

/// Attribute of arguments and results of functions (unit): what belongs to the source of a
/// sequence, which stays as it is while the sequence grows (cross attention).
inline llvm::StringRef getSourceAttrName() { return "tfm.source"; }

/// Whether a function has an argument that belongs to a source.
inline bool takesSource(mlir::FunctionOpInterface function) {
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, getSourceAttrName()))
      return true;
  return false;
}

} // namespace ingot::tfm

#endif // INGOT_DIALECT_TRANSFORMER_SOURCEATTR_H
