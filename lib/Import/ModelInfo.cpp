//===- ModelInfo.cpp - what later stages need to know of a language model ---------------------===//

#include "ingot/Import/ModelInfo.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace ingot;

DictionaryAttr ModelInfo::toAttr(MLIRContext *context) const {
  Builder b(context);
  NamedAttribute fields[] = {
      b.getNamedAttr("model_type", b.getStringAttr(modelType)),
      b.getNamedAttr("vocab", b.getI64IntegerAttr(vocab)),
      b.getNamedAttr("context", b.getI64IntegerAttr(this->context)),
      b.getNamedAttr("learned_positions", b.getBoolAttr(learnedPositions)),
      b.getNamedAttr("window", b.getI64IntegerAttr(window)),
      b.getNamedAttr("end_ids", b.getDenseI64ArrayAttr(endIds)),
      b.getNamedAttr("begin_id", b.getI64IntegerAttr(beginId)),
      b.getNamedAttr("layers", b.getI64IntegerAttr(layers)),
      b.getNamedAttr("hidden", b.getI64IntegerAttr(hidden)),
      b.getNamedAttr("heads", b.getI64IntegerAttr(heads)),
      b.getNamedAttr("kv_heads", b.getI64IntegerAttr(kvHeads)),
      b.getNamedAttr("head_dim", b.getI64IntegerAttr(headDim)),
  };
  return b.getDictionaryAttr(fields);
}

FailureOr<ModelInfo> ModelInfo::get(ModuleOp module) {
  auto dict = module->getAttrOfType<DictionaryAttr>(tfm::TransformerDialect::getModelAttrName());
  if (!dict)
    return failure();
  ModelInfo info;
  bool complete = true;
  auto number = [&](StringRef name, int64_t &field) {
    auto attr = dict.getAs<IntegerAttr>(name);
    complete &= attr && attr.getType().isInteger(64);
    if (complete)
      field = attr.getInt();
  };
  number("vocab", info.vocab);
  number("context", info.context);
  number("window", info.window);
  number("begin_id", info.beginId);
  number("layers", info.layers);
  number("hidden", info.hidden);
  number("heads", info.heads);
  number("kv_heads", info.kvHeads);
  number("head_dim", info.headDim);
  auto type = dict.getAs<StringAttr>("model_type");
  auto learned = dict.getAs<BoolAttr>("learned_positions");
  auto ends = dict.getAs<DenseI64ArrayAttr>("end_ids");
  if (!complete || !type || !learned || !ends)
    return failure();
  info.modelType = type.str();
  info.learnedPositions = learned.getValue();
  info.endIds.assign(ends.asArrayRef().begin(), ends.asArrayRef().end());
  return info;
}
