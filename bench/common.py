"""What the scripts of this folder share: running tools, the machine, tables."""
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def add_build_option(parser):
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="folder of the build (build)")


def tool(build, name):
    path = build / "bin" / name
    if not path.exists():
        sys.exit(f"error: {path}: does not exist, build it first (cmake --build {build})")
    return str(path)


def run(command, **options):
    """Standard output of a command that must succeed."""
    result = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, **options)
    if result.returncode:
        sys.exit(f"error: {' '.join(map(str, command))}: exit code {result.returncode}")
    return result.stdout


def timed(command, **options):
    begin = time.monotonic()
    run(command, **options)
    return time.monotonic() - begin


def machine():
    """Processor, cores that may be used, and how busy it is: figures mean nothing without them."""
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[0], 2),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def median(values):
    """Of what was measured: None is left out."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def percent(value):
    return "" if value is None else f"{100 * value:.1f} %"


def print_table(rows):
    """Rows of equal length, the first one the head; numbers to the right."""
    texts = [[f"{cell:.2f}" if isinstance(cell, float) else "" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    for row in texts:
        cells = [text.ljust(width) if i == 0 else text.rjust(width) for i, (text, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def write_json(path, content):
    pathlib.Path(path).write_text(json.dumps({"schema": 1, "machine": machine(), **content}, indent=1) + "\n")
    print(f"{path}: written", file=sys.stderr)
