//===- KernelInterface.cpp - how a kernel receives its operands -------------------------------===//

#include "ingot/Dialect/Plan/Utils/KernelInterface.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"
#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::plan;

template <typename... Args> static llvm::Error fail(Args &&...args) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  (stream << ... << args);
  return llvm::createStringError(text);
}

llvm::Expected<KernelInterface> KernelInterface::get(FunctionType type) {
  KernelInterface result;
  SmallVector<Scalar> dims;
  auto addTensor = [&](RankedTensorType tensor, bool isResult, unsigned index) {
    result.buffers.push_back({isResult, index});
    for (auto [dim, extent] : llvm::enumerate(tensor.getShape()))
      if (ShapedType::isDynamic(extent))
        dims.push_back({ScalarKind::Dim, isResult, index, unsigned(dim)});
  };

  for (auto [index, operand] : llvm::enumerate(type.getInputs())) {
    if (auto tensor = dyn_cast<RankedTensorType>(operand)) {
      addTensor(tensor, /*isResult=*/false, index);
    } else if (isa<tfm::BatchType>(operand)) {
      if (result.batch)
        return fail("expected at most one batch operand, got operands ", *result.batch, " and ",
                    index);
      result.batch = index;
    } else if (isa<tfm::CacheType>(operand)) {
      if (result.cache)
        return fail("expected at most one cache operand, got operands ", *result.cache, " and ",
                    index);
      result.cache = index;
      result.scalars.push_back({ScalarKind::CacheOffset, false, unsigned(index)});
    } else if (operand.isIndex() ||
               (operand.isIntOrFloat() && operand.getIntOrFloatBitWidth() <= 64)) {
      result.scalars.push_back({ScalarKind::Value, false, unsigned(index)});
    } else {
      return fail("operand ", index, " has type ", operand, ", which a kernel cannot receive");
    }
  }
  if (result.cache && !result.batch)
    return fail("expected a batch operand beside the cache operand");

  bool hasCacheResult = false;
  for (auto [index, type_] : llvm::enumerate(type.getResults())) {
    if (auto tensor = dyn_cast<RankedTensorType>(type_)) {
      addTensor(tensor, /*isResult=*/true, index);
    } else if (isa<tfm::CacheType>(type_)) {
      if (hasCacheResult || !result.cache || type.getInput(*result.cache) != type_)
        return fail("expected result ", index, " to be the next version of one cache operand");
      hasCacheResult = true;
    } else {
      return fail("result ", index, " has type ", type_, ", which a kernel cannot return");
    }
  }
  result.scalars.append(dims);
  return result;
}

int64_t plan::getQueryBlock(KernelOp kernel) {
  auto schedule = kernel.getScheduleAttr();
  return schedule && schedule.getKind() == ScheduleKind::Attention ? schedule.getTileRows() : 1;
}

int64_t plan::getAttentionRecordBytes(tfm::AttentionOp op) {
  return 4 * (32 + llvm::alignTo(op.getValueSize(), kPanelKeys));
}

AttentionShape plan::getAttentionShape(KernelOp kernel) {
  AttentionShape shape;
  for (auto op : kernel.getBody().getOps<tfm::AttentionOp>()) {
    shape.heads = op.getHeads();
    shape.kvHeads = op.getKVHeads();
    // Whole rows of scores have no segments.
    auto schedule = kernel.getScheduleAttr();
    shape.recordBytes = schedule && schedule.getKeys() ? 0 : getAttentionRecordBytes(op);
    if (std::optional<tfm::CommonMask> mask = tfm::matchMask(op.getMask())) {
      shape.causal = mask->causal;
      shape.window = mask->window.value_or(0);
    }
  }
  return shape;
}

llvm::Expected<PanelLayout> PanelLayout::get(RankedTensorType type) {
  auto panels = dyn_cast_if_present<PanelsAttr>(type.getEncoding());
  Type element = type.getElementType();
  if (!panels || type.getRank() != 2 || !type.hasStaticShape())
    return fail(type, ": expected a static matrix packed in panels");
  PanelLayout layout;
  if (auto block = dyn_cast<tfm::BlockType>(element)) {
    layout.block = BlockPanel::get(block.getFormat());
    if (!layout.block)
      return fail(type, ": there are no kernels for this format");
    layout.elementBytes = block.getBlockBytes();
  } else if (!element.isIntOrFloat() || element.getIntOrFloatBitWidth() % 8) {
    return fail(type, ": expected elements of whole bytes");
  } else {
    layout.elementBytes = element.getIntOrFloatBitWidth() / 8;
  }
  layout.n = type.getDimSize(0);
  layout.k = type.getDimSize(1);
  layout.rows = panels.getRows();
  layout.parts = panels.getParts();
  layout.matrices = panels.getMatrices();
  layout.pairs = element.isBF16();
  if (layout.n % layout.matrices)
    return fail(type, ": expected rows that ", layout.matrices, " matrices divide");
  if (layout.matrixRows() % layout.parts)
    return fail(type, ": expected rows that ", layout.parts, " parts divide");
  // An upper bound of everything that is computed from the layout: all panels at full width.
  int64_t lanes = 0, bytes = 0;
  if (llvm::MulOverflow(layout.rows, layout.matrices, lanes) ||
      llvm::AddOverflow(layout.n, lanes, lanes) || layout.k == INT64_MAX ||
      llvm::MulOverflow(lanes, layout.k + 1, bytes) ||
      llvm::MulOverflow(bytes, layout.elementBytes, bytes))
    return fail(type, ": too large");
  return layout;
}
