# RUN: %python %s %t %if sanitizers %{ 4 %}
"""Projections and embeddings on weights in block formats, of random bits, equal the interpreter.

Kernels compute on the bits of the file, whose meaning is exact: only sums may differ, by some tens of roundings of f32. Shapes
have narrow last panels and several blocks in a row; 1 row, some rows and many rows are read by different code.
"""
import array
import pathlib
import random
import re
import struct
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Import/Inputs"))
from compare import distance
flags = open("/proc/cpuinfo").read()
has_avx512 = "avx512vl" in flags and "avx512dq" in flags
targets = ["x86-64-v3", "x86-64-v4" if has_avx512 else "znver5@x86-64-v3"]
random.seed(7)

# name, numbers and bytes of a block, where its f16 scales are
FORMATS = [("q8_0", 32, 34, [0]), ("q4_0", 32, 18, [0]), ("q4_1", 32, 20, [0, 2]), ("q5_0", 32, 22, [0]), ("q5_1", 32, 24, [0, 2]),
           ("q4_k", 256, 144, [0, 2]), ("q5_k", 256, 176, [0, 2]), ("q6_k", 256, 210, [208])]
# There is no kernel for this one: it is widened.
FORMATS.append(("q3_k", 256, 110, [108]))


def random_blocks(count, size, scales):
    data = bytearray(random.randbytes(count * size))
    for block in range(count):
        for at in scales:
            struct.pack_into("<e", data, block * size + at, random.choice([-1, 1]) * random.uniform(0.01, 0.03))
    return bytes(data)


def write_npy(path, kind, shape, values):
    header = repr({"descr": {"f": "<f4", "i": "<i4"}[kind], "fortran_order": False, "shape": shape}).encode()
    header += b" " * ((64 - (10 + len(header) + 1) % 64) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + array.array(kind, values).tobytes())


def read_npy(path):
    data = path.read_bytes()
    size = int.from_bytes(data[8:10], "little")
    kind = re.search(rb"'descr': '<(f[48])'", data[:10 + size]).group(1)
    values = array.array("f" if kind == b"f4" else "d")
    values.frombytes(data[10 + size:])
    return values


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")


# One format in how many is tried; all, if it is not said.
FORMATS = FORMATS[::int(sys.argv[2]) if len(sys.argv) > 2 else 1]
failures = 0
for name, length, size, scales in FORMATS:
    n, k = 87, 2 * 256 if length == 256 else 32 * 11
    (folder / f"{name}.bin").write_bytes(random_blocks(n * k // length, size, scales))
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
