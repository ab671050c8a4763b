# RUN: %python %s %t %source
"""Checkpoints whose weights have scales beside them: the logits of the numbers that they mean.

Random codes are written as published files store them (MXFP4 of gpt-oss, FP8 in blocks of DeepSeek), and once more as floats.
"""
import array
import json
import pathlib
import random
import struct
import subprocess
import sys

folder, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
# One target is enough here: the others have tests of their own.
TARGET = "--target=" + ("x86-64-v4" if "avx512vl" in open("/proc/cpuinfo").read() else "x86-64-v3")
sys.path.insert(0, str(source / "test/Import/Inputs"))
from compare import distance
import checkpoint

rng = random.Random(3)
E2M1 = [s * x for s in (1, -1) for x in (0, 0.5, 1, 1.5, 2, 3, 4, 6)]


def e4m3(code):
    exponent, mantissa = code >> 3 & 15, code & 7
    value = (8 + mantissa) * 2.0 ** (exponent - 10) if exponent else mantissa * 2.0 ** -9
    return -value if code & 128 else value


def floats(numbers):
    return struct.pack(f"<{len(numbers)}f", *numbers)


def mxfp4(name, shape):
    """Blocks and scales of matrices [E, K, N] as the file has them, [E, N, K], and the floats as the library names them."""
    experts, inner, rows = shape
    codes = [rng.randrange(16) for _ in range(experts * rows * inner)]
    scales = [rng.randrange(122, 126) for _ in range(experts * rows * inner // 32)]
    numbers = [E2M1[c] * 2.0 ** (scales[i // 32] - 127) for i, c in enumerate(codes)]
    turned = [numbers[(e * rows + n) * inner + k] for e in range(experts) for k in range(inner) for n in range(rows)]
    packed = bytes(codes[i] | codes[i + 1] << 4 for i in range(0, len(codes), 2))
    return ({name + "_blocks": ("U8", [experts, rows, inner // 32, 16], packed),
             name + "_scales": ("U8", [experts, rows, inner // 32], bytes(scales))},
            {name: ("F32", shape, floats(turned))})


def fp8(name, shape, block):
    rows, columns = shape
    codes = [rng.randrange(256) for _ in range(rows * columns)]
    codes = [0 if c & 127 == 127 else c & 0xBF for c in codes]  # numbers below 2
    across = -(-columns // block[1])
    scales = array.array("f", [rng.uniform(0.1, 0.6) for _ in range(-(-rows // block[0]) * across)])
    numbers = [e4m3(c) * scales[i // columns // block[0] * across + i % columns // block[1]] for i, c in enumerate(codes)]
    return ({name: ("F8_E4M3", shape, bytes(codes)), name + "_scale_inv": ("F32", [-(-rows // block[0]), across], scales.tobytes())},
            {name: ("F32", shape, floats(numbers))})


def write(directory, config, tensors):
    directory.mkdir(parents=True, exist_ok=True)
    header, data = {}, b""
    for name, (kind, shape, content) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "model.safetensors").write_bytes(checkpoint.wrap(json.dumps(header).encode(), data))


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


problems = []


def logits(directory):
    model, file = directory.with_suffix(".ingot"), directory.with_suffix(".f32")
    for command in (("ingot-compile", directory, "-o", model, "--quiet", "--strict", "--activations=f32", TARGET),
                    ("ingot-run", model, "--ids=3,1,4,1,5,9,2,6", "-n", 0, f"--logits={file}")):
        done = run(*command)
        if done.returncode:
            problems.append(f"{directory.name}: {done.stderr.strip()[-500:]}")
            return array.array("f")
    values = array.array("f")
    values.frombytes(file.read_bytes())
    return values


def compare(name, config, quantization, make):
    small, wide = {}, {}
    for tensor, shape in checkpoint.llama_shapes(config).items():
        stored, meant = make(tensor, shape) or ({}, {})
        if not stored:
            count = checkpoint.product(shape)
            stored = meant = {tensor: ("F32", shape, floats([rng.gauss(0, 0.5) for _ in range(count)]))}
        small.update(stored)
        wide.update(meant)
    write(folder / name, {**config, "quantization_config": quantization}, small)
    write(folder / f"{name}-wide", config, wide)
    one, other = logits(folder / name), logits(folder / f"{name}-wide")
    if len(one) != 8 * config["vocab_size"] or len(one) != len(other):
        problems.append(f"{name}: no logits")
    elif not distance(one, other) <= 1e-5 * max(map(abs, other)):
        problems.append(f"{name}: other logits than the floats")


MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
compare("mxfp4", {**checkpoint.GPT_OSS, "hidden_size": 32, "intermediate_size": 64}, MXFP4,
        lambda name, shape: mxfp4(name, shape) if name.endswith(("gate_up_proj", "down_proj")) else None)
for name, config, block in (
        ("fp8-llama", {**checkpoint.LLAMA, "hidden_size": 36, "intermediate_size": 50}, [8, 16]),
        ("fp8-deepseek", {**checkpoint.DEEPSEEK_V3, "qk_nope_head_dim": 4, "v_head_dim": 8}, [4, 8])):
    compare(name, config, {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": block, "activation_scheme": "dynamic"},
            lambda name, shape: fp8(name, shape, block) if name.endswith("proj.weight") else None)


def refused(name, change, text):
    """The error of a checkpoint in FP8 with one mistake."""
    config = {**checkpoint.LLAMA, "quantization_config": {"quant_method": "fp8", "weight_block_size": [8, 16]}}
    tensors = {n: ("F32", s, floats([0.5] * checkpoint.product(s))) for n, s in checkpoint.llama_shapes(config).items()}
    tensors.update(fp8("model.layers.0.mlp.up_proj.weight", [20, 12], [8, 16])[0])
    change(config, tensors)
    write(folder / name, config, tensors)
    done = run("ingot-compile", folder / name, "-o", folder / "refused.ingot", "--quiet")
    if not done.returncode or text not in done.stderr or done.stderr.count("error:") != 1:
        problems.append(f"{name}: {done.stderr}")


SCALE = "model.layers.0.mlp.up_proj.weight_scale_inv"
refused("method", lambda c, t: c["quantization_config"].update(quant_method="gptq"), "expected mxfp4 or fp8")
refused("format", lambda c, t: c["quantization_config"].update(fmt="e5m2"), "expected e4m3, got 'e5m2'")
refused("block", lambda c, t: c["quantization_config"].update(weight_block_size=[8, 0]), "expected two sizes from 1 to 65536")
refused("shape", lambda c, t: t.update({SCALE: ("F32", [1], floats([1.0]))}), "expected shape [3, 1] of type F32")
refused("alone", lambda c, t: t.update({"x_scale_inv": ("F32", [1, 1], floats([1.0]))}), "'x_scale_inv' is for it")
refused("wide", lambda c, t: t.update({SCALE.removesuffix("_scale_inv"): ("F32", [20, 12], floats([1.0] * 240))}),
        "expected a matrix of type F8_E4M3")
print("\n".join(problems) or "all as they should be")
sys.exit(bool(problems))
