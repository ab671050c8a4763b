# RUN: %python %s %t %S/../../docs/Graphs.md
"""Every operation that docs/Graphs.md lists compiles, and its numbers equal the interpreter's.

The page is the list: an operation without a case here, or a case whose operation the page does not name, is a failure. Operations of
one kind are results of one function.
"""
import pathlib
import random
import re
import sys

folder, page = map(pathlib.Path, sys.argv[1:3])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Import/Inputs"))
from blocks import read_npy, run, write_npy
from compare import distance

random.seed(7)
SHAPE = (13, 7)
F, I, B = "tensor<13x7xf32>", "tensor<13x7xi32>", "tensor<13x7xi1>"
# What cases read: numbers %x and %y, positive ones %p, integers %i and %j, divisors %d that are not 0, small counts %n, truths %b.
COMMON = f"""
     %one = arith.constant dense<1.0> : {F}
     %ten = arith.constant dense<10.0> : {F}
     %magnitude = math.absf %x : {F}
     %p = arith.addf %magnitude, %one : {F}
     %x10 = arith.mulf %x, %ten : {F}
     %y10 = arith.mulf %y, %ten : {F}
     %i = arith.fptosi %x10 : {F} to {I}
     %j = arith.fptosi %y10 : {F} to {I}
     %i1 = arith.constant dense<1> : {I}
     %i7 = arith.constant dense<7> : {I}
     %d = arith.ori %j, %i1 : {I}
     %n = arith.andi %j, %i7 : {I}
     %b = arith.cmpf olt, %x, %y : {F}
     %zero = arith.constant dense<0.0> : {F}
     %small = arith.constant dense<7.0e-40> : {F}
     %high = arith.constant dense<4194304> : {I}
     %infinite = arith.divf %x, %zero : {F}
     %nan = arith.subf %infinite, %infinite : {F}
     %e = arith.cmpf olt, %y, %zero : {F}
     %odd = arith.select %e, %infinite, %nan : {B}, {F}
     %mixed = arith.select %b, %x, %odd : {B}, {F}
     %c0 = arith.constant 0 : index
     %c2 = arith.constant 2 : index
     %half = arith.constant 0.5 : f32"""


def floats(*names, operands="%x"):
    return {name: (F, f"%r = {name} {operands} : {F}") for name in names}


def integers(*names, operands="%i, %j"):
    return {name: (F, f"%t = {name} {operands} : {I}", f"%r = arith.sitofp %t : {I} to {F}") for name in names}


def truths(*names):
    """Of numbers, infinities and what is no number; and, counted ten times, of what is below the normal numbers."""
    return {name: (F, f"%t = {name} %mixed : {F}", f"%u = arith.uitofp %t : {B} to {F}", f"%v = {name} %small : {F}",
                   f"%w = arith.uitofp %v : {B} to {F}", f"%z = arith.mulf %w, %ten : {F}", f"%r = arith.addf %u, %z : {F}") for name in names}


# Whether a result is the same number everywhere, as none of its steps is approximate.
def is_exact(kind, name):
    return kind in ("integers", "conversions") or name.startswith("math.is") or name in ("arith.cmpf", "arith.select") or \
        kind == "tensors" and name not in ("linalg.reduce", "linalg.map", "tensor.cast")


KINDS = {
    "numbers": {
        **floats("arith.negf", "math.absf", "math.ceil", "math.cos", "math.cosh", "math.erf", "math.exp", "math.exp2", "math.expm1",
                 "math.floor", "math.round", "math.roundeven", "math.sin", "math.sinh", "math.tan", "math.tanh", "math.trunc", "math.cbrt"),
        **floats("math.log", "math.log10", "math.log1p", "math.log2", "math.rsqrt", "math.sqrt", operands="%p"),
        **floats("arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf",
                 "math.copysign", operands="%x, %y"),
        **floats("math.powf", operands="%p, %y"),
        **floats("math.fma", operands="%x, %y, %p"),
        "math.fpowi": (F, f"%r = math.fpowi %p, %n : {F}, {I}"),
        "math.clampf": (F, f"%r = math.clampf %x to [%y, %p] : {F}"),
        **truths("math.isfinite", "math.isinf", "math.isnan", "math.isnormal"),
        "arith.cmpf": (F, f"%t = arith.cmpf oge, %x, %y : {F}", f"%r = arith.uitofp %t : {B} to {F}"),
        "arith.select": (F, f"%r = arith.select %b, %x, %y : {B}, {F}"),
    },
    "integers": {
        **integers("arith.addi", "arith.subi", "arith.muli", "arith.andi", "arith.ori", "arith.xori", "arith.maxsi", "arith.minsi", "arith.maxui",
                   "arith.minui"),
        **integers("arith.divsi", "arith.divui", "arith.remsi", "arith.remui", "arith.ceildivsi", "arith.ceildivui", "arith.floordivsi",
                   operands="%i, %d"),
        **integers("arith.shli", "arith.shrsi", "arith.shrui", operands="%i, %n"),
        **integers("math.absi", operands="%i"),
        "arith.cmpi": (F, f"%t = arith.cmpi slt, %i, %j : {I}", f"%r = arith.uitofp %t : {B} to {F}"),
    },
    "conversions": {
        "arith.sitofp": (F, f"%r = arith.sitofp %i : {I} to {F}"),
        "arith.uitofp": (F, f"%r = arith.uitofp %n : {I} to {F}"),
        "arith.fptosi": (F, f"%t = arith.fptosi %x10 : {F} to {I}", f"%r = arith.sitofp %t : {I} to {F}"),
        "arith.fptoui": (F, f"%t = arith.fptoui %p : {F} to {I}", f"%r = arith.sitofp %t : {I} to {F}"),
        "arith.truncf": (F, f"%t = arith.truncf %x : {F} to tensor<13x7xf16>", f"%r = arith.extf %t : tensor<13x7xf16> to {F}"),
        "arith.extf": (F, f"%t = arith.truncf %x : {F} to tensor<13x7xbf16>", f"%r = arith.extf %t : tensor<13x7xbf16> to {F}"),
        "arith.trunci": (F, f"%t = arith.trunci %i : {I} to tensor<13x7xi8>", f"%r = arith.sitofp %t : tensor<13x7xi8> to {F}"),
        "arith.extsi": (F, f"%t = arith.trunci %i : {I} to tensor<13x7xi8>", f"%u = arith.extsi %t : tensor<13x7xi8> to {I}",
                        f"%r = arith.sitofp %u : {I} to {F}"),
        "arith.extui": (F, f"%t = arith.trunci %i : {I} to tensor<13x7xi8>", f"%u = arith.extui %t : tensor<13x7xi8> to {I}",
                        f"%r = arith.sitofp %u : {I} to {F}"),
        "arith.bitcast": (F, f"%t = arith.bitcast %x : {F} to {I}", f"%u = arith.xori %t, %high : {I}", f"%r = arith.bitcast %u : {I} to {F}"),
        "arith.index_cast": (F, f"%t = arith.index_cast %n : {I} to tensor<13x7xindex>", f"%u = arith.index_cast %t : tensor<13x7xindex> to {I}",
                             f"%r = arith.sitofp %u : {I} to {F}"),
        "arith.constant": (F, f"%t = arith.constant dense<0.25> : {F}", f"%r = arith.mulf %t, %x : {F}"),
    },
    "tensors": {
        "tensor.extract_slice": ("tensor<5x3xf32>", f"%r = tensor.extract_slice %x[2, 1] [5, 3] [2, 2] : {F} to tensor<5x3xf32>"),
        "tensor.insert_slice": (F, f"%t = tensor.extract_slice %y[0, 0] [4, 7] [1, 1] : {F} to tensor<4x7xf32>",
                                f"%r = tensor.insert_slice %t into %x[3, 0] [4, 7] [1, 1] : tensor<4x7xf32> into {F}"),
        "tensor.concat": ("tensor<13x14xf32>", f"%r = tensor.concat dim(1) %x, %y : ({F}, {F}) -> tensor<13x14xf32>"),
        "tensor.pad": ("tensor<16x7xf32>", "%r = tensor.pad %x low[1, 0] high[2, 0] {", "^bb0(%a: index, %e: index):", "tensor.yield %half : f32",
                       f"}} : {F} to tensor<16x7xf32>"),
        "tensor.expand_shape": ("tensor<13x7x1xf32>", f"%r = tensor.expand_shape %x [[0], [1, 2]] output_shape [13, 7, 1] : {F} into tensor<13x7x1xf32>"),
        "tensor.collapse_shape": ("tensor<91xf32>", f"%r = tensor.collapse_shape %x [[0, 1]] : {F} into tensor<91xf32>"),
        "tensor.cast": (F, f"%t = tensor.cast %x : {F} to tensor<?x7xf32>", "%u = math.exp %t : tensor<?x7xf32>", f"%r = tensor.cast %u : tensor<?x7xf32> to {F}"),
        "tensor.dim": ("tensor<?x7xf32>", f"%t = tensor.cast %x : {F} to tensor<?x7xf32>", "%s = tensor.dim %t, %c0 : tensor<?x7xf32>",
                       "%r = tensor.extract_slice %t[0, 0] [%s, 7] [1, 1] : tensor<?x7xf32> to tensor<?x7xf32>"),
        "tensor.generate": (F, "%r = tensor.generate {", "^bb0(%a: index, %e: index):", f"%v = tensor.extract %x[%a, %e] : {F}",
                            "%w = arith.mulf %v, %half : f32", "tensor.yield %w : f32", f"}} : {F}"),
        "tensor.extract": ("tensor<13xf32>", "%r = tensor.generate {", "^bb0(%a: index):", f"%v = tensor.extract %x[%a, %c2] : {F}", "tensor.yield %v : f32",
                           "} : tensor<13xf32>"),
        "tensor.empty": (F, f"%t = tensor.empty() : {F}", f"%r = linalg.fill ins(%half : f32) outs(%t : {F}) -> {F}"),
        "linalg.fill": (F, f"%t = tensor.empty() : {F}", f"%u = linalg.fill ins(%half : f32) outs(%t : {F}) -> {F}", f"%r = arith.addf %u, %x : {F}"),
        "linalg.broadcast": ("tensor<3x13x7xf32>", "%t = tensor.empty() : tensor<3x13x7xf32>",
                             f"%r = linalg.broadcast ins(%x : {F}) outs(%t : tensor<3x13x7xf32>) dimensions = [0]"),
        "linalg.transpose": ("tensor<7x13xf32>", "%t = tensor.empty() : tensor<7x13xf32>",
                             f"%r = linalg.transpose ins(%x : {F}) outs(%t : tensor<7x13xf32>) permutation = [1, 0]"),
        "linalg.reduce": ("tensor<13xf32>", "%t = tensor.empty() : tensor<13xf32>", "%u = linalg.fill ins(%half : f32) outs(%t : tensor<13xf32>) -> tensor<13xf32>",
                          f"%r = linalg.reduce {{arith.addf}} ins(%x : {F}) outs(%u : tensor<13xf32>) dimensions = [1]"),
        "linalg.map": (F, f"%t = tensor.empty() : {F}", f"%r = linalg.map {{math.exp}} ins(%x : {F}) outs(%t : {F})"),
        "linalg.generic": (F, f"%t = tensor.empty() : {F}",
                           "%r = linalg.generic {indexing_maps = [affine_map<(a, e) -> (a, e)>, affine_map<(a, e) -> (a, e)>], "
                           f"iterator_types = [\"parallel\", \"parallel\"]}} ins(%x : {F}) outs(%t : {F}) {{", "^bb0(%v: f32, %out: f32):",
                           "%k = linalg.index 1 : index", "%m = arith.index_cast %k : index to i32", "%z = arith.sitofp %m : i32 to f32",
                           "%w = arith.addf %v, %z : f32", "linalg.yield %w : f32", f"}} -> {F}"),
        "linalg.index": (F, f"%t = tensor.empty() : {F}",
                         "%r = linalg.generic {indexing_maps = [affine_map<(a, e) -> (a, e)>], "
                         f"iterator_types = [\"parallel\", \"parallel\"]}} outs(%t : {F}) {{", "^bb0(%out: f32):",
                         "%k = linalg.index 0 : index", "%m = arith.index_cast %k : index to i32", "%z = arith.sitofp %m : i32 to f32",
                         "linalg.yield %z : f32", f"}} -> {F}"),
    },
    "transformers": {
        "tfm.linear": ("tensor<13x13xf32>", f"%r = tfm.linear %x, %y : {F}, {F} -> tensor<13x13xf32>"),
        "tfm.matmul": ("tensor<13x13xf32>", f"%r = tfm.matmul %x, %y transpose_b : {F}, {F} -> tensor<13x13xf32>"),
        "tfm.softmax": (F, f"%r = tfm.softmax %x dim(1) : {F}"),
        "tfm.rms_norm": (F, f"%r = tfm.rms_norm %x eps(1.0e-6) : {F}"),
        "tfm.layer_norm": (F, f"%r = tfm.layer_norm %x eps(1.0e-5) : {F}"),
        "tfm.rotary": ("tensor<13x1x6xf32>", f"%t = tensor.extract_slice %x[0, 0] [13, 6] [1, 1] : {F} to tensor<13x6xf32>",
                       "%u = tensor.expand_shape %t [[0], [1, 2]] output_shape [13, 1, 6] : tensor<13x6xf32> into tensor<13x1x6xf32>",
                       f"%v = tensor.extract_slice %y[0, 0] [13, 3] [1, 1] : {F} to tensor<13x3xf32>",
                       "%r = tfm.rotary %u, %v, %v : tensor<13x1x6xf32>, tensor<13x3xf32>"),
        "tfm.attention": ("tensor<1x13x7xf32>", f"%t = tensor.expand_shape %x [[0, 1], [2]] output_shape [1, 13, 7] : {F} into tensor<1x13x7xf32>",
                          f"%u = tensor.expand_shape %y [[0, 1], [2]] output_shape [1, 13, 7] : {F} into tensor<1x13x7xf32>",
                          "%r = tfm.attention %t, %u, %u scale(%half) causal : tensor<1x13x7xf32>, tensor<1x13x7xf32>, tensor<1x13x7xf32> -> tensor<1x13x7xf32>"),
        "tfm.embedding": ("tensor<7x7xf32>", f"%t = tensor.extract_slice %n[0, 0] [1, 7] [1, 1] : {I} to tensor<7xi32>",
                          f"%r = tfm.embedding %t, %x : tensor<7xi32>, {F} -> tensor<7x7xf32>"),
    },
}


def check(kind, cases):
    types = [case[0] for case in cases.values()]
    body = []
    for number, (_, *lines) in enumerate(cases.values()):
        # Names of this case alone.
        body += [re.sub(r"%([rstuvwkmzae]|out)\b", rf"%\g<1>_{number}", line) for line in lines]
    results = ", ".join(f"%r_{i}" for i in range(len(types)))
    outputs = ", ".join(f'{each} {{plan.name = "o{i}"}}' for i, each in enumerate(types))
    source = folder / f"{kind}.mlir"
    source.write_text(f"func.func @{kind}(%x: {F} {{plan.name = \"x\"}}, %y: {F} {{plan.name = \"y\"}}) -> ({outputs}) {{{COMMON}\n     "
                      + "\n     ".join(body) + f"\n     return {results} : {', '.join(types)}\n}}\n")
    inputs = [folder / f"{kind}-{name}.npy" for name in "xy"]
    for path in inputs:
        write_npy(path, "f", SHAPE, [random.gauss(0, 1) for _ in range(SHAPE[0] * SHAPE[1])])
    want = [folder / f"{kind}-want{i}.npy" for i in range(len(types))]
    got = [folder / f"{kind}-got{i}.npy" for i in range(len(types))]
    artifact = folder / f"{kind}.ingot"
    # Where nothing is approximate, the rounding is what counts.
    precision = "f64" if kind in ("numbers", "transformers") else "f32"
    run("ingot-opt", source, f"--tfm-interpret=function={kind} inputs={','.join(map(str, inputs))} outputs={','.join(map(str, want))} precision={precision}", "-o", "/dev/null")
    run("ingot-compile", source, "-o", artifact, "--quiet")
    run("ingot-run", artifact, "--input", f"x={inputs[0]}", "--input", f"y={inputs[1]}",
        *(word for i, path in enumerate(got) for word in ("--output", f"o{i}={path}")))
    for name, a, b in zip(cases, got, want):
        expected = read_npy(b)
        error, scale = distance(read_npy(a), expected), max(map(abs, expected))
        if not error <= (0 if is_exact(kind, name) else 2e-5 * max(scale, 1e-30)):
            yield f"{name}: off by {error:.2e} of {scale:.2e}"


failures = []
listed = set(re.findall(r"`((?:arith|math|tensor|linalg|tfm)\.\w+)`", page.read_text()))
tested = {name for cases in KINDS.values() for name in cases}
failures += [f"{name}: docs/Graphs.md lists it, no case has it" for name in sorted(listed - tested)]
failures += [f"{name}: docs/Graphs.md does not list it" for name in sorted(tested - listed)]
for kind, cases in KINDS.items():
    try:
        failures += check(kind, cases)
    except (RuntimeError, OSError) as error:
        failures.append(f"{kind}: {error}")
print("\n".join([*failures, f"{len(tested)} operations, {len(failures)} failures"]))
sys.exit(bool(failures))
