//===- Llama.cpp - LlamaForCausalLM -----------------------------------------------------------===//

#include "Families.h"

using namespace ingot::importer;

void ingot::importer::fillLlama(Config &config, DecoderSpec &spec) {
  readSizes(config, spec);
  spec.prefixes = {"model.", ""};
  spec.embedding = "embed_tokens";
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", false);
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  spec.finalNorm = norm.named("norm");

  LayerSpec layer;
  layer.name = "layers.*";
  layer.attentionNorm = norm.named("layers.*.input_layernorm");
  layer.feedForwardNorm = norm.named("layers.*.post_attention_layernorm");

  AttentionSpec &attention = layer.attention = readHeads(config, spec);
  readRotary(config, spec, attention, /*partial=*/false);
  bool attentionBias = config.flag("attention_bias", false);
  attention.query = {"layers.*.self_attn.q_proj", attentionBias};
  attention.key = {"layers.*.self_attn.k_proj", attentionBias};
  attention.value = {"layers.*.self_attn.v_proj", attentionBias};
  attention.output = {"layers.*.self_attn.o_proj", attentionBias};

  FeedForwardSpec &ff = layer.feedForward;
  ff.gated = true;
  ff.size = config.integer("intermediate_size", 1, maxWidth);
  ff.activation = readActivation(config, "hidden_act", "silu");
  bool mlpBias = config.flag("mlp_bias", false);
  ff.gate = {"layers.*.mlp.gate_proj", mlpBias};
  ff.up = {"layers.*.mlp.up_proj", mlpBias};
  ff.down = {"layers.*.mlp.down_proj", mlpBias};
  repeatLayer(spec, layer);
}
