"""lacks.py FLAG COMMAND...: runs the command and demands that it fails, unless /proc/cpuinfo lists the flag."""
import subprocess
import sys

with open("/proc/cpuinfo") as info:
    flags = next((line for line in info if line.startswith("flags")), "").split()
if sys.argv[1] in flags:
    print("this processor has it")
else:
    assert subprocess.run(sys.argv[2:]).returncode == 1
