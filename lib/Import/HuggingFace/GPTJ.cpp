//===- GPTJ.cpp - GPTJForCausalLM, CodeGenForCausalLM -----------------------------------------===//

#include "Families.h"

using namespace ingot::importer;

/// Everything but the attention's matrices.
static LayerSpec readGPTJLayer(Config &config, DecoderSpec &spec) {
  readSizes(config, spec, "n_embd|hidden_size", "n_layer|num_hidden_layers",
            "n_positions|max_position_embeddings", 2048);
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "wte";
  spec.head = {"lm_head", /*bias=*/true};
  spec.tiedHead = config.flag("tie_word_embeddings", false);
  NormSpec norm = layerNorm(config.number("layer_norm_epsilon", 0, 1, 1e-5), /*bias=*/true);
  spec.finalNorm = norm.named("ln_f");
  // Masks that older versions of the library stored.
  spec.redundantTensors.insert(spec.redundantTensors.end(),
                               {".attn.bias", ".attn.masked_bias", ".attn.causal_mask"});

  LayerSpec layer;
  layer.name = "h.*";
  layer.attentionNorm = norm.named("h.*.ln_1");
  layer.parallel = true;
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "n_head|num_attention_heads", "", "");
  int64_t rotated = config.isNull("rotary_dim")
                        ? spec.hidden // only a single head is as wide
                        : config.integer("rotary_dim", 2, attention.headDim, 64);
  if (rotated > attention.headDim || rotated % 2)
    config.error("rotary_dim", "expected an even number of up to the " +
                                   llvm::Twine(attention.headDim) + " elements of a head, got " +
                                   llvm::Twine(rotated));
  // Positions beyond the table are an error in the library.
  RotaryTable table;
  table.frequencies = rotaryFrequencies(10000, rotated, {});
  table.singleAngles = true;
  spec.rotaries.push_back(table);
  attention.rotary = 0;
  attention.interleaved = true;
  layer.feedForward = plainFeedForward("h.*.mlp.fc_in", "h.*.mlp.fc_out", /*bias=*/true,
                                       config.integer("n_inner", 1, maxWidth, 4 * spec.hidden),
                                       readActivation(config, "activation_function", "gelu_new"));
  spec.fieldsWithoutEffect = {"rotary", "scale_attn_weights"};
  return layer;
}

void ingot::importer::fillGPTJ(Config &config, DecoderSpec &spec) {
  LayerSpec layer = readGPTJLayer(config, spec);
  layer.attention.query.name = "h.*.attn.q_proj";
  layer.attention.key.name = "h.*.attn.k_proj";
  layer.attention.value.name = "h.*.attn.v_proj";
  layer.attention.output.name = "h.*.attn.out_proj";
  repeatLayer(spec, layer);
}

void ingot::importer::fillCodeGen(Config &config, DecoderSpec &spec) {
  LayerSpec layer = readGPTJLayer(config, spec);
  AttentionSpec &attention = layer.attention;
  // Four blocks, one for each core that it was trained on.
  attention.fused = attention.valuesFirst = true;
  attention.groups = 4;
  if (attention.heads % 4)
    config.error("n_head|num_attention_heads",
                 "expected a multiple of 4, got " + llvm::Twine(attention.heads));
  attention.query.name = "h.*.attn.qkv_proj";
  attention.output.name = "h.*.attn.out_proj";
  repeatLayer(spec, layer);
}
