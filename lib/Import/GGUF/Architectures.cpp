//===- Architectures.cpp - from a GGUF file's keys and tensors to structures ------------------===//

#include "Architectures.h"
#include "../Config.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

namespace {

/// Which elements of a head positions rotate together.
enum class Rotary { None, Neighbours, Halves };

/// What neither keys nor tensors of an architecture say.
struct Architecture {
  StringLiteral name;
  Rotary rotary = Rotary::None;
  Activation activation = Activation::Silu;
  /// Attention and feed-forward network read the same input, whatever norms there are.
  bool parallel = false;
  /// Embeddings are multiplied by the root of their size.
  bool scalesEmbedding = false;
  /// ".logit_scale" divides the logits.
  bool dividesLogits = false;
  /// Of every so many layers only the last sees all tokens (0: ".attention.sliding_window" means
  /// all layers).
  int64_t windowPattern = 0;
  /// Layers that see all tokens have no rotation.
  bool fullWithoutRotary = false;
  /// Of every so many layers the last has no rotation; 0: all have.
  int64_t withoutRotary = 0;
  /// Base of the rotation of layers with a window, where ".rope.freq_base_swa" is absent; 0: that
  /// of all layers.
  double localTheta = 0;
  /// Of 27 billion parameters: layers of the model whose scale is that of hidden / heads.
  int64_t layersOfOtherScale = 0;
};

} // namespace

static std::vector<Architecture> makeArchitectures() {
  std::vector<Architecture> table;
  auto add = [&](StringLiteral name, Rotary rotary,
                 Activation activation = Activation::Silu) -> Architecture & {
    Architecture &row = table.emplace_back(Architecture{name});
    row.rotary = rotary;
    row.activation = activation;
    return row;
  };
  add("llama", Rotary::Neighbours);
  add("internlm2", Rotary::Neighbours);
  add("xverse", Rotary::Neighbours);
  add("chatglm", Rotary::Neighbours);
  add("glm4", Rotary::Neighbours);
  add("ernie4_5", Rotary::Neighbours);
  add("granite", Rotary::Neighbours).dividesLogits = true;
  add("minicpm", Rotary::Neighbours).dividesLogits = true;
  add("smollm3", Rotary::Neighbours).withoutRotary = 4;
  add("arcee", Rotary::Neighbours, Activation::Relu2);
  add("command-r", Rotary::Neighbours).parallel = true;
  Architecture &cohere2 = add("cohere2", Rotary::Neighbours);
  cohere2.parallel = cohere2.fullWithoutRotary = true;
  cohere2.windowPattern = 4;
  add("qwen", Rotary::Halves);
  add("qwen2", Rotary::Halves);
  add("qwen3", Rotary::Halves);
  add("stablelm", Rotary::Halves);
  add("olmo2", Rotary::Halves);
  add("exaone", Rotary::Halves);
  add("orion", Rotary::Halves);
  add("seed_oss", Rotary::Halves);
  add("phi3", Rotary::Halves);
  add("phi2", Rotary::Halves, Activation::GeluTanh).parallel = true;
  add("nemotron", Rotary::Halves, Activation::Relu2);
  add("gpt2", Rotary::None, Activation::GeluTanh);
  add("starcoder", Rotary::None, Activation::GeluTanh);
  add("starcoder2", Rotary::Halves, Activation::GeluTanh);
  add("codeshell", Rotary::Halves, Activation::GeluTanh);
  add("gptneox", Rotary::Halves, Activation::Gelu);
  add("falcon", Rotary::Halves, Activation::Gelu).parallel = true;
  add("gemma", Rotary::Halves, Activation::GeluTanh).scalesEmbedding = true;
  Architecture &gemma2 = add("gemma2", Rotary::Halves, Activation::GeluTanh);
  gemma2.scalesEmbedding = true;
  gemma2.windowPattern = 2;
  gemma2.layersOfOtherScale = 46;
  Architecture &gemma3 = add("gemma3", Rotary::Halves, Activation::GeluTanh);
  gemma3.scalesEmbedding = true;
  gemma3.windowPattern = 6;
  gemma3.localTheta = 10000;
  gemma3.layersOfOtherScale = 62;
  return table;
}

static const std::vector<Architecture> &architectures() {
  static const std::vector<Architecture> table = makeArchitectures();
  return table;
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

namespace {

class Reader {
public:
  Reader(Metadata &metadata, Checkpoint &checkpoint, DecoderSpec &spec)
      : metadata(metadata), checkpoint(checkpoint), spec(spec) {}

  void read();

private:
  /// A tensor of the layer that is being read, by its role.
  const TensorInfo *find(StringRef role) const {
    return checkpoint.tensors.find(("blk." + Twine(layer) + "." + role).str());
  }
  bool has(StringRef role) const { return find((role + ".weight").str()); }
  std::string nameOf(StringRef role) const { return ("blk.*." + role).str(); }
  LinearSpec linear(StringRef role) const {
    LinearSpec result;
    result.name = nameOf(role);
    result.bias = find((role + ".bias").str());
    return result;
  }
  /// The norm of this role, if its weights are there.
  NormSpec normOf(StringRef role) const {
    if (!has(role))
      return NormSpec();
    NormSpec result = norm.named(nameOf(role));
    result.bias = find((role + ".bias").str());
    return result;
  }

  void split(StringRef role, ArrayRef<std::pair<StringRef, int64_t>> parts);
  void readSizes();
  void readNorm();
  void readRotaries();
  size_t addRotary(RotaryTable table);
  std::vector<float> readFloats(StringRef name, int64_t count);
  void readLayer(LayerSpec &result);
  void readWindows();
  void readScales();

  Metadata &metadata;
  Checkpoint &checkpoint;
  DecoderSpec &spec;
  const Architecture *architecture = nullptr;
  NormSpec norm;
  size_t layer = 0;
  std::vector<int64_t> heads, kvHeads, feedForwards;
  int64_t headDim = 0;
  std::optional<size_t> rotary, localRotary;
};

} // namespace

/// Replaces a tensor of the layer by its parts: so many rows each, one below the other.
void Reader::split(StringRef role, ArrayRef<std::pair<StringRef, int64_t>> parts) {
  for (StringRef kind : {".weight", ".bias"}) {
    const TensorInfo *whole = find((role + kind).str());
    if (!whole)
      continue;
    TensorInfo part = *whole;
    uint64_t bytes = whole->bytes;
    int64_t rows = 0;
    for (auto [name, size] : parts)
      rows += size;
    if (whole->shape.empty() || whole->shape[0] != rows) {
      (void)metadata.getDiagnostics().error(
          metadata.getFile(), "tensor " + quote(nameOf(role) + kind.str()) + " of layer " +
                                  Twine(layer) + ": expected " + Twine(rows) + " rows, got shape " +
                                  shapeText(whole->shape));
      return;
    }
    checkpoint.tensors.remove(("blk." + Twine(layer) + "." + role + kind).str());
    for (auto [name, size] : parts) {
      part.shape[0] = size;
      part.bytes = bytes / uint64_t(rows) * uint64_t(size);
      checkpoint.tensors.add(("blk." + Twine(layer) + "." + name + kind).str(), part);
      part.offset += part.bytes;
    }
  }
}

/// Numbers of a small tensor of the file that become constants of the graph.
std::vector<float> Reader::readFloats(StringRef name, int64_t count) {
  std::vector<float> result(size_t(count), 1.0f);
  const TensorInfo *info = checkpoint.tensors.find(name);
  auto fail = [&](const Twine &text) {
    (void)metadata.getDiagnostics().error(metadata.getFile(),
                                          "tensor " + quote(name) + ": " + text);
    return result;
  };
  if (info->typeName != "F32" || info->shape.size() != 1 || info->shape[0] != count)
    return fail("expected " + Twine(count) + " numbers of type F32, got " + info->typeName +
                " of shape " + shapeText(info->shape));
  SmallString<256> path(checkpoint.directory);
  sys::path::append(path, info->file);
  auto slice = MemoryBuffer::getFileSlice(path, info->bytes, info->offset, /*IsVolatile=*/true);
  if (!slice || (*slice)->getBufferSize() < info->bytes)
    return fail("cannot be read");
  for (size_t i = 0; i < result.size(); ++i)
    result[i] =
        support::endian::read<float, endianness::little>((*slice)->getBufferStart() + 4 * i);
  if (!all_of(result, [](float f) { return std::isfinite(f) && f > 0; }))
    return fail("expected numbers greater than 0");
  checkpoint.tensors.remove(name.str());
  return result;
}

//===----------------------------------------------------------------------===//
// The model
//===----------------------------------------------------------------------===//

void Reader::readSizes() {
  spec.hidden = metadata.integer(".embedding_length", 1, maxWidth);
  spec.context = metadata.integer(".context_length", 1, maxPositions);
  spec.layers.resize(size_t(metadata.integer(".block_count", 1, maxLayers)));
  const TensorInfo *table = checkpoint.tensors.find("token_embd.weight");
  int64_t rows = table && !table->shape.empty() ? table->shape[0] : 1;
  spec.vocab = metadata.integer(".vocab_size", 1, maxVocab, std::min(rows, maxVocab));
  size_t layers = spec.layers.size();
  heads = metadata.integers(".attention.head_count", layers, 1, maxHeads);
  kvHeads = metadata.has(".attention.head_count_kv")
                ? metadata.integers(".attention.head_count_kv", layers, 1, maxHeads)
                : heads;
  for (size_t i = 0; i < layers; ++i)
    if (heads[i] % kvHeads[i] != 0)
      metadata.error(".attention.head_count_kv", "expected a divisor of the " + Twine(heads[i]) +
                                                     " heads of layer " + Twine(i) + ", got " +
                                                     Twine(kvHeads[i]));
  if (!metadata.has(".attention.key_length") && spec.hidden % heads[0] != 0)
    metadata.error(".attention.head_count", "expected a divisor of the embedding length " +
                                                Twine(spec.hidden) + ", got " + Twine(heads[0]));
  headDim = metadata.integer(".attention.key_length", 1, maxHeadDim,
                             std::max<int64_t>(1, spec.hidden / heads[0]));
  int64_t valueDim = metadata.integer(".attention.value_length", 1, maxHeadDim, headDim);
  if (valueDim != headDim)
    metadata.error(".attention.value_length", "expected the key length " + Twine(headDim) +
                                                  ", nothing else is supported, got " +
                                                  Twine(valueDim));
  feedForwards = metadata.integers(".feed_forward_length", layers, 1, maxWidth);
  if (!metadata.flag(".attention.causal", true))
    metadata.error(".attention.causal",
                   "expected true, nothing else is supported in " + quote(metadata.architecture));
}

void Reader::readNorm() {
  bool isRms = metadata.has(".attention.layer_norm_rms_epsilon");
  norm.kind = isRms ? NormSpec::Rms : NormSpec::Layer;
  norm.eps = metadata.number(
      isRms ? ".attention.layer_norm_rms_epsilon" : ".attention.layer_norm_epsilon", 0, 1);
}

size_t Reader::addRotary(RotaryTable table) {
  if (!all_of(table.frequencies, [](float f) { return std::isfinite(f); }))
    metadata.error(".rope.freq_base", "expected parameters with finite rotary frequencies");
  auto it = llvm::find(spec.rotaries, table);
  size_t number = size_t(it - spec.rotaries.begin());
  if (it == spec.rotaries.end())
    spec.rotaries.push_back(std::move(table));
  return number;
}

void Reader::readRotaries() {
  if (architecture->rotary == Rotary::None)
    return;
  double theta = metadata.positive(".rope.freq_base", 10000);
  int64_t size = metadata.integer(".rope.dimension_count", 2, headDim, headDim);
  if (size % 2 != 0) {
    metadata.error(".rope.dimension_count", "expected an even number, got " + Twine(size));
    return;
  }
  RotaryScaling scaling;
  RotaryTable table;
  StringRef type = metadata.string(".rope.scaling.type", "none");
  // The older name of the factor of linear scaling.
  bool isOlder = metadata.has(".rope.scale_linear");
  double factor = metadata.positive(isOlder ? ".rope.scale_linear" : ".rope.scaling.factor", 1);
  if (type == "linear" || (isOlder && type == "none" && factor != 1)) {
    scaling.kind = RotaryScaling::Linear;
    scaling.factor = factor;
  } else if (type == "yarn") {
    scaling.kind = RotaryScaling::Yarn;
    scaling.factor = factor;
    scaling.originalLength = double(
        metadata.integer(".rope.scaling.original_context_length", 1, maxPositions, spec.context));
    scaling.fastTurns = metadata.positive(".rope.scaling.yarn_beta_fast", 32);
    scaling.slowTurns = metadata.positive(".rope.scaling.yarn_beta_slow", 1);
    double magnitude = factor <= 1 ? 1.0 : 0.1 * std::log(factor) + 1.0;
    table.magnitude = magnitude * metadata.positive(".rope.scaling.attn_factor", 1);
  } else if (type != "none") {
    metadata.error(".rope.scaling.type", "expected one of none, linear, yarn, got " + quote(type));
  }
  table.frequencies = rotaryFrequencies(theta, size, scaling);
  if (checkpoint.tensors.find("rope_freqs.weight")) {
    std::vector<float> factors = readFloats("rope_freqs.weight", size / 2);
    for (auto [frequency, divisor] : zip(table.frequencies, factors))
      frequency /= divisor;
  }
  double localTheta = metadata.positive(
      ".rope.freq_base_swa", architecture->localTheta ? architecture->localTheta : theta);
  rotary = addRotary(table);
  localRotary = rotary;
  if (architecture->localTheta || localTheta != theta) {
    RotaryTable local;
    local.frequencies = rotaryFrequencies(localTheta, size, RotaryScaling());
    localRotary = addRotary(std::move(local));
  }
}

void Reader::readLayer(LayerSpec &result) {
  int64_t h = heads[layer], kvh = kvHeads[layer], size = feedForwards[layer];
  split("attn_qkv",
        {{"attn_q", h * headDim}, {"attn_k", kvh * headDim}, {"attn_v", kvh * headDim}});
  if (const TensorInfo *up = find("ffn_up.weight");
      up && !has("ffn_gate") && !up->shape.empty() && up->shape[0] == 2 * size)
    split("ffn_up", {{"ffn_gate", size}, {"ffn_up", size}});

  result.name = "blk.*";
  AttentionSpec &attention = result.attention;
  attention.heads = h;
  attention.kvHeads = kvh;
  attention.headDim = headDim;
  attention.query = linear("attn_q");
  attention.key = linear("attn_k");
  attention.value = linear("attn_v");
  attention.output = linear("attn_output");
  attention.queryNorm = normOf("attn_q_norm");
  attention.keyNorm = normOf("attn_k_norm");
  // Of every head, or of all heads together.
  if (const TensorInfo *weight = find("attn_q_norm.weight"))
    attention.normsAllHeads = weight->shape[0] != headDim && weight->shape[0] == h * headDim;
  attention.rotary = rotary;
  attention.interleaved = architecture->rotary == Rotary::Neighbours;

  result.attentionNorm = normOf("attn_norm");
  result.attentionPostNorm = normOf("post_attention_norm");
  result.feedForwardNorm = normOf("ffn_norm");
  result.feedForwardPostNorm = normOf("post_ffw_norm");
  bool normsOutputs = result.attentionPostNorm.kind || result.feedForwardPostNorm.kind;
  result.parallel =
      metadata.flag(".use_parallel_residual",
                    architecture->parallel || (!result.feedForwardNorm.kind && !normsOutputs));
  // Where there are two, the second one is attention's.
  if (has("attn_norm_2")) {
    result.feedForwardNorm = result.attentionNorm;
    result.attentionNorm = normOf("attn_norm_2");
  }

  FeedForwardSpec &ff = result.feedForward;
  ff.size = size;
  ff.gated = has("ffn_gate");
  ff.activation = architecture->activation;
  if (ff.gated)
    ff.gate = linear("ffn_gate");
  ff.up = linear("ffn_up");
  ff.down = linear("ffn_down");
  if (has("ffn_gate_inp"))
    (void)metadata.getDiagnostics().error(
        metadata.getFile(), "tensor " +
                                quote("blk." + std::to_string(layer) + ".ffn_gate_inp.weight") +
                                ": mixtures of experts are not supported in GGUF files");
}

/// Which layers see the last tokens only, and which positions they rotate by.
void Reader::readWindows() {
  int64_t window = metadata.integer(".attention.sliding_window", 0, maxPositions, 0);
  int64_t pattern = architecture->windowPattern;
  const GGUFValue *listed = metadata.value(".attention.sliding_window_pattern");
  if (listed && !listed->isArray())
    pattern = metadata.integer(".attention.sliding_window_pattern", 1, maxLayers);
  else if (listed && (listed->count != spec.layers.size() ||
                      !(listed->integer() || listed->elementType == GGUFValue::Bool)))
    metadata.error(".attention.sliding_window_pattern", "expected true or false for each of the " +
                                                            Twine(spec.layers.size()) +
                                                            " layers, got " + listed->describe());
  if (metadata.getDiagnostics().failed())
    return;
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    bool isLocal = pattern ? int64_t(i) % pattern < pattern - 1 : true;
    if (listed && listed->isArray())
      isLocal = listed->elementType == GGUFValue::Bool ? listed->bytes[i] != 0
                                                       : listed->integer(i).value_or(0) != 0;
    isLocal &= window > 0;
    AttentionSpec &attention = spec.layers[i].attention;
    attention.window = isLocal ? window : 0;
    if (isLocal)
      attention.rotary = localRotary;
    else if (architecture->fullWithoutRotary)
      attention.rotary = std::nullopt;
    if (architecture->withoutRotary && int64_t(i + 1) % architecture->withoutRotary == 0)
      attention.rotary = std::nullopt;
  }
}

void Reader::readScales() {
  double headSize = double(headDim);
  if (architecture->layersOfOtherScale == int64_t(spec.layers.size()))
    headSize = double(spec.hidden) / double(heads[0]);
  double scale = metadata.number(".attention.scale", 0, 1e9, 0.0);
  double softcap = metadata.number(".attn_logit_softcapping", 0, 1e9, 0.0);
  double residualScale = metadata.positive(".residual_scale", 1);
  for (LayerSpec &layer : spec.layers) {
    layer.attention.scale = scale > 0 ? scale : 1 / std::sqrt(headSize);
    layer.attention.softcap = softcap;
    layer.residualScale = residualScale;
  }
  spec.logitSoftcap = metadata.number(".final_logit_softcapping", 0, 1e9, 0.0);
  spec.embeddingScale = metadata.positive(
      ".embedding_scale", architecture->scalesEmbedding ? std::sqrt(double(spec.hidden)) : 1);
  double logitScale = metadata.number(".logit_scale", 0, 1e9, 0.0);
  if (logitScale > 0)
    spec.logitScale = architecture->dividesLogits ? 1 / logitScale : logitScale;
  double clamp = metadata.number(".attention.clamp_kqv", 0, 1e9, 0.0);
  if (clamp > 0)
    metadata.error(".attention.clamp_kqv", "expected 0, nothing else is supported");
}

void Reader::read() {
  StringRef name = metadata.string("general.architecture");
  std::string supported;
  for (const Architecture &known : architectures()) {
    supported += (supported.empty() ? "" : ", ") + known.name.str();
    if (name == known.name)
      architecture = &known;
  }
  if (!architecture) {
    metadata.error("general.architecture", "expected one of " + supported + ", got " + quote(name));
    return;
  }
  metadata.architecture = name.str();
  spec.modelType = name.str();
  readSizes();
  readNorm();
  if (metadata.getDiagnostics().failed())
    return;
  readRotaries();

  TensorTable &tensors = checkpoint.tensors;
  spec.embedding = "token_embd";
  spec.head.name = "output";
  spec.head.bias = tensors.find("output.bias");
  spec.tiedHead = !tensors.find("output.weight");
  spec.finalNorm = norm.named("output_norm");
  spec.finalNorm.bias = tensors.find("output_norm.bias");
  if (tensors.find("token_embd_norm.weight")) {
    spec.embeddingNorm = norm.named("token_embd_norm");
    spec.embeddingNorm.bias = tensors.find("token_embd_norm.bias");
  }
  if (const TensorInfo *positions = tensors.find("position_embd.weight")) {
    spec.positionTable = "position_embd";
    spec.positionRows = positions->shape[0];
    spec.context = std::min(spec.context, spec.positionRows);
  }
  for (layer = 0; layer < spec.layers.size(); ++layer)
    readLayer(spec.layers[layer]);
  readWindows();
  readScales();
  spec.redundantTensors = {".attn_rot_embd", ".rope_freqs"};
}

void importer::fillFromGGUF(Metadata &metadata, Checkpoint &checkpoint, DecoderSpec &spec) {
  Reader(metadata, checkpoint, spec).read();
}
