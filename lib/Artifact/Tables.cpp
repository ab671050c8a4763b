//===- Tables.cpp - the tables that programs share ------------------------------------------===//

#include "Tables.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::artifact;

//===----------------------------------------------------------------------===//
// Locations
//===----------------------------------------------------------------------===//

namespace {
/// What a location names, each once, in order.
struct LocationParts {
  llvm::SmallVector<std::string> names, callers, places;

  static void add(llvm::SmallVectorImpl<std::string> &to, const std::string &text) {
    if (!llvm::is_contained(to, text))
      to.push_back(text);
  }

  void collect(Location location) {
    llvm::TypeSwitch<Location>(location)
        .Case<NameLoc>([&](NameLoc name) { add(names, name.getName().str()); })
        .Case<FusedLoc>([&](FusedLoc fused) {
          for (Location part : fused.getLocations())
            collect(part);
        })
        .Case<CallSiteLoc>([&](CallSiteLoc call) {
          collect(call.getCallee());
          LocationParts caller;
          caller.collect(call.getCaller());
          for (const auto *part : {&caller.names, &caller.callers})
            for (const std::string &text : *part)
              add(callers, text);
        })
        .Case<OpaqueLoc>([&](OpaqueLoc opaque) { collect(opaque.getFallbackLocation()); })
        .Case<FileLineColRange>([&](FileLineColRange file) {
          add(places, ("line " + llvm::Twine(file.getStartLine()) + ":" +
                       llvm::Twine(file.getStartColumn()))
                          .str());
        });
  }
};
} // namespace

std::string artifact::describeLocation(Location location) {
  LocationParts parts;
  parts.collect(location);
  const auto &names = parts.names.empty() ? parts.places : parts.names;
  std::string text = llvm::join(names, ", ");
  if (!parts.callers.empty())
    text += (text.empty() ? "" : " at ") + llvm::join(parts.callers, ", ");
  return text;
}

std::string artifact::getWhere(Operation *op) {
  std::string text = describeLocation(op->getLoc());
  return text.empty() ? text : " (" + text + ")";
}

unsigned LocationTable::add(Location location) {
  auto [entry, isNew] = numbers.try_emplace(describeLocation(location), texts.size());
  if (isNew)
    texts.push_back(entry->getKey().str());
  return entry->second;
}

//===----------------------------------------------------------------------===//
// Names and types
//===----------------------------------------------------------------------===//

std::string artifact::cleanName(StringRef name, StringRef otherwise) {
  std::string result = (name.empty() ? otherwise : name).str();
  for (char &c : result)
    if (static_cast<unsigned char>(c) < 0x20)
      c = '?';
  return result;
}

fb::ElementType artifact::getElementType(Type type) {
  if (type.isF32())
    return fb::ElementType::F32;
  if (type.isF64())
    return fb::ElementType::F64;
  if (type.isF16())
    return fb::ElementType::F16;
  if (type.isBF16())
    return fb::ElementType::BF16;
  auto integer = dyn_cast<IntegerType>(type);
  if (!integer)
    return fb::ElementType::None;
  if (integer.isUnsigned())
    return integer.getWidth() == 8 ? fb::ElementType::U8 : fb::ElementType::None;
  switch (integer.getWidth()) {
  case 1:
    return fb::ElementType::I1;
  case 8:
    return fb::ElementType::I8;
  case 16:
    return fb::ElementType::I16;
  case 32:
    return fb::ElementType::I32;
  case 64:
    return fb::ElementType::I64;
  }
  return fb::ElementType::None;
}

int64_t artifact::getElementBytes(fb::ElementType type) {
  switch (type) {
  case fb::ElementType::None:
    return 0;
  case fb::ElementType::I1:
  case fb::ElementType::I8:
  case fb::ElementType::U8:
    return 1;
  case fb::ElementType::F16:
  case fb::ElementType::BF16:
  case fb::ElementType::I16:
    return 2;
  case fb::ElementType::F32:
  case fb::ElementType::I32:
    return 4;
  case fb::ElementType::F64:
  case fb::ElementType::I64:
    return 8;
  }
  return 0;
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

bool WeightTable::isWeight(Value value) {
  Operation *op = value.getDefiningOp();
  return isa_and_nonnull<tfm::ParameterOp, tfm::ConvertWeightOp, tfm::ScaleWeightOp, plan::PackOp>(
             op) ||
         (isa_and_nonnull<arith::ConstantOp>(op) && isa<RankedTensorType>(value.getType()));
}

/// Bytes of a tensor that is stored row by row.
static llvm::Expected<uint64_t> getRowsBytes(RankedTensorType type) {
  if (!type.hasStaticShape() || type.getRank() > kMaxRank)
    return makeError(type, " has no static shape of at most ", kMaxRank, " dimensions");
  if (std::optional<int64_t> bytes = tfm::getStorageBytes(type))
    return uint64_t(*bytes);
  return makeError(type, " is too large");
}

llvm::Expected<WeightSource> WeightTable::getSource(Value value, llvm::raw_ostream &key) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getEncoding())
    return makeError("expected a weight that is not packed, got ", type);
  WeightSource source;
  llvm::Expected<uint64_t> length = getRowsBytes(type);
  if (!length)
    return length.takeError();
  source.length = *length;
  if (auto convert = value.getDefiningOp<tfm::ConvertWeightOp>()) {
    if (convert.getWeight().getDefiningOp<tfm::ConvertWeightOp>())
      return makeError("expected a weight that is converted once, got one that was ",
                       convert.getWeight().getType(), " before");
    key << "as " << type << (convert.getTransposed() ? " transposed " : " ");
    llvm::Expected<WeightSource> inner = getSource(convert.getWeight(), key);
    if (!inner)
      return inner.takeError();
    inner->conversion = {
        *tfm::getStorageFormat(getElementTypeOrSelf(convert.getWeight().getType())),
        *tfm::getStorageFormat(type.getElementType()), inner->length, type.getShape().back(),
        convert.getTransposed()};
    inner->length = *length;
    return inner;
  }
  if (auto scaled = value.getDefiningOp<tfm::ScaleWeightOp>()) {
    key << "scaled " << type << ' ' << scaled.getBlockRows() << ' ' << scaled.getBlockColumns()
        << ' ';
    if (!scaled.getWeight().getDefiningOp<tfm::ParameterOp>() ||
        !scaled.getScales().getDefiningOp<tfm::ParameterOp>())
      return makeError("expected a weight and scales that are parameters");
    llvm::Expected<WeightSource> inner = getSource(scaled.getWeight(), key);
    if (!inner)
      return inner.takeError();
    llvm::Expected<WeightSource> scales = getSource(scaled.getScales(), key);
    if (!scales)
      return scales.takeError();
    inner->scales = {scaled.getScaling(), *tfm::getStorageFormat(type.getElementType()),
                     scales->file,        scales->offset,
                     scales->length,      inner->length};
    inner->length = *length;
    return inner;
  }
  if (auto parameter = value.getDefiningOp<tfm::ParameterOp>()) {
    source.name = cleanName(parameter.getName(), "weight");
    source.file = parameter.getFile().str();
    source.offset = parameter.getOffset();
    if (source.file.empty())
      return makeError("expected parameter ", source.name, " to name a file");
    // Lengths before texts: no file name can imitate another key.
    key << "file " << source.file.size() << ' ' << source.file << ' ' << source.offset << ' '
        << type << '\n';
    return source;
  }

  auto constant = value.getDefiningOp<arith::ConstantOp>();
  if (!constant)
    return makeError("expected a tfm.parameter or a constant, got ",
                     value.getDefiningOp() ? value.getDefiningOp()->getName().getStringRef()
                                           : "a program argument");
  key << "constant " << constant.getValue().getAsOpaquePointer() << '\n';
  if (auto dense = dyn_cast<DenseElementsAttr>(constant.getValue())) {
    if (type.getElementType().isInteger(1)) {
      // MLIR may hold eight of them in a byte; in memory each is one.
      if (dense.isSplat())
        source.storage.push_back(dense.getSplatValue<bool>());
      else
        for (bool element : dense.getValues<bool>())
          source.storage.push_back(element);
      source.constant = source.storage;
    } else {
      source.constant = dense.getRawData();
    }
  } else if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant.getValue())) {
    if (AsmResourceBlob *blob = resource.getRawHandle().getBlob())
      source.constant = blob->getData();
  }
  if (source.constant.size() != source.length &&
      source.constant.size() !=
          size_t(getElementBytes(artifact::getElementType(type.getElementType()))))
    return makeError("expected ", source.length, " bytes of a constant, got ",
                     source.constant.size());
  return source;
}

llvm::Expected<unsigned> WeightTable::add(Value value) {
  auto entry = known.find(value);
  if (entry != known.end())
    return entry->second;

  auto type = cast<RankedTensorType>(value.getType());
  auto pack = value.getDefiningOp<plan::PackOp>();
  Weight weight;
  // Blocks are bytes to the runtime: the layout says what they are.
  auto block = dyn_cast<tfm::BlockType>(type.getElementType());
  weight.type = block ? fb::ElementType::U8 : getElementType(type.getElementType());
  weight.elementBytes = getElementBytes(weight.type);
  if (!weight.elementBytes)
    return makeError("expected elements that an artifact can hold, got ", type);
  weight.shape.assign(type.getShape().begin(), type.getShape().end());
  if (block)
    weight.shape.back() = formats::bytesOf(block.getFormat(), weight.shape.back());
  weight.transposed = pack && pack.getTransposed();

  std::string key;
  llvm::raw_string_ostream keyStream(key);
  keyStream << type << (weight.transposed ? " transposed\n" : "\n");
  SmallVector<Value> sources;
  if (pack)
    sources.assign(pack.getSources().begin(), pack.getSources().end());
  else
    sources.push_back(value);
  for (Value sourceValue : sources) {
    llvm::Expected<WeightSource> source = getSource(sourceValue, keyStream);
    if (!source)
      return source.takeError();
    if (!source->name.empty())
      weight.name += (weight.name.empty() ? "" : "+") + source->name;
    weight.sources.push_back(std::move(*source));
  }

  auto [number, isNew] = numbers.try_emplace(key, weights.size());
  known[value] = number->second;
  if (!isNew)
    return number->second;

  if (weight.name.empty())
    weight.name = "constant " + std::to_string(weights.size());
  if (pack && type.getEncoding()) {
    llvm::Expected<plan::PanelLayout> panels = plan::PanelLayout::get(type);
    if (!panels)
      return panels.takeError();
    weight.panels = *panels;
    weight.length = uint64_t(panels->bytes());
    weight.layout.clear();
    llvm::raw_string_ostream layout(weight.layout);
    layout << type.getEncoding();
    if (block)
      layout << " of " << StringRef(formats::getInfo(block.getFormat()).name);
  } else if (weight.transposed) {
    return makeError("expected a transposed matrix to be packed in panels, got ", type);
  } else {
    llvm::Expected<uint64_t> length = getRowsBytes(type);
    if (!length)
      return length.takeError();
    weight.length = *length;
  }
  // Storage of constants moves with its vector: the bytes stay where they are.
  weights.push_back(std::move(weight));
  return number->second;
}
