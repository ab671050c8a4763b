//===- ModuleTables.cpp - what a module gives to an artifact ----------------------------------===//

#include "ingot/Artifact/ModuleTables.h"
#include "Tables.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::artifact;

namespace {

/// Reads `tfm.model`. Fields that it does not know belong to the compiler.
class ModelReader {
public:
  explicit ModelReader(DictionaryAttr attribute) : attribute(attribute) {}

  llvm::Expected<std::unique_ptr<fb::LanguageModelT>> read();
  /// After the programs are in `head`.
  llvm::Expected<std::unique_ptr<fb::SequenceModelT>> readSequences(const fb::ArtifactT &head);

private:
  /// The integer `name` of `from`, in [low, high].
  llvm::Expected<int64_t> get(DictionaryAttr from, StringRef name, int64_t low, int64_t high,
                              std::optional<int64_t> otherwise = std::nullopt);
  llvm::Error readGroups(fb::LanguageModelT &model);

  DictionaryAttr attribute;
};

} // namespace

llvm::Expected<int64_t> ModelReader::get(DictionaryAttr from, StringRef name, int64_t low,
                                         int64_t high, std::optional<int64_t> otherwise) {
  Attribute value = from.get(name);
  if (!value && otherwise)
    return *otherwise;
  auto integer = dyn_cast_if_present<IntegerAttr>(value);
  if (!integer || !integer.getValue().isSignedIntN(64) || integer.getValue().getSExtValue() < low ||
      integer.getValue().getSExtValue() > high)
    return makeError("tfm.model: expected ", name, " to be an integer from ", low, " to ", high);
  return integer.getValue().getSExtValue();
}

llvm::Error ModelReader::readGroups(fb::LanguageModelT &model) {
  auto groups = dyn_cast_if_present<ArrayAttr>(attribute.get("cache_groups"));
  if (!groups && attribute.contains("cache_groups"))
    return makeError("tfm.model: expected cache_groups to be an array of dictionaries");
  for (Attribute element : groups ? groups.getValue() : ArrayRef<Attribute>()) {
    auto group = dyn_cast<DictionaryAttr>(element);
    if (!group)
      return makeError("tfm.model: expected cache_groups to be an array of dictionaries");
    auto result = std::make_unique<fb::CacheGroupT>();
    llvm::Expected<int64_t> bytes = get(group, "page_bytes", 64, int64_t(1) << 40);
    if (!bytes)
      return bytes.takeError();
    if (*bytes % 64)
      return makeError("tfm.model: expected page_bytes to be a multiple of 64, got ", *bytes);
    llvm::Expected<int64_t> window = get(group, "window", 0, INT32_MAX, 0);
    if (!window)
      return window.takeError();
    llvm::Expected<int64_t> layers = get(group, "layers", 0, INT32_MAX, 0);
    if (!layers)
      return layers.takeError();
    auto source = group.getAs<BoolAttr>("source");
    result->source = source && source.getValue();
    result->page_bytes = uint64_t(*bytes);
    result->window = uint64_t(*window);
    result->layers = uint32_t(*layers);
    model.cache_groups.push_back(std::move(result));
  }
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<fb::LanguageModelT>> ModelReader::read() {
  auto model = std::make_unique<fb::LanguageModelT>();
  struct Field {
    StringRef name;
    int64_t low, high;
    std::optional<int64_t> otherwise;
    int64_t value = 0;
  };
  constexpr int64_t kMaxStepRows = 1 << 24;
  Field fields[] = {{"vocab", 1, INT32_MAX, std::nullopt},
                    {"context", 1, INT32_MAX, std::nullopt},
                    {"keep", 0, INT32_MAX, 0},
                    {"max_tokens", 1, kMaxStepRows, std::nullopt},
                    {"max_outputs", 1, kMaxStepRows, std::nullopt},
                    {"begin_id", -1, INT32_MAX, -1},
                    {"start_id", -1, INT32_MAX, -1}};
  for (Field &field : fields) {
    llvm::Expected<int64_t> value =
        get(attribute, field.name, field.low, field.high, field.otherwise);
    if (!value)
      return value.takeError();
    field.value = *value;
  }
  model->vocabulary = uint32_t(fields[0].value);
  model->context = uint64_t(fields[1].value);
  model->keep = uint64_t(fields[2].value);
  model->max_tokens = uint64_t(fields[3].value);
  model->max_outputs = uint64_t(fields[4].value);
  model->begin_id = int32_t(fields[5].value);
  model->start_id = int32_t(fields[6].value);

  if (auto penalty = attribute.getAs<FloatAttr>("length_penalty"))
    model->length_penalty = penalty.getValueAsDouble();
  if (auto early = attribute.getAs<BoolAttr>("early_stopping"))
    model->early_stopping = early.getValue();
  auto policy = attribute.getAs<StringAttr>("past_context");
  auto past = llvm::StringSwitch<std::optional<fb::PastContext>>(policy ? policy.strref() : "")
                  .Case("stop", fb::PastContext::Stop)
                  .Case("slide", fb::PastContext::Slide)
                  .Case("restart", fb::PastContext::Restart)
                  .Case("unbounded", fb::PastContext::Unbounded)
                  .Default(std::nullopt);
  if (!past)
    return makeError(
        "tfm.model: expected past_context to be one of stop, slide, restart, unbounded");
  model->past_context = *past;
  if (*past == fb::PastContext::Restart && model->keep >= model->context)
    return makeError("tfm.model: expected keep to be from 0 to ", model->context - 1, ", got ",
                     model->keep);

  llvm::SmallVector<int64_t> ends;
  bool areIds = true;
  if (auto list = attribute.getAs<DenseI64ArrayAttr>("end_ids")) {
    ends.assign(list.asArrayRef().begin(), list.asArrayRef().end());
  } else if (auto array = attribute.getAs<ArrayAttr>("end_ids")) {
    for (Attribute element : array) {
      auto id = dyn_cast<IntegerAttr>(element);
      areIds &= id && id.getValue().isSignedIntN(64);
      ends.push_back(areIds ? id.getValue().getSExtValue() : 0);
    }
  } else {
    areIds = !attribute.contains("end_ids");
  }
  for (int64_t id : ends) {
    areIds &= id >= 0 && id <= INT32_MAX;
    model->end_ids.push_back(uint32_t(id));
  }
  if (!areIds)
    return makeError("tfm.model: expected end_ids to be ids");
  if (auto sampling = attribute.getAs<DictionaryAttr>("sampling")) {
    model->sampling = std::make_unique<fb::SamplingT>();
    auto number = [&](StringRef name) {
      auto value = sampling.getAs<FloatAttr>(name);
      return value ? float(value.getValueAsDouble()) : 0.0f;
    };
    model->sampling->temperature = number("temperature");
    model->sampling->top_k = uint32_t(std::max(number("top_k"), 0.0f));
    model->sampling->top_p = number("top_p");
    model->sampling->min_p = number("min_p");
    model->sampling->repetition_penalty = number("repetition_penalty");
  }
  if (llvm::Error error = readGroups(*model))
    return std::move(error);
  return std::move(model);
}

/// The outputs of whole sequences.
llvm::Expected<std::unique_ptr<fb::SequenceModelT>>
ModelReader::readSequences(const fb::ArtifactT &head) {
  auto model = std::make_unique<fb::SequenceModelT>();
  auto number = [&](StringRef name, int64_t low, auto &into) -> llvm::Error {
    llvm::Expected<int64_t> value =
        get(attribute, name, low, name == "max_tokens" ? 1 << 24 : INT32_MAX);
    if (!value)
      return value.takeError();
    into = std::remove_reference_t<decltype(into)>(*value);
    return llvm::Error::success();
  };
  if (llvm::Error error = number("vocab", 1, model->vocabulary))
    return std::move(error);
  uint32_t sourceVocab = 0;
  if (llvm::Error error = number("source_vocab", 0, sourceVocab))
    return std::move(error);
  if (sourceVocab)
    model->vocabulary = sourceVocab;
  if (llvm::Error error = number("context", 1, model->context))
    return std::move(error);
  if (llvm::Error error = number("token_types", 0, model->token_types))
    return std::move(error);
  if (llvm::Error error = number("max_tokens", 1, model->max_tokens))
    return std::move(error);
  for (Attribute element : attribute.getAs<ArrayAttr>("outputs")) {
    auto entry = dyn_cast<DictionaryAttr>(element);
    auto name = entry ? entry.getAs<StringAttr>("name") : StringAttr();
    auto function = entry ? entry.getAs<StringAttr>("function") : StringAttr();
    auto first = entry ? entry.getAs<BoolAttr>("first") : BoolAttr();
    auto program = llvm::find_if(head.programs, [&](const auto &program) {
      return function && program->name == function.getValue();
    });
    if (!name || !first || name.getValue() != cleanName(name.getValue(), "?") ||
        program == head.programs.end())
      return makeError("tfm.model: expected outputs with a name and a program");
    const fb::ProgramT &made = **program;
    if (made.inputs.size() != (model->token_types ? 2u : 1u) || made.outputs.size() != 1 ||
        made.outputs[0]->type != fb::ElementType::F32 || made.outputs[0]->shape.size() != 2 ||
        made.outputs[0]->shape[1] < 1)
      return makeError("@", made.name, ": expected ids to rows of f32");
    auto output = std::make_unique<fb::SequenceOutputT>();
    output->name = name.str();
    output->program = uint32_t(program - head.programs.begin());
    output->width = uint32_t(made.outputs[0]->shape[1]);
    output->rows = first.getValue() ? fb::OutputRows::First : fb::OutputRows::All;
    if (auto labels = entry.getAs<ArrayAttr>("labels")) {
      for (Attribute label : labels)
        if (auto text = dyn_cast<StringAttr>(label))
          output->labels.push_back(cleanName(text.getValue(), "?"));
      if (output->labels.size() != output->width)
        return makeError("tfm.model: expected a label for each element of a row of @", made.name);
    }
    auto independent = entry.getAs<BoolAttr>("independent");
    output->independent = independent && independent.getValue();
    model->outputs.push_back(std::move(output));
  }
  auto pooling = attribute.getAs<StringAttr>("pooling");
  model->pooling = llvm::StringSwitch<fb::Pooling>(pooling ? pooling.strref() : "")
                       .Case("first", fb::Pooling::First)
                       .Case("last", fb::Pooling::Last)
                       .Case("mean", fb::Pooling::Mean)
                       .Case("max", fb::Pooling::Max)
                       .Case("pooled", fb::Pooling::Pooled)
                       .Default(fb::Pooling::None);
  auto normalize = attribute.getAs<BoolAttr>("normalize");
  model->normalize = normalize && normalize.getValue();
  return std::move(model);
}

/// What every phase of a language model has: ids in, logits out.
static llvm::Error checkPhase(const fb::ProgramT &program, const fb::LanguageModelT &model) {
  auto fail = [&](StringRef what) { return makeError("@", program.name, ": expected ", what); };
  if (program.inputs.size() != 1 || program.inputs[0]->type != fb::ElementType::I32 ||
      program.inputs[0]->shape != std::vector<int64_t>{-1})
    return fail("one input, ids of type tensor<?xi32>");
  if (program.outputs.empty() || program.outputs[0]->type != fb::ElementType::F32 ||
      program.outputs[0]->shape.size() != 2 ||
      program.outputs[0]->shape[1] != int64_t(model.vocabulary))
    return fail("logits of type f32, [rows, vocabulary], as first output");
  return llvm::Error::success();
}

/// Finds the phases among the programs.
static llvm::Error setPhases(const fb::ArtifactT &head, fb::LanguageModelT &model) {
  for (auto [index, program] : llvm::enumerate(head.programs)) {
    int32_t *phase = llvm::StringSwitch<int32_t *>(program->name)
                         .Case("prefill", &model.prefill)
                         .Case("decode", &model.decode)
                         .Case("forward", &model.whole)
                         .Default(nullptr);
    if (!phase)
      continue;
    *phase = int32_t(index);
    if (llvm::Error error = checkPhase(*program, model))
      return error;
  }
  bool cached = model.prefill != -1 && model.decode != -1 && model.whole == -1;
  bool whole = model.prefill == -1 && model.decode == -1 && model.whole != -1;
  if (!cached && !whole)
    return makeError("tfm.model: expected the programs @prefill and @decode, or @forward alone");
  if (whole && !model.cache_groups.empty())
    return makeError("tfm.model: expected no cache_groups for @forward");
  return llvm::Error::success();
}

llvm::Expected<ModuleTables> artifact::buildModuleTables(ModuleOp module) {
  ModuleTables result;
  SharedTables tables;
  DictionaryAttr sequences;
  if (auto model = module->getAttr(tfm::TransformerDialect::getModelAttrName())) {
    auto dictionary = dyn_cast<DictionaryAttr>(model);
    if (!dictionary)
      return makeError("expected tfm.model to be a dictionary");
    // A model that only computes something of whole sequences has outputs and no phases.
    sequences = dictionary.getAs<ArrayAttr>("outputs") ? dictionary : DictionaryAttr();
    if (!sequences || dictionary.contains("past_context")) {
      auto language = ModelReader(dictionary).read();
      if (!language)
        return language.takeError();
      for (const auto &group : (*language)->cache_groups)
        tables.cacheGroups.push_back(*group);
      result.head.language_model = std::move(*language);
    }
  }

  llvm::StringSet<> dispatched;
  module.walk([&](plan::DispatchOp dispatch) { dispatched.insert(dispatch.getKernel()); });
  for (auto kernel : module.getOps<plan::KernelOp>()) {
    if (!dispatched.contains(kernel.getSymName()))
      continue;
    tables.kernels[kernel.getSymName()] = unsigned(result.head.kernels.size());
    auto entry = std::make_unique<fb::KernelT>();
    entry->name = kernel.getSymName().str();
    if (entry->name != cleanName(entry->name, "?"))
      return makeError("expected a kernel name without control characters", getWhere(kernel));
    result.head.kernels.push_back(std::move(entry));
  }

  for (auto program : module.getOps<plan::ProgramOp>()) {
    if (program.getSymName() != cleanName(program.getSymName(), "?"))
      return makeError("expected a program name without control characters", getWhere(program));
    auto table = buildProgram(program, tables);
    if (!table)
      return table.takeError();
    result.head.programs.push_back(std::move(*table));
  }
  if (result.head.programs.empty())
    return makeError("expected a plan.program, the module has none");
  if (result.head.language_model)
    if (llvm::Error error = setPhases(result.head, *result.head.language_model))
      return std::move(error);
  if (sequences) {
    auto model = ModelReader(sequences).readSequences(result.head);
    if (!model)
      return model.takeError();
    result.head.sequence_model = std::move(*model);
  }
  result.head.locations = tables.locations.take();
  result.weights = tables.weights.take();
  return std::move(result);
}
