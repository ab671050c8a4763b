//===- TransformerDialect.h - the tfm dialect -------------------------------------*- C++ -*-===//
//
// Types, interfaces and operations of the tfm dialect. What each operation means is in
// TransformerOps.td, from which docs/Dialects/Transformer.md is generated.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_DIALECT_TRANSFORMER_IR_TRANSFORMERDIALECT_H
#define INGOT_DIALECT_TRANSFORMER_IR_TRANSFORMERDIALECT_H

#include "ingot/Formats/ScaledFormats.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace ingot::tfm {

/// What a cost term counts.
enum class CostClass { Weights, Cache, Activations, Flops };

/// A run-time size that a cost grows with: a dynamic dimension of a tensor, or a size of a batch.
/// With a limit it is min(scale * size, limit).
struct CostFactor {
  mlir::Value value;
  /// Dimension of a tensor, or a BatchDimKind.
  int64_t dim;
  /// Sliding window of a batch's keys and pairs; 0 means all.
  int64_t window = 0;
  int64_t scale = 1;
  /// 0: none.
  int64_t limit = 0;
};

/// `coefficient` (bytes or floating-point operations) times the product of `factors`.
struct CostTerm {
  CostClass cost;
  int64_t coefficient;
  llvm::SmallVector<CostFactor, 2> factors;
};

/// The format in which a file stores elements of this type: f32, f16, bf16 or a block format;
/// nothing for other types.
std::optional<formats::Format> getStorageFormat(mlir::Type elementType);

/// Bytes of a static tensor as files store it: rows of whole blocks, or elements one after the
/// other (i1 takes a byte). Nothing if the size does not fit 63 bits, or if the elements are
/// neither numbers nor blocks.
std::optional<int64_t> getStorageBytes(mlir::RankedTensorType type);

} // namespace ingot::tfm

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h.inc"
#include "ingot/Dialect/Transformer/IR/TransformerEnums.h.inc"
#include "ingot/Dialect/Transformer/IR/TransformerInterfaces.h.inc"
#define GET_TYPEDEF_CLASSES
#include "ingot/Dialect/Transformer/IR/TransformerTypes.h.inc"
#define GET_ATTRDEF_CLASSES
#include "ingot/Dialect/Transformer/IR/TransformerAttrs.h.inc"
#define GET_OP_CLASSES
#include "ingot/Dialect/Transformer/IR/TransformerOps.h.inc"

#endif // INGOT_DIALECT_TRANSFORMER_IR_TRANSFORMERDIALECT_H
