//===- Llama.cpp - Llama, and families that name their parts like it --------------------------===//

#include "Families.h"
#include "llvm/ADT/STLExtras.h"

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
                                          const NormSpec &norm, const SizeDefaults &sizes,
                                          const RotaryFields &rotary, llvm::StringRef activation) {
  readSizes(config, spec, "hidden_size", "num_hidden_layers", "max_position_embeddings",
            sizes.context);
  nameLikeLlama(config, spec, tied, norm);

  LayerSpec layer;
  layer.name = "layers.*";
  layer.attentionNorm = norm.named("layers.*.input_layernorm");
  layer.feedForwardNorm = norm.named("layers.*.post_attention_layernorm");
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "num_attention_heads", "num_key_value_heads", "head_dim", sizes);
  readRotary(config, spec, attention, rotary);
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
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/false, norm, {/*context=*/131072, /*kvHeads=*/8});
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

void ingot::importer::fillErnie(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-5));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/true, norm,
                                   {/*context=*/131072, /*kvHeads=*/2, /*headDim=*/128}, {500000});
  layer.attention.interleaved = true;
  bool bias = config.flag("use_bias", false);
  layer.attention.setBias(bias);
  layer.feedForward.setBias(bias);
  repeatLayer(spec, layer);
}

void ingot::importer::fillNemotron(Config &config, DecoderSpec &spec) {
  NormSpec norm = layerNorm(config.number("norm_eps", 0, 1, 1e-5), /*bias=*/true);
  norm.offset = 1;
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/false, norm, {/*context=*/4096}, {10000, 0.5});
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.feedForward = plainFeedForward("layers.*.mlp.up_proj", "layers.*.mlp.down_proj",
                                       config.flag("mlp_bias", false), layer.feedForward.size,
                                       readActivation(config, "hidden_act", "relu2"));
  repeatLayer(spec, layer);
}

void ingot::importer::fillStableLm(Config &config, DecoderSpec &spec) {
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, 1e-5), /*bias=*/true);
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm,
                                   {/*context=*/4096, /*kvHeads=*/32}, {10000, 0.25});
  layer.attention.setBias(config.flag("use_qkv_bias", false));
  layer.attention.output.bias = false;
  if (config.flag("qk_layernorm", false)) {
    NormSpec ofHead = layerNorm(norm.eps, /*bias=*/false);
    ofHead.perHead = true;
    layer.attention.queryNorm = ofHead.named("layers.*.self_attn.q_layernorm.norms.#");
    layer.attention.keyNorm = ofHead.named("layers.*.self_attn.k_layernorm.norms.#");
  }
  layer.parallel = config.flag("use_parallel_residual", false);
  if (layer.parallel)
    layer.feedForwardNorm = {};
  repeatLayer(spec, layer);
}

void ingot::importer::fillStarcoder2(Config &config, DecoderSpec &spec) {
  NormSpec norm = layerNorm(config.number("norm_epsilon", 0, 1, 1e-5), /*bias=*/true);
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/true, norm, {/*context=*/4096, /*kvHeads=*/2});
  bool bias = config.flag("use_bias", true);
  layer.attention.setBias(bias);
  layer.attention.window = readWindow(config, "sliding_window", 0);
  layer.feedForward =
      plainFeedForward("layers.*.mlp.c_fc", "layers.*.mlp.c_proj", bias, layer.feedForward.size,
                       readActivation(config, "hidden_act", "gelu_pytorch_tanh"));
  repeatLayer(spec, layer);
}

void ingot::importer::fillPersimmon(Config &config, DecoderSpec &spec) {
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, 1e-5), /*bias=*/true);
  readSizes(config, spec, "hidden_size", "num_hidden_layers", "max_position_embeddings", 16384);
  nameLikeLlama(config, spec, /*tied=*/false, norm);
  spec.finalNorm = norm.named("final_layernorm");
  LayerSpec layer;
  layer.name = "layers.*";
  layer.attentionNorm = norm.named("layers.*.input_layernorm");
  layer.feedForwardNorm = norm.named("layers.*.post_attention_layernorm");
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "num_attention_heads", "", "");
  readRotary(config, spec, attention, {10000, 0.5});
  attention.fused = true;
  attention.groups = attention.heads;
  attention.query.name = "layers.*.self_attn.query_key_value";
  attention.output.name = "layers.*.self_attn.dense";
  attention.setBias(true);
  if (config.flag("qk_layernorm", true)) {
    attention.queryNorm = norm.named("layers.*.self_attn.q_layernorm");
    attention.keyNorm = norm.named("layers.*.self_attn.k_layernorm");
  }
  layer.feedForward =
      plainFeedForward("layers.*.mlp.dense_h_to_4h", "layers.*.mlp.dense_4h_to_h", /*bias=*/true,
                       config.integer("intermediate_size", 1, maxWidth),
                       readActivation(config, "hidden_act", "relu2"));
  repeatLayer(spec, layer);
}

void ingot::importer::fillSmolLM3(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/true, norm,
                                   {/*context=*/32768, /*kvHeads=*/4}, {2000000});
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.feedForward.setBias(config.flag("mlp_bias", false));
  repeatLayer(spec, layer);
  // Layers without rotary positions: a list, or every n-th.
  std::vector<double> rotated = config.numbers("no_rope_layers");
  int64_t interval = config.integer("no_rope_layer_interval", 1, maxLayers, 4);
  if (!rotated.empty() && rotated.size() != spec.layers.size())
    config.error("no_rope_layers", "expected one for each of the " +
                                       llvm::Twine(spec.layers.size()) + " layers, got " +
                                       llvm::Twine(rotated.size()));
  for (auto [i, each] : llvm::enumerate(spec.layers))
    if (rotated.size() == spec.layers.size() ? rotated[i] == 0 : (i + 1) % interval == 0)
      each.attention.rotary.reset();
  int64_t window = readWindow(config, "sliding_window", 0);
  if (!config.flag("use_sliding_window", false))
    window = 0;
  readLayerTypes(config, spec, window,
                 [&](size_t i) { return !spec.layers[i].attention.rotary.has_value(); });
}

void ingot::importer::fillExaone4(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-5));
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/false, norm, {/*context=*/2048, /*kvHeads=*/32});
  layer.attentionNorm = layer.feedForwardNorm = {};
  layer.attentionPostNorm = norm.named("layers.*.post_attention_layernorm");
  layer.feedForwardPostNorm = norm.named("layers.*.post_feedforward_layernorm");
  layer.attention.queryNorm = norm.named("layers.*.self_attn.q_norm");
  layer.attention.keyNorm = norm.named("layers.*.self_attn.k_norm");
  repeatLayer(spec, layer);
  readLayerPattern(config, spec, "sliding_window_pattern", 4);
  // With windows, the layers that see everything have no positions.
  if (!config.isNull("sliding_window"))
    for (LayerSpec &each : spec.layers)
      if (each.attention.window == 0)
        each.attention.rotary.reset();
}
