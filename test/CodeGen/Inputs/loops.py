"""loops.py FILE.s...: the innermost loops of assembly, the one with the most products first: how many products of vectors (fused
multiply-add, dot products), loads of vectors, accesses to the stack and calls are in one round."""
import re
import sys

PRODUCT = re.compile(r"\tv(fmadd|fnmadd|dpbf16ps|pdpbusd|pmaddwd)")
WIDE = re.compile(r"%[yz]mm")


def innermost_loops(lines):
    labels = {match.group(1): i for i, line in enumerate(lines) if (match := re.match(r"(\.LBB\w+):", line))}
    loops = []
    for i, line in enumerate(lines):
        jump = re.match(r"\tj\w+\s+(\.LBB\w+)", line)
        if jump and labels.get(jump.group(1), i) < i:
            loops.append((labels[jump.group(1)], i))
    return [(a, b) for a, b in loops if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in loops)]


def count(lines):
    code = [line for line in lines if line.startswith("\t") and not line.startswith("\t.")]
    wide = [line for line in code if WIDE.search(line)]
    stack = [line for line in code if re.search(r"\(%r[sb]p", line)]
    return {"products": sum(bool(PRODUCT.match(line)) for line in wide),
            "loads": sum("(%" in line and not line.rstrip().endswith(")") for line in wide),
            "stack": len(stack), "calls": sum(line.startswith("\tcall") for line in code)}


def innermost_code(lines):
    """The instructions of each innermost loop, without blanks around them."""
    for begin, end in innermost_loops(lines):
        yield [line.strip() for line in lines[begin + 1:end + 1] if line.startswith("\t") and not line.startswith("\t.")]


def main(paths):
    for path in paths:
        lines = open(path).read().splitlines()
        loops = sorted((count(lines[a:b + 1]) for a, b in innermost_loops(lines)), key=lambda loop: -loop["products"])
        name = path.rsplit("/", 1)[-1]
        print(f"{name}: {count(lines)['calls']} calls, {len(loops)} innermost loops")
        for loop in loops:
            print(f"{name}: loop: " + ", ".join(f"{value} {key}" for key, value in loop.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
