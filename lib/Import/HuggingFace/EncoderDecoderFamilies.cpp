//===- EncoderDecoderFamilies.cpp - from config.json to encoder-decoders ----------------------===//

#include "EncoderDecoderFamilies.h"
#include "EncoderFamilies.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

ArrayRef<EncoderDecoderFamily> importer::encoderDecoderFamilies() {
  static constexpr EncoderDecoderFamily table[] = {
      {"bart", "BartForConditionalGeneration", fillBart, 0, 2, 2},
      {"blenderbot", "BlenderbotForConditionalGeneration", fillBlenderbot, 1, 2, 1},
      {"blenderbot-small", "BlenderbotSmallForConditionalGeneration", fillBlenderbotSmall, 1, 2, 1},
      {"m2m_100", "M2M100ForConditionalGeneration", fillM2M100, 0, 2, 2},
      {"marian", "MarianMTModel", fillMarian, -1, 0, 58100},
      {"mbart", "MBartForConditionalGeneration", fillMBart, 0, 2, -1},
      {"mt5", "MT5ForConditionalGeneration", fillT5, -1, 1, 0},
      {"pegasus", "PegasusForConditionalGeneration", fillPegasus, -1, 1, 0},
      {"t5", "T5ForConditionalGeneration", fillT5, -1, 1, 0},
  };
  return table;
}

//===----------------------------------------------------------------------===//
// BART and its relatives
//===----------------------------------------------------------------------===//

namespace {

/// Where relatives of BART differ.
struct BartOptions {
  /// Norms before the sums, and one after the last layer.
  bool preNorm = false;
  bool embeddingNorm = false;
  /// Learned positions start at this row.
  int64_t positionOffset = 0;
  /// The library's default of the number of positions.
  int64_t context = 1024;
};

/// What belongs to one stack, "encoder" or "decoder".
struct BartStack {
  StringRef side, layers, heads, inner;
};

} // namespace

static AttentionSpec readBartHeads(Config &config, int64_t hidden, StringRef heads,
                                   StringRef module) {
  AttentionSpec attention;
  attention.heads = attention.kvHeads = config.integer(heads, 1, maxHeads);
  if (hidden % attention.heads != 0)
    config.error(heads, "expected a divisor of d_model, " + Twine(hidden) + ", got " +
                            Twine(attention.heads));
  attention.headDim = std::max<int64_t>(hidden / attention.heads, 1);
  attention.scale = 1 / std::sqrt(double(attention.headDim));
  attention.setBias(true);
  attention.query.name = (module + ".q_proj").str();
  attention.key.name = (module + ".k_proj").str();
  attention.value.name = (module + ".v_proj").str();
  attention.output.name = (module + ".out_proj").str();
  return attention;
}

static void readBartStack(Config &config, EncoderDecoderSpec &spec, const BartStack &names,
                          const BartOptions &options, StackSpec &stack) {
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, 1e-5), /*bias=*/true);
  bool decodes = names.side == "decoder";
  stack.hidden = stack.embeddingSize = config.integer("d_model|hidden_size", 1, maxWidth);
  stack.causal = decodes;
  stack.embedding = config.flag("share_encoder_decoder_embeddings", true)
                        ? "shared"
                        : (names.side + ".embed_tokens").str();
  bool isM2M100 = spec.modelType == "m2m_100";
  if (config.flag("scale_embedding", isM2M100))
    stack.embeddingScale = std::sqrt(double(stack.hidden));
  if (options.embeddingNorm)
    stack.embeddingNorm = norm.named((names.side + ".layernorm_embedding").str());
  stack.layers.resize(config.integer(names.layers, 1, maxLayers));
  stack.positionTable = (names.side + ".embed_positions").str();
  stack.positionOffset = options.positionOffset;
  stack.positionRows = spec.context + options.positionOffset;
  StackLayerSpec layer;
  layer.postNorm = !options.preNorm;
  layer.attention = readBartHeads(config, stack.hidden, names.heads, "self_attn");
  layer.attentionNorm = norm.named("self_attn_layer_norm");
  if (decodes) {
    layer.hasCross = true;
    layer.cross = readBartHeads(config, stack.hidden, names.heads, "encoder_attn");
    layer.crossNorm = norm.named("encoder_attn_layer_norm");
  }
  layer.feedForward.size = config.integer(names.inner, 1, maxWidth);
  layer.feedForward.activation =
      readActivation(config, "activation_function", isM2M100 ? "relu" : "gelu");
  layer.feedForward.up.name = "fc1";
  layer.feedForward.down.name = "fc2";
  layer.feedForward.setBias(true);
  layer.feedForwardNorm = norm.named("final_layer_norm");
  for (auto [index, into] : enumerate(stack.layers)) {
    into = layer;
    into.name = (names.side + ".layers." + Twine(index) + ".").str();
  }
  if (options.preNorm)
    stack.finalNorm = norm.named((names.side + ".layer_norm").str());
}

static void readBart(Config &config, EncoderDecoderSpec &spec, const BartOptions &options) {
  spec.vocab = spec.sourceVocab = config.integer("vocab_size", 1, maxVocab);
  if (!config.flag("share_encoder_decoder_embeddings", true))
    spec.vocab = config.integer("decoder_vocab_size", 1, maxVocab, spec.vocab);
  else if (config.integer("decoder_vocab_size", 1, maxVocab, spec.vocab) != spec.vocab)
    config.error("decoder_vocab_size", "expected vocab_size, the embeddings are shared");
  spec.context = config.integer("max_position_embeddings", 1, maxPositions, options.context);
  spec.learnedPositions = true;
  readBartStack(config, spec,
                {"encoder", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"},
                options, spec.encoder);
  readBartStack(config, spec,
                {"decoder", "decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"},
                options, spec.decoder);
  spec.prefixes = {"model.", ""};
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  spec.logitsBias = "final_logits_bias";
  spec.redundantTensors = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
                           "shared.weight"};
  if (config.has("normalize_before") && config.flag("normalize_before") != options.preNorm)
    config.error("normalize_before",
                 Twine("expected ") + (options.preNorm ? "true" : "false") + " in this family");
  (void)config.flag("normalize_before", options.preNorm);
  (void)config.integer("num_hidden_layers", 1, maxLayers, 1);
  spec.fieldsWithoutEffect = {"activation_dropout",
                              "encoder_layerdrop",
                              "decoder_layerdrop",
                              "init_std",
                              "position_encoding",
                              "classif_dropout",
                              "add_bias_logits",
                              "add_final_layer_norm",
                              "normalize_embedding",
                              "static_position_embeddings",
                              "extra_pos_embeddings",
                              "gradient_checkpointing",
                              "force_bos_token_to_be_generated"};
}

/// Positions that are not learned: sines and cosines of position / 10000^(2 i / size), sines first.
static std::vector<float> sinusoids(int64_t rows, int64_t size) {
  std::vector<float> values(size_t(rows * size));
  int64_t half = (size + 1) / 2;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < size; ++i) {
      double angle = double(row) / std::pow(10000.0, 2 * double(i / 2) / double(size));
      values[size_t(row * size + (i % 2 ? half + i / 2 : i / 2))] =
          float(i % 2 ? std::cos(angle) : std::sin(angle));
    }
  return values;
}

static void useSinusoids(EncoderDecoderSpec &spec) {
  for (StackSpec *stack : {&spec.encoder, &spec.decoder})
    // Where a file has them, they are a table like any other.
    stack->positionValues = sinusoids(spec.context, stack->hidden);
}

void importer::fillBart(Config &config, EncoderDecoderSpec &spec) {
  readBart(config, spec, {/*preNorm=*/false, /*embeddingNorm=*/true, /*positionOffset=*/2});
}

void importer::fillMBart(Config &config, EncoderDecoderSpec &spec) {
  readBart(config, spec, {/*preNorm=*/true, /*embeddingNorm=*/true, /*positionOffset=*/2});
}

void importer::fillBlenderbot(Config &config, EncoderDecoderSpec &spec) {
  BartOptions options;
  options.preNorm = true;
  options.context = 128;
  readBart(config, spec, options);
}

void importer::fillBlenderbotSmall(Config &config, EncoderDecoderSpec &spec) {
  BartOptions options;
  options.embeddingNorm = true;
  options.context = 512;
  readBart(config, spec, options);
  spec.decoder.normBeforePositions = true;
  // What is normed at once is not scaled before.
  spec.decoder.embeddingScale = 1;
}

void importer::fillMarian(Config &config, EncoderDecoderSpec &spec) {
  readBart(config, spec, {});
  if (!config.getDiagnostics().failed())
    useSinusoids(spec);
}

void importer::fillPegasus(Config &config, EncoderDecoderSpec &spec) {
  readBart(config, spec, {/*preNorm=*/true});
  if (!config.getDiagnostics().failed())
    useSinusoids(spec);
}

void importer::fillM2M100(Config &config, EncoderDecoderSpec &spec) {
  readBart(config, spec, {/*preNorm=*/true});
  // Sines then cosines of position * 10000^(-i / (half - 1)), in f32; the first position is the one
  // after padding.
  int64_t padding = config.integer("pad_token_id", 0, maxVocab, 1);
  if (config.getDiagnostics().failed())
    return;
  for (StackSpec *stack : {&spec.encoder, &spec.decoder}) {
    int64_t size = stack->hidden, half = size / 2;
    float step = float(std::log(10000.0) / double(half - 1));
    std::vector<float> values(size_t(spec.context * size), 0.0f);
    for (int64_t row = 0; row < spec.context; ++row)
      for (int64_t i = 0; i < half; ++i) {
        float angle = float(row + padding + 1) * std::exp(float(i) * -step);
        values[size_t(row * size + i)] = std::sin(angle);
        values[size_t(row * size + half + i)] = std::cos(angle);
      }
    stack->positionTable.clear();
    stack->positionOffset = 0;
    stack->positionValues = std::move(values);
  }
  spec.redundantTensors.push_back(".embed_positions.weights");
}

//===----------------------------------------------------------------------===//
// T5
//===----------------------------------------------------------------------===//

static FeedForwardSpec readT5FeedForward(Config &config, StringRef modelType) {
  FeedForwardSpec ff;
  ff.size = config.integer("d_ff", 1, maxWidth);
  StringRef kind = config.string("feed_forward_proj", modelType == "mt5" ? "gated-gelu" : "relu");
  StringRef name = kind;
  ff.gated = name.consume_front("gated-");
  // What the library calls gated-gelu is approximated.
  if (ff.gated && name == "gelu")
    name = "gelu_new";
  std::optional<Activation> activation = findActivation(name);
  if (!activation)
    config.error("feed_forward_proj",
                 "expected an activation, or gated- and an activation, got " + quote(kind));
  ff.activation = activation.value_or(Activation::Relu);
  return ff;
}

static T5Sizes readT5Sizes(Config &config, StringRef modelType) {
  T5Sizes sizes;
  sizes.hidden = config.integer("d_model|hidden_size", 1, maxWidth);
  sizes.heads = config.integer("num_heads", 1, maxHeads);
  sizes.headDim = config.integer("d_kv", 1, maxHeadDim);
  sizes.eps = config.number("layer_norm_epsilon", 0, 1, 1e-6);
  sizes.feedForward = readT5FeedForward(config, modelType);
  sizes.buckets = config.integer("relative_attention_num_buckets", 4, 1 << 16, 32);
  sizes.farthest = config.integer("relative_attention_max_distance", 2, 1 << 20, 128);
  if (sizes.farthest <= sizes.buckets / 2)
    config.error("relative_attention_max_distance", "expected more than half of the buckets, " +
                                                        Twine(sizes.buckets / 2) + ", got " +
                                                        Twine(sizes.farthest));
  return sizes;
}

static void readT5Stack(Config &config, const T5Sizes &sizes, StringRef layers, bool decodes,
                        StackSpec &stack) {
  int64_t count = config.integer(layers, 1, maxLayers);
  if (config.getDiagnostics().failed())
    return;
  std::string side = decodes ? "decoder." : "encoder.", last = decodes ? "layer.2." : "layer.1.",
              dense = last + "DenseReluDense.";
  T5Names names;
  names.embedding = "shared";
  names.layer = side + "block.";
  names.attention = "layer.0.SelfAttention.";
  names.attentionNorm = "layer.0.layer_norm";
  if (decodes) {
    names.cross = "layer.1.EncDecAttention.";
    names.crossNorm = "layer.1.layer_norm";
  }
  names.gate = dense + "wi_0";
  names.up = dense + (sizes.feedForward.gated ? "wi_1" : "wi");
  names.down = dense + "wo";
  names.feedForwardNorm = last + "layer_norm";
  names.finalNorm = side + "final_layer_norm";
  names.bias = side + "block.0.layer.0.SelfAttention.relative_attention_bias";
  fillT5Stack(sizes, names, count, stack);
}

static std::vector<std::string> t5FieldsWithoutEffect() {
  return {
      "dropout_rate", "initializer_factor",          "dense_act_fn", "is_gated_act", "n_positions",
      "output_past",  "encoder_no_repeat_ngram_size"};
}

void importer::fillT5Encoder(Config &config, StringRef, EncoderSpec &spec) {
  spec.vocab = config.integer("vocab_size", 1, maxVocab);
  spec.context = endlessContext;
  readT5Stack(config, readT5Sizes(config, spec.modelType), "num_layers|num_hidden_layers",
              /*decodes=*/false, spec.stack);
  spec.fieldsWithoutEffect = t5FieldsWithoutEffect();
  // Files name those of the decoder that they lack as well.
  spec.fieldsWithoutEffect.insert(
      spec.fieldsWithoutEffect.end(),
      {"is_encoder_decoder", "num_decoder_layers", "scale_decoder_outputs"});
  spec.redundantTensors = {"encoder.embed_tokens.weight"};
}

void importer::fillT5(Config &config, EncoderDecoderSpec &spec) {
  spec.vocab = spec.sourceVocab = config.integer("vocab_size", 1, maxVocab);
  spec.context = endlessContext;
  T5Sizes sizes = readT5Sizes(config, spec.modelType);
  StringRef layers = "num_layers|num_hidden_layers";
  readT5Stack(config, sizes, layers, /*decodes=*/false, spec.encoder);
  readT5Stack(config, sizes, config.has("num_decoder_layers") ? "num_decoder_layers" : layers,
              /*decodes=*/true, spec.decoder);
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  spec.fieldsWithoutEffect = t5FieldsWithoutEffect();
  // The library's mT5 does not scale since its version 5; before, it did with a tied head.
  if (spec.modelType != "t5")
    spec.fieldsWithoutEffect.push_back("scale_decoder_outputs");
  else if (config.flag("scale_decoder_outputs", spec.tiedHead))
    spec.headScale = 1 / std::sqrt(double(sizes.hidden));
  config.onlyFalse("is_decoder");
  spec.redundantTensors = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
                           "EncDecAttention.relative_attention_bias.weight"};
}
