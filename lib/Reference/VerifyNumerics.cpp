//===- VerifyNumerics.cpp - finds the pass that changes what a module computes ----------------===//

#include "ingot/Reference/VerifyNumerics.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Transformer/IR/SourceAttr.h"
#include "ingot/Reference/Compare.h"
#include "ingot/Reference/LanguageModel.h"
#include "ingot/Reference/Random.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/OperationSupport.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace ingot::reference {

namespace {

/// What one evaluation gave.
struct Outcome {
  enum Kind { Ran, Unsupported, Failed } kind;
  SmallVector<RuntimeValue> results; // the tensors
  std::string message;               // of an error
};

/// Outcomes by what was evaluated: "@f on random inputs".
using Snapshot = llvm::MapVector<std::string, Outcome, std::map<std::string, unsigned>>;

} // namespace

class NumericsVerifier::State {
public:
  explicit State(VerifyNumericsOptions options) : options(std::move(options)) {
    if (!this->options.parameters)
      this->options.parameters = std::make_shared<RandomParameterSource>(this->options.seed);
  }

  void takeBaseline(ModuleOp module) {
    if (known)
      return;
    known.emplace(module);
    baseline = evaluate(module);
    for (const auto &[name, outcome] : baseline)
      if (outcome.kind != Outcome::Ran)
        note(name + " is not verified: " + outcome.message);
  }

  /// Returns false, after an error, where `module` computes something else than before.
  bool compare(ModuleOp module, StringRef pass) {
    OperationFingerPrint now(module);
    if (failed || !known || now == *known)
      return true;
    known.emplace(now);
    Snapshot after = evaluate(module);
    ++comparisons;
    for (auto &[name, expected] : baseline) {
      if (expected.kind != Outcome::Ran) { // perhaps it can be run now, and compared from here on
        if (auto actual = after.find(name);
            actual != after.end() && actual->second.kind == Outcome::Ran)
          expected = actual->second;
        continue;
      }
      auto actual = after.find(name);
      if (actual == after.end()) {
        note("after pass '" + pass.str() + "', " + name + " is not verified: it is not there");
        continue;
      }
      if (actual->second.kind == Outcome::Unsupported) {
        note("after pass '" + pass.str() + "', " + name +
             " is not verified: " + actual->second.message);
        continue;
      }
      if (actual->second.kind == Outcome::Failed) {
        failed = true;
        emitError(module.getLoc(), "pass '")
            << pass << "' changes the result: " << name
            << " cannot be evaluated any more: " << actual->second.message;
        return false;
      }
      Difference difference = compareResults(expected.results, actual->second.results);
      if (difference.isWithin(options.tolerance))
        continue;
      failed = true;
      std::string tolerance;
      llvm::raw_string_ostream(tolerance) << llvm::format("%g", options.tolerance);
      emitError(module.getLoc(), "pass '")
          << pass << "' changes the result: " << name << ": " << difference.describe()
          << "; the tolerance is " << tolerance;
      return false;
    }
    return true;
  }

  bool failed = false;
  unsigned comparisons = 0;

private:
  void note(const std::string &text) {
    if (options.note)
      options.note(text);
  }

  /// Runs `body` and puts what it emits into the outcome.
  Outcome capture(ModuleOp module, Interpreter &interpreter,
                  llvm::function_ref<FailureOr<SmallVector<RuntimeValue>>()> body) {
    Outcome outcome{Outcome::Ran, {}, ""};
    ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() == DiagnosticSeverity::Error && outcome.message.empty())
        outcome.message = diagnostic.str();
      return success();
    });
    FailureOr<SmallVector<RuntimeValue>> results = body();
    if (mlir::failed(results)) {
      outcome.kind = interpreter.sawUnsupported() ? Outcome::Unsupported : Outcome::Failed;
      return outcome;
    }
    for (RuntimeValue &value : *results)
      if (std::holds_alternative<Tensor>(value))
        outcome.results.push_back(std::move(value));
    return outcome;
  }

  Snapshot evaluate(ModuleOp module) {
    Snapshot snapshot;
    InterpreterOptions interpreterOptions;
    interpreterOptions.precision = options.precision;
    interpreterOptions.parameters = options.parameters;
    Interpreter interpreter(module, interpreterOptions);
    if (findLanguageModel(module)) {
      makeSequences(module);
      snapshot["the language model"] = capture(module, interpreter, [&] {
        FeedOptions feed;
        feed.outputs = FeedOptions::Outputs::InTurn;
        return evaluateSequences(module, interpreter, sequences, feed);
      });
      return snapshot;
    }
    // What a text takes of its source, and what an encoder leaves for it, differs from pass to
    // pass; the states of the source, its first result, do not.
    bool anySource = llvm::any_of(module.getOps<FunctionOpInterface>(), tfm::takesSource);
    for (auto function : module.getOps<FunctionOpInterface>()) {
      if (!function.isPublic() || function.isExternal() || isa<plan::KernelOp>(function))
        continue;
      for (InputKind kind : {InputKind::Random, InputKind::Extreme}) {
        std::string name = "@" + function.getName().str() +
                           (kind == InputKind::Random ? " on random inputs" : " on extreme inputs");
        if (tfm::takesSource(function)) {
          snapshot[name] = {
              Outcome::Unsupported, {}, "it takes what another function makes of a source"};
          continue;
        }
        Outcome &outcome = snapshot[name] = capture(module, interpreter, [&]() {
          InputOptions inputOptions;
          inputOptions.seed = options.seed;
          inputOptions.kind = kind;
          inputOptions.dims = options.dims;
          // One sequence, so that a function has the same result with a batch and without.
          inputOptions.batchRows = {options.dims.empty() ? 7 : options.dims.front()};
          FailureOr<SmallVector<RuntimeValue>> inputs = makeInputs(function, inputOptions);
          return mlir::failed(inputs) ? inputs : interpreter.run(function.getName(), *inputs);
        });
        if (anySource && outcome.results.size() > 1)
          outcome.results.truncate(1);
      }
    }
    return snapshot;
  }

  /// Two sequences of different length, the same for every form of the model: what limits their ids
  /// and their length is taken from the first one.
  void makeSequences(ModuleOp module) {
    if (!sequences.empty())
      return;
    int64_t limit = findIdLimit(module), count = options.tokens;
    if (auto model =
            module->getAttrOfType<DictionaryAttr>(tfm::TransformerDialect::getModelAttrName())) {
      if (auto context = model.getAs<IntegerAttr>("context"))
        count = std::min(count, context.getInt());
      if (auto vocabulary = model.getAs<IntegerAttr>("vocab"))
        limit = vocabulary.getInt();
    }
    limit = std::max<int64_t>(limit, 1);
    count = std::max<int64_t>(count, 1);
    for (int64_t length : {count, (count + 2) / 3}) {
      sequences.emplace_back();
      for (int64_t i = 0; i < length; ++i)
        sequences.back().push_back(randomBits(options.seed + sequences.size(), i) %
                                   uint64_t(limit));
    }
  }

  VerifyNumericsOptions options;
  std::optional<OperationFingerPrint> known; // of the module that was evaluated last
  Snapshot baseline;
  std::vector<std::vector<int32_t>> sequences;
};

namespace {

ModuleOp rootOf(Operation *op) {
  while (Operation *parent = op->getParentOp())
    op = parent;
  return dyn_cast<ModuleOp>(op);
}

class Instrumentation : public PassInstrumentation {
public:
  explicit Instrumentation(std::shared_ptr<NumericsVerifier::State> state)
      : state(std::move(state)) {}

  void runBeforePass(Pass *pass, Operation *op) override {
    if (ModuleOp module = rootOf(op))
      state->takeBaseline(module);
  }
  void runAfterPass(Pass *pass, Operation *op) override {
    ModuleOp module = rootOf(op);
    StringRef name = pass->getArgument().empty() ? pass->getName() : pass->getArgument();
    if (module && !state->compare(module, name))
      signalPassFailure(pass);
  }

private:
  std::shared_ptr<NumericsVerifier::State> state;
};

} // namespace

NumericsVerifier::NumericsVerifier(VerifyNumericsOptions options)
    : state(std::make_shared<State>(std::move(options))) {}
NumericsVerifier::~NumericsVerifier() = default;

void NumericsVerifier::attach(PassManager &pm) {
  pm.getContext()->disableMultithreading();
  pm.addInstrumentation(std::make_unique<Instrumentation>(state));
}

bool NumericsVerifier::hasFailed() const { return state->failed; }
unsigned NumericsVerifier::getNumComparisons() const { return state->comparisons; }

} // namespace ingot::reference
