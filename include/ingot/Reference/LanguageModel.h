//===- LanguageModel.h - running language models in the interpreter ---------------*- C++ -*-===//
//
// A language model is a module whose functions map ids to logits, in any of the forms that passes
// bring it to. An argument is recognised by its type, so the harness knows no order but that of the
// caches among themselves:
//
//  - ids: the tensor of rank 1 of integers;
//  - the batch: `!tfm.batch`, absent in graph form;
//  - one `!tfm.cache` for each attention site; the results hold the next version of each, in order
//    (a plan.program, which updates caches in place, returns none).
//
// The first tensor among the results is the logits of the wanted outputs.
//
// @forward without a batch takes one sequence, from its start, at once. With a batch it takes any
// number of rows at a time, as @prefill and @decode do.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_REFERENCE_LANGUAGEMODEL_H
#define INGOT_REFERENCE_LANGUAGEMODEL_H

#include "ingot/Reference/Interpreter.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace ingot::reference {

struct FeedOptions {
  /// How many tokens of a sequence go to @prefill in each step; what they leave over is decoded one
  /// by one. Empty: two thirds of each sequence's tokens in two steps.
  llvm::SmallVector<int64_t> prefillSteps;
  /// Which outputs the steps of prefill want: of every token, of the last token of each sequence,
  /// or the one and the other in turn. Decode wants them all.
  enum class Outputs { All, Last, InTurn } outputs = Outputs::All;
};

/// The functions of a language model: @prefill and @decode, or @forward for both; null where the
/// module is not a language model.
struct LanguageModelFunctions {
  mlir::FunctionOpInterface prefill, decode;
  explicit operator bool() { return static_cast<bool>(prefill); }
};
LanguageModelFunctions findLanguageModel(mlir::ModuleOp module);

/// The logits [wanted outputs, vocabulary] of each sequence, fed as `feed` says. In phase form the
/// sequences share the batches; in graph form each runs alone, and the rows that the steps would
/// want are taken, so that results are comparable across forms. Errors are emitted.
mlir::FailureOr<llvm::SmallVector<RuntimeValue>>
evaluateSequences(mlir::ModuleOp module, Interpreter &interpreter,
                  llvm::ArrayRef<std::vector<int32_t>> sequences, const FeedOptions &feed = {});

/// The logits of one sequence.
mlir::FailureOr<Tensor> evaluateTokens(mlir::ModuleOp module, llvm::ArrayRef<int32_t> ids,
                                       const InterpreterOptions &options,
                                       const FeedOptions &feed = {});

} // namespace ingot::reference

#endif // INGOT_REFERENCE_LANGUAGEMODEL_H
