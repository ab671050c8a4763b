//===- AttentionCandidate.cpp - a softmax and a product with its probabilities ----------------===//
//
// The operands of the product are traced back as expressions over its loop variables
// (ElementExpr.h): the probabilities must be the softmax's result and nothing else, the scores must
// contain a product of queries and keys. The scores are brought to normal form
// (AttentionAlgebra.h), the operands to the layouts that tfm.attention wants (Relayout.h).
//
//===----------------------------------------------------------------------------------------===//

#include "AttentionCandidate.h"
#include "ExprEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

std::optional<Failure> AttentionCandidate::match() {
  for (auto step : {&AttentionCandidate::classifyIterators, &AttentionCandidate::matchProbabilities,
                    &AttentionCandidate::matchScores, &AttentionCandidate::matchLayouts,
                    &AttentionCandidate::matchSinks})
    if (std::optional<Failure> failure = (this->*step)())
      return failure;
  return std::nullopt;
}

/// Queries are in the probabilities only, value elements in the values only, keys are summed over.
std::optional<Failure> AttentionCandidate::classifyIterators() {
  SmallVector<unsigned> queries, elements;
  for (unsigned iterator : values.resultDims) {
    bool inProbabilities = values.has(probabilities, iterator);
    bool inValues = values.has(1 - probabilities, iterator);
    (inProbabilities && inValues ? batch
     : inProbabilities           ? queries
                                 : elements)
        .push_back(iterator);
  }
  if (queries.size() != 1 || elements.size() != 1 || !values.has(0, values.sum) ||
      !values.has(1, values.sum))
    return Failure{NotRaised::Layout, "the product with the values is not one of matrices",
                   valuesOp};
  vars.query = queries[0];
  vars.key = values.sum;
  valueDim = elements[0];
  vars.sizes = values.sizes;
  keyDim = vars.sizes.size();
  vars.sizes.push_back(ShapedType::kDynamic);
  return std::nullopt;
}

static Indices indicesOf(ArrayRef<unsigned> dims, ArrayRef<int64_t> sizes) {
  Indices indices;
  for (unsigned iterator : dims)
    indices.push_back(wholeIndex(iterator, sizes[iterator]));
  return indices;
}

std::optional<SinkColumn> ingot::matchSinkColumn(Operation *softmax) {
  int64_t dim;
  auto concat = softmaxInput(softmax, dim).getDefiningOp<tensor::ConcatOp>();
  if (!concat || int64_t(concat.getDim()) != dim || concat.getInputs().size() != 2)
    return std::nullopt;
  SinkColumn result{concat.getInputs()[0], concat.getInputs()[1]};
  if (cast<RankedTensorType>(result.column.getType()).getDimSize(dim) != 1)
    return std::nullopt;
  return result;
}

std::optional<Failure> AttentionCandidate::matchProbabilities() {
  Node *node = tracer.trace(values.operands[probabilities],
                            indicesOf(values.dims[probabilities], vars.sizes));
  // Casts do not matter, and neither do factors that cancel.
  Node *inner = node;
  Factor factor;
  while (true) {
    inner = stripFactors(inner, factor);
    if (inner->kind != Node::Op || !isFloatCast(inner->op))
      break;
    inner = inner->operands[0];
  }
  if (factor.isConstant() && factor.constant == 1)
    node = inner;
  while (node->kind == Node::Op && isFloatCast(node->op))
    node = node->operands[0];
  if (node->kind == Node::Op)
    return Failure{NotRaised::BetweenAndValues,
                   "'" + node->op->getName().getStringRef().str() +
                       "' between the softmax and the product with the values",
                   node->op};
  if (node->kind != Node::Leaf) {
    Operation *blame = node->origin ? node->origin.getDefiningOp() : nullptr;
    if (isa_and_nonnull<tensor::ExtractSliceOp>(blame))
      return Failure{NotRaised::Selection, "only some of the probabilities meet values", blame};
    return Failure{NotRaised::BetweenAndValues,
                   "the product with the values reads something that is not the probabilities",
                   blame};
  }
  int64_t dim;
  auto type = cast<RankedTensorType>(softmaxInput(softmax, dim).getType());
  for (auto [d, index] : llvm::enumerate(node->indices)) {
    bool summed = varsOf(index) >> vars.key & 1;
    // A key dimension of size 1 leaves no digit.
    if (vars.sizes[vars.key] == 1 && int64_t(d) == dim && type.getDimSize(d) == 1)
      continue;
    if (int64_t(d) == dim ? !index.isVar(vars.key) : summed)
      return Failure{NotRaised::OtherAxis,
                     "the softmax is along dimension " + std::to_string(dim) +
                         ", the product with the values sums over another",
                     softmax};
  }
  probabilityIndices = node->indices;
  if (!sinkColumn)
    return std::nullopt;
  // All probabilities but the extra column's meet values: their numbers must agree.
  std::pair<Value, int64_t> scores = sizeOrigin(sinkColumn->scores, dim), keys;
  for (auto [d, iterator] : llvm::enumerate(values.dims[1 - probabilities]))
    if (iterator == vars.key)
      keys = sizeOrigin(values.operands[1 - probabilities], d);
  int64_t known = cast<RankedTensorType>(sinkColumn->scores.getType()).getDimSize(dim);
  bool agree = ShapedType::isDynamic(known) ? scores == keys : known == vars.sizes[vars.key];
  if (!agree)
    return Failure{NotRaised::Selection, "only some of the probabilities meet values", softmax};
  return std::nullopt;
}

static void collectLeaves(Node *node, SmallVectorImpl<Node *> &leaves,
                          llvm::SmallPtrSetImpl<Node *> &seen) {
  if (!node->hasLeaf || !seen.insert(node).second)
    return;
  if (node->kind == Node::Leaf)
    leaves.push_back(node);
  for (Node *operand : node->operands)
    collectLeaves(operand, leaves, seen);
}

/// The tensor that is read when `operand` is, as deep as it is only moved, widened to f64 (and
/// multiplied, if `factor` can take that up).
std::optional<Access> AttentionCandidate::accessOf(Value operand, ArrayRef<Index> indices,
                                                   Factor *factor) {
  // Scalars among the factors live as long as the tracer.
  operandTracers.push_back(std::make_unique<ElementTracer>([](Operation *) { return false; },
                                                           /*throughSlices=*/false));
  Node *node = operandTracers.back()->trace(operand, indices);
  Factor taken;
  while (true) {
    if (factor)
      node = stripFactors(node, taken);
    // Scores are f32: a widening beyond that is none of its inputs' business.
    if (node->kind != Node::Op || !isa<arith::ExtFOp>(node->op) || !node->type.isF64())
      break;
    node = node->operands[0];
  }
  for (auto [value, at, deep] : {std::tuple(node->origin, ArrayRef<Index>(node->indices), true),
                                 {operand, indices, false}}) {
    if (!value || !isa<RankedTensorType>(value.getType()))
      continue;
    if (std::optional<Layout> layout = layoutOf(at, cast<RankedTensorType>(value.getType()))) {
      if (deep && factor)
        factor->multiply(taken);
      return Access{value, Indices(at), *layout};
    }
  }
  return std::nullopt;
}

std::optional<Failure> AttentionCandidate::matchScores() {
  int64_t dim;
  Value input = sinkColumn ? sinkColumn->scores : softmaxInput(softmax, dim);
  // Which of the products in the scores is the one of queries and keys?
  ElementTracer survey([](Operation *op) { return productOf(op).has_value(); },
                       /*throughSlices=*/true);
  SmallVector<Node *> leaves;
  llvm::SmallPtrSet<Node *, 16> seen;
  collectLeaves(survey.trace(input, probabilityIndices), leaves, seen);
  Failure failure{NotRaised::NoScores, "no product of queries and keys in the scores", softmax};
  for (Node *leaf : leaves) {
    Product product = *productOf(leaf->op);
    Indices iterators(product.sizes.size());
    for (auto [iterator, index] : llvm::zip(product.resultDims, leaf->indices))
      iterators[iterator] = index;
    SmallVector<int64_t> sizes(vars.sizes);
    sizes[keyDim] = product.sizes[product.sum];
    iterators[product.sum] = wholeIndex(keyDim, sizes[keyDim]);
    Indices at[2];
    for (unsigned side : {0, 1})
      for (unsigned iterator : product.dims[side])
        at[side].push_back(iterators[iterator]);
    auto reads = [&](unsigned side, unsigned var) { return bool(varsOf(at[side]) >> var & 1); };
    // A single key leaves no trace in the indices: then it is the side without queries.
    unsigned keys = reads(0, vars.key) || (!reads(1, vars.key) && reads(1, vars.query)) ? 0 : 1;
    if (reads(1 - keys, vars.key) || reads(keys, vars.query) ||
        (!reads(keys, vars.key) && vars.sizes[vars.key] != 1) || !product.has(0, product.sum) ||
        !product.has(1, product.sum)) {
      failure = {NotRaised::NoScores, "the product in the scores is not one of queries and keys",
                 leaf->op};
      continue;
    }
    if (llvm::any_of(leaves, [&](Node *other) {
          return other->op == leaf->op && other->indices != leaf->indices;
        })) {
      failure = {NotRaised::NoScores, "a score depends on several products of queries and keys",
                 leaf->op};
      continue;
    }
    Factor factor;
    std::optional<Access> queries = accessOf(product.operands[1 - keys], at[1 - keys], &factor);
    std::optional<Access> keysAccess = accessOf(product.operands[keys], at[keys], &factor);
    if (!queries || !keysAccess) {
      failure = {NotRaised::Layout, "only part of the queries or keys is read", leaf->op};
      continue;
    }
    Operation *chosen = leaf->op;
    scoreTracer = std::make_unique<ElementTracer>([=](Operation *op) { return op == chosen; },
                                                  /*throughSlices=*/true);
    score = scoreTracer->trace(input, probabilityIndices);
    vars.sizes = sizes;
    operandFactor = factor;
    q = *queries;
    k = *keysAccess;
    return std::nullopt;
  }
  return failure;
}

std::optional<Failure> AttentionCandidate::matchLayouts() {
  std::optional<Access> read =
      accessOf(values.operands[1 - probabilities],
               indicesOf(values.dims[1 - probabilities], vars.sizes), nullptr);
  if (!read)
    return Failure{NotRaised::Layout, "only part of the values is read", valuesOp};
  v = *read;
  for (unsigned iterator : values.resultDims) {
    Index index = wholeIndex(iterator, vars.sizes[iterator]);
    out.emplace_back(index.digits.begin(), index.digits.end());
  }
  refineLayouts({&q.layout, &k.layout, &v.layout, &out});

  auto contains = [](const Layout &layout, const Digit &digit) {
    return llvm::any_of(layout, [&](auto &dim) { return llvm::is_contained(dim, digit); });
  };
  auto ofKeys = [&](const Digit &digit) {
    return contains(k.layout, digit) || contains(v.layout, digit);
  };
  SmallVector<Digit> digits;
  for (unsigned iterator : batch)
    for (auto [d, resultDim] : llvm::enumerate(values.resultDims))
      if (resultDim == iterator)
        digits.append(out[d].begin(), out[d].end());
  // The batch is what has no static size, else the first of several dimensions if keys have it too.
  SmallVector<Digit> dynamic;
  llvm::copy_if(digits, std::back_inserter(dynamic),
                [](const Digit &digit) { return ShapedType::isDynamic(digit.size); });
  if (dynamic.size() > 1)
    return Failure{NotRaised::DynamicHeads, "more than one batch dimension has no static size",
                   valuesOp};
  if (!dynamic.empty())
    batchDigit = dynamic[0];
  else if (batch.size() > 1 && digits.size() > 1 && ofKeys(digits[0]) &&
           digits[0] == wholeDigit(batch[0]))
    batchDigit = digits[0];
  if (batchDigit)
    llvm::erase(digits, *batchDigit);
  // Groups of query heads share a key head: digits that keys lack go last.
  for (bool keysHave : {true, false})
    for (const Digit &digit : digits)
      if (ofKeys(digit) == keysHave) {
        heads.push_back(digit);
        headCount *= digit.size;
        if (keysHave) {
          ++kvDigits;
          kvHeadCount *= digit.size;
        }
      }
  if (ShapedType::isDynamic(vars.sizes[keyDim]) || ShapedType::isDynamic(vars.sizes[valueDim]))
    return Failure{NotRaised::DynamicHeads, "the head size is not static", valuesOp};

  auto canonical = [&](bool keys, unsigned row, unsigned column) {
    Layout layout;
    if (batchDigit)
      layout.push_back({*batchDigit});
    layout.emplace_back(heads.begin(), keys ? heads.begin() + kvDigits : heads.end());
    for (unsigned var : {row, column}) {
      layout.emplace_back();
      // As refined: a dimension can be made of several digits.
      for (const Layout *known : {&q.layout, &k.layout, &v.layout, &out}) {
        SmallVector<Digit, 2> found;
        for (const auto &dim : *known)
          llvm::copy_if(dim, std::back_inserter(found),
                        [&](const Digit &digit) { return digit.var == var; });
        if (layout.back().empty())
          layout.back() = found;
      }
      llvm::sort(layout.back(), [](const Digit &a, const Digit &b) { return a.stride > b.stride; });
    }
    return layout;
  };
  canonicalQ = canonical(false, vars.query, keyDim);
  canonicalK = canonical(true, vars.key, keyDim);
  canonicalV = canonical(true, vars.key, valueDim);
  canonicalOut = canonical(false, vars.query, valueDim);
  for (auto [from, to, name] : {std::tuple(&q.layout, &canonicalQ, "queries"),
                                {&k.layout, &canonicalK, "keys"},
                                {&v.layout, &canonicalV, "values"},
                                {&canonicalOut, &out, "result"}})
    if (!canRelayout(*from, *to))
      return Failure{NotRaised::Layout,
                     std::string("an axis of the ") + name + " cannot be told from another",
                     valuesOp};

  // As many keys as queries, for proofs about the diagonal.
  auto sizeOf = [&](const Access &access,
                    unsigned var) -> std::optional<std::pair<Value, int64_t>> {
    for (auto [d, dim] : llvm::enumerate(access.layout))
      if (dim.size() == 1 && dim[0] == wholeDigit(var))
        return sizeOrigin(access.value, d);
    return std::nullopt;
  };
  int64_t queries = vars.sizes[vars.query], keys = vars.sizes[vars.key];
  if (ShapedType::isDynamic(queries) && ShapedType::isDynamic(keys)) {
    auto a = sizeOf(q, vars.query), b = sizeOf(k, vars.key);
    vars.square = a && b && *a == *b;
  } else {
    vars.square = queries == keys;
  }
  form = decomposeScore(score, vars, /*finiteMasks=*/true);
  if (form.hasFiniteMask && !provablyKeepsAKey(form.keep, vars))
    form = decomposeScore(score, vars, /*finiteMasks=*/false);
  return std::nullopt;
}

/// The extra column must be a number for each head.
std::optional<Failure> AttentionCandidate::matchSinks() {
  if (!sinkColumn)
    return std::nullopt;
  int64_t dim;
  (void)softmaxInput(softmax, dim);
  Indices indices = probabilityIndices;
  indices[dim] = Index();
  std::optional<Access> access = accessOf(sinkColumn->column, indices, nullptr);
  if (access) {
    Layout wanted{SmallVector<Digit, 2>(heads.begin(), heads.end())};
    Layout layout = access->layout;
    refineLayouts({&layout, &wanted});
    if (canRelayout(layout, wanted)) {
      sinks = *access;
      return std::nullopt;
    }
  }
  return Failure{NotRaised::NoScores, "the extra column of the scores is not a number per head",
                 softmax};
}

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

/// A batch variable from the region's arguments: its digits are those of the batch and the heads.
Value AttentionCandidate::varValue(OpBuilder &builder, ValueRange bhij, unsigned var) {
  if (var == vars.query)
    return bhij[2];
  if (var == vars.key)
    return bhij[3];
  if (batchDigit && batchDigit->var == var && *batchDigit == wholeDigit(var))
    return bhij[0];
  auto number = [&](int64_t value) { return arith::ConstantIndexOp::create(builder, loc, value); };
  // A run of head digits that is the variable itself, or the sum of its digits.
  int64_t weight = headCount;
  Value sum;
  for (size_t first = 0; first < heads.size(); ++first) {
    int64_t above = weight;
    weight /= heads[first].size;
    if (heads[first].var != var)
      continue;
    size_t last = first;
    int64_t size = heads[first].size;
    while (last + 1 < heads.size() && heads[last + 1].var == var &&
           heads[last + 1].stride * heads[last + 1].size == heads[last].stride) {
      ++last;
      size *= heads[last].size;
      weight /= heads[last].size;
    }
    Value part = bhij[1];
    if (weight != 1)
      part = arith::DivUIOp::create(builder, loc, part, number(weight));
    if (above != headCount)
      part = arith::RemUIOp::create(builder, loc, part, number(size));
    if (heads[last].stride != 1)
      part = arith::MulIOp::create(builder, loc, part, number(heads[last].stride));
    sum = sum ? arith::AddIOp::create(builder, loc, sum, part) : part;
    first = last;
  }
  if (batchDigit && batchDigit->var == var) {
    Value part = bhij[0];
    if (batchDigit->stride != 1)
      part = arith::MulIOp::create(builder, loc, part, number(batchDigit->stride));
    sum = sum ? arith::AddIOp::create(builder, loc, sum, part) : part;
  }
  return sum ? sum : Value(number(0));
}

std::optional<CommonMask> AttentionCandidate::commonMask() const {
  CommonMask mask;
  ArrayRef<Predicate> parts(form.keep);
  if (form.keep.kind == Predicate::And)
    parts = form.keep.operands;
  for (const Predicate &part : parts) {
    if (part.kind == Predicate::True)
      continue;
    Digit i = wholeDigit(vars.query), j = wholeDigit(vars.key);
    if (part.kind != Predicate::AtMostZero || part.form.terms.size() != 2)
      return std::nullopt;
    int64_t query = part.form.coefficientOf(i), key = part.form.coefficientOf(j);
    if (query == -1 && key == 1 && part.form.constant == 0)
      mask.causal = true;
    else if (query == 1 && key == -1 && part.form.constant <= 0)
      mask.window = std::min(mask.window.value_or(INT64_MAX), 1 - part.form.constant);
    else
      return std::nullopt;
  }
  return mask;
}

/// slope[h] * (j + anything of the row): what does not depend on the key drops out of a softmax.
bool AttentionCandidate::isAlibi(const std::pair<Factor, Node *> &term) const {
  const auto &[factor, node] = term;
  if (!factor.isConstant() || node->kind != Node::Op || !isa<arith::MulFOp>(node->op) ||
      form.core == ScoreForm::Function)
    return false;
  for (unsigned k : {0, 1}) {
    const Node *slopes = node->operands[k];
    std::optional<LinearForm> distance = linearFormOf(node->operands[1 - k]);
    if (slopes->kind != Node::Load || !distance ||
        distance->coefficientOf(wholeDigit(vars.key)) == 0)
      continue;
    if (llvm::any_of(distance->terms, [&](auto &t) {
          return t.first != wholeDigit(vars.key) && t.first != wholeDigit(vars.query);
        }))
      continue;
    std::optional<Layout> layout =
        layoutOf(slopes->indices, cast<RankedTensorType>(slopes->origin.getType()));
    Layout wanted{SmallVector<Digit, 2>(heads.begin(), heads.end())};
    if (!layout)
      continue;
    refineLayouts({&*layout, &wanted});
    if (canRelayout(*layout, wanted) && varsOf(slopes->indices) != 0)
      return true;
  }
  return false;
}

Value AttentionCandidate::buildSlopes(OpBuilder &builder, const std::pair<Factor, Node *> &term) {
  unsigned k = linearFormOf(term.second->operands[0]) ? 1 : 0;
  Node *slopes = term.second->operands[k];
  int64_t perKey = linearFormOf(term.second->operands[1 - k])->coefficientOf(wholeDigit(vars.key));
  Layout layout = *layoutOf(slopes->indices, cast<RankedTensorType>(slopes->origin.getType()));
  Layout wanted{SmallVector<Digit, 2>(heads.begin(), heads.end())};
  refineLayouts({&layout, &wanted});
  Value value = relayout(builder, loc, slopes->origin, layout, wanted,
                         [](unsigned) { return OpFoldResult(); });
  double factor = term.first.constant * perKey;
  if (factor == 1)
    return value;
  auto type = cast<RankedTensorType>(value.getType());
  Value factors = arith::ConstantOp::create(
      builder, loc,
      DenseElementsAttr::get(type, builder.getFloatAttr(type.getElementType(), factor)));
  return arith::MulFOp::create(builder, loc, value, factors);
}

/// Whether an expression reads numbers (not conditions) that are not known here.
static bool readsUnknown(const Node *node) {
  if (node->kind == Node::Load || node->kind == Node::Gather)
    return isa<FloatType>(node->type) && !matchPattern(node->origin, m_Constant());
  return llvm::any_of(node->operands, readsUnknown);
}

void AttentionCandidate::buildScoreRegion(OpBuilder &builder, AttentionOp op, Value slopes) {
  if (slopes || (form.core == ScoreForm::SoftCap && form.terms.empty())) {
    CommonScore common;
    common.slopes = slopes;
    if (form.core == ScoreForm::SoftCap)
      common.softcap = form.factor.constant;
    buildScore(builder, loc, op.getScore(), common);
    return;
  }
  if (form.core == ScoreForm::Linear && form.terms.empty())
    return;
  OpBuilder::InsertionGuard guard(builder);
  Block *block = createScoreBlock(builder, loc, op.getScore());
  ExprEmitter emitter(
      builder, loc, vars,
      [&](unsigned var) { return varValue(builder, block->getArguments().drop_front(), var); },
      block->getArgument(0));
  Value s = block->getArgument(0);
  bool unknown = false;
  if (form.core == ScoreForm::SoftCap) {
    Value cap = emitter.constant(form.factor.constant);
    s = arith::DivFOp::create(builder, loc, s, cap);
    s = math::TanhOp::create(builder, loc, s);
    s = arith::MulFOp::create(builder, loc, s, cap);
  } else if (form.core == ScoreForm::Function) {
    s = emitter.multiply(emitter.emit(form.function), form.factor);
    unknown = readsUnknown(form.function);
  }
  for (auto &[factor, node] : form.terms) {
    s = arith::AddFOp::create(builder, loc, s, emitter.multiply(emitter.emit(node), factor));
    unknown |= readsUnknown(node);
  }
  // Numbers that mask may hide in what is read; kept above what tfm.attention takes for masked.
  if (unknown)
    s = arith::MaximumFOp::create(builder, loc, s, emitter.constant(-1e29));
  YieldOp::create(builder, loc, s);
}

void AttentionCandidate::buildMaskRegion(OpBuilder &builder, AttentionOp op) {
  if (std::optional<CommonMask> common = commonMask()) {
    buildMask(builder, loc, op.getMask(), *common);
    return;
  }
  OpBuilder::InsertionGuard guard(builder);
  Block *block = createMaskBlock(builder, loc, op.getMask());
  ExprEmitter emitter(builder, loc, vars,
                      [&](unsigned var) { return varValue(builder, block->getArguments(), var); });
  Value keep = emitter.emit(form.keep);
  YieldOp::create(builder, loc, keep);
}

static std::string plural(int64_t count, StringRef what) {
  return std::to_string(count) + " " + what.str() + (count == 1 ? "" : "s");
}

std::string AttentionCandidate::build(OpBuilder &builder) {
  builder.setInsertionPoint(valuesOp);
  auto sizeOf = [&](unsigned var) -> OpFoldResult {
    for (unsigned side : {0, 1})
      for (auto [d, iterator] : llvm::enumerate(values.dims[side]))
        if (iterator == var)
          return tensor::getMixedSize(builder, loc, values.operands[side], d);
    return builder.getIndexAttr(vars.sizes[var]);
  };
  Value operands[3];
  for (auto [k, access, to] :
       {std::tuple(0, &q, &canonicalQ), {1, &k, &canonicalK}, {2, &v, &canonicalV}})
    operands[k] = relayout(builder, loc, access->value, access->layout, *to, sizeOf);

  // The factor of the product, then what is inside of the soft-cap or around the scores.
  Factor scale = operandFactor;
  if (form.core == ScoreForm::Linear) {
    scale.multiply(form.factor);
  } else if (form.core == ScoreForm::SoftCap) {
    scale.multiply(form.inner);
    scale.constant *= form.factor.constant;
  }
  ExprEmitter outside(builder, loc, vars, [](unsigned) { return Value(); });
  Value scaleValue = outside.emit(scale);
  Value slopes;
  if (form.terms.size() == 1 && isAlibi(form.terms[0]))
    slopes = buildSlopes(builder, form.terms[0]);

  Value sinksValue;
  if (sinkColumn) {
    Layout layout = sinks.layout, wanted{SmallVector<Digit, 2>(heads.begin(), heads.end())};
    refineLayouts({&layout, &wanted});
    sinksValue = relayout(builder, loc, sinks.value, layout, wanted, sizeOf);
  }

  SmallVector<int64_t> shape;
  for (const auto &dim : canonicalOut) {
    shape.push_back(1);
    for (const Digit &digit : dim)
      shape.back() =
          ShapedType::isDynamic(digit.size) ? ShapedType::kDynamic : shape.back() * digit.size;
  }
  auto resultType = cast<RankedTensorType>(valuesOp->getResult(0).getType());
  // A graph that multiplies in f64 what it then rounds gains nothing from it.
  Type elementType = resultType.getElementType();
  if (elementType.isF64() && !getElementTypeOrSelf(operands[2]).isF64())
    elementType = builder.getF32Type();
  Location fused = builder.getFusedLoc({softmax->getLoc(), valuesOp->getLoc()});
  auto attention = AttentionOp::create(builder, fused, RankedTensorType::get(shape, elementType),
                                       operands[0], operands[1], operands[2], /*cache=*/Value(),
                                       /*batch=*/Value(), scaleValue, sinksValue);
  buildScoreRegion(builder, attention, slopes);
  if (form.keep.kind != Predicate::True)
    buildMaskRegion(builder, attention);
  builder.setInsertionPointAfter(attention);
  Value result = relayout(builder, loc, attention, canonicalOut, out, sizeOf);
  if (getElementTypeOrSelf(result) != resultType.getElementType())
    result = arith::ExtFOp::create(
        builder, loc, cast<RankedTensorType>(result.getType()).clone(resultType.getElementType()),
        result);
  if (result.getType() != resultType)
    result = tensor::CastOp::create(builder, loc, resultType, result);
  valuesOp->getResult(0).replaceAllUsesWith(result);

  std::string text;
  llvm::raw_string_ostream os(text);
  if (form.keep.kind == Predicate::True) {
    os << "no mask";
  } else if (std::optional<CommonMask> mask = commonMask()) {
    os << (mask->causal ? "causal" : "") << (mask->causal && mask->window ? ", " : "");
    if (mask->window)
      os << "window of " << *mask->window;
  } else {
    os << "mask region";
  }
  if (form.core == ScoreForm::SoftCap)
    os << ", soft-cap";
  if (slopes)
    os << ", alibi";
  if (sinksValue)
    os << ", sinks";
  if (!attention.getScore().empty() && !matchScore(attention.getScore()))
    os << ", score region";
  os << ", " << plural(headCount / kvHeadCount, "query head") << " per key head";
  return text;
}
