//===- Reducer.cpp - makes a module that shows a problem smaller ------------------------------===//
//
// A step is "apply a simplification to places [first, end)", where places are the operations of a
// kind in reverse order of the module, so that users come before what they use. It is made on a
// clone, which replaces the module if it is smaller, verifies and still shows the problem.
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/Reduce/Reducer.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/BitVector.h"

using namespace mlir;
using namespace ingot;

namespace {

/// Tries to make the module smaller at one place. Returns whether it changed anything; `op` may be
/// gone.
using Simplification = bool (*)(Operation *op);

class Reducer {
public:
  Reducer(OwningOpRef<ModuleOp> &module, const std::function<bool(ModuleOp)> &showsProblem)
      : module(module), showsProblem(showsProblem) {}

  ReduceStatistics run();

private:
  bool sweep(Simplification simplify);
  bool tryStep(Simplification simplify, size_t first, size_t end);

  OwningOpRef<ModuleOp> &module;
  const std::function<bool(ModuleOp)> &showsProblem;
  ReduceStatistics statistics;
};

} // namespace

/// Everything below the module, users first.
static SmallVector<Operation *> getPlaces(ModuleOp module) {
  SmallVector<Operation *> places;
  module.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (op != module)
      places.push_back(op);
  });
  std::reverse(places.begin(), places.end());
  return places;
}

/// What a reduction makes smaller.
static unsigned getSize(ModuleOp module) {
  unsigned size = 0;
  module.walk([&](Operation *op) {
    ++size;
    if (auto function = dyn_cast<FunctionOpInterface>(op))
      size += function.getNumArguments() + function.getNumResults();
  });
  return size;
}

//===----------------------------------------------------------------------===//
// Simplifications
//===----------------------------------------------------------------------===//

static bool isUsedSymbol(Operation *op) {
  return !SymbolTable::symbolKnownUseEmpty(op, op->getParentOp());
}

/// Functions, kernels and globals that nothing refers to; operations whose results nobody uses.
static bool eraseUnused(Operation *op) {
  if (isa<SymbolOpInterface>(op) ? isUsedSymbol(op)
                                 : !op->use_empty() || op->hasTrait<OpTrait::IsTerminator>())
    return false;
  op->erase();
  return true;
}

/// A graph that skips an operation is still a graph if the replacement has the same type.
static bool skipOperation(Operation *op) {
  if (op->getNumResults() == 0 || op->use_empty())
    return false;
  SmallVector<Value> candidates(op->getOperands());
  if (auto function = op->getParentOfType<FunctionOpInterface>())
    candidates.append(function.getArguments().begin(), function.getArguments().end());
  SmallVector<Value> replacements;
  for (Value result : op->getResults()) {
    auto *found =
        llvm::find_if(candidates, [&](Value value) { return value.getType() == result.getType(); });
    if (found == candidates.end() && !result.use_empty())
      return false;
    replacements.push_back(found == candidates.end() ? Value() : *found);
  }
  for (auto [result, replacement] : llvm::zip(op->getResults(), replacements))
    if (replacement)
      result.replaceAllUsesWith(replacement);
  op->erase();
  return true;
}

/// Drops the last result of a function that nothing calls.
static bool dropResult(Operation *op) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function || function.isExternal() || function.getNumResults() == 0 || isUsedSymbol(op))
    return false;
  unsigned last = function.getNumResults() - 1;
  for (Block &block : function.getFunctionBody()) {
    Operation *terminator = block.getTerminator();
    if (!terminator->hasTrait<OpTrait::ReturnLike>())
      continue;
    if (terminator->getNumOperands() != last + 1)
      return false;
    terminator->eraseOperand(last);
  }
  BitVector which(last + 1);
  which.set(last);
  (void)function.eraseResults(which);
  return true;
}

/// Drops the arguments that a function does not use, if nothing calls it.
static bool dropArguments(Operation *op) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function || function.isExternal() || isUsedSymbol(op))
    return false;
  BitVector unused(function.getNumArguments());
  for (BlockArgument argument : function.getArguments())
    if (argument.use_empty())
      unused.set(argument.getArgNumber());
  if (unused.none())
    return false;
  (void)function.eraseArguments(unused);
  return true;
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

bool Reducer::tryStep(Simplification simplify, size_t first, size_t end) {
  OwningOpRef<ModuleOp> candidate = module->clone();
  SmallVector<Operation *> places = getPlaces(*candidate);
  bool changed = false;
  // Users come first and an operation after what it contains: no place is gone before its turn.
  for (size_t i = first; i < std::min(end, places.size()); ++i)
    changed |= simplify(places[i]);
  if (!changed || getSize(*candidate) >= getSize(*module))
    return false;
  {
    ScopedDiagnosticHandler quiet(candidate->getContext(), [](Diagnostic &) {});
    if (failed(verify(*candidate)))
      return false;
  }
  ++statistics.tests;
  if (!showsProblem(*candidate))
    return false;
  ++statistics.accepted;
  module = std::move(candidate);
  return true;
}

/// Tries groups of places, each size half of the one before.
bool Reducer::sweep(Simplification simplify) {
  bool progress = false;
  for (size_t group = getPlaces(*module).size(); group > 0; group /= 2)
    for (size_t first = 0; first < getPlaces(*module).size();)
      // After a success other places stand here.
      if (tryStep(simplify, first, first + group))
        progress = true;
      else
        first += group;
  return progress;
}

ReduceStatistics Reducer::run() {
  statistics.before = getSize(*module);
  constexpr Simplification kSimplifications[] = {eraseUnused, skipOperation, dropResult,
                                                 dropArguments};
  for (bool progress = true; progress;) {
    progress = false;
    for (Simplification simplify : kSimplifications)
      progress |= sweep(simplify);
  }
  statistics.after = getSize(*module);
  return statistics;
}

ReduceStatistics ingot::reduceModule(OwningOpRef<ModuleOp> &module,
                                     const std::function<bool(ModuleOp)> &showsProblem) {
  return Reducer(module, showsProblem).run();
}
