#!/usr/bin/env python3
"""The curve of the KV-cache article: time to generate n characters with the bundled model, with and without a cache.

    bench/char_gpt_curve.py [--steps=100,500,1000,5000,10000] [--out=curve.svg] [--json=curve.json]

Three ways to go past the context of 1024 positions: a cache that slides, a cache that restarts with the newest half, and what
the article starts from, no cache and a crop to the newest positions before every step (`restart:1023`). See
docs/PastContext.md for what each of them computes. One process generates all steps; the time of n is when the n-th
character came out, the start of the process included. The uncached run takes minutes: about 1024 tokens of work per character.
"""
import argparse
import pathlib
import subprocess
import tempfile
import time

import common

CURVES = [
    ("no cache, cropped", "#c0392b", ["--no-kv-cache", "--past-context=restart:1023"]),
    ("cache, restart", "#2980b9", ["--past-context=restart"]),
    ("cache, slide", "#27ae60", ["--past-context=slide"]),
]
PROMPT = "ROMEO:"


def generate(command, steps):
    """Seconds until each number of characters was there."""
    begin, times, wanted = time.monotonic(), [], list(steps)
    process = subprocess.Popen(command + ["-p", PROMPT, "-n", str(steps[-1]), "--temp=0.8", "--seed=1", "--ignore-eos"],
                               stdout=subprocess.PIPE, bufsize=0)
    count = -len(PROMPT)
    # To the end: a pipe that is closed earlier would fail the last write.
    while piece := process.stdout.read(4096):
        count += sum(byte & 0xC0 != 0x80 for byte in piece)
        while wanted and count >= wanted[0]:
            times.append(time.monotonic() - begin)
            wanted.pop(0)
    process.stdout.close()
    if process.wait() or wanted:
        raise SystemExit(f"error: {' '.join(command)}: ended after {count} characters")
    return times


def svg(steps, curves):
    """Both axes are logarithmic: a straight line of slope one is a constant time per character."""
    import math
    width, height, left, bottom = 720, 440, 70, 50
    top_time = max(max(times) for _, _, times in curves)
    low_time = min(min(times) for _, _, times in curves)
    decades = range(math.floor(math.log10(low_time)), math.ceil(math.log10(top_time)) + 1)

    def x(step):
        return left + (width - left - 150) * math.log(step / steps[0]) / math.log(steps[-1] / steps[0])

    def y(seconds):
        share = (math.log10(seconds) - decades[0]) / max(1, decades[-1] - decades[0])
        return height - bottom - (height - bottom - 30) * share

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for decade in decades:
        at = y(10.0 ** decade)
        parts.append(f'<line x1="{left}" y1="{at:.1f}" x2="{x(steps[-1]):.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0 ** decade:g} s</text>')
    for step in steps:
        parts.append(f'<text x="{x(step):.1f}" y="{height - bottom + 20}" text-anchor="middle">{step}</text>')
    parts.append(f'<text x="{(left + x(steps[-1])) / 2:.1f}" y="{height - 10}" text-anchor="middle">characters</text>')
    for name, colour, times in curves:
        points = " ".join(f"{x(s):.1f},{y(t):.1f}" for s, t in zip(steps, times))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(s):.1f}" cy="{y(t):.1f}" r="3" fill="{colour}"/>' for s, t in zip(steps, times)]
        parts.append(f'<text x="{x(steps[-1]) + 8:.1f}" y="{y(times[-1]) + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_build_option(parser)
    parser.add_argument("--steps", default="100,500,1000,5000,10000", help="numbers of characters, ascending")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("char-gpt-curve.svg"))
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures")
    options = parser.parse_args()
    steps = [int(step) for step in options.steps.split(",")]
    if len(steps) < 2 or sorted(set(steps)) != steps or steps[0] < 1:
        parser.error("--steps: expected at least two ascending numbers")
    curves = []
    with tempfile.TemporaryDirectory() as folder:
        for name, colour, flags in CURVES:
            artifact = f"{folder}/m.ingot"
            common.run([common.tool(options.build, "ingot-compile"), common.ROOT / "examples/char-gpt", "-o", artifact,
                        "--target=native", "--quiet", *flags])
            command = [common.tool(options.build, "ingot-run"), artifact]
            if options.threads:
                command.append(f"--threads={options.threads}")
            curves.append((name, colour, generate(command, steps)))
    rows = [["characters"] + [f"{name}, s" for name, _, _ in curves] + ["no cache / slide"]]
    for i, step in enumerate(steps):
        times = [times[i] for _, _, times in curves]
        rows.append([step, *times, times[0] / times[-1]])
    common.print_table(rows)
    options.out.write_text(svg(steps, curves))
    if options.json:
        common.write_json(options.json, {"steps": steps, "seconds": {name: times for name, _, times in curves}})


if __name__ == "__main__":
    main()
