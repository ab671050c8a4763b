# RUN: %python %s %t
"""A function may return what is no result of its own: an argument, a constant, one value twice, what a call or a branch
that is decided when compiling hands on. Each output is an array of its own with the right numbers."""
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Import/Inputs"))
from blocks import read_npy, run, write_npy

source = folder / "f.mlir"
source.write_text("""
func.func private @same(%a: tensor<?x7xf32>) -> tensor<?x7xf32> {
  return %a : tensor<?x7xf32>
}
func.func @main(%x: tensor<?x7xf32>, %y: tensor<3xf32>)
    -> (tensor<?x7xf32>, tensor<?x7xf32>, tensor<?x7xf32>, tensor<3xf32>, tensor<3xf32>, tensor<2xf32>) {
  %e = arith.addf %x, %x : tensor<?x7xf32>
  %c = arith.constant dense<[1.5, -2.0]> : tensor<2xf32>
  %i = call @same(%x) : (tensor<?x7xf32>) -> tensor<?x7xf32>
  %true = arith.constant true
  %z = scf.if %true -> tensor<3xf32> {
    scf.yield %y : tensor<3xf32>
  } else {
    %n = arith.negf %y : tensor<3xf32>
    scf.yield %n : tensor<3xf32>
  }
  return %e, %e, %i, %y, %z, %c
    : tensor<?x7xf32>, tensor<?x7xf32>, tensor<?x7xf32>, tensor<3xf32>, tensor<3xf32>, tensor<2xf32>
}
""")
x, y = [n / 4 - 3 for n in range(28)], [1.0, -2.5, 3.0]
write_npy(folder / "x.npy", "f", (4, 7), x)
write_npy(folder / "y.npy", "f", (3,), y)
expected = {"e": [2 * n for n in x], "result1": [2 * n for n in x], "i": x, "y": y, "z": y, "c": [1.5, -2.0]}
run("ingot-compile", source, "-o", folder / "f.ingot", "--target=x86-64-v3", "--quiet")
run("ingot-run", folder / "f.ingot", "--input", f"x={folder}/x.npy", "--input", f"y={folder}/y.npy",
    *(word for name in expected for word in ("--output", f"{name}={folder}/{name}-out.npy")))
wrong = [name for name, values in expected.items() if list(read_npy(folder / f"{name}-out.npy")) != values]
print("wrong outputs:", ", ".join(wrong) or "none")
sys.exit(bool(wrong))
