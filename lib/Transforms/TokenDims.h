//===- TokenDims.h - which dimension of a value enumerates tokens -----------------*- C++ -*-===//
//
// Packing the tokens of several sequences into one dimension is right only where every row of every
// value depends on that row of its operands alone, attention apart. This analysis follows the token
// dimension from the arguments of entry points through all functions that they call and fails,
// with a diagnostic at the operation, where rows would mix.
//
// The tokens may be those of two sequences: of the one that is fed step by step, and of its source,
// which stays as it is (arguments marked `tfm.source`). Only attention may look from one to the
// other.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_TRANSFORMS_TOKENDIMS_H
#define INGOT_LIB_TRANSFORMS_TOKENDIMS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace ingot {

class TokenDims {
public:
  /// Analyses `entries`, of which dimension 0 of every argument with a dynamic dimension 0
  /// enumerates tokens, and their callees.
  static mlir::FailureOr<TokenDims> compute(llvm::ArrayRef<mlir::func::FuncOp> entries);

  /// The dimension of `value` that enumerates tokens, or -1.
  int64_t get(mlir::Value value) const {
    auto it = dims.find(value);
    return it == dims.end() ? -1 : it->second;
  }

  /// Whether the tokens of `value` are those of the source.
  bool isSource(mlir::Value value) const { return sources.contains(value); }

  /// Records the dimension of a value that a transformation made.
  void set(mlir::Value value, int64_t dim) { dims[value] = dim; }

  /// Forgets the results of an operation that is about to be erased: another value may get their
  /// place in memory.
  void forget(mlir::Operation *op) {
    for (mlir::Value result : op->getResults())
      dims.erase(result), sources.erase(result);
  }

  /// The functions that were analysed, callees before callers.
  llvm::ArrayRef<mlir::func::FuncOp> functions() const { return order; }

private:
  mlir::LogicalResult analyse(mlir::func::FuncOp function, llvm::ArrayRef<int64_t> argumentDims,
                              llvm::ArrayRef<bool> argumentSources,
                              llvm::SmallVectorImpl<int64_t> &resultDims);
  mlir::LogicalResult visit(mlir::Operation *op);
  mlir::LogicalResult visitCall(mlir::func::CallOp call);

  llvm::DenseMap<mlir::Value, int64_t> dims;
  llvm::DenseSet<mlir::Value> sources;
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<int64_t>> results;
  llvm::SmallVector<mlir::func::FuncOp> order;
  llvm::DenseSet<mlir::Operation *> active;
};

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_TOKENDIMS_H
