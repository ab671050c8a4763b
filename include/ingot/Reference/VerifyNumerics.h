//===- VerifyNumerics.h - finds the pass that changes what a module computes ------*- C++ -*-===//
//
// --verify-numerics: the interpreter runs the module before the first pass and again after each
// one, on random and on extreme inputs. The first pass whose result differs is named in an error,
// and the pipeline fails there.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_REFERENCE_VERIFYNUMERICS_H
#define INGOT_REFERENCE_VERIFYNUMERICS_H

#include "ingot/Reference/Interpreter.h"
#include "mlir/Pass/PassManager.h"
#include <functional>

namespace ingot::reference {

struct VerifyNumericsOptions {
  /// Largest difference, relative to the largest magnitude of a result (see Difference). 1e-9 is
  /// far above what reordering costs in f64 and far below what any mistake does.
  double tolerance = 1e-9;
  Precision precision = Precision::F64;
  /// Null: weights are made up.
  std::shared_ptr<ParameterSource> parameters;
  uint64_t seed = 1;
  /// Tokens that a language model is run on, if its context has room for them; beside them in the
  /// batch runs a sequence of a third as many.
  int64_t tokens = 11;
  /// Sizes of dynamic dimensions of other functions, as InputOptions::dims.
  llvm::SmallVector<int64_t> dims = {7};
  /// Receives what could not be verified, and why: a line each.
  std::function<void(llvm::StringRef)> note;
};

/// Compares a module with itself after each pass of a pass manager.
///
/// A language model (LanguageModel.h) is run on made-up ids in whichever form it is, so its logits
/// stay comparable from plain graph to plan. Of other modules every public function is run, on one
/// sequence where it takes a batch; only the tensors among its results are compared. What the
/// interpreter does not know is noted and left out until it knows it again.
class NumericsVerifier {
public:
  explicit NumericsVerifier(VerifyNumericsOptions options);
  ~NumericsVerifier();

  /// Watches the runs of `pm`, whose pipeline must be complete. Switches off threading in its
  /// context: passes on functions are verified one by one.
  void attach(mlir::PassManager &pm);

  /// Whether a pass changed a result (also the pass manager's run has then failed).
  bool hasFailed() const;
  /// How often the module was evaluated and compared.
  unsigned getNumComparisons() const;

  class State;

private:
  std::shared_ptr<State> state;
};

} // namespace ingot::reference

#endif // INGOT_REFERENCE_VERIFYNUMERICS_H
