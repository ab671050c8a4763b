//===- Gemma.cpp - Gemma2ForCausalLM ----------------------------------------------------------===//

#include "Families.h"
#include <cmath>

using namespace ingot::importer;

void ingot::importer::fillGemma2(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  norm.offset = 1;
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/true, norm, "hidden_activation");
  layer.attentionPostNorm = norm.named("layers.*.post_attention_layernorm");
  layer.feedForwardNorm = norm.named("layers.*.pre_feedforward_layernorm");
  layer.feedForwardPostNorm = norm.named("layers.*.post_feedforward_layernorm");
  spec.embeddingScale = std::sqrt(double(spec.hidden));
  spec.logitSoftcap = readSoftcap(config, "final_logit_softcapping", 30);

  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.softcap = readSoftcap(config, "attn_logit_softcapping", 50);
  layer.attention.scale = 1 / std::sqrt(config.positive("query_pre_attn_scalar", 256));
  config.onlyFalse("use_bidirectional_attention");
  // An older name, which the library leaves aside.
  spec.fieldsWithoutEffect = {"hidden_act"};
  repeatLayer(spec, layer);
  int64_t window = readWindow(config, "sliding_window", 4096);
  readLayerTypes(config, spec, window, [](size_t i) { return i % 2 == 0; });
}
