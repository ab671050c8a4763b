//===- Qwen.cpp - Qwen2ForCausalLM and Qwen3ForCausalLM ---------------------------------------===//

#include "Families.h"

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
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm);
  layer.attention.setBias(true);
  layer.attention.output.bias = false;
  config.onlyFalse("use_mrope");
  repeatQwenLayer(config, spec, layer);
}

void ingot::importer::fillQwen3(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm);
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.queryNorm = norm.named("layers.*.self_attn.q_norm");
  layer.attention.keyNorm = norm.named("layers.*.self_attn.k_norm");
  repeatQwenLayer(config, spec, layer);
}
