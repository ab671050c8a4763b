#!/usr/bin/env python3
"""The forms of attention on one case, as articles on scaled dot-product attention measure it.

  bench/sdpa.py [--batch=32] [--heads=32] [--sequence=1024] [--size=32] [--causal] [--threads=N] [--runs=5] [--build=build] [--json=FILE]

For each form of `ingot-compile --attention` the time of the attention kernel and its share of the f32 peak that the same
process measured, and, where PyTorch is installed, the time of its math and flash backends in f32 on as many threads. Only the
standard library is needed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name, default in (("batch", 32), ("heads", 32), ("sequence", 1024), ("size", 32), ("threads", 0), ("runs", 5)):
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--causal", action="store_true")
parser.add_argument("--build", default="build")
parser.add_argument("--json")
options = parser.parse_args()
tools = pathlib.Path(options.build) / "bin"


def ours(folder, form):
    shape = f"tensor<{options.batch}x{options.heads}x{options.sequence}x{options.size}xf32>"
    source, artifact = folder / "sdpa.mlir", folder / "sdpa.ingot"
    source.write_text(f"""func.func @sdpa(%q: {shape}, %k: {shape}, %v: {shape}) -> {shape} {{
  %scale = arith.constant {options.size ** -0.5:.9f} : f32
  %o = tfm.attention %q, %k, %v scale(%scale){' causal' if options.causal else ''} : {shape}, {shape}, {shape} -> {shape}
  return %o : {shape}
}}
""")
    compiled = subprocess.run([tools / "ingot-compile", source, "-o", artifact, f"--attention={form}", "--target=native", "--quiet"], capture_output=True, text=True)
    if compiled.returncode:
        return {"error": compiled.stderr.strip()}
    threads = [f"--threads={options.threads}"] if options.threads else []
    ran = subprocess.run([tools / "ingot-run", "profile", artifact, "--json", "-n", str(options.runs), *threads], capture_output=True, text=True)
    if ran.returncode:
        return {"error": ran.stderr.strip()}
    report = json.loads(ran.stdout)
    (program,) = report["programs"]
    kernel = sum(d["nanoseconds"] for d in program["dispatches"] if d["kernel"].startswith("attention")) / program["runs"] * 1e-9
    pairs = options.sequence * (options.sequence + 1) // 2 if options.causal else options.sequence ** 2
    flops = 4 * options.batch * options.heads * options.size * pairs
    return {"seconds": kernel, "whole_graph_seconds": program["nanoseconds"] / program["runs"] * 1e-9, "gflops": flops / kernel * 1e-9,
            "share_of_f32": flops / kernel * 1e-9 / report["limits"]["f32_gflops"], "threads": report["threads"]}


def pytorch():
    try:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        return {}
    if options.threads:
        torch.set_num_threads(options.threads)
    q, k, v = (torch.randn(options.batch, options.heads, options.sequence, options.size) for _ in range(3))
    results = {}
    for name, backend in (("math", SDPBackend.MATH), ("flash", SDPBackend.FLASH_ATTENTION)):
        with sdpa_kernel(backend), torch.no_grad():
            times = []
            for _ in range(options.runs + 1):
                begin = time.perf_counter()
                torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=options.causal)
                times.append(time.perf_counter() - begin)
        results[name] = {"seconds": sorted(times[1:])[options.runs // 2]}
    return results


result = {"case": {name: getattr(options, name) for name in ("batch", "heads", "sequence", "size", "causal")}, "ingot": {}}
with tempfile.TemporaryDirectory() as folder:
    for form in ("math", "blocked", "flash"):
        result["ingot"][form] = ours(pathlib.Path(folder), form)
result["pytorch"] = pytorch()
print(f"batch {options.batch}, {options.heads} heads of {options.size}, sequence {options.sequence}{', causal' if options.causal else ''}, f32")
for engine in ("ingot", "pytorch"):
    for form, row in result[engine].items():
        if "error" in row:
            print(f"  {engine:8} {form:8} {row['error']}")
        elif engine == "ingot":
            print(f"  {engine:8} {form:8} {row['seconds'] * 1e3:9.1f} ms  {row['gflops']:7.1f} GFLOP/s  {100 * row['share_of_f32']:5.1f} % of the f32 peak")
        else:
            print(f"  {engine:8} {form:8} {row['seconds'] * 1e3:9.1f} ms")
if not result["pytorch"]:
    print("  pytorch  not installed")
if options.json:
    pathlib.Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
sys.exit(any("error" in row for row in result["ingot"].values()))
