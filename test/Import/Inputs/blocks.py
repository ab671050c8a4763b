"""Random weights in block formats, arrays in files, and programs run on them."""
import array
import random
import re
import struct
import subprocess

# name, numbers and bytes of a block, where its f16 scales are
FORMATS = [("q8_0", 32, 34, [0]), ("q4_0", 32, 18, [0]), ("q4_1", 32, 20, [0, 2]), ("q5_0", 32, 22, [0]), ("q5_1", 32, 24, [0, 2]),
           ("q4_k", 256, 144, [0, 2]), ("q5_k", 256, 176, [0, 2]), ("q6_k", 256, 210, [208])]


def random_blocks(count, size, scales):
    data = bytearray(random.randbytes(count * size))
    for block in range(count):
        for at in scales:
            struct.pack_into("<e", data, block * size + at, random.choice([-1, 1]) * random.uniform(0.01, 0.03))
    return bytes(data)


def write_npy(path, kind, shape, values):
    header = repr({"descr": {"f": "<f4", "i": "<i4"}[kind], "fortran_order": False, "shape": shape}).encode()
    header += b" " * ((64 - (10 + len(header) + 1) % 64) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + array.array(kind, values).tobytes())


def read_npy(path):
    data = path.read_bytes()
    size = int.from_bytes(data[8:10], "little")
    kind = re.search(rb"'descr': '<(f[48])'", data[:10 + size]).group(1)
    values = array.array("f" if kind == b"f4" else "d")
    values.frombytes(data[10 + size:])
    return values


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")
    return done.stdout
