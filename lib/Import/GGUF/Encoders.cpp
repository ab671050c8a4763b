//===- Encoders.cpp - encoders and encoder-decoders in GGUF files -----------------------------===//

#include "Encoders.h"
#include "../Config.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

ArrayRef<StringLiteral> importer::encoderArchitectures() {
  static constexpr StringLiteral names[] = {"bert", "nomic-bert", "jina-bert-v2", "t5",
                                            "t5encoder"};
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
  FeedForwardSpec readFeedForward(int64_t size, Activation gated, Activation plain) const;
  void readT5Stack(StringRef side, StringRef count, bool bidirectional, StackSpec &stack);
  void readRankHead(EncoderSpec &spec);

  Metadata &metadata;
  Checkpoint &checkpoint;
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
  attention.heads = attention.kvHeads = metadata.integer(".attention.head_count", 1, maxHeads);
  if (metadata.integer(".attention.head_count_kv", 1, maxHeads, attention.heads) != attention.heads)
    metadata.error(".attention.head_count_kv",
                   "expected the " + Twine(attention.heads) + " heads, nothing else is supported");
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

FeedForwardSpec EncoderReader::readFeedForward(int64_t size, Activation gated,
                                               Activation plain) const {
  FeedForwardSpec ff;
  ff.size = size;
  ff.up = linear("ffn_up");
  const TensorInfo *up = checkpoint.tensors.find(layer + "ffn_up.weight");
  if (has(layer + "ffn_gate")) {
    ff.gated = true;
    ff.gate = linear("ffn_gate");
  } else if (up && !up->shape.empty() && up->shape[0] == 2 * size) {
    ff.gated = ff.fused = true;
    ff.gate = ff.up;
  }
  ff.activation = ff.gated ? gated : plain;
  ff.down = linear("ffn_down");
  return ff;
}

//===----------------------------------------------------------------------===//
// BERT and what is built like it
//===----------------------------------------------------------------------===//

/// What a re-ranker says of a pair of texts: the row of the first token through one or two linears.
void EncoderReader::readRankHead(EncoderSpec &spec) {
  layer = "";
  HeadSpec head;
  head.output = "classes";
  head.firstRowOnly = true;
  auto step = [&](StringRef name, int64_t size, Activation activation) {
    HeadStep result;
    result.linear = linear(name);
    result.size = size;
    result.activation = activation;
    head.steps.push_back(result);
  };
  bool two = has("cls.output");
  if (has("cls"))
    step("cls", two ? spec.stack.hidden : 0, two ? Activation::Tanh : Activation::Identity);
  if (two)
    step("cls.output", 0, Activation::Identity);
  if (head.steps.empty())
    return;
  // One number is how well the texts fit, as a probability.
  const TensorInfo *last = checkpoint.tensors.find(two ? "cls.output.weight" : "cls.weight");
  if (last && !last->shape.empty() && last->shape[0] == 1) {
    head.labels = {"score"};
    head.independent = true;
  }
  spec.heads.push_back(head);
}

void EncoderReader::fillBert(EncoderSpec &spec) {
  StackSpec &stack = spec.stack;
  spec.vocab = readVocab();
  stack.hidden = stack.embeddingSize = metadata.integer(".embedding_length", 1, maxWidth);
  stack.layers.resize(size_t(metadata.integer(".block_count", 1, maxLayers)));
  spec.context = metadata.integer(".context_length", 1, maxPositions);
  if (metadata.flag(".attention.causal", false))
    metadata.error(".attention.causal",
                   "expected false, nothing else is supported in " + quote(metadata.architecture));
  norm.kind = NormSpec::Layer;
  norm.eps = metadata.number(".attention.layer_norm_epsilon", 0, 1);
  AttentionSpec attention = readHeads(stack.hidden);
  int64_t inner = metadata.integer(".feed_forward_length", 1, maxWidth);
  if (metadata.getDiagnostics().failed())
    return;

  stack.embedding = "token_embd";
  stack.embeddingNorm = normOf("token_embd_norm");
  if (const TensorInfo *types = checkpoint.tensors.find("token_types.weight")) {
    stack.typeTable = "token_types";
    stack.types = types->shape.empty() ? 1 : types->shape[0];
  }
  bool nomic = metadata.architecture == "nomic-bert",
       jina = metadata.architecture == "jina-bert-v2";
  if (const TensorInfo *rows = checkpoint.tensors.find("position_embd.weight")) {
    stack.positionTable = "position_embd";
    stack.positionRows = rows->shape.empty() ? 1 : rows->shape[0];
    spec.context = std::min(spec.context, stack.positionRows);
  } else if (nomic) {
    int64_t size =
        metadata.integer(".rope.dimension_count", 2, attention.headDim, attention.headDim);
    if (size % 2 != 0)
      metadata.error(".rope.dimension_count", "expected an even number, got " + Twine(size));
    RotaryTable table;
    table.frequencies = rotaryFrequencies(metadata.positive(".rope.freq_base", 10000),
                                          size - size % 2, RotaryScaling());
    stack.rotaries.push_back(table);
    attention.rotary = 0;
  } else if (jina) {
    attention.alibi.slopes = alibiSlopes(attention.heads);
  } else {
    (void)metadata.getDiagnostics().error(metadata.getFile(),
                                          "tensor 'position_embd.weight' is missing");
    return;
  }
  if (metadata.value(".moe_every_n_layers"))
    metadata.error(".moe_every_n_layers", "mixtures of experts are not supported in encoders");
  for (auto [index, each] : enumerate(stack.layers)) {
    each.name = layer = ("blk." + Twine(index) + ".").str();
    each.postNorm = true;
    for (StringRef other : {"attn_q_norm", "attn_k_norm", "attn_norm_2"})
      if (has(Twine(layer) + other)) {
        (void)metadata.getDiagnostics().error(
            metadata.getFile(),
            "tensor " + quote(layer + other.str() + ".weight") +
                ": norms of queries, keys and sums are not supported in encoders");
        return;
      }
    each.attention = attention;
    each.attention.fused = has(layer + "attn_qkv");
    each.attention.query = linear(each.attention.fused ? "attn_qkv" : "attn_q");
    each.attention.key = linear("attn_k");
    each.attention.value = linear("attn_v");
    each.attention.output = linear("attn_output");
    each.attentionNorm = normOf("attn_output_norm");
    each.feedForward =
        readFeedForward(inner, nomic ? Activation::Silu : Activation::Gelu, Activation::Gelu);
    each.feedForwardNorm = normOf("layer_output_norm");
  }
  // 0: none, 1: mean, 2: the first token, 3: the last one, 4: the score of a re-ranker.
  static constexpr StringLiteral kinds[] = {"", "mean", "first", "last", ""};
  spec.pooling = kinds[metadata.integer(".pooling_type", 0, 4, 0)].str();
  readRankHead(spec);
}

//===----------------------------------------------------------------------===//
// T5
//===----------------------------------------------------------------------===//

void EncoderReader::readT5Stack(StringRef side, StringRef count, bool bidirectional,
                                StackSpec &stack) {
  stack.hidden = stack.embeddingSize = metadata.integer(".embedding_length", 1, maxWidth);
  stack.causal = !bidirectional;
  stack.embedding = "token_embd";
  stack.layers.resize(size_t(metadata.integer(count, 1, maxLayers)));
  norm.kind = NormSpec::Rms;
  // Writers put the same number under both keys.
  std::optional<double> older;
  if (metadata.has(".attention.layer_norm_epsilon"))
    older = metadata.number(".attention.layer_norm_epsilon", 0, 1);
  norm.eps = metadata.number(".attention.layer_norm_rms_epsilon", 0, 1, older);
  AttentionSpec attention = readHeads(stack.hidden);
  attention.scale = 1;
  int64_t inner = metadata.integer(".feed_forward_length", 1, maxWidth);
  auto named = [&](StringRef module) {
    AttentionSpec result = attention;
    result.query = linear((module + "_q").str());
    result.key = linear((module + "_k").str());
    result.value = linear((module + "_v").str());
    result.output = linear((module + "_o").str());
    return result;
  };
  for (auto [index, each] : enumerate(stack.layers)) {
    each.name = layer = (side + ".blk." + Twine(index) + ".").str();
    each.attention = named("attn");
    each.attentionNorm = norm.named("attn_norm");
    if (!bidirectional) {
      each.hasCross = true;
      each.cross = named("cross_attn");
      each.crossNorm = norm.named("cross_attn_norm");
    }
    // The gated kind is approximated, as the library has it.
    each.feedForward = readFeedForward(inner, Activation::GeluTanh, Activation::Relu);
    each.feedForwardNorm = norm.named("ffn_norm");
  }
  stack.finalNorm = norm.named((side + ".output_norm").str());
  stack.bias.table = (side + ".blk.0.attn_rel_b").str();
  stack.bias.rows = metadata.integer(".attention.relative_buckets_count", 4, 1 << 16, 32);
  if (stack.bias.rows / 2 >= 128)
    metadata.error(".attention.relative_buckets_count",
                   "expected less than 256, got " + Twine(stack.bias.rows));
  else
    stack.bias.buckets = logarithmicBuckets(stack.bias.rows, 128, bidirectional);
}

/// The longest text that the file names is that of its training; it says nothing beyond that.
static void readT5Context(Metadata &metadata, int64_t &context) {
  (void)metadata.integer(".context_length", 1, maxPositions, 512);
  context = endlessContext;
}

void EncoderReader::fillT5Encoder(EncoderSpec &spec) {
  spec.vocab = readVocab();
  readT5Context(metadata, spec.context);
  readT5Stack("enc", ".block_count", /*bidirectional=*/true, spec.stack);
}

void EncoderReader::fillT5(EncoderDecoderSpec &spec) {
  spec.vocab = spec.sourceVocab = readVocab();
  readT5Context(metadata, spec.context);
  readT5Stack("enc", ".block_count", /*bidirectional=*/true, spec.encoder);
  readT5Stack("dec", metadata.has(".decoder_block_count") ? ".decoder_block_count" : ".block_count",
              /*bidirectional=*/false, spec.decoder);
  spec.head.name = "output";
  spec.tiedHead = !has("output");
  if (spec.tiedHead)
    spec.headScale = 1 / std::sqrt(double(spec.decoder.hidden));
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
