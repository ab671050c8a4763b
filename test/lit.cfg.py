"""Configuration of the tests that lit runs: checks of tools' output, and the unit tests."""
import os

import lit.formats

config.name = "Ingot"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test", ".py"]
config.excludes = ["CMakeLists.txt", "lit.cfg.py", "lit.site.cfg.py", "lib", "Inputs", "Unit"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.build_dir, "test-output")

# What the build made comes first, then FileCheck and not from LLVM.
path = [os.path.join(config.build_dir, "bin"), os.path.join(config.build_dir, "unit"), config.llvm_tools_dir]
config.environment["PATH"] = os.pathsep.join(path + [config.environment["PATH"]])
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "INGOT_SHARED"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

config.substitutions.append(("%build", config.build_dir))
config.substitutions.append(("%source", config.source_dir))
config.substitutions.append(("%python", config.python))

# Every run of ingot-opt also checks that what it read survives being printed and parsed again.
if lit_config.params.get("verify_roundtrip"):
    config.substitutions.append((r"\bingot-opt\b", "ingot-opt --verify-roundtrip"))

# Reference values and models beside the checkout: tests that need them say `REQUIRES: shared`.
shared = os.environ.get("INGOT_SHARED", os.path.join(config.source_dir, "..", "shared"))
if os.path.isdir(os.path.join(shared, "models")):
    config.available_features.add("shared")
    config.substitutions.append(("%shared", os.path.realpath(shared)))
else:
    lit_config.note("reference models are not there: tests that need them are skipped")

with open("/proc/cpuinfo") as cpuinfo:
    flags = next((line for line in cpuinfo if line.startswith("flags")), "").split()
if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= set(flags):
    config.available_features.add("avx512")
if config.sanitizers:
    config.available_features.add("sanitizers")
