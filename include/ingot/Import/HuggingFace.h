//===- HuggingFace.h - models in the layout of Hugging Face -----------------------*- C++ -*-===//
//
// A directory with config.json and model.safetensors, or its shards and
// model.safetensors.index.json. generation_config.json is read for the ids that end a text.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_IMPORT_HUGGINGFACE_H
#define INGOT_IMPORT_HUGGINGFACE_H

#include "ingot/Import/Import.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"

namespace ingot {

/// Imports the model in `directory`. The module has one public function
/// `@forward(%ids: tensor<?xi32>) -> tensor<?xVxf32>` of one sequence of ids to the logits after
/// each of them, and the attribute `tfm.model` (ModelInfo.h). Parameters name their files relative
/// to `directory`; only headers of weight files are read. Without weights `directory` may be the
/// path of the config itself. Fails with one error in the report; never
/// aborts on what the files contain.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> importHuggingFace(mlir::MLIRContext *context,
                                                                     llvm::StringRef directory,
                                                                     const ImportOptions &options,
                                                                     ImportReport &report);

} // namespace ingot

#endif // INGOT_IMPORT_HUGGINGFACE_H
