//===- CacheTypes.cpp - types of caches -------------------------------------------------------===//
//
// Attention on a latent has keys [latent, rotated] and the latent as values. Nothing says so but
// the graph: keys and values are *the same rows*, of which values are the first elements. To see
// it, both are followed through what keeps the number and the first elements of every row. A value
// that is all of its key keeps a place of its own: to turn it for every block costs time, and no
// model is known that has such.
//
//===----------------------------------------------------------------------------------------===//

#include "CacheTypes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace ingot;

Type ingot::getCacheElementType(StringRef name, Type asKeys) {
  MLIRContext *context = asKeys.getContext();
  return llvm::StringSwitch<Type>(name)
      .Case("", asKeys)
      .Case("f32", Float32Type::get(context))
      .Case("bf16", BFloat16Type::get(context))
      .Case("f16", Float16Type::get(context))
      .Case("int8", IntegerType::get(context, 8))
      .Default(Type());
}

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

/// Whether the rows of `value` lie along one dimension, so that their order has no other.
static bool isOneColumnOfRows(Value value) {
  return llvm::count_if(shapeOf(value).drop_back(), [](int64_t size) { return size != 1; }) <= 1;
}

/// What `value` was made of by one operation that keeps the first `count` elements of every row
/// and, counted in row-major order, its number; null where there is none.
static Value getSameRows(Value value, int64_t count) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
    // Of equally long rows there are equally many, in the same order.
    Value source = op->getOperand(0);
    ArrayRef<int64_t> before = shapeOf(source), after = shapeOf(value);
    bool keepsRows = !before.empty() && !after.empty() && before.back() == after.back() &&
                     !ShapedType::isDynamic(after.back());
    return keepsRows ? source : Value();
  }
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    Value input = transpose.getInput();
    int64_t last = shapeOf(input).size() - 1;
    return transpose.getPermutation().back() == last && isOneColumnOfRows(input) ? input : Value();
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    Value first = concat.getInputs().front();
    return int64_t(concat.getDim()) == concat.getResultType().getRank() - 1 &&
                   shapeOf(first).back() >= count
               ? first
               : Value();
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    // Of other dimensions everything, or, of rows along one dimension, the first ones.
    Value source = slice.getSource();
    if (slice.getType().getRank() != slice.getSourceType().getRank() || !slice.hasUnitStride() ||
        !llvm::all_of(slice.getMixedOffsets(),
                      [](OpFoldResult offset) { return isConstantIntValue(offset, 0); }))
      return {};
    bool all = llvm::all_of(
        llvm::zip_equal(shapeOf(source).drop_back(), shapeOf(value).drop_back()), [](auto sizes) {
          return std::get<0>(sizes) == std::get<1>(sizes) &&
                 !ShapedType::isDynamic(std::get<0>(sizes));
        });
    return all || isOneColumnOfRows(source) ? source : Value();
  }
  return {};
}

static Value getOrigin(Value value, int64_t count) {
  while (Value source = getSameRows(value, count))
    value = source;
  return value;
}

tfm::CacheType ingot::getCacheType(tfm::AttentionOp op, StringRef elementName) {
  int64_t count = op.getValueSize();
  bool valuesInKeys =
      count < op.getKeySize() &&
      getElementTypeOrSelf(op.getK().getType()) == getElementTypeOrSelf(op.getV().getType()) &&
      getOrigin(op.getK(), count) == getOrigin(op.getV(), count);
  return tfm::CacheType::get(
      op.getContext(), op.getKVHeads(), op.getKeySize(), count,
      getCacheElementType(elementName, getElementTypeOrSelf(op.getK().getType())), valuesInKeys);
}
