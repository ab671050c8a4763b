"""check-families.py TOOL DIR: as check-fields.py, for families whose checkpoints the tool invents from the config.

A family is a config, changes that must change the graph, and changes that must be refused.
"""
from familyconfigs import FAMILIES, config_of
from fieldcases import REMOVE, bases, case, covered, finish, refused, same


def table():
    for family, (architecture, config, changes, refusals) in FAMILIES.items():
        bases[family] = config_of(family)
        changes = {**({"vocab_size": 12} if "vocab_size" in bases[family] else {}), "bos_token_id": 3, "tie_word_embeddings": not config["tie_word_embeddings"],
                   "eos_token_id": 5, **changes}
        for field, value in changes.items():
            if value is not REMOVE:
                case(family, {}, {field: value})
        for field, (value, text) in refusals.items():
            refused(family, {}, {field: value}, text)
        refused(family, {}, {"architectures": ["BertModel"]}, "got 'BertModel'")
        covered[family] |= {"model_type", "num_hidden_layers"} & set(bases[family])
        if "rope_parameters" in config:
            covered[family].add("rope_parameters")
        if "rope_parameters" in config and family != "gemma3_text":
            refused(family, {}, {"rope_parameters.rope_type": "x"}, "got 'x'")

    # Patterns of layers without a list of them.
    for family, field in (("cohere2", "sliding_window_pattern"), ("exaone4", "sliding_window_pattern"),
                          ("gemma3_text", "sliding_window_pattern")):
        case(family, {"layer_types": None, field: 2}, {field: 3})
        same(family, {field: "x"}, {field: 7})
    case("smollm3", {"no_rope_layers": None, "no_rope_layer_interval": 2}, {"no_rope_layer_interval": 3})
    for family, field in (("exaone4", "sliding_window"), ("cohere2", "sliding_window")):
        case(family, {}, {field: None})
    # Older names.
    old = {"rope_parameters": REMOVE, "rope_theta": 10000.0}
    same("glm", {}, {**old, "partial_rotary_factor": 0.5})
    same("gpt_neox", {}, {"rope_parameters": REMOVE, "rotary_emb_base": 10000, "rotary_pct": 0.5})
    case("gpt_neox", {"rope_parameters": REMOVE, "rotary_pct": 0.5}, {"rotary_pct": 0.25})
    case("gpt_neox", {"rope_parameters": REMOVE, "rotary_pct": 0.5}, {"rotary_emb_base": 500})
    same("gemma3_text", {}, {"rope_parameters": REMOVE, "rope_theta": 1e6, "rope_local_base_freq": 100.0})
    case("gemma3_text", {"rope_parameters": REMOVE}, {"rope_local_base_freq": 50.0})
    case("gemma3_text", {"rope_parameters": REMOVE}, {"rope_theta": 50.0})
    case("gemma3_text", {"rope_parameters": REMOVE},
         {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_scaling")
    same("falcon", {}, {"num_attention_heads": REMOVE, "n_head": 6, "num_hidden_layers": REMOVE, "n_layer": 2})
    case("bloom", {"n_head": REMOVE, "num_attention_heads": 4}, {"num_attention_heads": 6})
    case("bloom", {"hidden_size": REMOVE, "n_embed": 24}, {"n_embed": 32})
    case("falcon", {"num_attention_heads": REMOVE, "n_head": 6}, {"n_head": 12})
    case("falcon", {"num_hidden_layers": REMOVE, "n_layer": 2}, {"n_layer": 3})
    case("glm", {**old, "partial_rotary_factor": 0.5}, {"partial_rotary_factor": 0.25})
    case("glm", {**old, "partial_rotary_factor": 0.5}, {"rope_theta": 500.0})
    case("mpt", {}, {"attn_config": {"clip_qkv": 1.0}})
    # The library has no such norms, nor has a checkpoint of the library.
    same("mpt", {}, {"attn_config.qk_ln": True})
    covered["mpt"].add("attn_config.qk_ln")
    for kind in ("full_attention", "sliding_attention"):
        case("gemma3_text", {}, {f"rope_parameters.{kind}": {"rope_theta": 5.0}})
    scaled = {"rope_parameters": REMOVE, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    case("gemma3_text", scaled, {"rope_scaling.factor": 3.0})
    case("gemma3_text", scaled, {"rope_scaling.rope_type": "default"})
    same("bloom", {}, {"n_head": REMOVE, "num_attention_heads": 4, "hidden_size": REMOVE, "n_embed": 24})
    same("gemma", {}, {"hidden_act": "gelu"})
    # What the configuration of Falcon leads to.
    grouped = {"new_decoder_architecture": True, "num_kv_heads": 2}
    case("falcon", grouped, {"num_kv_heads": 3})
    case("falcon", grouped, {"num_ln_in_parallel_attn": 1})
    same("falcon", grouped, {"num_ln_in_parallel_attn": 2})
    refused("falcon", grouped, {"parallel_attn": False}, "expected true with new_decoder_architecture")
    refused("falcon", {"multi_query": False}, {"num_kv_heads": 2}, "expected the 6 attention heads")
    same("falcon", {"alibi": True}, {"rope_parameters": REMOVE})
    same("falcon", {"parallel_attn": False}, {"num_ln_in_parallel_attn": 2})
    # Slices of matrices in BLOOM come without biases.
    same("bloom", {}, {"pretraining_tp": 2})
    case("bloom", {"slow_but_exact": True}, {"pretraining_tp": 2})
    case("bloom", {"pretraining_tp": 2}, {"slow_but_exact": True})
    # Gemma 3 has caps of scores in its config alone.
    same("gemma3_text", {}, {"attn_logit_softcapping": 3.0})
    # An odd number of rotated elements: whole pairs, with frequencies of their own.
    case("gpt_neox", {}, {"rope_parameters.partial_rotary_factor": 0.4})
    refused("gpt_neox", {"rope_parameters.rope_type": "yarn", "rope_parameters.factor": 2.0},
            {"rope_parameters.partial_rotary_factor": 0.4, "head_dim": 8}, "expected an even number of rotated elements of each head, got 3")
    refused("gptj", {}, {"rotary_dim": None}, "expected an even number of up to the 6 elements of a head, got 24")
    same("gptj", {"n_head": 1, "rotary_dim": 24}, {"rotary_dim": None})
    case("chatglm", {"multi_query_attention": False}, {"add_bias_linear": True})
    case("cohere2", {"head_dim": 6}, {"head_dim": 8})


finish(table)
