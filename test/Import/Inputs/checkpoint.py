"""Writes small checkpoints in the layout of Hugging Face, with random weights."""
import json
import pathlib
import random
import struct

BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "U8": 8, "F8_E4M3": 8}

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 11, "hidden_size": 12,
    "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
    "head_dim": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "bos_token_id": 1,
    "eos_token_id": 2, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
}
GPT2 = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 11, "n_embd": 12, "n_layer": 2,
    "n_head": 3, "n_positions": 16, "n_inner": None, "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
}


def like_llama(model_type, architecture, drop=("attention_bias", "mlp_bias"), **fields):
    config = {k: v for k, v in LLAMA.items() if k not in drop}
    return {**config, "model_type": model_type, "architectures": [architecture], **fields}


WINDOWS = {"sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1}
MISTRAL = like_llama("mistral", "MistralForCausalLM", sliding_window=5)
GRANITE = like_llama("granite", "GraniteForCausalLM", drop=("head_dim",), hidden_size=24, attention_multiplier=0.5,
                     residual_multiplier=0.5, embedding_multiplier=2.0, logits_scaling=2.0)
QWEN2 = like_llama("qwen2", "Qwen2ForCausalLM", drop=("attention_bias", "mlp_bias", "head_dim"),
                   hidden_size=24, **WINDOWS)
QWEN3 = like_llama("qwen3", "Qwen3ForCausalLM", drop=("mlp_bias",), **WINDOWS)
GEMMA2 = like_llama("gemma2", "Gemma2ForCausalLM", drop=("mlp_bias", "hidden_act"), tie_word_embeddings=True,
                    hidden_activation="gelu_pytorch_tanh", sliding_window=5, query_pre_attn_scalar=9,
                    attn_logit_softcapping=3.0, final_logit_softcapping=4.0)
COHERE = like_llama("cohere", "CohereForCausalLM", drop=("mlp_bias", "rms_norm_eps"), layer_norm_eps=1e-5,
                    logit_scale=0.25, tie_word_embeddings=True)
# Families whose tensors are those of Llama, and the differences.
NORMS = {"gemma2": ["post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"], "cohere": []}


def llama_shapes(c):
    h, f, d = c["hidden_size"], c["intermediate_size"], c.get("head_dim")
    d = d or h // c["num_attention_heads"]
    q = c["num_attention_heads"] * d
    kv = (c.get("num_key_value_heads") or c["num_attention_heads"]) * d
    shapes = {"model.embed_tokens.weight": [c["vocab_size"], h], "model.norm.weight": [h]}
    kind = c["model_type"]
    if not c.get("tie_word_embeddings", kind in ("gemma2", "cohere")):
        shapes["lm_head.weight"] = [c["vocab_size"], h]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        shapes[p + "input_layernorm.weight"] = [h]
        for norm in NORMS.get(kind, ["post_attention_layernorm"]):
            shapes[p + norm + ".weight"] = [h]
        if kind == "qwen3":
            shapes[p + "self_attn.q_norm.weight"] = shapes[p + "self_attn.k_norm.weight"] = [d]
        for name, out, inner, bias in (
                ("self_attn.q_proj", q, h, "attention_bias"), ("self_attn.k_proj", kv, h, "attention_bias"),
                ("self_attn.v_proj", kv, h, "attention_bias"), ("self_attn.o_proj", h, q, "attention_bias"),
                ("mlp.gate_proj", f, h, "mlp_bias"), ("mlp.up_proj", f, h, "mlp_bias"),
                ("mlp.down_proj", h, f, "mlp_bias")):
            shapes[p + name + ".weight"] = [out, inner]
            if c.get(bias) or kind == "qwen2" and name[-6:] in ("q_proj", "k_proj", "v_proj"):
                shapes[p + name + ".bias"] = [out]
    return shapes


def gpt2_shapes(c):
    h = c["n_embd"]
    f = c.get("n_inner") or 4 * h
    shapes = {"wte.weight": [c["vocab_size"], h], "wpe.weight": [c["n_positions"], h],
              "ln_f.weight": [h], "ln_f.bias": [h]}
    for i in range(c["n_layer"]):
        p = f"h.{i}."
        for name, inner, out in (("attn.c_attn", h, 3 * h), ("attn.c_proj", h, h), ("mlp.c_fc", h, f),
                                 ("mlp.c_proj", f, h)):
            shapes[p + name + ".weight"] = [inner, out]
            shapes[p + name + ".bias"] = [out]
        for name in ("ln_1", "ln_2"):
            shapes[p + name + ".weight"] = shapes[p + name + ".bias"] = [h]
    shapes = {"transformer." + name: shape for name, shape in shapes.items()}
    if not c.get("tie_word_embeddings", True):
        shapes["lm_head.weight"] = [c["vocab_size"], h]
    return shapes


FAMILIES = ["llama", "gpt2", "mistral", "granite", "qwen2", "qwen3", "gemma2", "cohere"]


def product(shape):
    n = 1
    for size in shape:
        n *= size
    return n


def number(dtype, rng):
    value = rng.gauss(0, 0.5)
    if dtype == "F32":
        return struct.pack("<f", value)
    if dtype == "F16":
        return struct.pack("<e", value)
    if dtype == "BF16":
        return struct.pack("<f", value)[2:]
    return bytes(BITS[dtype] // 8)


def safetensors(tensors, seed=0):
    """tensors: name -> (dtype, shape). The bytes of a file."""
    rng, header, data = random.Random(seed), {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape) in tensors.items():
        content = b"".join(number(dtype, rng) for _ in range(product(shape)))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return wrap(json.dumps(header).encode(), data)


def wrap(header, data):
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def split(content):
    """The header (a dictionary) and the data of a file."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:8 + length]), content[8 + length:]


def write(directory, config, dtype="F32", shards=1, rename=None, change=None, files=None):
    """change: edits the dictionary of tensors; files: more files by name."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    tensors = {n: (dtype, s) for n, s in (gpt2_shapes if config["model_type"] == "gpt2" else llama_shapes)(config).items()}
    if change:
        change(tensors)
    if rename:
        tensors = {rename(n): t for n, t in tensors.items()}
    (directory / "config.json").write_text(json.dumps(config, indent=1))
    if shards == 1:
        (directory / "model.safetensors").write_bytes(safetensors(tensors))
    else:
        names, index = list(tensors), {}
        for i in range(shards):
            file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
            part = {n: tensors[n] for n in names[i::shards]}
            (directory / file).write_bytes(safetensors(part, i))
            index.update({n: file for n in part})
        (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    for name, content in (files or {}).items():
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return directory
