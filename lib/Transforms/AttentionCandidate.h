//===- AttentionCandidate.h - a softmax and a product with its probabilities ------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_ATTENTIONCANDIDATE_H
#define INGOT_LIB_TRANSFORMS_ATTENTIONCANDIDATE_H

#include "AttentionAlgebra.h"
#include "Products.h"
#include "Relayout.h"
#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Transforms/AttentionSites.h"

namespace ingot {

/// A tensor and where it is read.
struct Access {
  mlir::Value value;
  Indices indices;
  Layout layout;
};

/// Why a candidate fails: the first condition, in words, and the operation to blame.
struct Failure {
  NotRaised reason;
  std::string detail;
  mlir::Operation *blame = nullptr;
};

/// A softmax over scores and one more column.
struct SinkColumn {
  mlir::Value scores, column;
};
std::optional<SinkColumn> matchSinkColumn(mlir::Operation *softmax);

/// A softmax and a product that its probabilities enter.
class AttentionCandidate {
public:
  AttentionCandidate(mlir::Operation *softmax, mlir::Operation *valuesOp, const Product &values,
                     unsigned probabilities)
      : softmax(softmax), valuesOp(valuesOp), values(values), probabilities(probabilities),
        sinkColumn(matchSinkColumn(softmax)),
        tracer([=](mlir::Operation *op) { return op == softmax; },
               /*throughSlices=*/sinkColumn.has_value()) {}

  /// Checks everything; afterwards `build` cannot fail.
  std::optional<Failure> match();
  /// Replaces the product with the values. Returns the variant in words.
  std::string build(mlir::OpBuilder &builder);

private:
  std::optional<Failure> classifyIterators();
  std::optional<Failure> matchProbabilities();
  std::optional<Failure> matchScores();
  std::optional<Failure> matchLayouts();
  std::optional<Failure> matchSinks();
  std::optional<Access> accessOf(mlir::Value operand, llvm::ArrayRef<Index> indices,
                                 Factor *factor);
  bool isAlibi(const std::pair<Factor, Node *> &term) const;
  mlir::Value buildSlopes(mlir::OpBuilder &builder, const std::pair<Factor, Node *> &term);
  mlir::Value varValue(mlir::OpBuilder &builder, mlir::ValueRange bhij, unsigned var);
  void buildScoreRegion(mlir::OpBuilder &builder, tfm::AttentionOp op, mlir::Value slopes);
  void buildMaskRegion(mlir::OpBuilder &builder, tfm::AttentionOp op);
  std::optional<tfm::CommonMask> commonMask() const;
  Digit wholeDigit(unsigned var) const { return {var, 1, vars.sizes[var]}; }

  mlir::Operation *softmax, *valuesOp;
  Product values;
  unsigned probabilities;
  mlir::Location loc = valuesOp->getLoc();
  std::optional<SinkColumn> sinkColumn;
  ElementTracer tracer;

  /// Iterators of the product with the values are the loop variables; one more for q k^T.
  ScoreVars vars;
  llvm::SmallVector<unsigned> batch;
  unsigned valueDim = 0, keyDim = 0;
  /// Where the softmax is read.
  Indices probabilityIndices;
  std::unique_ptr<ElementTracer> scoreTracer;
  std::vector<std::unique_ptr<ElementTracer>> operandTracers;
  Node *score = nullptr;
  /// Of the queries and the keys.
  Factor operandFactor;
  ScoreForm form;
  Access q, k, v, sinks;
  Layout out;
  /// The layouts of tfm.attention.
  Layout canonicalQ, canonicalK, canonicalV, canonicalOut;
  /// Canonical order: the batch variable (or none), digits of heads with the groups' last.
  std::optional<Digit> batchDigit;
  llvm::SmallVector<Digit> heads;
  unsigned kvDigits = 0;
  int64_t headCount = 1, kvHeadCount = 1;
};

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_ATTENTIONCANDIDATE_H
