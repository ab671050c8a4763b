//===- Families.cpp - from config.json to structures ------------------------------------------===//

#include "Families.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

ArrayRef<Family> importer::families() {
  static constexpr Family table[] = {
      {"bloom", "BloomForCausalLM", fillBloom, 1, 2},
      {"chatglm", "ChatGLMModel", fillChatGLM, -1, 2, "ChatGLMForConditionalGeneration"},
      {"codegen", "CodeGenForCausalLM", fillCodeGen, 50256, 50256},
      {"cohere", "CohereForCausalLM", fillCohere, 5, 255001},
      {"cohere2", "Cohere2ForCausalLM", fillCohere2, 5, 255001},
      {"deepseek_v2", "DeepseekV2ForCausalLM", fillDeepSeekV2, 1, 2},
      {"deepseek_v3", "DeepseekV3ForCausalLM", fillDeepSeekV3, 0, 1},
      {"ernie4_5", "Ernie4_5ForCausalLM", fillErnie, 1, 2},
      {"exaone4", "Exaone4ForCausalLM", fillExaone4, 0, 2},
      {"falcon", "FalconForCausalLM", fillFalcon, 11, 11},
      {"gemma", "GemmaForCausalLM", fillGemma, 2, 1},
      {"gemma2", "Gemma2ForCausalLM", fillGemma2, 2, 1},
      {"gemma3_text", "Gemma3ForCausalLM", fillGemma3, 2, 1},
      {"glm", "GlmForCausalLM", fillGlm, -1, -1},
      {"glm4", "Glm4ForCausalLM", fillGlm4, -1, -1},
      {"gpt2", "GPT2LMHeadModel", fillGPT2, 50256, 50256},
      {"gpt_bigcode", "GPTBigCodeForCausalLM", fillGPTBigCode, 50256, 50256},
      {"gpt_neo", "GPTNeoForCausalLM", fillGPTNeo, 50256, 50256},
      {"gpt_neox", "GPTNeoXForCausalLM", fillGPTNeoX, 0, 2},
      {"gpt_oss", "GptOssForCausalLM", fillGptOss, -1, -1},
      {"gptj", "GPTJForCausalLM", fillGPTJ, 50256, 50256},
      {"granite", "GraniteForCausalLM", fillGranite, 1, 2},
      {"llama", "LlamaForCausalLM", fillLlama, 1, 2},
      {"mistral", "MistralForCausalLM", fillMistral, 1, 2},
      {"mixtral", "MixtralForCausalLM", fillMixtral, 1, 2},
      {"mpt", "MptForCausalLM", fillMpt, -1, -1, "MPTForCausalLM"},
      {"nemotron", "NemotronForCausalLM", fillNemotron, 2, 3},
      {"olmo", "OlmoForCausalLM", fillOlmo, -1, 50279},
      {"olmo2", "Olmo2ForCausalLM", fillOlmo2, -1, 50279},
      {"olmoe", "OlmoeForCausalLM", fillOlmoe, -1, 50279},
      {"opt", "OPTForCausalLM", fillOPT, 2, 2},
      {"persimmon", "PersimmonForCausalLM", fillPersimmon, 1, 2},
      {"phi", "PhiForCausalLM", fillPhi, 1, 2},
      {"phi3", "Phi3ForCausalLM", fillPhi3, 1, 32000},
      {"qwen", "QWenLMHeadModel", fillQwen, -1, -1},
      {"qwen2", "Qwen2ForCausalLM", fillQwen2, -1, -1},
      {"qwen2_moe", "Qwen2MoeForCausalLM", fillQwen2Moe, -1, -1},
      {"qwen3", "Qwen3ForCausalLM", fillQwen3, -1, -1},
      {"qwen3_moe", "Qwen3MoeForCausalLM", fillQwen3Moe, -1, -1},
      {"smollm3", "SmolLM3ForCausalLM", fillSmolLM3, 128000, 128001},
      {"stablelm", "StableLmForCausalLM", fillStableLm, 0, 0, "StableLMEpochForCausalLM"},
      {"starcoder2", "Starcoder2ForCausalLM", fillStarcoder2, 50256, 50256},
  };
  return table;
}

bool importer::isWithoutEffect(StringRef field) {
  static const llvm::StringSet<> names = {
      // About the file.
      "_name_or_path", "_from_model_config", "_commit_hash", "auto_map", "transformers_version",
      "dtype", "torch_dtype", "use_bfloat16", "torchscript", "problem_type", "finetuning_task",
      "task_specific_params", "id2label", "label2id", "num_labels", "tokenizer_class",
      // Training.
      "initializer_range", "attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop",
      "hidden_dropout", "dropout", "classifier_dropout", "gradient_checkpointing", "embed_dropout",
      "resid_dropout", "embedding_dropout", "residual_dropout", "emb_pdrop", "layerdrop",
      "init_std", "init_device", "output_router_logits", "router_aux_loss_coef",
      "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type",
      "summary_use_proj",
      // How the library computes the same thing. pretraining_tp slices matrices and adds the parts;
      // reorder_and_upcast_attn is about 16-bit arithmetic.
      "use_cache", "output_attentions", "output_hidden_states", "return_dict",
      "chunk_size_feed_forward", "pretraining_tp", "reorder_and_upcast_attn",
      "_attn_implementation", "_attn_implementation_autoset", "attn_implementation",
      "use_flash_attention", "cache_implementation", "is_llama_config", "transformers.js_config",
      "is_decoder", "tie_encoder_decoder", "n_ctx", "cross_attention_hidden_size", "tf_legacy_loss",
      "tie_last_hidden_states", "attention_softmax_in_fp32", "scale_attention_softmax_in_fp32",
      "softmax_in_fp32", "slow_but_exact", "masked_softmax_fusion", "bias_dropout_fusion",
      "skip_bias_add", "skip_bias_add_qkv",
      // Of quantization_config: how the library multiplies; tensors say which weights are small.
      "activation_scheme", "modules_to_not_convert", "dequantize", "swizzle",
      // Ids that only training or a tokenizer uses, and parameters of the library's generation.
      "pad_token_id", "sep_token_id", "unk_token_id", "decoder_start_token_id", "prefix",
      "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
      "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
      "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
      "num_return_sequences", "output_scores", "return_dict_in_generate", "forced_bos_token_id",
      "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
      "suppress_tokens", "begin_suppress_tokens"};
  return names.contains(field);
}

//===----------------------------------------------------------------------===//
// Fields that families share
//===----------------------------------------------------------------------===//

void importer::readSizes(Config &config, DecoderSpec &spec, StringRef hidden, StringRef layers,
                         StringRef context, int64_t defaultContext) {
  spec.vocab = config.integer("vocab_size", 1, maxVocab);
  spec.hidden = config.integer(hidden, 1, maxWidth);
  spec.layers.resize(config.integer(layers, 1, maxLayers));
  spec.context = config.integer(context, 1, maxPositions, defaultContext);
}

AttentionSpec importer::readHeads(Config &config, const DecoderSpec &spec, StringRef heads,
                                  StringRef kvHeads, StringRef headDim, const SizeDefaults &sizes) {
  AttentionSpec attention;
  attention.heads = config.integer(heads, 1, maxHeads);
  attention.kvHeads = attention.heads;
  if (!kvHeads.empty() && !config.isNull(kvHeads))
    attention.kvHeads =
        config.integer(kvHeads, 1, maxHeads, sizes.kvHeads ? sizes.kvHeads : attention.heads);
  if (attention.heads % attention.kvHeads != 0)
    config.error(kvHeads, "expected a divisor of the " + Twine(attention.heads) +
                              " attention heads, got " + Twine(attention.kvHeads));
  if (!headDim.empty() && !config.isNull(headDim) && (config.has(headDim) || sizes.headDim)) {
    attention.headDim = config.integer(headDim, 1, maxHeadDim, sizes.headDim);
  } else {
    if (spec.hidden % attention.heads != 0)
      config.error(heads, "expected a divisor of the hidden size, " + Twine(spec.hidden) +
                              ", got " + Twine(attention.heads));
    attention.headDim = std::max<int64_t>(spec.hidden / attention.heads, 1);
  }
  attention.scale = 1 / std::sqrt(double(attention.headDim));
  return attention;
}

Activation importer::readActivation(Config &config, StringRef name, StringRef fallback) {
  StringRef value = config.string(name, fallback);
  if (std::optional<Activation> activation = findActivation(value))
    return *activation;
  config.error(name, "expected one of " + activationNames() + ", got " + quote(value));
  return Activation::Identity;
}

NormSpec importer::rmsNorm(double eps) {
  NormSpec norm;
  norm.kind = NormSpec::Rms;
  norm.eps = eps;
  return norm;
}

NormSpec importer::layerNorm(double eps, bool bias) {
  NormSpec norm;
  norm.kind = NormSpec::Layer;
  norm.eps = eps;
  norm.bias = bias;
  return norm;
}

void importer::repeatLayer(DecoderSpec &spec, const LayerSpec &layer) {
  std::fill(spec.layers.begin(), spec.layers.end(), layer);
}

int64_t importer::readWindow(Config &config, StringRef name, int64_t fallback) {
  return config.isNull(name) ? 0 : config.integer(name, 1, maxPositions, fallback);
}

double importer::readSoftcap(Config &config, StringRef name, double fallback) {
  return config.isNull(name) ? 0 : config.positive(name, fallback);
}

void importer::readLayerTypes(Config &config, DecoderSpec &spec, int64_t window,
                              llvm::function_ref<bool(size_t)> isSliding) {
  std::vector<std::string> types = config.strings("layer_types");
  if (!types.empty() && types.size() != spec.layers.size())
    config.error("layer_types", "expected one for each of the " + Twine(spec.layers.size()) +
                                    " layers, got " + Twine(types.size()));
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    bool sliding =
        types.empty() ? isSliding(i) : i < types.size() && types[i] == "sliding_attention";
    if (i < types.size() && !sliding && types[i] != "full_attention")
      config.error("layer_types",
                   "expected full_attention or sliding_attention, got " + quote(types[i]));
    spec.layers[i].attention.window = sliding ? window : 0;
  }
}

void importer::readLayerPattern(Config &config, DecoderSpec &spec, StringRef pattern,
                                int64_t fallback) {
  int64_t window = readWindow(config, "sliding_window", 4096);
  // Where it says nothing new it may be anything.
  if (config.has("layer_types") || window == 0)
    spec.fieldsWithoutEffect.push_back(pattern.str());
  else
    fallback = config.integer(pattern, 1, maxLayers, fallback);
  readLayerTypes(config, spec, window, [&](size_t i) { return (i + 1) % fallback != 0; });
}

FeedForwardSpec importer::plainFeedForward(const std::string &up, const std::string &down,
                                           bool bias, int64_t size, Activation activation) {
  FeedForwardSpec ff;
  ff.size = size;
  ff.activation = activation;
  ff.up.name = up;
  ff.down.name = down;
  ff.setBias(bias);
  return ff;
}
