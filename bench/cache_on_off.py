#!/usr/bin/env python3
"""The much-quoted experiment with GPT-2: generate 1000 tokens with the cache and without.

    bench/cache_on_off.py [MODEL] [--tokens=1000] [--runs=3]

MODEL is a checkpoint; without one a random model of GPT-2's shape is made (the time does not depend on the weights). The
ids of both must be equal; the times are medians of runs in turn, loading included.
"""
import argparse
import pathlib
import tempfile
import time

import common


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_build_option(parser)
    parser.add_argument("model", nargs="?", type=pathlib.Path)
    parser.add_argument("--preset", default="gpt2", help="shape of the random model (see make_checkpoint.py)")
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    seconds, ids = {"cache": [], "no cache": []}, {}
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if model is None:
            model = f"{folder}/model"
            common.run([common.ROOT / "bench/make_checkpoint.py", model, f"--preset={options.preset}"])
        for name in seconds:
            common.run([common.tool(options.build, "ingot-compile"), model, "-o", f"{folder}/{name}.ingot",
                        "--target=native", "--quiet"] + (["--no-kv-cache"] if name == "no cache" else []))
        for _ in range(options.runs):
            for name, times in seconds.items():
                command = [common.tool(options.build, "ingot-run"), f"{folder}/{name}.ingot", "--ids=11,7,5,3",
                           "-n", options.tokens, "--ignore-eos"]
                if options.threads:
                    command.append(f"--threads={options.threads}")
                begin = time.monotonic()
                ids[name] = common.run(command)
                times.append(time.monotonic() - begin)
    if ids["cache"] != ids["no cache"]:
        raise SystemExit("error: the ids differ with and without the cache")
    with_cache, without = (common.median(times) for times in seconds.values())
    common.print_table([["tokens", "cache, s", "no cache, s", "factor"],
                        [options.tokens, with_cache, without, without / with_cache]])
    if options.json:
        common.write_json(options.json, {"tokens": options.tokens, "seconds": seconds})


if __name__ == "__main__":
    main()
