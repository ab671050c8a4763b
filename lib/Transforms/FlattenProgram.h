//===- FlattenProgram.h - one list of dispatches of a function --------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_FLATTENPROGRAM_H
#define INGOT_LIB_TRANSFORMS_FLATTENPROGRAM_H

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"

namespace ingot {

/// Makes the program of the entry point `function`: the bodies of functions stand in place of their
/// calls, caches are no results, and every result is that of a dispatch and returned once (a copy
/// where the function returns an argument, a constant, or one value twice). Fails, with an error at
/// the call, where a function has no body or calls itself.
mlir::FailureOr<plan::ProgramOp> flattenProgram(mlir::func::FuncOp function,
                                                mlir::SymbolTable &symbols);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_FLATTENPROGRAM_H
