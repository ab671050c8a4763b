//===- Cohere.cpp - CohereForCausalLM ---------------------------------------------------------===//

#include "Families.h"

using namespace ingot::importer;

void ingot::importer::fillCohere(Config &config, DecoderSpec &spec) {
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, 1e-5), /*bias=*/false);
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/true, norm);
  layer.parallel = true;
  layer.feedForwardNorm = {};
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.interleaved = true;
  config.onlyFalse("use_qk_norm");
  spec.logitScale = config.positive("logit_scale", 0.0625);
  repeatLayer(spec, layer);
}
