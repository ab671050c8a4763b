//===- InitAll.h - everything that a tool can read and run ------------------------*- C++ -*-===//
#ifndef INGOT_INITALL_H
#define INGOT_INITALL_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace ingot {

/// Adds Ingot's dialects, MLIR's, and the extensions that passes need.
void registerAllDialects(mlir::DialectRegistry &registry);

/// Makes Ingot's passes and MLIR's general ones (canonicalize, cse, ...) known by their flags.
void registerAllPasses();

} // namespace ingot

#endif // INGOT_INITALL_H
