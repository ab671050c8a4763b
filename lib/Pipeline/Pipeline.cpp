//===- Pipeline.cpp - the passes from a plain graph to an execution plan ----------------------===//

#include "ingot/Pipeline/Pipeline.h"
#include "ingot/Import/ModelInfo.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace ingot;

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

ArrayRef<Stage> ingot::getStages() {
  static const Stage stages[] = {Stage::Input, Stage::Graph, Stage::Phases, Stage::Dispatches,
                                 Stage::Plan};
  return stages;
}

StringRef ingot::getStageName(Stage stage) {
  switch (stage) {
  case Stage::Input:
    return "input";
  case Stage::Graph:
    return "graph";
  case Stage::Phases:
    return "phases";
  case Stage::Dispatches:
    return "dispatches";
  case Stage::Plan:
    return "plan";
  }
  llvm_unreachable("all stages are handled");
}

std::optional<Stage> ingot::parseStage(StringRef name) {
  for (Stage stage : getStages())
    if (getStageName(stage) == name)
      return stage;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Language models
//===----------------------------------------------------------------------===//

static bool isLanguageModel(ModuleOp module) {
  return module->hasAttr(tfm::TransformerDialect::getModelAttrName());
}

/// Whether the model continues texts; otherwise it only computes something of whole sequences.
static bool hasDecoder(ModuleOp module) {
  return static_cast<bool>(module.lookupSymbol<func::FuncOp>("forward"));
}

static StringRef getName(PastContext policy) {
  switch (policy) {
  case PastContext::Default:
    return "unbounded";
  case PastContext::Stop:
    return "stop";
  case PastContext::Slide:
    return "slide";
  case PastContext::Restart:
    return "restart";
  }
  llvm_unreachable("all policies are handled");
}

/// A table of positions has to start again at its end; a model that looks back only so far can go
/// on for ever; otherwise nothing is known beyond the context.
static PastContext chooseDefault(const ModelInfo &model) {
  // A text with a source is no stream: it ends.
  if (!model.outputs.empty())
    return model.learnedPositions ? PastContext::Stop : PastContext::Default;
  if (model.learnedPositions)
    return PastContext::Restart;
  return model.window > 0 ? PastContext::Default : PastContext::Stop;
}

LogicalResult ingot::configureModel(ModuleOp module, const PipelineOptions &options) {
  if (!isLanguageModel(module)) {
    if (options.context || options.pastContext != PastContext::Default || options.keep)
      return module.emitError("has no context: it is a plain graph, not a language model");
    return success();
  }
  FailureOr<ModelInfo> model = ModelInfo::get(module);
  if (failed(model))
    return failure();
  Builder builder(module.getContext());
  auto name = tfm::TransformerDialect::getModelAttrName();
  NamedAttrList attributes(module->getAttrOfType<DictionaryAttr>(name));
  attributes.set("max_tokens", builder.getI64IntegerAttr(options.maxTokens));
  int64_t context = options.context ? options.context : model->context;
  if (context < 1 || (model->learnedPositions && context > model->context))
    return module.emitError("expected a context of 1 to ")
           << model->context << " positions, got " << context;
  attributes.set("context", builder.getI64IntegerAttr(context));
  if (!hasDecoder(module)) {
    if (options.pastContext != PastContext::Default || options.keep)
      return module.emitError("has no past context: it sees whole sequences");
    module->setAttr(name, attributes.getDictionary(module.getContext()));
    return success();
  }
  PastContext policy =
      options.pastContext == PastContext::Default ? chooseDefault(*model) : options.pastContext;
  bool hasSource = static_cast<bool>(module.lookupSymbol<func::FuncOp>("encode"));
  if (hasSource && (policy == PastContext::Slide || policy == PastContext::Restart))
    return module.emitError("expected past-context stop, others would forget what the text began "
                            "with, got ")
           << getName(policy);
  if (hasSource && !options.kvCache)
    return module.emitError("needs a cache: it reads keys and values of its source from one");
  int64_t keep = options.keep ? options.keep : std::max<int64_t>(context / 2, 1);
  if (policy == PastContext::Restart && (context < 2 || keep < 1 || keep >= context))
    return module.emitError("expected to keep 1 to ")
           << context - 1 << " tokens on restart, got " << keep;

  attributes.set("past_context", builder.getStringAttr(getName(policy)));
  attributes.set("keep", builder.getI64IntegerAttr(policy == PastContext::Restart ? keep : 0));
  attributes.set("max_outputs", builder.getI64IntegerAttr(options.maxOutputs));
  module->setAttr(name, attributes.getDictionary(module.getContext()));
  return success();
}

LogicalResult ingot::checkModel(ModuleOp module) {
  return success(!isLanguageModel(module) || succeeded(ModelInfo::get(module)));
}

//===----------------------------------------------------------------------===//
// Passes
//===----------------------------------------------------------------------===//

static void cleanUp(PassManager &manager) {
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
}

static void addGraphPasses(PassManager &manager, const PipelineOptions &options) {
  manager.addPass(createWidenWeights());
  // Rotary first: raising moves transpositions into the rotation's neighbourhood.
  manager.addNestedPass<func::FuncOp>(createFuseRotary());
  RaiseAttentionOptions raise;
  raise.require = options.requireFused;
  manager.addPass(createRaiseAttention(raise));
  manager.addNestedPass<func::FuncOp>(createFuseNorms());
  cleanUp(manager);
  manager.addNestedPass<func::FuncOp>(createFuseLinears());
  cleanUp(manager);
}

static void addPhasePasses(PassManager &manager, ModuleOp module, const PipelineOptions &options) {
  auto model = module->getAttrOfType<DictionaryAttr>(tfm::TransformerDialect::getModelAttrName());
  if (!model) {
    manager.addNestedPass<func::FuncOp>(createInsertShapeChecks());
    PackAttentionOptions pack;
    pack.cacheType = options.cacheType;
    manager.addPass(createPackAttention(pack));
    cleanUp(manager);
    return;
  }
  auto policy = model.getAs<StringAttr>("past_context");
  if (policy && policy.getValue() == "slide") {
    SlideContextOptions slide;
    slide.window = model.getAs<IntegerAttr>("context").getInt();
    manager.addPass(createSlideContext(slide));
  }
  InsertKVCacheOptions cache;
  cache.cacheType = options.cacheType;
  cache.roundQueries = options.activations != "f32";
  if (!hasDecoder(module)) {
    cache.transient = true;
    cache.entryName = "";
    manager.addPass(createInsertKVCache(cache));
    manager.addPass(createCheckCaches());
    cleanUp(manager);
    return;
  }
  bool hasSource = static_cast<bool>(module.lookupSymbol<func::FuncOp>("encode"));
  if (hasSource) {
    manager.addPass(createSplitSource());
    InsertKVCacheOptions encoder;
    encoder.transient = true;
    encoder.entryName = "encode";
    encoder.cacheType = options.cacheType;
    encoder.roundQueries = cache.roundQueries;
    manager.addPass(createInsertKVCache(encoder));
  }
  cache.transient = !options.kvCache;
  manager.addPass(createInsertKVCache(cache));
  manager.addPass(createCheckCaches());
  cleanUp(manager);
  if (options.kvCache)
    manager.addPass(createSplitPhases());
  cleanUp(manager);
}

static void addDispatchPasses(PassManager &manager, const PipelineOptions &options) {
  manager.addPass(createFormDispatches());
  cleanUp(manager);
  SelectScheduleOptions schedule;
  schedule.attentionForm = options.attentionForm;
  manager.addPass(createSelectSchedule(schedule));
  cleanUp(manager);
}

static void addPlanPasses(PassManager &manager) {
  manager.addPass(createPlanBuffers());
  cleanUp(manager);
  manager.addPass(createCheckCaches());
}

void ingot::buildFormatPipeline(PassManager &manager, const PipelineOptions &options) {
  ChooseFormatsOptions formats;
  formats.weights.assign(options.weights.begin(), options.weights.end());
  formats.activations = options.activations;
  manager.addPass(createChooseFormats(formats));
}

void ingot::readFormats(ModuleOp module, PipelineOptions &options) {
  auto model = module->getAttrOfType<DictionaryAttr>(tfm::TransformerDialect::getModelAttrName());
  auto chosen = model ? model.getAs<StringAttr>("activations") : StringAttr();
  if (chosen)
    options.activations = chosen.str();
  else if (options.activations == "auto")
    options.activations = "f32";
  if (options.cacheType.empty() && options.activations != "f32")
    options.cacheType = "bf16";
}

void ingot::buildPipeline(PassManager &manager, ModuleOp module, const PipelineOptions &options,
                          Stage from, Stage to) {
  auto runs = [&](Stage stage) { return from < stage && stage <= to; };
  if (runs(Stage::Graph))
    addGraphPasses(manager, options);
  if (runs(Stage::Phases))
    addPhasePasses(manager, module, options);
  if (runs(Stage::Dispatches))
    addDispatchPasses(manager, options);
  if (runs(Stage::Plan))
    addPlanPasses(manager);
}
