//===- Mixtures.cpp - families whose feed-forward networks are mixtures of experts ------------===//

#include "Families.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace ingot::importer;

MixtureSpec ingot::importer::readMixture(Config &config, const LayerSpec &layer,
                                         llvm::StringRef experts, int64_t defaultExperts,
                                         int64_t defaultChosen) {
  MixtureSpec mixture;
  mixture.modules = {"layers.*.mlp"};
  mixture.experts = config.integer(experts, 0, maxExperts, defaultExperts);
  mixture.chosen = config.integer("num_experts_per_tok|experts_per_token", 1, maxExperts,
                                  defaultChosen ? std::optional(defaultChosen) : std::nullopt);
  if (mixture.experts && mixture.chosen > mixture.experts)
    config.error("num_experts_per_tok|experts_per_token",
                 "expected at most the " + llvm::Twine(mixture.experts) + " experts, got " +
                     llvm::Twine(mixture.chosen));
  mixture.size = layer.feedForward.size;
  mixture.activation = layer.feedForward.activation;
  return mixture;
}

void ingot::importer::fillMixtral(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-5));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm,
                                   {/*context=*/131072, /*kvHeads=*/8}, {1e6});
  layer.attention.window = readWindow(config, "sliding_window", 0);
  layer.mixture = readMixture(config, layer, "num_local_experts|num_experts", 8, 2);
  layer.mixture.modules = {"layers.*.block_sparse_moe", "layers.*.mlp"};
  layer.mixture.gate = "experts.#.w1";
  layer.mixture.up = "experts.#.w3";
  layer.mixture.down = "experts.#.w2";
  layer.mixture.normalize = true;
  spec.fieldsWithoutEffect = {"router_jitter_noise"};
  repeatLayer(spec, layer);
}

/// The mixture of Qwen's families, and the layers that have it.
static void fillQwenMixture(Config &config, DecoderSpec &spec, LayerSpec &layer,
                            int64_t defaultSize, int64_t defaultExperts, int64_t defaultChosen) {
  MixtureSpec mixture =
      readMixture(config, layer, "num_experts|num_local_experts", defaultExperts, defaultChosen);
  mixture.size = config.integer("moe_intermediate_size", 1, maxWidth, defaultSize);
  mixture.normalize = config.flag("norm_topk_prob", false);
  mixture.shared = layer.mixture.shared;
  mixture.sharedGate = layer.mixture.sharedGate;
  layer.mixture = {};
  repeatLayer(spec, layer);
  std::vector<int64_t> dense = config.ids("mlp_only_layers");
  int64_t step = config.integer("decoder_sparse_step", 1, maxLayers, 1);
  for (size_t i = 0; i < spec.layers.size(); ++i)
    if (!llvm::is_contained(dense, int64_t(i)) && int64_t(i + 1) % step == 0)
      spec.layers[i].mixture = mixture;
}

void ingot::importer::fillQwen2Moe(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/false, norm, {/*context=*/32768, /*kvHeads=*/16});
  layer.attention.setBias(config.flag("qkv_bias", true));
  layer.attention.output.bias = false;
  FeedForwardSpec shared = layer.feedForward;
  shared.size = config.integer("shared_expert_intermediate_size", 1, maxWidth, 5632);
  shared.gate.name = "layers.*.mlp.shared_expert.gate_proj";
  shared.up.name = "layers.*.mlp.shared_expert.up_proj";
  shared.down.name = "layers.*.mlp.shared_expert.down_proj";
  layer.mixture.shared = shared;
  layer.mixture.sharedGate = "shared_expert_gate";
  fillQwenMixture(config, spec, layer, 1408, 60, 4);

  // Of the first max_window_layers layers every other one has a window.
  bool windows = config.flag("use_sliding_window", false);
  int64_t window = windows ? readWindow(config, "sliding_window", 4096) : 0;
  if (!windows)
    spec.fieldsWithoutEffect = {"sliding_window"};
  int64_t end = config.integer("max_window_layers", 0, maxLayers, 28);
  readLayerTypes(config, spec, window,
                 [&](size_t i) { return windows && i % 2 == 0 && int64_t(i) < end; });
}

void ingot::importer::fillQwen3Moe(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/false, norm, {/*context=*/32768, /*kvHeads=*/4});
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.queryNorm = norm.named("layers.*.self_attn.q_norm");
  layer.attention.keyNorm = norm.named("layers.*.self_attn.k_norm");
  spec.fieldsWithoutEffect = {"max_window_layers"};
  if (config.flag("use_sliding_window", false))
    layer.attention.window = readWindow(config, "sliding_window", 4096);
  else
    spec.fieldsWithoutEffect.push_back("sliding_window");
  fillQwenMixture(config, spec, layer, 768, 128, 8);
}

void ingot::importer::fillOlmoe(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-5));
  LayerSpec layer = readLlamaLayer(config, spec, /*tied=*/false, norm, {/*context=*/4096});
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attention.queryNorm = norm.named("layers.*.self_attn.q_norm");
  layer.attention.keyNorm = norm.named("layers.*.self_attn.k_norm");
  layer.attention.normsAllHeads = true;
  if (!config.isNull("clip_qkv") && config.has("clip_qkv"))
    layer.attention.clip = config.positive("clip_qkv");
  layer.mixture = readMixture(config, layer, "num_experts|num_local_experts", 64, 8);
  layer.mixture.normalize = config.flag("norm_topk_prob", false);
  repeatLayer(spec, layer);
}

void ingot::importer::fillGptOss(Config &config, DecoderSpec &spec) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-5));
  LayerSpec layer =
      readLlamaLayer(config, spec, /*tied=*/false, norm,
                     {/*context=*/131072, /*kvHeads=*/8, /*headDim=*/64}, {150000}, "");
  // A file that says nothing means the scaling of the published models.
  if (layer.attention.rotary && !config.has("rope_parameters") && !config.has("rope_scaling")) {
    RotaryScaling scaling;
    scaling.kind = RotaryScaling::Yarn;
    scaling.factor = 32;
    scaling.originalLength = 4096;
    scaling.truncate = false;
    RotaryTable &table = spec.rotaries[*layer.attention.rotary];
    table.frequencies =
        rotaryFrequencies(config.positive("rope_theta", 150000), layer.attention.headDim, scaling);
    table.magnitude = 0.1 * std::log(scaling.factor) + 1;
    if (!llvm::all_of(table.frequencies, [](float f) { return std::isfinite(f); }))
      config.error("rope_theta", "expected parameters with finite rotary frequencies");
  }
  layer.attention.setBias(config.flag("attention_bias", true));
  layer.attention.sinks = "layers.*.self_attn.sinks";
  MixtureSpec &mixture = layer.mixture =
      readMixture(config, layer, "num_local_experts|num_experts", 128, 4);
  mixture.router = "router";
  mixture.routerBias = mixture.expertBias = true;
  mixture.interleaved = true;
  // In MXFP4 the matrices are stored as they are multiplied.
  Config *stored = config.child("quantization_config");
  mixture.transposed = !stored || stored->string("quant_method", "") != "mxfp4";
  // A softmax of the chosen logits alone.
  mixture.normalize = true;
  mixture.limit = config.positive("swiglu_limit", 7);
  mixture.slope = config.positive("swiglu_alpha", 1.702);
  // The activation is always the clamped one; the context before scaling is in rope_parameters.
  spec.fieldsWithoutEffect = {"hidden_act", "initial_context_length"};
  repeatLayer(spec, layer);
  int64_t window = readWindow(config, "sliding_window", 128);
  readLayerTypes(config, spec, window, [](size_t i) { return i % 2 == 0; });
}
