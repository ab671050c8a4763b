//===- EvaluatorElements.cpp - element-wise operations, linalg and their bodies -------------===//

#include "EvaluatorSupport.h"
#include "Math.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <limits>

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;
using arith::CmpIPredicate;

//===----------------------------------------------------------------------===//
// Element-wise operations and regions
//===----------------------------------------------------------------------===//

LaneValue Evaluator::elementwise(Operation *op, unsigned result, const Point &point) {
  SmallVector<LaneValue> operands;
  for (Value operand : op->getOperands())
    operands.push_back(isa<RankedTensorType>(operand.getType()) ? at(operand, point)
                                                                : LaneValue{scalar(operand)});
  return apply(op, result, operands);
}

/// Operations that a vector unit has, which need no expansion.
static bool isNativeMath(Operation *op) {
  return isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::FloorOp, math::RoundOp,
             math::RoundEvenOp, math::TruncOp, math::SqrtOp, math::FmaOp, math::CopySignOp,
             math::CtPopOp, math::CountLeadingZerosOp, math::CountTrailingZerosOp, math::IsFiniteOp,
             math::IsNaNOp>(op);
}

LaneValue Evaluator::apply(Operation *op, unsigned result, ArrayRef<LaneValue> operands) {
  Type element = elementOf(op->getResult(result));
  SmallVector<Value> values;
  bool uniform = llvm::all_of(operands, [](LaneValue v) { return v.isUniform(); });
  for (LaneValue operand : operands)
    values.push_back(uniform ? operand.value : broadcast(operand));
  auto shaped = [&](Type type) { return uniform ? type : Type(kb.vec(type)); };

  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    if (element.isBF16())
      return {kb.constantInt(
          kb.i16, cast<FloatAttr>(constant.getValue()).getValue().bitcastToAPInt().getSExtValue())};
    if (isa<IntegerType, IndexType>(element))
      return {kb.constantInt(kb.registerType(element),
                             cast<IntegerAttr>(constant.getValue()).getValue().getSExtValue())};
    return {kb.constant(constant.getValue())};
  }
  if (isa<arith::ExtFOp, arith::TruncFOp>(op)) {
    Type from = elementOf(op->getOperand(0));
    Value wide = isNarrowFloat(from) ? kb.extend(values[0], kb.f32, from) : values[0];
    return {kb.truncate(wide, element)};
  }
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op)) {
    unsigned from = getElementTypeOrSelf(values[0].getType()).getIntOrFloatBitWidth();
    Type to = shaped(kb.registerType(element));
    unsigned width = kb.registerType(element).getIntOrFloatBitWidth();
    if (from == width)
      return {values[0]};
    if (from > width)
      return {kb.make<arith::TruncIOp>(to, values[0])};
    return {isa<arith::IndexCastOp>(op) ? kb.make<arith::ExtSIOp>(to, values[0])
                                        : kb.make<arith::ExtUIOp>(to, values[0])};
  }
  if (isa<arith::BitcastOp>(op))
    return {kb.bitcast(shaped(kb.registerType(element)), values[0])};

  if (isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp, arith::CeilDivSIOp,
          arith::CeilDivUIOp, arith::FloorDivSIOp>(op)) {
    // Lanes without data, and divisors that have no quotient, must not trap.
    Value one = kb.constantInt(values[1].getType(), 1);
    Value bad = kb.cmp(CmpIPredicate::eq, values[1], kb.zero(values[1].getType()));
    if (!isa<arith::DivUIOp, arith::RemUIOp, arith::CeilDivUIOp>(op)) {
      unsigned width = getElementTypeOrSelf(values[0].getType()).getIntOrFloatBitWidth();
      Value lowest = kb.constantInt(values[0].getType(), llvm::minIntN(width));
      Value minusOne = kb.constantInt(values[1].getType(), -1);
      bad = kb.ori(bad, kb.andi(kb.cmp(CmpIPredicate::eq, values[0], lowest),
                                kb.cmp(CmpIPredicate::eq, values[1], minusOne)));
    }
    values[1] = kb.select(bad, one, values[1]);
  }
  return {applyFloat(op, result, values, shaped(kb.registerType(element)))};
}

/// An operation on register values; narrow floats are widened before and rounded after.
Value Evaluator::applyFloat(Operation *op, unsigned result, ArrayRef<Value> operands, Type type) {
  bool moves = isa<arith::SelectOp>(op);
  SmallVector<Value> values;
  for (auto [operand, value] : llvm::zip_equal(op->getOperands(), operands)) {
    Type from = elementOf(operand);
    values.push_back(!moves && isNarrowFloat(from) ? kb.extend(value, kb.f32, from) : value);
  }
  Type element = elementOf(op->getResult(result));
  bool narrow = !moves && isNarrowFloat(element);
  auto finish = [&](Value value) { return narrow ? kb.truncate(value, element) : value; };

  if (isa<math::MathDialect>(op->getDialect()) && !isNativeMath(op)) {
    if (isa<FloatType>(elementOf(op->getOperand(0))))
      if (Value value = emitMath(kb, op, values))
        return finish(value);
    kb.fail(op, "this function has no expansion");
    return kb.zero(type);
  }
  if (!isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) || isa<arith::RemFOp>(op) ||
      op->getNumRegions()) {
    kb.fail(op, "no code generator knows this operation here");
    return kb.zero(type);
  }
  OperationState state(kb.loc, op->getName());
  state.addOperands(values);
  for (Value other : op->getResults()) {
    Type register_ = kb.registerType(elementOf(other));
    if (!moves && isNarrowFloat(elementOf(other)))
      register_ = kb.f32;
    state.addTypes(isa<VectorType>(type) ? Type(kb.vec(register_)) : register_);
  }
  // No flag that would license other bits or undefined values.
  for (NamedAttribute attr : op->getAttrs())
    if (!llvm::is_contained({"fastmath", "overflowFlags", "exact", "nonNeg"}, attr.getName()))
      state.addAttribute(attr.getName(), attr.getValue());
  return finish(kb.makeGeneric(state, result));
}

SmallVector<LaneValue> Evaluator::run(Block &block, DenseMap<Value, LaneValue> &env, Value mask,
                                      Operation *until) {
  auto get = [&](Value value) {
    auto found = env.find(value);
    return found != env.end() ? found->second : LaneValue{scalar(value)};
  };
  for (Operation &op : block) {
    if (&op == until || op.hasTrait<OpTrait::IsTerminator>()) {
      SmallVector<LaneValue> results;
      for (Value operand : op.getOperands())
        results.push_back(get(operand));
      return results;
    }
    if (op.getNumResults() && env.count(op.getResult(0)))
      continue;
    if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
      Point point;
      point.mask = mask;
      point.guarded = static_cast<bool>(mask);
      SmallVector<Value> indices;
      for (Value index : extract.getIndices())
        indices.push_back(get(index).value);
      if (llvm::none_of(indices, KernelBuilder::isVector)) { // one element for all lanes, of which
                                                             // at least one is active
        point.mask = {};
        point.guarded = false;
      }
      env[extract.getResult()] = this->extract(extract, point, indices);
      continue;
    }
    if (auto size = dyn_cast<tensor::DimOp>(op)) {
      env[size.getResult()] = {scalar(size.getResult())};
      continue;
    }
    SmallVector<LaneValue> operands;
    for (Value operand : op.getOperands()) {
      if (isa<ShapedType>(operand.getType())) {
        kb.fail(&op, "no code generator knows this operation here");
        operands.push_back(dummy(elementOf(operand)));
      } else {
        operands.push_back(get(operand));
      }
    }
    for (unsigned result = 0; result < op.getNumResults(); ++result)
      env[op.getResult(result)] = apply(&op, result, operands);
  }
  return {};
}

//===----------------------------------------------------------------------===//
// linalg
//===----------------------------------------------------------------------===//

LaneValue Evaluator::linalgAt(linalg::LinalgOp op, unsigned result, const Point &point) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  AffineMap out = maps[op.getNumDpsInputs() + result];
  SmallVector<Coord, 4> loops(op.getNumLoops());
  SmallVector<bool> known(op.getNumLoops());
  for (auto [expr, coord] : llvm::zip_equal(out.getResults(), point.coords)) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      return unsupported(op->getResult(result), "its result is not indexed by its loops", point);
    loops[dim.getPosition()] = coord;
    known[dim.getPosition()] = true;
  }
  if (!llvm::all_of(known, [](bool is) { return is; }))
    return linalgReduce(op, result, point, loops, known);
  DenseMap<Value, LaneValue> env;
  bindBody(op, loops, point, env);
  for (OpOperand &init : op.getDpsInitsMutable())
    if (BlockArgument argument = op.getMatchingBlockArgument(&init); !argument.use_empty())
      env[argument] = linalgOperand(op, init, loops, point);
  return run(*op.getBlock(), env, point.mask)[result];
}

/// The value of an operand at the coordinates of the loops.
LaneValue Evaluator::linalgOperand(linalg::LinalgOp op, OpOperand &operand, ArrayRef<Coord> loops,
                                   const Point &point) {
  if (!isa<RankedTensorType>(operand.get().getType()))
    return {scalar(operand.get())};
  std::function<Coord(AffineExpr)> eval = [&](AffineExpr expr) -> Coord {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      return loops[dim.getPosition()];
    if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      return fixed(constant.getValue());
    auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
    auto constant = binary ? dyn_cast<AffineConstantExpr>(binary.getRHS()) : AffineConstantExpr();
    if (binary && expr.getKind() == AffineExprKind::Add)
      return add(eval(binary.getLHS()), eval(binary.getRHS()));
    if (constant && constant.getValue() >= 0) {
      Size by{kb.c(constant.getValue()), constant.getValue()};
      if (expr.getKind() == AffineExprKind::Mul)
        return scale(eval(binary.getLHS()), by);
      if (expr.getKind() == AffineExprKind::FloorDiv && by.known)
        return divRem(eval(binary.getLHS()), by).first;
      if (expr.getKind() == AffineExprKind::Mod && by.known)
        return divRem(eval(binary.getLHS()), by).second;
    }
    kb.fail(op, "an indexing map is too general");
    return fixed(0);
  };
  SmallVector<Coord, 4> coords;
  for (AffineExpr expr : op.getMatchingIndexingMap(&operand).getResults())
    coords.push_back(eval(expr));
  return at(operand.get(), withCoords(point, coords));
}

/// Inputs and loop indices of a body.
void Evaluator::bindBody(linalg::LinalgOp op, ArrayRef<Coord> loops, const Point &point,
                         DenseMap<Value, LaneValue> &env) {
  for (OpOperand *input : op.getDpsInputOperands())
    if (BlockArgument argument = op.getMatchingBlockArgument(input); !argument.use_empty())
      env[argument] = linalgOperand(op, *input, loops, point);
  op.getBlock()->walk([&](linalg::IndexOp index) {
    const Coord &coord = loops[index.getDim()];
    env[index.getResult()] = {coord.isUniform() ? coord.base : indices(coord)};
  });
}

/// The identity of an associative combination of floats, if `op` is one.
static std::optional<double> identityOf(Operation *op) {
  double infinity = std::numeric_limits<double>::infinity();
  return TypeSwitch<Operation *, std::optional<double>>(op)
      .Case<arith::AddFOp>([](auto) { return 0.0; })
      .Case<arith::MulFOp>([](auto) { return 1.0; })
      .Case<arith::MaximumFOp, arith::MaxNumFOp>([=](auto) { return -infinity; })
      .Case<arith::MinimumFOp, arith::MinNumFOp>([=](auto) { return infinity; })
      .Default([](Operation *) { return std::nullopt; });
}

LaneValue Evaluator::linalgReduce(linalg::LinalgOp op, unsigned result, const Point &point,
                                  SmallVector<Coord, 4> loops, ArrayRef<bool> known) {
  // Sizes of the loops that are summed over.
  SmallVector<unsigned> reduced;
  SmallVector<Size> extents;
  for (unsigned loop = 0; loop < known.size(); ++loop) {
    if (known[loop])
      continue;
    std::optional<Size> extent;
    for (OpOperand *input : op.getDpsInputOperands())
      for (auto [position, expr] : llvm::enumerate(op.getMatchingIndexingMap(input).getResults()))
        if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && dim.getPosition() == loop && !extent)
          extent = this->dim(input->get(), position);
    if (!extent)
      return unsupported(op->getResult(result), "the size of a loop is not known", point);
    reduced.push_back(loop);
    extents.push_back(*extent);
  }
  Block &body = *op.getBlock();
  Operation *yield = body.getTerminator();
  Type element = elementOf(op->getResult(result)), wide = computeType(kb, element);
  BlockArgument carried = op.getMatchingBlockArgument(&op.getDpsInitsMutable()[result]);
  Operation *combiner = yield->getOperand(result).getDefiningOp();
  bool simple = op.getNumDpsInits() == 1 && combiner && combiner->getNumOperands() == 2 &&
                carried.hasOneUse() && *carried.user_begin() == combiner;
  Value term = !simple ? Value() : combiner->getOperand(combiner->getOperand(0) == carried);
  Point outer = point;

  // A fold along the last dimension: 16 partial results.
  std::optional<double> identity = simple ? identityOf(combiner) : std::nullopt;
  if (identity && op.getNumDpsInputs() == 1 && reduced.size() == 1 && isa<FloatType>(element)) {
    ArrayRef<AffineExpr> exprs = op.getMatchingIndexingMap(op.getDpsInputOperand(0)).getResults();
    auto last = exprs.empty() ? AffineDimExpr(nullptr) : dyn_cast<AffineDimExpr>(exprs.back());
    if (last && last.getPosition() == reduced.front()) {
      auto combine = [&](Value a, Value b) {
        OperationState state(kb.loc, combiner->getName());
        state.addOperands({a, b});
        state.addTypes(a.getType());
        return kb.makeGeneric(state);
      };
      return rowValue(op, element, point, [&](const Point &row) {
        SmallVector<Coord, 4> at = loops;
        for (auto [expr, coord] : llvm::zip_equal(
                 op.getIndexingMapsArray()[op.getNumDpsInputs() + result].getResults(), row.coords))
          at[cast<AffineDimExpr>(expr).getPosition()] = coord;
        Value folded = foldRow(
            extents.front(), wide, *identity, *identity,
            [&](Coord lane, Value mask) {
              SmallVector<Coord, 4> inner = at;
              inner[reduced.front()] = lane;
              Point point{row.coords, mask, row.guarded};
              DenseMap<Value, LaneValue> env;
              bindBody(op, inner, point, env);
              env[carried] = dummy(element);
              SmallVector<LaneValue> operands = run(body, env, mask, combiner);
              LaneValue value = operands[combiner->getOperand(0) == carried];
              return LaneValue{kb.extend(value.value, wide, element)};
            },
            combine, combine);
        LaneValue init = linalgOperand(op, op.getDpsInitsMutable()[result], at, row);
        return kb.truncate(combine(kb.extend(init.value, wide, element), folded), element);
      });
    }
  }

  // In order, one element at a time; sums of products by fused multiply-add.
  auto product = term ? term.getDefiningOp<arith::MulFOp>() : arith::MulFOp();
  bool fused = simple && isa<arith::AddFOp>(combiner) && product && product->hasOneUse() &&
               !isNarrowFloat(element);
  bool uniform = isUniform(point);
  KernelBuilder::Values results;
  kb.atDepth(depthOf(point), [&] {
    KernelBuilder::Values inits;
    for (OpOperand &init : op.getDpsInitsMutable()) {
      LaneValue value = linalgOperand(op, init, loops, point);
      inits.push_back(uniform ? value.value : broadcast(value));
    }
    std::function<KernelBuilder::Values(unsigned, ValueRange)> nest =
        [&](unsigned level, ValueRange state) -> KernelBuilder::Values {
      if (level < reduced.size())
        return kb.loop(kb.c(0), extents[level].value, kb.c(1), state,
                       [&](Value index, ValueRange inner) {
                         loops[reduced[level]] = this->uniform(
                             index, 0, extents[level].known < 0 ? INT64_MAX : extents[level].known);
                         return nest(level + 1, inner);
                       });
      DenseMap<Value, LaneValue> env;
      bindBody(op, loops, point, env);
      for (auto [init, value] : llvm::zip_equal(op.getDpsInitsMutable(), state))
        env[op.getMatchingBlockArgument(&init)] = {value};
      auto shaped = [&](LaneValue value) { return uniform ? value.value : broadcast(value); };
      if (fused) {
        SmallVector<LaneValue> factors = run(body, env, point.mask, product);
        return {kb.fma(shaped(factors[0]), shaped(factors[1]), state.front())};
      }
      KernelBuilder::Values next;
      for (LaneValue value : run(body, env, point.mask))
        next.push_back(shaped(value));
      return next;
    };
    results = nest(0, inits);
  });
  return {results[result]};
}
