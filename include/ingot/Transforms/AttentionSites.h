//===- AttentionSites.h - which softmaxes became attention, and why not -----------*- C++ -*-===//
//
// raise-attention leaves its record in the module, so that reports can be made later and survive
// `--compile-to` and `--compile-from`.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_TRANSFORMS_ATTENTIONSITES_H
#define INGOT_TRANSFORMS_ATTENTIONSITES_H

#include "mlir/IR/BuiltinOps.h"
#include <string>

namespace ingot {

/// The first condition that a site fails.
enum class NotRaised {
  None,             ///< it is raised
  NoValues,         ///< the probabilities never enter a product
  BetweenAndValues, ///< something changes the probabilities before the product with the values
  Selection,        ///< some of the probabilities are dropped before the product
  OtherAxis,        ///< the product sums over another axis than the softmax
  NoScores,         ///< no product of queries and keys in the scores
  Layout,           ///< an axis of the operands cannot be told from another
  DynamicHeads,     ///< the number of heads or the head size is not known
  NoSoftmax         ///< exponentials and their sum meet values, but are not those of a softmax
};

/// One word for each, for reports.
llvm::StringRef stringifyNotRaised(NotRaised reason);

/// The record of one softmax, or of what would be one.
struct AttentionSite {
  /// Name of the function that it is in, and how often the entry points run that function.
  std::string function;
  int64_t calls = 1;
  /// What the model calls it.
  std::string location;
  NotRaised reason = NotRaised::None;
  /// The variant of attention, or the first failing condition in words.
  std::string detail;
  bool raised() const { return reason == NotRaised::None; }
};

/// Name of the module attribute that holds the record.
inline constexpr llvm::StringLiteral kAttentionSitesAttrName = "tfm.attention_sites";

void setAttentionSites(mlir::ModuleOp module, llvm::ArrayRef<AttentionSite> sites);
llvm::SmallVector<AttentionSite> getAttentionSites(mlir::ModuleOp module);

} // namespace ingot

#endif // INGOT_TRANSFORMS_ATTENTIONSITES_H
