//===- Products.cpp - products of tensors, softmaxes and sizes --------------------------------===//

#include "Products.h"
#include "ElementExpr.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace ingot::tfm;

namespace ingot {

std::optional<Product> productOf(Operation *op) {
  Product product;
  unsigned count = 0;
  if (auto matmul = dyn_cast<MatmulOp>(op)) {
    product.operands[0] = matmul.getA();
    product.operands[1] = matmul.getB();
    unsigned rank = product.typeOf(0).getRank();
    for (unsigned d = 0; d + 2 < rank; ++d)
      for (auto *dims : {&product.dims[0], &product.dims[1], &product.resultDims})
        dims->push_back(d);
    unsigned m = rank - 2, n = rank - 1;
    product.sum = rank;
    product.resultDims.append({m, n});
    product.dims[0].append({m, product.sum});
    product.dims[1].append(matmul.getTransposeB() ? SmallVector<unsigned>{n, product.sum}
                                                  : SmallVector<unsigned>{product.sum, n});
    count = rank + 1;
  } else {
    auto generic = dyn_cast<linalg::LinalgOp>(op);
    if (!generic || !generic.hasPureTensorSemantics() ||
        !linalg::isaContractionOpInterface(generic) || generic.getNumReductionLoops() != 1 ||
        splatOf(generic.getDpsInitOperand(0)->get()) != 0.0 ||
        !isa<FloatType>(getElementTypeOrSelf(op->getResult(0).getType())))
      return std::nullopt;
    SmallVector<AffineMap> maps = generic.getIndexingMapsArray();
    SmallVector<unsigned> *all[] = {&product.dims[0], &product.dims[1], &product.resultDims};
    for (auto [map, dims] : llvm::zip(maps, all))
      for (AffineExpr expr : map.getResults()) {
        auto dim = dyn_cast<AffineDimExpr>(expr);
        if (!dim)
          return std::nullopt;
        dims->push_back(dim.getPosition());
      }
    for (unsigned k : {0, 1})
      product.operands[k] = generic.getDpsInputOperand(k)->get();
    SmallVector<unsigned> sums;
    generic.getReductionDims(sums);
    product.sum = sums[0];
    count = generic.getNumLoops();
  }
  product.sizes.assign(count, ShapedType::kDynamic);
  for (unsigned k : {0, 1})
    for (auto [iterator, size] : llvm::zip(product.dims[k], product.typeOf(k).getShape()))
      if (!ShapedType::isDynamic(size))
        product.sizes[iterator] = size;
  return product;
}

Value softmaxInput(Operation *op, int64_t &dim) {
  if (auto softmax = dyn_cast<SoftmaxOp>(op)) {
    dim = softmax.getDim();
    return softmax.getX();
  }
  if (auto softmax = dyn_cast<linalg::SoftmaxOp>(op)) {
    if (softmax->getNumResults() != 1)
      return {};
    dim = softmax.getDimension();
    return softmax.getInput();
  }
  return {};
}

std::pair<Value, int64_t> sizeOrigin(Value value, int64_t dim) {
  while (Operation *op = value.getDefiningOp()) {
    std::optional<std::pair<Value, int64_t>> next;
    if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
      next.emplace(transpose.getInput(), transpose.getPermutation()[dim]);
    } else if (auto broadcast = dyn_cast<linalg::BroadcastOp>(op)) {
      if (llvm::is_contained(broadcast.getDimensions(), dim))
        break;
      int64_t before =
          llvm::count_if(broadcast.getDimensions(), [&](int64_t d) { return d < dim; });
      next.emplace(broadcast.getInput(), dim - before);
    } else if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
      // The one dynamic dimension among static ones keeps its size where their product does.
      auto source = cast<RankedTensorType>(op->getOperand(0).getType());
      auto result = cast<RankedTensorType>(op->getResult(0).getType());
      bool expands = isa<tensor::ExpandShapeOp>(op);
      auto groups = expands ? cast<tensor::ExpandShapeOp>(op).getReassociationIndices()
                            : cast<tensor::CollapseShapeOp>(op).getReassociationIndices();
      RankedTensorType many = expands ? result : source;
      for (auto [k, group] : llvm::enumerate(groups)) {
        if (expands ? !llvm::is_contained(group, dim) : int64_t(k) != dim)
          continue;
        int64_t dynamic = -1, others = 1;
        for (int64_t d : group) {
          if (!many.isDynamicDim(d))
            others *= many.getDimSize(d);
          else
            dynamic = dynamic < 0 ? d : -2;
        }
        if (dynamic >= 0 && others == 1)
          next.emplace(op->getOperand(0), expands ? int64_t(k) : dynamic);
      }
    } else if (isa<tensor::CastOp, QuantizeOp, RMSNormOp, LayerNormOp, RotaryOp, SoftmaxOp>(op) ||
               (isa<LinearOp>(op) && dim + 1 < cast<RankedTensorType>(value.getType()).getRank()) ||
               (isa<EmbeddingOp, PositionsOp, PromptLengthsOp, RouteOp, ExpertLinearOp, CombineOp>(
                    op) &&
                dim == 0)) {
      if (isa<RankedTensorType>(op->getOperand(0).getType()))
        next.emplace(op->getOperand(0), dim);
    } else if (auto matmul = dyn_cast<MatmulOp>(op)) {
      int64_t last = cast<RankedTensorType>(value.getType()).getRank() - 1;
      if (dim == last)
        next.emplace(matmul.getB(), matmul.getTransposeB() ? last - 1 : last);
      else
        next.emplace(matmul.getA(), dim);
    } else if (OpTrait::hasElementwiseMappableTraits(op)) {
      for (Value operand : op->getOperands())
        if (isa<RankedTensorType>(operand.getType())) {
          next.emplace(operand, dim);
          break;
        }
    } else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
      OpFoldResult size;
      if (slice.getDroppedDims().none())
        size = slice.getMixedSizes()[dim];
      auto dimOp = size ? dyn_cast_or_null<tensor::DimOp>(llvm::dyn_cast_if_present<Value>(size)
                                                              ? cast<Value>(size).getDefiningOp()
                                                              : nullptr)
                        : tensor::DimOp();
      if (dimOp && dimOp.getConstantIndex())
        next.emplace(dimOp.getSource(), *dimOp.getConstantIndex());
    } else if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
      if (int64_t(concat.getDim()) != dim)
        next.emplace(concat.getInputs()[0], dim);
    } else if (auto empty = dyn_cast<tensor::EmptyOp>(op)) {
      if (empty.getType().isDynamicDim(dim))
        if (auto dimOp = empty.getDynamicSize(dim).getDefiningOp<tensor::DimOp>())
          if (dimOp.getConstantIndex())
            next.emplace(dimOp.getSource(), *dimOp.getConstantIndex());
    } else if (auto generic = dyn_cast<DestinationStyleOpInterface>(op)) {
      if (auto result = dyn_cast<OpResult>(value))
        next.emplace(generic.getTiedOpOperand(result)->get(), dim);
    }
    if (!next)
      break;
    std::tie(value, dim) = *next;
  }
  return {value, dim};
}

} // namespace ingot
