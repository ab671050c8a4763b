//===- InterpretPass.cpp - the tfm-interpret pass ---------------------------------------------===//

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Reference/Compare.h"
#include "ingot/Reference/LanguageModel.h"
#include "ingot/Reference/Npy.h"
#include "ingot/Reference/Passes.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/raw_ostream.h"

namespace ingot::reference {
#define GEN_PASS_DEF_TFMINTERPRET
#include "ingot/Reference/Passes.h.inc"
} // namespace ingot::reference

using namespace mlir;
using namespace ingot::reference;

namespace {

struct TfmInterpret : ingot::reference::impl::TfmInterpretBase<TfmInterpret> {
  using Base = ingot::reference::impl::TfmInterpretBase<TfmInterpret>;
  using Base::Base;

  void runOnOperation() override {
    markAllAnalysesPreserved();
    InterpreterOptions options;
    if (precision != "f64" && precision != "f32") {
      emitError(getOperation().getLoc(), "expected precision f64 or f32, got '")
          << precision << "'";
      return signalPassFailure();
    }
    options.precision = precision == "f64" ? Precision::F64 : Precision::F32;
    if (parameters == "random")
      options.parameters = std::make_shared<RandomParameterSource>(seed);
    else if (!parameters.empty())
      options.parameters = std::make_shared<FileParameterSource>(parameters);
    FailureOr<SmallVector<RuntimeValue>> results =
        tokens.empty() ? runFunction(options) : runModel(options);
    if (failed(results) || failed(report(*results)))
      signalPassFailure();
  }

private:
  FailureOr<SmallVector<RuntimeValue>> runModel(const InterpreterOptions &options) {
    FeedOptions feed;
    feed.prefillSteps.assign(prefill.begin(), prefill.end());
    FailureOr<Tensor> logits =
        evaluateTokens(getOperation(), ArrayRef<int32_t>(tokens), options, feed);
    if (failed(logits))
      return failure();
    return SmallVector<RuntimeValue>{*logits};
  }

  FunctionOpInterface findFunction() {
    ModuleOp module = getOperation();
    if (!function.empty()) {
      auto found = module.lookupSymbol<FunctionOpInterface>(function);
      if (!found)
        emitError(module.getLoc(), "expected a function '") << function << "', the module has none";
      return found;
    }
    SmallVector<FunctionOpInterface> candidates;
    for (auto candidate : module.getOps<FunctionOpInterface>())
      if (candidate.isPublic() && !candidate.isExternal() && !isa<ingot::plan::KernelOp>(candidate))
        candidates.push_back(candidate);
    if (candidates.size() == 1)
      return candidates.front();
    emitError(module.getLoc(), "expected the option 'function' in a module of ")
        << candidates.size() << " public functions";
    return {};
  }

  FailureOr<SmallVector<RuntimeValue>> runFunction(const InterpreterOptions &options) {
    FunctionOpInterface target = findFunction();
    if (!target)
      return failure();
    InputOptions made;
    made.seed = seed;
    made.kind = extreme ? InputKind::Extreme : InputKind::Random;
    made.dims.assign(dims.begin(), dims.end());
    made.idsBelow = idsBelow;
    if (!batchRows.empty())
      made.batchRows.assign(batchRows.begin(), batchRows.end());
    FailureOr<SmallVector<RuntimeValue>> values = makeInputs(target, made);
    if (failed(values))
      return failure();
    auto next = inputs.begin();
    for (RuntimeValue &value : *values) {
      auto *tensor = std::get_if<Tensor>(&value);
      if (!tensor || next == inputs.end())
        continue;
      llvm::Expected<Tensor> read = readNpy(*next++, tensor->getElementType());
      if (!read)
        return emitError(getOperation().getLoc(), toString(read.takeError()));
      value = std::move(*read);
    }
    if (next != inputs.end())
      return emitError(target.getLoc(), "function '")
             << target.getName() << "' expected at most one file per tensor among the inputs, got "
             << inputs.size();
    Interpreter interpreter(getOperation(), options);
    return interpreter.run(target.getName(), *values);
  }

  LogicalResult report(ArrayRef<RuntimeValue> results) {
    auto next = outputs.begin();
    for (auto [number, result] : llvm::enumerate(results)) {
      llvm::outs() << "result " << number << ": " << summarize(result, digits) << "\n";
      auto *tensor = std::get_if<Tensor>(&result);
      if (!tensor || next == outputs.end())
        continue;
      if (llvm::Error error = writeNpy(*next++, *tensor, precision == "f64" && tensor->isFloat()))
        return emitError(getOperation().getLoc(), toString(std::move(error)));
    }
    llvm::outs().flush();
    if (next != outputs.end())
      return emitError(getOperation().getLoc(),
                       "expected at most one file per tensor among the results, got ")
             << outputs.size();
    return success();
  }
};

} // namespace
