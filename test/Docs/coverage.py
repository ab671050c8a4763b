# RUN: %python %s %source
"""Every pass is run by name in a lit test, with its options, and every operation occurs in an input of one.

A pass without a test that names it, or an operation that no test parses, is found here and not by a user.
"""
import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1])
DIRECTIVE = "RUN" + ":"  # not for lit
tests = [path for folder in ("Dialect", "Transforms", "Reference", "Import", "EndToEnd", "Tools", "CodeGen", "Bench")
         for path in (source / "test" / folder).rglob("*") if path.suffix in (".mlir", ".test", ".py")]
texts = [path.read_text() for path in tests]
runs = "\n".join(line for text in texts for line in text.splitlines() if DIRECTIVE in line)
inputs = "\n".join(text for path, text in zip(tests, texts) if path.suffix == ".mlir" and DIRECTIVE in text)
missing, passes, operations = [], 0, 0

for definitions in sorted((source / "include").rglob("*.td")):
    text = definitions.read_text()
    dialect = "plan" if "/Plan/" in str(definitions) else "tfm"
    for name in re.findall(r"^def \w+ : \w+Op<\"(\w+)\"", text, re.M):
        operations += 1
        if not re.search(rf"\b{dialect}\.{name}\b", inputs):
            missing.append(f"{dialect}.{name}: no test has it in its input")
    for body in re.split(r"^def (?=\w+ : Pass<)", text, flags=re.M)[1:]:
        passes += 1
        name = re.match(r"\w+ : Pass<\"([\w-]+)\"", body).group(1)
        if not re.search(rf"(--|[(,]){name}\b", runs):
            missing.append(f"{name}: no test names it")
        for option in re.findall(r"Option<\"\w+\",\s*\"([\w-]+)\"", body):
            # In a test of the pass, or by the driver's option that sets it.
            if not re.search(rf"{name}[^\n]*\b{option}=", runs):
                missing.append(f"{name}: no test gives its option {option}")

print(f"{passes} passes, {operations} operations")
if missing or passes < 10 or operations < 20:
    sys.exit("\n".join(missing) or "the definitions were not found")
