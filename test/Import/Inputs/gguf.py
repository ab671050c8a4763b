"""Writes GGUF files, and turns small checkpoints in the layout of Hugging Face into GGUF as llama.cpp's converter does.

The converter leaves weights otherwise than it finds them: rows of queries and keys are permuted where an architecture
rotates neighbours, norms of Gemma and Nemotron get their 1, Conv1D matrices are transposed, fused projections become
queries, keys and values below each other, matrices of experts one tensor, shapes are written innermost first.
"""
import json
import math
import pathlib
import struct

import checkpoint

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30, "MXFP4": 39}
E2M1 = [sign * x for sign in (1, -1) for x in (0, 0.5, 1, 1.5, 2, 3, 4, 6)]


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return string(content)
    return struct.pack("<" + PACK[kind], content)


def pair(key, kind, content, count=None):
    """kind: a type, or (ARRAY, type)."""
    head = string(key)
    if isinstance(kind, tuple):
        count = len(content) if count is None else count
        return head + struct.pack("<IIQ", ARRAY, kind[1], count) + b"".join(value(kind[1], c) for c in content)
    return head + struct.pack("<I", kind) + value(kind, content)


def write(path, keys, tensors, version=3, alignment=32):
    """keys: (key, kind, content); tensors: name -> (type, dimensions with the innermost first, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(pair(*key) for key in keys)
    data = b""
    for name, (kind, dims, content) in tensors.items():
        head += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        head += struct.pack("<IQ", TYPES.get(kind, kind), len(data))
        data += content + b"\0" * (-len(content) % alignment)
    head += b"\0" * (-len(head) % alignment)
    pathlib.Path(path).write_bytes(head + data)


def half(x):
    return struct.unpack("<e", struct.pack("<e", x))[0]


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def quantise(kind, rows):
    """Blocks of rows of numbers, and the numbers that they mean."""
    data, means = b"", []
    for row in rows:
        for i in range(0, len(row), 32):
            block = row[i:i + 32]
            if kind == "MXFP4":
                largest = max(map(abs, block))
                exponent = math.floor(math.log2(largest)) - 2 if largest else -127
                d = 2.0 ** exponent
                codes = [min(range(16), key=lambda code: abs(E2M1[code] - x / d)) for x in block]
                data += bytes([exponent + 127]) + bytes(codes[j] | codes[j + 16] << 4 for j in range(16))
                means += [d * E2M1[code] for code in codes]
                continue
            if kind == "Q8_0":
                d = half(max(map(abs, block)) / 127)
                q = [max(-127, min(127, round(x / d))) if d else 0 for x in block]
                data += struct.pack("<e32b", d, *q)
            else:
                d = half(max(map(abs, block)) / 7)
                q = [max(-8, min(7, round(x / d))) if d else 0 for x in block]
                data += struct.pack("<e", d) + bytes((q[j] + 8) | (q[j + 16] + 8) << 4 for j in range(16))
            means += [single(d * n) for n in q]
    return data, means


ARCHITECTURES = {"mistral": "llama", "mixtral": "llama", "cohere": "command-r", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe",
                 "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "gpt_oss": "gpt-oss", "gemma3_text": "gemma3",
                 "glm": "chatglm", "gpt_bigcode": "starcoder", "gpt_neox": "gptneox", "phi": "phi2"}
# Architectures that rotate neighbours, and whose checkpoints rotate halves.
PERMUTED = ("llama", "granite", "olmo", "smollm3")
# The end of a name in a layer, and the role; what is not here is longer than its neighbours or made below.
LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_layernorm": "attn_q_norm", "self_attn.k_layernorm": "attn_k_norm", "self_attn.qkv_proj": "attn_qkv",
    "self_attn.dense": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up", "post_attention_layernorm": "ffn_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
    "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down", "mlp.fc_in": "ffn_up", "mlp.fc_out": "ffn_down", "attn.q_proj": "attn_q",
    "attn.k_proj": "attn_k", "attn.v_proj": "attn_v", "attn.out_proj": "attn_output", "attention.query_key_value": "attn_qkv",
    "self_attention.query_key_value": "attn_qkv", "self_attn.query_key_value": "attn_qkv", "attention.dense": "attn_output",
    "self_attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down",
    "ln_attn": "attn_norm_2", "ln_mlp": "attn_norm", "norm_1": "attn_norm", "norm_2": "ffn_norm", "attn.Wqkv": "attn_qkv", "attn.q_ln": "attn_q_norm", "attn.k_ln": "attn_k_norm",
    "ffn.up_proj": "ffn_up", "ffn.down_proj": "ffn_down", "self_attn.q_a_proj": "attn_q_a", "self_attn.q_b_proj": "attn_q_b",
    "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.kv_b_proj": "attn_kv_b", "mlp.gate": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp", "mlp.router": "ffn_gate_inp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    **{f"mlp.shared_expert{s}.{n}_proj": f"ffn_{n}_shexp" for s in ("", "s") for n in ("gate", "up", "down")}}
AFTER = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
         "post_feedforward_layernorm": "post_ffw_norm"}
GLM4 = {"post_self_attn_layernorm": "post_attention_norm", "post_mlp_layernorm": "post_ffw_norm"}
OWN = {"gemma2": AFTER, "gemma3_text": AFTER, "olmo2": AFTER, "exaone4": AFTER, "gpt_oss": AFTER, "glm4": GLM4}
TOP = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "wte": "token_embd",
       "wpe": "position_embd", "ln_f": "output_norm", "embed_in": "token_embd", "embed_out": "output",
       "final_layer_norm": "output_norm", "final_layernorm": "output_norm", "norm_f": "output_norm",
       "word_embeddings": "token_embd", "word_embeddings_layernorm": "token_embd_norm"}
EXPERT = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down", "w1": "gate", "w3": "up", "w2": "down"}


def first(config, *fields):
    return next((config[field] for field in fields if config.get(field) is not None), None)


def rename(name, family):
    for prefix in ("model.", "transformer.", "gpt_neox."):
        name = name.removeprefix(prefix)
    stem, _, end = name.rpartition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{end}"
    _, layer, stem = stem.split(".", 2)
    return f"blk.{layer}.{({**LAYER, **OWN.get(family, {})})[stem]}.{end}"


def sizes(c):
    """Heads, heads of keys, size of a head."""
    heads = first(c, "num_attention_heads", "n_head", "n_heads")
    kv = first(c, "num_key_value_heads", "num_kv_heads") or heads
    if c["model_type"] in ("falcon", "gpt_bigcode") and c.get("multi_query") and not c.get("new_decoder_architecture"):
        kv = 1
    hidden = first(c, "hidden_size", "n_embd", "d_model")
    return heads, kv, c.get("head_dim") or hidden // heads


def rotary_of(c):
    """The parameters of most layers, and of those with a window."""
    rope = c.get("rope_parameters") or {}
    return rope.get("full_attention", rope), rope.get("sliding_attention", {})


def keys_of(c, newer):
    family = c["model_type"]
    arch = ARCHITECTURES.get(family, family)
    keys = [("general.architecture", STRING, arch), ("general.name", STRING, "made up")]
    heads, kv, size = sizes(c)
    hidden = first(c, "hidden_size", "n_embd", "d_model")

    def put(name, kind, value):
        if value is not None:
            keys.append((f"{arch}.{name}", kind, value))

    def add(name, kind, *fields, change=lambda x: x):
        value = first(c, *fields)
        put(name, kind, None if value is None else change(value))

    add("context_length", U32, "max_position_embeddings", "n_positions", "seq_length", "max_seq_len")
    put("embedding_length", U32, hidden)
    add("block_count", U32, "num_hidden_layers", "n_layer", "n_layers")
    put("feed_forward_length", U32, first(c, "intermediate_size", "n_inner", "ffn_hidden_size") or 4 * hidden)
    put("attention.head_count", U32, heads)
    latent = "kv_lora_rank" in c
    put("attention.head_count_kv", U32, 1 if latent and newer else kv)
    if latent:
        rope, key = c["qk_rope_head_dim"], c["qk_nope_head_dim"] + c["qk_rope_head_dim"]
        add("attention.kv_lora_rank", U32, "kv_lora_rank")
        add("attention.q_lora_rank", U32, "q_lora_rank")
        put("rope.dimension_count", U32, rope)
        put("attention.key_length", U32, c["kv_lora_rank"] + rope if newer else key)
        put("attention.value_length", U32, c["kv_lora_rank"] if newer else c["v_head_dim"])
        if newer:
            put("attention.key_length_mla", U32, key)
            put("attention.value_length_mla", U32, c["v_head_dim"])
    else:
        add("attention.key_length", U32, "head_dim")
        add("attention.value_length", U32, "head_dim")
    # The converter writes what a config calls norm_eps under this key, whatever the norm.
    add("attention.layer_norm_rms_epsilon", F32, "rms_norm_eps", "norm_eps")
    if "rms_norm_eps" not in c or family == "olmo":
        put("attention.layer_norm_epsilon", F32,
            1e-5 if family == "olmo" else first(c, "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon"))
    add("vocab_size", U32, "vocab_size")
    full, local = rotary_of(c)
    put("rope.freq_base", F32, full.get("rope_theta"))
    put("rope.freq_base_swa", F32, local.get("rope_theta"))
    kind = full.get("rope_type", "default")
    if full:
        put("rope.scaling.type", STRING, kind if kind in ("linear", "yarn", "longrope") else "none")
    if kind in ("linear", "yarn"):
        put("rope.scaling.factor", F32, full["factor"])
    if kind == "yarn":
        put("rope.scaling.yarn_attn_factor", F32, full.get("attention_factor"))
        put("rope.scaling.yarn_beta_fast", F32, full.get("beta_fast"))
        put("rope.scaling.yarn_beta_slow", F32, full.get("beta_slow"))
    if kind in ("yarn", "longrope"):
        put("rope.scaling.original_context_length", U32, full["original_max_position_embeddings"])
    if kind == "longrope":
        put("rope.scaling.attn_factor", F32,
            math.sqrt(1 + math.log(c["max_position_embeddings"] / full["original_max_position_embeddings"])
                      / math.log(full["original_max_position_embeddings"])))
    if full.get("mscale_all_dim"):
        put("rope.scaling.yarn_log_multiplier", F32, 0.1 * full["mscale_all_dim"])
    if not latent:
        partial = full.get("partial_rotary_factor")
        put("rope.dimension_count", U32, c.get("rotary_dim") or (int(size * partial) if partial else c.get("head_dim")))
    windows = c.get("sliding_window") and (c.get("use_sliding_window", True))
    if windows:
        add("attention.sliding_window", U32, "sliding_window")
        if "layer_types" in c:
            put("attention.sliding_window_pattern", (ARRAY, BOOL), [t == "sliding_attention" for t in c["layer_types"]])
    add("use_parallel_residual", BOOL, "use_parallel_residual")
    attention = c.get("attn_config") or c
    put("attention.clamp_kqv", F32, attention.get("clip_qkv"))
    put("attention.max_alibi_bias", F32, 8.0 if family == "mpt" else None)
    add("attn_logit_softcapping", F32, "attn_logit_softcapping")
    add("final_logit_softcapping", F32, "final_logit_softcapping")
    add("attention.scale", F32, "attention_multiplier")
    add("attention.scale", F32, "query_pre_attn_scalar", change=lambda x: 1 / math.sqrt(x))
    add("residual_scale", F32, "residual_multiplier")
    add("embedding_scale", F32, "embedding_multiplier")
    add("logit_scale", F32, "logits_scaling", "logit_scale")
    # Experts.
    add("expert_count", U32, "num_local_experts", "num_experts", "n_routed_experts")
    add("expert_used_count", U32, "num_experts_per_tok")
    add("expert_feed_forward_length", U32, "moe_intermediate_size")
    add("expert_shared_feed_forward_length", U32, "shared_expert_intermediate_size")
    add("expert_shared_count", U32, "n_shared_experts")
    add("expert_weights_scale", F32, "routed_scaling_factor")
    add("leading_dense_block_count", U32, "first_k_dense_replace")
    if c.get("topk_method") == "group_limited_greedy" or family == "deepseek_v3":
        add("expert_group_count", U32, "n_group")
        add("expert_group_used_count", U32, "topk_group")
    if family == "deepseek_v3":
        put("expert_gating_func", U32, 2)
        add("expert_weights_norm", BOOL, "norm_topk_prob")
    keys.append(("tokenizer.ggml.bos_token_id", U32, c.get("bos_token_id", 1)))
    keys.append(("tokenizer.ggml.eos_token_id", U32, c.get("eos_token_id", 2)))
    return keys


def read_floats(directory):
    header, data = checkpoint.split((pathlib.Path(directory) / "model.safetensors").read_bytes())
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        yield name, info["shape"], list(struct.unpack(f"<{(end - begin) // 4}f", data[begin:end]))


def take_rows(shape, numbers, order):
    """The rows of these numbers."""
    columns = shape[1] if len(shape) > 1 else 1
    return [len(order), *shape[1:]], [x for row in order for x in numbers[row * columns:(row + 1) * columns]]


def neighbours(rows, heads):
    """Halves of every head become neighbours."""
    size = rows // heads
    return [h * size + half * (size // 2) + i for h in range(heads) for i in range(size // 2) for half in (0, 1)]


def ungrouped(groups, share, size):
    """Rows of groups, each with its queries (`share`), a key and a value of `size`: all queries, keys, values."""
    each = share + 2 * size
    parts = (range(share), range(share, share + size), range(share + size, each))
    return [g * each + i for part in parts for g in range(groups) for i in part]


def turned(shape, numbers):
    """The transpose of the last two dimensions."""
    rows, columns = shape[-2:]
    out = []
    for at in range(0, len(numbers), rows * columns):
        out += [numbers[at + i * columns + j] for j in range(columns) for i in range(rows)]
    return [*shape[:-2], columns, rows], out


class Arranger:
    """Tensors of a checkpoint as the converter writes them."""

    def __init__(self, config, newer):
        self.c, self.family, self.newer = config, config["model_type"], newer
        self.arch = ARCHITECTURES.get(self.family, self.family)
        self.out, self.stacks = {}, {}

    def stack(self, name, number, shape, numbers):
        """One of several tensors that become one."""
        self.stacks.setdefault(name, {})[number] = (shape, numbers)

    def add(self, name, shape, numbers):
        heads, kv, size = sizes(self.c)
        stem, _, end = name.rpartition(".")
        words = name.split(".")
        if ".experts." in name and words[-2] in EXPERT:
            at = words.index("experts")
            return self.stack(f"blk.{words[at - 2]}.ffn_{EXPERT[words[-2]]}_exps.weight", int(words[at + 1]), shape, numbers)
        if ".norms." in name:
            return self.stack(f"blk.{words[2]}.attn_{words[4][0]}_norm.weight", int(words[6]), shape, numbers)
        if name.endswith("e_score_correction_bias"):
            self.out[f"blk.{words[2]}.exp_probs_b.bias"] = shape, numbers
            return
        if name.endswith("self_attn.sinks"):
            self.out[f"blk.{words[2]}.attn_sinks.weight"] = shape, numbers
            return
        if ".experts." in name:  # gpt-oss: [E, in, out], gate and up alternate
            if not name.endswith("_bias"):
                shape, numbers = turned(shape, numbers)
            kind = "bias" if name.endswith("_bias") else "weight"
            if "gate_up" not in name:
                self.out[f"blk.{words[2]}.ffn_down_exps.{kind}"] = shape, numbers
                return
            experts, rows = shape[:2]
            for part, matrix in enumerate(("gate", "up")):
                order = [e * rows + i for e in range(experts) for i in range(part, rows, 2)]
                _, chosen = take_rows([experts * rows, *shape[2:]], numbers, order)
                self.out[f"blk.{words[2]}.ffn_{matrix}_exps.{kind}"] = [experts, rows // 2, *shape[2:]], chosen
            return
        new = rename(name, self.family)
        role = new.split(".")[-2]
        if self.family == "gpt2" and len(shape) == 2 and "blk" in new:
            shape, numbers = turned(shape, numbers)
        if self.arch in PERMUTED and role in ("attn_q", "attn_k"):
            shape, numbers = take_rows(shape, numbers, neighbours(shape[0], heads if role == "attn_q" else kv))
        if role == "attn_qkv" and self.family in ("gpt_neox", "bloom", "persimmon", "falcon") or (
                role == "attn_qkv" and self.family == "gpt_bigcode" and not self.c.get("multi_query")):
            groups = kv if self.family == "falcon" else heads
            shape, numbers = take_rows(shape, numbers, ungrouped(groups, heads // groups * size, size))
        if self.family in ("gemma", "gemma2", "gemma3_text", "nemotron") and "norm" in role and end == "weight":
            numbers = [single(x + 1) for x in numbers]
        if role == "attn_kv_b" and self.newer:
            rank, plain, value = self.c["kv_lora_rank"], self.c["qk_nope_head_dim"], self.c["v_head_dim"]
            rows = [(h * (plain + value), h * (plain + value) + plain) for h in range(heads)]
            _, keys = take_rows(shape, numbers, [r + i for r, _ in rows for i in range(plain)])
            _, values = take_rows(shape, numbers, [r + i for _, r in rows for i in range(value)])
            self.out[new.replace("kv_b", "k_b")] = turned([heads, plain, rank], keys)
            self.out[new.replace("kv_b", "v_b")] = [heads, value, rank], values
            return
        if role == "ffn_gate_inp_shexp":
            shape = shape[1:]
        self.out[new] = shape, numbers

    def finish(self):
        for name, parts in self.stacks.items():
            self.out[name] = [len(parts), *parts[0][0]], [x for i in range(len(parts)) for x in parts[i][1]]
        full, _ = rotary_of(self.c)
        if full.get("rope_type") == "longrope":
            for kind in ("short", "long"):
                factors = full[kind + "_factor"]
                self.out[f"rope_factors_{kind}.weight"] = [len(factors)], factors
        return self.out


def convert(directory, path, kind="F32", version=3, parts=1, more_keys=(), drop=(), newer=True, wide=()):
    """The checkpoint of `directory`, in F32, as a GGUF file; matrices whose rows are whole blocks in `kind`. The
    checkpoint's weights are replaced by what the blocks mean. `newer`: as the later converters write latent attention; roles
    in `wide` stay F32."""
    directory = pathlib.Path(directory)
    config = json.loads((directory / "config.json").read_text())
    arranger, kept = Arranger(config, newer), {}
    blocks = lambda shape: kind != "F32" and len(shape) > 1 and shape[-1] % 32 == 0 and config["model_type"] != "gpt2"
    rows_of = lambda shape, numbers: [numbers[i:i + shape[-1]] for i in range(0, len(numbers), shape[-1])]
    for name, shape, numbers in read_floats(directory):
        if blocks(shape):
            _, numbers = quantise(kind, rows_of(shape, numbers))
        kept[name] = (shape, numbers)
        arranger.add(name, shape, numbers)
    tensors = {}
    for name, (shape, numbers) in arranger.finish().items():
        if blocks(shape) and not any(role in name for role in ("ffn_gate_inp", "attn_k_b", *wide)):
            content, stored = quantise(kind, rows_of(shape, numbers))[0], kind
        else:
            content, stored = struct.pack(f"<{len(numbers)}f", *numbers), "F32"
        tensors[name] = (stored, shape[::-1], content)
    header, data = {}, b""
    for name, (shape, numbers) in kept.items():
        content = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    (directory / "model.safetensors").write_bytes(checkpoint.wrap(json.dumps(header).encode(), data))

    keys = [key for key in keys_of(config, newer) if key[0] not in drop] + list(more_keys)
    if parts == 1:
        return write(path, keys, tensors, version)
    names = list(tensors)
    for i in range(parts):
        split = [("split.no", U16, i), ("split.count", U16, parts), ("split.tensors.count", I32, len(names))]
        part = {name: tensors[name] for name in names[i::parts]}
        write(f"{path}-{i + 1:05}-of-{parts:05}.gguf", (keys if i == 0 else []) + split, part, version)
