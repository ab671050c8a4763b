"""Cases of fields: what changes the graph, what is refused, what changes nothing.

A case is a config (a family with changes), and a change to it that must change the graph; or a change that must be an
error that names the field. Every field that the tool says it reads needs a case, and every case a field that is read.
"""
import copy
import json
import pathlib
import re
import subprocess
import sys

import checkpoint
from familyconfigs import REMOVE

tool, directory = sys.argv[1:]
failures, covered, read, results, bases = [], {}, {}, {}, {}


def base_of(family):
    return bases[family] if family in bases else getattr(checkpoint, family.upper())


def run(family, config, **options):
    """Exit code, graph and messages. In the first pass only notes what has to be run."""
    key = json.dumps([config, str(options)])
    if key not in results:
        folder = f"{directory}/{len(results)}"
        if family in bases:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        else:
            checkpoint.write(folder, config, **options)
        results[key] = family, 0, "", ""
    return results[key][1:]


def run_all():
    """Runs the importer once, on all that was noted, and records which fields it read."""
    command = [tool, "--report", *(["--invent"] if bases else []), *(f"{directory}/{i}" for i in range(len(results)))]
    p = subprocess.run(command, capture_output=True, text=True)
    graphs = p.stdout.split("// ----- end\n")[:-1]
    messages = p.stderr.split("// ----- end\n")[:-1]
    for (key, (family, *_)), graph, message in zip(list(results.items()), graphs, messages, strict=True):
        lines = graph.splitlines()
        for line in lines:
            if line.startswith("// read:"):
                read.setdefault(family, set()).update(line.split()[2:])
        # Where a tensor lies in its file follows from other tensors.
        graph = re.sub(r" at \d+", "", "\n".join(line for line in lines if not line.startswith("// ")))
        results[key] = family, int(not graph), graph, message


def merged(config, changes):
    config = copy.deepcopy(config)
    for path, value in changes.items():
        *parents, last = path.split(".")
        inner = config
        for name in parents:
            inner = inner[name]
        if value is REMOVE:
            inner.pop(last, None)
        else:
            inner[last] = copy.deepcopy(value)
    return config


def case(family, base, changes, field=None):
    """`changes` changes the graph of `base`."""
    config = merged(base_of(family), base)
    field = field or next(iter(changes))
    covered.setdefault(family, set()).add(field)
    code, before, err = run(family, config)
    other = merged(config, changes)
    other_code, after, other_err = run(family, other)
    if code or other_code:
        failures.append(f"{family} {base} {changes}: {err}{other_err}")
    elif before == after:
        failures.append(f"{family} {base} {changes}: the graph does not change")


def refused(family, base, changes, text):
    """`changes` is one error, about the field."""
    config = merged(merged(base_of(family), base), changes)
    field = list(changes)[-1]
    covered.setdefault(family, set()).add(field)
    read.setdefault(family, set()).add(field)
    code, out, err = run(family, config)
    if code != 1 or out or len(err.splitlines()) != 1 or f"config.json: field '{field}': " not in err or text not in err:
        failures.append(f"{family} {base} {changes}: expected an error with {text!r}, got {code} {err}")


def same(family, base, changes, **options):
    """`changes` change nothing."""
    config = merged(base_of(family), base)
    _, before, err = run(family, config)
    other = merged(config, changes)
    code, after, other_err = run(family, other, **options)
    if code or before != after:
        failures.append(f"{family} {base} {changes}: expected the same graph, {err}{other_err}")


def finish(table, complete=True):
    """Runs the cases of `table`, prints what failed, and exits. `complete`: every field that is read has a case."""
    table()
    run_all()
    failures.clear()
    table()
    for family in read if complete else ():
        if read[family] != covered[family]:
            failures.append(f"{family}: read but not covered: {sorted(read[family] - covered[family])}, "
                            f"covered but not read: {sorted(covered[family] - read[family])}")
    for failure in failures:
        print(failure)
    print(f"{sum(map(len, covered.values()))} fields, {len(failures)} failures")
    sys.exit(bool(failures))
