//===- Gemma.cpp - Gemma{,2,3}ForCausalLM, Gemma3TextModel ------------------------------------===//

#include "EncoderFamilies.h"
#include <cmath>

using namespace ingot::importer;

static NormSpec gemmaNorm(Config &config) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  norm.offset = 1;
  return norm;
}

void ingot::importer::fillGemma(Config &config, DecoderSpec &spec) {
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/true, gemmaNorm(config),
                                   {/*context=*/8192, /*kvHeads=*/16, /*headDim=*/256});
  // "gelu" of the first configs means the approximation.
  Activation &activation = layer.feedForward.activation;
  activation = readActivation(config, "hidden_act", "gelu_pytorch_tanh");
  if (activation == Activation::Gelu)
    activation = Activation::GeluTanh;
  layer.attention.setBias(config.flag("attention_bias", false));
  config.onlyFalse("use_bidirectional_attention");
  spec.embeddingScale = std::sqrt(double(spec.hidden));
  spec.fieldsWithoutEffect = {"hidden_activation"};
  repeatLayer(spec, layer);
}

/// What Gemma 2 and 3 share: norms around both branches, and capped logits.
static LayerSpec readGemma2Layer(Config &config, DecoderSpec &spec, int64_t context,
                                 double logitCap) {
  NormSpec norm = gemmaNorm(config);
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/true, norm, {context, /*kvHeads=*/4, /*headDim=*/256},
                     {}, "hidden_activation");
  layer.feedForward.activation = readActivation(config, "hidden_activation", "gelu_pytorch_tanh");
  layer.attentionPostNorm = norm.named("layers.*.post_attention_layernorm");
  layer.feedForwardNorm = norm.named("layers.*.pre_feedforward_layernorm");
  layer.feedForwardPostNorm = norm.named("layers.*.post_feedforward_layernorm");
  spec.embeddingScale = std::sqrt(double(spec.hidden));
  spec.logitSoftcap = readSoftcap(config, "final_logit_softcapping", logitCap);
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.scale = 1 / std::sqrt(config.positive("query_pre_attn_scalar", 256));
  // An older name, which the library leaves aside.
  spec.fieldsWithoutEffect = {"hidden_act", "_sliding_window_pattern"};
  return layer;
}

void ingot::importer::fillGemma2(Config &config, DecoderSpec &spec) {
  LayerSpec layer = readGemma2Layer(config, spec, 8192, 30);
  config.onlyFalse("use_bidirectional_attention");
  layer.attention.softcap = readSoftcap(config, "attn_logit_softcapping", 50);
  repeatLayer(spec, layer);
  int64_t window = readWindow(config, "sliding_window", 4096);
  readLayerTypes(config, spec, window, [](size_t i) { return i % 2 == 0; });
}

static void readGemma3(Config &config, DecoderSpec &spec) {
  // Layers with a window have rotary positions of their own.
  Config *both = config.child("rope_parameters");
  Config *full = both ? both->child("full_attention") : config.child("rope_scaling");
  Config *sliding = both ? both->child("sliding_attention") : nullptr;
  LayerSpec layer = readGemma2Layer(config, spec, 131072, 0);
  // The library keeps this field of Gemma 2, and does not look at it.
  spec.fieldsWithoutEffect.push_back("attn_logit_softcapping");
  layer.attention.queryNorm = layer.attentionNorm.named("layers.*.self_attn.q_norm");
  layer.attention.keyNorm = layer.attentionNorm.named("layers.*.self_attn.k_norm");
  spec.rotaries.clear();
  layer.attention.rotary = readRotaryTable(config, full, "rope_parameters|rope_scaling", spec,
                                           layer.attention.headDim, {1e6});
  std::optional<size_t> local =
      readRotaryTable(config, sliding, "rope_parameters", spec, layer.attention.headDim,
                      {10000, std::nullopt, "rope_local_base_freq"});
  repeatLayer(spec, layer);
  readLayerPattern(config, spec, "sliding_window_pattern", 6);
  for (LayerSpec &each : spec.layers)
    if (each.attention.window != 0)
      each.attention.rotary = local;
}

void ingot::importer::fillGemma3(Config &config, DecoderSpec &spec) {
  config.onlyFalse("use_bidirectional_attention");
  readGemma3(config, spec);
}

void ingot::importer::fillEmbeddingGemma(Config &config, llvm::StringRef head, EncoderSpec &spec) {
  DecoderSpec decoder;
  readGemma3(config, decoder);
  if (!config.flag("use_bidirectional_attention", false))
    config.error("use_bidirectional_attention", "expected true in this class");
  if (head != "Model")
    refuseHead(config, head);
  if (config.getDiagnostics().failed())
    return;
  // Half of the window on either side.
  for (LayerSpec &layer : decoder.layers)
    if (int64_t &window = layer.attention.window)
      window = window / 2 + 1;
  spec.vocab = decoder.vocab;
  spec.context = decoder.context;
  spec.prefixes = decoder.prefixes;
  std::optional<StackSpec> stack = bidirectional(decoder);
  if (!stack)
    return config.error("architectures", "expected a model of plain layers");
  spec.stack = *stack;
  spec.fieldsWithoutEffect = decoder.fieldsWithoutEffect;
}
