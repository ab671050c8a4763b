//===- ExprEmitter.h - writes element expressions as scalar operations ------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_EXPREMITTER_H
#define INGOT_LIB_TRANSFORMS_EXPREMITTER_H

#include "AttentionAlgebra.h"

namespace ingot {

/// Writes expressions at the insertion point of a builder, all of them in one block. Floats are
/// f32 whatever they were: scores are.
class ExprEmitter {
public:
  /// `varValue` gives the value of a variable, an index. `leaf` is what stands for leaves.
  ExprEmitter(mlir::OpBuilder &builder, mlir::Location loc, const ScoreVars &vars,
              std::function<mlir::Value(unsigned)> varValue, mlir::Value leaf = {})
      : builder(builder), loc(loc), vars(vars), varValue(std::move(varValue)), leaf(leaf) {}

  mlir::Value emit(Node *node);
  mlir::Value emit(const Index &index);
  mlir::Value emit(const Predicate &predicate);
  /// The factor as one number, or null if it is 1.
  mlir::Value emit(const Factor &factor);
  /// `value` times the factor.
  mlir::Value multiply(mlir::Value value, const Factor &factor);
  mlir::Value constant(double number);

private:
  mlir::Value emit(const Digit &digit);
  mlir::Value emit(const LinearForm &form);
  mlir::Value indexConstant(int64_t number);
  mlir::Value toF32(mlir::Value value);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  const ScoreVars &vars;
  std::function<mlir::Value(unsigned)> varValue;
  mlir::Value leaf;
  llvm::DenseMap<Node *, mlir::Value> emitted;
};

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_EXPREMITTER_H
