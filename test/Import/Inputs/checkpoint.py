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
# Mixtures of experts. Layer 1 of Qwen's has a plain feed-forward network.
MIXTRAL = like_llama("mixtral", "MixtralForCausalLM", sliding_window=5, num_local_experts=4, num_experts_per_tok=2)
QWEN2_MOE = like_llama("qwen2_moe", "Qwen2MoeForCausalLM", drop=("attention_bias", "mlp_bias", "head_dim"), hidden_size=24,
                       qkv_bias=True, num_hidden_layers=3, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=7,
                       shared_expert_intermediate_size=9, norm_topk_prob=False, decoder_sparse_step=1, mlp_only_layers=[1],
                       sliding_window=5, use_sliding_window=True, max_window_layers=1)
QWEN3_MOE = like_llama("qwen3_moe", "Qwen3MoeForCausalLM", drop=("mlp_bias",), num_experts=5, num_experts_per_tok=2,
                       moe_intermediate_size=7, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[1],
                       sliding_window=5, use_sliding_window=True)
OLMOE = like_llama("olmoe", "OlmoeForCausalLM", drop=("mlp_bias",), num_experts=4, num_experts_per_tok=2,
                   norm_topk_prob=False, clip_qkv=0.5)
GPT_OSS = like_llama("gpt_oss", "GptOssForCausalLM", drop=("mlp_bias", "attention_bias", "hidden_act"), sliding_window=5,
                     num_local_experts=4, num_experts_per_tok=2, swiglu_limit=7.0, swiglu_alpha=1.702)
DEEPSEEK = {"num_attention_heads": 3, "num_key_value_heads": 3, "kv_lora_rank": 6, "q_lora_rank": 5, "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 3, "v_head_dim": 5, "moe_intermediate_size": 7, "n_shared_experts": 2, "n_routed_experts": 6,
            "num_experts_per_tok": 2, "routed_scaling_factor": 1.5, "first_k_dense_replace": 1, "n_group": 3, "topk_group": 2}
DEEPSEEK_V2 = like_llama("deepseek_v2", "DeepseekV2ForCausalLM", drop=("head_dim",), topk_method="group_limited_greedy", **DEEPSEEK)
DEEPSEEK_V3 = like_llama("deepseek_v3", "DeepseekV3ForCausalLM", drop=("head_dim", "mlp_bias"), rope_interleave=True,
                         norm_topk_prob=True, **DEEPSEEK)
# Families whose tensors are those of Llama, and the differences.
NORMS = {"gemma2": ["post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"], "cohere": []}


def mixture_shapes(c, i):
    """The feed-forward network of layer i where it is a mixture, else nothing."""
    h, kind, p = c["hidden_size"], c["model_type"], f"model.layers.{i}.mlp."
    experts = c.get("num_local_experts") or c.get("num_experts") or c.get("n_routed_experts")
    if kind not in MIXTURES or not experts:
        return {}
    if i in (c.get("mlp_only_layers") or []) or (i + 1) % c.get("decoder_sparse_step", 1) or i < c.get("first_k_dense_replace", 0):
        return {}
    f = c.get("moe_intermediate_size", c["intermediate_size"])
    if kind == "gpt_oss":
        return {p + "router.weight": [experts, h], p + "router.bias": [experts],
                p + "experts.gate_up_proj": [experts, h, 2 * f], p + "experts.gate_up_proj_bias": [experts, 2 * f],
                p + "experts.down_proj": [experts, f, h], p + "experts.down_proj_bias": [experts, h]}
    gate, up, down = "gate_proj", "up_proj", "down_proj"
    if kind == "mixtral":
        p, gate, up, down = f"model.layers.{i}.block_sparse_moe.", "w1", "w3", "w2"
    shapes = {p + "gate.weight": [experts, h]}
    for e in range(experts):
        shapes.update({f"{p}experts.{e}.{gate}.weight": [f, h], f"{p}experts.{e}.{up}.weight": [f, h],
                       f"{p}experts.{e}.{down}.weight": [h, f]})
    shared, size = ("shared_expert.", c.get("shared_expert_intermediate_size")) if kind == "qwen2_moe" else (
        "shared_experts.", f * c.get("n_shared_experts", 0))
    if size:
        for name, out, inner in (("gate_proj", size, h), ("up_proj", size, h), ("down_proj", h, size)):
            shapes[p + shared + name + ".weight"] = [out, inner]
            if c.get("mlp_bias"):
                shapes[p + shared + name + ".bias"] = [out]
    if kind == "qwen2_moe":
        shapes[p + "shared_expert_gate.weight"] = [1, h]
    if kind == "deepseek_v3":
        shapes[p + "gate.e_score_correction_bias"] = [experts]
    return shapes


def latent_shapes(c, p):
    h, heads, rank, rope = c["hidden_size"], c["num_attention_heads"], c["kv_lora_rank"], c["qk_rope_head_dim"]
    plain, value, lora = c["qk_nope_head_dim"], c["v_head_dim"], c.get("q_lora_rank")
    shapes = {p + "kv_a_proj_with_mqa.weight": [rank + rope, h], p + "kv_a_layernorm.weight": [rank],
              p + "kv_b_proj.weight": [heads * (plain + value), rank], p + "o_proj.weight": [h, heads * value]}
    if lora:
        shapes.update({p + "q_a_proj.weight": [lora, h], p + "q_a_layernorm.weight": [lora],
                       p + "q_b_proj.weight": [heads * (plain + rope), lora]})
    else:
        shapes[p + "q_proj.weight"] = [heads * (plain + rope), h]
    if c.get("attention_bias"):
        for name in ("kv_a_proj_with_mqa", "o_proj") + (("q_a_proj",) if lora else ()):
            shapes[p + name + ".bias"] = [shapes[p + name + ".weight"][0]]
    return shapes


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
        if kind in ("qwen3", "qwen3_moe"):
            shapes[p + "self_attn.q_norm.weight"] = shapes[p + "self_attn.k_norm.weight"] = [d]
        if c.get("use_qk_norm"):
            shapes[p + "self_attn.q_norm.weight"] = [q // d, d]
            shapes[p + "self_attn.k_norm.weight"] = [kv // d, d]
        if kind == "olmoe":
            shapes[p + "self_attn.q_norm.weight"], shapes[p + "self_attn.k_norm.weight"] = [q], [kv]
        if kind == "gpt_oss":
            shapes[p + "self_attn.sinks"] = [c["num_attention_heads"]]
        qkv_bias = {"qwen2": True, "qwen2_moe": c.get("qkv_bias", True)}.get(kind)
        all_bias = c.get("attention_bias", kind == "gpt_oss")
        parts = [("self_attn.q_proj", q, h, qkv_bias or all_bias), ("self_attn.k_proj", kv, h, qkv_bias or all_bias),
                 ("self_attn.v_proj", kv, h, qkv_bias or all_bias), ("self_attn.o_proj", h, q, all_bias)]
        if kind in LATENT:
            parts = []
            shapes.update(latent_shapes(c, p + "self_attn."))
        mixture = mixture_shapes(c, i)
        shapes.update(mixture)
        if not mixture:
            bias = c.get("mlp_bias")
            parts += [("mlp.gate_proj", f, h, bias), ("mlp.up_proj", f, h, bias), ("mlp.down_proj", h, f, bias)]
        for name, out, inner, bias in parts:
            shapes[p + name + ".weight"] = [out, inner]
            if bias:
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


LATENT = ["deepseek_v2", "deepseek_v3"]
MIXTURES = ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss"] + LATENT
FAMILIES = ["llama", "gpt2", "mistral", "granite", "qwen2", "qwen3", "gemma2", "cohere"] + MIXTURES


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


def extend(directory, tensors):
    """Adds tensors to a checkpoint."""
    path = pathlib.Path(directory, "model.safetensors")
    header, data = split(path.read_bytes())
    more, end = split(safetensors(tensors, seed=1)), len(data)
    del more[0]["__metadata__"]
    for name, info in more[0].items():
        header[name] = {**info, "data_offsets": [end + offset for offset in info["data_offsets"]]}
    path.write_bytes(wrap(json.dumps(header).encode(), data + more[1]))


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
