//===- SourceAttr.h - what belongs to the source of a sequence --------------------*- C++ -*-===//
#ifndef INGOT_DIALECT_TRANSFORMER_SOURCEATTR_H
#define INGOT_DIALECT_TRANSFORMER_SOURCEATTR_H

#include "llvm/ADT/StringRef.h"

namespace ingot::tfm {

/// Attribute of arguments and results of functions (unit): what belongs to the source of a sequence,
/// which stays as it is while the sequence grows (cross attention).
inline llvm::StringRef getSourceAttrName() { return "tfm.source"; }

} // namespace ingot::tfm

#endif // INGOT_DIALECT_TRANSFORMER_SOURCEATTR_H
