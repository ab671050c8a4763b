# RUN: %python %s %t
"""Graphs compiled to native code and run on arrays of odd sizes equal the interpreter.

Each case is a function; its inputs are random. The f64 interpreter is the reference; the error allowed is 2e-5 of the
largest magnitude of the result, some tens of roundings of f32.
"""
import pathlib
import random
import re
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Import/Inputs"))
from blocks import read_npy, run, write_npy
from compare import distance
has_avx512 = "avx512vl" in open("/proc/cpuinfo").read() and "avx512dq" in open("/proc/cpuinfo").read()
# Kernels of newer processors run in the instructions of an older one where there is no such processor.
targets = ["x86-64-v3", "x86-64-v4" if has_avx512 else "znver5@x86-64-v3"]
random.seed(5)

# name, signature, body, shapes of the inputs in order (each a dict of dynamic sizes)
CASES = [
    ("elementwise", "%x: tensor<?x19xf32>, %y: tensor<?x19xf32>", "tensor<?x19xf32>", """
     %0 = arith.mulf %x, %y : tensor<?x19xf32>
     %1 = math.tanh %0 : tensor<?x19xf32>
     %2 = math.exp %1 : tensor<?x19xf32>
     %o = arith.subf %2, %y : tensor<?x19xf32>""", [(7, 19), (7, 19)]),
    ("one_number", "%x: tensor<f32>", "tensor<f32>", """
     %0 = arith.mulf %x, %x : tensor<f32>
     %o = math.exp %0 : tensor<f32>""", [()]),
    ("sum_of_all", "%x: tensor<77xf32>", "tensor<f32>", """
     %c = arith.constant dense<0.5> : tensor<f32>
     %o = linalg.reduce { arith.addf } ins(%x : tensor<77xf32>) outs(%c : tensor<f32>) dimensions = [0]""", [(77,)]),
    ("erf", "%x: tensor<?x5x33xf32>", "tensor<?x5x33xf32>", """
     %0 = math.erf %x : tensor<?x5x33xf32>
     %1 = math.sin %0 : tensor<?x5x33xf32>
     %2 = math.absf %1 : tensor<?x5x33xf32>
     %3 = math.sqrt %2 : tensor<?x5x33xf32>
     %o = arith.maximumf %3, %0 : tensor<?x5x33xf32>""", [(3, 5, 33)]),
    ("softmax", "%x: tensor<?x?xf32>", "tensor<?x?xf32>", """
     %o = tfm.softmax %x dim(1) : tensor<?x?xf32>""", [(6, 37)]),
    ("norms", "%x: tensor<?x45xf32>, %w: tensor<45xf32>", "tensor<?x45xf32>", """
     %0 = tfm.layer_norm %x weight(%w : tensor<45xf32>) bias(%w : tensor<45xf32>) eps(1.0e-5) : tensor<?x45xf32>
     %o = tfm.rms_norm %0 weight(%w : tensor<45xf32>) eps(1.0e-6) : tensor<?x45xf32>""", [(9, 45), (45,)]),
    ("linear_on_an_input", "%x: tensor<?x?x21xf32>, %w: tensor<13x21xf32>, %b: tensor<13xf32>", "tensor<?x?x13xf32>", """
     %o = tfm.linear %x, %w bias(%b : tensor<13xf32>) : tensor<?x?x21xf32>, tensor<13x21xf32> -> tensor<?x?x13xf32>""",
     [(2, 5, 21), (13, 21), (13,)]),
    ("three_parts", "%x: tensor<?x24xf32>", "tensor<?x15xf32>", """
     %c0 = arith.constant 0 : index
     %n = tensor.dim %x, %c0 : tensor<?x24xf32>
     %w = arith.constant dense<WEIGHTS> : tensor<45x24xf32>
     %y = tfm.linear %x, %w : tensor<?x24xf32>, tensor<45x24xf32> -> tensor<?x45xf32>
     %a = tensor.extract_slice %y[0, 0] [%n, 15] [1, 1] : tensor<?x45xf32> to tensor<?x15xf32>
     %b = tensor.extract_slice %y[0, 15] [%n, 15] [1, 1] : tensor<?x45xf32> to tensor<?x15xf32>
     %c = tensor.extract_slice %y[0, 30] [%n, 15] [1, 1] : tensor<?x45xf32> to tensor<?x15xf32>
     %d = arith.maximumf %a, %b : tensor<?x15xf32>
     %o = arith.mulf %d, %c : tensor<?x15xf32>""".replace("WEIGHTS", str([[random.gauss(0, 1) for _ in range(24)] for _ in range(45)])),
     [(9, 24)]),
    ("matmul", "%a: tensor<?x?x?xf32>, %b: tensor<?x?x?xf32>", "tensor<?x?x?xf32>", """
     %0 = tfm.matmul %a, %b transpose_b : tensor<?x?x?xf32>, tensor<?x?x?xf32> -> tensor<?x?x?xf32>
     %o = tfm.matmul %0, %b : tensor<?x?x?xf32>, tensor<?x?x?xf32> -> tensor<?x?x?xf32>""", [(3, 5, 18), (3, 7, 18)]),
    ("rotary", "%x: tensor<?x3x20xf32>, %c: tensor<?x7xf32>, %s: tensor<?x7xf32>", "tensor<?x3x20xf32>", """
     %0 = tfm.rotary %x, %c, %s : tensor<?x3x20xf32>, tensor<?x7xf32>
     %o = tfm.rotary %0, %c, %s interleaved : tensor<?x3x20xf32>, tensor<?x7xf32>""", [(6, 3, 20), (6, 7), (6, 7)]),
    ("slices_and_concat", "%x: tensor<?x40xf32>", "tensor<?x29xf32>", """
     %c0 = arith.constant 0 : index
     %n = tensor.dim %x, %c0 : tensor<?x40xf32>
     %a = tensor.extract_slice %x[0, 3] [%n, 11] [1, 1] : tensor<?x40xf32> to tensor<?x11xf32>
     %b = tensor.extract_slice %x[0, 17] [%n, 18] [1, 1] : tensor<?x40xf32> to tensor<?x18xf32>
     %o = tensor.concat dim(1) %b, %a : (tensor<?x18xf32>, tensor<?x11xf32>) -> tensor<?x29xf32>""", [(5, 40)]),
    ("concat_of_rows", "%x: tensor<?x5xf32>, %y: tensor<?x5xf32>", "tensor<?x5xf32>", """
     %0 = arith.negf %y : tensor<?x5xf32>
     %o = tensor.concat dim(0) %x, %0 : (tensor<?x5xf32>, tensor<?x5xf32>) -> tensor<?x5xf32>""", [(4, 5), (3, 5)]),
    ("reduce_and_broadcast", "%x: tensor<?x23xf32>", "tensor<?x23xf32>", """
     %c0 = arith.constant 0 : index
     %n = tensor.dim %x, %c0 : tensor<?x23xf32>
     %zero = arith.constant 0.0 : f32
     %e = tensor.empty(%n) : tensor<?xf32>
     %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
     %r = linalg.reduce {arith.addf} ins(%x : tensor<?x23xf32>) outs(%f : tensor<?xf32>) dimensions = [1]
     %g = tensor.empty(%n) : tensor<?x23xf32>
     %h = linalg.broadcast ins(%r : tensor<?xf32>) outs(%g : tensor<?x23xf32>) dimensions = [1]
     %o = arith.subf %x, %h : tensor<?x23xf32>""", [(8, 23)]),
    ("unfused_attention", "%q: tensor<2x?x12xf32>, %k: tensor<2x?x12xf32>", "tensor<2x?x12xf32>", """
     %s = tfm.matmul %q, %k transpose_b : tensor<2x?x12xf32>, tensor<2x?x12xf32> -> tensor<2x?x?xf32>
     %p = tfm.softmax %s dim(1) : tensor<2x?x?xf32>
     %o = tfm.matmul %p, %k : tensor<2x?x?xf32>, tensor<2x?x12xf32> -> tensor<2x?x12xf32>""", [(2, 9, 12), (2, 14, 12)]),
]


def attention(name, heads, kv_heads, size, value_size, rows, keys, words, batch=None, extra="", types=""):
    lead, dims = ("?x", (batch,)) if batch else ("", ())
    q, k, v = f"tensor<{lead}{heads}x?x{size}xf32>", f"tensor<{lead}{kv_heads}x?x{size}xf32>", f"tensor<{lead}{kv_heads}x?x{value_size}xf32>"
    o = f"tensor<{lead}{heads}x?x{value_size}xf32>"
    extra_shape = [(heads,)] if extra else []
    CASES.append((name, f"%q: {q}, %k: {k}, %v: {v}" + (f", {extra}: tensor<{heads}xf32>" if extra else ""), o, f"""
     %scale = arith.constant 0.3 : f32
     %o = tfm.attention %q, %k, %v scale(%scale) {words} : {q}, {k}, {v} -> {o}""",
                  [dims + (heads, rows, size), dims + (kv_heads, keys, size), dims + (kv_heads, keys, value_size)] + extra_shape))


attention("attention", 4, 4, 8, 8, 9, 9, "")
attention("attention_grouped", 6, 2, 20, 12, 33, 70, "", batch=2)
attention("attention_causal_long", 2, 1, 16, 16, 1100, 1100, "causal")
attention("attention_window_softcap", 3, 3, 17, 5, 130, 130, "causal window(40) softcap(2.0)", batch=3)
attention("attention_alibi", 4, 2, 24, 24, 66, 66, "causal alibi(%slopes : tensor<4xf32>)", extra="%slopes")
attention("attention_sinks", 4, 1, 8, 40, 65, 65, "sinks(%sinks : tensor<4xf32>) causal", extra="%sinks")
attention("attention_rows_without_keys", 2, 2, 8, 8, 20, 20, """
       mask {
       ^bb0(%b: index, %h: index, %i: index, %j: index):
         %c5 = arith.constant 5 : index
         %c3 = arith.constant 3 : index
         %r = arith.remsi %i, %c3 : index
         %far = arith.cmpi sge, %j, %c5 : index
         %some = arith.cmpi sgt, %r, %h : index
         %keep = arith.andi %far, %some : i1
         tfm.yield %keep : i1
       }""")


failures = 0
for name, arguments, result, body, shapes in CASES:
    source = folder / f"{name}.mlir"
    source.write_text(f"func.func @{name}({arguments}) -> {result} {{{body}\n     return %o : {result}\n}}\n")
    names = re.findall(r"%(\w+): tensor", arguments)
    inputs = []
    for input_name, shape in zip(names, shapes):
        count = 1
        for size in shape:
            count *= size
        path = folder / f"{name}-{input_name}.npy"
        write_npy(path, "f", shape, [random.gauss(0, 1) for _ in range(count)])
        inputs.append(path)
    expected = folder / f"{name}-expected.npy"
    try:
        run("ingot-opt", source, f"--tfm-interpret=function={name} inputs={','.join(map(str, inputs))} outputs={expected}", "-o", "/dev/null")
        want = read_npy(expected)
        for target in targets:
            artifact, out = folder / f"{name}.ingot", folder / f"{name}-{target}.npy"
            run("ingot-compile", source, "-o", artifact, f"--target={target}", "--quiet")
            run("ingot-run", artifact, *(word for n, p in zip(names, inputs) for word in ("--input", f"{n}={p}")), "--output", f"o={out}")
            got = read_npy(out)
            scale = max(abs(x) for x in want)
            error = distance(got, want)
            if not error <= 2e-5 * scale:
                raise RuntimeError(f"{target}: off by {error:.2e} of {scale:.2e}")
    except (RuntimeError, OSError) as error:
        failures += 1
        print(f"{name}: {error}")
print(f"{len(CASES)} graphs on {', '.join(targets)}, {failures} failed")
sys.exit(bool(failures))
