"""check-docs.py SOURCE: what docs/Importing.md quotes is what the sources say."""
import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1])
text = (source / "docs/Importing.md").read_text()
code = "".join(p.read_text() for p in sorted(source.glob("lib/Import/**/*.cpp")))
quotes = re.findall(r"```c\+\+\n(.*?)```", text, re.S)
missing = [q for q in quotes if q not in code]
missing += [f for f in re.findall(r"`((?:include|test|lib)/[\w/.-]+)`", text) if not (source / f).exists()]
print(missing)
sys.exit(bool(missing) or not quotes)
