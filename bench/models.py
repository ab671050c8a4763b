#!/usr/bin/env python3
"""Whole models and their kernels beside the machine's limits, and beside llama.cpp where it is there.

    bench/models.py [--models=a,smollm2-135m,gpt2] [--json=models.json]
    bench/models.py --models=path/to/checkpoint --compile="--weights=q8" --compile="--weights=q4"
    bench/models.py --models=a --peer=llama.cpp=/opt/llama.cpp/llama-bench,a-q8.gguf --peer=ik=/opt/ik/llama-bench,a-q8.gguf

A model is a folder, or a shape that make_checkpoint.py knows. Each --compile is one more way to compile it. All contenders
take turns, `--runs` times; figures are medians, and shares are of the limits measured in the same turn: a machine that
is busy or throttled is so for everybody. A peer is an executable with llama-bench's command line and a GGUF file.
"""
import argparse
import json
import os
import pathlib
import shlex
import sys
import tempfile

import common


class Ingot:
    def __init__(self, options, name, artifact):
        self.options, self.name, self.artifact, self.samples = options, name, artifact, []
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

    def limits(self):
        return self.samples[-1]["limits"]

    def summary(self):
        pick = lambda *path: common.median([self.value(sample, path) for sample in self.samples])  # noqa: E731
        return {"name": self.name, "file_bytes": self.bytes, "prefill_tok_s": pick("prefill", "tok_s"),
                "decode_tok_s": pick("decode", "tok_s"), "decode_gb_s": pick("decode", "gb_s"),
                "share_of_read": pick("decode", "share_of_read"), "share_of_f32": pick("prefill", "share_of_f32"),
                "share_of_bf16": pick("prefill", "share_of_bf16"), "share_of_int8": pick("prefill", "share_of_int8"),
                "limits": self.limits(), "samples": self.samples}

    @staticmethod
    def value(sample, path):
        for key in path:
            sample = sample[key]
        return sample


class Peer:
    """llama-bench: prints a list with one object per test."""

    def __init__(self, options, text):
        self.name, _, rest = text.partition("=")
        self.program, _, self.model = rest.partition(",")
        if not os.path.exists(self.program) or not os.path.exists(self.model):
            sys.exit(f"error: --peer={text}: expected NAME=PROGRAM,MODEL.gguf, two files that exist")
        self.options, self.samples = options, []

    def measure(self):
        o = self.options
        threads = o.threads or len(os.sched_getaffinity(0))
        tests = json.loads(common.run([self.program, "-m", self.model, "-p", o.prompt, "-n", o.tokens, "-t", threads,
                                       "-r", 1, "-o", "json"]))
        rate = lambda test: test.get("avg_ts") or 1e9 * (test["n_prompt"] + test["n_gen"]) / test["avg_ns"]  # noqa: E731
        self.samples.append({"prefill": next(rate(t) for t in tests if t["n_prompt"] and not t["n_gen"]),
                             "decode": next(rate(t) for t in tests if t["n_gen"] and not t["n_prompt"])})

    def summary(self, limits):
        prefill, decode = (common.median([sample[key] for sample in self.samples]) for key in ("prefill", "decode"))
        size = os.path.getsize(self.model)
        return {"name": self.name, "file_bytes": size, "prefill_tok_s": prefill, "decode_tok_s": decode,
                "decode_gb_s": decode * size * 1e-9, "share_of_read": decode * size * 1e-9 / limits["read_gb_s"],
                "samples": self.samples}


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
            contenders.append(Ingot(options, f"{path.name} {flags}".strip(), artifact))
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
    parser.add_argument("--models", default="a,smollm2-135m,gpt2", help="folders or shapes, separated by commas")
    parser.add_argument("--compile", action="append", metavar="FLAGS", help="options of ingot-compile; may be repeated")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PROGRAM,MODEL.gguf")
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
        results += [peer.summary(contenders[-1].limits()) for peer in peers]
        limits = contenders[-1].limits()
        print("{cpu}, {cores} cores, load {load}".format(**common.machine()))
        print(f"limits: read {limits['read_gb_s']:.1f} GB/s, f32 {limits['f32_gflops']:.0f}, bf16 {limits['bf16_gflops']:.0f}, "
              f"int8 {limits['int8_gops']:.0f} Gop/s\n")
        rows = [["model", "MB", "prefill tok/s", "of f32", "of bf16", "of int8", "decode tok/s", "GB/s", "of read"]]
        for result in results:
            rows.append([result["name"], result["file_bytes"] / 1e6, result["prefill_tok_s"]]
                        + [common.percent(result.get(f"share_of_{kind}")) for kind in ("f32", "bf16", "int8")]
                        + [result["decode_tok_s"], result["decode_gb_s"], common.percent(result["share_of_read"])])
        common.print_table(rows)
        if options.kernels:
            for contender, result in zip(contenders, results):
                result["profile"] = contender.profile()
                print_kernels(contender, result["profile"])
        if options.json:
            common.write_json(options.json, {"options": {k: str(v) for k, v in vars(options).items()}, "results": results})


if __name__ == "__main__":
    main()
