#!/usr/bin/env python3
"""Whole models and their kernels beside the machine's limits, and beside llama.cpp where it is there.

    bench/models.py [--models=a,smollm2-135m,gpt2] [--json=models.json]
    bench/models.py --models=path/to/checkpoint --compile="--weights=q8" --compile="--weights=q4"
    bench/models.py --models=a.gguf --peer=llama.cpp=llama.cpp/llama-bench,a.gguf --peer="ik=ik/llama-bench -fa 1 -rtr 1,a.gguf"

A model is a folder, a GGUF file, or a shape that make_checkpoint.py knows. Each --compile is one more way to compile it. All
contenders take turns, `--runs` times; figures are medians, and shares are of the limits measured in the same turn: a machine that
is busy or throttled is so for everybody. A peer is an executable with llama-bench's command line, options for it and a GGUF file.
Where Ingot runs the same file as it is, what a peer's step reads and computes is known, and its shares are of the same bytes and operations;
else its step is taken to read the whole file.
"""
import argparse
import json
import os
import pathlib
import shlex
import shutil
import sys
import tempfile

import common


class Ingot:
    def __init__(self, options, name, artifact, model):
        self.options, self.name, self.artifact, self.model, self.samples = options, name, artifact, model, []
        self.bytes = os.path.getsize(artifact)

    def command(self, what, *arguments):
        command = [common.tool(self.options.build, "ingot-run"), what, self.artifact, "--json", *arguments]
        return command + ([f"--threads={self.options.threads}"] if self.options.threads else [])

    def measure(self):
        o = self.options
        self.samples.append(json.loads(common.run(self.command(
            "bench", "-p", o.prompt, "-n", o.tokens, "--depth", o.depth, "--batch", o.batch, "--repeat=1"))))

    def profile(self):
        return json.loads(common.run(self.command("profile", "-p", self.options.prompt, "-n", min(32, self.options.tokens))))

    def summary(self):
        pick = lambda *path: common.median([value(sample, path) for sample in self.samples])  # noqa: E731
        return {"name": self.name, "file_bytes": self.bytes, "prefill_tok_s": pick("prefill", "tok_s"),
                "decode_tok_s": pick("decode", "tok_s"), "decode_gb_s": pick("decode", "gb_s"),
                "share_of_read": pick("decode", "share_of_read"), "share_of_f32": pick("prefill", "share_of_f32"),
                "share_of_bf16": pick("prefill", "share_of_bf16"), "share_of_int8": pick("prefill", "share_of_int8"),
                "samples": self.samples}


def value(sample, path):
    for key in path:
        sample = sample and sample.get(key)
    return sample


class Peer:
    """llama-bench: prints a list with one object per test."""

    def __init__(self, options, text):
        self.name, _, rest = text.partition("=")
        command, _, self.model = rest.rpartition(",")
        self.command = shlex.split(command)
        if not self.command or not shutil.which(self.command[0]) or not os.path.exists(self.model):
            sys.exit(f"error: --peer={text}: expected NAME=PROGRAM [OPTIONS],MODEL.gguf, two files that exist")
        if options.batch != 1:
            sys.exit("error: --batch: llama-bench decodes one sequence, drop --peer or --batch")
        self.options, self.samples = options, []

    def measure(self):
        o = self.options
        threads = o.threads or len(os.sched_getaffinity(0))
        depth = ["-d", o.depth] if o.depth else []
        output = common.run([*self.command, "-m", self.model, "-p", o.prompt, "-n", o.tokens, *depth, "-t", threads, "-r", 1,
                             "-o", "json"])
        try:  # some print what they repack, before
            tests = json.loads(output[output.index("[\n"):])
        except ValueError:
            sys.exit(f"error: {self.command[0]}: expected a list in JSON, as llama-bench -o json prints it, got: {output[:200]}")
        rate = lambda test: test.get("avg_ts") or 1e9 * (test["n_prompt"] + test["n_gen"]) / test["avg_ns"]  # noqa: E731
        self.samples.append({"prefill": next((rate(t) for t in tests if t["n_prompt"] and not t["n_gen"]), None),
                             "decode": next((rate(t) for t in tests if t["n_gen"] and not t["n_prompt"]), None)})

    def summary(self, contenders):
        """`contenders`: Ingot's, whose sample of the same turn has the limits; the one that runs the same file comes first."""
        size = os.path.getsize(self.model)
        same = [c for c in contenders if os.path.exists(c.model) and os.path.samefile(c.model, self.model)]
        beside = (same + contenders)[0].samples
        rows = []
        for sample, ours in zip(self.samples, beside):
            limits, row = ours["limits"], {"prefill_tok_s": sample["prefill"], "decode_tok_s": sample["decode"]}
            step = ours["decode"]["bytes_per_token"] if same and "decode" in ours else size
            if sample["decode"]:
                row["decode_gb_s"] = sample["decode"] * step * 1e-9
                row["share_of_read"] = row["decode_gb_s"] / limits["read_gb_s"]
            if same and sample["prefill"] and "prefill" in ours:
                factor = sample["prefill"] / ours["prefill"]["tok_s"]
                row.update({f"share_of_{kind}": factor * ours["prefill"][f"share_of_{kind}"] for kind in ("f32", "bf16", "int8")})
            rows.append(row)
        keys = {key: None for row in rows for key in row}
        medians = {key: common.median([row.get(key) for row in rows]) for key in keys}
        return {"name": self.name, "file_bytes": size, **medians, "samples": self.samples}


def prepare(options, folder):
    """Compiles every model in every way."""
    contenders = []
    for model in options.models.split(","):
        path = pathlib.Path(model)
        if not path.exists():
            path = pathlib.Path(folder) / model
            common.run([common.ROOT / "bench/make_checkpoint.py", path, f"--preset={model}"])
        for flags in options.compile or [""]:
            artifact = f"{folder}/{len(contenders)}.ingot"
            seconds = common.timed([common.tool(options.build, "ingot-compile"), path, "-o", artifact, "--target=native",
                                    "--quiet", *shlex.split(flags)])
            print(f"{model} {flags}: compiled in {seconds:.1f} s", file=sys.stderr)
            contenders.append(Ingot(options, f"{path.name} {flags}".strip(), artifact, "" if flags.strip() else path))
    return contenders


def print_kernels(contender, profile):
    print(f"\n{contender.name}, kernels")
    rows = [["kernel", "phase", "times", "ms/run", "GB/s", "GFLOP/s", "of the limit"]]
    for program in profile["programs"]:
        kernels = {}
        for dispatch in program["dispatches"]:
            kernel = kernels.setdefault(dispatch["kernel"], dict(count=0, nanoseconds=0, bytes=0, flops=0, least=0.0))
            kernel["count"] += 1
            for key in ("nanoseconds", "bytes", "flops"):
                kernel[key] += dispatch[key]
            kernel["least"] += dispatch["share_of_limit"] * dispatch["nanoseconds"]
        for name, kernel in sorted(kernels.items(), key=lambda item: -item[1]["nanoseconds"]):
            time = max(1, kernel["nanoseconds"])
            rows.append([name, program["name"], kernel["count"], time / program["runs"] * 1e-6, kernel["bytes"] / time,
                         kernel["flops"] / time, common.percent(kernel["least"] / time)])
    common.print_table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_build_option(parser)
    parser.add_argument("--models", default="a,smollm2-135m,gpt2", help="folders, GGUF files or shapes, separated by commas")
    parser.add_argument("--compile", action="append", metavar="FLAGS", help="options of ingot-compile; may be repeated")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PROGRAM [OPTIONS],MODEL.gguf")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-n", "--tokens", type=int, default=128)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--kernels", action="store_true", help="also a table of the kernels of each model")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peers = [Peer(options, text) for text in options.peer]
        contenders = prepare(options, folder)
        for turn in range(options.runs):
            for contender in contenders + peers:
                print(f"turn {turn + 1} of {options.runs}: {contender.name}", file=sys.stderr)
                contender.measure()
        results = [contender.summary() for contender in contenders]
        results += [peer.summary(contenders) for peer in peers]
        limits = {key: sorted(sample["limits"][key] for contender in contenders for sample in contender.samples)
                  for key in ("read_gb_s", "f32_gflops", "bf16_gflops", "int8_gops")}
        print("{cpu}, {cores} cores, load {load}".format(**common.machine()))
        print("limits, medians and ranges: " + ", ".join(
            f"{key} {common.median(values):.0f} ({values[0]:.0f}-{values[-1]:.0f})" for key, values in limits.items()) + "\n")
        rows = [["model", "MB", "prefill tok/s", "of f32", "of bf16", "of int8", "decode tok/s", "GB/s", "of read"]]
        for result in results:
            rows.append([result["name"], result["file_bytes"] / 1e6, result.get("prefill_tok_s")]
                        + [common.percent(result.get(f"share_of_{kind}")) for kind in ("f32", "bf16", "int8")]
                        + [result.get("decode_tok_s"), result.get("decode_gb_s"), common.percent(result.get("share_of_read"))])
        common.print_table(rows)
        if options.kernels:
            for contender, result in zip(contenders, results):
                result["profile"] = contender.profile()
                print_kernels(contender, result["profile"])
        if options.json:
            common.write_json(options.json, {"options": {k: str(v) for k, v in vars(options).items()}, "limits": limits,
                                             "results": results})


if __name__ == "__main__":
    main()
