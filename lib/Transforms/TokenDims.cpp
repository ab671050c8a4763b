//===- TokenDims.cpp - which dimension of a value enumerates tokens ---------------------------===//

#include "TokenDims.h"
#include "ingot/Dialect/Transformer/IR/SourceAttr.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;
using namespace ingot;

//===----------------------------------------------------------------------===//
// Transfer functions: the token dimension of the result, -1 for none, failure if rows mix
//===----------------------------------------------------------------------===//

static FailureOr<int64_t> visitElementwise(ArrayRef<int64_t> operandDims) {
  int64_t dim = -1;
  for (int64_t operandDim : operandDims) {
    if (operandDim >= 0 && dim >= 0 && dim != operandDim)
      return failure();
    dim = std::max(dim, operandDim);
  }
  return dim;
}

/// Every token dimension of an input must be one and the same parallel loop.
static FailureOr<int64_t> visitLinalg(linalg::LinalgOp op, ArrayRef<int64_t> operandDims) {
  std::optional<unsigned> tokenLoop;
  for (OpOperand &operand : op->getOpOperands()) {
    int64_t dim = operandDims[operand.getOperandNumber()];
    if (dim < 0)
      continue;
    auto loop = dyn_cast<AffineDimExpr>(op.getMatchingIndexingMap(&operand).getResult(dim));
    if (!loop || (tokenLoop && *tokenLoop != loop.getPosition()))
      return failure();
    tokenLoop = loop.getPosition();
  }
  auto iterators = op.getIteratorTypesArray();
  if (tokenLoop && iterators[*tokenLoop] != utils::IteratorType::parallel)
    return failure();
  // A row number inside one step is not a position: only tfm.positions may make positions.
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  for (linalg::IndexOp index : op->getRegion(0).getOps<linalg::IndexOp>())
    if (ShapedType::isDynamic(ranges[index.getDim()]))
      return failure();
  if (!tokenLoop)
    return -1;
  AffineMap result = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  for (auto [dim, expr] : llvm::enumerate(result.getResults()))
    if (auto loop = dyn_cast<AffineDimExpr>(expr))
      if (loop.getPosition() == *tokenLoop)
        return int64_t(dim);
  return failure();
}

/// `groups` maps dimensions of the collapsed type to runs of dimensions of the expanded type;
/// tokens may only be alone in their run, beside dimensions of size 1.
static FailureOr<int64_t> visitReshape(ArrayRef<ReassociationIndices> groups,
                                       RankedTensorType expanded, int64_t dim, bool expands) {
  if (dim < 0)
    return -1;
  auto isUnit = [&](int64_t d) { return expanded.getDimSize(d) == 1; };
  for (auto [collapsed, group] : llvm::enumerate(groups)) {
    if (expands ? int64_t(collapsed) != dim : !llvm::is_contained(group, dim))
      continue;
    SmallVector<int64_t> wide;
    llvm::copy_if(group, std::back_inserter(wide), [&](int64_t d) { return !isUnit(d); });
    if (wide.size() != 1)
      return failure();
    return expands ? wide.front() : int64_t(collapsed);
  }
  return failure();
}

static FailureOr<int64_t> visitSlice(tensor::ExtractSliceOp op, int64_t dim) {
  if (dim < 0)
    return -1;
  // All tokens, in order. A dynamic size can only be that of the source: a slice of fewer tokens
  // would need an offset or arithmetic on their number, which is refused at tensor.dim.
  bool whole = isConstantIntValue(op.getMixedOffsets()[dim], 0) &&
               isConstantIntValue(op.getMixedStrides()[dim], 1) &&
               !isa<Attribute>(op.getMixedSizes()[dim]);
  llvm::SmallBitVector dropped = op.getDroppedDims();
  if (!whole || dropped.test(dim))
    return failure();
  int64_t result = dim;
  for (int64_t d = 0; d < dim; ++d)
    result -= dropped.test(d);
  return result;
}

/// The number of tokens may shape values, not be a value.
static LogicalResult checkDim(tensor::DimOp op) {
  for (Operation *user : op->getUsers())
    if (!isa<tensor::EmptyOp, tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::SplatOp,
             tensor::DimOp>(user))
      return (op.emitOpError("computes with the number of tokens, which differs between steps")
                  .attachNote(user->getLoc())
              << "see '" << user->getName() << "'");
  return success();
}

static FailureOr<int64_t> visitAttention(tfm::AttentionOp op, ArrayRef<int64_t> operandDims) {
  // [H, S, D] of one sequence: positions are rows.
  if (op.isPhaseForm() || cast<RankedTensorType>(op.getQ().getType()).getRank() != 3)
    return failure();
  for (int64_t dim : operandDims.take_front(3))
    if (dim != 1)
      return failure();
  for (int64_t dim : operandDims.drop_front(3))
    if (dim >= 0)
      return failure();
  return 1;
}

static FailureOr<int64_t> visitMatmul(tfm::MatmulOp op, ArrayRef<int64_t> operandDims) {
  int64_t rank = cast<RankedTensorType>(op.getA().getType()).getRank();
  if (operandDims[0] == rank - 1 || operandDims[1] >= 0)
    return failure();
  return operandDims[0];
}

//===----------------------------------------------------------------------===//
// The analysis
//===----------------------------------------------------------------------===//

FailureOr<TokenDims> TokenDims::compute(ArrayRef<func::FuncOp> entries) {
  TokenDims analysis;
  for (func::FuncOp entry : entries) {
    SmallVector<int64_t> arguments, ignored;
    SmallVector<bool> sources;
    for (auto [index, type] : llvm::enumerate(entry.getArgumentTypes())) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      arguments.push_back(tensor && tensor.getRank() > 0 && tensor.isDynamicDim(0) ? 0 : -1);
      sources.push_back(static_cast<bool>(entry.getArgAttr(index, tfm::getSourceAttrName())));
    }
    if (failed(analysis.analyse(entry, arguments, sources, ignored)))
      return failure();
  }
  return analysis;
}

LogicalResult TokenDims::analyse(func::FuncOp function, ArrayRef<int64_t> argumentDims,
                                 ArrayRef<bool> argumentSources,
                                 SmallVectorImpl<int64_t> &resultDims) {
  auto known = results.find(function);
  if (known != results.end()) {
    for (auto [argument, dim, source] :
         llvm::zip(function.getArguments(), argumentDims, argumentSources))
      if (get(argument) != dim || isSource(argument) != source)
        return function.emitOpError("is called with tokens in different dimensions of argument ")
               << argument.getArgNumber();
    resultDims.assign(known->second.begin(), known->second.end());
    return success();
  }
  if (function.isExternal() || !function.getBody().hasOneBlock())
    return function.emitOpError("expected a function with one block");
  if (!active.insert(function).second)
    return function.emitOpError("calls itself");
  for (auto [argument, dim, source] :
       llvm::zip(function.getArguments(), argumentDims, argumentSources)) {
    if (dim >= 0)
      dims[argument] = dim;
    if (source)
      sources.insert(argument);
  }
  for (Operation &op : function.getBody().front().without_terminator())
    if (failed(visit(&op)))
      return failure();
  for (Value result : function.getBody().front().getTerminator()->getOperands())
    resultDims.push_back(get(result));
  active.erase(function);
  results[function].assign(resultDims.begin(), resultDims.end());
  order.push_back(function);
  return success();
}

LogicalResult TokenDims::visitCall(func::CallOp call) {
  auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(call, call.getCalleeAttr());
  if (!callee)
    return call.emitOpError("expected a function named ") << call.getCalleeAttr();
  SmallVector<int64_t> arguments, callResults;
  SmallVector<bool> argumentSources;
  for (Value operand : call.getOperands()) {
    arguments.push_back(get(operand));
    argumentSources.push_back(isSource(operand));
  }
  if (failed(analyse(callee, arguments, argumentSources, callResults)))
    return failure();
  auto returned = callee.getBody().front().getTerminator()->getOperands();
  for (auto [result, dim, inner] : llvm::zip(call.getResults(), callResults, returned)) {
    if (dim >= 0)
      dims[result] = dim;
    if (isSource(inner))
      sources.insert(result);
  }
  return success();
}

LogicalResult TokenDims::visit(Operation *op) {
  if (auto call = dyn_cast<func::CallOp>(op))
    return visitCall(call);
  SmallVector<int64_t> operandDims;
  for (Value operand : op->getOperands())
    operandDims.push_back(get(operand));
  if (auto dim = dyn_cast<tensor::DimOp>(op))
    return operandDims[0] >= 0 && dim.getConstantIndex() == operandDims[0] ? checkDim(dim)
                                                                           : success();
  if (op->getNumResults() == 0 ||
      llvm::all_of(op->getResultTypes(), [](Type type) { return !isa<RankedTensorType>(type); })) {
    if (llvm::any_of(operandDims, [](int64_t dim) { return dim >= 0; }))
      return op->emitOpError("expected an operation on whole rows, cannot pack tokens through it");
    return success();
  }

  FailureOr<int64_t> dim = failure();
  if (auto tokenwise = dyn_cast<tfm::TokenwiseOpInterface>(op))
    dim = tokenwise.getTokenDim(0, operandDims);
  else if (auto attention = dyn_cast<tfm::AttentionOp>(op))
    dim = visitAttention(attention, operandDims);
  else if (auto matmul = dyn_cast<tfm::MatmulOp>(op))
    dim = visitMatmul(matmul, operandDims);
  else if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    dim = visitLinalg(linalgOp, operandDims);
  else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
    dim = visitReshape(expand.getReassociationIndices(), expand.getResultType(), operandDims[0],
                       true);
  else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
    dim = visitReshape(collapse.getReassociationIndices(), collapse.getSrcType(), operandDims[0],
                       false);
  else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
    dim = visitSlice(slice, operandDims[0]);
  else if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    dim = visitElementwise(operandDims);
    if (succeeded(dim) && *dim >= 0 && *dim == int64_t(concat.getDim()))
      dim = failure();
  } else if (OpTrait::hasElementwiseMappableTraits(op) || isa<tensor::CastOp>(op))
    dim = visitElementwise(operandDims);
  else if (llvm::all_of(operandDims, [](int64_t d) { return d < 0; }))
    dim = -1;

  if (failed(dim))
    return op->emitOpError(
        "mixes tokens of a sequence, expected each row of the result to depend on "
        "that row of the operands alone");
  // Tokens of which sequence: attention has those of its queries.
  bool own = false, source = false;
  ValueRange followed = op->getOperands();
  if (isa<tfm::AttentionOp>(op))
    followed = followed.take_front(1);
  for (Value operand : followed)
    if (get(operand) >= 0)
      (isSource(operand) ? source : own) = true;
  if (own && source)
    return op->emitOpError("mixes tokens of a sequence and of its source");
  for (Value result : op->getResults()) {
    if (*dim >= 0)
      dims[result] = *dim;
    if (source)
      sources.insert(result);
  }
  return success();
}
