//===- PanelLayout.h - where each element of a packed matrix lies -----------------*- C++ -*-===//
//
// The arithmetic of #plan.panels<rows, parts>, in one place for those who write packed weights
// (lib/Artifact), who read them (lib/CodeGen) and who cost them.
//
// A matrix [N, K] is `parts` matrices of N / parts rows below each other. It is cut into panels:
// panel p holds the rows [p * r, p * r + r) of every part, r = rows / parts, side by side as
// *lanes*, first part first. What lies side by side for one k (for bf16: for a pair of k) is a
// *line*, and a panel is its lines for k ascending. The last panel is narrower: each of its parts
// holds the remaining rows, rounded up to 16 lanes.
//
// Example: tensor<40x3xf32, #plan.panels<32, 2>> has 2 parts of 20 rows, 16 lanes of each in a
// panel.
//
//   panel 0, 3 lines of 32 lanes:   k=0: rows 0..15 | rows 20..35     k=1: ...     k=2: ...
//   panel 1, 3 lines of 32 lanes:   k=0: rows 16..19, 12 zeros | rows 36..39, 12 zeros     ...
//
// With `matrices` above 1 the N rows are as many equal matrices, packed one after the other; all of
// the above is said of one of them.
//
// In bf16 a lane of a line holds two elements, k = 2 * line and 2 * line + 1 (zero beyond K). In a
// block format it holds a block, as BlockPanels.h says; the last one may be partly zeros.
//
// Alternatives that were refused: padding the last panel to its full width (a vocabulary of 3 would
// be 64 rows), and padding K for all types (only pair instructions need it).
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_DIALECT_PLAN_UTILS_PANELLAYOUT_H
#define INGOT_DIALECT_PLAN_UTILS_PANELLAYOUT_H

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Plan/Utils/BlockPanels.h"
#include "llvm/Support/Error.h"
#include <algorithm>

namespace ingot::plan {

/// Lanes of a vector register: the last panel is rounded up to it.
inline constexpr int64_t kPanelLanes = 16;

struct PanelLayout {
  int64_t n = 0;                     ///< rows of all matrices
  int64_t k = 0;                     ///< columns
  int64_t rows = 0;                  ///< lanes of a full panel, all parts together
  int64_t parts = 1;                 ///< what is side by side in a panel
  int64_t matrices = 1;              ///< that are packed one after the other
  int64_t elementBytes = 0;          ///< of one element, or of one block
  bool pairs = false;                ///< bf16: a line holds two k
  std::optional<BlockPanel> block{}; ///< of a block format

  /// The layout of a static matrix whose encoding is #plan.panels. Fails where the type has another
  /// encoding, where `parts` does not divide the rows, where elements are not whole bytes or blocks
  /// without kernels, or where the size does not fit 63 bits: after that no arithmetic below
  /// overflows.
  static llvm::Expected<PanelLayout> get(mlir::RankedTensorType type);

  int64_t matrixRows() const { return n / matrices; }       ///< rows of one matrix
  int64_t partRows() const { return matrixRows() / parts; } ///< rows of a matrix in one part
  int64_t panelPartRows() const { return rows / parts; }    ///< rows of one part in a full panel
  /// Panels of one matrix.
  int64_t numPanels() const { return (partRows() + panelPartRows() - 1) / panelPartRows(); }
  /// Sub-panels of one matrix: 16 rows of each part, or fewer in the last one. A panel holds
  /// panelSubPanels() of them, the last panel what is left.
  int64_t numSubPanels() const { return (partRows() + kPanelLanes - 1) / kPanelLanes; }
  int64_t panelSubPanels() const { return panelPartRows() / kPanelLanes; }
  /// Columns as they are stored: elements or blocks.
  int64_t columns() const {
    return block ? (k + 32 * block->groups - 1) / (32 * block->groups) : k;
  }
  int64_t lines() const { return pairs ? (k + 1) / 2 : columns(); } ///< of every panel
  /// Rows of the matrix that each part of panel `p` holds.
  int64_t panelRows(int64_t p) const {
    return std::min(panelPartRows(), partRows() - p * panelPartRows());
  }
  /// Lanes of one part in panel `p`.
  int64_t partLanes(int64_t p) const {
    return (panelRows(p) + kPanelLanes - 1) / kPanelLanes * kPanelLanes;
  }
  /// Lanes of panel `p`, all parts together.
  int64_t lanes(int64_t p) const { return parts * partLanes(p); }
  /// Bytes of a line of panel `p`.
  int64_t lineBytes(int64_t p) const { return lanes(p) * elementBytes * (pairs ? 2 : 1); }
  /// Byte offset of panel `p`; of the end of the matrix for p = numPanels().
  int64_t panelOffset(int64_t p) const {
    int64_t full = lines() * rows * elementBytes * (pairs ? 2 : 1);
    return p < numPanels() || p == 0 ? p * full : (p - 1) * full + lines() * lineBytes(p - 1);
  }
  /// Bytes of one packed matrix, and of all.
  int64_t matrixBytes() const { return panelOffset(numPanels()); }
  int64_t bytes() const { return matrices * matrixBytes(); }
};

} // namespace ingot::plan

#endif // INGOT_DIALECT_PLAN_UTILS_PANELLAYOUT_H
