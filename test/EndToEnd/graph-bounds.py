# RUN: %python %s %t
"""Inputs that break what a graph assumes of them: sizes are an error before anything runs, indices that are data read
nothing outside of their tensor and give NaN."""
import math
import pathlib
import struct
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Import/Inputs"))
from blocks import read_npy, run, write_npy

SIZES = "sizes that the graph takes to be equal are"
NAN = math.nan
table = [float(n) for n in range(24)]
X, IDS = ("x", "f", (6, 4), table), lambda *ids: ("ids", "i", (len(ids),), list(ids))
# name, signature, type of the result, body, inputs, the result or a part of the error
CASES = [
    ("embedding", "%x: tensor<6x4xf32>, %ids: tensor<?xi32>", "tensor<?x4xf32>",
     "%o = tfm.embedding %ids, %x : tensor<?xi32>, tensor<6x4xf32> -> tensor<?x4xf32>",
     [X, IDS(5, 6, -1, 2000000000, 0)], table[20:] + [NAN] * 12 + table[:4]),
    ("extract", "%x: tensor<6x4xf32>, %ids: tensor<?xi32>", "tensor<3xf32>", """
     %o = tensor.generate {
     ^bb0(%i: index):
       %id = tensor.extract %ids[%i] : tensor<?xi32>
       %k = arith.index_cast %id : i32 to index
       %v = tensor.extract %x[%k, %i] : tensor<6x4xf32>
       tensor.yield %v : f32
     } : tensor<3xf32>""", [X, IDS(5, -7, 40000000)], [20.0, NAN, NAN]),
    ("cast", "%x: tensor<?x4xf32>", "tensor<5x4xf32>", """
     %y = arith.negf %x : tensor<?x4xf32>
     %o = tensor.cast %y : tensor<?x4xf32> to tensor<5x4xf32>""", [X], SIZES + " 6 and 5"),
    ("slice_within", "%x: tensor<?x4xf32>", "tensor<2x4xf32>", """
     %y = arith.negf %x : tensor<?x4xf32>
     %o = tensor.extract_slice %y[1, 0] [2, 4] [4, 1] : tensor<?x4xf32> to tensor<2x4xf32>""", [X],
     [-n for n in table[4:8] + table[20:24]]),
    ("slice_beyond", "%x: tensor<?x4xf32>", "tensor<2x4xf32>", """
     %y = arith.negf %x : tensor<?x4xf32>
     %o = tensor.extract_slice %y[2, 0] [2, 4] [4, 1] : tensor<?x4xf32> to tensor<2x4xf32>""", [X], SIZES),
    ("insert", "%x: tensor<?x4xf32>, %ids: tensor<2xi32>", "tensor<?x4xf32>", """
     %y = tensor.extract_slice %x[0, 0] [1, 4] [1, 1] : tensor<?x4xf32> to tensor<1x4xf32>
     %o = tensor.insert_slice %y into %x[40000000, 0] [1, 4] [1, 1] : tensor<1x4xf32> into tensor<?x4xf32>""",
     [X, IDS(0, 0)], SIZES),
    ("insert_of_fewer", "%x: tensor<?x4xf32>, %ids: tensor<?xi32>", "tensor<?xi32>", """
     %c0 = arith.constant 0 : index
     %n = tensor.dim %x, %c0 : tensor<?x4xf32>
     %big = tensor.empty(%n) : tensor<?xi32>
     %z = arith.constant 7 : i32
     %all = linalg.fill ins(%z : i32) outs(%big : tensor<?xi32>) -> tensor<?xi32>
     %o = tensor.insert_slice %ids into %all[0] [%n] [1] : tensor<?xi32> into tensor<?xi32>""",
     [X, IDS(0, 0)], SIZES + " 6 and 2"),
    ("extract_at_place", "%x: tensor<?x4xf32>, %ids: tensor<?xi32>", "tensor<?xf32>", """
     %c0 = arith.constant 0 : index
     %n = tensor.dim %ids, %c0 : tensor<?xi32>
     %o = tensor.generate %n {
     ^bb0(%i: index):
       %v = tensor.extract %x[%i, %c0] : tensor<?x4xf32>
       tensor.yield %v : f32
     } : tensor<?xf32>""", [X, IDS(*range(9))], table[::4] + [NAN] * 3),
    ("extract_by_score", "%x: tensor<?x4xf32>", "tensor<1x?x4xf32>", """
     %c0 = arith.constant 0 : index
     %n = tensor.dim %x, %c0 : tensor<?x4xf32>
     %q = tensor.expand_shape %x [[0, 1], [2]] output_shape [1, %n, 4] : tensor<?x4xf32> into tensor<1x?x4xf32>
     %t = arith.constant dense<[0.5, 1.5]> : tensor<2xf32>
     %o = tfm.attention %q, %q, %q score {
     ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
       %k = arith.fptosi %s : f32 to i64
       %at = arith.index_cast %k : i64 to index
       %v = tensor.extract %t[%at] : tensor<2xf32>
       tfm.yield %v : f32
     } : tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32> -> tensor<1x?x4xf32>""", [X], [NAN] * 24),
    ("expand", "%x: tensor<?x4xf32>", "tensor<?x4x4xf32>", """
     %c0 = arith.constant 0 : index
     %c4 = arith.constant 4 : index
     %n = tensor.dim %x, %c0 : tensor<?x4xf32>
     %h = arith.divui %n, %c4 : index
     %o = tensor.expand_shape %x [[0, 1], [2]] output_shape [%h, 4, 4] : tensor<?x4xf32> into tensor<?x4x4xf32>""",
     [X], SIZES + " 4 and 6"),
]

failures = 0
for name, signature, result, body, inputs, expected in CASES:
    source, artifact, out = (folder / f"{name}{end}" for end in (".mlir", ".ingot", "-out.npy"))
    source.write_text(f"func.func @main({signature}) -> {result} {{\n{body}\n return %o : {result}\n}}\n")
    run("ingot-compile", source, "-o", artifact, "--target=x86-64-v3", "--quiet")
    words = []
    for label, kind, shape, values in inputs:
        write_npy(folder / f"{label}.npy", kind, shape, values)
        words += ["--input", f"{label}={folder}/{label}.npy"]
    done = subprocess.run(["ingot-run", artifact, *words, "--output", f"o={out}"], capture_output=True, text=True)
    if isinstance(expected, str):
        good = done.returncode == 1 and f"error: {artifact}: main: {expected}" in done.stderr and not out.exists()
    else:
        good = done.returncode == 0
        got = read_npy(out) if good else []
        good = good and len(got) == len(expected) and all(a == b or a != a and b != b for a, b in zip(got, expected))
    if not good:
        failures += 1
        print(f"{name}: exit {done.returncode}, {done.stderr.strip()}")
print(f"{len(CASES)} graphs, {failures} failed")
sys.exit(bool(failures))
