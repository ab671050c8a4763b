//===- Llama.cpp - Llama, and families that name their parts like it --------------------------===//

#include "Families.h"

using namespace ingot::importer;

void ingot::importer::nameLikeLlama(Config &config, DecoderSpec &spec, bool tied,
                                    const NormSpec &norm) {
  spec.prefixes = {"model.", ""};
  spec.embedding = "embed_tokens";
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", tied);
  spec.finalNorm = norm.named("norm");
}

FeedForwardSpec ingot::importer::gatedFeedForward(const std::string &module) {
  FeedForwardSpec ff;
  ff.gated = true;
  ff.gate.name = module + ".gate_proj";
  ff.up.name = module + ".up_proj";
  ff.down.name = module + ".down_proj";
  return ff;
}

LayerSpec ingot::importer::readLlamaLayer(Config &config, DecoderSpec &spec, bool tied,
                                          const NormSpec &norm, llvm::StringRef activation,
                                          double theta) {
  readSizes(config, spec);
  nameLikeLlama(config, spec, tied, norm);

  LayerSpec layer;
  layer.name = "layers.*";
  layer.attentionNorm = norm.named("layers.*.input_layernorm");
  layer.feedForwardNorm = norm.named("layers.*.post_attention_layernorm");
  AttentionSpec &attention = layer.attention = readHeads(config, spec);
  readRotary(config, spec, attention, /*partial=*/false, theta);
  attention.query.name = "layers.*.self_attn.q_proj";
  attention.key.name = "layers.*.self_attn.k_proj";
  attention.value.name = "layers.*.self_attn.v_proj";
  attention.output.name = "layers.*.self_attn.o_proj";

  layer.feedForward = gatedFeedForward("layers.*.mlp");
  layer.feedForward.size = config.integer("intermediate_size", 1, maxWidth);
  if (!activation.empty())
    layer.feedForward.activation = readActivation(config, activation, "silu");
  return layer;
}

void ingot::importer::fillLlama(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm);
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.feedForward.setBias(config.flag("mlp_bias", false));
  config.onlyFalse("rope_interleaved");
  repeatLayer(spec, layer);
}

void ingot::importer::fillMistral(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm);
  layer.attention.window = readWindow(config, "sliding_window", 4096);
  repeatLayer(spec, layer);
}

void ingot::importer::fillGranite(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm);
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.feedForward.setBias(config.flag("mlp_bias", false));
  layer.attention.scale = config.positive("attention_multiplier", 1);
  layer.residualScale = config.positive("residual_multiplier", 1);
  spec.embeddingScale = config.positive("embedding_multiplier", 1);
  spec.logitScale = 1 / config.positive("logits_scaling", 1);
  repeatLayer(spec, layer);
}
