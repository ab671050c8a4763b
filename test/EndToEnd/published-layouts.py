# RUN: %python %s %t %source
"""ChatGLM and the first Qwen as they were published: the logits of the same weights in the library's layout.

GLM and Qwen 2 checkpoints with random weights are written twice: as the library names and divides them, and with the
fused tensors and the field names of the published files.
"""
import array
import json
import pathlib
import subprocess
import sys

folder, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
# One target is enough here: the others have tests of their own.
TARGET = "--target=" + ("x86-64-v4" if "avx512vl" in open("/proc/cpuinfo").read() else "x86-64-v3")
sys.path.insert(0, str(source / "test/Import/Inputs"))
from compare import distance
import checkpoint

V, H, F, LAYERS, HEADS, KV, D = 23, 24, 20, 2, 6, 2, 8
SIZES = {"hidden_size": H, "num_attention_heads": HEADS}
GLM = {"model_type": "glm", "architectures": ["GlmForCausalLM"], **SIZES, "vocab_size": V, "intermediate_size": F,
       "num_hidden_layers": LAYERS, "num_key_value_heads": KV, "head_dim": D, "rms_norm_eps": 1.5625e-07,
       "max_position_embeddings": 64, "hidden_act": "silu", "attention_bias": True, "tie_word_embeddings": False,
       "rope_parameters": {"rope_theta": 10000.0, "partial_rotary_factor": 0.5, "rope_type": "default"}}
CHATGLM = {"model_type": "chatglm", "architectures": ["ChatGLMModel"], **SIZES, "padded_vocab_size": V,
           "ffn_hidden_size": F, "num_layers": LAYERS, "kv_channels": D, "multi_query_attention": True,
           "multi_query_group_num": KV, "layernorm_epsilon": 1.5625e-07, "seq_length": 64, "rmsnorm": True,
           "add_qkv_bias": True, "add_bias_linear": False, "post_layer_norm": True, "tie_word_embeddings": False,
           "apply_residual_connection_post_layernorm": False, "apply_query_key_layer_scaling": True,
           "attention_softmax_in_fp32": True, "bias_dropout_fusion": True, "original_rope": True, "pre_seq_len": None,
           "prefix_projection": False, "quantization_bit": 0, "fp32_residual_connection": False, "rope_ratio": 1}
QWEN2 = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], **SIZES, "vocab_size": V, "intermediate_size": F,
         "num_hidden_layers": LAYERS, "num_key_value_heads": HEADS, "rms_norm_eps": 1e-06, "max_position_embeddings": 64,
         "hidden_act": "silu", "tie_word_embeddings": False, "use_sliding_window": False,
         "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}
QWEN = {"model_type": "qwen", "architectures": ["QWenLMHeadModel"], **SIZES, "vocab_size": V, "intermediate_size": 2 * F,
        "num_hidden_layers": LAYERS, "kv_channels": H // HEADS, "layer_norm_epsilon": 1e-06, "no_bias": True,
        "max_position_embeddings": 64, "seq_length": 64, "rotary_emb_base": 10000, "rotary_pct": 1.0, "use_dynamic_ntk": True,
        "use_logn_attn": True, "scale_attn_weights": True, "tie_word_embeddings": False, "bf16": False, "fp16": False,
        "fp32": False, "onnx_safe": None, "use_flash_attn": "auto", "emb_dropout_prob": 0.0, "attn_dropout_prob": 0.0}
problems = []


def glm_shapes():
    q, kv = HEADS * D, KV * D
    shapes = {"model.embed_tokens.weight": [V, H], "model.norm.weight": [H], "lm_head.weight": [V, H]}
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        shapes.update({p + "input_layernorm.weight": [H], p + "post_attention_layernorm.weight": [H],
                       p + "self_attn.q_proj.weight": [q, H], p + "self_attn.k_proj.weight": [kv, H],
                       p + "self_attn.v_proj.weight": [kv, H], p + "self_attn.q_proj.bias": [q],
                       p + "self_attn.k_proj.bias": [kv], p + "self_attn.v_proj.bias": [kv],
                       p + "self_attn.o_proj.weight": [H, q], p + "mlp.gate_up_proj.weight": [2 * F, H],
                       p + "mlp.down_proj.weight": [H, F]})
    return shapes


def qwen2_shapes():
    shapes = {"model.embed_tokens.weight": [V, H], "model.norm.weight": [H], "lm_head.weight": [V, H]}
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        shapes.update({p + "input_layernorm.weight": [H], p + "post_attention_layernorm.weight": [H],
                       **{p + f"self_attn.{n}_proj.weight": [H, H] for n in "qkvo"},
                       **{p + f"self_attn.{n}_proj.bias": [H] for n in "qkv"},
                       p + "mlp.gate_proj.weight": [F, H], p + "mlp.up_proj.weight": [F, H],
                       p + "mlp.down_proj.weight": [H, F]})
    return shapes


# Published name: the library's names whose rows it holds, in order; '*' is the number of the layer.
QKV = ["model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj"]
CHATGLM_NAMES = {
    "transformer.embedding.word_embeddings": ["model.embed_tokens"],
    "transformer.encoder.final_layernorm": ["model.norm"],
    "transformer.output_layer": ["lm_head"],
    "transformer.encoder.layers.*.input_layernorm": ["model.layers.*.input_layernorm"],
    "transformer.encoder.layers.*.post_attention_layernorm": ["model.layers.*.post_attention_layernorm"],
    "transformer.encoder.layers.*.self_attention.query_key_value": QKV,
    "transformer.encoder.layers.*.self_attention.dense": ["model.layers.*.self_attn.o_proj"],
    "transformer.encoder.layers.*.mlp.dense_h_to_4h": ["model.layers.*.mlp.gate_up_proj"],
    "transformer.encoder.layers.*.mlp.dense_4h_to_h": ["model.layers.*.mlp.down_proj"],
}
QWEN_NAMES = {
    "transformer.wte": ["model.embed_tokens"], "transformer.ln_f": ["model.norm"], "lm_head": ["lm_head"],
    "transformer.h.*.ln_1": ["model.layers.*.input_layernorm"],
    "transformer.h.*.ln_2": ["model.layers.*.post_attention_layernorm"],
    "transformer.h.*.attn.c_attn": QKV, "transformer.h.*.attn.c_proj": ["model.layers.*.self_attn.o_proj"],
    "transformer.h.*.mlp.w1": ["model.layers.*.mlp.up_proj"], "transformer.h.*.mlp.w2": ["model.layers.*.mlp.gate_proj"],
    "transformer.h.*.mlp.c_proj": ["model.layers.*.mlp.down_proj"],
}


def fused(content, names):
    """A file with the published names, from one with the library's."""
    header, data = checkpoint.split(content)
    out, joined = {}, b""
    for name, parts in names.items():
        for i in range(LAYERS if "*" in name else 1):
            for end in (".weight", ".bias"):
                entries = [header.get(part.replace("*", str(i)) + end) for part in parts]
                if not all(entries):
                    continue
                begin = len(joined)
                joined += b"".join(data[slice(*entry["data_offsets"])] for entry in entries)
                shape = [sum(entry["shape"][0] for entry in entries), *entries[0]["shape"][1:]]
                out[name.replace("*", str(i)) + end] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(joined)]}
    return checkpoint.wrap(json.dumps(out).encode(), joined)


def logits(name, config, content):
    directory, model, file = folder / name, folder / f"{name}.ingot", folder / f"{name}.f32"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "model.safetensors").write_bytes(content)
    ids = ",".join(str((5 * i * i + i) % V) for i in range(19))
    for command in (["ingot-compile", directory, "-o", model, "--quiet", "--activations=f32", TARGET, "--strict", "--require-fused"],
                    ["ingot-run", model, f"--ids={ids}", "-n", 0, f"--logits={file}"]):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            problems.append(f"{name}: {done.stderr.strip()[-600:]}")
            return array.array("f")
    values = array.array("f")
    values.frombytes(file.read_bytes())
    return values


for name, config, shapes, published, names in (("glm", GLM, glm_shapes(), CHATGLM, CHATGLM_NAMES),
                                               ("qwen2", QWEN2, qwen2_shapes(), QWEN, QWEN_NAMES)):
    content = checkpoint.safetensors({n: ("F32", s) for n, s in shapes.items()})
    one, other = logits(name, config, content), logits(published["model_type"], published, fused(content, names))
    worst = max(map(abs, one), default=0)
    if len(one) != 19 * V or not distance(one, other) <= 1e-6 * worst:
        problems.append(f"{published['model_type']}: other logits than {name}")
print("\n".join(problems) or "the same logits")
sys.exit(bool(problems))
