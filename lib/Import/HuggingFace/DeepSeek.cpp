//===- DeepSeek.cpp - DeepseekV2ForCausalLM and DeepseekV3ForCausalLM -------------------------===//

#include "Families.h"
#include <cmath>

using namespace ingot::importer;

/// The latent attention of both versions.
static AttentionSpec readLatentAttention(Config &config, DecoderSpec &spec) {
  AttentionSpec attention;
  attention.heads = config.integer("num_attention_heads", 1, maxHeads);
  if (config.integer("num_key_value_heads", 1, maxHeads, attention.heads) != attention.heads)
    config.error("num_key_value_heads", "expected the " + llvm::Twine(attention.heads) +
                                            " attention heads, nothing else is supported");
  attention.kvHeads = 1;
  LatentSpec &latent = attention.latent;
  latent.rank = config.integer("kv_lora_rank", 1, maxWidth, 512);
  latent.rotated = config.integer("qk_rope_head_dim", 1, maxHeadDim, 64);
  latent.valueSize = config.integer("v_head_dim", 1, maxHeadDim, 128);
  if (!config.isNull("q_lora_rank"))
    latent.queryRank = config.integer("q_lora_rank", 1, maxWidth, 1536);

  // Positions rotate the shared part alone.
  attention.headDim = latent.rotated;
  readRotary(config, spec, attention);
  attention.headDim += config.integer("qk_nope_head_dim", 1, maxHeadDim, 128);
  attention.scale = 1 / std::sqrt(double(attention.headDim));
  // With scaled positions the scores are scaled as well.
  Config *fields = config.child("rope_parameters");
  if (!fields)
    fields = config.child("rope_scaling");
  if (fields && fields->string("rope_type", fields->string("type", "default")) != "default")
    if (double weight = fields->number("mscale_all_dim", 0, 1e9, 0.0)) {
      double factor = fields->positive("factor");
      double magnitude = factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1;
      attention.scale *= magnitude * magnitude;
    }

  bool bias = config.flag("attention_bias", false);
  // The library gives these norms its default, whatever rms_norm_eps says.
  NormSpec norm = rmsNorm(1e-6);
  attention.query.name =
      latent.queryRank ? "layers.*.self_attn.q_b_proj" : "layers.*.self_attn.q_proj";
  latent.queryDown = {"layers.*.self_attn.q_a_proj", bias};
  attention.queryNorm = norm.named("layers.*.self_attn.q_a_layernorm");
  attention.key = {"layers.*.self_attn.kv_a_proj_with_mqa", bias};
  attention.keyNorm = norm.named("layers.*.self_attn.kv_a_layernorm");
  attention.value = {"layers.*.self_attn.kv_b_proj"};
  attention.output = {"layers.*.self_attn.o_proj", bias};
  return attention;
}

/// A layer of both versions; the mixture's routing is left open.
static LayerSpec readLayer(Config &config, DecoderSpec &spec, int64_t context,
                           const MixtureSpec &defaults) {
  NormSpec norm = rmsNorm(config.number("rms_norm_eps", 0, 1, 1e-6));
  readSizes(config, spec, "hidden_size", "num_hidden_layers", "max_position_embeddings", context);
  nameLikeLlama(config, spec, /*tied=*/false, norm);
  LayerSpec layer;
  layer.name = "layers.*";
  layer.attentionNorm = norm.named("layers.*.input_layernorm");
  layer.feedForwardNorm = norm.named("layers.*.post_attention_layernorm");
  layer.attention = readLatentAttention(config, spec);
  layer.feedForward = gatedFeedForward("layers.*.mlp");
  layer.feedForward.size = config.integer("intermediate_size", 1, maxWidth);
  layer.feedForward.activation = readActivation(config, "hidden_act", "silu");

  layer.mixture = readMixture(config, layer, "n_routed_experts|num_local_experts|num_experts",
                              defaults.experts, defaults.chosen);
  layer.mixture.size = config.integer("moe_intermediate_size", 1, maxWidth, defaults.size);
  layer.mixture.scale = config.positive("routed_scaling_factor", defaults.scale);
  FeedForwardSpec &shared = layer.mixture.shared = gatedFeedForward("layers.*.mlp.shared_experts");
  shared.activation = layer.feedForward.activation;
  shared.size =
      layer.mixture.size * config.integer("n_shared_experts", 1, maxExperts, defaults.shared.size);

  // Derived in the library, or about how it was trained.
  spec.fieldsWithoutEffect = {"head_dim",      "qk_head_dim",    "ep_size",
                              "seq_aux",       "aux_loss_alpha", "num_nextn_predict_layers",
                              "num_mtp_layers"};
  spec.hasFurtherLayers = true;
  (void)config.integer("moe_layer_freq", 1, 1, 1);
  return layer;
}

/// The router chooses among the experts of some groups.
static void readGroups(Config &config, MixtureSpec &mixture, int64_t groups, int64_t keep) {
  mixture.groups = config.integer("n_group", 1, maxExperts, groups);
  mixture.keep = config.integer("topk_group", 1, maxExperts, keep);
  int64_t size = mixture.experts / mixture.groups;
  if (mixture.experts % mixture.groups || size < mixture.best)
    config.error("n_group", "expected groups of at least " + llvm::Twine(mixture.best) +
                                " that divide the " + llvm::Twine(mixture.experts) +
                                " experts, got " + llvm::Twine(mixture.groups));
  else if (mixture.keep > mixture.groups || mixture.keep * size < mixture.chosen)
    config.error("topk_group", "expected groups with room for " + llvm::Twine(mixture.chosen) +
                                   " experts, at most " + llvm::Twine(mixture.groups) + ", got " +
                                   llvm::Twine(mixture.keep));
}

/// The layers from first_k_dense_replace on have the mixture.
static void repeat(Config &config, DecoderSpec &spec, LayerSpec layer, int64_t defaultDense) {
  int64_t dense = config.integer("first_k_dense_replace", 0, maxLayers, defaultDense);
  repeatLayer(spec, layer);
  for (size_t i = 0; i < spec.layers.size(); ++i)
    if (int64_t(i) < dense)
      spec.layers[i].mixture = {};
}

/// A field whose published values all mean what is built.
static void expectOneOf(Config &config, llvm::StringRef field,
                        llvm::ArrayRef<llvm::StringRef> values) {
  llvm::StringRef value = config.string(field, values.front());
  if (!llvm::is_contained(values, value))
    config.error(field, "expected " + quote(values.front()) + ", got " + quote(value));
}

void ingot::importer::fillDeepSeekV2(Config &config, DecoderSpec &spec) {
  MixtureSpec defaults;
  defaults.experts = 64;
  defaults.size = 1407;
  defaults.shared.size = 2;
  LayerSpec layer = readLayer(config, spec, /*context=*/2048, defaults);
  layer.attention.interleaved = true;
  bool bias = config.flag("mlp_bias", false);
  layer.feedForward.setBias(bias);
  layer.mixture.shared.setBias(bias);
  llvm::StringRef method = config.string("topk_method", "greedy");
  if (method == "group_limited_greedy")
    readGroups(config, layer.mixture, 1, 1);
  else if (method != "greedy")
    config.error("topk_method", "expected greedy or group_limited_greedy, got " + quote(method));
  else
    spec.fieldsWithoutEffect.insert(spec.fieldsWithoutEffect.end(), {"n_group", "topk_group"});
  expectOneOf(config, "scoring_func", {"softmax"});
  // The library does not look at it.
  spec.fieldsWithoutEffect.push_back("norm_topk_prob");
  repeat(config, spec, layer, 0);
}

void ingot::importer::fillDeepSeekV3(Config &config, DecoderSpec &spec) {
  MixtureSpec defaults;
  defaults.experts = 256;
  defaults.chosen = 8;
  defaults.size = 2048;
  defaults.scale = 2.5;
  defaults.shared.size = 1;
  LayerSpec layer = readLayer(config, spec, /*context=*/4096, defaults);
  layer.attention.interleaved = config.flag("rope_interleave", true);
  layer.mixture.scores = MixtureSpec::Sigmoid;
  layer.mixture.choiceBias = "gate.e_score_correction_bias";
  layer.mixture.normalize = config.flag("norm_topk_prob", true);
  layer.mixture.best = 2;
  readGroups(config, layer.mixture, 8, 4);
  expectOneOf(config, "scoring_func", {"sigmoid"});
  expectOneOf(config, "topk_method", {"noaux_tc"});
  repeat(config, spec, layer, 3);
}
