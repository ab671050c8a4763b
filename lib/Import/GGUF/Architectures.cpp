//===- Architectures.cpp - from a GGUF file's keys and tensors to structures ------------------===//

#include "Architectures.h"
#include "../Config.h"
#include "Encoders.h"
#include "Reader.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

/// The norm of this role, if its weights are there.
NormSpec GGUFStructure::normOf(StringRef role) const {
  if (!has(role))
    return NormSpec();
  NormSpec result = norm.named(nameOf(role));
  result.bias = find((role + ".bias").str());
  return result;
}

/// The norm of queries or keys: the same weights for every head, or [heads, size].
NormSpec GGUFStructure::normOfHeads(StringRef role) const {
  NormSpec result = normOf(role);
  if (const TensorInfo *weight = find((role + ".weight").str()))
    result.perHead = weight->shape.size() == 2;
  return result;
}

/// Gated if there is a gate.
FeedForwardSpec GGUFStructure::feedForwardOf(StringRef suffix) const {
  FeedForwardSpec ff;
  ff.activation = architecture->activation;
  ff.gated = has(("ffn_gate" + suffix).str());
  if (ff.gated)
    ff.gate = linear(("ffn_gate" + suffix).str());
  ff.up = linear(("ffn_up" + suffix).str());
  ff.down = linear(("ffn_down" + suffix).str());
  return ff;
}

/// Replaces a tensor of the layer by its parts: so many rows each, one below the other.
void GGUFStructure::split(StringRef role, ArrayRef<std::pair<StringRef, int64_t>> parts) {
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
std::vector<float> GGUFStructure::readFloats(StringRef name, int64_t count) {
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

void GGUFStructure::readSizes() {
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
  // Layers that predict further tokens come last, and are not run.
  int64_t further = metadata.integer(".nextn_predict_layers", 0, maxLayers, 0);
  spec.hasFurtherLayers = further > 0;
  if (further >= int64_t(layers))
    metadata.error(".nextn_predict_layers",
                   "expected fewer than the " + Twine(layers) + " layers, got " + Twine(further));
  else
    spec.layers.resize(layers - size_t(further));
  feedForwards = metadata.integers(".feed_forward_length", layers, 0, maxWidth, 0);
  if (!metadata.flag(".attention.causal", true))
    metadata.error(".attention.causal",
                   "expected true, nothing else is supported in " + quote(metadata.architecture));
  if (architecture->latent)
    return; // heads of keys are of no size of their own
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
}

void GGUFStructure::readNorm() {
  norm = readNormKeys(metadata, architecture->layerNorms);
  norm.affine = !architecture->plainNorms;
}

/// What comes before and after the layers.
void GGUFStructure::readEnds() {
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
  spec.redundantTensors = {".attn_rot_embd", ".rope_freqs"};
}

void GGUFStructure::readLayer(LayerSpec &result) {
  int64_t h = heads[layer], kvh = kvHeads[layer], size = feedForwards[layer];
  split("attn_qkv",
        {{"attn_q", h * headDim}, {"attn_k", kvh * headDim}, {"attn_v", kvh * headDim}});
  if (const TensorInfo *up = find("ffn_up.weight");
      up && !has("ffn_gate") && !up->shape.empty() && size && up->shape[0] == 2 * size)
    split("ffn_up", {{"ffn_gate", size}, {"ffn_up", size}});

  result.name = "blk.*";
  AttentionSpec &attention = result.attention;
  attention.heads = h;
  attention.kvHeads = kvh;
  attention.headDim = headDim;
  attention.rotary = rotary;
  attention.interleaved = architecture->rotary == Rotary::Neighbours;
  attention.output = linear("attn_output");
  if (architecture->latent) {
    readLatent(attention);
  } else {
    attention.query = linear("attn_q");
    attention.key = linear("attn_k");
    attention.value = linear("attn_v");
    attention.queryNorm = normOfHeads("attn_q_norm");
    attention.keyNorm = normOfHeads("attn_k_norm");
    // Of every head, or of all heads together.
    if (const TensorInfo *weight = find("attn_q_norm.weight"))
      attention.normsAllHeads = weight->shape.size() == 1 && weight->shape[0] != headDim &&
                                weight->shape[0] == h * headDim;
    if (find("attn_sinks.weight"))
      attention.sinks = nameOf("attn_sinks.weight");
  }

  result.attentionNorm = normOf("attn_norm");
  result.attentionPostNorm = normOf("post_attention_norm");
  result.feedForwardNorm = normOf(has("attn_output_norm") ? "attn_output_norm" : "ffn_norm");
  result.feedForwardPostNorm = normOf("post_ffw_norm");
  // Alone, the norm after attention is the one before the feed-forward network.
  if (result.attentionPostNorm.kind && !result.feedForwardNorm.kind &&
      !result.feedForwardPostNorm.kind)
    std::swap(result.attentionPostNorm, result.feedForwardNorm);
  if (architecture->plainNorms) {
    result.attentionNorm = norm.named(nameOf("attn_norm"));
    result.feedForwardNorm = norm.named(nameOf("ffn_norm"));
  }
  bool normsOutputs = result.attentionPostNorm.kind || result.feedForwardPostNorm.kind;
  result.parallel = architecture->parallel || (!result.feedForwardNorm.kind && !normsOutputs);
  bool saysParallel = metadata.flag(".use_parallel_residual", result.parallel);
  if (!architecture->ignoresParallelKey)
    result.parallel = saysParallel;
  // Where there are two, the second one is attention's.
  if (has("attn_norm_2")) {
    result.feedForwardNorm = result.attentionNorm;
    result.attentionNorm = normOf("attn_norm_2");
  }

  if (has("ffn_gate_inp")) {
    readMixture(result);
  } else {
    result.feedForward = feedForwardOf("");
    result.feedForward.size = size;
  }
}

void GGUFStructure::readScales() {
  double headSize = double(headDim);
  if (architecture->layersOfOtherScale == int64_t(spec.layers.size()))
    headSize = double(spec.hidden) / double(heads[0]);
  double scale = metadata.number(".attention.scale", 0, 1e9, 0.0);
  double softcap = metadata.number(".attn_logit_softcapping", 0, 1e9, 0.0);
  bool ofMiniCPM = architecture->scalesLikeMiniCPM;
  double residualScale = metadata.positive(
      ".residual_scale", ofMiniCPM ? 1.4 / std::sqrt(double(spec.layers.size())) : 1);
  double clip = metadata.number(".attention.clamp_kqv", 0, 1e9, 0.0);
  for (LayerSpec &layer : spec.layers) {
    layer.attention.scale = (scale > 0 ? scale : 1 / std::sqrt(headSize)) * latentScale;
    layer.attention.softcap = softcap;
    layer.attention.clip = clip;
    layer.residualScale = residualScale;
  }
  spec.logitSoftcap = metadata.number(".final_logit_softcapping", 0, 1e9, 0.0);
  spec.embeddingScale = metadata.positive(".embedding_scale", architecture->scalesEmbedding
                                                                  ? std::sqrt(double(spec.hidden))
                                                              : ofMiniCPM ? 12
                                                                          : 1);
  double logitScale =
      metadata.number(".logit_scale", 0, 1e9, ofMiniCPM ? double(spec.hidden) / 256 : 0.0);
  if (logitScale > 0)
    spec.logitScale = architecture->dividesLogits ? 1 / logitScale : logitScale;
}

void GGUFStructure::read() {
  StringRef name = metadata.string("general.architecture");
  architecture = findArchitecture(name);
  if (!architecture) {
    std::string names = architectureNames();
    for (StringRef known : encoderArchitectures())
      names += ", " + known.str();
    metadata.error("general.architecture", "expected one of " + names + ", got " + quote(name));
    return;
  }
  metadata.architecture = name.str();
  spec.modelType = name.str();
  readSizes();
  readNorm();
  if (metadata.getDiagnostics().failed())
    return;
  if (architecture->latent)
    readLatentSizes();
  readRotaries();
  readEnds();
  for (layer = 0; layer < spec.layers.size(); ++layer)
    readLayer(spec.layers[layer]);
  readAlibi();
  readWindows();
  readScales();
}

void importer::fillFromGGUF(Metadata &metadata, Checkpoint &checkpoint, DecoderSpec &spec) {
  GGUFStructure(metadata, checkpoint, spec).read();
}
