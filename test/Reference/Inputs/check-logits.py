"""Compares the interpreter's logits with recorded ones: TOOL MODULE MODEL TOLERANCE OPTION..."""
import array
import ast
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../Import/Inputs"))
from compare import distance

tool, module, model, tolerance, *options = sys.argv[1:]
with open(os.path.join(model, "ref", "once_t0_256.ids")) as file:
    ids = file.read().split()
expected = array.array("f")
with open(os.path.join(model, "ref", "once_t0_256.logits_f64.f32"), "rb") as file:
    expected.frombytes(file.read())
with tempfile.TemporaryDirectory() as folder:
    output = os.path.join(folder, "logits.npy")
    subprocess.run([tool, module, "-o", os.devnull, "--tfm-interpret=tokens=%s parameters=%s outputs=%s %s" % (
        ",".join(ids[:257]), os.path.join(model, "hf"), output, " ".join(options))],
        check=True, stdout=subprocess.DEVNULL)
    with open(output, "rb") as file:
        contents = file.read()
end = 10 + struct.unpack("<H", contents[8:10])[0]
header = ast.literal_eval(contents[10:end].decode())
actual = array.array({"<f8": "d", "<f4": "f"}[header["descr"]])
actual.frombytes(contents[end:])
if len(actual) != len(expected):
    sys.exit("error: expected %d logits, got %d" % (len(expected), len(actual)))
error = distance(actual, expected)
print("largest error", error)
if not error <= float(tolerance):
    sys.exit("error: expected an error of at most " + tolerance)
