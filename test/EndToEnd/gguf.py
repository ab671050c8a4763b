# RUN: %python %s %t %source %if sanitizers %{ 4 %}
"""Small checkpoints as Hugging Face directories and as GGUF files: the same logits, in several architectures and formats."""
import array
import json
import pathlib
import subprocess
import sys

folder, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(source / "test/Import/Inputs"))
from compare import distance
import checkpoint
import gguf

from familyconfigs import LONG, config_of

folder.mkdir(parents=True, exist_ok=True)
WIDE = dict(hidden_size=64, intermediate_size=96, head_dim=32, num_attention_heads=4, num_key_value_heads=2)
EXPERTS = dict(hidden_size=64, moe_intermediate_size=32, intermediate_size=96)
FALCON = dict(new_decoder_architecture=True, num_kv_heads=2, bias=True, ffn_hidden_size=96)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0, "beta_fast": 8,
        "beta_slow": 1}
HALF = dict(rope_parameters={"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 0.5})
SHARED = {"mscale": 1.0, "mscale_all_dim": 1.0}
CASES = [
    ("llama", {}, {}),
    ("llama", dict(rope_parameters={"rope_theta": 500.0, "rope_type": "default"}, attention_bias=True), dict(version=2)),
    ("llama", dict(tie_word_embeddings=True), dict(parts=3)),
    ("llama", WIDE, dict(kind="Q8_0")),
    ("llama", dict(rope_parameters=YARN), {}),
    ("llama", dict(rope_parameters={**YARN, "attention_factor": 1.7}), {}),
    ("mistral", {}, {}),
    ("qwen2", dict(use_sliding_window=False, hidden_size=64, intermediate_size=96, num_attention_heads=2), dict(kind="Q4_0")),
    ("qwen3", dict(use_sliding_window=False), {}),
    ("gemma", {}, {}),
    ("gemma2", {}, {}),
    ("gemma2", dict(WIDE), dict(kind="Q8_0", parts=2)),
    ("gemma3_text", {}, {}),
    ("granite", {}, {}),
    # Old files of MiniCPM do not say how it is scaled.
    ("granite", dict(embedding_multiplier=12.0, residual_multiplier=1.4 / 2 ** 0.5, attention_multiplier=0.5, logits_scaling=24 / 256),
     dict(renamed=(b"granite", b"minicpm"), drop=[f"granite.{name}" for name in ("embedding_scale", "residual_scale", "attention.scale", "logit_scale")])),
    ("gpt2", {}, {}),
    ("gpt2", dict(tie_word_embeddings=False), {}),
    ("gpt_bigcode", {}, {}),
    ("gpt_bigcode", dict(multi_query=False), {}),
    ("gptj", {}, {}),
    ("gpt_neox", {}, {}),
    ("gpt_neox", dict(use_parallel_residual=False), {}),
    ("cohere", {}, {}),
    ("cohere", dict(use_qk_norm=True), {}),
    ("cohere2", {}, {}),
    ("falcon", {}, {}),
    ("falcon", FALCON, {}),
    ("bloom", {}, {}),
    ("bloom", dict(n_head=6), {}),
    ("mpt", {}, {}),
    ("mpt", dict(n_heads=4, attn_config={"clip_qkv": 0.5}), {}),
    # Norms of queries and keys, which the code has that MPT was published with.
    ("mpt", dict(attn_config={"qk_ln": True}), dict(norms=["transformer.blocks.*.attn.q_ln", "transformer.blocks.*.attn.k_ln"])),
    ("olmo", dict(clip_qkv=0.5), {}),
    ("olmo2", {}, {}),
    ("exaone4", {}, {}),
    ("exaone4", dict(sliding_window=None, layer_types=["full_attention"] * 4), {}),
    ("stablelm", {}, {}),
    # The converter says so of models whose config says nothing, which are none of that kind.
    ("stablelm", {}, dict(drop=["stablelm.use_parallel_residual"], more_keys=[("stablelm.use_parallel_residual", gguf.BOOL, True)])),
    ("stablelm", dict(qk_layernorm=True, use_parallel_residual=True, use_qkv_bias=True), {}),
    ("starcoder2", dict(hidden_act="gelu_pytorch_tanh"), {}),
    ("phi", dict(num_key_value_heads=6, **HALF), {}),
    ("phi3", {}, {}),
    ("phi3", {"rope_parameters": LONG, "max_position_embeddings": 64, "original_max_position_embeddings": 32}, {}),
    ("persimmon", HALF, {}),
    ("nemotron", HALF, {}),
    ("smollm3", dict(use_sliding_window=False), {}),
    ("ernie4_5", {}, {}),
    ("glm", HALF, {}),
    ("glm4", HALF, {}),
    ("mixtral", {}, {}),
    ("mixtral", WIDE, dict(kind="Q8_0")),
    ("mixtral", WIDE, dict(kind="MXFP4")),
    ("mixtral", WIDE, dict(kind="Q8_0", wide=("ffn_up_exps",))),
    ("qwen2_moe", dict(use_sliding_window=False), {}),
    ("qwen2_moe", dict(use_sliding_window=False, num_attention_heads=4, **EXPERTS), dict(kind="Q4_0")),
    ("qwen3_moe", dict(use_sliding_window=False), {}),
    ("olmoe", dict(clip_qkv=None), {}),
    ("gpt_oss", dict(rope_parameters={**YARN, "truncate": False}), {}),
    ("deepseek_v2", {}, dict(newer=False)),
    ("deepseek_v2", dict(q_lora_rank=None, topk_method="greedy"), {}),
    ("deepseek_v2", dict(rope_parameters={**YARN, **SHARED}), {}),
    ("deepseek_v3", {}, {}),
    # Its config names its scores in the older spelling alone.
    ("deepseek_v3", {}, dict(drop=["deepseek2.expert_gating_func"])),
    ("deepseek_v3", dict(kv_lora_rank=32, q_lora_rank=32, v_head_dim=32, num_attention_heads=2, num_key_value_heads=2, **EXPERTS),
     dict(kind="Q8_0")),
    ("deepseek_v3", dict(kv_lora_rank=32, q_lora_rank=32, num_attention_heads=2, num_key_value_heads=2, **EXPERTS),
     dict(kind="Q8_0", newer=False)),
]
problems = []


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")
    return done


# More tokens than windows have, and a repetition that experts do not all see.
IDS = "3,1,4,1,5,9,2,6,5,3,5,8,9,7,9,3"


def interpreted(model, root, out):
    """The logits of the graph in f64."""
    run("ingot-compile", model, "--compile-to=input", "--activations=f32", "-o", f"{out}.mlir", "--strict", "--quiet")
    run("ingot-opt", f"{out}.mlir", f"--tfm-interpret=tokens={IDS} parameters={root} outputs={out}.npy", "-o", "/dev/null")
    data = pathlib.Path(f"{out}.npy").read_bytes()
    size = 10 + int.from_bytes(data[8:10], "little")
    values = array.array("f" if b"<f4" in data[:size] else "d")
    values.frombytes(data[size:])
    return values


def computed(model, out):
    """The logits of the artifact."""
    run("ingot-compile", model, "-o", f"{out}.ingot", "--quiet", "--strict", "--target=x86-64-v3", "--activations=f32")
    run("ingot-run", f"{out}.ingot", f"--ids={IDS}", "-n", "0", f"--logits={out}.f32")
    values = array.array("f")
    values.frombytes(pathlib.Path(f"{out}.f32").read_bytes())
    return values


def compare(name, expected, got, tolerance):
    scale = max(map(abs, expected))
    error = distance(got, expected)
    if not error <= tolerance * max(scale, 1) or scale < 1e-3:
        problems.append(f"{name}: logits are off by {error:.1e} of {scale:.1e}")


# One in how many is tried; all, if it is not said.
CASES = CASES[::int(sys.argv[3]) if len(sys.argv) > 3 else 1]
for number, (family, changes, options) in enumerate(CASES):
    name = f"{family} {changes} {options}"
    directory, stem = folder / f"{number}", folder / f"{number}"
    single = options.get("parts", 1) == 1
    try:
        if hasattr(checkpoint, family.upper()):
            checkpoint.write(directory, {**getattr(checkpoint, family.upper()), **changes})
        else:
            directory.mkdir(exist_ok=True)
            (directory / "config.json").write_text(json.dumps({**config_of(family), **changes}))
            run("ingot-import-test", "--invent", directory)
        for norm in options.pop("norms", []):
            checkpoint.extend(directory, {f"{norm.replace('*', str(i))}.weight": ("F32", [24]) for i in range(2)})
        one, other = options.pop("renamed", (b"", b""))
        gguf.convert(directory, f"{stem}.gguf" if single else stem, **options)
        if one:
            path = pathlib.Path(f"{stem}.gguf")
            path.write_bytes(path.read_bytes().replace(one, other))
        model = f"{stem}.gguf" if single else f"{stem}-00001-of-{options['parts']:05}.gguf"
        expected = interpreted(directory, directory, f"{stem}-directory")
        compare(name, expected, interpreted(model, folder, f"{stem}-gguf"), 1e-5)
        # Blocks have kernels of their own.
        if "kind" in options:
            compare(f"{name}, compiled", expected, computed(model, f"{stem}-gguf"), 1e-5)
    except (RuntimeError, KeyError) as error:
        problems.append(f"{name}: {error!r}")

print("\n".join(problems) or f"{len(CASES)} models, all as they should be")
sys.exit(bool(problems))
