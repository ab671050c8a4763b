"""Writes GGUF files, and turns small checkpoints in the layout of Hugging Face into GGUF as llama.cpp's converter does.

The converter leaves weights otherwise than it finds them: rows of queries and keys are permuted where an architecture
rotates neighbours, norms of Gemma get their 1, Conv1D matrices are transposed, shapes are written innermost first.
"""
import json
import math
import pathlib
import struct

import checkpoint

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30}


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


ARCHITECTURES = {"mistral": "llama", "cohere": "command-r"}
# Architectures that rotate neighbours, and whose checkpoints rotate halves.
PERMUTED = ("llama", "granite")
LAYER = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "post_attention_layernorm": "ffn_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm",
         "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
GEMMA = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
         "post_feedforward_layernorm": "post_ffw_norm"}
TOP = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "wte": "token_embd",
       "wpe": "position_embd", "ln_f": "output_norm"}


def rename(name, family):
    name = name.removeprefix("model.").removeprefix("transformer.")
    stem, _, end = name.rpartition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{end}"
    _, layer, stem = stem.split(".", 2)
    return f"blk.{layer}.{({**LAYER, **GEMMA} if family == 'gemma2' else LAYER)[stem]}.{end}"


def keys_of(c):
    family = c["model_type"]
    arch = ARCHITECTURES.get(family, family)
    keys = [("general.architecture", STRING, arch), ("general.name", STRING, "made up")]

    def add(name, kind, *fields, change=lambda x: x):
        for field in fields:
            if c.get(field) is not None:
                keys.append((f"{arch}.{name}", kind, change(c[field])))
                return

    add("context_length", U32, "max_position_embeddings", "n_positions")
    add("embedding_length", U32, "hidden_size", "n_embd")
    add("block_count", U32, "num_hidden_layers", "n_layer")
    add("feed_forward_length", U32, "intermediate_size", "n_inner")
    if family == "gpt2" and c.get("n_inner") is None:
        keys.append(("gpt2.feed_forward_length", U32, 4 * c["n_embd"]))
    add("attention.head_count", U32, "num_attention_heads", "n_head")
    add("attention.head_count_kv", U32, "num_key_value_heads")
    add("attention.key_length", U32, "head_dim")
    add("attention.value_length", U32, "head_dim")
    add("attention.layer_norm_rms_epsilon", F32, "rms_norm_eps")
    add("attention.layer_norm_epsilon", F32, "layer_norm_eps", "layer_norm_epsilon")
    add("vocab_size", U32, "vocab_size")
    if "rope_parameters" in c:
        keys.append((f"{arch}.rope.freq_base", F32, c["rope_parameters"]["rope_theta"]))
    if family in ("gemma2",):
        add("attention.sliding_window", U32, "sliding_window")
    add("attn_logit_softcapping", F32, "attn_logit_softcapping")
    add("final_logit_softcapping", F32, "final_logit_softcapping")
    add("attention.scale", F32, "attention_multiplier")
    add("attention.scale", F32, "query_pre_attn_scalar", change=lambda x: 1 / math.sqrt(x))
    add("residual_scale", F32, "residual_multiplier")
    add("embedding_scale", F32, "embedding_multiplier")
    add("logit_scale", F32, "logits_scaling", "logit_scale")
    add("rope.dimension_count", U32, "head_dim")
    keys.append(("tokenizer.ggml.bos_token_id", U32, c["bos_token_id"]))
    keys.append(("tokenizer.ggml.eos_token_id", U32, c["eos_token_id"]))
    return keys


def read_floats(directory):
    header, data = checkpoint.split((pathlib.Path(directory) / "model.safetensors").read_bytes())
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        yield name, info["shape"], list(struct.unpack(f"<{(end - begin) // 4}f", data[begin:end]))


def permute(numbers, rows, columns, heads):
    """Halves of every head become neighbours."""
    size = rows // heads
    order = [h * size + half * (size // 2) + i for h in range(heads) for i in range(size // 2) for half in (0, 1)]
    return [x for row in order for x in numbers[row * columns:(row + 1) * columns]]


def convert(directory, path, kind="F32", version=3, parts=1, more_keys=(), drop=()):
    """The checkpoint of `directory`, in F32, as a GGUF file; matrices whose rows are whole blocks in `kind`. The
    checkpoint's weights are replaced by what the blocks mean."""
    directory = pathlib.Path(directory)
    config = json.loads((directory / "config.json").read_text())
    family, heads = config["model_type"], config.get("num_attention_heads", config.get("n_head"))
    permuted = ARCHITECTURES.get(family, family) in PERMUTED
    tensors, kept = {}, {}
    for name, shape, numbers in read_floats(directory):
        new = rename(name, family)
        rows, columns = shape[0], shape[1] if len(shape) > 1 else 1
        stored = kind if kind != "F32" and len(shape) == 2 and columns % 32 == 0 and family != "gpt2" else "F32"
        if stored != "F32":
            _, numbers = quantise(stored, [numbers[i * columns:(i + 1) * columns] for i in range(rows)])
        kept[name] = ("F32", shape, numbers)
        if family == "gpt2" and len(shape) == 2 and "blk" in new:
            numbers = [numbers[i * columns + j] for j in range(columns) for i in range(rows)]
            shape = shape[::-1]
        if permuted and (".attn_q." in new or ".attn_k." in new):
            count = heads if ".attn_q." in new else config.get("num_key_value_heads") or heads
            numbers = permute(numbers, rows, columns, count)
        if family == "gemma2" and new.endswith("norm.weight"):
            numbers = [single(x + 1) for x in numbers]
        if stored == "F32":
            content = struct.pack(f"<{len(numbers)}f", *numbers)
        else:
            content, _ = quantise(stored, [numbers[i * columns:(i + 1) * columns] for i in range(rows)])
        tensors[new] = (stored, shape[::-1], content)
    header, data = {}, b""
    for name, (dtype, shape, numbers) in kept.items():
        content = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    (directory / "model.safetensors").write_bytes(checkpoint.wrap(json.dumps(header).encode(), data))

    keys = [key for key in keys_of(config) if key[0] not in drop] + list(more_keys)
    if parts == 1:
        return write(path, keys, tensors, version)
    names = list(tensors)
    for i in range(parts):
        split = [("split.no", U16, i), ("split.count", U16, parts), ("split.tensors.count", I32, len(names))]
        part = {name: tensors[name] for name in names[i::parts]}
        write(f"{path}-{i + 1:05}-of-{parts:05}.gguf", (keys if i == 0 else []) + split, part, version)
