# UNSUPPORTED: sanitizers
# RUN: %python %s %t %source
"""Every family with random weights, compiled and run: all attention fused, the interpreter's logits, the same bits."""
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
from familyconfigs import FAMILIES, LONG, config_of

# Families, and what changes the structure of some.
MODELS = [(family, {}) for family in FAMILIES] + [
    ("bloom", {"n_head": 6, "apply_residual_connection_post_layernorm": True}),
    ("falcon", {"alibi": True, "parallel_attn": False, "multi_query": False}),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True}),
    ("gpt_bigcode", {"multi_query": False}),
    ("gpt_neox", {"use_parallel_residual": False}),
    ("mpt", {"n_heads": 4, "attn_config": {"clip_qkv": 0.5}}),
    ("opt", {"do_layer_norm_before": False, "word_embed_proj_dim": 8}),
    ("stablelm", {"qk_layernorm": True, "use_parallel_residual": True}),
    ("phi", {"qk_layernorm": True}),
    ("phi3", {"rope_parameters": LONG, "max_position_embeddings": 64, "original_max_position_embeddings": 32}),
    ("phi3", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 14}),
    ("chatglm", {"multi_query_attention": False, "rmsnorm": False, "add_bias_linear": True}),
]


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")
    return done


def logits(model, ids, count, *arguments):
    file = folder / "logits.f32"
    run("ingot-run", model, "--ids=" + ",".join(map(str, ids)), "-n", count, f"--logits={file}", "--ignore-eos", *arguments)
    return file.read_bytes()


def floats(data, kind="f"):
    values = array.array(kind)
    values.frombytes(data)
    return values


def read_npy(path):
    data = path.read_bytes()
    size = int.from_bytes(data[8:10], "little")
    return floats(data[10 + size:], "f" if b"<f4" in data[:10 + size] else "d")


problems = []
for number, (family, changes) in enumerate(MODELS):
    name = f"{family} {changes or ''}".strip()
    checkpoint = folder / f"model{number}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "config.json").write_text(json.dumps({**config_of(family), **changes}))
    run("ingot-import-test", "--invent", checkpoint)
    model, graph, expected = (folder / f"{number}.{end}" for end in ("ingot", "mlir", "npy"))
    try:
        run("ingot-compile", checkpoint, "-o", model, "--quiet", "--activations=f32", TARGET, "--require-fused")
        ids = [(7 * i * i + 3 * i + 1) % 11 for i in range(15)]
        run("ingot-compile", checkpoint, "--compile-to=input", "--activations=f32", "-o", graph)
        run("ingot-opt", graph, f"--tfm-interpret=tokens={','.join(map(str, ids))} parameters={checkpoint} outputs={expected}",
            "-o", "/dev/null")
        whole = logits(model, ids, 0)
        want, got = read_npy(expected), floats(whole)
        error = distance(got, want)
        if not error < 2e-5 * max(map(abs, want)):
            problems.append(f"{name}: logits are off by {error:.1e}")
        for arguments in (["--threads=1"], ["--prefill-chunk=1"], ["--prefill-chunk=4", "--threads=2"]):
            if logits(model, ids, 0, *arguments) != whole:
                problems.append(f"{name}: other bits with {' '.join(arguments)}")
    except RuntimeError as error:
        problems.append(f"{name}: {error}")

print("\n".join(problems) or f"{len(MODELS)} models, all as they should be")
sys.exit(bool(problems))
