//===- Safetensors.h - headers of safetensors files -------------------------------*- C++ -*-===//
//
// A safetensors file is the length n of its header (8 bytes, little-endian), n bytes of JSON, and
// the data. The header maps each tensor's name to its type, its shape and the range of its bytes in
// the data; "__metadata__" maps strings to strings. As the reference implementation does, the
// reader demands that the ranges cover the data without a gap or an overlap, so that every byte of
// a file belongs to one tensor.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_SAFETENSORS_H
#define INGOT_LIB_IMPORT_SAFETENSORS_H

#include "Diagnostics.h"
#include "TensorTable.h"
#include "mlir/IR/MLIRContext.h"

namespace ingot::importer {

/// Adds the tensors of `directory`/`file` to `table`. Only the header is read. Errors: the file is
/// missing, shorter or longer than its header says, the header is longer than 100 MB, not JSON or
/// not of the form above, a tensor's type, shape and range disagree, a name is taken.
llvm::LogicalResult readSafetensors(mlir::MLIRContext *context, llvm::StringRef directory,
                                    llvm::StringRef file, TensorTable &table,
                                    Diagnostics &diagnostics);

/// Adds the tensors of `directory`: those of model.safetensors, or else of the shards that
/// model.safetensors.index.json names. Shards are plain names of files in the directory; each has
/// to hold the tensors that the index says.
llvm::LogicalResult readCheckpoint(mlir::MLIRContext *context, llvm::StringRef directory,
                                   TensorTable &table, Diagnostics &diagnostics);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_SAFETENSORS_H
