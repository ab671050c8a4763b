//===- GPT2.cpp - GPT2LMHeadModel -------------------------------------------------------------===//

#include "Families.h"

using namespace ingot::importer;

void ingot::importer::fillGPT2(Config &config, DecoderSpec &spec) {
  readSizes(config, spec, "n_embd|hidden_size", "n_layer|num_hidden_layers",
            "n_positions|max_position_embeddings", 1024);
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "wte";
  spec.positionTable = "wpe";
  spec.positionRows = spec.context;
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  NormSpec norm = layerNorm(config.number("layer_norm_epsilon", 0, 1, 1e-5), /*bias=*/true);
  spec.finalNorm = norm.named("ln_f");
  // Masks that older versions of the library stored.
  spec.redundantTensors.insert(spec.redundantTensors.end(), {".attn.bias", ".attn.masked_bias"});

  LayerSpec layer;
  layer.name = "h.*";
  layer.attentionNorm = norm.named("h.*.ln_1");
  layer.feedForwardNorm = norm.named("h.*.ln_2");

  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "n_head|num_attention_heads", "", "");
  attention.fused = true;
  attention.query = {"h.*.attn.c_attn", /*bias=*/true, /*transposed=*/true};
  attention.output = {"h.*.attn.c_proj", /*bias=*/true, /*transposed=*/true};
  if (!config.flag("scale_attn_weights", true))
    attention.scale = 1;

  FeedForwardSpec &ff = layer.feedForward;
  ff.size = config.integer("n_inner", 1, maxWidth, 4 * spec.hidden);
  ff.activation = readActivation(config, "activation_function", "gelu_new");
  ff.up = {"h.*.mlp.c_fc", /*bias=*/true, /*transposed=*/true};
  ff.down = {"h.*.mlp.c_proj", /*bias=*/true, /*transposed=*/true};
  repeatLayer(spec, layer);
  if (config.flag("scale_attn_by_inverse_layer_idx", false))
    for (size_t i = 0; i < spec.layers.size(); ++i)
      spec.layers[i].attention.scale /= double(i + 1);
}
