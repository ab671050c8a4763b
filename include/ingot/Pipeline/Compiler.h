//===- Compiler.h - from a model's files to an ingot -------------------------------*- C++ -*-===//
#ifndef INGOT_PIPELINE_COMPILER_H
#define INGOT_PIPELINE_COMPILER_H

#include "ingot/Pipeline/Pipeline.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"
#include <functional>
#include <string>
#include <vector>

namespace ingot {

struct CompileOptions : PipelineOptions {
  /// A Hugging Face directory, or a file of MLIR (text or bytecode).
  std::string input;
  /// The artifact, or with `to` the module; "-" is standard output.
  std::string output;
  /// Processors to make code for, best first.
  std::vector<std::string> targets = {"x86-64-v4", "x86-64-v3"};
  /// Config fields and tensors that are not understood are errors.
  bool strict = false;
  /// Run the reference interpreter after every pass, and stop at the first that changes the result.
  bool verifyNumerics = false;
  /// The stage that an MLIR input is in.
  Stage from = Stage::Input;
  /// Stop after this stage and write the module instead of an artifact.
  std::optional<Stage> to;
  /// Write what was decided and why, as JSON.
  std::string reportPath;
  /// Write the module of every stage, and the vector IR, LLVM IR and assembly of every kernel, into
  /// this folder.
  std::string dumpFolder;
  /// Worker threads; 0: one per processor. Does not change a byte of the result.
  unsigned threads = 0;
};

struct CompileEvents {
  /// A step of the work and how far it is; `total` is 0 where that is not known.
  std::function<void(llvm::StringRef step, uint64_t done, uint64_t total)> progress;
  /// Something worth knowing that is no error; "FILE: what".
  std::function<void(const std::string &)> warning;
};

/// What one phase of a program must move and compute, for the summary after a compile.
struct CompileSummary {
  std::string text;
};

/// Registers the dialects that inputs may use.
void registerInputDialects(mlir::DialectRegistry &registry);

/// Compiles. Errors read "FILE: what, and what to do"; after an error no output file is left.
llvm::Error compile(mlir::MLIRContext &context, const CompileOptions &options,
                    const CompileEvents &events, CompileSummary &summary);

} // namespace ingot

#endif // INGOT_PIPELINE_COMPILER_H
