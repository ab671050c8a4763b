//===- HuggingFace.cpp - models in the layout of Hugging Face ---------------------------------===//

#include "ingot/Import/HuggingFace.h"
#include "../Safetensors.h"
#include "EncoderDecoderFamilies.h"
#include "EncoderFamilies.h"
#include "Families.h"
#include "Quantized.h"
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
  for (const EncoderDecoderFamily &family : encoderDecoderFamilies())
    supported += ", " + family.modelType.str();
  for (const EncoderFamily &family : encoderFamilies())
    supported += ", " + family.modelType.str();
  config.error("model_type", "expected one of " + supported + ", got " + quote(modelType));
  return nullptr;
}

/// The encoder that the config asks for, and what comes after its name in the class; null if it
/// asks for none.
static const EncoderFamily *findEncoder(Config &config, std::string &head) {
  StringRef modelType = config.string("model_type", "");
  std::vector<std::string> architectures = config.strings("architectures");
  StringRef architecture = architectures.empty() ? StringRef() : StringRef(architectures.front());
  for (const EncoderFamily &family : encoderFamilies()) {
    StringRef rest = architecture;
    bool fits =
        rest.consume_front(family.className) && (rest == "Model" || rest.starts_with("For"));
    if (modelType.empty() ? !fits : modelType != family.modelType)
      continue;
    if (!fits && family.byClassAlone)
      continue;
    if (!fits && !architecture.empty()) {
      // Relatives share their code: a file of one may name a class of another.
      rest = architecture;
      size_t at = std::min(rest.find("For"), rest.find("Model"));
      rest = at == StringRef::npos ? rest : rest.drop_front(at);
    }
    head = architecture.empty() ? "Model" : rest.str();
    return &family;
  }
  return nullptr;
}

/// What encoders do not support.
static void refuseQuantization(Config &config) {
  config.onlyNull("quantization_config|compression_config", "quantised weights are not supported");
}

/// What no family supports. `encoderDecoder`: whether the model is one, nothing where files of it
/// say either.
static void refuse(Config &config, std::optional<bool> encoderDecoder = false) {
  if (encoderDecoder == false)
    config.onlyFalse("is_encoder_decoder");
  else if (encoderDecoder && !config.flag("is_encoder_decoder", true))
    config.error("is_encoder_decoder", "expected true in this family");
  config.onlyFalse("add_cross_attention");
  config.onlyNull("per_layer_config", "settings per layer are not supported");
  if (Config *pruned = config.child("pruned_heads"))
    if (!pruned->empty())
      config.error("pruned_heads", "expected an empty object, nothing else is supported");
}

/// The ids of a field of generation_config.json, which counts, or of config.json.
static std::vector<int64_t> readIds(Config &config, Config *generation, StringRef name,
                                    std::vector<int64_t> fallback, int64_t vocab) {
  erase_if(fallback, [&](int64_t id) { return id < 0 || id >= vocab; });
  std::vector<int64_t> ids = config.ids(name, fallback);
  Config *source = &config;
  if (generation && generation->has(name)) {
    ids = generation->ids(name);
    source = generation;
  }
  erase_if(ids, [&](int64_t id) {
    if (id < vocab)
      return false;
    if (name == "eos_token_id") { // texts would not end
      source->error(name, "expected ids below the vocabulary size " + Twine(vocab) + ", got " +
                              Twine(id));
      return true;
    }
    source->getDiagnostics().warning(source->getFile(),
                                     "field " + quote(name) + ": " + Twine(id) +
                                         " is outside the vocabulary and was ignored");
    return true;
  });
  return ids;
}

static int64_t firstOr(ArrayRef<int64_t> ids, int64_t fallback) {
  return ids.empty() ? fallback : ids.front();
}

/// The names of classes 0, 1, ...; none where the file does not name all of them.
static std::vector<std::string> readLabels(Config &config) {
  const json::Value *value = config.value("id2label");
  const json::Object *names = value ? value->getAsObject() : nullptr;
  std::vector<std::string> labels;
  for (size_t i = 0; names && i < names->size(); ++i) {
    std::optional<StringRef> name = names->getString(std::to_string(i));
    if (!name || name->empty())
      return {};
    labels.push_back(name->str());
  }
  return labels;
}

/// Whether a CrossEncoder of sentence-transformers takes its scores as they are.
static bool scoresAreRaw(Config &config) {
  StringRef name = config.string("sbert_ce_default_activation_function", "");
  if (const json::Value *value = config.value("sentence_transformers"))
    if (const json::Object *fields = value->getAsObject())
      name = fields->getString("activation_fn").value_or(name);
  return name.ends_with("Identity");
}

/// The tensors of the checkpoint and of the folders beside it.
static LogicalResult readEncoderTensors(mlir::MLIRContext *context, StringRef directory,
                                        const EncoderSpec &spec, TensorTable &tensors,
                                        Diagnostics &diagnostics) {
  if (failed(readCheckpoint(context, directory, tensors, diagnostics)))
    return failure();
  for (const std::string &folder : spec.folders) {
    TensorTable own;
    if (failed(
            readSafetensors(context, directory, folder + "/model.safetensors", own, diagnostics)))
      return failure();
    for (const auto &[name, info] : own)
      tensors.add(folder + "." + name, info);
  }
  return success();
}

static mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
importEncoder(mlir::MLIRContext *context, StringRef directory, const EncoderFamily &family,
              StringRef head, Config &config, const ImportOptions &options,
              Diagnostics &diagnostics) {
  EncoderSpec spec;
  refuseQuantization(config);
  spec.modelType = family.modelType.str();
  refuse(config, family.byClassAlone ? std::nullopt : std::optional(false));
  family.fill(config, head, spec);
  if ((head == "ForSequenceClassification" || head == "ForTokenClassification") &&
      !spec.heads.empty()) {
    spec.heads.back().labels = readLabels(config);
    // The score of one label is a number of its own, unless it is a measure of something.
    StringRef problem = config.string("problem_type", "");
    spec.heads.back().independent =
        problem == "multi_label_classification" ||
        (spec.heads.back().labels.size() == 1 && problem != "regression" && !scoresAreRaw(config));
  }
  readSentenceTransformers(directory, spec, diagnostics);
  if (diagnostics.failed() ||
      failed(chooseContext(options.context, spec.context, config.getFile(), diagnostics)))
    return failure();
  Checkpoint checkpoint;
  checkpoint.directory = directory.str();
  if (options.weightless)
    checkpoint.tensors.promise(mlir::BFloat16Type::get(context));
  else if (failed(readEncoderTensors(context, directory, spec, checkpoint.tensors, diagnostics)))
    return failure();
  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> module =
      buildEncoder(context, spec, checkpoint, diagnostics);
  if (failed(module))
    return failure();
  config.reportUnread([&](StringRef field) {
    return isWithoutEffect(field) || is_contained(spec.fieldsWithoutEffect, field) ||
           // Without a head there is nothing to tie; a head has read it.
           field == "tie_word_embeddings" || field == "bos_token_id" || field == "eos_token_id" ||
           field == "architectures";
  });
  if (diagnostics.failed())
    return failure();
  return module;
}

/// The encoder-decoder that the config asks for; null if it asks for none.
static const EncoderDecoderFamily *findEncoderDecoder(Config &config) {
  StringRef modelType = config.string("model_type", "");
  std::vector<std::string> architectures = config.strings("architectures");
  for (const EncoderDecoderFamily &family : encoderDecoderFamilies()) {
    bool fits = is_contained(architectures, family.architecture);
    if (modelType.empty() ? !fits : modelType != family.modelType)
      continue;
    if (!architectures.empty() && !fits)
      config.error("architectures", "expected " + quote(family.architecture) + ", got " +
                                        quote(architectures.front()));
    return &family;
  }
  return nullptr;
}

static mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
importEncoderDecoder(mlir::MLIRContext *context, StringRef directory,
                     const EncoderDecoderFamily &family, Config &config, Config *generation,
                     const ImportOptions &options, Diagnostics &diagnostics) {
  EncoderDecoderSpec spec;
  refuseQuantization(config);
  spec.modelType = family.modelType.str();
  refuse(config, /*encoderDecoder=*/true);
  family.fill(config, spec);
  spec.endIds = readIds(config, generation, "eos_token_id", {family.endId}, spec.vocab);
  spec.beginId =
      firstOr(readIds(config, generation, "bos_token_id", {family.beginId}, spec.vocab), -1);
  spec.startId =
      firstOr(readIds(config, generation, "decoder_start_token_id", {family.startId}, spec.vocab),
              spec.beginId);
  for (Config *source : {&config, generation})
    if (source && source->has("length_penalty"))
      spec.lengthPenalty = source->number("length_penalty", -100, 100);
  // "never", the third value, differs from false in how long a search goes on at most.
  for (Config *source : {&config, generation})
    if (source && source->has("early_stopping") && !source->isString("early_stopping"))
      spec.earlyStopping = source->flag("early_stopping");
  if (diagnostics.failed() ||
      failed(chooseContext(options.context, spec.context, config.getFile(), diagnostics)))
    return failure();
  Checkpoint checkpoint;
  checkpoint.directory = directory.str();
  if (options.weightless)
    checkpoint.tensors.promise(mlir::BFloat16Type::get(context));
  else if (failed(readCheckpoint(context, directory, checkpoint.tensors, diagnostics)))
    return failure();
  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> module =
      buildEncoderDecoder(context, spec, checkpoint, diagnostics);
  if (failed(module))
    return failure();
  config.reportUnread([&](StringRef field) {
    return isWithoutEffect(field) || is_contained(spec.fieldsWithoutEffect, field);
  });
  if (diagnostics.failed())
    return failure();
  return module;
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

  if (const json::Value *type = fields->get("model_type");
      type && type->kind() == json::Value::Null)
    return diagnostics.error(configPath,
                             "field 'model_type': expected the name of a family, got null");
  std::string head;
  if (const EncoderFamily *encoder = findEncoder(config, head))
    return importEncoder(context, directory, *encoder, head, config, options, diagnostics);
  if (const EncoderDecoderFamily *family = findEncoderDecoder(config))
    return importEncoderDecoder(context, directory, *family, config,
                                generation ? &*generation : nullptr, options, diagnostics);
  const Family *family = chooseFamily(config);
  if (!family)
    return failure();
  DecoderSpec spec;
  spec.modelType = family->modelType.str();
  refuse(config);
  Quantization quantization = readQuantization(config);
  family->fill(config, spec);
  Config *ids = generation ? &*generation : nullptr;
  if (family->endId >= 0)
    spec.endIds = {family->endId};
  spec.endIds = readIds(config, ids, "eos_token_id", spec.endIds, spec.vocab);
  spec.beginId = firstOr(readIds(config, ids, "bos_token_id", {family->beginId}, spec.vocab), -1);
  // Frequencies that grow with the prompt are for prompts beyond the length of the training.
  for (const RotaryTable &table : spec.rotaries)
    if (table.growth > 0)
      spec.context =
          std::max(spec.context, std::min(maxPositions, int64_t(double(table.changeLength) *
                                                                std::max(4.0, table.growth))));
  if (failed(chooseContext(options.context, spec.context, config.getFile(), diagnostics)))
    return failure();

  Checkpoint checkpoint;
  checkpoint.directory = directory.str();
  if (options.weightless)
    checkpoint.tensors.promise(mlir::BFloat16Type::get(context));
  else if (failed(readCheckpoint(context, directory, checkpoint.tensors, diagnostics)) ||
           failed(joinScales(context, directory, quantization, checkpoint.tensors, diagnostics)))
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
