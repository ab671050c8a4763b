"""Builds the presets and runs their tests; prints what failed and "N passed, N failed"."""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PRESETS = {"ci": "build-ci", "asan": "build-asan", "tsan": "build-tsan"}


def build(preset, folder):
    """Configures and builds; returns whether it worked."""
    print(f"== {preset}: building", flush=True)
    log = ROOT / f"{folder}-configure.log"
    with open(log, "w") as out:
        if subprocess.run(["cmake", "--preset", preset], cwd=ROOT, stdout=out, stderr=out).returncode:
            print(log.read_text()[-4000:])
            print(f"error: configuring failed, see {log.name}")
            return False
    log.unlink()
    return subprocess.run(["cmake", "--build", folder], cwd=ROOT).returncode == 0


def run_program(program):
    """Runs a GoogleTest program; returns (passed, failed, skipped) and what to print."""
    result = program.with_suffix(".json")
    result.unlink(missing_ok=True)
    run = subprocess.run([program, f"--gtest_output=json:{result}", "--gtest_brief=1"], cwd=ROOT,
                         capture_output=True, text=True, errors="replace")
    try:
        suites = json.loads(result.read_text())["testsuites"]
    except (OSError, ValueError):
        suites = []
    cases = [case for suite in suites for case in suite["testsuite"]]
    bad = [case for case in cases if "failures" in case]
    skip = [case for case in cases if case.get("result") == "SKIPPED"]
    # A program that died counts as one more failure.
    failed = len(bad) + (run.returncode != 0 and not bad or not cases)
    passed = len(cases) - len(bad) - len(skip)
    text = f"{program.name}: {passed} passed, {failed} failed" + (f", {len(skip)} skipped" if skip else "")
    if run.returncode:
        text += f"\n{run.stdout[-6000:]} {run.stderr[-6000:]}"
    return (passed, failed, len(skip)), text


def run_unit(folder):
    """Runs every GoogleTest program, as many at a time as there are processors; returns (passed, failed, skipped)."""
    programs = [ROOT / folder / "unit" / name for name in sorted((ROOT / folder / "unit" / "programs.txt").read_text().split())]
    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        # The others are tools that lit tests use.
        for counts, text in pool.map(run_program, filter(pathlib.Path.exists, programs)):
            totals = [total + count for total, count in zip(totals, counts)]
            print(text, flush=True)
    return tuple(totals)


def run_lit(folder):
    tests = ROOT / folder / "test"
    if not (tests / "lit.site.cfg.py").exists():
        return 0, 0, 0
    result = ROOT / folder / "lit.json"
    result.unlink(missing_ok=True)
    lit = next((p for p in ("/usr/lib/llvm-22/bin/lit",) if os.path.exists(p)), "lit")
    subprocess.run([lit, "-v", "--succinct", "-o", str(result), str(tests)], cwd=ROOT)
    try:
        codes = [test["code"] for test in json.loads(result.read_text())["tests"]]
    except (OSError, ValueError):
        return 0, 1, 0
    skipped = sum(code in ("UNSUPPORTED", "SKIPPED") for code in codes)
    passed = sum(code in ("PASS", "FLAKYPASS", "XFAIL") for code in codes)
    return passed, len(codes) - passed - skipped, skipped


def main(arguments):
    presets = arguments or ["ci", "asan", "tsan"]
    if any(preset not in PRESETS for preset in presets):
        sys.exit("usage: scripts/test [ci] [asan] [tsan]")
    # LLVM keeps its command line for ever. Its allocators poison memory in our code and unpoison it in
    # theirs, which is not built with sanitizers: both would be reported. To walk 30 frames for every
    # allocation of LLVM takes longer than what is tested.
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0:allow_user_poisoning=0:allocator_may_return_null=1:malloc_context_size=4")
    os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    if not os.environ.get("INGOT_SHARED") and not (ROOT.parent / "shared").is_dir():
        print("reference models are not beside the checkout: tests that need them are skipped")
    totals = [0, 0, 0]
    for preset in presets:
        start, folder = time.time(), PRESETS[preset]
        counts = [run_unit(folder), run_lit(folder)] if build(preset, folder) else [(0, 1, 0)]
        for count in counts:
            totals = [total + one for total, one in zip(totals, count)]
        print(f"== {preset}: {time.time() - start:.0f} s", flush=True)
    passed, failed, skipped = totals
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
