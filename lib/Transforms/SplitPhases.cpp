//===- SplitPhases.cpp - prefill and decode of a step -----------------------------------------===//

#include "ingot/Transforms/Passes.h"
#include "mlir/IR/SymbolTable.h"

namespace ingot {
#define GEN_PASS_DEF_SPLITPHASES
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// `entry` and everything that it calls, callees first.
static void collectCallees(func::FuncOp entry, SymbolTable &symbols,
                           SetVector<func::FuncOp> &functions) {
  entry.walk([&](func::CallOp call) {
    if (auto callee = symbols.lookup<func::FuncOp>(call.getCallee()))
      collectCallees(callee, symbols, functions);
  });
  functions.insert(entry);
}

/// With one row per sequence all rows are wanted, in their order.
static void dropGathers(func::FuncOp function) {
  function.walk([](GatherOutputsOp op) {
    op.replaceAllUsesWith(op.getX());
    op.erase();
  });
  function.walk([](BatchDimOp op) {
    if (op.getKind() == BatchDimKind::Outputs)
      op.setKind(BatchDimKind::Tokens);
  });
}

namespace {
struct SplitPhasesPass : ingot::impl::SplitPhasesBase<SplitPhasesPass> {
  using SplitPhasesBase::SplitPhasesBase;

  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    auto entry = symbols.lookup<func::FuncOp>(entryName);
    if (!entry) {
      getOperation().emitError("expected a function named '") << entryName << "'";
      return signalPassFailure();
    }
    SetVector<func::FuncOp> functions;
    collectCallees(entry, symbols, functions);
    for (StringRef phase : {"prefill", "decode"}) {
      llvm::StringMap<std::string> names;
      for (func::FuncOp function : functions) {
        func::FuncOp copy = function.clone();
        copy.setName(function == entry ? phase.str() : (function.getName() + "_" + phase).str());
        symbols.insert(copy, Block::iterator(entry));
        names[function.getName()] = copy.getName().str();
        copy.walk([&](func::CallOp call) { call.setCallee(names[call.getCallee()]); });
        if (phase == "decode")
          dropGathers(copy);
      }
    }
    numFunctions += functions.size();
    for (func::FuncOp function : llvm::reverse(functions))
      symbols.erase(function);
  }
};
} // namespace
