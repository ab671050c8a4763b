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

/// The narrowest plain floats that hold every number of the format: powers of two times small
/// integers fit bf16, a scale in f16 and its negative f16.
static Type widenedType(OpBuilder &builder, formats::Format format) {
  switch (format) {
  case formats::Format::MXFP4:
    return builder.getBF16Type();
  case formats::Format::TQ1_0:
  case formats::Format::TQ2_0:
    return builder.getF16Type();
  default:
    return builder.getF32Type();
  }
}

namespace {
/// The weights of one format.
struct Widened {
  ParameterOp first;
  Type wide;
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
      formats::Format format = cast<BlockType>(type.getElementType()).getFormat();
      auto wide = RankedTensorType::get(type.getShape(), widenedType(builder, format));
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
      Widened &widened = byFormat[format];
      if (!widened.weights++) {
        widened.first = op;
        widened.wide = wide.getElementType();
      }
      widened.bytes += op.getByteSize();
      widened.wideBytes += *getStorageBytes(wide);
    }
    // Where memory goes is no surprise.
    for (auto &[format, widened] : byFormat)
      widened.first.emitWarning()
          << widened.weights << " weights in " << StringRef(formats::getInfo(format).name)
          << " have no kernel of their own and are widened to " << widened.wide << ": "
          << llvm::formatv("{0:f1} MB become {1:f1} MB, the numbers stay the same",
                           double(widened.bytes) / 1e6, double(widened.wideBytes) / 1e6)
                 .str();
    if (failed(updateSignatures(getOperation())))
      signalPassFailure();
  }
};
} // namespace
