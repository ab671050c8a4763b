//===- Olmo.cpp - OlmoForCausalLM and Olmo2ForCausalLM ----------------------------------------===//

#include "Families.h"

using namespace ingot::importer;

void ingot::importer::fillOlmo(Config &config, DecoderSpec &spec) {
  NormSpec norm = layerNorm(1e-5, /*bias=*/false);
  norm.affine = false;
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm);
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.clip = readSoftcap(config, "clip_qkv", 0);
  repeatLayer(spec, layer);
}

void ingot::importer::fillOlmo2(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-5));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm);
  layer.attentionNorm = layer.feedForwardNorm = {};
  layer.attentionPostNorm = norm.named("layers.*.post_attention_layernorm");
  layer.feedForwardPostNorm = norm.named("layers.*.post_feedforward_layernorm");
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.normsAllHeads = true;
  layer.attention.queryNorm = norm.named("layers.*.self_attn.q_norm");
  layer.attention.keyNorm = norm.named("layers.*.self_attn.k_norm");
  repeatLayer(spec, layer);
}
