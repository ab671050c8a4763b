//===- Relayout.h - moves the elements of a tensor into another order -------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_RELAYOUT_H
#define INGOT_LIB_TRANSFORMS_RELAYOUT_H

#include "ElementExpr.h"
#include "mlir/IR/PatternMatch.h"

namespace ingot {

/// The dimensions of a tensor, each as the digits of loop variables that it runs over.
using Layout = llvm::SmallVector<llvm::SmallVector<Digit, 2>, 4>;

/// The layout of a tensor that is read at `indices`, or nothing where part of it is never read.
std::optional<Layout> layoutOf(llvm::ArrayRef<Index> indices, mlir::RankedTensorType type);

/// Cuts digits so that `a` and `b` are made of the same ones wherever they overlap.
void refineLayouts(llvm::ArrayRef<Layout *> layouts);

/// Whether `relayout` can bring `from` into `to`: digits of `from` are among those of `to`, none
/// twice, and the sizes that it must know are static.
bool canRelayout(const Layout &from, const Layout &to);

/// The tensor `value` of layout `from` with layout `to`: at most a reshape, a broadcast along the
/// digits that only `to` has, a transpose and a reshape. The layouts are refined and
/// `canRelayout`. `varSize` gives the size of a dynamic variable that is broadcast along.
mlir::Value relayout(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value, Layout from,
                     Layout to, llvm::function_ref<mlir::OpFoldResult(unsigned var)> varSize);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_RELAYOUT_H
