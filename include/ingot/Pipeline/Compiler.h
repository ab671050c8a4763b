//===- Compiler.h - from a model's files to an ingot ------------------------------*- C++ -*-===//
#ifndef INGOT_PIPELINE_COMPILER_H
#define INGOT_PIPELINE_COMPILER_H

#include "ingot/Limits/Limits.h"
#include "ingot/Pipeline/Pipeline.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"
#include <functional>
#include <string>
#include <vector>

namespace ingot {

struct CompileOptions : PipelineOptions {
  /// A Hugging Face directory, a GGUF file, a file of MLIR (text or bytecode), or an artifact, of
  /// which only the targets change: what decides the plan (context, past_context, ...) was decided
  /// when it was made.
  std::string input;
  /// The artifact, or with `to` the module; "-" is standard output.
  std::string output;
  /// Processors to make code for, best first.
  std::vector<std::string> targets = {"x86-64-v4", "x86-64-v3"};
  /// Config fields and tensors that are not understood are errors.
  bool strict = false;
  /// The input is a config.json, or a folder with one: tensors have the shapes that it says and no
  /// content. For costs only.
  bool weightless = false;
  /// Run the reference interpreter after every pass, and stop at the first that changes the result.
  bool verifyNumerics = false;
  /// The stage that an MLIR input is in. An artifact is in Phases.
  Stage from = Stage::Input;
  /// Stop after this stage and write the module instead of an artifact.
  std::optional<Stage> to;
  /// Write what was decided and why, as JSON.
  std::string reportPath;
  /// Write the module of every stage, and the vector IR, LLVM IR and assembly of every kernel, into
  /// this folder.
  std::string dumpFolder;
  /// Measure tiles of the projections on this machine, for the targets whose code it can run. The
  /// file then depends on what was measured; what it computes does not.
  bool tune = false;
  /// What the machine can do, for the summary; asked for when it is made. Absent: not in it.
  std::function<Limits()> limits;
  /// Worker threads; 0: one per processor. Does not change a byte of the result.
  unsigned threads = 0;
};

struct CompileEvents {
  /// A step of the work and how far it is; `total` is 0 where that is not known.
  std::function<void(llvm::StringRef step, uint64_t done, uint64_t total)> progress;
  /// Something worth knowing that is no error; "FILE: what".
  std::function<void(const std::string &)> warning;
};

/// What was decided, and what each phase must move and compute, in words.
struct CompileSummary {
  std::string text;
};

/// What to say about a model's costs.
struct CostOptions {
  Limits limits;
  /// Sequences that are decoded together.
  int64_t batch = 1;
  /// The format of weights: one that isCostFormat knows; empty: a line for each.
  std::string weights;
};
bool isCostFormat(llvm::StringRef name);

/// What a model costs, from its config alone: `options.input` is a config.json or a folder with
/// one, no weight is read. Returns text for people.
llvm::Expected<std::string> computeCosts(mlir::MLIRContext &context, const CompileOptions &options,
                                         const CompileEvents &events, const CostOptions &costs);
/// The same for a module in stage Plan, whose weights are counted as 16 bits wide.
llvm::Expected<std::string> describeCosts(mlir::ModuleOp module, const CostOptions &costs);

/// Registers the dialects that inputs may use.
void registerInputDialects(mlir::DialectRegistry &registry);

/// Compiles. Errors read "FILE: what, and what to do"; after an error no output file is left.
llvm::Error compile(mlir::MLIRContext &context, const CompileOptions &options,
                    const CompileEvents &events, CompileSummary &summary);

} // namespace ingot

#endif // INGOT_PIPELINE_COMPILER_H
