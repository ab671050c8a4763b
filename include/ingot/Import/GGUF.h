//===- GGUF.h - models in GGUF files ----------------------------------------------*- C++ -*-===//
//
// One file, or the first of several ("NAME-00001-of-00003.gguf"), with weights, configuration and
// tokenizer. Versions 2 and 3, little-endian. Weights in ggml's block formats stay as they are:
// parameters of type `!tfm.block`.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_IMPORT_GGUF_H
#define INGOT_IMPORT_GGUF_H

#include "ingot/Import/Import.h"
#include "ingot/Tokenizer/Import.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"
#include <optional>

namespace ingot {

struct GGUFModel {
  /// As importHuggingFace makes it. Parameters name their files relative to the file's folder.
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// What the file says about its tokenizer; nothing if it has none.
  std::optional<tokenizer::TokenTable> tokens;
};

/// Imports the model in the file at `path`. Only what comes before the weights is read. Fails with
/// one error in the report; never aborts, and takes no memory in proportion to a count that the
/// file merely claims.
mlir::FailureOr<GGUFModel> importGGUF(mlir::MLIRContext *context, llvm::StringRef path,
                                      const ImportOptions &options, ImportReport &report);

} // namespace ingot

#endif // INGOT_IMPORT_GGUF_H
