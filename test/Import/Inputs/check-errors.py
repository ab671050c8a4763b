"""check-errors.py TOOL DIR: what is wrong with a checkpoint is one clear error, exit code 1, nothing on stdout.

First a table of mistakes with their messages, then random truncations, byte flips and lying numbers, which must be an
error or leave the graph as it was.
"""
import copy
import json
import os
import random
import re
import struct
import subprocess
import sys

import checkpoint

tool, directory = sys.argv[1:]
failures, count = [], 0
LLAMA = {**checkpoint.LLAMA, "num_hidden_layers": 1}


def run(*flags):
    try:
        p = subprocess.run([tool, directory, *flags], capture_output=True, text=True, errors="replace", timeout=60)
    except subprocess.TimeoutExpired:
        return "hang", "", ""
    return p.returncode, p.stdout, p.stderr


def expect(what, message, *flags):
    global count
    count += 1
    code, out, err = run(*flags)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    if code != 1 or out or len(errors) != 1 or not re.fullmatch("error: " + re.escape(directory) + message, errors[0]):
        failures.append(f"{what}: expected {message!r}, got exit code {code} and {err!r}")


def config(what, changes, message, *flags, files=None):
    checkpoint.write(directory, LLAMA, files={"config.json": json.dumps({**LLAMA, **changes}), **(files or {})})
    expect(what, "/config.json: " + message, *flags)


def tensors(what, message, change=None, header=None, dtype="F32", base=LLAMA, flags=(), **options):
    """change: edits the tensors before writing; header: edits the header afterwards."""
    checkpoint.write(directory, base, dtype=dtype, change=change, **options)
    if header:
        path = os.path.join(directory, "model.safetensors")
        fields, data = checkpoint.split(open(path, "rb").read())
        fields, data = header(fields, data)
        content = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        open(path, "wb").write(checkpoint.wrap(content, data))
    expect(what, message, *flags)


#===--- config.json -----------------------------------------------------------------------------------------------===#

config("negative", {"hidden_size": -1}, "field 'hidden_size': expected an integer from 1 to 16777216, got -1")
config("zero", {"hidden_size": 0}, "field 'hidden_size': expected an integer from 1 to .*, got 0")
config("absurd", {"num_hidden_layers": 10**12}, "field 'num_hidden_layers': expected .* to 10000, got 1000000000000")
config("beyond 64 bits", {"vocab_size": 10**30}, "field 'vocab_size': expected an integer .*, got 1e\\+?30")
config("fraction", {"num_attention_heads": 1.5}, "field 'num_attention_heads': expected an integer .*, got 1.5")
config("string", {"vocab_size": "11"}, "field 'vocab_size': expected an integer .*, got \"11\"")
config("list", {"vocab_size": [1, 2]}, "field 'vocab_size': expected an integer .*, got \\[1,2\\]")
config("long list", {"vocab_size": list(range(99))}, "field 'vocab_size': .*, got a list of 99 values")
config("null", {"intermediate_size": None}, "field 'intermediate_size': expected an integer .*, got null")
config("flag", {"attention_bias": "x"}, "field 'attention_bias': expected true or false, got \"x\"")
config("number", {"rms_norm_eps": "1e-5"}, "field 'rms_norm_eps': expected a number from 0 to 1, got \"1e-5\"")
config("large eps", {"rms_norm_eps": 10**12}, "field 'rms_norm_eps': expected a number from 0 to 1, got 1000000000000")
config("text", {"hidden_act": 3}, "field 'hidden_act': expected a string, got 3")
config("list of text", {"architectures": "LlamaForCausalLM"}, "field 'architectures': expected a list of strings, .*")
config("list of numbers", {"architectures": [1]}, "field 'architectures': expected a list of strings, got \\[1\\]")
config("object", {"rope_parameters": 3}, "field 'rope_parameters': expected an object, got 3")
config("family", {"model_type": "nonesuch"}, "field 'model_type': expected one of .*llama.*, got 'nonesuch'")
config("null family", {"model_type": None}, "field 'model_type': expected the name of a family, got null")
checkpoint.write(directory, LLAMA, files={"config.json": json.dumps({k: v for k, v in LLAMA.items() if k not in ("model_type", "architectures")})})
expect("no family", "/config.json: field 'model_type': expected one of .*, got ''")
config("heads", {"num_key_value_heads": 4}, "field 'num_key_value_heads': expected a divisor of the 6 attention heads, got 4")
config("head size", {"head_dim": None, "num_attention_heads": 5, "num_key_value_heads": 5},
       "field 'num_attention_heads': expected a divisor of the hidden size, 12, got 5")
config("odd rotation", {"head_dim": 3}, "field 'head_dim': expected an even number of rotated elements .*, got 3")
config("endless rotation", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1, "factor": 2.0, "beta_fast": 2}},
       "field 'rope_parameters': expected parameters with finite rotary frequencies")
config("theta", {"rope_parameters": {"rope_theta": -1}}, "field 'rope_parameters.rope_theta': expected a number greater than 0, got -1")
config("missing factor", {"rope_parameters": {"rope_type": "linear"}},
       "field 'rope_parameters.factor': expected a number greater than 0, got nothing")
config("unknown field", {"nonesuch": 1}, "field 'nonesuch' is unknown and was ignored \\(an error with --strict\\)", "--strict")
config("unknown nested field", {"rope_parameters": {"rope_theta": 5, "nonesuch": 1}},
       "field 'rope_parameters.nonesuch' is unknown and was ignored \\(an error with --strict\\)", "--strict")
config("not JSON", {}, "not valid JSON \\(line 2, column 7\\)", files={"config.json": '{"a": 1,\n "b": x}'})
config("truncated", {}, "not valid JSON \\(line 1, column 8\\)", files={"config.json": '{"a": 1'})
config("empty", {}, "not valid JSON \\(line 1, column 1\\)", files={"config.json": ""})
config("not UTF-8", {}, "not valid JSON \\(line 1, column 4\\)", files={"config.json": b'{"a\xff": 1}'})
config("no object", {}, "expected a JSON object, got \\[1\\]", files={"config.json": "[1]"})
config("twice", {}, "the name 'a' occurs twice in an object", files={"config.json": '{"a": 1, "b": {}, "a": 2}'})
config("deep", {}, "values nested deeper than 32", files={"config.json": '{"a": ' + "[" * 100000})
for name, value, why in (("eos_token_id", "x", "expected an id or a list of ids, got \"x\""),):
    checkpoint.write(directory, LLAMA, files={"generation_config.json": json.dumps({name: value})})
    expect("generation", f"/generation_config.json: field '{name}': {why}")
checkpoint.write(directory, LLAMA, files={"generation_config.json": "{"})
expect("generation JSON", "/generation_config.json: not valid JSON .*")
checkpoint.write(directory, LLAMA, files={"generation_config.json": '{"eos_token_id": [2, 4, 99]}'})
expect("end id", "/generation_config.json: field 'eos_token_id': expected ids below the vocabulary size 11, got 99")
config("end id of the config", {"eos_token_id": 11}, "field 'eos_token_id': expected ids below the vocabulary size 11, got 11")
checkpoint.write(directory, LLAMA, files={"generation_config.json": '{"bos_token_id": 99}'})
expect("begin id", "/generation_config.json: field 'bos_token_id': 99 is outside the vocabulary and was ignored .*", "--strict")
checkpoint.write(directory, LLAMA, files={"generation_config.json": '{"eos_token_id": [2, 4]}'})
if "end_ids = array<i64: 2, 4>" not in run()[1]:
    failures.append("end ids of generation_config.json")
os.remove(os.path.join(directory, "config.json"))
expect("no config", "/config.json: No such file or directory")
os.mkdir(os.path.join(directory, "config.json"))
expect("config is a directory", "/config.json: not a regular file")
os.rmdir(os.path.join(directory, "config.json"))

#===--- tensors ---------------------------------------------------------------------------------------------------===#

Q, NORM = "model.layers.0.self_attn.q_proj.weight", "model.norm.weight"


def drop(name):
    return lambda t: t.pop(name)


def put(name, dtype, shape):
    return lambda t: t.update({name: (dtype, shape)})


def entry(name, **changes):
    def edit(fields, data):
        for key, value in changes.items():
            if value is None:
                fields[name].pop(key, None)
            else:
                fields[name][key] = value
        return fields, data
    return edit


FILE = "/model.safetensors: "
tensors("missing", f": tensor '{Q}' of shape \\[24, 12\\] is missing", drop(Q))
tensors("missing norm", f": tensor '{NORM}' of shape \\[12\\] is missing", drop(NORM))
tensors("missing bias", ": tensor 'model.layers.0.self_attn.q_proj.bias' of shape \\[24\\] is missing",
        drop("model.layers.0.self_attn.q_proj.bias"), base={**LLAMA, "attention_bias": True})
tensors("missing layer", ": tensor 'model.layers.1.self_attn.k_proj.weight' of shape \\[8, 12\\] is missing",
        drop("model.layers.1.self_attn.k_proj.weight"), base={**LLAMA, "num_hidden_layers": 2})
tensors("shape", FILE + f"tensor '{Q}': expected shape \\[24, 12\\] by config.json, got \\[12, 24\\]", put(Q, "F32", [12, 24]))
tensors("rank", FILE + f"tensor '{Q}': expected shape .* got \\[288\\]", put(Q, "F32", [288]))
tensors("type", FILE + f"tensor '{Q}': expected type F32, F16 or BF16, got F64", put(Q, "F64", [24, 12]))
tensors("8 bits", FILE + f"tensor '{Q}': expected type F32, F16 or BF16, got F8_E4M3", put(Q, "F8_E4M3", [24, 12]))
tensors("unused", ": tensor 'a' and 1 more are not used by the graph \\(an error with --strict\\)",
        lambda t: t.update({"a": ("U8", [3]), "b": ("U8", [])}), flags=["--strict"])
tensors("unused layer", ": tensor 'model.layers.1.x' is not used by the graph \\(an error with --strict\\)",
        put("model.layers.1.x", "F32", [2]), flags=["--strict"])
tensors("untied", ": tensor 'lm_head.weight' differs from the embedding table that config.json ties it to; it is used "
        "as the head \\(an error with --strict\\)", put("lm_head.weight", "F32", [11, 12]),
        base={**LLAMA, "tie_word_embeddings": True}, flags=["--strict"])

# Headers.
tensors("dtype", FILE + f"tensor '{Q}': expected a dtype of the safetensors format, got \"F31\"", header=entry(Q, dtype="F31"))
tensors("no dtype", FILE + f"tensor '{Q}': expected dtype, shape and data_offsets, got .*", header=entry(Q, dtype=None))
tensors("extra key", FILE + f"tensor '{Q}': expected dtype, shape and data_offsets, got .*", header=entry(Q, x=1))
tensors("entry", FILE + "tensor 'x': expected dtype, shape and data_offsets, got 3", header=lambda f, d: ({**f, "x": 3}, d))
tensors("negative size", FILE + f"tensor '{Q}': expected a shape of integers of at least 0, got \\[-24,12\\]",
        header=entry(Q, shape=[-24, 12]))
tensors("real size", FILE + f"tensor '{Q}': expected a shape .*", header=entry(Q, shape=[24.0, 12]))
tensors("huge size", FILE + f"tensor '{Q}': the shape .* has more than 2\\^64 bits", header=entry(Q, shape=[2**62, 2**62]))
tensors("many sizes", FILE + f"tensor '{Q}': expected a shape .*, got a list of 17 values", header=entry(Q, shape=[1] * 17))
tensors("wrong size", FILE + f"tensor '{Q}': the shape \\[24, 13\\] of F32 takes 1248 bytes, data_offsets .* are 1152",
        header=entry(Q, shape=[24, 13]))
tensors("three offsets", FILE + f"tensor '{Q}': expected data_offsets \\[begin, end\\], got .*", header=entry(Q, data_offsets=[0, 1, 2]))
tensors("reversed", FILE + f"tensor '{Q}': expected data_offsets \\[begin, end\\], got \\[9,3\\]", header=entry(Q, data_offsets=[9, 3]))
tensors("overlap", FILE + "tensor '.*': expected data from byte .* on, where the tensor before it ends, got .*",
        header=entry(NORM, data_offsets=[0, 48]))
tensors("gap", FILE + "tensor '.*': expected data from byte .* on, .*", header=entry(NORM, data_offsets=[10**15, 10**15 + 48]))
tensors("short data", FILE + "truncated: the header describes .* bytes of data, the file holds 100",
        header=lambda f, d: (f, d[:100]))
tensors("long data", FILE + "the header describes .* bytes of data, the file holds .*", header=lambda f, d: (f, d + b"x"))
tensors("metadata", FILE + "expected __metadata__ to map strings to strings", header=lambda f, d: ({**f, "__metadata__": {"a": 1}}, d))
tensors("header JSON", FILE + "header: not valid JSON \\(line 1, column 9\\)", header=lambda f, d: (b'{"', d))
tensors("header list", FILE + "header: expected a JSON object, got \\[\\]", header=lambda f, d: (b"[]", d))
tensors("tensor twice", FILE + f"header: the name '{NORM}' occurs twice in an object", header=lambda f, d: (
    json.dumps(f)[:-1].encode() + b', "' + NORM.encode() + b'": {}}', d))
tensors("control characters", ": tensor 'a\\\\07b' is not used by the graph .*", put("a\7b", "F32", [1]), flags=["--strict"])


def raw(what, content, message):
    checkpoint.write(directory, LLAMA, files={"model.safetensors": content})
    expect(what, FILE + message)


raw("no bytes", b"", "truncated: 0 bytes, a safetensors file has at least 8")
raw("seven bytes", b"1234567", "truncated: 7 bytes, .*")
raw("long header", struct.pack("<Q", 2**63) + b"{}", "not a safetensors file: a header of 9223372036854775808 bytes, the limit is 100000000")
raw("header beyond the file", struct.pack("<Q", 100) + b"{}", "truncated: the header has 100 bytes, the file 10")
raw("empty header", struct.pack("<Q", 0), "header: not valid JSON .*")

# Shards.
SHARDS = dict(shards=2)
INDEX = "/model.safetensors.index.json: "
SHARD1, SHARD2 = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def index(what, message, edit):
    checkpoint.write(directory, LLAMA, shards=2)
    path = os.path.join(directory, "model.safetensors.index.json")
    content = json.loads(open(path).read())
    edit(content)
    open(path, "w").write(json.dumps(content))
    expect(what, message)


index("missing shard", f"/{SHARD2}: No such file or directory", lambda i: os.remove(os.path.join(directory, SHARD2)))
index("no map", INDEX + "expected a weight_map from tensors to files", lambda i: i.pop("weight_map"))
index("empty map", INDEX + "expected a weight_map from tensors to files", lambda i: i["weight_map"].clear())
for path in ("../x", "/etc/passwd", "a/b", "..", "", "a\0b", 3):
    index(f"shard {path!r}", INDEX + f"tensor '{Q}': expected the name of a file in this directory, got .*",
          lambda i: i["weight_map"].update({Q: path}))
index("wrong shard", INDEX + f"tensor '{Q}': expected it in '{SHARD1}', it is in '{SHARD2}'",
      lambda i: i["weight_map"].update({Q: SHARD1}))
def only_the_second(content):
    for name in [n for n, file in content["weight_map"].items() if file == SHARD1]:
        del content["weight_map"][name]


index("tensor that the map leaves out", f": tensor '{Q}' of shape \\[24, 12\\] is missing", lambda i: i["weight_map"].pop(Q))
if f"warning: {directory}{INDEX}tensor '{Q}' of '{SHARD2}' is not in the weight_map and was ignored" not in run()[2]:
    failures.append(f"no warning of a tensor that the map leaves out: {run()[2]}")
index("shard that the map leaves out", INDEX + f"expected tensors in '{SHARD1}', one of the 2 parts that the name '{SHARD2}' tells of, got none",
      only_the_second)
index("tensor in no shard", INDEX + f"tensor 'x': expected it in '{SHARD1}', it is in no file",
      lambda i: i["weight_map"].update({"x": SHARD1}))
checkpoint.write(directory, LLAMA, shards=2)
first = checkpoint.split(open(os.path.join(directory, SHARD1), "rb").read())
second = checkpoint.split(open(os.path.join(directory, SHARD2), "rb").read())
name = next(n for n in first[0] if n != "__metadata__")
both = {**second[0], name: {"dtype": "U8", "shape": [1], "data_offsets": [len(second[1]), len(second[1]) + 1]}}
open(os.path.join(directory, SHARD2), "wb").write(checkpoint.wrap(json.dumps(both).encode(), second[1] + b"x"))
expect("tensor in two shards", f"/{SHARD2}: tensor '{name}' is also in '{SHARD1}'")
for file in (SHARD1, SHARD2, "model.safetensors.index.json"):
    os.remove(os.path.join(directory, file))
expect("no weights", ": expected model.safetensors or model.safetensors.index.json")
open(os.path.join(directory, "pytorch_model.bin"), "w").close()
expect("pickles", ": expected model.safetensors or .*, got pickled weights: convert them to safetensors")

# Redundant tensors are not worth a word.
checkpoint.write(directory, checkpoint.GPT2, change=lambda t: t.update({
    "transformer.h.0.attn.bias": ("U8", [1, 1, 16, 16]), "transformer.h.1.attn.masked_bias": ("F32", [])}))
code, out, err = run("--strict", "--report")
if code or err or "// redundant tensors: transformer.h.0.attn.bias transformer.h.1.attn.masked_bias" not in out:
    failures.append(f"redundant tensors: {code} {err}")
# A tied head that is stored too is used once.
checkpoint.write(directory, {**LLAMA, "tie_word_embeddings": True})
path = os.path.join(directory, "model.safetensors")
fields, data = checkpoint.split(open(path, "rb").read())
begin, end = fields["model.embed_tokens.weight"]["data_offsets"]
fields["lm_head.weight"] = {"dtype": "F32", "shape": [11, 12], "data_offsets": [len(data), len(data) + end - begin]}
open(path, "wb").write(checkpoint.wrap(json.dumps(fields).encode(), data + data[begin:end]))
code, out, err = run("--strict")
if code or err or "lm_head" in out:
    failures.append(f"tied head: {code} {err}")

#===--- random damage ---------------------------------------------------------------------------------------------===#

# All in one process: a crash would end it, so results that are not there are failures too.
rng = random.Random(7)
checkpoint.write(directory, LLAMA)
good, whole = run()[1], open(path, "rb").read()
header = 8 + struct.unpack("<Q", whole[:8])[0]
tries = []


def attempt(what, files):
    folder = f"{directory}-damaged/{len(tries)}"
    os.makedirs(folder, exist_ok=True)
    for name, content in {"config.json": json.dumps(LLAMA).encode(), "model.safetensors": whole, **files}.items():
        open(os.path.join(folder, name), "wb").write(content)
    tries.append((what, folder))


for i in range(600):
    damaged = bytearray(whole)
    if i % 3 == 0:
        damaged = damaged[:rng.randrange(len(damaged))]
    elif i % 3 == 1:
        damaged[rng.randrange(header)] = rng.randrange(256)
    else:
        damaged[:8] = struct.pack("<Q", rng.getrandbits(rng.choice([12, 16, 32, 63, 64])))
    attempt("safetensors", {"model.safetensors": damaged})
text = json.dumps(LLAMA).encode()
for i in range(300):
    damaged = bytearray(text)
    if i % 2 == 0:
        damaged = damaged[:rng.randrange(len(damaged))]
    else:
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    attempt("bytes of config.json", {"config.json": damaged})
for key in LLAMA:
    for value in (-1, 0, 10**12, "x", None, [], {}, 1.5, True):
        attempt(f"{key} = {value!r}", {"config.json": json.dumps({**LLAMA, key: value}).encode()})

p = subprocess.run([tool, *(folder for _, folder in tries)], capture_output=True, text=True, errors="replace", timeout=500)
graphs, messages = p.stdout.split("// ----- end\n"), p.stderr.split("// ----- end\n")
if p.returncode != 1 or len(graphs) != len(tries) + 1 or len(messages) != len(tries) + 1 or graphs[-1] or messages[-1]:
    failures.append(f"damage: exit code {p.returncode} after {len(messages)} of {len(tries)}: {messages[-1]}")
for (what, folder), graph, message in zip(tries, graphs, messages):
    errors = [line for line in message.splitlines() if line.startswith("error: " + folder)]
    # A damaged safetensors file is refused or was not hurt; a changed config may describe another model.
    right = not graph if errors else graph == good if what == "safetensors" else graph
    if not right or len(errors) > 1 or len(message.splitlines()) > 6:
        failures.append(f"damage {folder}: {what}: {message!r}")

for failure in failures:
    print(failure)
print(f"{count} mistakes, {len(tries)} kinds of damage, {len(failures)} failures")
sys.exit(bool(failures))
