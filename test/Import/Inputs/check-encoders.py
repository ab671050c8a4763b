"""check-encoders.py TOOL DIR: as check-families.py, for encoders and encoder-decoders."""
import encoders
from fieldcases import REMOVE, bases, case, covered, failures, finish, merged, refused, run, same

BERT, T5, BART = encoders.BERT, encoders.T5, encoders.BART
# Changes that must change the graph.
SIZES = {"vocab_size": 12, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 21,
         "hidden_act": "relu", "max_position_embeddings": 91, "layer_norm_eps": 1e-3, "tie_word_embeddings": False}
TYPED = {**SIZES, "type_vocab_size": 3}
T5_CASES = {"vocab_size": 12, "d_model": 13, "d_kv": 6, "d_ff": 18, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4,
            "relative_attention_num_buckets": 10, "relative_attention_max_distance": 30, "feed_forward_proj": "relu",
            "layer_norm_epsilon": 1e-3, "tie_word_embeddings": True, "decoder_start_token_id": 3, "eos_token_id": 3, "bos_token_id": 3,
            "scale_decoder_outputs": True, "length_penalty": 2.0, "early_stopping": True}
BART_CASES = {"vocab_size": 12, "d_model": 24, "encoder_layers": 3, "decoder_layers": 3, "encoder_attention_heads": 2,
              "decoder_attention_heads": 2, "encoder_ffn_dim": 21, "decoder_ffn_dim": 21, "activation_function": "gelu",
              "max_position_embeddings": 91, "scale_embedding": False, "tie_word_embeddings": False, "decoder_start_token_id": 3,
              "eos_token_id": 3, "bos_token_id": 3, "length_penalty": 2.0, "early_stopping": True}
BART_REFUSED = {"is_encoder_decoder": (False, "expected true"), "encoder_attention_heads": (5, "expected a divisor of d_model, 12, got 5"),
                "decoder_vocab_size": (7, "expected vocab_size")}


def without(config, *names, **fields):
    return {**{k: v for k, v in config.items() if k not in names}, **fields}


def relative_of_bart(kind, architecture, **fields):
    return without(BART, model_type=kind, architectures=[architecture + "ForConditionalGeneration"], **fields)


HEADS = {"num_attention_heads": (5, "expected a divisor of the hidden size, 12, got 5")}
FAMILIES = {
    "bert": (without(BERT, architectures=["BertForMaskedLM"]), TYPED,
             {**HEADS, "is_decoder": (True, "expected false"), "position_embedding_type": ("relative_key", "expected absolute")}),
    "roberta": (without(BERT, architectures=["RobertaForMaskedLM"], model_type="roberta", pad_token_id=1),
                {**TYPED, "pad_token_id": 3}, {"is_decoder": (True, "expected false"), "position_embedding_type": ("relative_key", "expected absolute")}),
    "electra": (without(BERT, architectures=["ElectraForMaskedLM"], model_type="electra", embedding_size=6), {**TYPED, "embedding_size": 12},
                {"is_decoder": (True, "expected false"), "position_embedding_type": ("relative_key", "expected absolute")}),
    "albert": (without(BERT, architectures=["AlbertForMaskedLM"], model_type="albert", embedding_size=6, num_hidden_groups=1, inner_group_num=1),
               {**TYPED, "embedding_size": 12, "num_hidden_groups": 2, "inner_group_num": 2},
               {"num_hidden_groups": (3, "expected at most 2, got 3"), "position_embedding_type": ("relative_key", "expected absolute")}),
    "distilbert": ({"architectures": ["DistilBertForMaskedLM"], "model_type": "distilbert", "vocab_size": 23, "dim": 12, "n_layers": 2, "n_heads": 3,
                    "hidden_dim": 20, "activation": "gelu", "max_position_embeddings": 90, "tie_word_embeddings": True},
                   {"vocab_size": 12, "dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 21, "activation": "relu", "max_position_embeddings": 91,
                    "tie_word_embeddings": False}, {}),
    "mpnet": (encoders.MPNET, {**SIZES, "relative_attention_num_buckets": 34},
              {"relative_attention_num_buckets": (31, "expected an integer from 32")}),
    "modernbert": (encoders.MODERN, {
        **without(SIZES, "hidden_act", "layer_norm_eps", "intermediate_size"), "intermediate_size": 15, "num_attention_heads": 2,
        "hidden_activation": "relu", "norm_eps": 1e-3, "num_hidden_layers": 3,
        "global_attn_every_n_layers": 3, "local_attention": 8, "global_rope_theta": 500.0, "local_rope_theta": 500.0, "norm_bias": True,
        "attention_bias": True, "mlp_bias": True, "classifier_activation": "relu", "classifier_bias": True, "decoder_bias": False,
        "layer_types": ["full_attention"] * 4, "rope_parameters": {"full_attention": {"rope_theta": 5.0}}},
        {"layer_types": (["x"] * 4, "got 'x'")}),
    "gemma3_text": (encoders.GEMMA, {
        "vocab_size": 12, "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 3, "head_dim": 6, "intermediate_size": 15,
        "hidden_activation": "relu", "max_position_embeddings": 91, "rms_norm_eps": 1e-3, "sliding_window": 8, "query_pre_attn_scalar": 9,
        "attention_bias": True, "layer_types": ["full_attention"] * 3, "rope_theta": 5.0, "rope_local_base_freq": 5.0},
        {"use_bidirectional_attention": (False, "expected true in this class"), "layer_types": (["x"] * 3, "got 'x'")}),
    "nomic_bert": (encoders.NOMIC, {
        **without(TYPED, "tie_word_embeddings"), "hidden_size": 13, "num_attention_heads": 2, "head_dim": 6, "pad_vocab_size_multiple": 8,
        "rope_parameters": {"rope_theta": 5.0, "rope_type": "default"}, "qkv_proj_bias": True, "mlp_fc1_bias": True, "mlp_fc2_bias": True},
        {**{name: (True, "expected false") for name in ("causal", "parallel_block", "parallel_block_tied_norm", "prenorm", "use_rms_norm",
                                                        "scale_attn_by_inverse_layer_idx")},
         "rotary_emb_scale_base": (512, "scaled rotary positions are not supported"), "scale_attn_weights": (False, "expected true")}),
    "deberta-v2": (encoders.DEBERTA, {
        **without(SIZES, "hidden_size", "tie_word_embeddings"), "type_vocab_size": 2, "position_buckets": 9, "max_relative_positions": 30, "norm_rel_ebd": "none",
        "share_att_key": True, "pos_att_type": ["c2p"], "relative_attention": False, "position_biased_input": True, "legacy": True,
        "conv_kernel_size": 5, "conv_groups": 1, "conv_act": "relu"},
        {"conv_kernel_size": (4, "expected an odd number, got 4"), "conv_groups": (5, "expected a divisor of the hidden size, 12, got 5"),
         "position_buckets": (3, "expected at least 4"), "pooler_hidden_size": (13, "expected the hidden size, 12"),
         "attention_head_size": (5, "expected the hidden size by the number of heads, 4")}),
    "t5": (T5, T5_CASES, {"is_encoder_decoder": (False, "expected true"), "is_decoder": (True, "expected false"),
                          "relative_attention_max_distance": (4, "expected more than half of the buckets")}),
    "mt5": (without(T5, model_type="mt5", architectures=["MT5ForConditionalGeneration"]), without(T5_CASES, "scale_decoder_outputs"),
            {"is_encoder_decoder": (False, "expected true"), "is_decoder": (True, "expected false")}),
    "bart": (BART, BART_CASES, {**BART_REFUSED, "normalize_before": (True, "expected false in this family")}),
    "mbart": (relative_of_bart("mbart", "MBart"), BART_CASES, {**BART_REFUSED, "normalize_before": (False, "expected true in this family")}),
    "blenderbot": (relative_of_bart("blenderbot", "Blenderbot"), BART_CASES, {**BART_REFUSED, "normalize_before": (False, "expected true")}),
    "blenderbot-small": (relative_of_bart("blenderbot-small", "BlenderbotSmall"), BART_CASES,
                         {**BART_REFUSED, "normalize_before": (True, "expected false")}),
    "pegasus": (relative_of_bart("pegasus", "Pegasus"), BART_CASES, {**BART_REFUSED, "normalize_before": (False, "expected true")}),
    "m2m_100": (relative_of_bart("m2m_100", "M2M100"), {**BART_CASES, "pad_token_id": 2},
                {**BART_REFUSED, "normalize_before": (False, "expected true")}),
    "marian": (encoders.MARIAN, {**BART_CASES, "tie_word_embeddings": True, "decoder_vocab_size": 20, "share_encoder_decoder_embeddings": True},
               {"is_encoder_decoder": (False, "expected true"), "normalize_before": (True, "expected false")}),
}
EVERY = {"add_cross_attention": (True, "expected false"), "quantization_config": ({"bits": 4}, "quantised weights are not supported"),
         "per_layer_config": ({"1": {}}, "settings per layer are not supported"), "pruned_heads": ({"0": [1]}, "expected an empty object")}


def table():
    for family, (config, changes, refusals) in FAMILIES.items():
        bases[family] = config
        for field, value in changes.items():
            if family == "marian" and field == "share_encoder_decoder_embeddings":
                case(family, {"decoder_vocab_size": 23}, {field: value})
            else:
                case(family, {}, {field: value})
        for field, (value, text) in {**EVERY, **refusals}.items():
            refused(family, {}, {field: value}, text)
        if family in ("gemma3_text",):
            refused(family, {}, {"architectures": ["Gemma3TextForNothing"]}, "expected a class whose head is supported")
        elif family in ("bert", "roberta", "electra", "albert", "distilbert", "mpnet", "modernbert", "nomic_bert", "deberta-v2"):
            refused(family, {}, {"is_encoder_decoder": True}, "expected false")
            refused(family, {}, {"architectures": [config["architectures"][0].split("For")[0].replace("Model", "") + "ForNothing"]},
                    "expected a class whose head is supported")
        else:
            refused(family, {}, {"architectures": ["BertModel"]}, "got 'BertModel'")
        covered[family] |= {"model_type"}

    same("distilbert", {}, {"dim": REMOVE, "hidden_size": 12, "n_layers": REMOVE, "num_hidden_layers": 2, "n_heads": REMOVE, "num_attention_heads": 3})
    same("distilbert", {}, {"sinusoidal_pos_embds": True})
    covered["distilbert"] |= {"hidden_size", "num_hidden_layers", "num_attention_heads", "sinusoidal_pos_embds"}
    # All activations of the library.
    names = ["gelu", "gelu_10", "gelu_new", "hardsigmoid", "hardswish", "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2",
             "relu6", "sigmoid", "silu", "tanh"]
    for one, other in zip(names, names[1:]):
        case("bert", {"hidden_act": one}, {"hidden_act": other})
    refused("bert", {}, {"hidden_act": "prelu"}, "expected one of gelu, gelu_10")
    # What sums up a sequence for ELECTRA's choices.
    CHOICE = {"architectures": ["ElectraForMultipleChoice"]}
    case("electra", CHOICE, {"summary_type": "mean"})
    case("electra", CHOICE, {"summary_use_proj": False})
    case("electra", CHOICE, {"summary_activation": "tanh"})
    case("electra", CHOICE, {"summary_activation": None})
    same("electra", CHOICE, {"summary_type": "first", "summary_use_proj": True, "summary_activation": "gelu"})
    refused("electra", CHOICE, {"summary_type": "last"}, "expected first or mean, got 'last'")
    # Both spellings of positions.
    same("modernbert", {}, {"global_rope_theta": REMOVE, "local_rope_theta": REMOVE,
                            "rope_parameters": {"full_attention": {"rope_theta": 160000.0}, "sliding_attention": {"rope_theta": 100.0}}})
    same("modernbert", {"local_rope_theta": 160000.0}, {"local_rope_theta": None})
    case("modernbert", {}, {"rope_parameters": {"sliding_attention": {"rope_theta": 5.0}}}, "rope_parameters.sliding_attention")
    case("modernbert", {}, {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0}}}, "rope_parameters.full_attention")
    same("modernbert", {"layer_types": ["full_attention", "sliding_attention"] * 2}, {"layer_types": REMOVE})
    covered["modernbert"] |= {f"rope_parameters.{kind}_attention.{name}" for kind, name in (
        ("full", "factor"), ("full", "rope_theta"), ("full", "rope_type"), ("sliding", "rope_theta"))}
    case("nomic_bert", {}, {"rope_parameters.rope_theta": 5.0})
    case("nomic_bert", {"rope_parameters.factor": 2.0}, {"rope_parameters.rope_type": "linear"})
    covered["nomic_bert"].add("rope_parameters.factor")
    # Networks without a gate and mixtures of experts, in the names in which they were published.
    same("nomic_bert", {}, {"hidden_act": REMOVE, "activation_function": "swiglu"})
    for one, other in (("swiglu", "geglu"), ("geglu", "glu"), ("geglu", "gelu"), ("gelu", "relu")):
        case("nomic_bert", {"hidden_act": REMOVE, "activation_function": one}, {"activation_function": other})
    MIXED = {"moe_every_n_layers": 2, "num_experts": 4, "moe_top_k": 2, "hidden_act": REMOVE, "activation_function": "gelu"}
    case("nomic_bert", {**MIXED, "moe_every_n_layers": 0}, {"moe_every_n_layers": 2})
    for field, value in (("num_experts", 5), ("moe_top_k", 1), ("moe_normalize_expert_weights", True), ("activation_function", "relu")):
        case("nomic_bert", MIXED, {field: value})
    same("nomic_bert", MIXED, {"num_experts": REMOVE, "num_local_experts": 4, "moe_impl": "megablocks", "expert_choice_router": False})
    for field, value, text in (("expert_choice_router", True, "expected false"), ("num_shared_experts", 1, "expected an integer from 0 to 0"),
                               ("ffn_div", 2, "expected an integer from 1 to 1"), ("moe_top_k", 5, "expected an integer from 1 to 4")):
        refused("nomic_bert", MIXED, {field: value}, text)
    covered["nomic_bert"].add("num_local_experts")
    # A head of its own would not be there.
    same("gemma3_text", {}, {"tie_word_embeddings": False})
    case("gemma3_text", {"layer_types": REMOVE}, {"num_hidden_layers": 2})
    covered["gemma3_text"].add("tie_word_embeddings")
    # What mT5 says of its last states is not scaled, though the head is tied, as transformers 5 writes it.
    same("mt5", {"tie_word_embeddings": True}, {"scale_decoder_outputs": True})
    same("m2m_100", {"activation_function": "relu"}, {"activation_function": REMOVE})
    one = run("mt5", merged(bases["mt5"], {"tie_word_embeddings": True}))[1]
    if one.replace("mt5", "t5") != run("t5", merged(bases["t5"], {"tie_word_embeddings": True, "scale_decoder_outputs": False}))[1]:
        failures.append("mt5 with a tied head is not t5 without a scale")
    # An encoder of T5 alone.
    case("t5", {}, {"architectures": ["T5EncoderModel"]})
    case("t5", {"architectures": ["T5EncoderModel"]}, {"num_layers": 3})
    same("t5", {"architectures": ["T5EncoderModel"]}, {"num_decoder_layers": 7, "is_encoder_decoder": False})
    # The scale of DeBERTa's scores counts kinds of products that are not there.
    case("deberta-v2", {"relative_attention": False}, {"pos_att_type": ["c2p"]})
    same("deberta-v2", {}, {"pos_att_type": "P2C|c2p"})
    case("deberta-v2", {"legacy": True}, {"embedding_size": 10})
    refused("deberta-v2", {"embedding_size": 10}, {"legacy": False}, "expected true where embedding_size is not the hidden size")
    case("deberta-v2", {"legacy": True}, {"tie_word_embeddings": False})
    same("deberta-v2", {}, {"tie_word_embeddings": False})
    case("deberta-v2", {"embedding_size": REMOVE}, {"hidden_size": 24})


finish(table)
