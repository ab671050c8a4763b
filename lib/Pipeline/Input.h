//===- Input.h - reads what is compiled --------------------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_PIPELINE_INPUT_H
#define INGOT_LIB_PIPELINE_INPUT_H

#include "ingot/Artifact/ArtifactReader.h"
#include "ingot/Import/Import.h"
#include "ingot/Pipeline/Compiler.h"
#include "mlir/IR/OwningOpRef.h"

namespace ingot {

/// A model as it came in.
struct Input {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// Folder that tfm.parameter's files are relative to.
  std::string folder;
  /// Files of the folder, beside those of weights, that decided the content.
  std::vector<std::string> sourceFiles;
  /// The tokenizer in its binary form; empty where there is none.
  std::vector<uint8_t> tokenizer;
  /// The artifact that the module came from: it is in stage `phases`, as `ir` has it in bytecode.
  std::unique_ptr<artifact::ArtifactReader> packed;
  std::string ir;
  ImportReport report;
};

llvm::Expected<Input> readInput(mlir::MLIRContext &context, const CompileOptions &options,
                                const CompileEvents &events);

llvm::Error makeError(const llvm::Twine &message);

/// Runs `body` and turns the first error that it emits into an llvm::Error that begins with `file`.
llvm::Error collectDiagnostics(mlir::MLIRContext &context, llvm::StringRef file,
                               const CompileEvents &events,
                               llvm::function_ref<mlir::LogicalResult()> body);

} // namespace ingot

#endif // INGOT_LIB_PIPELINE_INPUT_H
