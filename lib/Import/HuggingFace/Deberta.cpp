//===- Deberta.cpp - DeBERTa-v2 and v3 --------------------------------------------------------===//
//
// Scores are those of BERT plus products of queries and keys with embeddings of their distance.
//
//===----------------------------------------------------------------------------------------===//

#include "EncoderFamilies.h"
#include <cmath>

using namespace llvm;
using namespace ingot::importer;

/// Which row of the table of distances each distance of query and key has, up to those beyond which
/// all have the first or the last one: `buckets` on a logarithmic scale up to `farthest`, or the
/// distance itself.
static std::vector<int32_t> rowsOfDistances(int64_t buckets, int64_t farthest, int64_t context) {
  int64_t span = buckets > 0 ? buckets : farthest, middle = buckets / 2;
  auto place = [&](int64_t distance) {
    if (buckets == 0 || distance <= middle)
      return distance;
    // In f32, as the library computes it.
    float scale = std::log(float(distance) / float(middle)) /
                  std::log(float(double(farthest - 1) / double(middle)));
    return int64_t(std::ceil(scale * float(middle - 1))) + middle;
  };
  int64_t last = 1;
  while (last < context && place(last) < span)
    ++last;
  std::vector<int32_t> rows;
  for (int64_t distance = -last; distance <= last; ++distance) {
    int64_t there = distance < 0 ? -place(-distance) : place(distance);
    rows.push_back(int32_t(std::clamp<int64_t>(there + span, 0, 2 * span - 1)));
  }
  return rows;
}

/// The kinds of products, as a list or as text between bars.
static std::vector<std::string> readKinds(Config &config, StringRef name) {
  if (!config.isString(name))
    return config.strings(name);
  std::vector<std::string> kinds;
  SmallVector<StringRef> parts;
  std::string text = config.string(name, "").lower();
  StringRef(text).split(parts, '|', -1, /*KeepEmpty=*/false);
  for (StringRef part : parts)
    kinds.push_back(part.trim().str());
  return kinds;
}

/// The products by distance, and the scale of scores, which counts them.
static void readDistances(Config &config, EncoderSpec &spec, const NormSpec &norm) {
  StackSpec &stack = spec.stack;
  bool relative = config.flag("relative_attention", false);
  bool shared = config.flag("share_att_key", false);
  LinearSpec key, query;
  for (StringRef kind : readKinds(config, "pos_att_type")) {
    if (kind == "c2p")
      key = {shared ? "attention.self.key_proj" : "attention.self.pos_key_proj", true};
    else if (kind == "p2c")
      query = {shared ? "attention.self.query_proj" : "attention.self.pos_query_proj", true};
    else
      config.error("pos_att_type", "expected c2p and p2c, got " + quote(kind));
  }
  double terms = 1 + !key.name.empty() + !query.name.empty();
  for (StackLayerSpec &layer : stack.layers)
    layer.attention.scale /= std::sqrt(terms);
  if (!relative) {
    for (StringRef field : {"position_buckets", "norm_rel_ebd", "max_relative_positions"})
      spec.fieldsWithoutEffect.push_back(field.str());
    return;
  }
  int64_t farthest = config.integer("max_relative_positions", -1, 1 << 20, -1);
  if (farthest < 1)
    farthest = spec.context;
  int64_t buckets = std::max<int64_t>(config.integer("position_buckets", -1, 1 << 20, -1), 0);
  if (buckets > 0 && (buckets < 4 || farthest - 1 <= buckets / 2))
    config.error("position_buckets", "expected at least 4, and less than twice the positions");
  else if (buckets == 0 && farthest > 1 << 20)
    config.error("max_position_embeddings",
                 "expected at most 1048576 relative positions, got " + Twine(farthest));
  SmallVector<StringRef> norms;
  std::string text = config.string("norm_rel_ebd", "none").lower();
  StringRef(text).split(norms, '|');
  bool normed = any_of(norms, [](StringRef each) { return each.trim() == "layer_norm"; });
  if (config.getDiagnostics().failed())
    return;
  if (terms == 1) {
    spec.redundantTensors.insert(
        spec.redundantTensors.end(),
        {"encoder.rel_embeddings.weight", "encoder.LayerNorm.weight", "encoder.LayerNorm.bias"});
    return;
  }
  stack.relative.key = key;
  stack.relative.query = query;
  stack.relative.table = "encoder.rel_embeddings";
  stack.relative.rows = 2 * (buckets > 0 ? buckets : farthest);
  if (normed)
    stack.relative.norm = norm.named("encoder.LayerNorm");
  stack.relative.rowOf = rowsOfDistances(buckets, farthest, spec.context);
}

static void readConvolution(Config &config, StackSpec &stack, const NormSpec &norm) {
  ConvolutionSpec &conv = stack.convolution;
  conv.taps = config.integer("conv_kernel_size", 0, 1 << 10, 0);
  conv.groups = config.integer("conv_groups", 1, maxWidth, 1);
  conv.activation = readActivation(config, "conv_act", "tanh");
  if (conv.taps == 0)
    return;
  if (conv.taps % 2 == 0)
    config.error("conv_kernel_size", "expected an odd number, got " + Twine(conv.taps));
  if (stack.hidden % conv.groups != 0)
    config.error("conv_groups", "expected a divisor of the hidden size, " + Twine(stack.hidden) +
                                    ", got " + Twine(conv.groups));
  conv.name = "encoder.conv.conv";
  conv.norm = norm.named("encoder.conv.LayerNorm");
}

void ingot::importer::fillDebertaV2(Config &config, StringRef head, EncoderSpec &spec) {
  readEncoderSizes(config, spec);
  spec.prefixes = {"deberta.", ""};
  StackSpec &stack = spec.stack;
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, 1e-7), /*bias=*/true);
  stack.embedding = "embeddings.word_embeddings";
  stack.embeddingNorm = norm.named("embeddings.LayerNorm");
  if (config.flag("position_biased_input", true))
    stack.positionTable = "embeddings.position_embeddings";
  else
    spec.redundantTensors.push_back("embeddings.position_embeddings.weight");
  stack.types = config.integer("type_vocab_size", 0, maxVocab, 0);
  if (stack.types)
    stack.typeTable = "embeddings.token_type_embeddings";
  stack.embeddingSize = config.integer("embedding_size", 1, maxWidth, stack.hidden);
  if (stack.embeddingSize != stack.hidden) {
    stack.embeddingProjection = {"embeddings.embed_proj", /*bias=*/false};
    stack.normAfterProjection = true;
  }
  readConvolution(config, stack, norm);
  Activation activation = readActivation(config, "hidden_act", "gelu");
  StackLayerSpec layer = bertLayer(
      {"attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj",
       "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense",
       "output.LayerNorm"},
      readEncoderHeads(config, stack.hidden), config.integer("intermediate_size", 1, maxWidth),
      activation, norm);
  if (config.integer("attention_head_size", 1, maxHeadDim, layer.attention.headDim) !=
      layer.attention.headDim)
    config.error("attention_head_size", "expected the hidden size by the number of heads, " +
                                            Twine(layer.attention.headDim));
  repeatLayer(stack, layer, "encoder.layer.");
  readDistances(config, spec, norm);
  spec.fieldsWithoutEffect.push_back("pooler_dropout");
  if (config.integer("pooler_hidden_size", 1, maxWidth, stack.hidden) != stack.hidden)
    config.error("pooler_hidden_size", "expected the hidden size, " + Twine(stack.hidden));
  Activation pooling = readActivation(config, "pooler_hidden_act", "gelu");
  HeadSpec result;
  bool older = config.flag("legacy", true);
  if (head == "ForMaskedLM") {
    HeadStep transform =
        linearStep(older ? "cls.predictions.transform.dense" : "lm_predictions.lm_head.dense",
                   older ? stack.embeddingSize : stack.hidden, activation);
    transform.norm = norm.named(older ? "cls.predictions.transform.LayerNorm"
                                      : "lm_predictions.lm_head.LayerNorm");
    HeadStep decoder = tiedStep(config, "cls.predictions.decoder", spec.vocab,
                                older ? "cls.predictions.bias" : "lm_predictions.lm_head.bias");
    // The newer head has no matrix of its own.
    decoder.tied |= !older;
    if (!older && stack.embeddingSize != stack.hidden)
      config.error("legacy",
                   "expected true where embedding_size is not the hidden size, got false");
    result.output = "logits";
    result.steps = {transform, decoder};
  } else if (head == "ForSequenceClassification" || head == "ForMultipleChoice") {
    result.output = "classes";
    result.firstRowOnly = true;
    result.steps = {linearStep("pooler.dense", stack.hidden, pooling), linearStep("classifier", 0)};
  } else if (head == "Model" || addTokenHead(head, spec)) {
    return;
  } else {
    refuseHead(config, head);
  }
  spec.heads.push_back(result);
}
