//===- GPT2.cpp - GPT2LMHeadModel, and families that name their parts like it -----------------===//

#include "Families.h"
#include "llvm/ADT/STLExtras.h"

using namespace ingot::importer;

/// Everything but the attention and its matrices, which are for the family.
static LayerSpec readGPT2Layer(Config &config, DecoderSpec &spec, bool transposed) {
  readSizes(config, spec, "n_embd|hidden_size", "n_layer|num_hidden_layers",
            "n_positions|max_position_embeddings", 1024);
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "wte";
  spec.positionTable = "wpe";
  spec.positionRows = spec.context;
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  NormSpec norm = layerNorm(config.number("layer_norm_epsilon", 0, 1, 1e-5), /*bias=*/true);
  spec.finalNorm = norm.named("ln_f");
  // Masks that older versions of the library stored.
  spec.redundantTensors.insert(spec.redundantTensors.end(), {".attn.bias", ".attn.masked_bias"});

  LayerSpec layer;
  layer.name = "h.*";
  layer.attentionNorm = norm.named("h.*.ln_1");
  layer.feedForwardNorm = norm.named("h.*.ln_2");

  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "n_head|num_attention_heads", "", "");
  attention.fused = true;
  attention.query = {"h.*.attn.c_attn", /*bias=*/true, transposed};
  attention.output = {"h.*.attn.c_proj", /*bias=*/true, transposed};
  if (!config.flag("scale_attn_weights", true))
    attention.scale = 1;

  layer.feedForward = plainFeedForward("h.*.mlp.c_fc", "h.*.mlp.c_proj", /*bias=*/true,
                                       config.integer("n_inner", 1, maxWidth, 4 * spec.hidden),
                                       readActivation(config, "activation_function", "gelu_new"));
  layer.feedForward.up.transposed = layer.feedForward.down.transposed = transposed;
  return layer;
}

void ingot::importer::fillGPT2(Config &config, DecoderSpec &spec) {
  repeatLayer(spec, readGPT2Layer(config, spec, /*transposed=*/true));
  if (config.flag("scale_attn_by_inverse_layer_idx", false))
    for (size_t i = 0; i < spec.layers.size(); ++i)
      spec.layers[i].attention.scale /= double(i + 1);
}

void ingot::importer::fillGPTBigCode(Config &config, DecoderSpec &spec) {
  LayerSpec layer = readGPT2Layer(config, spec, /*transposed=*/false);
  if (config.flag("multi_query", true))
    layer.attention.kvHeads = 1;
  else
    layer.attention.groups = layer.attention.heads;
  spec.fieldsWithoutEffect = {"num_key_value_heads",   "attention_softmax_in_fp32",
                              "inference_runner",      "validate_runner_input",
                              "pre_allocate_kv_cache", "max_sequence_length",
                              "max_batch_size",        "pad_key_length"};
  repeatLayer(spec, layer);
}

/// The kind of every layer: [[["global", "local"], 12]] is twelve times both.
static std::vector<std::string> readAttentionTypes(Config &config) {
  const llvm::json::Value *value = config.value("attention_types");
  std::vector<std::string> result;
  bool valid = value && value->getAsArray();
  for (const llvm::json::Value &item : valid ? *value->getAsArray() : llvm::json::Array()) {
    const llvm::json::Array *pair = item.getAsArray();
    const llvm::json::Array *kinds = pair && pair->size() == 2 ? (*pair)[0].getAsArray() : nullptr;
    std::optional<int64_t> count = kinds ? (*pair)[1].getAsInteger() : std::nullopt;
    valid &= count && *count >= 0 && *count <= maxLayers;
    for (int64_t i = 0; valid && i < *count && int64_t(result.size()) <= maxLayers; ++i)
      for (const llvm::json::Value &kind : *kinds) {
        result.push_back(kind.getAsString().value_or("").str());
        valid &= result.back() == "global" || result.back() == "local";
      }
  }
  if (value && !valid)
    config.error("attention_types",
                 "expected a list of pairs of a list of global and local, and a count");
  return result;
}

void ingot::importer::fillGPTNeo(Config &config, DecoderSpec &spec) {
  readSizes(config, spec, "hidden_size", "num_layers|num_hidden_layers");
  spec.prefixes = {"transformer.", ""};
  spec.embedding = "wte";
  spec.positionTable = "wpe";
  spec.positionRows = spec.context;
  spec.head.name = "lm_head";
  spec.tiedHead = config.flag("tie_word_embeddings", true);
  NormSpec norm = layerNorm(config.number("layer_norm_epsilon", 0, 1, 1e-5), /*bias=*/true);
  spec.finalNorm = norm.named("ln_f");
  spec.redundantTensors.insert(spec.redundantTensors.end(),
                               {".attn.attention.bias", ".attn.attention.masked_bias"});

  LayerSpec layer;
  layer.name = "h.*";
  layer.attentionNorm = norm.named("h.*.ln_1");
  layer.feedForwardNorm = norm.named("h.*.ln_2");
  AttentionSpec &attention = layer.attention =
      readHeads(config, spec, "num_heads|num_attention_heads", "", "");
  attention.scale = 1;
  attention.query.name = "h.*.attn.attention.q_proj";
  attention.key.name = "h.*.attn.attention.k_proj";
  attention.value.name = "h.*.attn.attention.v_proj";
  attention.output = {"h.*.attn.attention.out_proj", /*bias=*/true};
  layer.feedForward =
      plainFeedForward("h.*.mlp.c_fc", "h.*.mlp.c_proj", /*bias=*/true,
                       config.integer("intermediate_size", 1, maxWidth, 4 * spec.hidden),
                       readActivation(config, "activation_function", "gelu_new"));
  repeatLayer(spec, layer);

  int64_t window = config.integer("window_size", 1, maxPositions, 256);
  std::vector<std::string> types = readAttentionTypes(config);
  // The expanded list, which the library writes beside.
  std::vector<std::string> layers = config.strings("attention_layers");
  if (types.empty())
    types = layers;
  if (!layers.empty() && layers != types)
    config.error("attention_layers", "expected what attention_types say");
  if (!types.empty() && types.size() != spec.layers.size())
    config.error("attention_types|attention_layers",
                 "expected one for each of the " + llvm::Twine(spec.layers.size()) +
                     " layers, got " + llvm::Twine(types.size()));
  for (auto [i, each] : llvm::enumerate(spec.layers))
    if (types.empty() ? i % 2 == 1 : i < types.size() && types[i] == "local")
      each.attention.window = window;
}
