//===- HuggingFace.cpp - models in the layout of Hugging Face ---------------------------------===//

#include "ingot/Import/HuggingFace.h"
#include "../Safetensors.h"
#include "Families.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

/// The family that the config asks for; null after an error.
static const Family *chooseFamily(Config &config) {
  StringRef modelType = config.string("model_type", "");
  std::vector<std::string> architectures = config.strings("architectures");
  std::string supported;
  for (const Family &family : families()) {
    supported += (supported.empty() ? "" : ", ") + family.modelType.str();
    bool isNamed = any_of(architectures, [&](StringRef name) { return family.isNamed(name); });
    if (modelType.empty() ? !isNamed : modelType != family.modelType)
      continue;
    if (!architectures.empty() && !isNamed)
      config.error("architectures", "expected " + quote(family.architecture) + ", got " +
                                        quote(architectures.front()));
    return &family;
  }
  config.error("model_type", "expected one of " + supported + ", got " + quote(modelType));
  return nullptr;
}

/// What no family supports.
static void refuse(Config &config) {
  config.onlyFalse("is_encoder_decoder");
  config.onlyFalse("add_cross_attention");
  config.onlyNull("quantization_config|compression_config", "quantised weights are not supported");
  config.onlyNull("per_layer_config", "settings per layer are not supported");
  if (Config *pruned = config.child("pruned_heads"))
    if (!pruned->empty())
      config.error("pruned_heads", "expected an empty object, nothing else is supported");
}

/// The ids that begin and end a text: generation_config.json counts, then config.json.
static void readTokenIds(Config &config, Config *generation, const Family &family,
                         DecoderSpec &spec) {
  auto read = [&](StringRef name, int64_t fallback) {
    std::vector<int64_t> defaults;
    if (fallback >= 0 && fallback < spec.vocab)
      defaults.push_back(fallback);
    std::vector<int64_t> ids = config.ids(name, defaults);
    Config *source = &config;
    if (generation && generation->has(name)) {
      ids = generation->ids(name);
      source = generation;
    }
    erase_if(ids, [&](int64_t id) {
      if (id < spec.vocab)
        return false;
      source->getDiagnostics().warning(source->getFile(),
                                       "field " + quote(name) + ": " + Twine(id) +
                                           " is outside the vocabulary and was ignored");
      return true;
    });
    return ids;
  };
  spec.endIds = read("eos_token_id", family.endId);
  std::vector<int64_t> begin = read("bos_token_id", family.beginId);
  spec.beginId = begin.empty() ? -1 : begin.front();
}

/// How the model's makers sample, for chats: the field `sampling` of the model's attribute.
static mlir::NamedAttrList readSampling(mlir::MLIRContext *context, Config &generation) {
  mlir::Builder b(context);
  mlir::NamedAttrList fields;
  auto read = [&](StringRef name, double low, double high) {
    if (generation.has(name))
      fields.append(name, b.getF64FloatAttr(generation.number(name, low, high)));
  };
  if (generation.flag("do_sample", false)) {
    fields.append("temperature", b.getF64FloatAttr(generation.number("temperature", 0, 1000, 1)));
    read("top_k", -1, 1 << 24); // -1: off
    read("top_p", 0, 1);
    read("min_p", 0, 1);
  }
  read("repetition_penalty", 1e-3, 1000);
  return fields;
}

mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
ingot::importHuggingFace(mlir::MLIRContext *context, StringRef directory,
                         const ImportOptions &options, ImportReport &report) {
  Diagnostics diagnostics(options, report);
  auto pathOf = [&](StringRef file) {
    SmallString<256> path(directory);
    sys::path::append(path, file);
    return path.str().str();
  };
  bool isDirectory = sys::fs::is_directory(directory);
  if (!isDirectory && !options.weightless)
    return diagnostics.error(directory, "expected a directory with config.json");

  std::string configPath = isDirectory ? pathOf("config.json") : directory.str();
  mlir::FailureOr<json::Object> fields = readJson(configPath, diagnostics);
  if (failed(fields))
    return failure();
  Config config(configPath, *fields, diagnostics);
  mlir::FailureOr<json::Object> generationFields = failure();
  std::optional<Config> generation;
  if (sys::fs::exists(pathOf("generation_config.json"))) {
    generationFields = readJson(pathOf("generation_config.json"), diagnostics);
    if (failed(generationFields))
      return failure();
    generation.emplace(pathOf("generation_config.json"), *generationFields, diagnostics);
  }

  const Family *family = chooseFamily(config);
  if (!family)
    return failure();
  DecoderSpec spec;
  spec.modelType = family->modelType.str();
  refuse(config);
  family->fill(config, spec);
  readTokenIds(config, generation ? &*generation : nullptr, *family, spec);
  // Frequencies that grow with the prompt are for prompts beyond the length of the training.
  for (const RotaryTable &table : spec.rotaries)
    if (table.growth > 0)
      spec.context =
          std::max(spec.context, std::min(maxPositions, int64_t(double(table.changeLength) *
                                                                std::max(4.0, table.growth))));
  if (options.context > spec.context || options.context < 0)
    (void)diagnostics.error(config.getFile(), "a context of " + Twine(options.context) +
                                                  " was asked for, the model has " +
                                                  Twine(spec.context) + " positions");
  if (diagnostics.failed())
    return failure();
  if (options.context > 0)
    spec.context = options.context;

  Checkpoint checkpoint;
  checkpoint.directory = directory.str();
  if (options.weightless)
    checkpoint.tensors.promise(mlir::BFloat16Type::get(context));
  else if (failed(readCheckpoint(context, directory, checkpoint.tensors, diagnostics)))
    return failure();
  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> module =
      buildDecoder(context, spec, checkpoint, diagnostics);
  if (failed(module))
    return failure();
  if (generation)
    if (mlir::NamedAttrList sampling = readSampling(context, *generation); !sampling.empty()) {
      StringRef name = tfm::TransformerDialect::getModelAttrName();
      mlir::NamedAttrList fields(
          (*module)->getOperation()->getAttrOfType<mlir::DictionaryAttr>(name));
      fields.set("sampling", sampling.getDictionary(context));
      (*module)->getOperation()->setAttr(name, fields.getDictionary(context));
    }
  config.reportUnread([&](StringRef field) {
    return isWithoutEffect(field.substr(field.rfind('.') + 1)) ||
           is_contained(spec.fieldsWithoutEffect, field);
  });
  if (diagnostics.failed())
    return failure();
  return module;
}
