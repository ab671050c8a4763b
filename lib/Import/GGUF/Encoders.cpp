//===- Encoders.cpp - encoders and encoder-decoders in GGUF files -----------------------------===//

#include "Encoders.h"
#include "../Config.h"
#include "../StackParts.h"
#include "Table.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

namespace {
/// What neither keys nor tensors of an architecture say.
struct EncoderArchitecture {
  StringLiteral name;
  enum Positions { Learned, Rotary, Distances } positions = Rotary;
  /// Of gated feed-forward networks; others have a GELU.
  Activation activation = Activation::Gelu;
  /// Of so many layers one sees all tokens: the first, or the last.
  int64_t windowPattern = 0;
  bool fullIsFirst = false;
  /// Embeddings are multiplied by the root of their size.
  bool scalesEmbedding = false;
  /// The head of a re-ranker reads the mean of all rows, and its activation is a GELU.
  bool ranksMean = false;
  /// See Table.h.
  bool layerNorms = true;
};
} // namespace

static ArrayRef<EncoderArchitecture> encoderTable() {
  using A = EncoderArchitecture;
  static constexpr A table[] = {
      {"bert", A::Learned},
      {"nomic-bert", A::Rotary, Activation::Silu},
      {"nomic-bert-moe"},
      {"jina-bert-v2", A::Distances},
      {"jina-bert-v3"},
      {"modern-bert", A::Rotary, Activation::Gelu, 3, /*fullIsFirst=*/true,
       /*scalesEmbedding=*/false, /*ranksMean=*/true},
      {"eurobert", A::Rotary, Activation::Silu, 0, /*fullIsFirst=*/false,
       /*scalesEmbedding=*/false, /*ranksMean=*/false, /*layerNorms=*/false},
      {"gemma-embedding", A::Rotary, Activation::GeluTanh, 6, /*fullIsFirst=*/false,
       /*scalesEmbedding=*/true, /*ranksMean=*/false, /*layerNorms=*/false},
  };
  return table;
}

std::vector<StringRef> importer::encoderArchitectures() {
  std::vector<StringRef> names = {"t5", "t5encoder"};
  for (const EncoderArchitecture &each : encoderTable())
    names.push_back(each.name);
  return names;
}

namespace {

class EncoderReader {
public:
  EncoderReader(Metadata &metadata, Checkpoint &checkpoint)
      : metadata(metadata), checkpoint(checkpoint) {}

  void fillBert(EncoderSpec &spec);
  void fillT5Encoder(EncoderSpec &spec);
  void fillT5(EncoderDecoderSpec &spec);

private:
  bool has(const Twine &name) const { return checkpoint.tensors.find((name + ".weight").str()); }
  /// The linear of a role, with a bias where there is one, in the layer that is being read.
  LinearSpec linear(StringRef role) const {
    return {role.str(), bool(checkpoint.tensors.find(layer + role.str() + ".bias"))};
  }
  NormSpec normOf(StringRef role) const {
    NormSpec result = norm.named(role);
    result.bias = checkpoint.tensors.find(layer + role.str() + ".bias");
    return result;
  }
  int64_t readVocab();
  AttentionSpec readHeads(int64_t hidden);
  Activation readActivation(Activation fallback);
  void readPositions(EncoderSpec &spec, AttentionSpec &attention);
  NormSpec normIfThere(StringRef role) const {
    return has(layer + role) ? normOf(role) : NormSpec();
  }
  void fitToTensors(StackLayerSpec &layer) const;
  void readMixture(StackLayerSpec &layer);
  void readWindows(StackSpec &stack);
  T5Sizes readT5Sizes();
  void readT5Stack(const T5Sizes &sizes, bool decodes, StringRef count, StackSpec &stack);
  void readRankHead(EncoderSpec &spec);
  void readDense(EncoderSpec &spec);

  Metadata &metadata;
  Checkpoint &checkpoint;
  const EncoderArchitecture *architecture = nullptr;
  NormSpec norm;
  std::string layer; ///< what the names of its tensors begin with
};

} // namespace

int64_t EncoderReader::readVocab() {
  const TensorInfo *table = checkpoint.tensors.find("token_embd.weight");
  int64_t rows = table && !table->shape.empty() ? table->shape[0] : 1;
  return metadata.integer(".vocab_size", 1, maxVocab, std::clamp<int64_t>(rows, 1, maxVocab));
}

AttentionSpec EncoderReader::readHeads(int64_t hidden) {
  AttentionSpec attention;
  attention.heads = metadata.integer(".attention.head_count", 1, maxHeads);
  attention.kvHeads = metadata.integer(".attention.head_count_kv", 1, maxHeads, attention.heads);
  if (attention.heads % attention.kvHeads != 0)
    metadata.error(".attention.head_count_kv", "expected a divisor of the " +
                                                   Twine(attention.heads) + " heads, got " +
                                                   Twine(attention.kvHeads));
  bool given = metadata.has(".attention.key_length");
  if (!given && hidden % attention.heads != 0)
    metadata.error(".attention.head_count", "expected a divisor of the embedding length " +
                                                Twine(hidden) + ", got " + Twine(attention.heads));
  attention.headDim = metadata.integer(".attention.key_length", 1, maxHeadDim,
                                       std::max<int64_t>(1, hidden / attention.heads));
  if (metadata.integer(".attention.value_length", 1, maxHeadDim, attention.headDim) !=
      attention.headDim)
    metadata.error(".attention.value_length", "expected the key length " +
                                                  Twine(attention.headDim) +
                                                  ", nothing else is supported");
  attention.scale = 1 / std::sqrt(double(attention.headDim));
  return attention;
}

//===----------------------------------------------------------------------===//
// BERT and what is built like it
//===----------------------------------------------------------------------===//

/// The function that ".hidden_activation" names.
Activation EncoderReader::readActivation(Activation fallback) {
  if (!metadata.has(".hidden_activation"))
    return fallback;
  StringRef name = metadata.string(".hidden_activation");
  std::optional<Activation> activation = findActivation(name);
  if (!activation)
    metadata.error(".hidden_activation",
                   "expected one of " + activationNames() + ", got " + quote(name));
  return activation.value_or(fallback);
}

/// What a re-ranker says of a pair of texts: the row of the first token through one or two linears.
void EncoderReader::readRankHead(EncoderSpec &spec) {
  layer = "";
  HeadSpec head;
  head.output = "classes";
  head.firstRowOnly = true;
  head.labels = metadata.strings(".classifier.output_labels");
  auto step = [&](StringRef name, int64_t size, Activation activation) {
    HeadStep result;
    result.linear = linear(name);
    result.size = size;
    result.activation = activation;
    head.steps.push_back(result);
  };
  bool two = has("cls.output");
  // Of the head for masked tokens the matrix alone was left out.
  if (architecture->ranksMean && !two) {
    spec.redundantTensors.insert(spec.redundantTensors.end(), {"cls.weight", "cls.norm.weight"});
    return;
  }
  if (has("cls")) {
    Activation dense = architecture->ranksMean ? Activation::Gelu : Activation::Tanh;
    step("cls", two ? spec.stack.hidden : 0, two ? dense : Activation::Identity);
    if (two && has("cls.norm"))
      head.steps.back().norm = normOf("cls.norm");
  }
  if (two)
    step("cls.output", 0, Activation::Identity);
  if (head.steps.empty())
    return;
  head.mean = architecture->ranksMean;
  // One number is how well the texts fit, as a probability.
  const TensorInfo *last = checkpoint.tensors.find(two ? "cls.output.weight" : "cls.weight");
  if (last && !last->shape.empty() && last->shape[0] == 1) {
    head.labels = {head.labels.size() == 1 ? head.labels.front() : "score"};
    head.independent = true;
  }
  spec.heads.push_back(head);
}

/// Learned, by rotation, or linear biases.
void EncoderReader::readPositions(EncoderSpec &spec, AttentionSpec &attention) {
  StackSpec &stack = spec.stack;
  if (const TensorInfo *rows = checkpoint.tensors.find("position_embd.weight")) {
    stack.positionTable = "position_embd";
    stack.positionRows = rows->shape.empty() ? 1 : rows->shape[0];
    spec.context = std::min(spec.context, stack.positionRows);
  } else if (architecture->positions == EncoderArchitecture::Distances) {
    attention.alibi.slopes = alibiSlopes(attention.heads);
  } else if (architecture->positions == EncoderArchitecture::Learned) {
    (void)metadata.getDiagnostics().error(metadata.getFile(),
                                          "tensor 'position_embd.weight' is missing");
  } else {
    int64_t size =
        metadata.integer(".rope.dimension_count", 2, attention.headDim, attention.headDim);
    if (size % 2 != 0)
      metadata.error(".rope.dimension_count", "expected an even number, got " + Twine(size));
    if (StringRef type = metadata.string(".rope.scaling.type", "none"); type != "none")
      metadata.error(".rope.scaling.type", "expected none in encoders, got " + quote(type));
    for (StringRef key : {".rope.freq_base", ".rope.freq_base_swa"}) {
      // The second one is that of layers with a window.
      if (!stack.rotaries.empty() &&
          !(architecture->windowPattern && metadata.has(".attention.sliding_window")))
        break;
      RotaryTable table;
      table.frequencies =
          rotaryFrequencies(metadata.positive(key, 10000), size - size % 2, RotaryScaling());
      stack.rotaries.push_back(table);
    }
    attention.rotary = 0;
  }
}

/// What of a layer is seen from its tensors: biases, gates, where the norms are.
void EncoderReader::fitToTensors(StackLayerSpec &spec) const {
  AttentionSpec &attention = spec.attention;
  FeedForwardSpec &ff = spec.feedForward;
  attention.fused = has(layer + "attn_qkv");
  if (attention.fused)
    attention.query.name = "attn_qkv";
  const TensorInfo *up = checkpoint.tensors.find(layer + "ffn_up.weight");
  if (has(layer + "ffn_gate")) {
    ff.gated = true;
    ff.gate.name = "ffn_gate";
  } else if (up && !up->shape.empty() && up->shape[0] == 2 * ff.size) {
    ff.gated = ff.fused = true;
    ff.gate = ff.up;
  }
  for (LinearSpec *each : {&attention.query, &attention.key, &attention.value, &attention.output,
                           &ff.gate, &ff.up, &ff.down})
    each->bias = checkpoint.tensors.find(layer + each->name + ".bias");
  spec.postNorm = !has(layer + "ffn_norm");
  spec.attentionNorm = normOf(spec.postNorm ? "attn_output_norm" : "attn_norm");
  spec.feedForwardNorm = normOf(spec.postNorm ? "layer_output_norm" : "ffn_norm");
  spec.secondNorm = normIfThere("attn_norm_2");
  spec.attentionPostNorm = normIfThere("post_attention_norm");
  spec.feedForwardPostNorm = normIfThere("post_ffw_norm");
  // Of every head, or of all heads together.
  attention.queryNorm = normIfThere("attn_q_norm");
  attention.keyNorm = normIfThere("attn_k_norm");
  if (const TensorInfo *weight = checkpoint.tensors.find(layer + "attn_q_norm.weight"))
    attention.normsAllHeads = weight->shape.size() == 1 && weight->shape[0] != attention.headDim;
}

/// Experts of two matrices with a GELU between, weighted by a softmax over all of them.
void EncoderReader::readMixture(StackLayerSpec &spec) {
  MixtureSpec &mixture = spec.mixture;
  mixture.experts = metadata.integer(".expert_count", 1, maxExperts);
  mixture.chosen = metadata.integer(".expert_used_count", 1, mixture.experts);
  mixture.size =
      metadata.integer(".expert_feed_forward_length", 1, maxWidth, spec.feedForward.size);
  mixture.modules = {""};
  mixture.router = "ffn_gate_inp";
  mixture.gated = false;
  mixture.allUp = "ffn_up_exps";
  mixture.allDown = "ffn_down_exps";
  mixture.up = "ffn_up.#";
  mixture.down = "ffn_down.#";
  mixture.allWeights = ".weight";
  mixture.activation = Activation::Gelu;
  double scale = metadata.number(".expert_weights_scale", 0, 1e9, 0.0);
  mixture.scale = scale > 0 ? scale : 1;
  mixture.normalize = metadata.flag(".expert_weights_norm", false);
}

/// Layers that see the near tokens on either side only, half of the window each.
void EncoderReader::readWindows(StackSpec &stack) {
  int64_t window = metadata.integer(".attention.sliding_window", 0, maxPositions, 0);
  std::vector<bool> local = metadata.windowLayers(stack.layers.size(), architecture->windowPattern,
                                                  architecture->fullIsFirst);
  for (auto [i, each] : enumerate(stack.layers)) {
    if (!local[i] || window == 0)
      continue;
    each.reach = window / 2;
    if (each.attention.rotary)
      each.attention.rotary = 1;
  }
}

/// Linears of the mean of all rows, where the file has those that stood beside the model.
void EncoderReader::readDense(EncoderSpec &spec) {
  HeadSpec head;
  head.output = "pooled";
  head.firstRowOnly = head.mean = true;
  for (StringRef name : {"dense_2", "dense_3"}) {
    if (!has(name))
      continue;
    const TensorInfo *weight = checkpoint.tensors.find((name + ".weight").str());
    for (int64_t dim : {0, 1}) {
      int64_t size = weight->shape.size() == 2 ? weight->shape[dim] : 0;
      std::string key = ("." + name + (dim ? "_feat_in" : "_feat_out")).str();
      if (metadata.integer(key, 1, maxWidth, size) != size)
        metadata.error(key, "expected " + Twine(size) + ", as the tensor has it");
    }
    HeadStep step;
    step.linear = linear(name);
    head.steps.push_back(step);
  }
  if (head.steps.empty())
    return;
  if (spec.pooling != "mean")
    metadata.error(".pooling_type", "expected 1 (mean) before the linears of the file");
  spec.pooling = "pooled";
  spec.heads.push_back(head);
}

void EncoderReader::fillBert(EncoderSpec &spec) {
  StackSpec &stack = spec.stack;
  architecture = find_if(encoderTable(), [&](const EncoderArchitecture &each) {
    return each.name == metadata.architecture;
  });
  spec.vocab = readVocab();
  stack.hidden = stack.embeddingSize = metadata.integer(".embedding_length", 1, maxWidth);
  stack.layers.resize(size_t(metadata.integer(".block_count", 1, maxLayers)));
  spec.context = metadata.integer(".context_length", 1, maxPositions);
  if (metadata.flag(".attention.causal", false))
    metadata.error(".attention.causal",
                   "expected false, nothing else is supported in " + quote(metadata.architecture));
  norm = readNormKeys(metadata, architecture->layerNorms);
  AttentionSpec attention = readHeads(stack.hidden);
  int64_t inner = metadata.integer(".feed_forward_length", 1, maxWidth);
  if (metadata.getDiagnostics().failed())
    return;

  stack.embedding = "token_embd";
  if (architecture->scalesEmbedding)
    stack.embeddingScale = std::sqrt(double(stack.hidden));
  if (const TensorInfo *types = checkpoint.tensors.find("token_types.weight")) {
    stack.typeTable = "token_types";
    stack.types = types->shape.empty() ? 1 : types->shape[0];
  }
  readPositions(spec, attention);
  // Which layers are mixtures is seen from their tensors.
  (void)metadata.integer(".moe_every_n_layers", 0, maxLayers, 0);
  Activation gated = readActivation(architecture->activation);
  Activation plain = readActivation(Activation::Gelu);
  repeatLayer(stack,
              bertLayer({"attn_q", "attn_k", "attn_v", "attn_output", "", "ffn_up", "ffn_down", ""},
                        attention, inner, gated, norm),
              "blk.");
  for (StackLayerSpec &each : stack.layers) {
    layer = each.name;
    fitToTensors(each);
    if (!each.feedForward.gated)
      each.feedForward.activation = plain;
    if (has(layer + "ffn_gate_inp"))
      readMixture(each);
  }
  layer = "";
  StackLayerSpec &first = stack.layers.front();
  stack.embeddingNorm = first.postNorm ? normOf("token_embd_norm") : normIfThere("token_embd_norm");
  if (!first.postNorm)
    stack.finalNorm = normOf("output_norm");
  // The embeddings' norm stands in for that of the first layer.
  if (!first.postNorm && stack.embeddingNorm.kind && !has("blk.0.attn_norm"))
    first.attentionNorm = {};
  if (architecture->windowPattern)
    readWindows(stack);
  // 0: none, 1: mean, 2: the first token, 3: the last one, 4: the score of a re-ranker.
  static constexpr StringLiteral kinds[] = {"", "mean", "first", "last", ""};
  spec.pooling = kinds[metadata.integer(".pooling_type", 0, 4, 0)].str();
  readRankHead(spec);
  readDense(spec);
}

//===----------------------------------------------------------------------===//
// T5
//===----------------------------------------------------------------------===//

T5Sizes EncoderReader::readT5Sizes() {
  T5Sizes sizes;
  sizes.hidden = metadata.integer(".embedding_length", 1, maxWidth);
  AttentionSpec heads = readHeads(sizes.hidden);
  if (heads.kvHeads != heads.heads)
    metadata.error(".attention.head_count_kv", "expected the " + Twine(heads.heads) +
                                                   " heads, nothing else is supported in " +
                                                   quote(metadata.architecture));
  sizes.heads = heads.heads;
  sizes.headDim = heads.headDim;
  // Writers put the same number under both keys.
  std::optional<double> older;
  if (metadata.has(".attention.layer_norm_epsilon"))
    older = metadata.number(".attention.layer_norm_epsilon", 0, 1);
  sizes.eps = metadata.number(".attention.layer_norm_rms_epsilon", 0, 1, older);
  FeedForwardSpec &ff = sizes.feedForward;
  ff.size = metadata.integer(".feed_forward_length", 1, maxWidth);
  ff.gated = has("enc.blk.0.ffn_gate");
  // The gated kind is approximated, as the library has it.
  ff.activation = ff.gated ? Activation::GeluTanh : Activation::Relu;
  sizes.buckets = metadata.integer(".attention.relative_buckets_count", 4, 1 << 16, 32);
  if (sizes.buckets / 2 >= sizes.farthest)
    metadata.error(".attention.relative_buckets_count", "expected less than " +
                                                            Twine(2 * sizes.farthest) + ", got " +
                                                            Twine(sizes.buckets));
  return sizes;
}

void EncoderReader::readT5Stack(const T5Sizes &sizes, bool decodes, StringRef count,
                                StackSpec &stack) {
  int64_t layers = metadata.integer(count, 1, maxLayers);
  if (metadata.getDiagnostics().failed())
    return;
  std::string side = decodes ? "dec." : "enc.";
  T5Names names;
  names.embedding = "token_embd";
  names.layer = side + "blk.";
  names.attention = "attn_";
  names.attentionNorm = "attn_norm";
  if (decodes) {
    names.cross = "cross_attn_";
    names.crossNorm = "cross_attn_norm";
  }
  names.gate = "ffn_gate";
  names.up = "ffn_up";
  names.down = "ffn_down";
  names.feedForwardNorm = "ffn_norm";
  names.finalNorm = side + "output_norm";
  names.bias = side + "blk.0.attn_rel_b";
  fillT5Stack(sizes, names, layers, stack);
}

/// The longest text that the file names is that of its training; it says nothing beyond that.
static void readT5Context(Metadata &metadata, int64_t &context) {
  (void)metadata.integer(".context_length", 1, maxPositions, 512);
  context = endlessContext;
}

void EncoderReader::fillT5Encoder(EncoderSpec &spec) {
  spec.vocab = readVocab();
  readT5Context(metadata, spec.context);
  readT5Stack(readT5Sizes(), /*decodes=*/false, ".block_count", spec.stack);
}

void EncoderReader::fillT5(EncoderDecoderSpec &spec) {
  spec.vocab = spec.sourceVocab = readVocab();
  readT5Context(metadata, spec.context);
  T5Sizes sizes = readT5Sizes();
  StringRef layers = ".block_count";
  readT5Stack(sizes, /*decodes=*/false, layers, spec.encoder);
  if (metadata.has(".decoder_block_count"))
    layers = ".decoder_block_count";
  readT5Stack(sizes, /*decodes=*/true, layers, spec.decoder);
  spec.head.name = "output";
  spec.tiedHead = !has("output");
  if (spec.tiedHead)
    spec.headScale = 1 / std::sqrt(double(sizes.hidden));
  spec.redundantTensors = {".cross_attn_rel_b.weight"};
  spec.startId = metadata.id(".decoder_start_token_id", spec.vocab);
  spec.beginId = metadata.id("tokenizer.ggml.bos_token_id", spec.vocab);
  if (int64_t id = metadata.id("tokenizer.ggml.eos_token_id", spec.vocab); id >= 0)
    spec.endIds.push_back(id);
}

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
importer::importEncoderGGUF(mlir::MLIRContext *mlir, Metadata &metadata, int64_t context,
                            Checkpoint &checkpoint) {
  metadata.architecture = metadata.string("general.architecture").str();
  EncoderReader reader(metadata, checkpoint);
  Diagnostics &diagnostics = metadata.getDiagnostics();
  if (metadata.architecture == "t5") {
    EncoderDecoderSpec spec;
    spec.modelType = metadata.architecture;
    reader.fillT5(spec);
    if (diagnostics.failed() ||
        failed(chooseContext(context, spec.context, metadata.getFile(), diagnostics)))
      return failure();
    return buildEncoderDecoder(mlir, spec, checkpoint, diagnostics);
  }
  EncoderSpec spec;
  spec.modelType = metadata.architecture;
  if (metadata.architecture == "t5encoder")
    reader.fillT5Encoder(spec);
  else
    reader.fillBert(spec);
  if (diagnostics.failed() ||
      failed(chooseContext(context, spec.context, metadata.getFile(), diagnostics)))
    return failure();
  return buildEncoder(mlir, spec, checkpoint, diagnostics);
}
