//===- ExprEmitter.cpp - writes element expressions as scalar operations ----------------------===//

#include "ExprEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include <cmath>

using namespace mlir;

namespace ingot {

/// tfm.attention takes scores below -1e30 for masked. What a graph replaces scores by is brought
/// to this number, which is as good as any: beside a score that counts it weighs nothing, and among
/// themselves such scores are equal, as they are for the graph.
static constexpr double kLowScore = -1e29;

/// An element that must be read with both the query and the key.
static bool readsMatrix(const Node *node, const ScoreVars &vars) {
  if (node->kind == Node::Load)
    return (node->vars >> vars.query & 1) && (node->vars >> vars.key & 1);
  return llvm::any_of(node->operands,
                      [&](const Node *operand) { return readsMatrix(operand, vars); });
}

Value ExprEmitter::indexConstant(int64_t number) {
  return arith::ConstantIndexOp::create(builder, loc, number);
}

Value ExprEmitter::constant(double number) {
  return arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(float(number)));
}

Value ExprEmitter::toF32(Value value) {
  auto type = dyn_cast<FloatType>(value.getType());
  Type f32 = builder.getF32Type();
  if (!type || type == f32)
    return value;
  if (type.getWidth() < 32)
    return arith::ExtFOp::create(builder, loc, f32, value);
  return arith::TruncFOp::create(builder, loc, f32, value);
}

Value ExprEmitter::emit(const Digit &digit) {
  if (digit.isConstant())
    return indexConstant(digit.stride);
  Value value = varValue(digit.var);
  if (digit.stride != 1)
    value = arith::DivUIOp::create(builder, loc, value, indexConstant(digit.stride));
  int64_t total = vars.sizes[digit.var];
  if (!ShapedType::isDynamic(digit.size) && digit.stride * digit.size != total)
    value = arith::RemUIOp::create(builder, loc, value, indexConstant(digit.size));
  return value;
}

Value ExprEmitter::emit(const Index &index) {
  Value value;
  for (const Digit &digit : index.digits) {
    // A dynamic digit is the highest; mergeIndices and splitIndex keep it there.
    if (value)
      value = arith::MulIOp::create(builder, loc, value, indexConstant(digit.size));
    Value part = emit(digit);
    value = value ? arith::AddIOp::create(builder, loc, value, part) : part;
  }
  if (!value)
    return indexConstant(index.offset);
  if (index.offset)
    value = arith::AddIOp::create(builder, loc, value, indexConstant(index.offset));
  return value;
}

Value ExprEmitter::emit(Node *node) {
  if (Value known = emitted.lookup(node))
    return known;
  auto load = [&]() -> Value {
    SmallVector<Value> at;
    for (const Index &index : node->indices)
      at.push_back(emit(index));
    return toF32(tensor::ExtractOp::create(builder, loc, node->origin, at));
  };
  Value value;
  switch (node->kind) {
  case Node::Leaf:
    value = leaf;
    break;
  case Node::Const:
    if (isa<FloatType>(node->type)) {
      double number = node->number;
      value = constant(std::isfinite(number) ? std::max(number, kLowScore) : number);
    } else {
      value = arith::ConstantOp::create(builder, loc,
                                        builder.getIntegerAttr(node->type, int64_t(node->number)));
    }
    break;
  case Node::Number:
    value = emit(node->indices[0]);
    if (!node->type.isIndex())
      value = arith::IndexCastOp::create(builder, loc, node->type, value);
    break;
  case Node::Load:
    value = load();
    break;
  case Node::Gather: {
    SmallVector<Value> at;
    for (Node *operand : node->operands) {
      Value index = emit(operand);
      if (!index.getType().isIndex())
        index = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), index);
      at.push_back(index);
    }
    value = toF32(tensor::ExtractOp::create(builder, loc, node->origin, at));
    break;
  }
  case Node::Scalar:
    value = toF32(node->origin);
    break;
  case Node::Op: {
    // What is already a matrix in the graph is read from there, not computed again per element.
    if (!node->hasLeaf && node->origin && readsMatrix(node, vars)) {
      value = load();
      break;
    }
    SmallVector<Value> operands;
    for (Node *operand : node->operands)
      operands.push_back(emit(operand));
    if (isFloatCast(node->op)) {
      // Scores are f32 throughout; numbers beside them keep the rounding to a narrower type.
      value = operands[0];
      if (!node->hasLeaf && node->type.getIntOrFloatBitWidth() < 32)
        value = toF32(arith::TruncFOp::create(builder, loc, node->type, value));
      break;
    }
    Type type = isa<FloatType>(node->type) ? Type(builder.getF32Type()) : node->type;
    OperationState state(loc, node->op->getName(), operands, type, node->op->getAttrs());
    value = builder.create(state)->getResult(0);
    break;
  }
  }
  emitted[node] = value;
  return value;
}

Value ExprEmitter::emit(const LinearForm &form) {
  // Positive terms on the left, negative ones and the constant on the right.
  auto side = [&](int64_t sign) {
    Value sum;
    for (auto [digit, coefficient] : form.terms) {
      if (coefficient * sign <= 0)
        continue;
      Value term = emit(digit);
      if (coefficient * sign != 1)
        term = arith::MulIOp::create(builder, loc, term, indexConstant(coefficient * sign));
      sum = sum ? arith::AddIOp::create(builder, loc, sum, term) : term;
    }
    return sum;
  };
  Value left = side(1), right = side(-1);
  if (left && right && form.constant) {
    left = arith::SubIOp::create(builder, loc, left, right);
    right = {};
  }
  if (!left)
    left = indexConstant(0);
  if (!right || form.constant) {
    Value bound = indexConstant(-form.constant);
    right = right ? arith::AddIOp::create(builder, loc, right, bound) : bound;
  }
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sle, left, right);
}

Value ExprEmitter::emit(const Predicate &predicate) {
  auto truth = [&](bool value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getBoolAttr(value));
  };
  switch (predicate.kind) {
  case Predicate::True:
  case Predicate::False:
    return truth(predicate.kind == Predicate::True);
  case Predicate::And:
  case Predicate::Or: {
    Value result;
    for (const Predicate &operand : predicate.operands) {
      Value part = emit(operand);
      if (!result)
        result = part;
      else if (predicate.kind == Predicate::And)
        result = arith::AndIOp::create(builder, loc, result, part);
      else
        result = arith::OrIOp::create(builder, loc, result, part);
    }
    return result;
  }
  case Predicate::AtMostZero:
    return emit(predicate.form);
  case Predicate::Atom: {
    Value value = emit(predicate.atom);
    return predicate.negated ? Value(arith::XOrIOp::create(builder, loc, value, truth(true)))
                             : value;
  }
  case Predicate::Table: {
    int64_t rows = predicate.bits.size() / predicate.columns;
    SmallVector<int64_t> shape;
    SmallVector<Value> at;
    if (rows > 1) {
      shape.push_back(rows);
      at.push_back(varValue(vars.query));
    }
    if (predicate.columns > 1) {
      shape.push_back(predicate.columns);
      at.push_back(varValue(vars.key));
    }
    auto type = RankedTensorType::get(shape, builder.getI1Type());
    Value table;
    {
      // Regions capture tables, they do not make them.
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPoint(builder.getInsertionBlock()->getParentOp());
      table = arith::ConstantOp::create(
          builder, loc, DenseElementsAttr::get(type, ArrayRef<bool>(predicate.bits)));
    }
    return tensor::ExtractOp::create(builder, loc, table, at);
  }
  }
  llvm_unreachable("all kinds are handled");
}

Value ExprEmitter::emit(const Factor &factor) {
  Value product;
  if (float(factor.constant) != 1.0f)
    product = constant(factor.constant);
  for (Node *node : factor.times) {
    Value value = emit(node);
    product = product ? arith::MulFOp::create(builder, loc, product, value) : value;
  }
  for (Node *node : factor.dividedBy) {
    if (!product)
      product = constant(1);
    product = arith::DivFOp::create(builder, loc, product, emit(node));
  }
  return product;
}

Value ExprEmitter::multiply(Value value, const Factor &factor) {
  if (Value number = emit(factor))
    return arith::MulFOp::create(builder, loc, value, number);
  return value;
}

} // namespace ingot
