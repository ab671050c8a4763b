//===- Qwen.cpp - QWenLMHeadModel, Qwen2ForCausalLM, Qwen3ForCausalLM -------------------------===//

#include "Families.h"
#include <algorithm>

using namespace ingot::importer;

/// Layers from max_window_layers on have a window, where windows are used at all.
static void repeatQwenLayer(Config &config, DecoderSpec &spec, const LayerSpec &layer) {
  int64_t window = readWindow(config, "sliding_window", 4096);
  if (!config.flag("use_sliding_window", false))
    window = 0;
  int64_t first = config.integer("max_window_layers", 0, maxLayers, 28);
  repeatLayer(spec, layer);
  readLayerTypes(config, spec, window, [&](size_t i) { return window && int64_t(i) >= first; });
}

void ingot::importer::fillQwen2(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/false, norm, {/*context=*/32768, /*kvHeads=*/32});
  layer.attention.setBias(true);
  layer.attention.output.bias = false;
  config.onlyFalse("use_mrope");
  repeatQwenLayer(config, spec, layer);
}

void ingot::importer::fillQwen3(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm,
                                   {/*context=*/32768, /*kvHeads=*/32, /*headDim=*/128});
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.queryNorm = norm.named("layers.*.self_attn.q_norm");
  layer.attention.keyNorm = norm.named("layers.*.self_attn.k_norm");
  repeatQwenLayer(config, spec, layer);
}

/// The first Qwen, in the layout in which it was published.
void ingot::importer::fillQwen(Config &config, DecoderSpec &spec) {
  readSizes(config, spec, "hidden_size", "num_hidden_layers", "max_position_embeddings", 8192);
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "wte";
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", false);
  NormSpec norm = rmsNorm(config.number("layer_norm_epsilon", 0, 1, 1e-6));
  spec.finalNorm = norm.named("ln_f");
  bool bias = !config.flag("no_bias", true);

  LayerSpec layer;
  layer.name = "h.*";
  layer.attentionNorm = norm.named("h.*.ln_1");
  layer.feedForwardNorm = norm.named("h.*.ln_2");
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "num_attention_heads", "", "kv_channels");
  readRotary(config, spec, attention, {10000, 1, "rotary_emb_base", "rotary_pct"});
  attention.fused = true;
  attention.query = {"h.*.attn.c_attn", /*bias=*/true};
  attention.output = {"h.*.attn.c_proj", bias};
  if (!config.flag("scale_attn_weights", true))
    attention.scale = 1;

  // The matrices of gate and up are as wide as half of intermediate_size.
  FeedForwardSpec &ff = layer.feedForward;
  ff.size = config.integer("intermediate_size", 2, maxWidth) / 2;
  ff.gated = true;
  ff.gate.name = "h.*.mlp.w2";
  ff.up.name = "h.*.mlp.w1";
  ff.down.name = "h.*.mlp.c_proj";
  ff.setBias(bias);

  // Beyond the length of its training it scales positions and queries by the length: the context
  // ends there.
  int64_t trained = config.integer("seq_length", 1, maxPositions, 2048);
  bool scalesPositions = config.flag("use_dynamic_ntk", true);
  bool scalesQueries = config.flag("use_logn_attn", true);
  if (scalesPositions || scalesQueries)
    spec.context = std::min(spec.context, trained);
  spec.fieldsWithoutEffect = {"attn_dropout_prob",
                              "emb_dropout_prob",
                              "bf16",
                              "fp16",
                              "fp32",
                              "onnx_safe",
                              "use_flash_attn",
                              "use_cache_quantization",
                              "use_cache_kernel"};
  repeatLayer(spec, layer);
}
