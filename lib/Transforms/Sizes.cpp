//===- Sizes.cpp - sizes of values in terms of other values -----------------------------------===//

#include "Sizes.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// An index that reification gave: a constant, a value that exists, or the dimension of a tensor.
Value SizeResolver::resolve(OpFoldResult size, Location loc) {
  if (auto attribute = dyn_cast<Attribute>(size))
    return arith::ConstantIndexOp::create(builder, loc, cast<IntegerAttr>(attribute).getInt());
  Value value = cast<Value>(size);
  if (auto dimOp = value.getDefiningOp<tensor::DimOp>(); dimOp && dimOp.getConstantIndex())
    return getSize(dimOp.getSource(), *dimOp.getConstantIndex());
  if (auto constant = value.getDefiningOp<arith::ConstantOp>())
    return builder.clone(*constant)->getResult(0);
  if (auto batchDim = value.getDefiningOp<BatchDimOp>())
    return BatchDimOp::create(builder, loc, map(batchDim.getBatch()), batchDim.getKind(),
                              batchDim.getWindow());
  if (Operation *op = value.getDefiningOp(); op && isa<arith::ArithDialect>(op->getDialect())) {
    IRMapping mapping;
    for (Value operand : op->getOperands())
      mapping.map(operand, resolve(operand, loc));
    return builder.clone(*op, mapping)->getResult(0);
  }
  return map(value);
}

Value SizeResolver::getSize(Value value, int64_t dim) {
  auto type = cast<RankedTensorType>(value.getType());
  Location loc = value.getLoc();
  if (!type.isDynamicDim(dim))
    return arith::ConstantIndexOp::create(builder, loc, type.getDimSize(dim));
  Operation *op = value.getDefiningOp();
  if (!op || isa<func::CallOp, plan::DispatchOp>(op))
    return leaf(value, dim);
  if (auto gather = dyn_cast<GatherOutputsOp>(op))
    return dim == 0 ? Value(BatchDimOp::create(builder, loc, map(gather.getBatch()),
                                               BatchDimKind::Outputs))
                    : getSize(gather.getX(), dim);
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    Value product;
    SmallVector<ReassociationIndices> groups = collapse.getReassociationIndices();
    for (int64_t source : groups[dim]) {
      Value factor = getSize(collapse.getSrc(), source);
      product = product ? Value(arith::MulIOp::create(builder, loc, product, factor)) : factor;
    }
    return product;
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    if (dim != int64_t(concat.getDim()))
      return getSize(concat.getInputs().front(), dim);
    Value sum;
    for (Value input : concat.getInputs()) {
      Value part = getSize(input, dim);
      sum = sum ? Value(arith::AddIOp::create(builder, loc, sum, part)) : part;
    }
    return sum;
  }
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return getSize(cast.getSource(), dim);
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
    return resolve(expand.getMixedOutputShape()[dim], loc);
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op);
      slice && slice.getType().getRank() == slice.getSourceType().getRank())
    return resolve(slice.getMixedSizes()[dim], loc);
  if (auto empty = dyn_cast<tensor::EmptyOp>(op))
    return resolve(empty.getMixedSizes()[dim], loc);
  if (auto splat = dyn_cast<tensor::SplatOp>(op))
    return resolve(splat.getDynamicSizes()[type.getDynamicDimIndex(dim)], loc);
  if (OpTrait::hasElementwiseMappableTraits(op))
    for (Value operand : op->getOperands())
      if (isa<RankedTensorType>(operand.getType()))
        return getSize(operand, dim);
  if (isa<ReifyRankedShapedTypeOpInterface>(op)) {
    // Reification emits beside the operation; what it emits is resolved and left to dead code
    // elimination.
    OpBuilder local(op);
    ReifiedRankedShapedTypeDims shapes;
    if (succeeded(reifyResultShapes(local, op, shapes)))
      return resolve(shapes[cast<OpResult>(value).getResultNumber()][dim], loc);
  }
  return leaf(value, dim);
}
