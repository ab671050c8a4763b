//===- CacheTypes.h - element types of caches by name -----------------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_CACHETYPES_H
#define INGOT_LIB_TRANSFORMS_CACHETYPES_H

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/StringSwitch.h"

namespace ingot {

/// The element type that `name` stands for, `asKeys` for an empty name; null for any other.
inline mlir::Type getCacheElementType(llvm::StringRef name, mlir::Type asKeys) {
  mlir::MLIRContext *context = asKeys.getContext();
  return llvm::StringSwitch<mlir::Type>(name)
      .Case("", asKeys)
      .Case("f32", mlir::Float32Type::get(context))
      .Case("bf16", mlir::BFloat16Type::get(context))
      .Case("f16", mlir::Float16Type::get(context))
      .Case("int8", mlir::IntegerType::get(context, 8))
      .Default(mlir::Type());
}

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_CACHETYPES_H
