# RUN: %python %s %source
"""Executes every example in the documentation of dialects and passes.

An operation's or a type's example must parse, verify and survive printing. A pass has pairs of examples: the
pass must turn the first into the second (both cleaned up, so that order and names do not matter).
"""
import pathlib
import re
import subprocess
import sys

source = pathlib.Path(sys.argv[1])
failures = []
EXAMPLE = re.compile(r"```mlir\n(.*?)```", re.S)


def opt(text, *arguments):
    run = subprocess.run(["ingot-opt", *arguments], input=text, capture_output=True, text=True)
    return run.stdout if run.returncode == 0 else None, run.stderr


def check_round_trip(name, example):
    printed, error = opt(example)
    again = opt(printed)[0] if printed else None
    if printed is None or printed != again:
        failures.append(f"{name}: the example does not survive: {error[-400:]}")


def clean(text, *arguments):
    """Records that a pass leaves in attributes of the module are not compared."""
    printed, error = opt(text, *arguments, "--canonicalize", "--cse", "--canonicalize")
    return printed and re.sub(r"^module attributes .* {$", "module {", printed, flags=re.M), error


count = 0
for path in sorted(source.glob("include/ingot/**/*.td")):
    text = path.read_text()
    if path.name == "Passes.td":
        for definition in re.split(r"\n(?=def )", text):
            head = re.match(r'def (\w+) : Pass<"([\w-]+)"', definition)
            if not head:
                continue
            name = head.group(2)
            examples = list(EXAMPLE.finditer(definition))
            if len(examples) == 1:  # a pass that only looks
                check_round_trip(name, examples[0].group(1))
                continue
            if not examples or len(examples) % 2:
                failures.append(f"{name}: expected one example or pairs, got {len(examples)}")
                continue
            for before, after in zip(examples[::2], examples[1::2]):
                count += 1
                option = re.search(r"with `([^`]+)`", definition[before.end():after.start()])
                flag = f"--{name}" + (f"={option.group(1)}" if option else "")
                got, error = clean(before.group(1), flag)
                want, want_error = clean(after.group(1))
                if got is None or want is None:
                    failures.append(f"{name}: {error[-600:]}{want_error[-600:]}")
                elif got != want:
                    failures.append(f"{name}: expected\n{want}\ngot\n{got}")
        continue
    for definition in re.split(r"\n(?=def )", text):
        head = re.match(r"def (\w+)", definition)
        for example in EXAMPLE.finditer(definition):
            count += 1
            check_round_trip(head.group(1) if head else path.name, example.group(1))
    # Every operation has an example.
    for head in re.finditer(r"^def (\w+Op) : (?:Transformer|Plan)_\w*Op<", text, re.M):
        body = text[head.start():]
        if not EXAMPLE.search(re.split(r"\n(?=def )", body)[0]):
            failures.append(f"{head.group(1)}: has no example")

print("\n\n".join(failures))
print(f"{count} examples")
sys.exit(bool(failures) or count < 20)
