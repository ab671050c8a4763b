//===- Reducer.h - makes a module that shows a problem smaller --------------------*- C++ -*-===//
#ifndef INGOT_REDUCE_REDUCER_H
#define INGOT_REDUCE_REDUCER_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <functional>

namespace ingot {

/// What a reduction did.
struct ReduceStatistics {
  unsigned tests = 0;    ///< modules that were tested
  unsigned accepted = 0; ///< modules that still showed the problem
  unsigned before = 0;   ///< operations, arguments and results of the module at first
  unsigned after = 0;    ///< and at the end
};

/// Makes `module` smaller as long as `showsProblem` is true of it, which it must be at first.
/// Removes what nothing uses; lets users of an operation have an operand of it, or an argument of
/// the function, of the same type; drops results and arguments of functions that nothing calls.
/// First in large groups, then one by one, until no single step is possible. Only modules that
/// verify are tested.
///
/// MLIR's own reducer (mlir-reduce) is not used: it erases operations whose results are used, and
/// runs into null operands on any function with a body.
ReduceStatistics reduceModule(mlir::OwningOpRef<mlir::ModuleOp> &module,
                              const std::function<bool(mlir::ModuleOp)> &showsProblem);

} // namespace ingot

#endif // INGOT_REDUCE_REDUCER_H
