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
                         "hidden_activation": c["hidden_activation"],
                         # The converter writes what the config calls norm_eps under this key too.
                         "attention.layer_norm_rms_epsilon": c["norm_eps"]})
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


def gelu(x):
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def silu(x):
    return x / (1 + math.exp(-x))


def rotary(path, kind, directory=None, heads=4, kv_heads=4, size=6, inner=10, layers=3, vocab=23, experts=5, chosen=2, theta=500.0):
    """A made-up encoder of `kind` whose positions are rotations: eurobert, with norms before, or jina-bert-v3 and nomic-bert-moe, with
    norms after; of the last kind the second of every two layers is a mixture of experts. Returns a function from ids to the hidden
    states as the model is defined. `directory`: of the last kind, its form in the layout in which it was published as well, with the
    bias of the experts' sum that the other form lacks, which the function takes as its second argument."""
    random.seed(11)
    hidden, pre, mixed = heads * size, kind == "eurobert", lambda i: kind == "nomic-bert-moe" and i % 2 == 1
    shapes = {"token_embd": [vocab, hidden], **({"output_norm": [hidden]} if pre else {"token_types": [1, hidden], "token_embd_norm": [hidden]})}
    for i in range(layers):
        p = f"blk.{i}."
        if pre:
            shapes.update({p + "attn_norm": [hidden], p + "ffn_norm": [hidden], p + "attn_q": [hidden, hidden], p + "ffn_gate": [inner, hidden],
                           p + "attn_k": [kv_heads * size, hidden], p + "attn_v": [kv_heads * size, hidden]})
        else:
            shapes.update({p + "attn_output_norm": [hidden], p + "layer_output_norm": [hidden], p + "attn_qkv": [3 * hidden, hidden]})
        if mixed(i):
            shapes.update({p + "ffn_gate_inp": [experts, hidden], p + "ffn_up_exps": [experts, inner, hidden], p + "ffn_down_exps": [experts, hidden, inner]})
        else:
            shapes.update({p + "ffn_up": [inner, hidden], p + "ffn_down": [hidden, inner]})
        shapes[p + "attn_output"] = [hidden, hidden]
    tensors = {}
    for name, shape in shapes.items():
        tensors[name + ".weight"] = shape
        if not pre and not name.startswith("token_") and not name.endswith(("_exps", "_inp")) or name == "token_embd_norm":
            tensors[name + ".bias"] = shape[:1]
    weights = {name: [gguf.single(random.gauss(1 if name.endswith("norm.weight") else 0, 0.5)) for _ in range(math.prod(shape))]
               for name, shape in tensors.items()}
    keys = {"context_length": 64, "embedding_length": hidden, "block_count": layers, "feed_forward_length": inner, "attention.head_count": heads,
            "attention.head_count_kv": kv_heads, ("attention.layer_norm_rms_epsilon" if pre else "attention.layer_norm_epsilon"): 1e-6,
            "attention.causal": False, "pooling_type": 1, "rope.freq_base": theta, "rope.scaling.type": "none"}
    if kind == "nomic-bert-moe":
        keys.update({"moe_every_n_layers": 2, "expert_count": experts, "expert_used_count": chosen})
    table = [("general.architecture", gguf.STRING, kind)] + [(f"{kind}.{key}", KINDS[type(content)], content) for key, content in keys.items()]
    gguf.write(path, table, {n: ("F32", tensors[n][::-1], struct.pack(f"<{len(w)}f", *w)) for n, w in weights.items()})
    sums = [gguf.single(random.gauss(0, 0.5)) for _ in range(hidden)]
    if directory:
        config = {"architectures": ["NomicBertModel"], "model_type": "nomic_bert", "vocab_size": vocab, "n_embd": hidden, "n_layer": layers,
                  "n_head": heads, "n_inner": inner, "n_positions": 64, "activation_function": "gelu", "layer_norm_epsilon": 1e-6, "type_vocab_size": 1,
                  "rotary_emb_base": theta, "rotary_emb_fraction": 1.0, "qkv_proj_bias": True, "mlp_fc1_bias": True, "mlp_fc2_bias": True,
                  "moe_every_n_layers": 2, "num_experts": experts, "moe_top_k": chosen, "moe_normalize_expert_weights": False,
                  "expert_choice_router": False, "num_shared_experts": 0, "ffn_div": 1, "moe_impl": "megablocks"}
        published = {}
        for name, values in weights.items():
            shape = tensors[name]
            if "_exps" in name:
                shape = [experts * inner, hidden]
            if "ffn_down_exps" in name:
                values = [values[(e * hidden + h) * inner + j] for e in range(experts) for j in range(inner) for h in range(hidden)]
            for pattern, role in ((r"blk\.", "encoder.layers."), ("token_embd_norm", "emb_ln"), ("token_embd", "embeddings.word_embeddings"),
                                  ("token_types", "embeddings.token_type_embeddings"), ("attn_qkv", "attn.Wqkv"), ("attn_output_norm", "norm1"),
                                  ("layer_output_norm", "norm2"), ("attn_output", "attn.out_proj"), ("ffn_gate_inp", "mlp.router.layer"),
                                  ("ffn_up_exps.weight", "mlp.experts.mlp.w1"), ("ffn_down_exps.weight", "mlp.experts.mlp.w2"),
                                  ("ffn_up", "mlp.fc1"), ("ffn_down", "mlp.fc2")):
                name = re.sub(pattern, role, name)
            published[name] = shape, values
        published.update({f"encoder.layers.{i}.mlp.experts.bias": ([hidden], sums) for i in range(layers) if mixed(i)})
        header, data = {}, b""
        for name, (shape, values) in published.items():
            content = struct.pack(f"<{len(values)}f", *values)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        text = json.dumps(header).encode()
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        pathlib.Path(directory, "config.json").write_text(json.dumps(config))
        pathlib.Path(directory, "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)

    def product(x, matrix, at, rows, bias):
        return [sum(a * b for a, b in zip(x, matrix[at + o * len(x):at + (o + 1) * len(x)])) + (bias[o] if bias else 0) for o in range(rows)]

    def linear(x, name):
        return product(x, weights[name + ".weight"], 0, tensors[name + ".weight"][0], weights.get(name + ".bias"))

    def norm(x, name):
        mean = 0 if pre else sum(x) / len(x)
        scale = 1 / math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-6)
        return [(v - mean) * scale * w + b for v, w, b in zip(x, weights[name + ".weight"], weights.get(name + ".bias", [0] * len(x)))]

    def add(a, b):
        return [x + y for x, y in zip(a, b)]

    def rotate(x, position):
        half, result = size // 2, list(x)
        for h in range(0, len(x), size):
            for i in range(half):
                angle = position * theta ** (-2 * i / size)
                a, b = x[h + i], x[h + half + i]
                result[h + i], result[h + half + i] = a * math.cos(angle) - b * math.sin(angle), b * math.cos(angle) + a * math.sin(angle)
        return result

    def attend(rows, p):
        keys = kv_heads * size
        if pre:
            q, k, v = ([linear(x, p + "attn_" + name) for x in rows] for name in "qkv")
        else:
            q, k, v = zip(*((x[:hidden], x[hidden:hidden + keys], x[hidden + keys:]) for x in (linear(x, p + "attn_qkv") for x in rows)))
        q, k = ([rotate(x, i) for i, x in enumerate(states)] for states in (q, k))
        for i in range(len(rows)):
            result = []
            for h in range(heads):
                mine, theirs = h * size, h * kv_heads // heads * size
                scores = [sum(q[i][mine + e] * k[j][theirs + e] for e in range(size)) / math.sqrt(size) for j in range(len(rows))]
                chances = [math.exp(s - max(scores)) for s in scores]
                result += [sum(w * v[j][theirs + e] for j, w in enumerate(chances)) / sum(chances) for e in range(size)]
            yield linear(result, p + "attn_output")

    def forward(x, i, bias):
        p = f"blk.{i}."
        if not mixed(i):
            up = linear(x, p + "ffn_up")
            return linear([silu(g) * u for g, u in zip(linear(x, p + "ffn_gate"), up)] if pre else [gelu(u) for u in up], p + "ffn_down")
        logits = linear(x, p + "ffn_gate_inp")
        chances = [math.exp(v - max(logits)) for v in logits]
        result = list(bias)
        for e in sorted(range(experts), key=lambda e: -logits[e])[:chosen]:
            up = product(x, weights[p + "ffn_up_exps.weight"], e * inner * hidden, inner, None)
            down = product([gelu(u) for u in up], weights[p + "ffn_down_exps.weight"], e * inner * hidden, hidden, None)
            result = [r + chances[e] / sum(chances) * d for r, d in zip(result, down)]
        return result

    def run(ids, biased=False):
        rows = [weights["token_embd.weight"][i * hidden:(i + 1) * hidden] for i in ids]
        if not pre:
            rows = [norm(add(x, weights["token_types.weight"]), "token_embd_norm") for x in rows]
        bias = sums if biased else [0] * hidden
        for i in range(layers):
            p = f"blk.{i}."
            if pre:
                rows = [add(x, a) for x, a in zip(rows, attend([norm(x, p + "attn_norm") for x in rows], p))]
                rows = [add(x, forward(norm(x, p + "ffn_norm"), i, bias)) for x in rows]
            else:
                rows = [norm(add(x, a), p + "attn_output_norm") for x, a in zip(rows, attend(rows, p))]
                rows = [norm(add(x, forward(x, i, bias)), p + "layer_output_norm") for x in rows]
        return [value for row in rows for value in (norm(row, "output_norm") if pre else row)]
    return run
