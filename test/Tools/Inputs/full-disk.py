"""full-disk.py FOLDER COMMAND...: runs the command with FOLDER/m.ingot added, where no file may be larger than 1 MB; says what is
left in the folder."""
import os
import resource
import signal
import subprocess
import sys

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)


def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


run = subprocess.run(sys.argv[2:] + [os.path.join(folder, "m.ingot")], preexec_fn=limit)
assert run.returncode == 1, run.returncode
print("left:", " ".join(os.listdir(folder)) or "nothing", file=sys.stderr)
