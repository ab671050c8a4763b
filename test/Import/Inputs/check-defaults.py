"""check-defaults.py TOOL DIR: what a config leaves out is what the library's class of the family has.

A case is a family with fields as the library's defaults have them; without each of these the graph must be the same, and
with another value it must not.
"""
from fieldcases import REMOVE, bases, case, finish, same

THETA = "rope_parameters.rope_theta"
# Sizes that the library demands in the file or that do not matter here.
SMALL = {"vocab_size": 11, "hidden_size": 64, "intermediate_size": 4, "num_hidden_layers": 2, "num_attention_heads": 16}
WIDE = {**SMALL, "num_attention_heads": 32}
ROTARY = {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}
LATENT = {**SMALL, "num_attention_heads": 2, "kv_lora_rank": 4, "q_lora_rank": 4, "n_routed_experts": 16, "num_experts_per_tok": 2,
          "moe_intermediate_size": 2, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4, "n_group": 2, "topk_group": 1}
BART = {"vocab_size": 11, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 4, "decoder_ffn_dim": 4,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "activation_function": "gelu"}


def sizes(context, heads=None, head=None):
    return {"max_position_embeddings": context, **({"num_key_value_heads": heads} if heads else {}), **({"head_dim": head} if head else {})}


# Family: class, the fields that it must have, the library's defaults of others.
DEFAULTS = {
    "bart": ("BartForConditionalGeneration", BART, {"max_position_embeddings": 1024, "scale_embedding": False, "tie_word_embeddings": True}),
    "blenderbot": ("BlenderbotForConditionalGeneration", BART, {"max_position_embeddings": 128, "tie_word_embeddings": True}),
    "blenderbot-small": ("BlenderbotSmallForConditionalGeneration", BART, {"max_position_embeddings": 512, "tie_word_embeddings": True}),
    "cohere": ("CohereForCausalLM", {**SMALL, **ROTARY}, {**sizes(8192), THETA: 500000.0, "logit_scale": 0.0625, "tie_word_embeddings": True}),
    "cohere2": ("Cohere2ForCausalLM", {**SMALL, **ROTARY}, {**sizes(8192), "sliding_window": 4096, "tie_word_embeddings": True}),
    "deepseek_v2": ("DeepseekV2ForCausalLM", LATENT, {**sizes(2048), "n_shared_experts": 2, "first_k_dense_replace": 0, "tie_word_embeddings": False}),
    "deepseek_v3": ("DeepseekV3ForCausalLM", {**LATENT, "num_hidden_layers": 4},
                    {**sizes(4096), "n_shared_experts": 1, "first_k_dense_replace": 3, "routed_scaling_factor": 2.5, "norm_topk_prob": True}),
    "ernie4_5": ("Ernie4_5ForCausalLM", {**SMALL, **ROTARY}, {**sizes(131072, 2, 128), THETA: 500000.0, "tie_word_embeddings": True}),
    "exaone4": ("Exaone4ForCausalLM", {**WIDE, **ROTARY}, {**sizes(2048, 32), "sliding_window": 4096, "tie_word_embeddings": False}),
    "gemma": ("GemmaForCausalLM", {**SMALL, **ROTARY}, {**sizes(8192, 16, 256), "tie_word_embeddings": True}),
    "gemma2": ("Gemma2ForCausalLM", {**SMALL, **ROTARY}, {
        **sizes(8192, 4, 256), "query_pre_attn_scalar": 256, "sliding_window": 4096, "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0}),
    "gemma3_text": ("Gemma3ForCausalLM", SMALL, {**sizes(131072, 4, 256), "query_pre_attn_scalar": 256, "tie_word_embeddings": True}),
    "glm": ("GlmForCausalLM", {**SMALL, **ROTARY}, {**sizes(131072, 2, 128), "rope_parameters.partial_rotary_factor": 0.5}),
    "glm4": ("Glm4ForCausalLM", {**SMALL, **ROTARY}, {**sizes(131072, 2, 128), "rope_parameters.partial_rotary_factor": 0.5, "attention_bias": True}),
    "gpt_oss": ("GptOssForCausalLM", {**SMALL, **ROTARY, "num_local_experts": 4}, {
        **sizes(131072, 8, 64), THETA: 150000.0, "sliding_window": 128, "num_experts_per_tok": 4}),
    "granite": ("GraniteForCausalLM", {**SMALL, **ROTARY}, sizes(2048)),
    "llama": ("LlamaForCausalLM", {**SMALL, **ROTARY}, {**sizes(2048, 16, 4), "tie_word_embeddings": False}),
    "mistral": ("MistralForCausalLM", {**SMALL, **ROTARY}, {**sizes(131072, 8), "sliding_window": 4096}),
    "mixtral": ("MixtralForCausalLM", {**SMALL, **ROTARY}, {**sizes(131072, 8), THETA: 1000000.0, "num_local_experts": 8, "num_experts_per_tok": 2}),
    "modernbert": ("ModernBertForMaskedLM", {**SMALL}, {"max_position_embeddings": 8192, "local_attention": 128}),
    "mt5": ("MT5ForConditionalGeneration", {"vocab_size": 11, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2},
            {"tie_word_embeddings": True, "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32}),
    "nemotron": ("NemotronForCausalLM", {**SMALL, "head_dim": 16, **ROTARY}, {**sizes(4096, 16), "rope_parameters.partial_rotary_factor": 0.5}),
    "nomic_bert": ("NomicBertForMaskedLM", {**SMALL, **ROTARY}, {"max_position_embeddings": 2048, THETA: 1000.0, "type_vocab_size": 2}),
    "olmoe": ("OlmoeForCausalLM", {**SMALL, **ROTARY, "num_experts": 8}, {**sizes(4096), "num_experts_per_tok": 8, "norm_topk_prob": False}),
    "phi3": ("Phi3ForCausalLM", {**SMALL, "rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.5], "long_factor": [3.0, 4.0],
                                                             "original_max_position_embeddings": 50}},
             {"max_position_embeddings": 4096, "original_max_position_embeddings": 4096, "num_key_value_heads": 16}),
    "qwen2": ("Qwen2ForCausalLM", {**WIDE, **ROTARY}, sizes(32768, 32)),
    "qwen2_moe": ("Qwen2MoeForCausalLM", {**SMALL, **ROTARY, "num_experts": 8, "moe_intermediate_size": 4, "shared_expert_intermediate_size": 4},
                  {**sizes(32768, 16), "num_experts_per_tok": 4, "norm_topk_prob": False}),
    "qwen3": ("Qwen3ForCausalLM", {**WIDE, **ROTARY}, sizes(32768, 32, 128)),
    "qwen3_moe": ("Qwen3MoeForCausalLM", {**SMALL, **ROTARY, "num_experts": 8, "moe_intermediate_size": 4},
                  {**sizes(32768, 4), "num_experts_per_tok": 8, "norm_topk_prob": False}),
    "smollm3": ("SmolLM3ForCausalLM", {**SMALL, **ROTARY}, {**sizes(32768, 4), THETA: 2000000.0, "no_rope_layer_interval": 4, "tie_word_embeddings": True}),
    "stablelm": ("StableLmForCausalLM", {**WIDE, "head_dim": 16, **ROTARY}, {**sizes(4096, 32), "rope_parameters.partial_rotary_factor": 0.25}),
    "starcoder2": ("Starcoder2ForCausalLM", {**SMALL, **ROTARY}, {**sizes(4096, 2), "use_bias": True, "tie_word_embeddings": True}),
    "t5": ("T5ForConditionalGeneration", {"vocab_size": 11, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2},
           {"tie_word_embeddings": True, "feed_forward_proj": "relu"}),
}


def other(value):
    """Another value of a field."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return value[:1]
    if isinstance(value, str):
        return {"relu": "gated-gelu"}.get(value, "relu")
    return value / 2 if value > 1 and value % 2 == 0 or isinstance(value, float) else value + 1


def table():
    for family, (architecture, config, defaults) in DEFAULTS.items():
        bases[family] = {"model_type": family, "architectures": [architecture], **config}
        for field, value in defaults.items():
            same(family, defaults, {field: REMOVE})
            changed = other(value)
            case(family, defaults, {field: int(changed) if isinstance(value, int) and not isinstance(value, bool) else changed})
    same("glm", {"vocab_size": 151552, "hidden_size": 16, "eos_token_id": [151329, 151336, 151338]}, {"eos_token_id": REMOVE})
    # What is null follows from other sizes.
    for family in ("ernie4_5", "glm4", "gpt_oss"):
        same(family, {"head_dim": 4}, {"head_dim": None})
    for family in ("gpt_oss", "mistral", "qwen2_moe", "smollm3"):
        same(family, {"num_key_value_heads": 16}, {"num_key_value_heads": None})


finish(table, complete=False)
