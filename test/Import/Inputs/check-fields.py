"""check-fields.py TOOL DIR: every field that an importer reads changes the graph, or is refused.

A case is a config (a family with changes), and a change to it that must change the graph; or a change that must be an
error that names the field. Every field that the tool says it reads needs a case, and every case a field that is read.
"""
import checkpoint
from fieldcases import REMOVE, case, covered, finish, refused, same


def add_further_layer(tensors):
    tensors["model.layers.2.enorm.weight"] = "F32", [12]


def table():
    for family in checkpoint.FAMILIES:
        base = getattr(checkpoint, family.upper())
        case(family, {}, {"vocab_size": 12})
        case(family, {}, {"tie_word_embeddings": not base["tie_word_embeddings"]})
        case(family, {}, {"bos_token_id": 3})
        case(family, {}, {"bos_token_id": None})
        case(family, {}, {"eos_token_id": [2, 5]})
        refused(family, {}, {"eos_token_id": -1}, "expected an id or a list of ids, got -1")
        refused(family, {}, {"architectures": ["BertModel"]}, "got 'BertModel'")
        refused(family, {}, {"add_cross_attention": True}, "expected false")
        refused(family, {}, {"is_encoder_decoder": True}, "expected false")
        refused(family, {"quantization_config": {"bits": 4}}, {"quantization_config.quant_method": "gptq"},
                "quantised weights are not supported")
        refused(family, {}, {"per_layer_config": {"1": {"head_dim": 8}}}, "settings per layer are not supported")
        refused(family, {}, {"pruned_heads": {"0": [1]}}, "expected an empty object")
        same(family, {}, {"pruned_heads": {}, "add_cross_attention": False, "quantization_config": None})
        covered[family] |= {"model_type", "pruned_heads", "quantization_config"}

    # What families named like Llama share.
    for family in [f for f in checkpoint.FAMILIES if f not in ["gpt2", "gpt_oss"] + checkpoint.LATENT]:
        case(family, {}, {"hidden_size": 36})
        case(family, {}, {"intermediate_size": 21})
        case(family, {}, {"num_hidden_layers": getattr(checkpoint, family.upper())["num_hidden_layers"] + 1})
        case(family, {}, {"num_key_value_heads": 6})
        case(family, {}, {"num_key_value_heads": None})
        case(family, {}, {"max_position_embeddings": 65})
        eps = "layer_norm_eps" if family == "cohere" else "rms_norm_eps"
        case(family, {}, {eps: 1e-4})
        same(family, {eps: 1e-5 if family in ("cohere", "mixtral", "olmoe") else 1e-6}, {eps: REMOVE})
        activation = "hidden_activation" if family == "gemma2" else "hidden_act"
        case(family, {}, {activation: "relu"})
        case(family, {}, {"rope_parameters.rope_theta": 20000})
        case(family, {}, {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}})
        case(family, {}, {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
             "rope_parameters.rope_type")
        case(family, {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
             {"rope_parameters.factor": 3.0})
        # Old names, and sizes of heads that follow from others.
        case(family, {"rope_parameters": REMOVE, "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 4},
             {"num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 2}, "num_attention_heads")
        case(family, {}, {"head_dim": 8}, "head_dim")
        if family not in ("mistral", "qwen2", "mixtral", "qwen2_moe"):
            case(family, {}, {"attention_bias": True})

    case("mistral", {}, {"sliding_window": 6})
    case("mistral", {}, {"sliding_window": None})
    case("mistral", {"sliding_window": 4096}, {"sliding_window": None})
    same("mistral", {"sliding_window": 4096}, {"sliding_window": REMOVE})
    case("granite", {}, {"mlp_bias": True})
    for name in ("attention_multiplier", "residual_multiplier", "embedding_multiplier", "logits_scaling"):
        case("granite", {}, {name: 3.0})
        same("granite", {name: 1.0}, {name: REMOVE})
        refused("granite", {}, {name: 0}, "expected a number greater than 0")
    LAYERS = ["sliding_attention", "full_attention"]
    for family in ("qwen2", "qwen3"):
        case(family, {}, {"sliding_window": 6})
        case(family, {}, {"sliding_window": None})
        case(family, {}, {"use_sliding_window": False})
        case(family, {}, {"max_window_layers": 0})
        case(family, {}, {"layer_types": LAYERS})
        same(family, {"layer_types": LAYERS[::-1]}, {"layer_types": REMOVE})
        refused(family, {}, {"layer_types": LAYERS[:1]}, "expected one for each of the 2 layers, got 1")
        refused(family, {}, {"layer_types": ["full_attention", "x"]}, "expected full_attention or sliding_attention, got 'x'")
    case("gemma2", {}, {"sliding_window": 6})
    case("gemma2", {}, {"layer_types": LAYERS[::-1]})
    same("gemma2", {"layer_types": LAYERS}, {"layer_types": REMOVE})
    case("gemma2", {}, {"query_pre_attn_scalar": 16})
    case("gemma2", {}, {"attn_logit_softcapping": 2.0})
    case("gemma2", {}, {"attn_logit_softcapping": None})
    case("gemma2", {}, {"final_logit_softcapping": 2.0})
    case("gemma2", {}, {"final_logit_softcapping": None})
    refused("gemma2", {}, {"use_bidirectional_attention": True}, "expected false")
    case("cohere", {}, {"logit_scale": 0.5})
    case("cohere", {}, {"use_qk_norm": True})
    refused("llama", {}, {"rope_interleaved": True}, "expected false")
    refused("qwen2", {}, {"use_mrope": True}, "expected false")
    same("gemma2", {}, {"hidden_act": "relu"})

    # Mixtures of experts.
    LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    for family in checkpoint.MIXTURES:
        old = {"qwen2_moe": "num_experts", "qwen3_moe": "num_experts", "olmoe": "num_experts", "deepseek_v2": "n_routed_experts",
               "deepseek_v3": "n_routed_experts"}.get(family, "num_local_experts")
        count = getattr(checkpoint, family.upper())[old]
        case(family, {}, {old: 2 * count})
        same(family, {}, {old: REMOVE, "num_local_experts" if old != "num_local_experts" else "num_experts": count})
        case(family, {}, {"num_experts_per_tok": 1})
        same(family, {}, {"num_experts_per_tok": REMOVE, "experts_per_token": 2})
        refused(family, {}, {"num_experts_per_tok": count + 1}, f"expected at most the {count} experts, got {count + 1}")
        same(family, {}, {"router_aux_loss_coef": 3.0, "output_router_logits": True})
        covered[family] |= {"experts_per_token", "num_local_experts" if old != "num_local_experts" else "num_experts"}
    case("mixtral", {}, {"sliding_window": None})
    same("mixtral", {"sliding_window": None}, {"sliding_window": REMOVE})
    same("mixtral", {}, {"router_jitter_noise": 0.5})
    for family in ("qwen2_moe", "qwen3_moe"):
        case(family, {}, {"moe_intermediate_size": 8})
        case(family, {}, {"norm_topk_prob": not getattr(checkpoint, family.upper())["norm_topk_prob"]})
        case(family, {}, {"mlp_only_layers": []})
        case(family, {"mlp_only_layers": []}, {"decoder_sparse_step": 2})
        same(family, {"mlp_only_layers": []}, {"mlp_only_layers": REMOVE, "decoder_sparse_step": REMOVE})
        case(family, {}, {"sliding_window": 6})
        case(family, {}, {"use_sliding_window": False})
        same(family, {"use_sliding_window": False}, {"sliding_window": 0})
    case("qwen2_moe", {}, {"shared_expert_intermediate_size": 8})
    case("qwen2_moe", {}, {"qkv_bias": False})
    case("qwen2_moe", {}, {"max_window_layers": 3})
    case("qwen2_moe", {}, {"layer_types": ["full_attention", "sliding_attention", "full_attention"]})
    same("qwen2_moe", {"layer_types": ["sliding_attention", "full_attention", "full_attention"]}, {"layer_types": REMOVE})
    same("qwen3_moe", {}, {"max_window_layers": 0})
    case("olmoe", {}, {"norm_topk_prob": True})
    case("olmoe", {}, {"clip_qkv": 0.25})
    case("olmoe", {}, {"clip_qkv": None})
    refused("olmoe", {}, {"clip_qkv": 0}, "expected a number greater than 0")

    for field, value in (("hidden_size", 36), ("intermediate_size", 21), ("num_hidden_layers", 3), ("num_attention_heads", 4),
                         ("num_key_value_heads", 6), ("head_dim", 8), ("max_position_embeddings", 65), ("rms_norm_eps", 1e-4),
                         ("rope_parameters.rope_theta", 20000), ("rope_parameters", LINEAR), ("sliding_window", None),
                         ("sliding_window", 6), ("layer_types", LAYERS[::-1]), ("swiglu_limit", 3.0), ("swiglu_alpha", 1.5),
                         ("attention_bias", False)):
        case("gpt_oss", {}, {field: value})
    case("gpt_oss", {}, {"rope_parameters": LINEAR}, "rope_parameters.rope_type")
    case("gpt_oss", {"rope_parameters": LINEAR}, {"rope_parameters.factor": 3.0})
    same("gpt_oss", {"rms_norm_eps": 1e-5, "layer_types": LAYERS}, {
        "rms_norm_eps": REMOVE, "layer_types": REMOVE, "swiglu_limit": REMOVE, "swiglu_alpha": REMOVE, "hidden_act": "relu"})
    # A file that says nothing of them means the positions of the published models.
    PUBLISHED = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
                 "original_max_position_embeddings": 4096, "rope_theta": 150000.0}
    same("gpt_oss", {"head_dim": 16, "rope_parameters": PUBLISHED}, {"rope_parameters": REMOVE})
    case("gpt_oss", {"head_dim": 16, "rope_parameters": REMOVE}, {"rope_theta": 500.0})
    refused("gpt_oss", {"rope_parameters": REMOVE}, {"rope_theta": 1.0}, "finite rotary frequencies")
    refused("gpt_oss", {"rope_parameters": REMOVE}, {"head_dim": 15}, "head_dim")
    covered["gpt_oss"] |= {f"rope_parameters.{name}" for name in PUBLISHED}

    for family in checkpoint.LATENT:
        for field, value in (("hidden_size", 36), ("intermediate_size", 21), ("num_hidden_layers", 3), ("hidden_act", "relu"),
                             ("max_position_embeddings", 65), ("rms_norm_eps", 1e-4), ("rope_parameters.rope_theta", 20000),
                             ("rope_parameters", LINEAR), ("kv_lora_rank", 7), ("q_lora_rank", 6), ("q_lora_rank", None),
                             ("qk_rope_head_dim", 6), ("qk_nope_head_dim", 4), ("v_head_dim", 6), ("moe_intermediate_size", 8),
                             ("n_shared_experts", 1), ("routed_scaling_factor", 2.0), ("first_k_dense_replace", 0),
                             ("n_group", 2), ("topk_group", 3), ("attention_bias", True)):
            case(family, {}, {field: value})
        case(family, {}, {"num_attention_heads": 4, "num_key_value_heads": 4})
        case(family, {}, {"rope_parameters": LINEAR}, "rope_parameters.rope_type")
        case(family, {"rope_parameters": LINEAR}, {"rope_parameters.factor": 3.0})
        case(family, {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
                                          "mscale": 0.7, "mscale_all_dim": 0.7, "rope_theta": 10000.0}},
             {"rope_parameters.mscale_all_dim": 1.5})
        covered[family] |= {"rope_parameters.mscale", "rope_parameters.original_max_position_embeddings"}
        same(family, {}, {"num_key_value_heads": REMOVE, "head_dim": 9, "qk_head_dim": 9, "num_nextn_predict_layers": 1})
        refused(family, {}, {"num_key_value_heads": 1}, "expected the 3 attention heads, nothing else is supported")
        refused(family, {}, {"n_group": 4}, "that divide the 6 experts, got 4")
        refused(family, {}, {"topk_group": 4}, "expected groups with room for 2 experts, at most 3, got 4")
        refused(family, {}, {"moe_layer_freq": 2}, "expected")
        refused(family, {}, {"scoring_func": "relu"}, "got 'relu'")
        refused(family, {}, {"topk_method": "best"}, "got 'best'")
    case("deepseek_v2", {}, {"mlp_bias": True})
    case("deepseek_v2", {}, {"topk_method": "greedy"})
    same("deepseek_v2", {}, {"scoring_func": "softmax", "norm_topk_prob": True})
    case("deepseek_v3", {}, {"rope_interleave": False})
    case("deepseek_v3", {}, {"norm_topk_prob": False})
    same("deepseek_v3", {}, {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "rope_interleave": REMOVE})
    # Tensors of layers that predict further tokens are no surprise.
    same("deepseek_v3", {}, {"num_nextn_predict_layers": 1},
         change=add_further_layer)

    # Llama
    case("llama", {}, {"num_attention_heads": 4})
    same("llama", {"num_key_value_heads": 6}, {"num_key_value_heads": None})
    case("llama", {}, {"head_dim": None})
    same("llama", {"head_dim": 2}, {"head_dim": REMOVE})
    case("llama", {}, {"mlp_bias": True})
    refused("llama", {}, {"hidden_act": "prelu"}, "expected one of gelu, gelu_10")
    activations = ["gelu", "gelu_new", "linear", "quick_gelu", "relu", "relu2", "sigmoid", "silu", "tanh"]
    for one, other in zip(activations, activations[1:]):
        case("llama", {"hidden_act": one}, {"hidden_act": other})
        case("gpt2", {"activation_function": one}, {"activation_function": other})
    for one, other in (("swish", "silu"), ("gelu_fast", "gelu_new"), ("gelu_pytorch_tanh", "gelu_new"),
                       ("gelu_accurate", "gelu_python_tanh"), ("gelu_python", "gelu")):
        same("llama", {"hidden_act": one}, {"hidden_act": other})

    # Rotary positions, in both spellings.
    OLD = {"rope_parameters": REMOVE, "rope_theta": 10000.0}
    LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 32}
    YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512, "beta_fast": 16, "beta_slow": 2}
    WIDE = {"head_dim": 24, "max_position_embeddings": 128}
    case("llama", {}, {"rope_parameters.rope_theta": 20000})
    case("llama", OLD, {"rope_theta": 20000.0})
    same("llama", OLD, {"rope_theta": None})
    same("llama", OLD, {"rope_theta": REMOVE, "rope_parameters": {"rope_theta": 10000}})
    for spelling, base, theta in (("rope_parameters", {}, {"rope_theta": 10000.0}), ("rope_scaling", OLD, {})):
        def scaled(kind):
            return {**WIDE, **base, spelling: {**theta, **kind}}
        case("llama", {**WIDE, **base}, {spelling: {**theta, "rope_type": "linear", "factor": 4.0}}, spelling)
        case("llama", scaled({"rope_type": "linear", "factor": 4.0}), {spelling + ".factor": 3.0})
        same("llama", scaled({"rope_type": "linear", "factor": 4.0}),
             {spelling + ".rope_type": REMOVE, spelling + ".type": "linear"})
        same("llama", scaled({"rope_type": "linear", "factor": 4.0}), {spelling + ".type": "default"})
        case("llama", scaled({"type": "linear", "factor": 4.0}), {spelling + ".type": "default"})
        case("llama", scaled(LLAMA3), {spelling + ".rope_type": "linear"})
        case("llama", scaled(LLAMA3), {spelling + ".low_freq_factor": 2.0})
        case("llama", scaled(LLAMA3), {spelling + ".high_freq_factor": 3.0})
        case("llama", scaled(LLAMA3), {spelling + ".original_max_position_embeddings": 64})
        case("llama", scaled(YARN), {spelling + ".beta_fast": 8})
        case("llama", scaled(YARN), {spelling + ".beta_slow": 1})
        case("llama", scaled(YARN), {spelling + ".truncate": False})
        case("llama", scaled(YARN), {spelling + ".attention_factor": 1.5})
        case("llama", scaled({**YARN, "mscale_all_dim": 0.7}), {spelling + ".mscale": 1.25})
        case("llama", scaled({**YARN, "mscale": 0.7}), {spelling + ".mscale_all_dim": 1.25})
        case("llama", scaled({**LLAMA3, "original_max_position_embeddings": None}), {"max_position_embeddings": 64})
        refused("llama", scaled(LLAMA3), {spelling + ".high_freq_factor": 0.5}, "expected more than low_freq_factor")
        refused("llama", scaled(LLAMA3), {spelling + ".factor": 0}, "expected a number greater than 0, got 0")
        refused("llama", scaled(LLAMA3), {spelling + ".rope_type": "static"}, "expected one of default, dynamic, linear")
        covered["llama"] |= {spelling, spelling + ".rope_theta"}
        if spelling == "rope_scaling":
            case("llama", scaled(LLAMA3), {spelling + ".rope_theta": 5000.0})
    # The first pairs of the head's own frequencies, whatever the others are.
    PART = {**WIDE, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "proportional", "partial_rotary_factor": 0.5}}
    same("llama", {**WIDE, "rope_parameters": LINEAR}, {"rope_parameters.rope_type": "proportional"})
    same("llama", PART, {"rope_parameters.partial_rotary_factor": 0.55})
    case("llama", PART, {"rope_parameters.partial_rotary_factor": 0.25})
    case("llama", PART, {"rope_parameters.rope_type": "linear", "rope_parameters.factor": 1.0, "rope_parameters.partial_rotary_factor": 1.0},
         "rope_parameters.rope_type")
    case("llama", {**WIDE, "rope_parameters": {"rope_theta": 10000.0, **LLAMA3}}, {"original_max_position_embeddings": 48})
    refused("llama", {}, {"rope_scaling": {"type": "linear", "factor": 2.0}}, "expected nothing beside rope_parameters")
    refused("llama", {}, {"partial_rotary_factor": 0.5}, "expected 1 in this family, got 0.5")
    refused("llama", {}, {"rope_parameters.partial_rotary_factor": 0.5}, "expected 1 in this family, got 0.5")

    # GPT-2
    case("gpt2", {}, {"n_embd": 15})
    case("gpt2", {}, {"n_layer": 3})
    case("gpt2", {}, {"n_head": 4})
    case("gpt2", {}, {"n_positions": 17})
    case("gpt2", {}, {"n_inner": 47})
    same("gpt2", {"n_inner": 48}, {"n_inner": None})
    case("gpt2", {}, {"layer_norm_epsilon": 1e-6})
    case("gpt2", {}, {"scale_attn_weights": False})
    case("gpt2", {}, {"scale_attn_by_inverse_layer_idx": True})
    case("gpt2", {}, {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False})
    same("gpt2", {}, {"hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2, "max_position_embeddings": 16})
    refused("gpt2", {}, {"hidden_size": 13}, "expected the same as field 'n_embd', 12, got 13")
    refused("gpt2", {}, {"num_attention_heads": 4}, "expected the same as field 'n_head', 3, got 4")
    refused("gpt2", {}, {"num_hidden_layers": 3}, "expected the same as field 'n_layer', 2, got 3")
    refused("gpt2", {}, {"max_position_embeddings": 17}, "expected the same as field 'n_positions', 16, got 17")

    # Fields without effect have none.
    for family in checkpoint.FAMILIES:
        same(family, {}, {"use_cache": False, "attention_dropout": 0.5, "pretraining_tp": 2, "torch_dtype": "float16",
                          "initializer_range": 3, "reorder_and_upcast_attn": True, "pad_token_id": -1})


finish(table)
