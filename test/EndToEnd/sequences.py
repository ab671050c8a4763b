# RUN: %python %s %t %source %if sanitizers %{ 2 %}
"""Small made-up encoders and encoder-decoders, compiled and run: rows of the interpreter, and the same bits in any company."""
import array
import json
import math
import pathlib
import shutil
import subprocess
import sys

folder, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
# One target is enough here: the others have tests of their own.
TARGET = "--target=" + ("x86-64-v4" if "avx512vl" in open("/proc/cpuinfo").read() else "x86-64-v3")
sys.path.insert(0, str(source / "test/Import/Inputs"))
from compare import distance
import checkpoint as checkpoint_files
import encoders

problems = []


def expect(condition, what):
    if not condition:
        problems.append(what)


def run(*command, ok=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if ok and done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")
    return done


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


def write_npy(path, kind, values, shape):
    header = ("{'descr': '<%s', 'fortran_order': False, 'shape': (%s), }" % (kind, "".join(f"{n}, " for n in shape))).encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    code = {"i4": "i", "f4": "f", "f8": "d"}[kind]
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + array.array(code, values).tobytes())


def interpret(graph, checkpoint, function, inputs):
    """The first result of a function, in f64."""
    files = []
    for number, (kind, values, shape) in enumerate(inputs):
        files.append(folder / f"input{number}.npy")
        write_npy(files[-1], kind, values, shape)
    out = folder / "expected.npy"
    run("ingot-opt", graph, f"--tfm-interpret=function={function} inputs={','.join(map(str, files))} parameters={checkpoint} "
        f"dims={len(inputs[0][1])} outputs={out}", "-o", "/dev/null")
    return read_npy(out)


def close(got, want, what):
    error = distance(got, want)
    expect(error < 2e-5 * max(1, *map(abs, want)), f"{what}: off by {error:.1e} ({len(got)} of {len(want)} values)")


def ids_of(count, seed, vocabulary):
    return [(7 * i * i + 3 * i * seed + seed) % vocabulary for i in range(count)]


def write_ids(path, sequences):
    path.write_text("".join(" ".join(map(str, s)) + "\n" for s in sequences))


def rows(model, sequences, output, *arguments):
    ids, out = folder / "ids.txt", folder / "rows.f32"
    write_ids(ids, sequences)
    run("ingot-run", model, f"--ids-file={ids}", "-n", 0, f"--output={output}", f"--logits={out}", *arguments)
    return out.read_bytes()


def prepare(name, **fields):
    checkpoint = folder / name
    shutil.rmtree(checkpoint, ignore_errors=True)
    config = encoders.write(checkpoint, name, **fields)
    model, graph = folder / f"{name}.ingot", folder / f"{name}.mlir"
    run("ingot-compile", checkpoint, "-o", model, "--quiet", "--activations=f32", TARGET, "--require-fused")
    run("ingot-compile", checkpoint, "--compile-to=input", "--activations=f32", "-o", graph)
    return config, checkpoint, model, graph


# Lengths on both sides of a page of keys.
LENGTHS = (5, 1, 70, 64)
LABELS = {"id2label": {"0": "bad", "1": "so so", "2": "good"}}
ENCODERS = (
    ("bert", ["hidden", "logits", "pooled", "classes"], {}), ("mpnet", ["hidden", "logits"], {}), ("modernbert", ["hidden", "logits"], {}),
    ("modernbert", ["hidden", "classes"], {"architectures": ["ModernBertForSequenceClassification"], "classifier_pooling": "mean", **LABELS}),
    ("deberta-v2", ["hidden", "logits"], {}),
    ("deberta-v2", ["hidden", "logits"], {
        "legacy": True, "embedding_size": 10, "share_att_key": True, "position_buckets": -1, "max_relative_positions": 6, "conv_kernel_size": 0,
        "norm_rel_ebd": "none", "pos_att_type": "c2p", "position_biased_input": True}))
# How many of the models are tried; all, if it is not said.
count = int(sys.argv[3]) if len(sys.argv) > 3 else None
for name, outputs, fields in ENCODERS[:count]:
    config, checkpoint, model, graph = prepare(name, **fields)
    sequences = [ids_of(n, i + 1, config["vocab_size"]) for i, n in enumerate(LENGTHS)]
    zeros = [("i4", [0] * n, [n]) for n in LENGTHS] if name == "bert" else None
    for output in outputs:
        together = rows(model, sequences, output)
        alone = b"".join(rows(model, [s], output) for s in sequences)
        expect(together == alone, f"{name}: {output} has other bits in a batch")
        expect(rows(model, sequences, output, "--threads=1") == together, f"{name}: {output} has other bits on one thread")
        want = []
        for i, s in enumerate(sequences):
            inputs = [("i4", s, [len(s)])] + ([zeros[i]] if zeros else [])
            values = interpret(graph, checkpoint, output, inputs)
            width = len(values) // len(s)
            want += values[:width] if output in ("pooled", "classes") else values
        close(floats(together), want, f"{name}: {output}")
    verified = run("ingot-run", "verify", model, "-p", 30).stdout
    expect(all(f"same bits: {o} of 30 tokens, in a batch of 5, all threads" in verified for o in outputs), f"{name}: verify: {verified}")
    # Embeddings are what the rows say.
    hidden = floats(rows(model, sequences[:1], "hidden"))
    width = config["hidden_size"]
    mean = [sum(hidden[i::width]) / LENGTHS[0] for i in range(width)]
    norm = math.sqrt(sum(x * x for x in mean))
    done = run("ingot-run", "embed", model, "--ids=" + ",".join(map(str, sequences[0])), "--pooling=mean", "--normalize")
    vector = json.loads(done.stdout)["embeddings"][0]
    close(vector, [x / norm for x in mean], f"{name}: mean embedding")
    done = run("ingot-run", "embed", model, "--ids=" + ",".join(map(str, sequences[0])), "--pooling=cls")
    close(json.loads(done.stdout)["embeddings"][0], hidden[:width], f"{name}: first embedding")
    done = run("ingot-run", "embed", model, "--ids=" + ",".join(map(str, sequences[0])), "--pooling=none")
    expect(len(json.loads(done.stdout)["embeddings"][0]) == LENGTHS[0], f"{name}: a vector for every token")

# A reader sees tokens and labels.
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(ord("a") + i) for i in range(18)]
for name, fields in (("bert", {}), ("bert", {"architectures": ["BertForTokenClassification"], **LABELS}),
                     ("modernbert", {"architectures": ["ModernBertForSequenceClassification"], **LABELS}),
                     ("modernbert", {"architectures": ["ModernBertForSequenceClassification"], "problem_type": "multi_label_classification", **LABELS})):
    config, checkpoint, model, graph = prepare(name, **fields)
    (checkpoint / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    run("ingot-compile", checkpoint, "-o", model, "--quiet", TARGET)
    lines = [line.split("\t") for line in run("ingot-run", model, "-p", "a [MASK] b").stdout.splitlines()]
    ids = [2, 5, 4, 6, 3]
    output = "classes" if "classifier" in str(fields) or name == "modernbert" else "logits"
    values = floats(rows(model, [ids], output))
    if not fields:
        row = values[2 * 23:3 * 23]
        total = sum(math.exp(x - max(row)) for x in row)
        want = sorted(((math.exp(x - max(row)) / total, i) for i, x in enumerate(row)), key=lambda item: (-item[0], item[1]))[:5]
        expect(lines == [[WORDS[i], f"{p:.4f}"] for p, i in want] + [[""]], f"tokens of the mask: {lines}")
        continue
    names = list(LABELS["id2label"].values())

    def chances(row):
        if "problem_type" in fields:
            return [1 / (1 + math.exp(-x)) for x in row]
        total = sum(math.exp(x - max(row)) for x in row)
        return [math.exp(x - max(row)) / total for x in row]

    if output == "classes":
        want = sorted(([label, f"{p:.4f}"] for label, p in zip(names, chances(values))), key=lambda item: -float(item[1]))
    else:
        each = [chances(values[3 * t:3 * t + 3]) for t in range(len(ids))]
        want = [[WORDS[i], names[row.index(max(row))], f"{max(row):.4f}"] for i, row in zip(ids, each)]
    expect(lines == want, f"labels of {fields}: {lines}, expected {want}")

# A cross-encoder: the score of a pair of texts. The second text has type 1.
ONE = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "score"}}
for fields, score in ((ONE, lambda x: 1 / (1 + math.exp(-x))), ({**ONE, "problem_type": "regression"}, lambda x: x),
                      ({**ONE, "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, lambda x: x)):
    config, checkpoint, model, graph = prepare("bert", **fields)
    (checkpoint / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 9}))
    run("ingot-compile", checkpoint, "-o", model, "--quiet", "--activations=f32", TARGET, "--strict")
    pairs = {("a b", "c"): ([2, 5, 6, 3, 7, 3], [0, 0, 0, 0, 1, 1]), ("", "d"): ([2, 3, 8, 3], [0, 0, 1, 1]),
             ("a b c d e f", "g h"): ([2, 5, 6, 7, 8, 3, 11, 12, 3], [0] * 6 + [1] * 3)}
    file = folder / "pairs.tsv"
    file.write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    together = run("ingot-run", model, "--pairs-file", file)
    expect(together.stderr.count("note:") == 1 and f"note: {file}: line 3: cut to 9 tokens, 2 more are not read" in together.stderr, f"pairs: {together.stderr}")
    for ((a, b), (ids, types)), line in zip(pairs.items(), together.stdout.splitlines(), strict=True):
        want = floats(rows(model, [ids], "classes", "--token-types=" + ",".join(map(str, types))))[0]
        expect(line == f"score\t{score(want):.4f}", f"{fields}: {a} and {b}: {line}, expected {score(want):.4f}")
        alone = run("ingot-run", model, "-p", a, "--pair", b)
        expect(alone.stdout == line + "\n", f"{fields}: {a} and {b} alone: {alone.stdout}")
for arguments, text in ((["--pair=a"], "--pair requires --prompt"), (["--pairs-file", folder / "bad.tsv"], "bad.tsv: line 1: expected two texts with a tab between")):
    (folder / "bad.tsv").write_text("a\tb\tc\n")
    done = run("ingot-run", model, *arguments, ok=False)
    expect(done.returncode == 1 and text in done.stderr, f"{arguments}: {done.stderr}")

# Texts are cut to what the checkpoint says, ids to nothing.
(checkpoint / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6}))
run("ingot-compile", checkpoint, "-o", model, "--quiet", "--activations=f32", TARGET)
done = run("ingot-run", "embed", model, "-p", "a b c d e f g")
expect(done.stderr == "note: --prompt: cut to 6 tokens, 3 more are not read\n", f"embed: {done.stderr}")
expect(done.stdout == run("ingot-run", "embed", model, "-p", "a b c d").stdout, "embed: another vector of a text that is cut")
whole = run("ingot-run", "embed", model, "--ids=2,5,6,7,8,9,10,3")
expect(not whole.stderr and whole.stdout != done.stdout, f"embed: ids are cut: {whole.stderr}")
long = run("ingot-run", "embed", model, "--ids=" + ",".join(["5"] * (config["max_position_embeddings"] + 1)), ok=False)
expect(long.returncode == 1 and "the context has" in long.stderr, f"embed: {long.stderr}")

# Token types count, and only those that there are.
config, checkpoint, model, graph = prepare("bert", architectures=["BertModel"])
ids, types = ids_of(6, 3, 23), [0, 0, 1, 1, 0, 1]
got = floats(rows(model, [ids], "hidden", "--token-types=" + ",".join(map(str, types))))
close(got, interpret(graph, checkpoint, "hidden", [("i4", ids, [6]), ("i4", types, [6])]), "bert: token types")
for arguments, text in ((["--token-types=0,0,2,0,0,0"], "token type 2"), (["--token-types=0"], "expected one for each"),
                        (["--output=encoder"], "has no output 'encoder', only hidden, pooled")):
    done = run("ingot-run", model, "--ids=" + ",".join(map(str, ids)), f"--logits={folder / 'x'}", *arguments, ok=False)
    expect(done.returncode == 1 and text in done.stderr, f"bert: {arguments}: {done.stderr}")
# Pooling that is stored beside the model.
(checkpoint / "1_Pooling").mkdir(exist_ok=True)
(checkpoint / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 12, "pooling_mode_max_tokens": True}))
(checkpoint / "modules.json").write_text(json.dumps([
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]))
run("ingot-compile", checkpoint, "-o", model, "--quiet", "--activations=f32", TARGET)
hidden = floats(rows(model, [ids], "hidden"))
top = [max(hidden[i::12]) for i in range(12)]
norm = math.sqrt(sum(x * x for x in top))
done = run("ingot-run", "embed", model, "--ids=" + ",".join(map(str, ids)))
close(json.loads(done.stdout)["embeddings"][0], [x / norm for x in top], "bert: stored pooling")

# A linear on the mean, stored beside the model, is its output "pooled".
(checkpoint / "2_Dense").mkdir(exist_ok=True)
(checkpoint / "2_Dense/config.json").write_text(json.dumps({
    "in_features": 12, "out_features": 5, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}))
(checkpoint / "2_Dense/model.safetensors").write_bytes(checkpoint_files.safetensors(
    {"linear.weight": ("F32", [5, 12]), "linear.bias": ("F32", [5])}, seed=9))
(checkpoint / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True}))
modules = json.loads((checkpoint / "modules.json").read_text())
modules.insert(2, {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
(checkpoint / "modules.json").write_text(json.dumps(modules))
run("ingot-compile", checkpoint, "-o", model, "--quiet", TARGET)
_, data = checkpoint_files.split((checkpoint / "2_Dense/model.safetensors").read_bytes())
dense = floats(data)
mean = [sum(hidden[i::12]) / len(ids) for i in range(12)]
top = [math.tanh(sum(w * x for w, x in zip(dense[12 * o:], mean)) + dense[60 + o]) for o in range(5)]
norm = math.sqrt(sum(x * x for x in top))
done = run("ingot-run", "embed", model, "--ids=" + ",".join(map(str, ids)))
close(json.loads(done.stdout)["embeddings"][0], [x / norm for x in top], "bert: stored linear")
(checkpoint / "2_Dense/config.json").write_text(json.dumps({"in_features": 12, "out_features": 5, "activation_function": "torch.nn.Odd"}))
refused = run("ingot-compile", checkpoint, "-o", folder / "x.ingot", ok=False)
expect(refused.returncode == 1 and "expected the class of an activation, got 'torch.nn.Odd'" in refused.stderr, f"dense: {refused.stderr}")

# Rates of an encoder beside the machine's.
done = run("ingot-run", "bench", model, "--json", "--no-limits", "--repeat=1", "--batch=5", "-p", "20")
part = json.loads(done.stdout)["encoder"]
expect(part["sequences"] == 5 and part["longest"] == 20 and 5 * 5 <= part["tokens"] <= 100 and part["flops"] > 0, f"bench: {part}")
done = run("ingot-run", "profile", model, "--json", "-p", "20", "-n", "2")
expect([(p["name"], p["runs"]) for p in json.loads(done.stdout)["programs"]] == [("hidden", 2)], f"profile: {done.stdout[:300]}")

for name in ("t5", "bart", "marian")[:count]:
    config, checkpoint, model, graph = prepare(name)
    target = config.get("decoder_vocab_size", config["vocab_size"])
    sources = [ids_of(n, i + 1, config["vocab_size"]) for i, n in enumerate(LENGTHS)]
    texts = [ids_of(7, i + 5, target) for i in range(len(sources))]
    file = folder / "texts.txt"
    write_ids(file, texts)
    states, want = [], []
    for s, t in zip(sources, texts):
        states.append(interpret(graph, checkpoint, "encode", [("i4", s, [len(s)])]))
        want += interpret(graph, checkpoint, "forward",
                          [("i4", t, [len(t)]), ("f8", states[-1], [len(s), config["d_model"]])])
    close(floats(rows(model, sources, "encoder")), [x for s in states for x in s], f"{name}: encoder")
    together = rows(model, sources, "logits", f"--decoder-ids-file={file}")
    close(floats(together), want, f"{name}: logits")
    alone = b"".join(rows(model, [s], "logits", "--decoder-ids=" + ",".join(map(str, t))) for s, t in zip(sources, texts))
    expect(together == alone, f"{name}: other bits in a batch")
    for arguments in (["--threads=1"], ["--prefill-chunk=1"], ["--prefill-chunk=3"]):
        expect(rows(model, sources, "logits", f"--decoder-ids-file={file}", *arguments) == together, f"{name}: other bits with {arguments[0]}")
    verified = run("ingot-run", "verify", model, "-p", 12, "-n", 4).stdout
    expect("same bits: encoder of 12 tokens, in a batch of 5, all threads" in verified and "4 generated" in verified, f"{name}: verify: {verified}")
    # Greedy: what decode computes is what prefill computes, and the start is the model's.
    ids, out = "--ids=" + ",".join(map(str, sources[0])), folder / "decode.f32"
    printed = run("ingot-run", model, ids, "-n", 6, "--ignore-eos", f"--logits={out}").stdout.split()
    expect(printed[0] == str(config["decoder_start_token_id"]) and len(printed) == 7, f"{name}: printed {printed}")
    expect(rows(model, sources[:1], "logits", "--decoder-ids=" + ",".join(printed[:-1])) == out.read_bytes(), f"{name}: decode and prefill have other bits")
    # One beam is greedy; several find nothing worse, alone and in company.
    beams = [run("ingot-run", model, ids, "-n", 6, "--ignore-eos", f"--beams={n}").stdout.split() for n in (1, 3)]
    expect(beams[0] == printed, f"{name}: one beam is not greedy")

    def score(text):
        logits = floats(rows(model, sources[:1], "logits", "--decoder-ids=" + ",".join(text[:-1])))
        total = 0
        for i, token in enumerate(text[1:]):
            row = logits[i * target:(i + 1) * target]
            total += row[int(token)] - max(row) - math.log(sum(math.exp(x - max(row)) for x in row))
        return total

    expect(score(beams[1]) >= score(printed) - 1e-6, f"{name}: beams find less than greedy")
    write_ids(folder / "sources.txt", sources)
    lines = run("ingot-run", model, f"--ids-file={folder / 'sources.txt'}", "-n", 6, "--ignore-eos", "--beams=3").stdout.splitlines()
    expect(lines[0].split() == beams[1] and len(lines) == len(sources), f"{name}: beams depend on company")
    checked = run("ingot-compile", checkpoint, "-o", folder / "x.ingot", "--verify-numerics", TARGET, ok=False)
    expect(checked.returncode == 0 and "it takes what another function makes of a source" in checked.stdout + checked.stderr,
           f"{name}: --verify-numerics: {checked.stderr}")
    refused = run("ingot-compile", checkpoint, "-o", folder / "x.ingot", "--past-context=restart", ok=False)
    expect(refused.returncode == 1 and "expected past-context stop" in refused.stderr, f"{name}: {refused.stderr}")

print("\n".join(problems) or "all as they should be")
sys.exit(bool(problems))
