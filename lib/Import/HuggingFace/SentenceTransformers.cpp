//===- SentenceTransformers.cpp - how a sentence encoder makes vectors ------------------------===//
//
// The sentence-transformers library stores beside a model what comes after it: modules.json lists
// modules, of which a Pooling has a config of its own, a Dense a config and weights, and a
// Normalize has nothing to say. With a Dense the vector is a head of the model: its output
// "pooled".
//
//===----------------------------------------------------------------------------------------===//

#include "EncoderFamilies.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

static std::string join(StringRef folder, StringRef a, StringRef b = "") {
  SmallString<256> path(folder);
  sys::path::append(path, a);
  if (!b.empty())
    sys::path::append(path, b);
  return path.str().str();
}

static void readPoolingConfig(const std::string &path, EncoderSpec &spec,
                              Diagnostics &diagnostics) {
  mlir::FailureOr<json::Object> fields = readJson(path, diagnostics);
  if (failed(fields))
    return;
  Config config(path, *fields, diagnostics);
  static constexpr std::pair<StringLiteral, StringLiteral> kinds[] = {
      {"pooling_mode_cls_token", "first"},
      {"pooling_mode_mean_tokens", "mean"},
      {"pooling_mode_max_tokens", "max"},
      {"pooling_mode_lasttoken", "last"}};
  SmallVector<StringRef> chosen;
  for (const auto &[field, kind] : kinds)
    if (config.flag(field, false))
      chosen.push_back(kind);
  // The newest files name the kind.
  StringRef mode = config.string("pooling_mode", "");
  if (!mode.empty() && chosen.empty())
    chosen.push_back(mode == "cls" ? "first" : mode == "lasttoken" ? "last" : mode);
  for (StringRef other : {"pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens"})
    config.onlyFalse(other);
  if (chosen.size() != 1 || !is_contained({"first", "mean", "max", "last"}, chosen.front())) {
    (void)diagnostics.error(path, "expected one kind of pooling out of cls, mean, max and last");
    return;
  }
  spec.pooling = chosen.front().str();
}

/// A linear and an activation on the vector, in a folder of their own.
static void readDense(StringRef directory, StringRef folder, EncoderSpec &spec, HeadSpec &pooled,
                      Diagnostics &diagnostics) {
  std::string path = join(directory, folder, "config.json");
  mlir::FailureOr<json::Object> fields = readJson(path, diagnostics);
  if (failed(fields))
    return;
  Config config(path, *fields, diagnostics);
  HeadStep step;
  step.linear = {(folder + ".linear").str(), config.flag("bias", true)};
  step.size = config.integer("out_features", 1, maxWidth);
  (void)config.integer("in_features", 1, maxWidth, 1);
  // A class of the framework: "torch.nn.modules.activation.Tanh".
  static constexpr std::pair<StringLiteral, StringLiteral> names[] = {
      {"Identity", "linear"}, {"Tanh", "tanh"},       {"ReLU", "relu"}, {"GELU", "gelu"},
      {"SiLU", "silu"},       {"Sigmoid", "sigmoid"}, {"Mish", "mish"}};
  StringRef type = config.string("activation_function", "torch.nn.modules.activation.Tanh");
  StringRef name = type.substr(type.rfind('.') + 1);
  const auto *known = find_if(names, [&](const auto &entry) { return entry.first == name; });
  if (known == std::end(names))
    config.error("activation_function", "expected the class of an activation, got " + quote(type));
  else
    step.activation = *findActivation(known->second);
  spec.folders.push_back(folder.str());
  pooled.steps.push_back(step);
}

void importer::readSentenceTransformers(StringRef directory, EncoderSpec &spec,
                                        Diagnostics &diagnostics) {
  std::string list = join(directory, "modules.json");
  if (!sys::fs::exists(list)) {
    std::string pooling = join(directory, "1_Pooling", "config.json");
    if (sys::fs::exists(pooling))
      readPoolingConfig(pooling, spec, diagnostics);
    return;
  }
  auto buffer = MemoryBuffer::getFile(list);
  if (!buffer) {
    (void)diagnostics.error(list, "cannot be read (" + buffer.getError().message() + ")");
    return;
  }
  mlir::FailureOr<json::Object> parsed =
      parseJson("{\"modules\": " + (*buffer)->getBuffer().str() + "}", list, diagnostics);
  if (failed(parsed))
    return;
  const json::Array *modules = parsed->getArray("modules");
  if (!modules) {
    (void)diagnostics.error(list, "expected a list of modules");
    return;
  }
  HeadSpec pooled;
  pooled.output = "pooled";
  pooled.firstRowOnly = true;
  for (const json::Value &entry : *modules) {
    const json::Object *fields = entry.getAsObject();
    std::optional<StringRef> type = fields ? fields->getString("type") : std::nullopt;
    std::optional<StringRef> path = fields ? fields->getString("path") : std::nullopt;
    if (!type || !path) {
      (void)diagnostics.error(list, "expected modules with a type and a path");
      return;
    }
    StringRef kind = type->rsplit('.').second.empty() ? *type : type->rsplit('.').second;
    if (path->contains("..") || path->contains('\0') || sys::path::is_absolute(*path)) {
      (void)diagnostics.error(list, "expected the path of a folder beside it, got " + quote(*path));
      return;
    }
    if (kind == "Pooling") {
      readPoolingConfig(join(directory, *path, "config.json"), spec, diagnostics);
    } else if (kind == "Normalize") {
      spec.normalize = true;
    } else if (kind == "Dense") {
      readDense(directory, *path, spec, pooled, diagnostics);
    } else if (kind != "Transformer" && kind != "Dropout") {
      diagnostics.warning(list,
                          "module " + quote(kind) + " is not part of the artifact's embeddings");
    }
  }
  if (pooled.steps.empty() || diagnostics.failed())
    return;
  if (spec.pooling != "mean" && spec.pooling != "first") {
    (void)diagnostics.error(list, "expected a Pooling of cls or mean before a Dense");
    return;
  }
  pooled.mean = spec.pooling == "mean";
  spec.pooling = "pooled";
  // It takes the place of the model's own, which is not what the library looks at.
  erase_if(spec.heads, [](const HeadSpec &head) { return head.output == "pooled"; });
  spec.redundantTensors.insert(spec.redundantTensors.end(),
                               {"pooler.dense.weight", "pooler.dense.bias"});
  spec.heads.push_back(pooled);
}
