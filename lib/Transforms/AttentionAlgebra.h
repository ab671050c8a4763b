//===- AttentionAlgebra.h - what happens between a product and its softmax --------*- C++ -*-===//
//
// Everything that writers put between q k^T and the softmax, in one normal form:
//
//     softmax over the keys j that keep(b, h, i, j) of
//         factor * core(s) + sum of terms(b, h, i, j)
//
// core is s itself, tanh (soft-cap) or any element-wise function.
//
// What counts as a mask. Frameworks mask by replacing a score by a large negative number, or by
// adding one. From -1e9 on a masked key has weight 0 in f32 and f64, provided that its row keeps
// some key; a row that keeps none has the mean of the values in the frameworks and 0 in
// tfm.attention. So masks with a finite number become `keep` only where every row provably keeps a
// key, and otherwise stay part of the score, which is exact. Masks with -inf can always become
// `keep`: tfm.softmax gives a row of -inf no value.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_TRANSFORMS_ATTENTIONALGEBRA_H
#define INGOT_LIB_TRANSFORMS_ATTENTIONALGEBRA_H

#include "ElementExpr.h"
#include <vector>

namespace ingot {

/// A sum of digits of variables with integer coefficients, plus a constant.
struct LinearForm {
  llvm::SmallVector<std::pair<Digit, int64_t>, 3> terms;
  int64_t constant = 0;
  void add(Digit digit, int64_t coefficient);
  void add(const LinearForm &other, int64_t factor);
  int64_t coefficientOf(Digit digit) const;
};

/// A condition on (b, h, i, j) in negation normal form.
struct Predicate {
  enum Kind {
    True,
    False,
    And,
    Or,
    AtMostZero, ///< `form <= 0`
    Atom,       ///< `atom`, an i1 element, or its negation
    Table       ///< bit `i * columns + j` of `bits`
  };
  Kind kind = True;
  std::vector<Predicate> operands;
  LinearForm form;
  Node *atom = nullptr;
  bool negated = false;
  llvm::SmallVector<bool, 0> bits;
  int64_t columns = 0;
};
Predicate conjunction(Predicate a, Predicate b);

/// The two variables of a score, and what is known of their sizes.
struct ScoreVars {
  unsigned query, key;
  /// Sizes of all variables; dynamic where unknown.
  llvm::SmallVector<int64_t> sizes;
  /// There are as many keys as queries.
  bool square = false;
};

/// A product of numbers that no index changes.
struct Factor {
  double constant = 1;
  llvm::SmallVector<Node *, 1> times, dividedBy;
  bool isConstant() const { return times.empty() && dividedBy.empty(); }
  /// Multiplies by (or divides by) a node without a leaf and without variables.
  void multiply(Node *node);
  void divide(Node *node);
  void multiply(const Factor &other);
};

struct ScoreForm {
  enum Core { Linear, SoftCap, Function };
  Core core = Linear;
  /// Of the core; of the soft-cap it is the cap.
  Factor factor;
  /// SoftCap: the factor of the score inside of tanh.
  Factor inner;
  /// Function: the expression; its leaf is the score.
  Node *function = nullptr;
  llvm::SmallVector<std::pair<Factor, Node *>, 2> terms;
  Predicate keep;
  /// Some mask has a finite number, so `keep` needs a proof.
  bool hasFiniteMask = false;
};

/// The normal form of `score`, an expression with a leaf. With `finiteMasks` masks with finite
/// numbers become `keep` too; then the caller must prove that every row keeps a key.
ScoreForm decomposeScore(Node *score, const ScoreVars &vars, bool finiteMasks);

/// Removes factors that no index changes from `node`, which it returns the rest of.
Node *stripFactors(Node *node, Factor &factor);

/// Whether for every value of the other variables some key is kept.
bool provablyKeepsAKey(const Predicate &keep, const ScoreVars &vars);

/// The expression as a linear form, where it is one.
std::optional<LinearForm> linearFormOf(const Node *node);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_ATTENTIONALGEBRA_H
