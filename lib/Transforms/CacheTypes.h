//===- CacheTypes.h - types of caches ---------------------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_CACHETYPES_H
#define INGOT_LIB_TRANSFORMS_CACHETYPES_H

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"

namespace ingot {

/// The element type that `name` stands for, `asKeys` for an empty name; null for any other.
mlir::Type getCacheElementType(llvm::StringRef name, mlir::Type asKeys);

/// The cache of attention in graph form. Where a value is provably the first elements of its key,
/// but not all of them, keys hold the values.
tfm::CacheType getCacheType(tfm::AttentionOp op, llvm::StringRef elementName);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_CACHETYPES_H
