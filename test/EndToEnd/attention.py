# UNSUPPORTED: sanitizers
# RUN: %python %s %t
"""Attention of random odd shapes, in every type of cache, against the interpreter.

The packed form (with the cache's type) is interpreted twice: in f64 without any rounding, and in f32 with the roundings that the
operations document. The latter is a plain implementation in the same precision: the kernels may be twice as far from f64 as it
is, plus some roundings of f32.
"""
import math
import pathlib
import random
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Import/Inputs"))
from blocks import read_npy, run, write_npy
from compare import distance
flags = open("/proc/cpuinfo").read()
targets = ["x86-64-v3", "znver4" if "avx512_bf16" in flags else "znver4@x86-64-v3"]
if "avx512vl" in flags and "avx512dq" in flags:
    targets.append("x86-64-v4")
random.seed(int(sys.argv[2]) if len(sys.argv) > 2 else 11)

SCORES = ["", "softcap(3.0)", "alibi(%slopes : tensor<{h}xf32>)", "softcap(2.0) alibi(%slopes : tensor<{h}xf32>)"]
MASKS = ["", "causal", "causal window({w})", "causal window({w})"]


def product(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def case(number, queries, cache, size=None, value_size=None, group=None, rows=None, keys=None, form="auto", latent=False):
    """One random graph; `queries` and `cache` are types. Forms but the default one need static sizes. With `latent` values are
    parts of their keys."""
    size = size or random.choice([1, 2, 7, 8, 15, 16, 31, 33, 40, 64, 72, 80, 127, 128, 192, 255, 256])
    value_size = value_size or random.choice([size, size, random.randint(1, 100)])
    group = group or random.choice([1, 2, 3, 5, 8, 16])
    kv_heads = 1 if latent else random.choice([1, 2, 3])
    if latent:
        value_size = random.randint(1, size - 1) if value_size >= size else value_size
    heads = group * kv_heads
    mask = random.choice(MASKS).format(w=random.randint(1, 150))
    rows = rows or random.choice([1, 2, 5, 17, 48, 49, 70, 130])
    keys = rows if mask else keys or random.choice([1, 5, 16, 63, 64, 65, 130, 300])
    # Of several sequences of unknown length it is not seen that a value is a part of its key.
    batch = 1 if latent and form == "auto" else random.choice([1, 2])
    score = random.choice(SCORES).format(h=heads)
    sinks = random.random() < 0.25
    q, k, v, o = (f"tensor<{batch}x{h}x{'?' if form == 'auto' else n}x{s}x{{t}}>" for h, n, s in (
        (heads, rows, size), (kv_heads, keys, size), (kv_heads, keys, value_size), (heads, rows, value_size)))
    arguments = [("q", q.format(t="f32"), (batch, heads, rows, size)), ("k", k.format(t="f32"), (batch, kv_heads, keys, size)),
                 ("v", v.format(t="f32"), (batch, kv_heads, keys, value_size))][:2 if latent else 3]
    if "slopes" in score:
        arguments.append(("slopes", f"tensor<{heads}xf32>", (heads,)))
    if sinks:
        arguments.append(("sinks", f"tensor<{heads}xf32>", (heads,)))
    result = random.choice(["f32", "bf16"]) if queries == "bf16" else "f32"
    lines = ["%scale = arith.constant 0.3 : f32"]
    if latent:
        count = keys
        if form == "auto":
            lines += ["%c2 = arith.constant 2 : index", f"%count = tensor.dim %k, %c2 : {k.format(t='f32')}"]
            count = "%count"
        lines.append(f"%v = tensor.extract_slice %k[0, 0, 0, 0] [{batch}, 1, {count}, {value_size}] [1, 1, 1, 1] : {k.format(t='f32')} to {v.format(t='f32')}")
    if queries == "f32":
        lines.append("%n = arith.addf %q, %q : " + q.format(t="f32"))
    else:
        lines.append(f"%n = arith.truncf %q : {q.format(t='f32')} to {q.format(t=queries)}")
    last = "%o" if result == "f32" else "%a"
    lines.append(f"{last} = tfm.attention %n, %k, %v scale(%scale){f' sinks(%sinks : tensor<{heads}xf32>)' if sinks else ''} {mask} {score} : "
                 f"{q.format(t=queries)}, {k.format(t='f32')}, {v.format(t='f32')} -> {o.format(t='f32')}")
    if result == "bf16":
        lines += [f"%b = arith.truncf %a : {o.format(t='f32')} to {o.format(t='bf16')}", f"%o = arith.extf %b : {o.format(t='bf16')} to {o.format(t='f32')}"]
    name = f"case{number}"
    text = f"func.func @{name}({', '.join(f'%{n}: {t}' for n, t, _ in arguments)}) -> {o.format(t='f32')} {{\n  " + "\n  ".join(lines)
    text += f"\n  return %o : {o.format(t='f32')}\n}}\n"
    source = folder / f"{name}.mlir"
    source.write_text(text)
    inputs = []
    for n, _, shape in arguments:
        path = folder / f"{name}-{n}.npy"
        write_npy(path, "f", shape, [random.gauss(0, 1) for _ in range(product(shape))])
        inputs.append(path)
    packed = folder / f"{name}-packed.mlir"
    run("ingot-opt", source, f"--pack-attention=cache={cache}", "-o", packed)
    if latent and "values_in_keys" not in packed.read_text():
        raise RuntimeError(f"{name}: keys do not hold the values")
    expected = []
    for precision in ("f64", "f32"):
        path = folder / f"{name}-{precision}.npy"
        run("ingot-opt", packed, f"--tfm-interpret=function={name} precision={precision} inputs={','.join(map(str, inputs))} outputs={path}", "-o", "/dev/null")
        expected.append(read_npy(path))
    exact, plain = expected
    scale = max(map(abs, exact))
    allowed = 2 * distance(plain, exact) + 1e-5 * scale
    artifact = folder / f"{name}.ingot"
    for target in targets:
        run("ingot-compile", source, "-o", artifact, f"--cache={cache}", f"--target={target}", f"--attention={form}", "--quiet")
        bits = set()
        for threads in (1, 2):
            out = folder / f"{name}-out.npy"
            run("ingot-run", artifact, *(word for (n, _, _), p in zip(arguments, inputs) for word in ("--input", f"{n}={p}")), "--output", f"o={out}",
                f"--threads={threads}")
            bits.add(out.read_bytes())
        got = read_npy(out)
        what = f"{name}: {queries} queries, {cache} cache, {heads}/{kv_heads} heads of {size}/{value_size}, {batch}x{rows} by {keys}, {mask} {score}{' sinks' if sinks else ''}, {form}, {target}"
        if len(bits) > 1:
            raise RuntimeError(f"{what}: other bits with other threads")
        error = distance(got, exact)
        if not error <= allowed < math.inf:
            raise RuntimeError(f"{what}: off by {error:.2e}, allowed {allowed:.2e} of {scale:.2e}")


failures, count = 0, 0
todo = [(queries, cache, {}) for cache in ("f32", "bf16", "f16", "int8") for queries in ("f32", "bf16") for _ in range(3)]
todo += [("bf16", "bf16", {"size": 64, "value_size": 64, "group": 3, "rows": 100}), ("bf16", "bf16", {"size": 128, "value_size": 128, "group": 1}),
         ("f16", "f16", {}), ("f32", "bf16", {"size": 1, "value_size": 1}), ("bf16", "bf16", {"size": 5, "value_size": 3}),
         ("f32", "int8", {"size": 576, "value_size": 512, "group": 16, "rows": 3}),
         ("f32", "f32", {"form": "blocked"}), ("bf16", "bf16", {"form": "blocked"}), ("f32", "int8", {"form": "math"}), ("bf16", "bf16", {"form": "math"}),
         # Few rows and several segments: keys are divided over threads.
         ("f32", "f32", {"size": 16, "rows": 1, "keys": 2500}), ("bf16", "bf16", {"size": 20, "rows": 2, "keys": 3100}),
         ("f32", "int8", {"size": 24, "rows": 1, "keys": 2049, "group": 8})]
# Values in the keys: whole and partial tiles of 16 keys by 16 elements, odd sizes, several passes and segments.
todo += [(queries, cache, {"latent": True, "size": size, "value_size": value_size})
         for cache in ("f32", "bf16", "f16", "int8") for queries in ("f32", "bf16") for size, value_size in ((random.randint(2, 130), 200), (48, 32))]
todo += [("f32", "f32", {"latent": True, "size": 576, "value_size": 512, "group": 16, "rows": 5, "keys": 70}),
         ("bf16", "bf16", {"latent": True, "size": 72, "value_size": 65, "rows": 2, "keys": 2100}),
         ("f32", "bf16", {"latent": True, "size": 31, "value_size": 15, "form": "blocked"}), ("f32", "int8", {"latent": True, "size": 40, "value_size": 33, "form": "math"})]
for queries, cache, fixed in todo:
    count += 1
    try:
        case(count, queries, cache, **fixed)
    except (RuntimeError, OSError) as error:
        failures += 1
        print(error)
print(f"{count} graphs on {', '.join(targets)}, {failures} failed")
sys.exit(bool(failures))
