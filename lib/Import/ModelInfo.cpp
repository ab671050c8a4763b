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

namespace {
/// Fields of a dictionary. The first that is missing or of another type is an error of the module.
class FieldReader {
public:
  FieldReader(ModuleOp module, DictionaryAttr fields, StringRef path)
      : module(module), fields(fields), path(path) {}

  bool has(StringRef name) const { return bool(fields.get(name)); }
  bool hasFailed() const { return failed; }

  template <typename AttrT> AttrT get(StringRef name, StringRef kind) {
    auto attr = fields.getAs<AttrT>(name);
    if (!attr)
      fail(name, kind);
    return attr;
  }
  int64_t integer(StringRef name) {
    auto attr = fields.getAs<IntegerAttr>(name);
    if (attr && attr.getType().isInteger(64))
      return attr.getInt();
    fail(name, "an i64");
    return 0;
  }
  bool flag(StringRef name) {
    auto attr = get<BoolAttr>(name, "true or false");
    return attr && attr.getValue();
  }
  std::string text(StringRef name) {
    auto attr = get<StringAttr>(name, "a string");
    return attr ? attr.str() : std::string();
  }
  std::vector<std::string> texts(StringRef name) {
    std::vector<std::string> result;
    auto list = get<ArrayAttr>(name, "a list of strings");
    for (Attribute entry : list ? list.getValue() : ArrayRef<Attribute>()) {
      auto text = dyn_cast<StringAttr>(entry);
      if (!text)
        fail(name, "a list of strings");
      else
        result.push_back(text.str());
    }
    return result;
  }
  void fail(StringRef name, StringRef expected) {
    if (failed)
      return;
    failed = true;
    InFlightDiagnostic error = module.emitError("field '")
                               << path << name << "' of "
                               << tfm::TransformerDialect::getModelAttrName() << ": expected "
                               << expected;
    if (Attribute attr = fields.get(name))
      error << ", got " << attr;
  }

private:
  ModuleOp module;
  DictionaryAttr fields;
  std::string path;
  bool failed = false;
};
} // namespace

static std::optional<ModelOutput> readOutput(FieldReader &fields) {
  ModelOutput output;
  output.name = fields.text("name");
  output.function = fields.text("function");
  output.firstRowOnly = fields.flag("first");
  output.width = fields.integer("width");
  if (fields.has("labels"))
    output.labels = fields.texts("labels");
  if (fields.has("independent"))
    output.independent = fields.flag("independent");
  if (fields.hasFailed())
    return std::nullopt;
  return output;
}

FailureOr<ModelInfo> ModelInfo::get(ModuleOp module) {
  StringRef name = tfm::TransformerDialect::getModelAttrName();
  auto dict = module->getAttrOfType<DictionaryAttr>(name);
  if (!dict)
    return module.emitError("expected a dictionary ") << name;
  ModelInfo info;
  FieldReader fields(module, dict, "");
  info.modelType = fields.text("model_type");
  info.vocab = fields.integer("vocab");
  info.context = fields.integer("context");
  info.learnedPositions = fields.flag("learned_positions");
  info.window = fields.integer("window");
  if (auto ends = fields.get<DenseI64ArrayAttr>("end_ids", "a list of i64"))
    info.endIds.assign(ends.asArrayRef().begin(), ends.asArrayRef().end());
  info.beginId = fields.integer("begin_id");
  info.layers = fields.integer("layers");
  info.hidden = fields.integer("hidden");
  info.heads = fields.integer("heads");
  info.kvHeads = fields.integer("kv_heads");
  info.headDim = fields.integer("head_dim");
  if (fields.has("outputs")) {
    info.tokenTypes = fields.integer("token_types");
    info.startId = fields.integer("start_id");
    info.sourceVocab = fields.integer("source_vocab");
    auto outputs = fields.get<ArrayAttr>("outputs", "a list of dictionaries");
    for (auto [i, attr] : llvm::enumerate(outputs ? outputs.getValue() : ArrayRef<Attribute>())) {
      auto entry = dyn_cast<DictionaryAttr>(attr);
      if (!entry) {
        fields.fail("outputs", "a list of dictionaries");
        break;
      }
      FieldReader outputFields(module, entry, ("outputs[" + Twine(i) + "].").str());
      std::optional<ModelOutput> output = readOutput(outputFields);
      if (!output)
        return failure();
      info.outputs.push_back(std::move(*output));
    }
  }
  if (fields.has("length_penalty"))
    if (auto penalty = fields.get<FloatAttr>("length_penalty", "a number"))
      info.lengthPenalty = penalty.getValueAsDouble();
  if (fields.has("early_stopping"))
    info.earlyStopping = fields.flag("early_stopping");
  if (fields.has("pooling"))
    info.pooling = fields.text("pooling");
  if (!llvm::is_contained({"", "first", "last", "mean", "max", "pooled"}, StringRef(info.pooling)))
    fields.fail("pooling", "first, last, mean, max or pooled");
  if (fields.has("normalize"))
    info.normalize = fields.flag("normalize");
  if (fields.hasFailed())
    return failure();
  return info;
}
