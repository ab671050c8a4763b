//===- WidenWeights.cpp - weights in blocks become weights of a type with kernels -------------===//

#include "WeightValues.h"
#include "ingot/Dialect/Plan/Utils/BlockPanels.h"
#include "ingot/Transforms/Passes.h"
#include "llvm/Support/FormatVariadic.h"
#include <map>

namespace ingot {
#define GEN_PASS_DEF_WIDENWEIGHTS
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

namespace {
/// The weights of one format.
struct Widened {
  ParameterOp first;
  int64_t weights = 0, bytes = 0, wideBytes = 0;
};

struct WidenWeightsPass : ingot::impl::WidenWeightsBase<WidenWeightsPass> {
  void runOnOperation() override {
    SmallVector<ParameterOp> parameters;
    getOperation().walk([&](ParameterOp op) {
      auto block = dyn_cast<BlockType>(op.getResult().getType().getElementType());
      if (block && !plan::BlockPanel::get(block.getFormat()))
        parameters.push_back(op);
    });
    std::map<formats::Format, Widened> byFormat;
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
      if (convert.use_empty()) {
        convert.erase();
        continue;
      }
      ++numWidened;
      Widened &widened = byFormat[cast<BlockType>(type.getElementType()).getFormat()];
      if (!widened.weights++)
        widened.first = op;
      widened.bytes += op.getByteSize();
      widened.wideBytes += *getStorageBytes(wide);
    }
    // Where memory goes is no surprise.
    for (auto &[format, widened] : byFormat)
      widened.first.emitWarning() << widened.weights << " weights in "
                                  << StringRef(formats::getInfo(format).name)
                                  << " have no kernel of their own and are widened to f32: "
                                  << llvm::formatv(
                                         "{0:f1} MB become {1:f1} MB, the numbers stay the same",
                                         double(widened.bytes) / 1e6,
                                         double(widened.wideBytes) / 1e6)
                                         .str();
    if (failed(updateSignatures(getOperation())))
      signalPassFailure();
  }
};
} // namespace
