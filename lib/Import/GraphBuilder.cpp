//===- GraphBuilder.cpp - emits plain mathematics in graph form -------------------------------===//

#include "GraphBuilder.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include <cmath>

using namespace mlir;
using namespace ingot;
using namespace ingot::importer;

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

void GraphBuilder::enter(Block *block, Value tokens) {
  b.setInsertionPointToEnd(block);
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  tokenCount = tensor::DimOp::create(b, loc, tokens, zero);
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

Value GraphBuilder::constant(double value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(value)));
}

Value GraphBuilder::empty(RankedTensorType type) {
  SmallVector<Value> sizes(type.getNumDynamicDims(), tokenCount);
  return tensor::EmptyOp::create(b, loc, type, sizes);
}

Value GraphBuilder::fill(RankedTensorType type, Value value) {
  return linalg::FillOp::create(b, loc, value, empty(type)).getResult(0);
}

Value GraphBuilder::fill(RankedTensorType type, double value) {
  if (type.hasStaticShape())
    return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, float(value)));
  return fill(type, constant(value));
}

Value GraphBuilder::broadcast(Value x, ArrayRef<int64_t> shape, ArrayRef<int64_t> dims) {
  auto type = RankedTensorType::get(shape, typeOf(x).getElementType());
  return linalg::BroadcastOp::create(b, loc, x, empty(type), dims)->getResult(0);
}

Value GraphBuilder::transpose(Value x, ArrayRef<int64_t> permutation) {
  SmallVector<int64_t> shape;
  for (int64_t dim : permutation)
    shape.push_back(typeOf(x).getDimSize(dim));
  auto type = RankedTensorType::get(shape, typeOf(x).getElementType());
  return linalg::TransposeOp::create(b, loc, x, empty(type), permutation)->getResult(0);
}

Value GraphBuilder::splitLast(Value x, int64_t size) {
  SmallVector<int64_t> shape(typeOf(x).getShape());
  int64_t last = shape.size() - 1;
  shape.back() /= size;
  shape.push_back(size);
  SmallVector<ReassociationIndices> groups;
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim = 0; dim <= last; ++dim)
    groups.push_back({dim});
  groups.back().push_back(last + 1);
  for (int64_t dim : shape)
    sizes.push_back(dim == dynamic ? OpFoldResult(tokenCount) : b.getIndexAttr(dim));
  auto type = RankedTensorType::get(shape, typeOf(x).getElementType());
  return tensor::ExpandShapeOp::create(b, loc, type, x, groups, sizes);
}

Value GraphBuilder::joinLast(Value x) {
  int64_t rank = typeOf(x).getRank();
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0; dim + 1 < rank; ++dim)
    groups.push_back({dim});
  groups.back().push_back(rank - 1);
  return tensor::CollapseShapeOp::create(b, loc, x, groups);
}

Value GraphBuilder::sliceLast(Value x, int64_t offset, int64_t size, int64_t stride) {
  RankedTensorType type = typeOf(x);
  SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)), sizes,
      strides(type.getRank(), b.getIndexAttr(1));
  for (int64_t dim : type.getShape())
    sizes.push_back(dim == dynamic ? OpFoldResult(tokenCount) : b.getIndexAttr(dim));
  offsets.back() = b.getIndexAttr(offset);
  sizes.back() = b.getIndexAttr(size);
  strides.back() = b.getIndexAttr(stride);
  return tensor::ExtractSliceOp::create(b, loc, x, offsets, sizes, strides);
}

Value GraphBuilder::asRow(Value x) {
  RankedTensorType type = typeOf(x);
  auto row = RankedTensorType::get({1, type.getDimSize(0)}, type.getElementType());
  SmallVector<ReassociationIndices> groups = {{0, 1}};
  return tensor::ExpandShapeOp::create(b, loc, row, x, groups);
}

Value GraphBuilder::concat(ArrayRef<Value> parts, int64_t dim) {
  return parts.size() == 1 ? parts.front() : tensor::ConcatOp::create(b, loc, dim, parts);
}

Value GraphBuilder::sumLast(Value x) {
  RankedTensorType type = typeOf(x);
  int64_t last = type.getRank() - 1;
  Value zero = fill(f32(type.getShape().drop_back()), 0.0);
  return linalg::ReduceOp::create(b, loc, x, zero, ArrayRef<int64_t>{last},
                                  [](OpBuilder &b, Location loc, ValueRange args) {
                                    Value sum = arith::AddFOp::create(b, loc, args[0], args[1]);
                                    linalg::YieldOp::create(b, loc, sum);
                                  })
      ->getResult(0);
}

Value GraphBuilder::widen(Value x) {
  RankedTensorType type = typeOf(x);
  if (type.getElementType().isF32())
    return x;
  return arith::ExtFOp::create(b, loc, type.clone(b.getF32Type()), x);
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

Value GraphBuilder::add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
Value GraphBuilder::sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
Value GraphBuilder::mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
Value GraphBuilder::div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
Value GraphBuilder::add(Value x, double y) { return add(x, fill(typeOf(x), y)); }
Value GraphBuilder::mul(Value x, double y) { return y == 1 ? x : mul(x, fill(typeOf(x), y)); }
Value GraphBuilder::div(Value x, double y) { return y == 1 ? x : div(x, fill(typeOf(x), y)); }
Value GraphBuilder::tanh(Value x) { return math::TanhOp::create(b, loc, x); }

Value GraphBuilder::sigmoid(Value x) {
  Value e = math::ExpOp::create(b, loc, arith::NegFOp::create(b, loc, x));
  return div(fill(typeOf(x), 1), add(e, 1));
}

Value GraphBuilder::clamp(Value x, std::optional<double> low, std::optional<double> high) {
  if (low)
    x = arith::MaximumFOp::create(b, loc, x, fill(typeOf(x), *low));
  if (high)
    x = arith::MinimumFOp::create(b, loc, x, fill(typeOf(x), *high));
  return x;
}

Value GraphBuilder::softcap(Value x, double limit) { return mul(tanh(div(x, limit)), limit); }

Value GraphBuilder::activation(Value x, Activation kind) {
  switch (kind) {
  case Activation::Identity:
    return x;
  case Activation::Relu:
    return arith::MaximumFOp::create(b, loc, x, fill(typeOf(x), 0));
  case Activation::Relu2: {
    Value y = activation(x, Activation::Relu);
    return mul(y, y);
  }
  case Activation::Relu6:
    return clamp(x, 0, 6);
  case Activation::LeakyRelu:
    // Of x and x / 100 the greater one is x exactly where it is positive.
    return arith::MaximumFOp::create(b, loc, x, mul(x, 0.01));
  case Activation::HardSigmoid:
    return div(clamp(add(x, 3), 0, 6), 6);
  case Activation::HardSwish:
    return mul(x, activation(x, Activation::HardSigmoid));
  case Activation::Gelu: {
    Value erf = math::ErfOp::create(b, loc, mul(x, std::sqrt(0.5)));
    return mul(mul(x, 0.5), add(erf, 1));
  }
  case Activation::GeluTanh: {
    Value cube = mul(mul(x, x), x);
    Value inner = mul(add(x, mul(cube, 0.044715)), 0.79788456080286535588);
    return mul(mul(x, 0.5), add(tanh(inner), 1));
  }
  case Activation::Gelu10:
    return clamp(activation(x, Activation::Gelu), -10, 10);
  case Activation::Laplace: {
    Value centered = div(add(x, -0.707107), 0.282095 * std::sqrt(2.0));
    return mul(add(math::ErfOp::create(b, loc, centered), 1), 0.5);
  }
  case Activation::Mish: {
    // log(1 + exp(x)) without an exponential that overflows.
    Value away =
        math::ExpOp::create(b, loc, sub(fill(typeOf(x), 0), math::AbsFOp::create(b, loc, x)));
    Value softplus = add(activation(x, Activation::Relu), math::Log1pOp::create(b, loc, away));
    return mul(x, tanh(softplus));
  }
  case Activation::QuickGelu:
    return mul(x, sigmoid(mul(x, 1.702)));
  case Activation::Silu:
    return mul(x, sigmoid(x));
  case Activation::Sigmoid:
    return sigmoid(x);
  case Activation::Tanh:
    return tanh(x);
  }
  llvm_unreachable("an activation");
}

//===----------------------------------------------------------------------===//
// Building blocks
//===----------------------------------------------------------------------===//

Value GraphBuilder::embedding(Value ids, Value table) {
  RankedTensorType type = f32({typeOf(ids).getDimSize(0), typeOf(table).getDimSize(1)});
  return tfm::EmbeddingOp::create(b, loc, type, ids, table);
}

Value GraphBuilder::linear(Value x, Value weight, Value bias, bool transposed) {
  return tfm::LinearOp::create(b, loc, x, weight, bias, transposed);
}

Value GraphBuilder::rmsNormalize(Value x, double eps) {
  RankedTensorType type = typeOf(x);
  int64_t last = type.getRank() - 1;
  Value mean = div(sumLast(mul(x, x)), double(type.getDimSize(last)));
  Value scale = math::RsqrtOp::create(b, loc, add(mean, eps));
  return mul(x, broadcast(scale, type.getShape(), {last}));
}

Value GraphBuilder::layerNormalize(Value x, double eps) {
  RankedTensorType type = typeOf(x);
  int64_t last = type.getRank() - 1;
  Value mean = div(sumLast(x), double(type.getDimSize(last)));
  Value centered = sub(x, broadcast(mean, type.getShape(), {last}));
  Value variance = div(sumLast(mul(centered, centered)), double(type.getDimSize(last)));
  Value scale = math::RsqrtOp::create(b, loc, add(variance, eps));
  return mul(centered, broadcast(scale, type.getShape(), {last}));
}

/// The dimensions of a tensor of rank `rank` but for the last `kept`.
static SmallVector<int64_t> leadingDims(int64_t rank, int64_t kept) {
  return llvm::to_vector(llvm::seq<int64_t>(0, rank - kept));
}

Value GraphBuilder::mulWeight(Value x, Value w) {
  SmallVector<int64_t> dims = leadingDims(typeOf(x).getRank(), typeOf(w).getRank());
  return mul(x, broadcast(widen(w), typeOf(x).getShape(), dims));
}

Value GraphBuilder::addWeight(Value x, Value w) {
  SmallVector<int64_t> dims = leadingDims(typeOf(x).getRank(), typeOf(w).getRank());
  return add(x, broadcast(widen(w), typeOf(x).getShape(), dims));
}

Value GraphBuilder::positions(Value tokens, int64_t offset) {
  auto type = RankedTensorType::get({dynamic}, b.getI32Type());
  Value result = tfm::PositionsOp::create(b, loc, type, tokens, /*batch=*/Value());
  if (offset == 0)
    return result;
  Value by = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(offset));
  return arith::AddIOp::create(b, loc, result, fill(type, by));
}

std::pair<Value, Value> GraphBuilder::rotaryTable(Value tokens, const RotaryTable &table) {
  int64_t size = table.frequencies.size();
  auto type = RankedTensorType::get({dynamic, size}, b.getF64Type());
  auto row = [&](ArrayRef<double> values) {
    auto rowType = RankedTensorType::get({size}, b.getF64Type());
    Value constant = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(rowType, values));
    return broadcast(constant, type.getShape(), {0});
  };
  Value position = arith::SIToFPOp::create(b, loc, RankedTensorType::get({dynamic}, b.getF64Type()),
                                           positions(tokens));
  auto wide = [](ArrayRef<float> values) {
    return SmallVector<double>(values.begin(), values.end());
  };
  Value frequency = row(wide(table.frequencies));
  if (table.dependsOnLength()) {
    auto lengthType = RankedTensorType::get({dynamic}, b.getI32Type());
    Value length = tfm::PromptLengthsOp::create(b, loc, lengthType, tokens, /*batch=*/Value());
    Value change = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(table.changeLength));
    if (table.growth > 0) {
      // r = growth * max(length, changeLength) / changeLength - (growth - 1), to the power of c_i.
      length = arith::MaxSIOp::create(b, loc, length, fill(lengthType, change));
      auto rowType = RankedTensorType::get({dynamic}, b.getF64Type());
      auto number = [&](double value) {
        Value scalar = arith::ConstantOp::create(b, loc, b.getF64FloatAttr(value));
        return fill(rowType, scalar);
      };
      Value ratio = arith::SIToFPOp::create(b, loc, rowType, length);
      ratio = sub(mul(ratio, number(table.growth / double(table.changeLength))),
                  number(table.growth - 1));
      SmallVector<double> powers;
      for (int64_t i = 0; i < size; ++i)
        powers.push_back(-double(i) / double(size - 1));
      Value logarithm = math::LogOp::create(b, loc, ratio);
      Value power = mul(broadcast(logarithm, type.getShape(), {1}), row(powers));
      frequency = mul(frequency, math::ExpOp::create(b, loc, power));
    } else {
      Value isLong = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, length,
                                           fill(lengthType, change));
      frequency = arith::SelectOp::create(b, loc, broadcast(isLong, type.getShape(), {1}),
                                          row(wide(table.longFrequencies)), frequency);
    }
  }
  Value angle = mul(broadcast(position, type.getShape(), {1}), frequency);
  if (table.singleAngles) {
    Value narrow = arith::TruncFOp::create(b, loc, f32(type.getShape()), angle);
    angle = arith::ExtFOp::create(b, loc, type, narrow);
  }
  auto finish = [&](Value x) -> Value {
    if (table.magnitude != 1) {
      Value factor = arith::ConstantOp::create(b, loc, b.getF64FloatAttr(table.magnitude));
      x = mul(x, fill(type, factor));
    }
    return arith::TruncFOp::create(b, loc, f32(type.getShape()), x);
  };
  Value cos = finish(math::CosOp::create(b, loc, angle));
  Value sin = finish(math::SinOp::create(b, loc, angle));
  return {cos, sin};
}

Value GraphBuilder::rotate(Value x, Value cos, Value sin, bool interleaved) {
  RankedTensorType type = typeOf(x);
  int64_t half = typeOf(cos).getDimSize(1), size = type.getDimSize(2);
  SmallVector<int64_t> halfShape = {dynamic, type.getDimSize(1), half};
  Value c = broadcast(cos, halfShape, {1}), s = broadcast(sin, halfShape, {1});
  Value x0 = interleaved ? sliceLast(x, 0, half, 2) : sliceLast(x, 0, half);
  Value x1 = interleaved ? sliceLast(x, 1, half, 2) : sliceLast(x, half, half);
  Value y0 = sub(mul(x0, c), mul(x1, s));
  Value y1 = add(mul(x1, c), mul(x0, s));
  SmallVector<Value> parts = {y0, y1};
  if (interleaved) {
    // [S, H, R/2, 2], so that pairs are neighbours again.
    Value pairs =
        tensor::ConcatOp::create(b, loc, 3, ValueRange{splitLast(y0, 1), splitLast(y1, 1)});
    parts = {joinLast(pairs)};
  }
  if (2 * half < size)
    parts.push_back(sliceLast(x, 2 * half, size - 2 * half));
  if (parts.size() == 1)
    return parts.front();
  return tensor::ConcatOp::create(b, loc, 2, parts);
}

Value GraphBuilder::headsFirst(Value x, int64_t heads) {
  Value result = transpose(x, {1, 0, 2});
  RankedTensorType type = typeOf(result);
  int64_t own = type.getDimSize(0), size = type.getDimSize(2);
  if (own == heads)
    return result;
  // Heads of a group share a key head: [KVH, S, D] becomes [KVH, G, S, D], then [H, S, D].
  result = broadcast(result, {own, heads / own, dynamic, size}, {1});
  SmallVector<ReassociationIndices> groups = {{0, 1}, {2}, {3}};
  return tensor::CollapseShapeOp::create(b, loc, result, groups);
}

Value GraphBuilder::causalMask(Value tokens, int64_t window) {
  Value position = positions(tokens);
  Value query = broadcast(position, {dynamic, dynamic}, {1});
  Value key = broadcast(position, {dynamic, dynamic}, {0});
  Value keep = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, key, query);
  if (window == 0)
    return keep;
  Value distance = arith::SubIOp::create(b, loc, query, key);
  Value width = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(window));
  Value near = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, distance,
                                     fill(typeOf(distance), width));
  return arith::AndIOp::create(b, loc, keep, near);
}

Value GraphBuilder::roundToBF16(Value x) {
  RankedTensorType type = typeOf(x);
  Value narrow = arith::TruncFOp::create(b, loc, type.clone(b.getBF16Type()), x);
  return arith::ExtFOp::create(b, loc, type, narrow);
}

Value GraphBuilder::linearBiases(Value tokens, ArrayRef<float> slopes, bool rounded) {
  int64_t heads = slopes.size();
  SmallVector<int64_t> shape = {heads, dynamic, dynamic};
  Value slope = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(f32({heads}), slopes));
  Value position = arith::SIToFPOp::create(b, loc, f32({dynamic}), positions(tokens));
  if (rounded) {
    SmallVector<int64_t> rows = {heads, dynamic};
    Value factor = broadcast(roundToBF16(slope), rows, {1});
    Value bias = roundToBF16(mul(factor, broadcast(roundToBF16(position), rows, {0})));
    return sub(broadcast(bias, shape, {1}), broadcast(bias, shape, {2}));
  }
  Value distance = sub(broadcast(position, {dynamic, dynamic}, {0}),
                       broadcast(position, {dynamic, dynamic}, {1}));
  return mul(broadcast(slope, shape, {1, 2}), broadcast(distance, shape, {0}));
}

Value GraphBuilder::distanceSlopes(Value tokens, ArrayRef<float> slopes) {
  int64_t heads = slopes.size();
  Value position = positions(tokens);
  Value slope = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(f32({heads}), slopes));
  RankedTensorType type = f32({heads, dynamic, dynamic});
  SmallVector<AffineMap> maps;
  for (unsigned dim = 0; dim < 3; ++dim)
    maps.push_back(AffineMap::get(3, 0, b.getAffineDimExpr(dim)));
  maps.push_back(b.getMultiDimIdentityMap(3));
  SmallVector<utils::IteratorType> loops(3, utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, loc, type, ValueRange{slope, position, position}, empty(type), maps, loops,
             [](OpBuilder &b, Location loc, ValueRange args) {
               Value before = arith::SubIOp::create(b, loc, args[2], args[1]),
                     after = arith::SubIOp::create(b, loc, args[1], args[2]);
               Value distance = arith::MinSIOp::create(b, loc, before, after);
               distance = arith::SIToFPOp::create(b, loc, b.getF32Type(), distance);
               linalg::YieldOp::create(b, loc,
                                       Value(arith::MulFOp::create(b, loc, args[0], distance)));
             })
      ->getResult(0);
}

Value GraphBuilder::attention(Value q, Value k, Value v, Value scale, double cap, int64_t window,
                              Value sinks, Value bias) {
  int64_t heads = typeOf(q).getDimSize(1), valueSize = typeOf(v).getDimSize(2);
  SmallVector<int64_t> shape = {heads, dynamic, dynamic};
  Value mask = broadcast(causalMask(q, window), shape, {0});
  Value scores = tfm::MatmulOp::create(b, loc, f32(shape), headsFirst(q, heads),
                                       headsFirst(k, heads), /*transpose_b=*/true);
  if (scale)
    scores = mul(scores, fill(f32(shape), scale));
  if (cap != 0)
    scores = softcap(scores, cap);
  if (bias)
    scores = add(scores, bias);
  Value never = fill(f32(shape), -3.4028234663852886e38);
  scores = arith::SelectOp::create(b, loc, mask, scores, never);
  if (sinks) {
    // One column more, which goes into the sums and is dropped after that.
    Value column = splitLast(broadcast(widen(sinks), {heads, dynamic}, {1}), 1);
    scores = tensor::ConcatOp::create(b, loc, 2, ValueRange{scores, column});
  }
  Value weights = tfm::SoftmaxOp::create(b, loc, scores, b.getI64IntegerAttr(2));
  if (sinks) {
    SmallVector<OpFoldResult> offsets(3, b.getIndexAttr(0)), strides(3, b.getIndexAttr(1)),
        sizes = {b.getIndexAttr(heads), tokenCount, tokenCount};
    weights = tensor::ExtractSliceOp::create(b, loc, f32(shape), weights, offsets, sizes, strides);
  }
  Value result = tfm::MatmulOp::create(b, loc, f32({heads, dynamic, valueSize}), weights,
                                       headsFirst(v, heads), /*transpose_b=*/false);
  return joinLast(transpose(result, {1, 0, 2}));
}

Value GraphBuilder::nearMask(Value tokens, int64_t before, int64_t after) {
  Value position = positions(tokens);
  Value query = broadcast(position, {dynamic, dynamic}, {1});
  Value key = broadcast(position, {dynamic, dynamic}, {0});
  auto within = [&](Value from, Value to, int64_t limit) -> Value {
    if (limit == 0)
      return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, to, from);
    Value distance = arith::SubIOp::create(b, loc, to, from);
    Value most = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(limit));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, distance,
                                 fill(typeOf(distance), most));
  };
  Value keep;
  if (after >= 0)
    keep = within(query, key, after);
  if (before >= 0) {
    Value near = within(key, query, before);
    keep = keep ? Value(arith::AndIOp::create(b, loc, keep, near)) : near;
  }
  return keep;
}

/// One number per head, query and key, from the entry of their distance in `table`: `body` gets the
/// indices of head, query and key and the entry, and returns the number. `sign` is 1 for the
/// distance from query to key, -1 for that from key to query.
Value GraphBuilder::byDistance(Value tokens, int64_t heads, ArrayRef<int32_t> table, int64_t sign,
                               llvm::function_ref<Value(OpBuilder &, ValueRange, Value)> body) {
  int64_t farthest = (int64_t(table.size()) - 1) / 2;
  auto tableType = RankedTensorType::get({int64_t(table.size())}, b.getI32Type());
  Value entries = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(tableType, table));
  Value position = positions(tokens);
  RankedTensorType type = f32({heads, dynamic, dynamic});
  AffineMap query = AffineMap::get(3, 0, b.getAffineDimExpr(1)),
            key = AffineMap::get(3, 0, b.getAffineDimExpr(2));
  SmallVector<utils::IteratorType> loops(3, utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, loc, type, ValueRange{position, position}, empty(type),
             ArrayRef<AffineMap>{query, key, b.getMultiDimIdentityMap(3)}, loops,
             [&](OpBuilder &b, Location loc, ValueRange args) {
               auto number = [&](int64_t value) -> Value {
                 return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
               };
               Value from = args[0], to = args[1];
               if (sign < 0)
                 std::swap(from, to);
               Value distance = arith::SubIOp::create(b, loc, to, from);
               distance = arith::MaxSIOp::create(b, loc, distance, number(-farthest));
               distance = arith::MinSIOp::create(b, loc, distance, number(farthest));
               distance = arith::AddIOp::create(b, loc, distance, number(farthest));
               distance = arith::IndexCastOp::create(b, loc, b.getIndexType(), distance);
               Value entry = tensor::ExtractOp::create(b, loc, entries, distance);
               entry = arith::IndexCastOp::create(b, loc, b.getIndexType(), entry);
               SmallVector<Value> at;
               for (int64_t dim = 0; dim < 3; ++dim)
                 at.push_back(linalg::IndexOp::create(b, loc, dim));
               linalg::YieldOp::create(b, loc, body(b, at, entry));
             })
      ->getResult(0);
}

Value GraphBuilder::distanceBias(Value tokens, Value table, ArrayRef<int32_t> buckets) {
  return byDistance(
      tokens, typeOf(table).getDimSize(1), buckets, 1,
      [&](OpBuilder &b, ValueRange at, Value bucket) -> Value {
        Value bias = tensor::ExtractOp::create(b, loc, table, ValueRange{bucket, at[0]});
        if (bias.getType().isF32())
          return bias;
        return arith::ExtFOp::create(b, loc, b.getF32Type(), bias);
      });
}

Value GraphBuilder::relativeBias(Value tokens, Value byQuery, Value byKey, ArrayRef<int32_t> index,
                                 double scale) {
  int64_t heads = typeOf(byQuery ? byQuery : byKey).getDimSize(0);
  return byDistance(
      tokens, heads, index, -1, [&](OpBuilder &b, ValueRange at, Value entry) -> Value {
        Value sum;
        for (auto [part, token] : {std::pair(byQuery, at[1]), std::pair(byKey, at[2])}) {
          if (!part)
            continue;
          Value one = tensor::ExtractOp::create(b, loc, part, ValueRange{at[0], token, entry});
          sum = sum ? Value(arith::AddFOp::create(b, loc, sum, one)) : one;
        }
        Value factor = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(scale)));
        return arith::MulFOp::create(b, loc, sum, factor);
      });
}

Value GraphBuilder::productByHead(Value q, Value rows) {
  int64_t heads = typeOf(q).getDimSize(1), count = typeOf(rows).getDimSize(0);
  return tfm::MatmulOp::create(b, loc, f32({heads, dynamic, count}), transpose(q, {1, 0, 2}),
                               transpose(rows, {1, 0, 2}), /*transpose_b=*/true);
}

/// The mean of the rows of x [S, H, D] that `keep` keeps of query and key, or 0: attention in which
/// all scores are equal.
Value GraphBuilder::attendEqually(Value x, llvm::function_ref<Value(Value, Value)> keep) {
  Value rows = headsFirst(x, typeOf(x).getDimSize(1));
  auto op = tfm::AttentionOp::create(b, loc, typeOf(rows), rows, rows, rows, /*cache=*/Value(),
                                     /*batch=*/Value(), constant(0), /*sinks=*/Value());
  if (keep) {
    OpBuilder::InsertionGuard guard(b);
    Type index = b.getIndexType();
    Block *block = b.createBlock(&op.getMask(), {}, {index, index, index, index},
                                 SmallVector<Location>(4, loc));
    tfm::YieldOp::create(b, loc, keep(block->getArgument(2), block->getArgument(3)));
  }
  return transpose(op.getResult(), {1, 0, 2});
}

Value GraphBuilder::meanRow(Value x) { return attendEqually(x, {}); }

Value GraphBuilder::shiftRows(Value x, int64_t by) {
  return attendEqually(x, [&](Value query, Value key) -> Value {
    Value there = arith::AddIOp::create(b, loc, query, arith::ConstantIndexOp::create(b, loc, by));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, key, there);
  });
}

Value GraphBuilder::attend(Value q, Value k, Value v, double scale, Value bias, Value mask) {
  int64_t heads = typeOf(q).getDimSize(1);
  Value queries = tokenCount;
  Value keys = tensor::DimOp::create(b, loc, k, arith::ConstantIndexOp::create(b, loc, 0));
  q = headsFirst(q, heads);
  tokenCount = keys;
  k = headsFirst(k, heads);
  v = headsFirst(v, heads);
  tokenCount = queries;
  RankedTensorType type = f32({heads, dynamic, dynamic});
  auto emptyScores = [&](RankedTensorType type) -> Value {
    return tensor::EmptyOp::create(b, loc, type, ValueRange{queries, keys});
  };
  auto fillScores = [&](double value) -> Value {
    return linalg::FillOp::create(b, loc, constant(value), emptyScores(type)).getResult(0);
  };
  Value scores = tfm::MatmulOp::create(b, loc, type, q, k, /*transpose_b=*/true);
  if (scale != 1)
    scores = mul(scores, fillScores(scale));
  if (bias)
    scores = add(scores, bias);
  if (mask) {
    Value wide = linalg::BroadcastOp::create(b, loc, mask, emptyScores(type.clone(b.getI1Type())),
                                             ArrayRef<int64_t>{0})
                     ->getResult(0);
    scores = arith::SelectOp::create(b, loc, wide, scores, fillScores(-3.4028234663852886e38));
  }
  Value weights = tfm::SoftmaxOp::create(b, loc, scores, b.getI64IntegerAttr(2));
  Value result = tfm::MatmulOp::create(b, loc, f32({heads, dynamic, typeOf(v).getDimSize(2)}),
                                       weights, v, /*transpose_b=*/false);
  return joinLast(transpose(result, {1, 0, 2}));
}
