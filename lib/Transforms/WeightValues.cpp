//===- WeightValues.cpp - which values are known when the artifact is written -----------------===//

#include "WeightValues.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;
using namespace ingot;

static bool isTensorConstant(Operation *op) {
  auto constant = dyn_cast<arith::ConstantOp>(op);
  return constant && isa<RankedTensorType>(constant.getType()) &&
         !isa<SplatElementsAttr>(constant.getValue());
}

WeightValues::WeightValues(ModuleOp module) {
  SymbolTable symbols(module);
  // Assume that every argument of a called private function is a weight, then take back.
  llvm::DenseMap<Operation *, SmallVector<func::CallOp>> calls;
  module.walk([&](func::CallOp call) { calls[symbols.lookup(call.getCallee())].push_back(call); });
  module.walk([&](func::FuncOp function) {
    if (function.isPrivate() && !function.isExternal() && calls.contains(function))
      for (BlockArgument argument : function.getArguments())
        if (auto type = dyn_cast<RankedTensorType>(argument.getType());
            type && type.hasStaticShape())
          weights.insert(argument);
  });
  for (bool changed = true; changed;) {
    changed = false;
    module.walk([&](Operation *op) {
      if (op->getNumResults() != 1 || weights.contains(op->getResult(0)))
        return;
      bool isWeight =
          isa<tfm::ParameterOp>(op) || isTensorConstant(op) ||
          (isa<tensor::ConcatOp, plan::PackOp, tfm::ConvertWeightOp, tfm::ScaleWeightOp>(op) &&
           llvm::all_of(op->getOperands(), [&](Value v) { return weights.contains(v); }));
      if (isWeight)
        changed |= weights.insert(op->getResult(0)).second;
    });
    // An argument stays a weight while every call passes one; taking one back can only remove
    // concatenations and conversions, which are then recomputed.
    bool removed = false;
    for (auto &[callee, sites] : calls)
      for (func::CallOp call : sites)
        for (auto [operand, argument] :
             llvm::zip(call.getOperands(), cast<func::FuncOp>(callee).getArguments()))
          if (weights.contains(argument) && !weights.contains(operand))
            removed |= weights.erase(argument);
    if (removed) {
      changed = true;
      module.walk([&](Operation *op) {
        if (isa<tensor::ConcatOp, tfm::ConvertWeightOp, tfm::ScaleWeightOp>(op))
          weights.erase(op->getResult(0));
      });
    }
  }
}

/// Gives concatenations the element type of what they join, and the shape where that was turned.
static void updateJoined(Operation *root) {
  root->walk([](tensor::ConcatOp concat) {
    Type element = getElementTypeOrSelf(concat.getInputs().front().getType());
    bool same = llvm::all_of(concat.getInputs(), [&](Value input) {
      return getElementTypeOrSelf(input.getType()) == element;
    });
    if (!same || concat.getResultType().getElementType() == element)
      return;
    SmallVector<int64_t> shape(cast<ShapedType>(concat.getInputs().front().getType()).getShape());
    int64_t &joined = shape[concat.getDim()] = 0;
    for (Value input : concat.getInputs())
      joined += cast<ShapedType>(input.getType()).getDimSize(concat.getDim());
    concat.getResult().setType(RankedTensorType::get(shape, element));
  });
}

// Types change outside in.
LogicalResult ingot::updateSignatures(ModuleOp module) {
  updateJoined(module);
  SymbolTable symbols(module);
  SmallVector<func::CallOp> calls;
  module.walk([&](func::CallOp call) { calls.push_back(call); });
  llvm::DenseSet<Operation *> settled;
  for (bool changed = true; changed;) {
    changed = false;
    for (func::CallOp call : calls) {
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      if (callee.isExternal() || callee.getArgumentTypes() == call.getOperandTypes())
        continue;
      // A second call that passes other types would undo the first one's.
      if (!callee.isPrivate() || !settled.insert(callee).second)
        return call.emitError("expected all calls to pass weights of the same types");
      for (auto [argument, type] : llvm::zip(callee.getArguments(), call.getOperandTypes()))
        argument.setType(type);
      callee.setFunctionType(
          FunctionType::get(module.getContext(), call.getOperandTypes(), callee.getResultTypes()));
      updateJoined(callee);
      changed = true;
    }
  }
  return success();
}
