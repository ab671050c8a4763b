//===- Cohere.cpp - CohereForCausalLM and Cohere2ForCausalLM ----------------------------------===//

#include "Families.h"

using namespace ingot::importer;

static LayerSpec readCohereLayer(Config &config, DecoderSpec &spec, double theta) {
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, 1e-5), /*bias=*/false);
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/true, norm, {/*context=*/8192}, {theta});
  layer.parallel = true;
  layer.feedForwardNorm = {};
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.interleaved = true;
  spec.logitScale = config.positive("logit_scale", 0.0625);
  return layer;
}

void ingot::importer::fillCohere(Config &config, DecoderSpec &spec) {
  LayerSpec layer = readCohereLayer(config, spec, 500000);
  if (config.flag("use_qk_norm", false)) {
    NormSpec ofHead = layer.attentionNorm;
    ofHead.perHead = true;
    layer.attention.queryNorm = ofHead.named("layers.*.self_attn.q_norm");
    layer.attention.keyNorm = ofHead.named("layers.*.self_attn.k_norm");
  }
  repeatLayer(spec, layer);
}

void ingot::importer::fillCohere2(Config &config, DecoderSpec &spec) {
  repeatLayer(spec, readCohereLayer(config, spec, 10000));
  readLayerPattern(config, spec, "sliding_window_pattern", 4);
  for (LayerSpec &layer : spec.layers)
    if (layer.attention.window == 0)
      layer.attention.rotary.reset();
}
