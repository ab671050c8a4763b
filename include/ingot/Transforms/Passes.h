//===- Passes.h - the passes between a plain graph and an execution plan ----------*- C++ -*-===//
//
// What each pass does is in Passes.td, from which docs/Passes.md is generated.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_TRANSFORMS_PASSES_H
#define INGOT_TRANSFORMS_PASSES_H

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace ingot {

#define GEN_PASS_DECL
#include "ingot/Transforms/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "ingot/Transforms/Passes.h.inc"

} // namespace ingot

#endif // INGOT_TRANSFORMS_PASSES_H
