"""killed.py FOLDER COMMAND...: runs the command with FOLDER/m.ingot added and kills it after more and more time, until it is done
before; says what was ever left in the folder beside the complete file."""
import os
import subprocess
import sys
import time

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
output = os.path.join(folder, "m.ingot")
begin = time.monotonic()
subprocess.run(sys.argv[2:] + [output], check=True)
whole = time.monotonic() - begin
complete = open(output, "rb").read()
os.unlink(output)
killed, left = 0, []
for share in (0.1, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95):
    process = subprocess.Popen(sys.argv[2:] + [output])
    time.sleep(share * whole)
    process.kill()
    killed += process.wait() < 0
    # It may be there, but then all of it.
    if os.path.exists(output) and open(output, "rb").read() == complete:
        os.unlink(output)
    left += os.listdir(folder)
print("killed:", killed, "times, left:", " ".join(left) or "nothing")
