# Where LLVM does not optimize:
# UNSUPPORTED: sanitizers
# RUN: %python %s %t
"""The inner loops of products of bytes: as many dot products as the tile has, hardly a vector on the stack. One row on AVX2 asks for the
lines of a group while it multiplies another, each once and never five in a row: in a burst they would keep the loads waiting.

A loop is the code from a label to the jump back to it, without other loops inside. One round is a group of 32 numbers: eight steps for each
vector of each row. Figures that do not drift with the machine.
"""
import pathlib
import re
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "Inputs"))
from loops import innermost_code


def assembly(weights, target):
    source = folder / f"{weights}.mlir"
    matrix = f"tensor<128x512x!tfm.block<{weights}>, #plan.panels<64, 1>>"
    source.write_text(f"""
plan.kernel @project(%x: tensor<?x512x!tfm.block<q8_x>>, %w: {matrix}) -> tensor<?x128xf32>
    attributes {{schedule = #plan.schedule<linear>}} {{
  %y = tfm.linear %x, %w : tensor<?x512x!tfm.block<q8_x>>, {matrix} -> tensor<?x128xf32>
  plan.yield %y : tensor<?x128xf32>
}}
""")
    done = subprocess.run(["ingot-opt", str(source), f"--emit-cpu-kernels=target={target} assembly=true", "-o", "/dev/null"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    (folder / f"{weights}-{target}.s").write_text(done.stdout)
    return done.stdout.splitlines()


problems = []
# weights, target, the instruction, how many of them the largest tile's group takes
CASES = [("q8_0", "znver5", r"vpdpbusd\b.*%zmm", 8 * 2 * 8), ("q4_0", "znver5", r"vpdpbusd\b.*%zmm", 8 * 2 * 8),
         ("q4_k", "znver5", r"vpdpbusd\b.*%zmm", 8 * 2 * 8), ("q4_0", "alderlake", r"(\{vex\}\s+)?vpdpbusd\b.*%ymm", 5 * 2 * 8),
         ("q8_0", "x86-64-v3", r"vpmaddubsw\b.*%ymm", 4 * 2 * 8), ("q4_0", "x86-64-v3", r"vpmaddubsw\b.*%ymm", 4 * 2 * 8),
         ]
# Lines of 64 bytes that a group of 64 columns has: one row on AVX2 asks for as many.
LINES = {"q8_0": 34, "q4_0": 18, "q4_1": 20, "q4_k": 18, "q5_0": 22, "q5_1": 24, "q5_k": 22, "q6_k": 27}
for weights, target, pattern, wanted in CASES:
    counts = []
    lines = assembly(weights, target)
    # Without a frame %rbp is a register like others.
    frame = any(re.search(r"movq\s+%rsp, %rbp", line) for line in lines)
    on_stack = r"\(%r[sb]p" if frame else r"\(%rsp"
    for loop in innermost_code(lines):
        count = sum(bool(re.match(pattern, line)) for line in loop)
        counts.append(count)
        prefetches = [line for line in loop if line.startswith("prefetch")]
        if len(set(prefetches)) < len(prefetches):
            problems.append(f"{weights}, {target}: a line is asked for twice:\n  " + "\n  ".join(loop))
        # LLVM puts what is asked for behind four loads together, of the words of a block of 4 bits.
        if any(all(line.startswith("prefetch") for line in loop[i:i + 5]) for i in range(len(loop) - 4)):
            problems.append(f"{weights}, {target}: a burst of prefetches:\n  " + "\n  ".join(loop))
        # LLVM parks a vector that is used once a round; sums and weights are not among them.
        stack = sum(bool(re.search(on_stack, line)) and "mm" in line for line in loop)
        if count == wanted and stack > count // 8:
            problems.append(f"{weights}, {target}: a loop of {count} products touches the stack {stack} times:\n  " + "\n  ".join(loop))
    # From the panel and from scratch memory.
    if counts.count(wanted) < 2:
        problems.append(f"{weights}, {target}: expected two loops of {wanted} products, got {sorted(counts)}")
for weights, lines in LINES.items():
    # A tile of one row that is left over asks for as many.
    asked = [sum(line.startswith("prefetch") for line in loop) for loop in innermost_code(assembly(weights, "x86-64-v3"))]
    if asked.count(lines) < 2:
        problems.append(f"{weights}: expected two loops that ask for {lines} lines, got {asked}")
print("\n".join(problems) or f"{len(CASES)} kernels, all as they should be")
sys.exit(bool(problems))
