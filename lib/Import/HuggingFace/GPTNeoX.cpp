//===- GPTNeoX.cpp - GPTNeoXForCausalLM -------------------------------------------------------===//

#include "Families.h"

using namespace ingot::importer;

void ingot::importer::fillGPTNeoX(Config &config, DecoderSpec &spec) {
  readSizes(config, spec);
  spec.prefixes = {"gpt_neox.", ""};
  spec.embedding = "embed_in";
  spec.head.name = "embed_out|lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", false);
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, 1e-5), /*bias=*/true);
  spec.finalNorm = norm.named("final_layer_norm");
  // Masks that older versions of the library stored.
  spec.redundantTensors.insert(spec.redundantTensors.end(),
                               {".attention.bias", ".attention.masked_bias"});

  LayerSpec layer;
  layer.name = "layers.*";
  layer.attentionNorm = norm.named("layers.*.input_layernorm");
  layer.feedForwardNorm = norm.named("layers.*.post_attention_layernorm");
  layer.parallel = config.flag("use_parallel_residual", true);
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "num_attention_heads", "", "");
  readRotary(config, spec, attention, {10000, 0.25, "rotary_emb_base", "rotary_pct"});
  attention.fused = true;
  attention.groups = attention.heads;
  attention.query.name = "layers.*.attention.query_key_value";
  attention.output.name = "layers.*.attention.dense";
  attention.setBias(config.flag("attention_bias", true));
  layer.feedForward =
      plainFeedForward("layers.*.mlp.dense_h_to_4h", "layers.*.mlp.dense_4h_to_h",
                       /*bias=*/true, config.integer("intermediate_size", 1, maxWidth, 24576),
                       readActivation(config, "hidden_act", "gelu"));
  repeatLayer(spec, layer);
}
