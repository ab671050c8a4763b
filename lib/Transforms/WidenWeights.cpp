//===- WidenWeights.cpp - weights in blocks become weights of a type with kernels -------------===//

#include "WeightValues.h"
#include "ingot/Dialect/Plan/Utils/BlockPanels.h"
#include "ingot/Transforms/Passes.h"

namespace ingot {
#define GEN_PASS_DEF_WIDENWEIGHTS
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

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
