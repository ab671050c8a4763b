//===- CacheLayout.cpp - where keys and values lie in a page of the cache ---------------------===//

#include "ingot/Dialect/Plan/Utils/CacheLayout.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::plan;

llvm::Expected<CacheLayout> CacheLayout::get(tfm::CacheType type) {
  CacheLayout layout;
  layout.heads = type.getHeads();
  layout.keySize = type.getKeySize();
  layout.valueSize = type.getValueSize();
  layout.elementBytes = type.getElementType().getIntOrFloatBitWidth() / 8;
  layout.pairs = type.getElementType().isBF16();
  layout.scaled = type.getElementType().isInteger(8);
  layout.valuesInKeys = type.getValuesInKeys();
  // An upper bound of everything below: 8 bytes per element and 1 KiB per head.
  int64_t width = 0, bytes = 0;
  if (llvm::AddOverflow(layout.keySize, layout.valueSize, width) ||
      llvm::AddOverflow<int64_t>(width, 16, width) ||
      llvm::MulOverflow<int64_t>(width, 8 * kPagePositions, bytes) ||
      llvm::MulOverflow(bytes, layout.heads, bytes)) {
    std::string text;
    llvm::raw_string_ostream(text) << type << ": too large";
    return llvm::createStringError(text);
  }
  layout.keyDims = layout.pairs ? llvm::alignTo(layout.keySize, 2) : layout.keySize;
  layout.panelBytes = layout.keyDims * kPanelKeys * layout.elementBytes;
  layout.valuesOffset = kPagePositions / kPanelKeys * layout.panelBytes;
  layout.headBytes = layout.valuesOffset;
  if (!layout.valuesInKeys)
    layout.headBytes += kPagePositions * layout.valueSize * layout.elementBytes;
  if (layout.scaled) {
    layout.keyScalesOffset = layout.valueScalesOffset = layout.headBytes;
    layout.headBytes += kPagePositions * 4;
    if (!layout.valuesInKeys) {
      layout.valueScalesOffset = layout.headBytes;
      layout.headBytes += kPagePositions * 4;
    }
  }
  layout.layerBytes = layout.heads * layout.headBytes;
  return layout;
}

llvm::Expected<int64_t> plan::getCachePageBytes(tfm::CacheType type) {
  llvm::Expected<CacheLayout> layout = CacheLayout::get(type);
  if (!layout)
    return layout.takeError();
  return layout->layerBytes;
}
