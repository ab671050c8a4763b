#!/usr/bin/env python3
"""Stands in for llama-bench: known rates, behind a line that is no JSON, as some forks print one."""
import json
import sys

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("repacked tensors[ 3 ]")
if arguments.get("-fa") != "1":
    sys.exit(0)
if arguments.get("-d", "0") != "16" or arguments["-t"] != "2" or arguments["-r"] != "1" or arguments["-o"] != "json":
    sys.exit(f"unexpected arguments: {sys.argv}")
tests = []
if arguments["-p"] != "0":
    tests.append({"n_prompt": int(arguments["-p"]), "n_gen": 0, "avg_ns": 1000000 * int(arguments["-p"])})
tests.append({"n_prompt": 0, "n_gen": int(arguments["-n"]), "avg_ns": 9, "avg_ts": 250.5})
print(json.dumps(tests, indent=2))
