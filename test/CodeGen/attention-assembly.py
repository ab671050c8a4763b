# Where LLVM does not optimize:
# UNSUPPORTED: sanitizers
# RUN: %python %s %t
"""The inner loops of attention hold what they should and nothing else: multiply-adds of whole registers, no vectors on the stack.

A loop is the code from a label to the jump back to it, without other loops inside. Those with at least four multiply-adds and no more
other vector instructions are the products of attention; for each target and type of cache the largest tile and the traffic with the stack are checked. Figures that do
not drift with the machine.
"""
import pathlib
import re
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "Inputs"))
from loops import innermost_code


def assembly(queries, cache, target, size):
    source = folder / f"{queries}-{cache}-{size}.mlir"
    source.write_text(f"""
plan.kernel @attend(%q: tensor<?x8x{size}x{queries}>, %cache: !tfm.cache<8x{size}x{size}x{cache}>, %scale: f32, %batch: !tfm.batch) -> tensor<?x8x{size}xf32>
    attributes {{schedule = #plan.schedule<attention, tileRows = 48>}} {{
  %o = tfm.attention %q, %cache batch(%batch) scale(%scale) causal
    : tensor<?x8x{size}x{queries}>, !tfm.cache<8x{size}x{size}x{cache}> -> tensor<?x8x{size}xf32>
  plan.yield %o : tensor<?x8x{size}xf32>
}}
""")
    done = subprocess.run(["ingot-opt", str(source), f"--emit-cpu-kernels=target={target} assembly=true", "-o", "/dev/null"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    (folder / f"{queries}-{cache}-{size}-{target}.s").write_text(done.stdout)
    return done.stdout.splitlines()


problems = []
# queries, cache, target, head size, the multiply-add and its register, those of a tile
CASES = [("bf16", "bf16", "znver4", size, r"vdpbf16ps\b.*%zmm", 16) for size in (64, 128)]
CASES += [("f32", cache, "x86-64-v4", 64, r"vfmadd\w+ps\b.*%zmm", 16) for cache in ("f32", "f16", "i8")]
CASES += [("f32", "f32", "x86-64-v3", size, r"vfmadd\w+ps\b.*%ymm", 12) for size in (64, 128)]
CASES += [("bf16", "bf16", "x86-64-v3", 64, r"vfmadd\w+ps\b.*%ymm", 16)]
for queries, cache, target, size, pattern, most in CASES:
    what = f"{queries} queries, {cache} cache, head size {size}, {target}"
    counts, tiles = [], 0
    for loop in innermost_code(assembly(queries, cache, target, size)):
        count = sum(bool(re.match(pattern, line)) for line in loop)
        if count < 4:
            continue
        others = sum(line.startswith("v") and not re.match(pattern, line) for line in loop)
        if others > count:
            continue # the polynomial of the exponential
        counts.append(count)
        if any("(%rsp" in line and "mm" in line for line in loop):
            problems.append(f"{what}: a loop of {count} multiply-adds keeps vectors on the stack:\n  " + "\n  ".join(loop))
        tiles += count % most == 0
    # The scores' and the values' loop of the largest tile, at least; LLVM may have unrolled them.
    if tiles < 2:
        problems.append(f"{what}: expected two loops of a multiple of {most} multiply-adds and no more other vector instructions, got {sorted(counts)}")
print("\n".join(problems) or f"{len(CASES)} kernels, all as they should be")
sys.exit(bool(problems))
