# RUN: %python %s %t %if sanitizers %{ few %}
"""Rows of every type meet weights of every format: q8 and q4 made of other matrices, the formats of files as they are.

Against the interpreter, which reads exactly the same numbers: only sums of f32 may differ. Against f64 without any rounding: rows of 8
bits are off by at most twice what a plain implementation of 8 bits is. Products in integers have the same bits on processors with and
without dot products of bytes, for a row in any company, and for a model however it is run. Widths are no whole groups, matrices
are stored transposed or belong to experts, last panels are narrow.
"""
import array
import json
import math
import pathlib
import random
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Import/Inputs"))
import blocks
import checkpoint
from blocks import read_npy, run, write_npy
from compare import distance

few = len(sys.argv) > 2
random.seed(11)
# No dot product of bytes; one of 256 bits; one of 512.
TARGETS = ["x86-64-v3", "alderlake@x86-64-v3", "znver5@x86-64-v3"]
ENDS = [TARGETS[0], TARGETS[2]]


def floats(count):
    return array.array("f", [random.gauss(0, 1) for _ in range(count)])


class Graph:
    """A function @f of named inputs with a row for each token, and the numbers that it is given."""

    def __init__(self, name):
        self.name, self.inputs, self.outputs, self.body, self.weights = name, {}, {}, "", b""
        self.exact = {}

    def input(self, name, kind, columns, values):
        self.inputs[name] = (kind, columns, values)

    def parameter(self, name, shape, element, data):
        dims = "x".join(map(str, shape))
        self.body += f'  %{name} = tfm.parameter "{name}" from "{self.name}.bin" at {len(self.weights)} : tensor<{dims}x{element}>\n'
        self.weights += data

    def linear(self, name, x, k, n, element="f32", transposed=False):
        matrix = f"tensor<{k}x{n}x{element}>" if transposed else f"tensor<{n}x{k}x{element}>"
        self.body += f"  %{name} = tfm.linear %{x}, %w_{name}{' transposed' if transposed else ''} : tensor<?x{k}xf32>, {matrix} -> tensor<?x{n}xf32>\n"
        self.outputs[name] = f"tensor<?x{n}xf32>"

    def write(self):
        arguments = ", ".join(f'%{name}: tensor<?x{columns}x{"f32" if kind == "f" else "i32"}> {{plan.name = "{name}"}}'
                              for name, (kind, columns, _) in self.inputs.items())
        results = ", ".join(f'{type} {{plan.name = "{name}"}}' for name, type in self.outputs.items())
        (folder / f"{self.name}.bin").write_bytes(self.weights)
        path = folder / f"{self.name}.mlir"
        path.write_text(f"func.func @f({arguments}) -> ({results}) {{\n{self.body}  return {', '.join('%' + o for o in self.outputs)} : "
                        f"{', '.join(self.outputs.values())}\n}}\n")
        return path


def rounded(values, bits):
    """What a plain implementation makes of a row of groups of 32: q8_0's and q4_0's formulas, scales as they are."""
    result = []
    for at in range(0, len(values), 32):
        group = values[at:at + 32]
        top = max(group, key=abs)
        if bits == 8:
            d = abs(top) / 127 or 1
            result += [d * round(v / d) for v in group]
        else:
            d = top / -8 or 1
            result += [d * (min(15, math.floor(v / d + 8.5)) - 8) for v in group]
    return result


def product(x, w, k):
    return [sum(map(lambda a, b: a * b, x[i:i + k], w[j:j + k])) for i in range(0, len(x), k) for j in range(0, len(w), k)]


def by_rows(values, k, bits):
    return [v for i in range(0, len(values), k) for v in rounded(values[i:i + k], bits)]


def compare(graph, options, targets, counts):
    """Compiles and interprets @f; the first rows of one run also alone."""
    name = graph.name
    source, formatted, integers = graph.write(), folder / f"{name}-formatted.mlir", "=int8" in options
    run("ingot-opt", source, f"--choose-formats={options.replace('--', '')}", "-o", formatted)
    for target in targets:
        run("ingot-compile", source, "-o", folder / f"{name}-{target}.ingot", f"--target={target}", "--quiet", *options.split())
    known, most = {}, max(counts)
    for count in sorted(counts, reverse=True):
        files = {}
        for key, (kind, columns, values) in graph.inputs.items():
            files[key] = folder / f"{name}-{key}.npy"
            write_npy(files[key], kind, (count, columns), values[:count * columns])
        wanted = {out: folder / f"{name}-{out}-wanted.npy" for out in graph.outputs}
        if count in (1, 5, most):
            run("ingot-opt", formatted, f"--tfm-interpret=function=f precision=f32 inputs={','.join(map(str, files.values()))} "
                f"outputs={','.join(map(str, wanted.values()))} parameters={folder}", "-o", "/dev/null")
        for target in targets:
            got = {out: folder / f"{name}-{out}-got.npy" for out in graph.outputs}
            arguments = [word for key, path in files.items() for word in ("--input", f"{key}={path}")]
            arguments += [word for key, path in got.items() for word in ("--output", f"{key}={path}")]
            run("ingot-run", folder / f"{name}-{target}.ingot", f"--threads={1 + count % 3}", *arguments)
            for out in graph.outputs:
                have, what = read_npy(got[out]), f"{target}, {out}, {count} rows"
                # What is exact is the same everywhere; widened products may be other instructions.
                bits = known.setdefault(out if integers else (out, target), have.tobytes())
                if not have or have.tobytes() != bits[:len(have) * 4]:
                    raise RuntimeError(f"{what}: other bits than of {most} rows on {targets[0]}")
                if count in (1, 5, most):
                    want = read_npy(wanted[out])
                    scale, error = max(map(abs, want)), distance(have, want)
                    if not error <= 3e-5 * scale:
                        raise RuntimeError(f"{what}: off by {error:.2e} of {scale:.2e}")
                if count == 5 and out in graph.exact and integers:
                    x, w, k = graph.exact[out]
                    x, bits_of_weight = x[:5 * k], 8 if "q8" in options else 4
                    true, plain = product(x, w, k), product(by_rows(x, k, 8), by_rows(w, k, bits_of_weight), k)
                    norm = lambda values: math.sqrt(sum((a - b) ** 2 for a, b in zip(values, true)))
                    if not (0 < norm(have) <= 2 * norm(plain) and distance(have, true) <= 2 * distance(plain, true)):
                        raise RuntimeError(f"{what}: f64 is {norm(have):.3e} away, from a plain implementation {norm(plain):.3e}")


failures, cases = 0, 0


def attempt(what, *arguments):
    global failures, cases
    cases += 1
    try:
        compare(*arguments)
    except (RuntimeError, OSError) as error:
        failures += 1
        print(f"{what}: {error}")


# Matrices, one of an odd shape of its own, one stored transposed, and those of three experts.
MOST, k, n = 70, 75, 87
made = Graph("made")
made.input("x", "f", k, array.array("f", [v * 2.0 ** random.randint(-6, 6) for v in floats(MOST * k)]))
wide = random.randrange(257, 288)
made.input("z", "f", wide, floats(MOST * wide))
for name, x, height in (("a", "x", n), ("b", "z", random.randrange(65, 80))):
    width = made.inputs[x][1]
    w = floats(width * height)
    made.parameter(f"w_{name}", (height, width), "f32", w.tobytes())
    made.linear(name, x, width, height)
    made.exact[name] = (made.inputs[x][2], w, width)
made.parameter("w_t", (k, n), "f32", floats(n * k).tobytes())
made.linear("t", "x", k, n, transposed=True)
made.input("ids", "i", 1, [random.randrange(3) for _ in range(MOST)])
made.parameter("one", (n, k), "f32", floats(n * k).tobytes())
made.parameter("two", (2 * n, k), "f32", floats(2 * n * k).tobytes())
made.body += f"""  %all = tensor.concat dim(0) %one, %two : (tensor<{n}x{k}xf32>, tensor<{2 * n}x{k}xf32>) -> tensor<{3 * n}x{k}xf32>
  %e = tfm.expert_linear %x, %all ids(%ids : tensor<?x1xi32>) experts(3)
    : tensor<?x{k}xf32>, tensor<{3 * n}x{k}xf32> -> tensor<?x1x{n}xf32>
"""
made.outputs["e"] = f"tensor<?x1x{n}xf32>"
attempt("q4 and int8", made, "--weights=q4 --activations=int8", ENDS[:1], (1, 5, 9) if few else (1, 2, 3, 5, 7, 13, MOST))
if not few:
    attempt("q8 and int8", made, "--weights=q8 --activations=int8", TARGETS, (1, 2, 3, 4, 5, 6, 8, 11, 17, 33, MOST))
    attempt("q4 and f32", made, "--weights=q4 --activations=f32", ENDS[:1], (1, 5, 33))
    attempt("q8 and bf16", made, "--weights=q8 --activations=bf16", ENDS[1:], (1, 5, 33))

# Matrices so wide that threads divide the ends of their shares.
broad = Graph("broad")
broad.input("x", "f", 64, floats(5 * 64))
broad.parameter("w_p", (1653, 64), "f32", floats(1653 * 64).tobytes())
broad.linear("p", "x", 64, 1653)
attempt("pieces of int8", broad, "--weights=q8 --activations=int8", ENDS[:1], (1, 2, 3, 4, 5))
if not few:
    attempt("pieces of rows that are prepared", broad, "--weights=q8 --activations=bf16", ENDS[:1], (1, 2, 3, 4, 5))

# The formats of files.
stored, k = Graph("stored"), 512
stored.input("x", "f", k, floats(37 * k))
for name, length, size, scales in blocks.FORMATS[::4 if few else 1]:
    stored.parameter(f"w_{name}", (n, k), f"!tfm.block<{name}>", blocks.random_blocks(n * k // length, size, scales))
    stored.linear(name, "x", k, n, element=f"!tfm.block<{name}>")
attempt("formats of files", stored, "--activations=int8", ENDS[:1] if few else ENDS, (1, 3, 5, 8, 37))

# A model with experts, by default: chunks, threads, batches and phases leave its bits as they are.
if not few:
    cases += 1
    config = dict(checkpoint.MIXTRAL, num_local_experts=5, intermediate_size=70)
    checkpoint.write(folder / "model", config)
    try:
        report = folder / "report.json"
        run("ingot-compile", folder / "model", "-o", folder / "model.ingot", "--weights=q8", "--target=x86-64-v3", "--quiet", f"--report={report}")
        formats = json.loads(report.read_text())["formats"]
        if formats != "activations: int8, cache: bf16":
            raise RuntimeError(f"expected int8 and bf16, got {formats}")
        run("ingot-run", "verify", folder / "model.ingot", "-p", 40, "-n", 6)
    except RuntimeError as error:
        failures += 1
        print(f"model: {error}")
print(f"{cases} cases on {', '.join(TARGETS)}, {failures} failed")
sys.exit(bool(failures))
