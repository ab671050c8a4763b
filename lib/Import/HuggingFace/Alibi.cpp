//===- Alibi.cpp - BloomForCausalLM, FalconForCausalLM, MptForCausalLM ------------------------===//
//
// Families with linear biases instead of positions, or with the choice.
//
//===----------------------------------------------------------------------------------------===//

#include "Families.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace ingot::importer;

void ingot::importer::fillBloom(Config &config, DecoderSpec &spec) {
  readSizes(config, spec, "hidden_size|n_embed", "n_layer|num_hidden_layers", "seq_length", 2048);
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "word_embeddings";
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  NormSpec norm = layerNorm(config.number("layer_norm_epsilon", 0, 1, 1e-5), /*bias=*/true);
  spec.embeddingNorm = norm.named("word_embeddings_layernorm");
  spec.finalNorm = norm.named("ln_f");

  LayerSpec layer;
  layer.name = "h.*";
  layer.attentionNorm = norm.named("h.*.input_layernorm");
  layer.feedForwardNorm = norm.named("h.*.post_attention_layernorm");
  layer.addsToNormed = config.flag("apply_residual_connection_post_layernorm", false);
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "n_head|num_attention_heads", "", "");
  attention.fused = true;
  attention.groups = attention.heads;
  attention.query.name = "h.*.self_attention.query_key_value";
  attention.output.name = "h.*.self_attention.dense";
  attention.setBias(true);
  attention.alibi.slopes = alibiSlopes(attention.heads);
  layer.feedForward = plainFeedForward("h.*.mlp.dense_h_to_4h", "h.*.mlp.dense_4h_to_h",
                                       /*bias=*/true, 4 * spec.hidden, Activation::GeluTanh);
  // Matrices that the library multiplies in slices, as in training, go without their biases.
  bool sliced = config.integer("pretraining_tp", 0, maxWidth, 1) > 1;
  if (config.flag("slow_but_exact", false) && sliced) {
    attention.output.bias = layer.feedForward.down.bias = false;
    spec.redundantTensors.insert(spec.redundantTensors.end(),
                                 {".self_attention.dense.bias", ".mlp.dense_4h_to_h.bias"});
  }
  spec.fieldsWithoutEffect = {"offset_alibi"};
  repeatLayer(spec, layer);
}

void ingot::importer::fillFalcon(Config &config, DecoderSpec &spec) {
  readSizes(config, spec, "hidden_size|n_embed", "num_hidden_layers|n_layer");
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "word_embeddings";
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  NormSpec norm = layerNorm(config.number("layer_norm_epsilon", 0, 1, 1e-5), /*bias=*/true);
  spec.finalNorm = norm.named("ln_f");
  bool bias = config.flag("bias", false);

  LayerSpec layer;
  layer.name = "h.*";
  // The key heads of the fused matrix: those of the config, one, or one for each head.
  llvm::StringRef heads = "num_attention_heads|n_head", kvHeads = "num_kv_heads|n_head_kv";
  bool grouped = config.flag("new_decoder_architecture", false);
  bool one = config.flag("multi_query", true);
  AttentionSpec &attention = layer.attention = readHeads(config, spec, heads, kvHeads, "");
  if (!grouped && !one && attention.kvHeads != attention.heads)
    config.error(kvHeads, "expected the " + llvm::Twine(attention.heads) +
                              " attention heads without multi_query, got " +
                              llvm::Twine(attention.kvHeads));
  if (!grouped && one)
    attention.kvHeads = 1;
  attention.fused = true;
  attention.groups = attention.kvHeads;
  attention.query = {"h.*.self_attention.query_key_value", bias};
  attention.output = {"h.*.self_attention.dense", bias};
  if (config.flag("alibi", false)) {
    attention.alibi.slopes = alibiSlopes(attention.heads);
    attention.alibi.rounded = true;
    // The library adds them to the scores and once more with the mask.
    attention.alibi.scale = 2 * attention.scale;
    spec.fieldsWithoutEffect = {"rope_parameters", "rope_theta", "rope_scaling"};
  } else {
    readRotary(config, spec, attention);
  }
  layer.feedForward =
      plainFeedForward("h.*.mlp.dense_h_to_4h", "h.*.mlp.dense_4h_to_h", bias,
                       config.integer("ffn_hidden_size", 1, maxWidth, 4 * spec.hidden),
                       readActivation(config, "activation", "gelu"));

  layer.parallel = config.flag("parallel_attn", true);
  int64_t norms = config.integer("num_ln_in_parallel_attn", 1, 2, grouped ? 2 : 1);
  // One branch after the other has a norm before each.
  if (!layer.parallel && !grouped)
    norms = 1;
  if (norms == 2 && !grouped)
    config.error("num_ln_in_parallel_attn", "expected 1 without new_decoder_architecture, got 2");
  if (grouped && !layer.parallel)
    config.error("parallel_attn", "expected true with new_decoder_architecture, got false");
  layer.attentionNorm = norm.named(norms == 2 ? "h.*.ln_attn" : "h.*.input_layernorm");
  if (norms == 2)
    layer.feedForwardNorm = norm.named("h.*.ln_mlp");
  else if (!layer.parallel)
    layer.feedForwardNorm = norm.named("h.*.post_attention_layernorm");
  repeatLayer(spec, layer);
}

void ingot::importer::fillMpt(Config &config, DecoderSpec &spec) {
  readSizes(config, spec, "d_model|hidden_size", "n_layers|num_hidden_layers", "max_seq_len");
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "wte";
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  NormSpec norm = layerNorm(config.number("layer_norm_epsilon", 0, 1, 1e-5), /*bias=*/false);
  spec.finalNorm = norm.named("norm_f");

  LayerSpec layer;
  layer.name = "blocks.*";
  layer.attentionNorm = norm.named("blocks.*.norm_1");
  layer.feedForwardNorm = norm.named("blocks.*.norm_2");
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "n_heads|num_attention_heads", "", "");
  attention.fused = true;
  attention.query.name = "blocks.*.attn.Wqkv";
  attention.output.name = "blocks.*.attn.out_proj";
  if (Config *fields = config.child("attn_config")) {
    attention.clip = readSoftcap(*fields, "clip_qkv", 0);
    attention.scale = fields->positive("softmax_scale", attention.scale);
    // The library has no such norms; checkpoints of the code that they were published with do.
    if (fields->flag("qk_ln", false)) {
      NormSpec ofHeads = norm;
      ofHeads.optional = attention.normsAllHeads = true;
      attention.queryNorm = ofHeads.named("blocks.*.attn.q_ln");
      attention.keyNorm = ofHeads.named("blocks.*.attn.k_ln");
    }
    fields->onlyFalse("prefix_lm");
  }
  // Slopes 2^(-8 i / n) of the next power of two n: every second one, then the others.
  int64_t power = int64_t(llvm::bit_ceil(uint64_t(attention.heads)));
  for (int64_t i = 0; i < attention.heads; ++i) {
    int64_t number = 2 * i + 2 <= power ? 2 * i + 2 : 2 * i + 1 - power;
    if (power == attention.heads)
      number = i + 1;
    attention.alibi.slopes.push_back(1.0f /
                                     float(std::pow(2.0, 8.0 * double(number) / double(power))));
  }
  layer.feedForward = plainFeedForward("blocks.*.ffn.up_proj", "blocks.*.ffn.down_proj",
                                       /*bias=*/false, 4 * spec.hidden, Activation::Gelu);
  // The library always has linear biases, no others, and a network of four times the width.
  spec.fieldsWithoutEffect = {"expansion_ratio",
                              "no_bias",
                              "learned_pos_emb",
                              "embedding_fraction",
                              "norm_type",
                              "logit_scale",
                              "verbose",
                              "ffn_config",
                              "init_config",
                              "fc_type",
                              "tokenizer_name",
                              "use_pad_tok_in_ffn",
                              "attn_config.alibi",
                              "attn_config.model_type",
                              "attn_config.is_encoder_decoder",
                              "attn_config.alibi_bias_max",
                              "attn_config.attn_type",
                              "attn_config.attn_impl",
                              "attn_config.attn_pdrop",
                              "attn_config.attn_uses_sequence_id"};
  repeatLayer(spec, layer);
}
