"""Writes small encoders and encoder-decoders in the layout of Hugging Face, with random weights.

encoders.py DIR NAME [field=json ...]: one checkpoint; NAME is a key of MODELS.
"""
import json
import pathlib
import sys

import checkpoint

BERT = {"architectures": ["BertForPreTraining"], "model_type": "bert", "vocab_size": 23, "hidden_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 20, "hidden_act": "gelu", "max_position_embeddings": 90,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "tie_word_embeddings": True, "pad_token_id": 0}
DEBERTA = {**BERT, "architectures": ["DebertaV2ForMaskedLM"], "model_type": "deberta-v2", "relative_attention": True,
           "max_relative_positions": -1, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": False,
           "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0, "legacy": False,
           "embedding_size": 12, "conv_kernel_size": 3, "conv_groups": 2, "conv_act": "mish"}
MPNET = {**BERT, "architectures": ["MPNetForMaskedLM"], "model_type": "mpnet", "relative_attention_num_buckets": 33}
del MPNET["type_vocab_size"]
MODERN = {"architectures": ["ModernBertForMaskedLM"], "model_type": "modernbert", "vocab_size": 23, "hidden_size": 12,
          "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 14, "hidden_activation": "gelu",
          "max_position_embeddings": 90, "norm_eps": 1e-5, "global_attn_every_n_layers": 2, "local_attention": 6,
          "global_rope_theta": 160000.0, "local_rope_theta": 100.0, "tie_word_embeddings": True}
T5 = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 23, "d_model": 12, "d_kv": 5, "d_ff": 17,
      "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3, "relative_attention_num_buckets": 8,
      "relative_attention_max_distance": 20, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
      "layer_norm_epsilon": 1e-6, "is_encoder_decoder": True, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
BART = {"architectures": ["BartForConditionalGeneration"], "model_type": "bart", "vocab_size": 23, "d_model": 12, "encoder_layers": 2,
        "decoder_layers": 2, "encoder_attention_heads": 3, "decoder_attention_heads": 4, "encoder_ffn_dim": 20,
        "decoder_ffn_dim": 18, "activation_function": "relu", "max_position_embeddings": 90, "scale_embedding": True,
        "tie_word_embeddings": True, "is_encoder_decoder": True, "decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1,
        "bos_token_id": 0}
MARIAN = {**BART, "architectures": ["MarianMTModel"], "model_type": "marian", "share_encoder_decoder_embeddings": False,
          "decoder_vocab_size": 19, "tie_word_embeddings": False}
NOMIC = {**BERT, "architectures": ["NomicBertModel"], "model_type": "nomic_bert", "hidden_act": "silu", "head_dim": 4,
         "rope_parameters": {"rope_theta": 1000.0, "rope_type": "default"}}
GEMMA = {"architectures": ["Gemma3TextModel"], "model_type": "gemma3_text", "vocab_size": 23, "hidden_size": 12, "num_hidden_layers": 3,
         "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 14, "hidden_activation": "gelu_pytorch_tanh",
         "max_position_embeddings": 90, "rms_norm_eps": 1e-6, "sliding_window": 6, "query_pre_attn_scalar": 8, "attention_bias": False,
         "layer_types": ["sliding_attention", "sliding_attention", "full_attention"], "use_bidirectional_attention": True,
         "rope_theta": 1000.0, "rope_local_base_freq": 50.0, "tie_word_embeddings": True}
MODELS = {"gemma3_text": GEMMA, "bert": BERT, "nomic_bert": NOMIC, "deberta-v2": DEBERTA, "mpnet": MPNET, "modernbert": MODERN, "t5": T5, "bart": BART, "marian": MARIAN}


def linear(shapes, name, out, inner, bias=True):
    shapes[name + ".weight"] = [out, inner]
    if bias:
        shapes[name + ".bias"] = [out]


def norm(shapes, name, size, bias=True):
    shapes[name + ".weight"] = [size]
    if bias:
        shapes[name + ".bias"] = [size]


def bert_shapes(c):
    s, h, f, v = {}, c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    p = c["model_type"] + "."
    mpnet = c["model_type"] == "mpnet"
    s[p + "embeddings.word_embeddings.weight"] = [v, h]
    s[p + "embeddings.position_embeddings.weight"] = [c["max_position_embeddings"], h]
    if not mpnet:
        s[p + "embeddings.token_type_embeddings.weight"] = [c["type_vocab_size"], h]
    norm(s, p + "embeddings.LayerNorm", h)
    for i in range(c["num_hidden_layers"]):
        q = f"{p}encoder.layer.{i}."
        for name in (("attn.q", "attn.k", "attn.v", "attn.o") if mpnet else ("self.query", "self.key", "self.value", "output.dense")):
            linear(s, q + "attention." + name, h, h)
        norm(s, q + ("attention.LayerNorm" if mpnet else "attention.output.LayerNorm"), h)
        linear(s, q + "intermediate.dense", f, h)
        linear(s, q + "output.dense", h, f)
        norm(s, q + "output.LayerNorm", h)
    if mpnet:
        s[p + "encoder.relative_attention_bias.weight"] = [c["relative_attention_num_buckets"], c["num_attention_heads"]]
        linear(s, "lm_head.dense", h, h)
        norm(s, "lm_head.layer_norm", h)
        s["lm_head.bias"] = [v]
    else:
        linear(s, p + "pooler.dense", h, h)
        linear(s, "cls.predictions.transform.dense", h, h)
        norm(s, "cls.predictions.transform.LayerNorm", h)
        s["cls.predictions.bias"] = [v]
        linear(s, "cls.seq_relationship", 2, h)
    return heads(s, c)


def heads(s, c):
    """With the head of the class, where it is one: of three classes, or of one, if one has a name."""
    if c["architectures"][0].endswith(("ForTokenClassification", "ForSequenceClassification")):
        s = {n: t for n, t in s.items() if not n.startswith(("cls.", "decoder."))}
        linear(s, "classifier", 1 if len(c.get("id2label", [])) == 1 else 3, c["hidden_size"])
    return s


def nomic_shapes(c):
    s, h, f = {}, c["hidden_size"], c["intermediate_size"]
    rows = c["head_dim"] * c["num_attention_heads"]
    s["embeddings.word_embeddings.weight"] = [c["vocab_size"], h]
    s["embeddings.token_type_embeddings.weight"] = [c["type_vocab_size"], h]
    norm(s, "emb_ln", h)
    for i in range(c["num_hidden_layers"]):
        q = f"encoder.layers.{i}."
        linear(s, q + "attn.Wqkv", 3 * rows, h, False)
        linear(s, q + "attn.out_proj", h, rows, False)
        norm(s, q + "norm1", h)
        linear(s, q + "mlp.fc11", f, h, False)
        linear(s, q + "mlp.fc12", f, h, False)
        linear(s, q + "mlp.fc2", h, f, False)
        norm(s, q + "norm2", h)
    return s


def modern_shapes(c):
    s, h, f, v = {}, c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    s["model.embeddings.tok_embeddings.weight"] = [v, h]
    norm(s, "model.embeddings.norm", h, False)
    for i in range(c["num_hidden_layers"]):
        q = f"model.layers.{i}."
        if i:
            norm(s, q + "attn_norm", h, False)
        linear(s, q + "attn.Wqkv", 3 * h, h, False)
        linear(s, q + "attn.Wo", h, h, False)
        norm(s, q + "mlp_norm", h, False)
        linear(s, q + "mlp.Wi", 2 * f, h, False)
        linear(s, q + "mlp.Wo", h, f, False)
    norm(s, "model.final_norm", h, False)
    linear(s, "head.dense", h, h, False)
    norm(s, "head.norm", h, False)
    s["decoder.bias"] = [v]
    return heads(s, c)


def gemma_shapes(c):
    h, f, rows, keys = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    s = {"embed_tokens.weight": [c["vocab_size"], h], "norm.weight": [h]}
    for i in range(c["num_hidden_layers"]):
        q = f"layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"):
            s[q + name + ".weight"] = [h]
        for name, out, inner in (("q", rows, h), ("k", keys, h), ("v", keys, h), ("o", h, rows)):
            s[f"{q}self_attn.{name}_proj.weight"] = [out, inner]
        s[q + "self_attn.q_norm.weight"] = s[q + "self_attn.k_norm.weight"] = [c["head_dim"]]
        for name, out, inner in (("gate", f, h), ("up", f, h), ("down", h, f)):
            s[f"{q}mlp.{name}_proj.weight"] = [out, inner]
    return s


def t5_shapes(c):
    s, h, f = {"shared.weight": [c["vocab_size"], c["d_model"]]}, c["d_model"], c["d_ff"]
    inner = c["d_kv"] * c["num_heads"]
    alone = c["architectures"] == ["T5EncoderModel"]
    for side, layers in (("encoder", c["num_layers"]), ("decoder", c["num_decoder_layers"]))[:1 if alone else 2]:
        for i in range(layers):
            q = f"{side}.block.{i}.layer."
            modules = ["0.SelfAttention"] + (["1.EncDecAttention"] if side == "decoder" else [])
            for number, module in enumerate(modules):
                for name in "qkv":
                    linear(s, f"{q}{module}.{name}", inner, h, False)
                linear(s, f"{q}{module}.o", h, inner, False)
                norm(s, f"{q}{number}.layer_norm", h, False)
            last = len(modules)
            gated = c["feed_forward_proj"].startswith("gated-")
            for name in ("wi_0", "wi_1") if gated else ("wi",):
                linear(s, f"{q}{last}.DenseReluDense.{name}", f, h, False)
            linear(s, f"{q}{last}.DenseReluDense.wo", h, f, False)
            norm(s, f"{q}{last}.layer_norm", h, False)
        s[f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = [c["relative_attention_num_buckets"], c["num_heads"]]
        norm(s, f"{side}.final_layer_norm", h, False)
    if not c["tie_word_embeddings"] and not alone:
        s["lm_head.weight"] = [c["vocab_size"], h]
    return s


def bart_shapes(c):
    h, marian = c["d_model"], c["model_type"] == "marian"
    target = c.get("decoder_vocab_size", c["vocab_size"])
    s = {"final_logits_bias": [1, target]}
    if marian:
        s["model.encoder.embed_tokens.weight"] = [c["vocab_size"], h]
        s["model.decoder.embed_tokens.weight"] = s["lm_head.weight"] = [target, h]
    else:
        s["model.shared.weight"] = [c["vocab_size"], h]
    for side in ("encoder", "decoder"):
        p = f"model.{side}."
        if not marian:
            s[p + "embed_positions.weight"] = [c["max_position_embeddings"] + 2, h]
            norm(s, p + "layernorm_embedding", h)
        for i in range(c[side + "_layers"]):
            q = f"{p}layers.{i}."
            for module in ("self_attn", "encoder_attn") if side == "decoder" else ("self_attn",):
                for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    linear(s, f"{q}{module}.{name}", h, h)
                norm(s, f"{q}{module}_layer_norm", h)
            linear(s, q + "fc1", c[side + "_ffn_dim"], h)
            linear(s, q + "fc2", h, c[side + "_ffn_dim"])
            norm(s, q + "final_layer_norm", h)
    return s


def deberta_shapes(c):
    s, h, f, v, e = {}, c["hidden_size"], c["intermediate_size"], c["vocab_size"], c.get("embedding_size", c["hidden_size"])
    s["deberta.embeddings.word_embeddings.weight"] = [v, e]
    if c["position_biased_input"]:
        s["deberta.embeddings.position_embeddings.weight"] = [c["max_position_embeddings"], e]
    if c["type_vocab_size"]:
        s["deberta.embeddings.token_type_embeddings.weight"] = [c["type_vocab_size"], e]
    if e != h:
        linear(s, "deberta.embeddings.embed_proj", h, e, False)
    norm(s, "deberta.embeddings.LayerNorm", h)
    for i in range(c["num_hidden_layers"]):
        q = f"deberta.encoder.layer.{i}."
        names = ["self.query_proj", "self.key_proj", "self.value_proj", "output.dense"]
        if not c["share_att_key"]:
            names += ["self.pos_key_proj"] * ("c2p" in c["pos_att_type"]) + ["self.pos_query_proj"] * ("p2c" in c["pos_att_type"])
        for name in names:
            linear(s, q + "attention." + name, h, h)
        norm(s, q + "attention.output.LayerNorm", h)
        linear(s, q + "intermediate.dense", f, h)
        linear(s, q + "output.dense", h, f)
        norm(s, q + "output.LayerNorm", h)
    farthest = c["max_relative_positions"] if c["max_relative_positions"] > 0 else c["max_position_embeddings"]
    s["deberta.encoder.rel_embeddings.weight"] = [2 * (c["position_buckets"] if c["position_buckets"] > 0 else farthest), h]
    if "layer_norm" in c["norm_rel_ebd"]:
        norm(s, "deberta.encoder.LayerNorm", h)
    if c["conv_kernel_size"]:
        s["deberta.encoder.conv.conv.weight"] = [h, h // c["conv_groups"], c["conv_kernel_size"]]
        s["deberta.encoder.conv.conv.bias"] = [h]
        norm(s, "deberta.encoder.conv.LayerNorm", h)
    p, size = ("cls.predictions.", e) if c["legacy"] else ("lm_predictions.lm_head.", h)
    linear(s, p + ("transform.dense" if c["legacy"] else "dense"), size, h)
    norm(s, p + ("transform.LayerNorm" if c["legacy"] else "LayerNorm"), size)
    s[p + "bias"] = [v]
    return s


SHAPES = {"gemma3_text": gemma_shapes, "bert": bert_shapes, "nomic_bert": nomic_shapes, "deberta-v2": deberta_shapes, "mpnet": bert_shapes, "modernbert": modern_shapes, "t5": t5_shapes, "bart": bart_shapes,
          "marian": bart_shapes}


def write(directory, name, **fields):
    config = {**MODELS[name], **fields}
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {n: ("F32", s) for n, s in SHAPES[config["model_type"]](config).items()}
    (directory / "config.json").write_text(json.dumps(config, indent=1))
    (directory / "model.safetensors").write_bytes(checkpoint.safetensors(tensors))
    return config


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], **{k: json.loads(v) for k, v in (item.split("=", 1) for item in sys.argv[3:])})
