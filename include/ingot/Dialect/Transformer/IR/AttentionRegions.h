//===- AttentionRegions.h - common score and mask regions -------------------------*- C++ -*-===//
//
// The regions that have a short name in the assembly of tfm.attention. Building and recognising
// them is here and nowhere else: the parser builds a region from the short name, the printer prints
// the short name of a region that equals what the parser would build, and passes that add a mask
// build the same region.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_DIALECT_TRANSFORMER_IR_ATTENTIONREGIONS_H
#define INGOT_DIALECT_TRANSFORMER_IR_ATTENTIONREGIONS_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Region.h"
#include <optional>

namespace ingot::tfm {

/// Keeps key j for query i where `(!causal || j <= i) && (!window || i - j < *window)`.
struct CommonMask {
  bool causal = false;
  std::optional<int64_t> window;
  bool isEmpty() const { return !causal && !window; }
};

/// `s -> softcap * tanh(s / softcap)`, then `s -> s + slopes[h] * (j - i)`.
struct CommonScore {
  std::optional<double> softcap;
  /// Tensor [H] of f32, f16 or bf16, or null.
  mlir::Value slopes;
  bool isEmpty() const { return !softcap && !slopes; }
};

/// Adds the entry block with its arguments; the caller fills it and ends it with tfm.yield.
mlir::Block *createScoreBlock(mlir::OpBuilder &builder, mlir::Location loc, mlir::Region &region);
mlir::Block *createMaskBlock(mlir::OpBuilder &builder, mlir::Location loc, mlir::Region &region);

/// Fill an empty region; leave it empty where there is nothing to compute.
void buildMask(mlir::OpBuilder &builder, mlir::Location loc, mlir::Region &region, CommonMask mask);
void buildScore(mlir::OpBuilder &builder, mlir::Location loc, mlir::Region &region,
                const CommonScore &score);

/// What the region was built from, or nothing where it is not one of the common regions. An empty
/// region is the empty description.
std::optional<CommonMask> matchMask(mlir::Region &region);
std::optional<CommonScore> matchScore(mlir::Region &region);

/// Whether a mask, common or not, says that no key after the query is kept: a conjunct is `j <= i`.
bool keepsOnlyPast(mlir::Region &region);

} // namespace ingot::tfm

#endif // INGOT_DIALECT_TRANSFORMER_IR_ATTENTIONREGIONS_H
