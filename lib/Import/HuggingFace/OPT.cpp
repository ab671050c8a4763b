//===- OPT.cpp - OPTForCausalLM ---------------------------------------------------------------===//

#include "Families.h"

using namespace ingot::importer;

void ingot::importer::fillOPT(Config &config, DecoderSpec &spec) {
  readSizes(config, spec);
  spec.prefixes = {"model.decoder.", "decoder.", ""};
  spec.embedding = "embed_tokens";
  spec.positionTable = "embed_positions";
  spec.positionOffset = 2;
  spec.positionRows = spec.context + spec.positionOffset;
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  int64_t width = config.integer("word_embed_proj_dim", 1, maxWidth, spec.hidden);
  if (width != spec.hidden) {
    spec.embeddingSize = width;
    spec.project.name = "project_in";
    spec.unproject.name = "project_out";
  }
  bool affine = config.flag("layer_norm_elementwise_affine", true);
  NormSpec norm = layerNorm(1e-5, /*bias=*/affine);
  norm.affine = affine;
  bool before = config.flag("do_layer_norm_before", true);
  bool bias = config.flag("enable_bias", true);
  if (before && !config.flag("_remove_final_layer_norm", false))
    spec.finalNorm = norm.named("final_layer_norm");
  if (!before)
    spec.fieldsWithoutEffect = {"_remove_final_layer_norm"};

  LayerSpec layer;
  layer.name = "layers.*";
  NormSpec ofAttention = norm.named("layers.*.self_attn_layer_norm");
  NormSpec ofFeedForward = norm.named("layers.*.final_layer_norm");
  (before ? layer.attentionNorm : layer.attentionSumNorm) = ofAttention;
  (before ? layer.feedForwardNorm : layer.feedForwardSumNorm) = ofFeedForward;
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "num_attention_heads", "", "");
  attention.query.name = "layers.*.self_attn.q_proj";
  attention.key.name = "layers.*.self_attn.k_proj";
  attention.value.name = "layers.*.self_attn.v_proj";
  attention.output.name = "layers.*.self_attn.out_proj";
  attention.setBias(bias);
  layer.feedForward =
      plainFeedForward("layers.*.fc1", "layers.*.fc2", bias, config.integer("ffn_dim", 1, maxWidth),
                       readActivation(config, "activation_function", "relu"));
  repeatLayer(spec, layer);
}
