"""Turns small encoders and encoder-decoders in the layout of Hugging Face into GGUF as llama.cpp's converter does.

Names change, the rows of learned positions before that of the first token go, and shapes are written innermost first.
"""
import json
import math
import pathlib
import random
import re
import struct

import checkpoint
import gguf

BERT = [("bert.embeddings.word_embeddings", "token_embd"), ("bert.embeddings.position_embeddings", "position_embd"),
        ("bert.embeddings.token_type_embeddings", "token_types"), ("bert.embeddings.LayerNorm", "token_embd_norm"),
        (r"bert.encoder.layer.(\d+).attention.self.(.).*?\.", r"blk.\1.attn_\2."),
        (r"bert.encoder.layer.(\d+).attention.output.dense", r"blk.\1.attn_output"),
        (r"bert.encoder.layer.(\d+).attention.output.LayerNorm", r"blk.\1.attn_output_norm"),
        (r"bert.encoder.layer.(\d+).intermediate.dense", r"blk.\1.ffn_up"),
        (r"bert.encoder.layer.(\d+).output.dense", r"blk.\1.ffn_down"),
        (r"bert.encoder.layer.(\d+).output.LayerNorm", r"blk.\1.layer_output_norm"), (r"^bert.pooler.*|^cls\..*", ""), ("^classifier", "cls")]
NOMIC = [("embeddings.word_embeddings", "token_embd"), ("embeddings.token_type_embeddings", "token_types"), ("emb_ln", "token_embd_norm"),
         (r"encoder.layers.(\d+).attn.Wqkv", r"blk.\1.attn_qkv"), (r"encoder.layers.(\d+).attn.out_proj", r"blk.\1.attn_output"),
         (r"encoder.layers.(\d+).norm1", r"blk.\1.attn_output_norm"), (r"encoder.layers.(\d+).norm2", r"blk.\1.layer_output_norm"),
         (r"encoder.layers.(\d+).mlp.fc11", r"blk.\1.ffn_up"), (r"encoder.layers.(\d+).mlp.fc12", r"blk.\1.ffn_gate"),
         (r"encoder.layers.(\d+).mlp.fc2", r"blk.\1.ffn_down")]
MODERN = [("model.embeddings.tok_embeddings", "token_embd"), ("model.embeddings.norm", "token_embd_norm"), ("model.final_norm", "output_norm"),
          (r"model.layers.(\d+).attn.Wqkv", r"blk.\1.attn_qkv"), (r"model.layers.(\d+).attn.Wo", r"blk.\1.attn_output"),
          (r"model.layers.(\d+).attn_norm", r"blk.\1.attn_norm"), (r"model.layers.(\d+).mlp_norm", r"blk.\1.ffn_norm"),
          (r"model.layers.(\d+).mlp.Wi", r"blk.\1.ffn_up"), (r"model.layers.(\d+).mlp.Wo", r"blk.\1.ffn_down"),
          ("^head.dense", "cls"), ("^head.norm", "cls.norm"), ("^classifier", "cls.output"), ("^decoder.*", "")]
GEMMA = [("^embed_tokens", "token_embd"), ("^norm", "output_norm"), (r"^layers\.", "blk."), ("input_layernorm", "attn_norm"),
         ("pre_feedforward_layernorm", "ffn_norm"), ("post_feedforward_layernorm", "post_ffw_norm"), ("post_attention_layernorm", "post_attention_norm"),
         (r"self_attn.(.)_proj", r"attn_\1"), ("attn_o", "attn_output"), (r"self_attn.(.)_norm", r"attn_\1_norm"), (r"mlp.(.*)_proj", r"ffn_\1"),
         (r"2_Dense.linear", "dense_2"), (r"3_Dense.linear", "dense_3")]
T5 = [("^shared", "token_embd"), ("lm_head", "output"), ("(en|de)coder.block", r"\1c.blk"), ("(en|de)coder.final_layer_norm", r"\1c.output_norm"),
      ("layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"), ("layer.0.SelfAttention.", "attn_"),
      ("layer.1.EncDecAttention.", "cross_attn_"), ("layer.0.layer_norm", "attn_norm"),
      (r"^(dec.*)layer.1.layer_norm", r"\1cross_attn_norm"), ("layer...layer_norm", "ffn_norm"), ("layer...DenseReluDense.wi_0", "ffn_gate"),
      ("layer...DenseReluDense.(wi_1|wi)", "ffn_up"), ("layer...DenseReluDense.wo", "ffn_down")]


KINDS = {bool: gguf.BOOL, float: gguf.F32, int: gguf.U32, str: gguf.STRING}


def keys_of(c):
    kind = c["model_type"]
    if kind == "t5":
        a = "t5encoder" if c["architectures"] == ["T5EncoderModel"] else "t5"
        keys = {"context_length": 512, "embedding_length": c["d_model"], "block_count": c["num_layers"], "feed_forward_length": c["d_ff"],
                "attention.head_count": c["num_heads"], "attention.key_length": c["d_kv"], "attention.value_length": c["d_kv"],
                "attention.layer_norm_rms_epsilon": c["layer_norm_epsilon"], "attention.layer_norm_epsilon": c["layer_norm_epsilon"],
                "attention.relative_buckets_count": c["relative_attention_num_buckets"]}
        if a == "t5":
            keys.update({"decoder_block_count": c["num_decoder_layers"], "decoder_start_token_id": c["decoder_start_token_id"]})
    else:
        a = {"nomic_bert": "nomic-bert", "modernbert": "modern-bert", "gemma3_text": "gemma-embedding"}.get(kind, "bert")
        keys = {"context_length": c["max_position_embeddings"], "embedding_length": c["hidden_size"], "block_count": c["num_hidden_layers"],
                "feed_forward_length": c["intermediate_size"], "attention.head_count": c["num_attention_heads"],
                "attention.layer_norm_epsilon": c.get("layer_norm_eps", c.get("norm_eps")), "attention.causal": False, "pooling_type": 2}
        if kind == "nomic_bert":
            keys["rope.freq_base"] = c["rope_parameters"]["rope_theta"]
        if kind == "gemma3_text":
            del keys["attention.layer_norm_epsilon"]
            keys.update({"attention.layer_norm_rms_epsilon": c["rms_norm_eps"], "attention.head_count_kv": c["num_key_value_heads"],
                         "attention.key_length": c["head_dim"], "attention.value_length": c["head_dim"], "pooling_type": 1,
                         "rope.freq_base": c["rope_theta"], "rope.freq_base_swa": c["rope_local_base_freq"],
                         "attention.sliding_window": c["sliding_window"], "attention.sliding_window_pattern": 3})
        if kind == "modernbert":
            keys.update({"rope.freq_base": c["global_rope_theta"], "rope.freq_base_swa": c["local_rope_theta"], "rope.scaling.type": "none",
                         "attention.sliding_window": c["local_attention"], "attention.sliding_window_pattern": c["global_attn_every_n_layers"],
                         "hidden_activation": c["hidden_activation"]})
    result = [("general.architecture", gguf.STRING, a)]
    for key, content in keys.items():
        result.append((f"{a}.{key}", KINDS[type(content)], content))
    return result


def convert(directory, path, changes=(), more=None, without=()):
    """changes: keys that replace those of the config; more: further matrices, as lists of rows; without: tensors that are left out."""
    directory = pathlib.Path(directory)
    config = json.loads((directory / "config.json").read_text())
    header, data = checkpoint.split((directory / "model.safetensors").read_bytes())
    table = {"t5": T5, "nomic_bert": NOMIC, "modernbert": MODERN, "gemma3_text": GEMMA}.get(config["model_type"], BERT)
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        for pattern, role in table:
            name = re.sub(pattern, role, name)
        content = data[begin:end]
        # Norms of Gemma have their 1 already.
        if table is GEMMA and "norm" in name:
            content = struct.pack(f"<{len(content) // 4}f", *(x + 1 for x in struct.unpack(f"<{len(content) // 4}f", content)))
        if name.split(".")[0]:
            tensors[name] = ("F32", info["shape"][::-1], content)
    for name, rows in (more or {}).items():
        tensors[name] = ("F32", [len(rows[0]), len(rows)], b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows))
    tensors = {name: tensor for name, tensor in tensors.items() if name not in without}
    keys = {key: (key, kind, content) for key, kind, content in keys_of(config)}
    keys.update({key[0]: key for key in changes})
    gguf.write(path, list(keys.values()), tensors)


def jina(path, heads=3, hidden=12, inner=10, layers=2, vocab=23, fused=False, code=False, changes=()):
    """A made-up jina-bert-v2 file; returns a function from ids to the hidden states, which computes them as the model is defined:
    scores have -slope * distance of query and key, in both directions, and the feed-forward network is gated by a GELU. The kind for
    code has norms of queries and keys, of all heads together, and a second norm after attention."""
    random.seed(7)
    weights, shapes = {}, {"token_embd.weight": [vocab, hidden], "token_types.weight": [2, hidden]}
    more = ("attn_q_norm", "attn_k_norm", "attn_norm_2") if code else ()
    for name in ["token_embd_norm"] + [f"blk.{i}.{n}" for i in range(layers) for n in ("attn_output_norm", "layer_output_norm") + more]:
        shapes[name + ".weight"] = shapes[name + ".bias"] = [hidden]
    for i in range(layers):
        for name in "qkv":
            shapes[f"blk.{i}.attn_{name}.weight"], shapes[f"blk.{i}.attn_{name}.bias"] = [hidden, hidden], [hidden]
        shapes[f"blk.{i}.attn_output.weight"], shapes[f"blk.{i}.attn_output.bias"] = [hidden, hidden], [hidden]
        shapes[f"blk.{i}.ffn_up.weight"] = [2 * inner if fused else inner, hidden]
        if not fused:
            shapes[f"blk.{i}.ffn_gate.weight"] = [inner, hidden]
        shapes[f"blk.{i}.ffn_down.weight"], shapes[f"blk.{i}.ffn_down.bias"] = [hidden, inner], [hidden]
    for name, shape in shapes.items():
        centre = 1 if name.endswith(("norm.weight", "norm_2.weight")) else 0
        weights[name] = [gguf.single(random.gauss(centre, 0.5)) for _ in range(math.prod(shape))]
    keys = {"context_length": 64, "embedding_length": hidden, "block_count": layers, "feed_forward_length": inner, "attention.head_count": heads,
            "attention.layer_norm_epsilon": 1e-12, "attention.causal": False, "pooling_type": 1}
    table = [("general.architecture", gguf.STRING, "jina-bert-v2")]
    table += [(f"jina-bert-v2.{k}", gguf.BOOL if isinstance(v, bool) else gguf.F32 if isinstance(v, float) else gguf.U32, v) for k, v in keys.items()]
    gguf.write(path, table + list(changes), {n: ("F32", shapes[n][::-1], struct.pack(f"<{len(w)}f", *w)) for n, w in weights.items()})

    def linear(x, name):
        w, n = weights[name + ".weight"], len(x)
        return [sum(a * b for a, b in zip(x, w[o * n:])) + bias for o, bias in enumerate(weights.get(name + ".bias", [0] * (len(w) // n)))]

    def norm(x, name):
        mean = sum(x) / len(x)
        scale = 1 / math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-12)
        return [(v - mean) * scale * w + b for v, w, b in zip(x, weights[name + ".weight"], weights[name + ".bias"])]

    def add(a, b):
        return [x + y for x, y in zip(a, b)]

    def gelu(x):
        return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))

    def run(ids):
        size = hidden // heads
        # Of three heads: those of two, 2^-4 and 2^-8, and the first of four, 2^-2.
        slopes = [2 ** -4, 2 ** -8, 2 ** -2] if heads == 3 else [2 ** (-8 * (h + 1) / heads) for h in range(heads)]
        rows = [norm(add(weights["token_embd.weight"][i * hidden:(i + 1) * hidden], weights["token_types.weight"][:hidden]), "token_embd_norm") for i in ids]
        for layer in range(layers):
            q, k, v = ([linear(x, f"blk.{layer}.attn_{name}") for x in rows] for name in "qkv")
            if code:
                q, k = ([norm(x, f"blk.{layer}.attn_{name}_norm") for x in states] for name, states in (("q", q), ("k", k)))
            attended = []
            for i in range(len(ids)):
                result = []
                for h in range(heads):
                    part = slice(h * size, (h + 1) * size)
                    scores = [sum(a * b for a, b in zip(q[i][part], k[j][part])) / math.sqrt(size) - slopes[h] * abs(i - j) for j in range(len(ids))]
                    p = [math.exp(s - max(scores)) for s in scores]
                    result += [sum(w * v[j][e] for j, w in enumerate(p)) / sum(p) for e in range(h * size, (h + 1) * size)]
                attended.append(result)
            before = rows
            rows = [norm(add(x, linear(a, f"blk.{layer}.attn_output")), f"blk.{layer}.attn_output_norm") for x, a in zip(rows, attended)]
            if code:
                rows = [norm(add(x, y), f"blk.{layer}.attn_norm_2") for x, y in zip(before, rows)]
            result = []
            for x in rows:
                up = linear(x, f"blk.{layer}.ffn_up")
                gate = up[:inner] if fused else linear(x, f"blk.{layer}.ffn_gate")
                y = [gelu(g) * u for g, u in zip(gate, up[inner:] if fused else up)]
                result.append(norm(add(x, linear(y, f"blk.{layer}.ffn_down")), f"blk.{layer}.layer_output_norm"))
            rows = result
        return [value for row in rows for value in row]
    return run
