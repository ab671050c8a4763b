//===- Pipeline.h - the passes from a plain graph to an execution plan -------------*- C++ -*-===//
//
// The pipeline in one place, for every tool. Stages have names; a module can be taken out after any
// stage and put in again there.
//
//   input       as the importer or the user wrote it
//   graph       attention, norms, rotary and linears are fused; still one whole sequence
//   phases      packed tokens, batches and caches; prefill and decode of a language model
//   dispatches  outlined kernels with schedules, packed weights
//   plan        programs with slots, grids and costs: what the artifact holds
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_PIPELINE_PIPELINE_H
#define INGOT_PIPELINE_PIPELINE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include <optional>
#include <string>
#include <vector>

namespace ingot {

enum class Stage { Input, Graph, Phases, Dispatches, Plan };

/// All stages in order, and their names.
llvm::ArrayRef<Stage> getStages();
llvm::StringRef getStageName(Stage stage);
std::optional<Stage> parseStage(llvm::StringRef name);

/// What happens when a language model has as many positions as its context.
enum class PastContext { Default, Stop, Slide, Restart };

struct PipelineOptions {
  /// Positions of the context; 0: the model's own.
  int64_t context = 0;
  PastContext pastContext = PastContext::Default;
  /// Restart: newest tokens that are prefilled anew; 0: half of the context.
  int64_t keep = 0;
  /// Without a cache every step runs whole sequences.
  bool kvCache = true;
  /// Element type of the caches: "f32", "bf16", "f16" or "int8"; empty: bf16 where activations are
  /// rounded, else the type of the keys.
  std::string cacheType;
  /// How attention is computed: "auto", "math", "blocked" or "flash".
  std::string attentionForm = "auto";
  /// An attention site that is not fused is an error.
  bool requireFused = false;
  /// Formats of weights, as the options of choose-formats; empty: as stored.
  std::vector<std::string> weights;
  /// Type of the rows that meet a matrix: "f32", "bf16" or "int8"; "auto": as the matrices are
  /// stored.
  std::string activations = "auto";
  /// Most rows, and most rows with outputs, in one step of a language model.
  int64_t maxTokens = 512;
  int64_t maxOutputs = 64;
};

/// Decides what `options` leaves open and writes the decisions into the module's `tfm.model`:
/// context, past_context, keep, max_tokens, max_outputs. Does nothing for a plain graph. Fails with
/// a diagnostic where the options do not fit the model.
mlir::LogicalResult configureModel(mlir::ModuleOp module, const PipelineOptions &options);

/// Checks the `tfm.model`, if there is one, of a module that starts at a later stage.
mlir::LogicalResult checkModel(mlir::ModuleOp module);

/// Adds the pass that writes the chosen formats into a module of stage `input`.
void buildFormatPipeline(mlir::PassManager &manager, const PipelineOptions &options);

/// Replaces what `options` leaves open by what that pass chose: activations, and the cache's type.
void readFormats(mlir::ModuleOp module, PipelineOptions &options);

/// Adds the passes after stage `from` up to and including stage `to`. `module` has been configured.
void buildPipeline(mlir::PassManager &manager, mlir::ModuleOp module,
                   const PipelineOptions &options, Stage from, Stage to);

} // namespace ingot

#endif // INGOT_PIPELINE_PIPELINE_H
