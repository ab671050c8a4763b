//===- BlockClassification.cpp - which blocks of keys a mask leaves empty or full -------------===//

#include "BlockClassification.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <optional>

using namespace mlir;
using namespace ingot::codegen;

namespace {

class Classifier {
public:
  Classifier(OpBuilder &builder, Location loc, Region &mask, ArrayRef<Interval> ranges,
             function_ref<Value(Value)> captured)
      : builder(builder), loc(loc), captured(captured) {
    for (auto [argument, range] : llvm::zip(mask.getArguments(), ranges))
      integers[argument] = range;
  }

  /// Nothing: the value may be any integer.
  std::optional<Interval> integer(Value value);
  BlockClass condition(Value value);

private:
  std::optional<Interval> computeInteger(Operation *op, Value value);
  BlockClass compare(arith::CmpIOp op);
  BlockClass compareOrdered(arith::CmpIPredicate predicate, Interval a, Interval b);
  BlockClass unknown() { return {constant(true), constant(true)}; }

  Value constant(bool value) {
    return arith::ConstantOp::create(builder, loc, builder.getBoolAttr(value));
  }
  Value constant(int64_t value) {
    return arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(value));
  }
  template <typename OpTy> Value make(Value a, Value b) {
    return builder.createOrFold<OpTy>(loc, a, b);
  }
  Value cmp(arith::CmpIPredicate predicate, Value a, Value b) {
    return builder.createOrFold<arith::CmpIOp>(loc, predicate, a, b);
  }
  Value select(Value condition, Value a, Value b) {
    return builder.createOrFold<arith::SelectOp>(loc, condition, a, b);
  }
  Value both(Value a, Value b) { return make<arith::AndIOp>(a, b); }
  Value either(Value a, Value b) { return make<arith::OrIOp>(a, b); }

  OpBuilder &builder;
  Location loc;
  function_ref<Value(Value)> captured;
  llvm::DenseMap<Value, Interval> integers;
};

} // namespace

using P = arith::CmpIPredicate;

std::optional<Interval> Classifier::integer(Value value) {
  auto known = integers.find(value);
  if (known != integers.end())
    return known->second;
  IntegerAttr attr;
  if (matchPattern(value, m_Constant(&attr)) && attr.getValue().getSignificantBits() <= 64) {
    Value point = constant(attr.getValue().getSExtValue());
    return Interval{point, point};
  }
  if (Value outside = captured(value))
    return Interval{outside, outside};
  Operation *op = value.getDefiningOp();
  std::optional<Interval> result = op ? computeInteger(op, value) : std::nullopt;
  if (result)
    integers[value] = *result;
  return result;
}

std::optional<Interval> Classifier::computeInteger(Operation *op, Value value) {
  SmallVector<Interval> operands;
  if (auto choose = dyn_cast<arith::SelectOp>(op)) {
    std::optional<Interval> a = integer(choose.getTrueValue()), b = integer(choose.getFalseValue());
    if (!a || !b)
      return std::nullopt;
    return Interval{make<arith::MinSIOp>(a->low, b->low), make<arith::MaxSIOp>(a->high, b->high)};
  }
  for (Value operand : op->getOperands()) {
    if (!isa<IndexType, IntegerType>(operand.getType()))
      return std::nullopt;
    std::optional<Interval> range = integer(operand);
    if (!range)
      return std::nullopt;
    operands.push_back(*range);
  }
  IntegerAttr divisor;
  bool byPositive = op->getNumOperands() == 2 &&
                    matchPattern(op->getOperand(1), m_Constant(&divisor)) &&
                    divisor.getValue().isStrictlyPositive();
  using Result = std::optional<Interval>;
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case<arith::AddIOp>([&](auto) -> Result {
        return Interval{make<arith::AddIOp>(operands[0].low, operands[1].low),
                        make<arith::AddIOp>(operands[0].high, operands[1].high)};
      })
      .Case<arith::SubIOp>([&](auto) -> Result {
        return Interval{make<arith::SubIOp>(operands[0].low, operands[1].high),
                        make<arith::SubIOp>(operands[0].high, operands[1].low)};
      })
      .Case<arith::MulIOp>([&](auto) -> Result {
        Value low, high;
        for (Value a : {operands[0].low, operands[0].high})
          for (Value b : {operands[1].low, operands[1].high}) {
            Value product = make<arith::MulIOp>(a, b);
            low = low ? make<arith::MinSIOp>(low, product) : product;
            high = high ? make<arith::MaxSIOp>(high, product) : product;
          }
        return Interval{low, high};
      })
      .Case<arith::MinSIOp>([&](auto) -> Result {
        return Interval{make<arith::MinSIOp>(operands[0].low, operands[1].low),
                        make<arith::MinSIOp>(operands[0].high, operands[1].high)};
      })
      .Case<arith::MaxSIOp>([&](auto) -> Result {
        return Interval{make<arith::MaxSIOp>(operands[0].low, operands[1].low),
                        make<arith::MaxSIOp>(operands[0].high, operands[1].high)};
      })
      .Case<arith::DivSIOp, arith::FloorDivSIOp, arith::CeilDivSIOp>([&](auto division) -> Result {
        // Not decreasing in the dividend.
        if (!byPositive)
          return std::nullopt;
        using OpTy = decltype(division);
        return Interval{make<OpTy>(operands[0].low, operands[1].low),
                        make<OpTy>(operands[0].high, operands[1].low)};
      })
      .Case<arith::RemUIOp>([&](auto) -> Result {
        if (!byPositive)
          return std::nullopt;
        return Interval{constant(int64_t(0)), constant(divisor.getValue().getSExtValue() - 1)};
      })
      .Case<arith::IndexCastOp, arith::ExtSIOp>([&](auto cast) -> Result {
        // A cast to fewer bits would wrap; positions have at most 32.
        Type from = cast.getIn().getType();
        bool narrows = cast.getType().isInteger() && cast.getType().getIntOrFloatBitWidth() < 32;
        return narrows || from.isInteger(1) ? Result() : Result(operands[0]);
      })
      .Default([](Operation *) -> Result { return std::nullopt; });
}

BlockClass Classifier::compareOrdered(P predicate, Interval a, Interval b) {
  switch (predicate) {
  case P::slt:
    return {cmp(P::slt, a.low, b.high), cmp(P::sge, a.high, b.low)};
  case P::sle:
    return {cmp(P::sle, a.low, b.high), cmp(P::sgt, a.high, b.low)};
  case P::sgt:
    return compareOrdered(P::slt, b, a);
  case P::sge:
    return compareOrdered(P::sle, b, a);
  case P::eq: {
    Value meet = both(cmp(P::sle, a.low, b.high), cmp(P::sle, b.low, a.high));
    Value differ = either(cmp(P::ne, a.low, b.high), cmp(P::ne, a.high, b.low));
    return {meet, differ};
  }
  case P::ne: {
    BlockClass equal = compareOrdered(P::eq, a, b);
    return {equal.mayDrop, equal.mayKeep};
  }
  default:
    return unknown();
  }
}

BlockClass Classifier::compare(arith::CmpIOp op) {
  std::optional<Interval> a = integer(op.getLhs()), b = integer(op.getRhs());
  if (!a || !b)
    return unknown();
  P predicate = op.getPredicate(), asSigned = predicate;
  switch (predicate) {
  case P::ult:
    asSigned = P::slt;
    break;
  case P::ule:
    asSigned = P::sle;
    break;
  case P::ugt:
    asSigned = P::sgt;
    break;
  case P::uge:
    asSigned = P::sge;
    break;
  default:
    return compareOrdered(predicate, *a, *b);
  }
  // Where nothing is negative, both orders are the same; elsewhere nothing is said.
  BlockClass result = compareOrdered(asSigned, *a, *b);
  Value zero = constant(int64_t(0));
  Value negative = either(cmp(P::slt, a->low, zero), cmp(P::slt, b->low, zero));
  return {either(result.mayKeep, negative), either(result.mayDrop, negative)};
}

BlockClass Classifier::condition(Value value) {
  IntegerAttr attr;
  if (matchPattern(value, m_Constant(&attr)))
    return {constant(!attr.getValue().isZero()), constant(attr.getValue().isZero())};
  Operation *op = value.getDefiningOp();
  if (!op)
    return unknown();
  if (auto compareOp = dyn_cast<arith::CmpIOp>(op))
    return compareOp.getLhs().getType().isInteger(1) ? unknown() : compare(compareOp);
  if (auto andOp = dyn_cast<arith::AndIOp>(op)) {
    BlockClass a = condition(andOp.getLhs()), b = condition(andOp.getRhs());
    return {both(a.mayKeep, b.mayKeep), either(a.mayDrop, b.mayDrop)};
  }
  if (auto orOp = dyn_cast<arith::OrIOp>(op)) {
    BlockClass a = condition(orOp.getLhs()), b = condition(orOp.getRhs());
    return {either(a.mayKeep, b.mayKeep), both(a.mayDrop, b.mayDrop)};
  }
  if (auto notOp = dyn_cast<arith::XOrIOp>(op); notOp && matchPattern(notOp.getRhs(), m_One())) {
    BlockClass a = condition(notOp.getLhs());
    return {a.mayDrop, a.mayKeep};
  }
  if (auto choose = dyn_cast<arith::SelectOp>(op)) {
    BlockClass c = condition(choose.getCondition()), a = condition(choose.getTrueValue()),
               b = condition(choose.getFalseValue());
    return {either(both(c.mayKeep, a.mayKeep), both(c.mayDrop, b.mayKeep)),
            either(both(c.mayKeep, a.mayDrop), both(c.mayDrop, b.mayDrop))};
  }
  return unknown();
}

BlockClass ingot::codegen::classifyBlock(OpBuilder &builder, Location loc, Region &mask,
                                         ArrayRef<Interval> ranges,
                                         function_ref<Value(Value)> captured) {
  Classifier classifier(builder, loc, mask, ranges, captured);
  if (mask.empty()) {
    Value yes = arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true));
    Value no = arith::ConstantOp::create(builder, loc, builder.getBoolAttr(false));
    return {yes, no};
  }
  return classifier.condition(mask.front().getTerminator()->getOperand(0));
}
