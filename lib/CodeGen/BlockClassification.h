//===- BlockClassification.h - which blocks of keys a mask leaves empty or full ----*- C++ -*-===//
//
// Attention visits keys in blocks. Whether the mask region keeps no pair of a block of queries and
// keys
// (*empty*: not visited), every pair (*full*: no mask code) or some (*partial*) is derived from the
// region: it is interpreted over intervals instead of indices. Positions are run-time values, so
// the interpretation emits code. A value that is not understood, such as an element of a captured
// table, may be anything: the block is partial, which is always right.
//
// Example: `j <= i` over queries [64, 95] and keys [64, 127] may hold (64 <= 95) and may fail (127
// > 64): partial. Over keys [0, 63] it cannot fail: full. Over keys [128, 191] it cannot hold:
// empty.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_BLOCKCLASSIFICATION_H
#define INGOT_LIB_CODEGEN_BLOCKCLASSIFICATION_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Region.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace ingot::codegen {

/// All i64 values from `low` to `high`, both included.
struct Interval {
  mlir::Value low, high;
};

/// i1 values. Empty: !mayKeep. Full: !mayDrop.
struct BlockClass {
  mlir::Value mayKeep, mayDrop;
};

/// Emits the classification of a block in which the four arguments of `mask` lie in `ranges`. An
/// empty region keeps everything. `captured` gives the i64 that stands for an integer defined
/// outside of the region, or null.
BlockClass classifyBlock(mlir::OpBuilder &builder, mlir::Location loc, mlir::Region &mask,
                         llvm::ArrayRef<Interval> ranges,
                         llvm::function_ref<mlir::Value(mlir::Value)> captured);

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_BLOCKCLASSIFICATION_H
