//===- Phi.cpp - PhiForCausalLM and Phi3ForCausalLM -------------------------------------------===//

#include "Families.h"

using namespace ingot::importer;

void ingot::importer::fillPhi(Config &config, DecoderSpec &spec) {
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, 1e-5), /*bias=*/true);
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm, {}, {10000, 0.5});
  spec.finalNorm = norm.named("final_layernorm");
  spec.head.bias = true;
  layer.parallel = true;
  layer.feedForwardNorm = {};
  layer.attention.output.name = "layers.*.self_attn.dense";
  layer.attention.setBias(true);
  if (config.flag("qk_layernorm", false)) {
    layer.attention.queryNorm = norm.named("layers.*.self_attn.q_layernorm");
    layer.attention.keyNorm = norm.named("layers.*.self_attn.k_layernorm");
  }
  layer.feedForward =
      plainFeedForward("layers.*.mlp.fc1", "layers.*.mlp.fc2", /*bias=*/true,
                       layer.feedForward.size, readActivation(config, "hidden_act", "gelu_new"));
  repeatLayer(spec, layer);
}

void ingot::importer::fillPhi3(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-5));
  RotaryFields rotary;
  rotary.defaultPartial = 1;
  rotary.longropeNames = "su|yarn";
  rotary.originalLength = 4096;
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm, {/*context=*/4096}, rotary);
  layer.attention.fused = true;
  layer.attention.query.name = "layers.*.self_attn.qkv_proj";
  layer.attention.window = readWindow(config, "sliding_window", 0);
  layer.feedForward.fused = true;
  layer.feedForward.gate.name = "layers.*.mlp.gate_up_proj";
  // Only scaled positions read it.
  spec.fieldsWithoutEffect = {"original_max_position_embeddings"};
  repeatLayer(spec, layer);
}
