# RUN: %python %s %t %if sanitizers %{ 4 %}
"""Projections and embeddings on weights in block formats, of random bits, equal the interpreter.

Kernels compute on the bits of the file, whose meaning is exact: only sums may differ, by some tens of roundings of f32. Shapes
have narrow last panels and several blocks in a row; 1 row, some rows and many rows are read by different code.
"""
import pathlib
import random
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Import/Inputs"))
import blocks
from blocks import read_npy, run, write_npy
from compare import distance
flags = open("/proc/cpuinfo").read()
has_avx512 = "avx512vl" in flags and "avx512dq" in flags
targets = ["x86-64-v3", "x86-64-v4" if has_avx512 else "znver5@x86-64-v3"]
random.seed(7)

# There is no kernel for the last one: it is widened.
FORMATS = blocks.FORMATS + [("q3_k", 256, 110, [108])]
# One format in how many is tried; all, if it is not said.
FORMATS = FORMATS[::int(sys.argv[2]) if len(sys.argv) > 2 else 1]
failures = 0
for name, length, size, scales in FORMATS:
    n, k = 87, 2 * 256 if length == 256 else 32 * 11
    (folder / f"{name}.bin").write_bytes(blocks.random_blocks(n * k // length, size, scales))
    matrix = f"tensor<{n}x{k}x!tfm.block<{name}>>"
    source = folder / f"{name}.mlir"
    source.write_text(f"""func.func @f(%x: tensor<?x{k}xf32> {{plan.name = "x"}}, %ids: tensor<?xi32> {{plan.name = "ids"}})
    -> (tensor<?x{n}xf32> {{plan.name = "y"}}, tensor<?x{k}xf32> {{plan.name = "rows"}}) {{
  %w = tfm.parameter "w" from "{name}.bin" at 0 : {matrix}
  %y = tfm.linear %x, %w : tensor<?x{k}xf32>, {matrix} -> tensor<?x{n}xf32>
  %rows = tfm.embedding %ids, %w : tensor<?xi32>, {matrix} -> tensor<?x{k}xf32>
  return %y, %rows : tensor<?x{n}xf32>, tensor<?x{k}xf32>
}}
""")
    try:
        for target in targets:
            run("ingot-compile", source, "-o", folder / f"{name}-{target}.ingot", f"--target={target}", "--quiet")
        for rows in (1, 5, 37):
            x, ids = folder / "x.npy", folder / "ids.npy"
            write_npy(x, "f", (rows, k), [random.gauss(0, 1) for _ in range(rows * k)])
            write_npy(ids, "i", (3,), [0, n - 1, random.randrange(n)])
            wanted = [folder / "y.npy", folder / "rows.npy"]
            run("ingot-opt", source, f"--tfm-interpret=function=f inputs={x},{ids} outputs={wanted[0]},{wanted[1]} parameters={folder}",
                "-o", "/dev/null")
            for target in targets:
                got = [folder / "y-got.npy", folder / "rows-got.npy"]
                run("ingot-run", folder / f"{name}-{target}.ingot", "--input", f"x={x}", "--input", f"ids={ids}", "--output", f"y={got[0]}",
                    "--output", f"rows={got[1]}")
                for want, have, bound in zip(wanted, got, (2e-5, 0)):
                    a, b = read_npy(want), read_npy(have)
                    scale = max(map(abs, a))
                    error = distance(a, b)
                    if not error <= bound * scale:
                        raise RuntimeError(f"{target}, {rows} rows: off by {error:.2e} of {scale:.2e}")
    except (RuntimeError, OSError) as error:
        failures += 1
        print(f"{name}: {error}")
print(f"{len(FORMATS)} formats on {', '.join(targets)}, {failures} failed")
sys.exit(bool(failures))
