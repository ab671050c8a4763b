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
  if (outputs.empty())
    return b.getDictionaryAttr(fields);
  SmallVector<Attribute> list;
  for (const ModelOutput &output : outputs) {
    NamedAttrList entry;
    entry.append("name", b.getStringAttr(output.name));
    entry.append("function", b.getStringAttr(output.function));
    entry.append("first", b.getBoolAttr(output.firstRowOnly));
    entry.append("width", b.getI64IntegerAttr(output.width));
    if (!output.labels.empty()) {
      SmallVector<StringRef> labels(output.labels.begin(), output.labels.end());
      entry.append("labels", b.getStrArrayAttr(labels));
      entry.append("independent", b.getBoolAttr(output.independent));
    }
    list.push_back(entry.getDictionary(context));
  }
  NamedAttrList all(fields);
  all.append("outputs", b.getArrayAttr(list));
  all.append("token_types", b.getI64IntegerAttr(tokenTypes));
  all.append("start_id", b.getI64IntegerAttr(startId));
  all.append("length_penalty", b.getF64FloatAttr(lengthPenalty));
  all.append("early_stopping", b.getBoolAttr(earlyStopping));
  all.append("pooling", b.getStringAttr(pooling));
  all.append("normalize", b.getBoolAttr(normalize));
  all.append("source_vocab", b.getI64IntegerAttr(sourceVocab));
  return all.getDictionary(context);
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
  auto outputs = dict.getAs<ArrayAttr>("outputs");
  if (outputs)
    number("token_types", info.tokenTypes), number("start_id", info.startId),
        number("source_vocab", info.sourceVocab);
  for (Attribute attr : outputs ? outputs.getValue() : ArrayRef<Attribute>()) {
    auto entry = dyn_cast<DictionaryAttr>(attr);
    auto name = entry ? entry.getAs<StringAttr>("name") : StringAttr();
    auto function = entry ? entry.getAs<StringAttr>("function") : StringAttr();
    auto first = entry ? entry.getAs<BoolAttr>("first") : BoolAttr();
    auto width = entry ? entry.getAs<IntegerAttr>("width") : IntegerAttr();
    if (!name || !function || !first || !width)
      return failure();
    ModelOutput output;
    output.name = name.str();
    output.function = function.str();
    output.firstRowOnly = first.getValue();
    output.width = width.getInt();
    if (auto labels = entry.getAs<ArrayAttr>("labels"))
      for (auto label : labels.getAsRange<StringAttr>())
        output.labels.push_back(label.str());
    if (auto independent = entry.getAs<BoolAttr>("independent"))
      output.independent = independent.getValue();
    info.outputs.push_back(output);
  }
  if (auto penalty = dict.getAs<FloatAttr>("length_penalty"))
    info.lengthPenalty = penalty.getValueAsDouble();
  if (auto early = dict.getAs<BoolAttr>("early_stopping"))
    info.earlyStopping = early.getValue();
  if (auto pooling = dict.getAs<StringAttr>("pooling"))
    info.pooling = pooling.str();
  if (auto normalize = dict.getAs<BoolAttr>("normalize"))
    info.normalize = normalize.getValue();
  if (!complete || !type || !learned || !ends)
    return failure();
  info.modelType = type.str();
  info.learnedPositions = learned.getValue();
  info.endIds.assign(ends.asArrayRef().begin(), ends.asArrayRef().end());
  return info;
}
