"""Configs of families, and the changes that must change a graph or be refused."""

REMOVE = object()

LLAMA = {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 6,
         "num_key_value_heads": 2, "max_position_embeddings": 64, "hidden_act": "silu",
         "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}
LLAMA_CASES = {"hidden_size": 36, "intermediate_size": 21, "num_hidden_layers": 3, "num_attention_heads": 2,
               "num_key_value_heads": 3, "max_position_embeddings": 65, "hidden_act": "relu",
               "rope_parameters.rope_theta": 500.0}
GPT = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 16, "n_inner": None, "activation_function": "gelu_new",
       "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True}
GPT_CASES = {"n_embd": 32, "n_layer": 3, "n_head": 8, "n_positions": 17, "n_inner": 7, "activation_function": "relu",
             "layer_norm_epsilon": 1e-3}
WINDOWED = {"num_hidden_layers": 4, "sliding_window": 5,
            "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]}
OTHER_TYPES = ["full_attention", "full_attention", "sliding_attention", "full_attention"]
LONG = {"rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 3.0], "rope_theta": 10000.0,
        "original_max_position_embeddings": 32}
PARTIAL = {"rope_parameters.partial_rotary_factor": 0.25}

# Family: class, config, changes that change the graph (a list where they need other changes first).
FAMILIES = {
    "bloom": ("BloomForCausalLM", {
        "hidden_size": 24, "n_layer": 2, "n_head": 4, "seq_length": 32, "layer_norm_epsilon": 1e-5,
        "apply_residual_connection_post_layernorm": False, "tie_word_embeddings": True},
        {"hidden_size": 32, "n_layer": 3, "n_head": 6, "seq_length": 33, "layer_norm_epsilon": 1e-3,
         "apply_residual_connection_post_layernorm": True}, {}),
    "codegen": ("CodeGenForCausalLM", {**GPT, "rotary_dim": 2, "tie_word_embeddings": False},
                {**GPT_CASES, "rotary_dim": 4}, {"rotary_dim": (8, "expected"), "n_head": (6, "expected a multiple of 4")}),
    "cohere2": ("Cohere2ForCausalLM", {**LLAMA, **WINDOWED, "layer_norm_eps": 1e-5, "logit_scale": 0.25,
                                       "attention_bias": False, "tie_word_embeddings": True},
                {**LLAMA_CASES, "num_hidden_layers": REMOVE, "layer_norm_eps": 1e-3, "logit_scale": 0.5, "attention_bias": True,
                 "head_dim": 6, "sliding_window": 6, "layer_types": OTHER_TYPES}, {"layer_types": (["x"] * 4, "got 'x'")}),
    "ernie4_5": ("Ernie4_5ForCausalLM", {**LLAMA, "head_dim": 8, "rms_norm_eps": 1e-5, "use_bias": False,
                                         "tie_word_embeddings": True},
                 {**LLAMA_CASES, "head_dim": 4, "rms_norm_eps": 1e-3, "use_bias": True}, {}),
    "exaone4": ("Exaone4ForCausalLM", {**LLAMA, **WINDOWED, "rms_norm_eps": 1e-5, "tie_word_embeddings": False},
                {**LLAMA_CASES, "num_hidden_layers": REMOVE, "head_dim": 6, "rms_norm_eps": 1e-3, "sliding_window": 6,
                 "layer_types": OTHER_TYPES}, {}),
    "falcon": ("FalconForCausalLM", {
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 6, "max_position_embeddings": 32,
        "num_kv_heads": 6, "alibi": False, "bias": False, "multi_query": True, "parallel_attn": True,
        "new_decoder_architecture": False, "num_ln_in_parallel_attn": None, "ffn_hidden_size": 50,
        "activation": "gelu", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
        "rope_parameters": {"rope_theta": 10000.0}},
        {"hidden_size": 36, "num_hidden_layers": 3, "num_attention_heads": 12, "max_position_embeddings": 33,
         "alibi": True, "bias": True, "multi_query": False, "parallel_attn": False, "new_decoder_architecture": True,
         "ffn_hidden_size": 51, "activation": "relu", "layer_norm_epsilon": 1e-3, "rope_parameters.rope_theta": 500.0},
        {"num_ln_in_parallel_attn": (2, "expected 1 without new_decoder_architecture")}),
    "gemma": ("GemmaForCausalLM", {**LLAMA, "head_dim": 8, "rms_norm_eps": 1e-6, "attention_bias": False,
                                   "hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": True},
              {**LLAMA_CASES, "head_dim": 4, "rms_norm_eps": 1e-3, "attention_bias": True},
              {"use_bidirectional_attention": (True, "expected false")}),
    "gemma3_text": ("Gemma3ForCausalLM", {
        **LLAMA, **WINDOWED, "head_dim": 8, "rms_norm_eps": 1e-6, "attention_bias": False, "hidden_act": REMOVE,
        "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 9, "attn_logit_softcapping": None,
        "final_logit_softcapping": None, "tie_word_embeddings": True,
        "rope_parameters": {"full_attention": {"rope_theta": 1e6, "rope_type": "default"},
                            "sliding_attention": {"rope_theta": 100.0, "rope_type": "default"}}},
        {**LLAMA_CASES, "num_hidden_layers": REMOVE, "hidden_act": REMOVE, "rope_parameters.rope_theta": REMOVE, "head_dim": 4,
         "rms_norm_eps": 1e-3, "attention_bias": True, "hidden_activation": "relu", "query_pre_attn_scalar": 10,
         "final_logit_softcapping": 3.0, "sliding_window": 6, "layer_types": OTHER_TYPES,
         "rope_parameters.full_attention.rope_theta": 10.0, "rope_parameters.sliding_attention.rope_theta": 10.0},
        {"use_bidirectional_attention": (True, "expected false"),
         "rope_parameters.full_attention.rope_type": ("x", "got 'x'"),
         "rope_parameters.sliding_attention.rope_type": ("x", "got 'x'")}),
    "glm": ("GlmForCausalLM", {**LLAMA, "head_dim": 8, "rms_norm_eps": 1e-6, "attention_bias": True,
                               "tie_word_embeddings": False},
            {**LLAMA_CASES, **PARTIAL, "head_dim": 16, "rms_norm_eps": 1e-3, "attention_bias": False}, {}),
    "glm4": ("Glm4ForCausalLM", {**LLAMA, "head_dim": 8, "rms_norm_eps": 1e-6, "attention_bias": True,
                                 "tie_word_embeddings": False},
             {**LLAMA_CASES, **PARTIAL, "head_dim": 16, "rms_norm_eps": 1e-3, "attention_bias": False}, {}),
    "gpt_bigcode": ("GPTBigCodeForCausalLM", {**GPT, "multi_query": True, "scale_attn_weights": True},
                    {**GPT_CASES, "multi_query": False, "scale_attn_weights": False}, {}),
    "gpt_neo": ("GPTNeoForCausalLM", {
        "hidden_size": 24, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 32, "intermediate_size": None,
        "window_size": 5, "attention_types": [[["global", "local"], 1]], "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True},
        {"hidden_size": 32, "num_heads": 6, "max_position_embeddings": 33, "intermediate_size": 7, "window_size": 6,
         "attention_types": [[["local"], 2]], "activation_function": "relu", "layer_norm_epsilon": 1e-3},
        {"attention_layers": (["local", "local"], "expected what attention_types say"),
         "attention_types": ([[["x"], 2]], "expected a list of pairs"),
         "num_layers": (0, "expected an integer")}),
    "gpt_neox": ("GPTNeoXForCausalLM", {
        **{k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}, "hidden_size": 48, "hidden_act": "gelu",
        "layer_norm_eps": 1e-5, "use_parallel_residual": True, "attention_bias": True, "tie_word_embeddings": False,
        "rope_parameters": {"rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
        {**LLAMA_CASES, "num_key_value_heads": REMOVE, "hidden_size": 96, **PARTIAL, "layer_norm_eps": 1e-3,
         "use_parallel_residual": False, "attention_bias": False}, {}),
    "gptj": ("GPTJForCausalLM", {**GPT, "rotary_dim": 4, "tie_word_embeddings": False},
             {**GPT_CASES, "n_head": 6, "rotary_dim": 2}, {"rotary_dim": (8, "expected")}),
    "mpt": ("MptForCausalLM", {
        "d_model": 24, "n_layers": 2, "n_heads": 6, "max_seq_len": 32, "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True, "attn_config": {"clip_qkv": None, "softmax_scale": None, "qk_ln": False}},
        {"d_model": 48, "n_layers": 3, "n_heads": 4, "max_seq_len": 33, "layer_norm_epsilon": 1e-3,
         "attn_config.clip_qkv": 2.0, "attn_config.softmax_scale": 2.0},
        {"attn_config.prefix_lm": (True, "expected false")}),
    "nemotron": ("NemotronForCausalLM", {**LLAMA, "head_dim": 8, "norm_eps": 1e-5, "hidden_act": "relu2",
                                         "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False},
                 {**LLAMA_CASES, **PARTIAL, "head_dim": 16, "norm_eps": 1e-3, "attention_bias": True, "mlp_bias": True}, {}),
    "olmo": ("OlmoForCausalLM", {**LLAMA, "clip_qkv": None, "attention_bias": False, "tie_word_embeddings": False},
             {**LLAMA_CASES, "head_dim": 6, "clip_qkv": 2.0, "attention_bias": True}, {}),
    "olmo2": ("Olmo2ForCausalLM", {**LLAMA, "rms_norm_eps": 1e-5, "attention_bias": False, "tie_word_embeddings": False},
              {**LLAMA_CASES, "head_dim": 6, "rms_norm_eps": 1e-3, "attention_bias": True}, {}),
    "opt": ("OPTForCausalLM", {
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32, "ffn_dim": 20,
        "word_embed_proj_dim": 24, "activation_function": "relu", "do_layer_norm_before": True, "enable_bias": True,
        "layer_norm_elementwise_affine": True, "_remove_final_layer_norm": False, "tie_word_embeddings": True},
        {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 6, "max_position_embeddings": 33, "ffn_dim": 21,
         "word_embed_proj_dim": 8, "activation_function": "gelu", "do_layer_norm_before": False, "enable_bias": False,
         "layer_norm_elementwise_affine": False, "_remove_final_layer_norm": True}, {}),
    "persimmon": ("PersimmonForCausalLM", {
        **{k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}, "hidden_size": 48, "layer_norm_eps": 1e-5,
        "qk_layernorm": True, "tie_word_embeddings": False, "hidden_act": "relu2"},
        {**LLAMA_CASES, "num_key_value_heads": REMOVE, "hidden_size": 96, **PARTIAL, "layer_norm_eps": 1e-3,
         "qk_layernorm": False}, {}),
    "phi": ("PhiForCausalLM", {**LLAMA, "head_dim": 8, "layer_norm_eps": 1e-5, "qk_layernorm": False,
                               "hidden_act": "gelu_new", "tie_word_embeddings": False},
            {**LLAMA_CASES, **PARTIAL, "head_dim": 16, "layer_norm_eps": 1e-3, "qk_layernorm": True}, {}),
    "phi3": ("Phi3ForCausalLM", {**LLAMA, "rms_norm_eps": 1e-5, "sliding_window": None, "tie_word_embeddings": False},
             {**LLAMA_CASES, "head_dim": 6, "rms_norm_eps": 1e-3, "sliding_window": 5,
              "rope_parameters.partial_rotary_factor": 0.5}, {}),
    "smollm3": ("SmolLM3ForCausalLM", {
        **LLAMA, "num_hidden_layers": 4, "rms_norm_eps": 1e-6, "attention_bias": False, "mlp_bias": False,
        "no_rope_layers": [1, 1, 1, 0], "use_sliding_window": True, "sliding_window": 5, "tie_word_embeddings": True,
        "layer_types": WINDOWED["layer_types"]},
        {**LLAMA_CASES, "num_hidden_layers": REMOVE, "head_dim": 6, "rms_norm_eps": 1e-3, "attention_bias": True,
         "mlp_bias": True, "no_rope_layers": [1, 0, 1, 0], "use_sliding_window": False, "sliding_window": 6,
         "layer_types": OTHER_TYPES}, {"no_rope_layer_interval": (0, "expected an integer")}),
    "stablelm": ("StableLmForCausalLM", {
        **LLAMA, "hidden_size": 48, "layer_norm_eps": 1e-5, "qk_layernorm": False, "use_parallel_residual": False,
        "use_qkv_bias": False, "tie_word_embeddings": False,
        "rope_parameters": {"rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
        {**LLAMA_CASES, "hidden_size": 96, **PARTIAL, "head_dim": 16,
         "layer_norm_eps": 1e-3, "qk_layernorm": True, "use_parallel_residual": True, "use_qkv_bias": True}, {}),
    "starcoder2": ("Starcoder2ForCausalLM", {**LLAMA, "norm_epsilon": 1e-5, "use_bias": True, "sliding_window": None,
                                             "tie_word_embeddings": True},
                   {**LLAMA_CASES, "head_dim": 6, "norm_epsilon": 1e-3, "use_bias": False, "sliding_window": 5}, {}),
    "chatglm": ("ChatGLMModel", {
        "padded_vocab_size": 11, "hidden_size": 24, "num_layers": 2, "num_attention_heads": 6, "kv_channels": 8,
        "multi_query_attention": True, "multi_query_group_num": 2, "seq_length": 64, "ffn_hidden_size": 20,
        "layernorm_epsilon": 1e-5, "rmsnorm": True, "post_layer_norm": True, "add_bias_linear": False,
        "add_qkv_bias": True, "apply_residual_connection_post_layernorm": False, "rope_ratio": 1,
        "tie_word_embeddings": False, "vocab_size": REMOVE},
        {"padded_vocab_size": 12, "hidden_size": 36, "num_layers": 3, "num_attention_heads": 2, "kv_channels": 16,
         "multi_query_attention": False, "multi_query_group_num": 3, "seq_length": 65, "ffn_hidden_size": 21,
         "layernorm_epsilon": 1e-3, "rmsnorm": False, "post_layer_norm": False, "add_bias_linear": True,
         "add_qkv_bias": False, "apply_residual_connection_post_layernorm": True, "rope_ratio": 50},
        {"quantization_bit": (4, "quantised weights are not supported"),
         "pre_seq_len": (3, "learned prefixes are not supported")}),
    "qwen": ("QWenLMHeadModel", {
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 6, "kv_channels": 8, "intermediate_size": 40,
        "max_position_embeddings": 64, "seq_length": 32, "layer_norm_epsilon": 1e-6, "no_bias": True, "rotary_pct": 1.0,
        "rotary_emb_base": 10000, "scale_attn_weights": True, "use_dynamic_ntk": False, "use_logn_attn": False,
        "tie_word_embeddings": False},
        {"hidden_size": 36, "num_hidden_layers": 3, "num_attention_heads": 2, "kv_channels": 4, "intermediate_size": 42,
         "max_position_embeddings": 65, "layer_norm_epsilon": 1e-3, "no_bias": False, "rotary_pct": 0.5,
         "rotary_emb_base": 500, "scale_attn_weights": False, "use_dynamic_ntk": True, "use_logn_attn": True},
        {"seq_length": (0, "expected an integer")}),
}


def config_of(family):
    """The config of a family."""
    architecture, config = FAMILIES[family][:2]
    return {k: v for k, v in {"model_type": family, "architectures": [architecture], "vocab_size": 11, **config}.items()
            if v is not REMOVE}
