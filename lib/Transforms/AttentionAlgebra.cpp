//===- AttentionAlgebra.cpp - what happens between a product and its softmax ------------------===//

#include "AttentionAlgebra.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace ingot {

/// From here on a number that a score is replaced by, or that is added to it, is a mask.
static constexpr double kMaskedScore = -1e9;
/// Expressions over more conditions than this are not taken apart.
static constexpr size_t kMaxConditions = 3;
/// Tables with more elements than this are not read.
static constexpr int64_t kMaxTableElements = int64_t(1) << 22;

//===----------------------------------------------------------------------===//
// Linear forms and factors
//===----------------------------------------------------------------------===//

void LinearForm::add(Digit digit, int64_t coefficient) {
  auto *it = llvm::find_if(terms, [&](auto &term) { return term.first == digit; });
  if (it == terms.end())
    it = &terms.emplace_back(digit, 0);
  it->second += coefficient;
  if (it->second == 0)
    terms.erase(it);
}

void LinearForm::add(const LinearForm &other, int64_t factor) {
  for (auto [digit, coefficient] : other.terms)
    add(digit, coefficient * factor);
  constant += other.constant * factor;
}

int64_t LinearForm::coefficientOf(Digit digit) const {
  for (auto [d, coefficient] : terms)
    if (d == digit)
      return coefficient;
  return 0;
}

std::optional<LinearForm> linearFormOf(const Node *node) {
  LinearForm form;
  if (node->kind == Node::Const) {
    if (std::rint(node->number) != node->number || std::fabs(node->number) > 1e15)
      return std::nullopt;
    form.constant = int64_t(node->number);
    return form;
  }
  if (node->kind == Node::Number) {
    int64_t weight = 1;
    for (const Digit &digit : llvm::reverse(node->indices[0].digits)) {
      if (ShapedType::isDynamic(weight))
        return std::nullopt;
      if (digit.isConstant())
        form.constant += digit.stride * weight;
      else
        form.add(digit, weight);
      weight = ShapedType::isDynamic(digit.size) ? ShapedType::kDynamic : weight * digit.size;
    }
    form.constant += node->indices[0].offset;
    return form;
  }
  if (node->kind != Node::Op)
    return std::nullopt;
  Operation *op = node->op;
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtFOp>(op))
    return linearFormOf(node->operands[0]);
  if (isa<arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp, arith::SIToFPOp, arith::UIToFPOp>(op)) {
    if (node->operands[0]->type.isInteger(1) || node->type.isInteger(1))
      return std::nullopt;
    return linearFormOf(node->operands[0]);
  }
  if (isa<arith::NegFOp>(op)) {
    std::optional<LinearForm> x = linearFormOf(node->operands[0]);
    if (!x)
      return std::nullopt;
    form.add(*x, -1);
    return form;
  }
  if (!isa<arith::AddIOp, arith::SubIOp, arith::MulIOp, arith::AddFOp, arith::SubFOp,
           arith::MulFOp>(op))
    return std::nullopt;
  std::optional<LinearForm> a = linearFormOf(node->operands[0]),
                            b = linearFormOf(node->operands[1]);
  if (!a || !b)
    return std::nullopt;
  if (isa<arith::MulIOp, arith::MulFOp>(op)) {
    if (!a->terms.empty())
      std::swap(a, b);
    if (!a->terms.empty())
      return std::nullopt;
    form.add(*b, a->constant);
    return form;
  }
  form = *a;
  form.add(*b, isa<arith::AddIOp, arith::AddFOp>(op) ? 1 : -1);
  return form;
}

void Factor::multiply(Node *node) {
  if (node->kind == Node::Const)
    constant *= node->number;
  else
    times.push_back(node);
}

void Factor::divide(Node *node) {
  if (node->kind == Node::Const)
    constant /= node->number;
  else
    dividedBy.push_back(node);
}

void Factor::multiply(const Factor &other) {
  constant *= other.constant;
  times.append(other.times);
  dividedBy.append(other.dividedBy);
}

/// A number that no index changes. A constant of 0 or infinity is not a factor: it leaves nothing.
static bool isFactor(const Node *node) {
  if (node->hasLeaf || node->vars)
    return false;
  return node->kind != Node::Const || (node->number != 0 && std::isfinite(node->number));
}

/// One step of taking factors off: returns the rest, or null where `node` is no product.
static Node *stripFactor(Node *node, Factor &factor) {
  if (node->kind != Node::Op)
    return nullptr;
  if (isa<arith::NegFOp>(node->op)) {
    factor.constant = -factor.constant;
    return node->operands[0];
  }
  if (isa<arith::MulFOp>(node->op)) {
    // Where no dimension is larger than 1 both can be factors; the one that is a number is.
    auto isNumber = [&](unsigned k) { return node->operands[k]->kind != Node::Load; };
    unsigned first = isFactor(node->operands[0]) && isNumber(0) && !isNumber(1) ? 0 : 1;
    for (unsigned k : {first, 1 - first})
      if (isFactor(node->operands[k])) {
        factor.multiply(node->operands[k]);
        return node->operands[1 - k];
      }
  }
  if (isa<arith::DivFOp>(node->op) && isFactor(node->operands[1])) {
    factor.divide(node->operands[1]);
    return node->operands[0];
  }
  return nullptr;
}

Node *stripFactors(Node *node, Factor &factor) {
  while (Node *rest = stripFactor(node, factor))
    node = rest;
  return node;
}

//===----------------------------------------------------------------------===//
// Conditions
//===----------------------------------------------------------------------===//

static Predicate truth(bool value) {
  Predicate p;
  p.kind = value ? Predicate::True : Predicate::False;
  return p;
}

static Predicate combine(Predicate::Kind kind, Predicate a, Predicate b) {
  Predicate::Kind neutral = kind == Predicate::And ? Predicate::True : Predicate::False;
  Predicate::Kind absorbing = kind == Predicate::And ? Predicate::False : Predicate::True;
  if (a.kind == neutral || b.kind == absorbing)
    return b;
  if (b.kind == neutral || a.kind == absorbing)
    return a;
  Predicate result;
  result.kind = kind;
  for (Predicate *part : {&a, &b}) {
    if (part->kind == kind)
      result.operands.insert(result.operands.end(), part->operands.begin(), part->operands.end());
    else
      result.operands.push_back(std::move(*part));
  }
  return result;
}

Predicate conjunction(Predicate a, Predicate b) {
  return combine(Predicate::And, std::move(a), std::move(b));
}
static Predicate disjunction(Predicate a, Predicate b) {
  return combine(Predicate::Or, std::move(a), std::move(b));
}

static Predicate atMostZero(LinearForm form) {
  if (form.terms.empty())
    return truth(form.constant <= 0);
  Predicate p;
  p.kind = Predicate::AtMostZero;
  p.form = std::move(form);
  return p;
}

/// `form + constant <= 0` (or `-form + constant <= 0`).
static Predicate atMostZero(const LinearForm &form, int64_t sign, int64_t constant) {
  LinearForm scaled;
  scaled.add(form, sign);
  scaled.constant += constant;
  return atMostZero(scaled);
}

static Predicate atomOf(Node *node, bool negated) {
  Predicate p;
  p.kind = Predicate::Atom;
  p.atom = node;
  p.negated = negated;
  return p;
}

/// The conditions (i1 expressions) that `node` is made of, where everything else is constant.
/// Fails on anything else. `top` is looked into even if it is a condition itself.
static bool collectConditions(Node *node, SmallVectorImpl<Node *> &conditions, bool top) {
  if (node->kind == Node::Const)
    return true;
  if (node->hasLeaf)
    return false;
  if (node->type.isInteger(1) && !top) {
    if (!llvm::any_of(conditions, [&](Node *known) { return sameExpr(known, node); }))
      conditions.push_back(node);
    return conditions.size() <= kMaxConditions;
  }
  if (node->kind != Node::Op)
    return false;
  return llvm::all_of(node->operands,
                      [&](Node *operand) { return collectConditions(operand, conditions, false); });
}

/// The value of `node` when the conditions have the values of the bits of `assignment`.
static std::optional<double> evaluateUnder(Node *node, ArrayRef<Node *> conditions,
                                           unsigned assignment) {
  for (auto [k, condition] : llvm::enumerate(conditions))
    if (sameExpr(condition, node))
      return double(assignment >> k & 1);
  if (node->kind == Node::Const)
    return node->number;
  if (node->kind != Node::Op)
    return std::nullopt;
  SmallVector<double> numbers;
  for (Node *operand : node->operands) {
    std::optional<double> number = evaluateUnder(operand, conditions, assignment);
    if (!number)
      return std::nullopt;
    numbers.push_back(*number);
  }
  return evaluateOp(node->op, numbers);
}

static bool samePredicate(const Predicate &a, const Predicate &b) {
  if (a.kind != b.kind || a.operands.size() != b.operands.size())
    return false;
  for (auto [x, y] : llvm::zip(a.operands, b.operands))
    if (!samePredicate(x, y))
      return false;
  if (a.kind == Predicate::AtMostZero) {
    LinearForm difference = a.form;
    difference.add(b.form, -1);
    return difference.terms.empty() && difference.constant == 0;
  }
  if (a.kind == Predicate::Atom)
    return a.negated == b.negated && sameExpr(a.atom, b.atom);
  return a.kind != Predicate::Table || (a.columns == b.columns && a.bits == b.bits);
}

/// Whether `a` plainly says `b`: all conjuncts of `b` are among its own.
static bool implies(const Predicate &a, const Predicate &b) {
  if (b.kind == Predicate::And)
    return llvm::all_of(b.operands, [&](const Predicate &part) { return implies(a, part); });
  if (a.kind == Predicate::And)
    return llvm::any_of(a.operands, [&](const Predicate &part) { return samePredicate(part, b); });
  return b.kind == Predicate::True || samePredicate(a, b);
}

static Predicate conditionOf(Node *node, bool negated, const ScoreVars &vars);

/// Turns the value of an element into keep or drop, or nothing where it is neither.
using Classify = function_ref<std::optional<bool>(double)>;

/// `node` as a condition, where it is a function of a few conditions.
static std::optional<Predicate> functionOfConditions(Node *node, Classify classify,
                                                     const ScoreVars &vars) {
  SmallVector<Node *> conditions;
  if (!collectConditions(node, conditions, true) || conditions.empty() ||
      conditions.size() > kMaxConditions)
    return std::nullopt;
  Predicate result = truth(false);
  for (unsigned assignment = 0; assignment < 1u << conditions.size(); ++assignment) {
    std::optional<double> number = evaluateUnder(node, conditions, assignment);
    std::optional<bool> keep = number ? classify(*number) : std::nullopt;
    if (!keep)
      return std::nullopt;
    if (!*keep)
      continue;
    Predicate all = truth(true);
    for (auto [k, condition] : llvm::enumerate(conditions))
      all = conjunction(all, conditionOf(condition, !(assignment >> k & 1), vars));
    result = disjunction(result, all);
  }
  // Two conditions are mostly joined by "and": f(a, b) = a & b has one term, a | b has three.
  if (conditions.size() == 1 || result.kind != Predicate::Or)
    return result;
  SmallVector<unsigned> dropped;
  for (unsigned assignment = 0; assignment < 1u << conditions.size(); ++assignment)
    if (!*classify(*evaluateUnder(node, conditions, assignment)))
      dropped.push_back(assignment);
  if (dropped.size() != 1)
    return result;
  Predicate any = truth(false);
  for (auto [k, condition] : llvm::enumerate(conditions))
    any = disjunction(any, conditionOf(condition, dropped[0] >> k & 1, vars));
  return any;
}

/// How far each variable can go in the constant tables that `node` reads; true if it reads some.
static bool tableExtents(const Node *node, MutableArrayRef<int64_t> extents) {
  bool found = false;
  if (node->kind == Node::Load) {
    auto type = cast<RankedTensorType>(node->origin.getType());
    for (auto [index, size] : llvm::zip(node->indices, type.getShape()))
      if (index.digits.size() == 1 && index.digits[0].stride == 1 && !ShapedType::isDynamic(size)) {
        int64_t &extent = extents[index.digits[0].var];
        if (ShapedType::isDynamic(extent) || extent > size - index.offset)
          extent = size - index.offset;
      }
    found = true;
  }
  for (const Node *operand : node->operands)
    found |= tableExtents(operand, extents);
  return found;
}

/// A condition that constants and positions alone decide, recognised by value: a band around the
/// diagonal (causal, window) as comparisons, anything else as a table.
static std::optional<Predicate> conditionByValue(const Node *node, Classify classify,
                                                 const ScoreVars &vars) {
  uint64_t allowed = uint64_t(1) << vars.query | uint64_t(1) << vars.key;
  if (node->hasLeaf || !node->vars || (node->vars & ~allowed))
    return std::nullopt;
  SmallVector<int64_t> extents(vars.sizes), at(vars.sizes.size(), 0);
  if (!tableExtents(node, extents) || !evaluate(node, at))
    return std::nullopt;
  bool hasQuery = node->vars >> vars.query & 1, hasKey = node->vars >> vars.key & 1;
  int64_t rows = hasQuery ? extents[vars.query] : 1, columns = hasKey ? extents[vars.key] : 1;
  if (rows < 1 || columns < 1 || rows > kMaxTableElements / columns)
    return std::nullopt;
  Predicate table;
  table.kind = Predicate::Table;
  table.columns = columns;
  table.bits.reserve(rows * columns);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      at[vars.query] = i;
      at[vars.key] = j;
      std::optional<double> number = evaluate(node, at);
      std::optional<bool> keep = number ? classify(*number) : std::nullopt;
      if (!keep)
        return std::nullopt;
      table.bits.push_back(*keep);
    }
  if (llvm::all_equal(table.bits))
    return truth(table.bits[0]);
  if (!hasQuery || !hasKey)
    return table;
  // A band: what is kept depends on j - i alone and is one interval of it.
  int64_t low = std::numeric_limits<int64_t>::max(), high = std::numeric_limits<int64_t>::min();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      if (table.bits[i * columns + j]) {
        low = std::min(low, j - i);
        high = std::max(high, j - i);
      }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      if (table.bits[i * columns + j] != (low <= j - i && j - i <= high))
        return table;
  Digit i{vars.query, 1, vars.sizes[vars.query]}, j{vars.key, 1, vars.sizes[vars.key]};
  LinearForm ahead;
  ahead.add(j, 1);
  ahead.add(i, -1);
  Predicate band = truth(true);
  if (high < columns - 1)
    band = conjunction(band, atMostZero(ahead, 1, -high));
  if (low > 1 - rows)
    band = conjunction(band, atMostZero(ahead, -1, low));
  return band;
}

static Predicate conditionOf(Node *node, bool negated, const ScoreVars &vars) {
  auto isTrue = [&](double number) -> std::optional<bool> { return (number != 0) != negated; };
  if (node->kind == Node::Const)
    return truth(*isTrue(node->number));
  if (std::optional<Predicate> p = conditionByValue(node, isTrue, vars))
    return *p;
  if (node->kind != Node::Op)
    return atomOf(node, negated);
  Operation *op = node->op;
  auto operand = [&](unsigned k, bool flip = false) {
    return conditionOf(node->operands[k], negated != flip, vars);
  };
  if (isa<arith::AndIOp, arith::OrIOp>(op))
    return combine(isa<arith::AndIOp>(op) != negated ? Predicate::And : Predicate::Or, operand(0),
                   operand(1));
  if (isa<arith::XOrIOp>(op)) {
    for (unsigned k : {0, 1})
      if (node->operands[k]->kind == Node::Const)
        return operand(1 - k, node->operands[k]->number != 0);
    return atomOf(node, negated);
  }
  if (isa<arith::SelectOp>(op)) {
    Predicate chosen = conditionOf(node->operands[0], false, vars),
              other = conditionOf(node->operands[0], true, vars);
    return disjunction(conjunction(chosen, operand(1)), conjunction(other, operand(2)));
  }
  if (isa<arith::CmpIOp, arith::CmpFOp>(op)) {
    std::optional<LinearForm> a = linearFormOf(node->operands[0]),
                              b = linearFormOf(node->operands[1]);
    if (a && b) {
      LinearForm difference = *a;
      difference.add(*b, -1);
      auto build = [&](bool less, bool equal, bool greater) -> Predicate {
        if (negated)
          less = !less, equal = !equal, greater = !greater;
        if (less && equal)
          return atMostZero(difference, 1, 0);
        if (greater && equal)
          return atMostZero(difference, -1, 0);
        if (equal)
          return conjunction(atMostZero(difference, 1, 0), atMostZero(difference, -1, 0));
        Predicate below = less ? atMostZero(difference, 1, 1) : truth(false);
        Predicate above = greater ? atMostZero(difference, -1, 1) : truth(false);
        return disjunction(below, above);
      };
      std::optional<double> less = evaluateOp(op, {0, 1}), equal = evaluateOp(op, {0, 0}),
                            greater = evaluateOp(op, {1, 0});
      if (less && equal && greater)
        return build(*less, *equal, *greater);
    }
  }
  if (std::optional<Predicate> p = functionOfConditions(node, isTrue, vars))
    return *p;
  return atomOf(node, negated);
}

//===----------------------------------------------------------------------===//
// Which rows keep a key
//===----------------------------------------------------------------------===//

namespace {
/// The key that is tried for every row: key 0, or the key at the query's own position.
enum class Witness { First, Diagonal };
} // namespace

/// true, false or unknown, with the witness in place of the key.
static std::optional<bool> holdsAt(const Predicate &p, Witness witness, const ScoreVars &vars) {
  switch (p.kind) {
  case Predicate::True:
    return true;
  case Predicate::False:
    return false;
  case Predicate::And:
  case Predicate::Or: {
    bool absorbing = p.kind == Predicate::Or, known = true;
    for (const Predicate &operand : p.operands) {
      std::optional<bool> value = holdsAt(operand, witness, vars);
      if (value && *value == absorbing)
        return absorbing;
      known &= value.has_value();
    }
    return known ? std::optional<bool>(!absorbing) : std::nullopt;
  }
  case Predicate::AtMostZero: {
    LinearForm form;
    form.constant = p.form.constant;
    for (auto [digit, coefficient] : p.form.terms) {
      if (digit.var == vars.key) {
        if (witness == Witness::First)
          continue;
        digit.var = vars.query;
      }
      form.add(digit, coefficient);
    }
    // Digits are at least 0, and at most their size - 1.
    bool hasMin = true, hasMax = true;
    int64_t min = form.constant, max = form.constant;
    for (auto [digit, coefficient] : form.terms) {
      bool &bounded = coefficient > 0 ? hasMax : hasMin;
      int64_t &bound = coefficient > 0 ? max : min;
      if (ShapedType::isDynamic(digit.size))
        bounded = false;
      else
        bound += coefficient * (digit.size - 1);
    }
    if (hasMax && max <= 0)
      return true;
    if (hasMin && min > 0)
      return false;
    return std::nullopt;
  }
  case Predicate::Atom: {
    // x[i] == x[j] holds on the diagonal whatever x is.
    auto cmp = p.atom->kind == Node::Op ? dyn_cast<arith::CmpIOp>(p.atom->op) : arith::CmpIOp();
    if (!cmp || witness != Witness::Diagonal ||
        !sameExpr(p.atom->operands[0], p.atom->operands[1], std::pair(vars.key, vars.query)))
      return std::nullopt;
    switch (cmp.getPredicate()) {
    case arith::CmpIPredicate::eq:
    case arith::CmpIPredicate::sle:
    case arith::CmpIPredicate::sge:
    case arith::CmpIPredicate::ule:
    case arith::CmpIPredicate::uge:
      return !p.negated;
    default:
      return p.negated;
    }
  }
  case Predicate::Table: {
    bool all = true, any = false;
    int64_t rows = p.bits.size() / p.columns;
    for (int64_t i = 0; i < rows; ++i) {
      int64_t j = p.columns == 1 || witness == Witness::First ? 0 : i;
      if (j >= p.columns)
        return std::nullopt;
      all &= p.bits[i * p.columns + j];
      any |= p.bits[i * p.columns + j];
    }
    // A table of keys alone (one row) says nothing about a diagonal.
    if (witness == Witness::Diagonal && rows == 1 && p.columns > 1)
      return llvm::all_equal(p.bits) ? std::optional<bool>(p.bits[0]) : std::nullopt;
    return all ? std::optional<bool>(true) : !any ? std::optional<bool>(false) : std::nullopt;
  }
  }
  return std::nullopt;
}

bool provablyKeepsAKey(const Predicate &keep, const ScoreVars &vars) {
  if (holdsAt(keep, Witness::First, vars).value_or(false))
    return true;
  if (vars.square && holdsAt(keep, Witness::Diagonal, vars).value_or(false))
    return true;
  if (keep.kind != Predicate::Table)
    return false;
  // A table alone can be looked through; beyond the real number of keys it counts for nothing.
  int64_t keys = vars.sizes[vars.key];
  if (keep.columns != 1 && (ShapedType::isDynamic(keys) || keys > keep.columns))
    return false;
  int64_t columns = keep.columns == 1 ? 1 : keys;
  for (int64_t row = 0, rows = keep.bits.size() / keep.columns; row < rows; ++row)
    if (!llvm::is_contained(ArrayRef<bool>(keep.bits).slice(row * keep.columns, columns), true))
      return false;
  return true;
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

namespace {
class Decomposer {
public:
  Decomposer(const ScoreVars &vars, bool finiteMasks) : vars(vars), finiteMasks(finiteMasks) {}

  ScoreForm run(Node *node) {
    Factor factor;
    while (Node *next = step(node, factor))
      node = next;
    finish(node, factor);
    return std::move(form);
  }

private:
  /// Takes the outermost operation off, or returns null.
  Node *step(Node *node, Factor &factor);
  void finish(Node *node, const Factor &factor);
  using Terms = SmallVector<std::pair<Factor, Node *>, 2>;

  /// Adds `factor * node` to the form: masks, and terms.
  void addTerm(Node *node, const Factor &factor);
  /// Makes the masks among the summands of `factor * node` part of the form and appends the other
  /// summands to `rest`. Returns whether there was a mask.
  bool splitMasks(Node *node, const Factor &factor, Terms &rest);
  /// Whether a score times `factor` that is replaced by (or added to) `number` is masked by it.
  std::optional<bool> isMask(const Factor &factor, double number, bool &finite) const {
    if (!factor.isConstant())
      return std::nullopt;
    double masked = factor.constant * number;
    if (!(masked <= kMaskedScore))
      return false;
    finite |= std::isfinite(number) || clamped;
    return true;
  }
  /// Makes `keep` part of the form if the rules allow.
  bool addMask(Predicate keep, bool finite) {
    if (finite && !finiteMasks)
      return false;
    form.keep = conjunction(std::move(form.keep), std::move(keep));
    form.hasFiniteMask |= finite;
    return true;
  }

  const ScoreVars &vars;
  bool finiteMasks;
  /// A maximum with a large negative number was taken off: -inf is that number.
  bool clamped = false;
  ScoreForm form;
};
} // namespace

Node *Decomposer::step(Node *node, Factor &factor) {
  if (node->kind != Node::Op)
    return nullptr;
  if (isFloatCast(node->op))
    return node->operands[0];
  if (isa<arith::AddFOp, arith::SubFOp>(node->op)) {
    unsigned score = node->operands[0]->hasLeaf ? 0 : 1;
    if (node->operands[1 - score]->hasLeaf)
      return nullptr;
    Factor other = factor;
    if (isa<arith::SubFOp>(node->op))
      (score == 0 ? other : factor).constant *= -1;
    addTerm(node->operands[1 - score], other);
    return node->operands[score];
  }
  if (isa<arith::SelectOp>(node->op) && !node->operands[0]->hasLeaf) {
    unsigned score = node->operands[1]->hasLeaf ? 1 : 2;
    Node *replacement = node->operands[3 - score];
    bool finite = false;
    if (replacement->kind != Node::Const ||
        !isMask(factor, replacement->number, finite).value_or(false))
      return nullptr;
    if (finite && !finiteMasks)
      return nullptr;
    addMask(conditionOf(node->operands[0], /*negated=*/score == 2, vars), finite);
    return node->operands[score];
  }
  if (isa<arith::MaximumFOp, arith::MaxNumFOp>(node->op)) {
    unsigned score = node->operands[0]->hasLeaf ? 0 : 1;
    bool finite = false;
    Node *bound = node->operands[1 - score];
    if (bound->kind != Node::Const || !finiteMasks || factor.constant <= 0 ||
        !isMask(factor, bound->number, finite).value_or(false))
      return nullptr;
    clamped = true;
    return node->operands[score];
  }
  if (isa<arith::MulFOp>(node->op)) {
    // s * keep + (1 - keep) * large: where the score counts, it is multiplied by 1.
    unsigned score = node->operands[0]->hasLeaf ? 0 : 1;
    Node *other = node->operands[1 - score];
    auto isOne = [](double number) -> std::optional<bool> {
      return number == 0 || number == 1 ? std::optional<bool>(number == 1) : std::nullopt;
    };
    if (!other->hasLeaf && other->vars && form.keep.kind != Predicate::True) {
      std::optional<Predicate> ones = conditionByValue(other, isOne, vars);
      if (!ones)
        ones = functionOfConditions(other, isOne, vars);
      if (ones && implies(form.keep, *ones))
        return node->operands[score];
    }
  }
  return stripFactor(node, factor);
}

bool Decomposer::splitMasks(Node *node, const Factor &factor, Terms &rest) {
  if (node->isConst(0))
    return false;
  if (node->kind == Node::Op && isFloatCast(node->op)) {
    // Masks have no precision to lose; what is added to scores keeps its rounding.
    Terms parts;
    bool found = splitMasks(node->operands[0], factor, parts);
    if (found)
      rest.append(parts);
    else
      rest.emplace_back(factor, node);
    return found;
  }
  bool finite = false, masks = false;
  auto classify = [&](double number) -> std::optional<bool> {
    if (number == 0)
      return true;
    if (!isMask(factor, number, finite).value_or(false))
      return std::nullopt;
    masks = true;
    return false;
  };
  std::optional<Predicate> keep = conditionByValue(node, classify, vars);
  if (!keep)
    keep = functionOfConditions(node, classify, vars);
  if (keep && !masks)
    return false; // Zero everywhere.
  if (keep && addMask(*keep, finite))
    return true;
  Terms parts;
  bool found = false;
  Factor inner = factor;
  if (node->kind == Node::Op && isa<arith::AddFOp, arith::SubFOp>(node->op)) {
    if (isa<arith::SubFOp>(node->op))
      inner.constant *= -1;
    found = splitMasks(node->operands[0], factor, parts);
    found |= splitMasks(node->operands[1], inner, parts);
  } else if (Node *product = stripFactor(node, inner)) {
    found = splitMasks(product, inner, parts);
  }
  // Without a mask inside a sum stays as it is written: its parts can be huge and cancel.
  if (found)
    rest.append(parts);
  else
    rest.emplace_back(factor, node);
  return found;
}

void Decomposer::addTerm(Node *node, const Factor &factor) { splitMasks(node, factor, form.terms); }

void Decomposer::finish(Node *node, const Factor &factor) {
  form.factor = factor;
  if (node->kind == Node::Leaf) {
    form.core = ScoreForm::Linear;
    return;
  }
  if (isa<math::TanhOp>(node->op) && factor.isConstant() && factor.constant > 0) {
    Node *inside = node->operands[0];
    Factor inner;
    while (true) {
      inside = stripFactors(inside, inner);
      if (inside->kind != Node::Op || !isFloatCast(inside->op))
        break;
      inside = inside->operands[0];
    }
    if (inside->kind == Node::Leaf) {
      form.core = ScoreForm::SoftCap;
      form.inner = inner;
      return;
    }
  }
  form.core = ScoreForm::Function;
  form.function = node;
}

ScoreForm decomposeScore(Node *score, const ScoreVars &vars, bool finiteMasks) {
  return Decomposer(vars, finiteMasks).run(score);
}

} // namespace ingot
