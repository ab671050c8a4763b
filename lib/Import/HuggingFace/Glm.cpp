//===- Glm.cpp - GlmForCausalLM, Glm4ForCausalLM, ChatGLMModel --------------------------------===//

#include "Families.h"

using namespace ingot::importer;

static LayerSpec readGlmLayer(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1.5625e-7));
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/false, norm,
                     {/*context=*/131072, /*kvHeads=*/2, /*headDim=*/128}, {10000, 0.5});
  layer.attention.setBias(config.flag("attention_bias", true));
  layer.attention.output.bias = false;
  layer.attention.interleaved = true;
  layer.feedForward.fused = true;
  layer.feedForward.gate.name = "layers.*.mlp.gate_up_proj";
  spec.endIds = {151329, 151336, 151338};
  return layer;
}

void ingot::importer::fillGlm(Config &config, DecoderSpec &spec) {
  repeatLayer(spec, readGlmLayer(config, spec));
}

void ingot::importer::fillGlm4(Config &config, DecoderSpec &spec) {
  LayerSpec layer = readGlmLayer(config, spec);
  layer.attentionPostNorm = layer.attentionNorm.named("layers.*.post_self_attn_layernorm");
  layer.feedForwardPostNorm = layer.attentionNorm.named("layers.*.post_mlp_layernorm");
  repeatLayer(spec, layer);
}

/// The layout in which ChatGLM was published, with field names of its own.
void ingot::importer::fillChatGLM(Config &config, DecoderSpec &spec) {
  spec.vocab = config.integer("padded_vocab_size|vocab_size", 1, maxVocab);
  spec.hidden = config.integer("hidden_size", 1, maxWidth);
  spec.layers.resize(config.integer("num_layers|num_hidden_layers", 1, maxLayers));
  spec.context = config.integer("seq_length", 1, maxPositions, 2048);
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "embedding.word_embeddings";
  spec.head.name = "transformer.output_layer|output_layer|lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", false);
  double eps = config.number("layernorm_epsilon", 0, 1, 1e-5);
  NormSpec norm = config.flag("rmsnorm", true) ? rmsNorm(eps) : layerNorm(eps, /*bias=*/true);
  if (config.flag("post_layer_norm", true))
    spec.finalNorm = norm.named("encoder.final_layernorm");
  bool bias = config.flag("add_bias_linear", false);
  spec.redundantTensors.push_back("rotary_pos_emb.inv_freq");

  LayerSpec layer;
  layer.name = "encoder.layers.*";
  layer.attentionNorm = norm.named("encoder.layers.*.input_layernorm");
  layer.feedForwardNorm = norm.named("encoder.layers.*.post_attention_layernorm");
  layer.addsToNormed = config.flag("apply_residual_connection_post_layernorm", false);
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "num_attention_heads", "", "kv_channels");
  int64_t kvHeads = config.integer("multi_query_group_num", 1, maxHeads, 1);
  attention.groups = attention.heads;
  if (config.flag("multi_query_attention", false)) {
    attention.kvHeads = kvHeads;
    attention.groups = 1;
    if (attention.heads % kvHeads)
      config.error("multi_query_group_num", "expected a divisor of the " +
                                                llvm::Twine(attention.heads) +
                                                " attention heads, got " + llvm::Twine(kvHeads));
  }
  attention.fused = true;
  attention.query = {"encoder.layers.*.self_attention.query_key_value",
                     config.flag("add_qkv_bias", false) || bias};
  attention.output = {"encoder.layers.*.self_attention.dense", bias};
  // Half of every head is rotated.
  if (attention.headDim % 4)
    config.error("kv_channels", "expected a multiple of 4, got " + llvm::Twine(attention.headDim));
  RotaryTable table;
  table.frequencies =
      rotaryFrequencies(10000 * config.positive("rope_ratio", 1), attention.headDim / 2, {});
  spec.rotaries.push_back(table);
  attention.rotary = 0;
  attention.interleaved = true;

  FeedForwardSpec &ff = layer.feedForward;
  ff.size = config.integer("ffn_hidden_size", 1, maxWidth);
  ff.gated = ff.fused = true;
  ff.gate.name = "encoder.layers.*.mlp.dense_h_to_4h";
  ff.down.name = "encoder.layers.*.mlp.dense_4h_to_h";
  ff.setBias(bias);
  config.onlyNull("pre_seq_len", "learned prefixes are not supported");
  if (int64_t bits = config.integer("quantization_bit", 0, 64, 0))
    config.error("quantization_bit",
                 "expected 0, quantised weights are not supported, got " + llvm::Twine(bits));
  spec.fieldsWithoutEffect = {"apply_query_key_layer_scaling", "fp32_residual_connection",
                              "original_rope", "prefix_projection"};
  repeatLayer(spec, layer);
}
