//===- WidenWeights.cpp - weights in blocks become weights of a type with kernels -------------===//

#include "ingot/Dialect/Plan/Utils/BlockPanels.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"

namespace ingot {
#define GEN_PASS_DEF_WIDENWEIGHTS
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// Gives arguments of private functions the types that their calls pass; types change outside in.
static LogicalResult updateSignatures(ModuleOp module) {
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
      changed = true;
    }
  }
  return success();
}

namespace {
struct WidenWeightsPass : ingot::impl::WidenWeightsBase<WidenWeightsPass> {
  void runOnOperation() override {
    SmallVector<ParameterOp> parameters;
    getOperation().walk([&](ParameterOp op) {
      auto block = dyn_cast<BlockType>(op.getResult().getType().getElementType());
      if (block && !plan::BlockPanel::get(block.getFormat()))
        parameters.push_back(op);
    });
    for (ParameterOp op : parameters) {
      OpBuilder builder(op);
      builder.setInsertionPointAfter(op);
      auto type = op.getResult().getType();
      auto wide = RankedTensorType::get(type.getShape(), builder.getF32Type());
      auto convert = ConvertWeightOp::create(builder, op.getLoc(), wide, op.getResult());
      // Conversions to yet another type start from the blocks.
      op.getResult().replaceUsesWithIf(convert.getResult(), [&](OpOperand &use) {
        return !isa<ConvertWeightOp>(use.getOwner());
      });
      if (convert.use_empty())
        convert.erase();
      else
        ++numWidened;
    }
    if (failed(updateSignatures(getOperation())))
      signalPassFailure();
  }
};
} // namespace
