# RUN: %python %s %t %source %if sanitizers %{ 2 %}
"""Small made-up checkpoints, compiled and run: logits of the interpreter, and the same bits however they are run."""
import array
import json
import pathlib
import re
import shutil
import subprocess
import sys

folder, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(source / "test/Import/Inputs"))
import checkpoint as checkpoints
from compare import distance
# One target is enough here: the others have tests of their own.
TARGET = "--target=" + ("x86-64-v4" if "avx512vl" in open("/proc/cpuinfo").read() else "x86-64-v3")
MODELS = [
    ("llama", []),
    ("llama", ["--dtype=BF16", "num_attention_heads=3", "num_key_value_heads=1", "head_dim=20", "hidden_size=24", "intermediate_size=41"]),
    ("gpt2", ["--dtype=F16", "n_layer=3", "n_positions=32"]),
    ("mixtral", ["num_local_experts=5", "intermediate_size=70", "--dtype=BF16"]),
    ("qwen2_moe", ["num_experts_per_tok=3"]),
    ("olmoe", ["--dtype=F16"]),
    ("gpt_oss", ["intermediate_size=19"]),
    ("deepseek_v2", ["kv_lora_rank=21", "num_attention_heads=5", "num_key_value_heads=5"]),
    ("deepseek_v3", ["n_routed_experts=24", "n_group=4", "--dtype=BF16"]),
]
# The policies at the end of the context are tried with rotary and with learned positions; whether files are the same, with and
# without experts.
WITH_POLICIES, COMPILED_AGAIN = (0, 2), (0, 3)


def run(*command, ok=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if ok and done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")
    return done


def logits(model, ids, count, *arguments):
    file = folder / "logits.f32"
    printed = run("ingot-run", model, "--ids=" + ",".join(map(str, ids)), "-n", count, f"--logits={file}", "--ignore-eos", *arguments)
    return [int(word) for word in printed.stdout.split()], file.read_bytes()


def floats(data):
    values = array.array("f")
    values.frombytes(data)
    return values


def read_npy(path):
    data = path.read_bytes()
    size = int.from_bytes(data[8:10], "little")
    values = array.array("f" if b"<f4" in data[:10 + size] else "d")
    values.frombytes(data[10 + size:])
    return values


problems = []


def expect(condition, what):
    if not condition:
        problems.append(what)


# How many of the models are tried; all, if it is not said.
count = int(sys.argv[3]) if len(sys.argv) > 3 else len(MODELS)
for number, (family, options) in enumerate(MODELS[:count]):
    name = f"{family} {' '.join(options)}".strip()
    checkpoint = folder / f"model{number}"
    run(sys.executable, source / "test/Import/Inputs/make.py", checkpoint, family, *options)
    model = folder / f"model{number}.ingot"
    run("ingot-compile", checkpoint, "-o", model, "--quiet", "--activations=f32", TARGET)
    vocabulary = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    ids = [(7 * i * i + 3 * i + 1) % vocabulary for i in range(21)]

    graph = folder / f"model{number}.mlir"
    run("ingot-compile", checkpoint, "--compile-to=input", "--activations=f32", "-o", graph)
    expected = folder / f"expected{number}.npy"
    run("ingot-opt", graph, f"--tfm-interpret=tokens={','.join(map(str, ids))} parameters={checkpoint} outputs={expected}", "-o", "/dev/null")
    _, whole = logits(model, ids, 0)
    want, got = read_npy(expected), floats(whole)
    error = distance(got, want)
    expect(error < 2e-5 * max(map(abs, want)), f"{name}: logits are off by {error:.1e}")

    for arguments in (["--threads=1"], ["--threads=2"], ["--prefill-chunk=1"], ["--prefill-chunk=5"]):
        expect(logits(model, ids, 0, *arguments)[1] == whole, f"{name}: other bits with {arguments[0]}")
    printed, generated = logits(model, ids[:6], 9)
    expect(logits(model, printed[:-1], 0)[1] == generated, f"{name}: decode and prefill have other bits")

    # More than one segment of keys, which few heads share over threads; a context that is long enough.
    if number == 0:
        roomy = folder / "roomy.ingot"
        run(sys.executable, source / "test/Import/Inputs/make.py", folder / "roomy", family, "max_position_embeddings=4096", *options)
        run("ingot-compile", folder / "roomy", "-o", roomy, "--quiet", "--activations=f32", TARGET)
        long = [(5 * i * i + i) % vocabulary for i in range(1100)]
        printed, generated = logits(roomy, long, 3, "--threads=1")
        for threads in (2, 3):
            expect(logits(roomy, long, 3, f"--threads={threads}")[1] == generated, f"{name}: other bits after 1,100 tokens with {threads} threads")
        expect(logits(roomy, printed[:-1], 0)[1] == generated, f"{name}: decode and prefill have other bits after 1,100 tokens")

    # Every type of cache: close to the f32 one, and the same bits in prefill and decode.
    for cache, tolerance in (("bf16", 3e-2), ("f16", 4e-3), ("int8", 3e-2))[number:]:
        narrow = folder / "narrow.ingot"
        run("ingot-compile", checkpoint, "-o", narrow, f"--cache={cache}", "--quiet", "--activations=f32", TARGET)
        _, data = logits(narrow, ids, 0)
        error = distance(floats(data), want)
        expect(1e-6 < error / max(map(abs, want)) < tolerance, f"{name}: {cache} cache: logits are off by {error:.1e}")
        expect(logits(narrow, ids, 0, "--threads=1", "--prefill-chunk=7")[1] == data, f"{name}: {cache} cache: other bits with --prefill-chunk=7")
        printed, generated = logits(narrow, ids[:6], 9)
        expect(logits(narrow, printed[:-1], 0)[1] == generated, f"{name}: {cache} cache: decode and prefill have other bits")

    # DeepSeek: of every token and layer the latent and the rotated key, once.
    if family.startswith("deepseek"):
        config = json.loads((checkpoint / "config.json").read_text())
        bytes_per_token = 4 * (config["kv_lora_rank"] + config["qk_rope_head_dim"]) * config["num_hidden_layers"]
        reported = json.loads(run("ingot-run", "inspect", model, "--json").stdout)["language_model"]["cache_bytes_per_token"]
        expect(reported == bytes_per_token, f"{name}: {reported} bytes of cache per token, expected {bytes_per_token}")

    # The same bytes, whatever the folder and the number of jobs.
    if number in COMPILED_AGAIN:
        elsewhere = folder / "elsewhere" / f"copy{number}"
        shutil.rmtree(elsewhere, ignore_errors=True)
        shutil.copytree(checkpoint, elsewhere)
        again = folder / "again.ingot"
        run("ingot-compile", elsewhere, "-o", again, "--jobs=1", "--quiet", "--activations=f32", TARGET)
        expect(again.read_bytes() == model.read_bytes(), f"{name}: compiling again gives other bytes")

    if number not in WITH_POLICIES:
        continue
    # With and without a cache a policy is the same definition.
    for policy in ("slide", "restart", "restart:7"):
        bits = set()
        for cache in ([], ["--no-kv-cache"]):
            limited = folder / "limited.ingot"
            run("ingot-compile", checkpoint, "-o", limited, "--context=16", f"--past-context={policy}", "--quiet", "--activations=f32", TARGET, *cache)
            # Prompts that are prefilled anew end in pieces of one row too, whose logits nobody wants.
            for chunk in ([], ["--prefill-chunk=1"], ["--prefill-chunk=7"]):
                printed, data = logits(limited, ids[:5], 40, *chunk)
                bits.add((tuple(printed), data))
        expect(len(bits) == 1, f"{name}: {policy} differs without a cache or in pieces")
    stopped = folder / "stopped.ingot"
    run("ingot-compile", checkpoint, "-o", stopped, "--context=16", "--past-context=stop", "--quiet", "--activations=f32", TARGET)
    refused = run("ingot-run", stopped, "--ids=1,2,1", "-n", 40, ok=False)
    expect(refused.returncode and "context" in refused.stderr, f"{name}: stop did not stop: {refused.stderr}")

# One tensor for all experts of a layer is the same model as a tensor for each, and has the same bits.
separate, joined = folder / "separate", folder / "joined"
checkpoints.write(separate, checkpoints.MIXTRAL)
header, data = checkpoints.split((separate / "model.safetensors").read_bytes())
tensors = {n: (t["shape"], data[slice(*t["data_offsets"])]) for n, t in header.items() if n != "__metadata__"}
for layer in range(2):
    old, new = f"model.layers.{layer}.block_sparse_moe.", f"model.layers.{layer}.mlp."
    experts = [[tensors.pop(f"{old}experts.{e}.{w}.weight")[1] for w in ("w1", "w3", "w2")] for e in range(4)]
    tensors[new + "experts.gate_up_proj"] = [4, 40, 12], b"".join(gate + up for gate, up, _ in experts)
    tensors[new + "experts.down_proj"] = [4, 12, 20], b"".join(down for *_, down in experts)
    tensors[new + "gate.weight"] = tensors.pop(old + "gate.weight")
header, data = {}, b""
for name, (shape, content) in tensors.items():
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
    data += content
shutil.rmtree(joined, ignore_errors=True)
joined.mkdir()
(joined / "config.json").write_text((separate / "config.json").read_text())
(joined / "model.safetensors").write_bytes(checkpoints.wrap(json.dumps(header).encode(), data))
results = set()
for form in (separate, joined):
    model = folder / f"{form.name}.ingot"
    run("ingot-compile", form, "-o", model, "--quiet", "--activations=f32", TARGET, "--strict")
    results.add(logits(model, range(11), 0)[1])
expect(len(results) == 1, "mixtral: one tensor for all experts is another model")

# What a token reads of the experts is reported.
report = run("ingot-compile", separate, "-o", folder / "reported.ingot").stderr
expect("experts: 23.04 kB; a token reads 11.52 kB, 4 about" in report, f"mixtral: no experts in the report: {report}")

print("\n".join(problems) or f"{len(MODELS)} models, all as they should be")
sys.exit(bool(problems))
