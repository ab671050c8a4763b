# RUN: %python %s %t %source %if sanitizers %{ 2 %}
"""Small encoders and encoder-decoders as Hugging Face directories and as GGUF files: the same rows."""
import array
import json
import math
import pathlib
import subprocess
import sys

folder, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(source / "test/Import/Inputs"))
from compare import distance
import encoders
import gguf
import gguf_encoders

folder.mkdir(parents=True, exist_ok=True)
CASES = [
    ("bert", {"architectures": ["BertModel"]}, "hidden"),
    ("bert", {"architectures": ["BertForTokenClassification"], "num_hidden_layers": 1}, "hidden"),
    ("nomic_bert", {}, "hidden"),
    # A window of three tokens on either side, in every other layer or in all but each third.
    ("modernbert", {"architectures": ["ModernBertModel"]}, "hidden"),
    ("modernbert", {"architectures": ["ModernBertForSequenceClassification"], "classifier_pooling": "mean", "hidden_activation": "silu",
                    "num_hidden_layers": 5, "global_attn_every_n_layers": 3, "local_attention": 4}, "classes"),
    ("gemma3_text", {}, "hidden"),
    ("gemma3_text", {"num_key_value_heads": 3, "sliding_window": 9, "num_hidden_layers": 2, "layer_types": ["sliding_attention"] * 2}, "hidden"),
    # GGUF has no key for the distance of the last bucket.
    ("t5", {"architectures": ["T5EncoderModel"], "relative_attention_max_distance": 128}, "hidden"),
    ("t5", {"relative_attention_max_distance": 128}, "encoder"),
    ("t5", {"relative_attention_max_distance": 128}, "logits"),
    ("t5", {"relative_attention_max_distance": 128, "feed_forward_proj": "relu", "tie_word_embeddings": True}, "logits"),
]
problems = []


def run(*command, ok=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if ok and done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")
    return done


def rows(model, out, output):
    run("ingot-compile", model, "-o", out, "--quiet", "--target=x86-64-v3", *(["--strict"] if str(model).endswith("gguf") else []))
    extra = ["--decoder-ids=0,3,2,7"] if output == "logits" else []
    run("ingot-run", out, "--ids=3,1,4,1,5,9,2,6,5,3,5", "-n", "0", f"--output={output}", f"--logits={folder / 'rows.f32'}", *extra)
    values = array.array("f")
    values.frombytes((folder / "rows.f32").read_bytes())
    return values


# How many of the models are tried; all, if it is not said.
count = int(sys.argv[3]) if len(sys.argv) > 3 else len(CASES)
for number, (family, changes, output) in enumerate(CASES[:count]):
    directory, model = folder / f"{number}", folder / f"{number}.gguf"
    encoders.write(directory, family, **changes)
    gguf_encoders.convert(directory, model)
    expected = rows(directory, folder / f"{number}-directory.ingot", output)
    got = rows(model, folder / f"{number}-gguf.ingot", output)
    scale = max(map(abs, expected))
    error = distance(got, expected)
    if not error <= 1e-5 * max(scale, 1) or scale < 1e-3:
        problems.append(f"{family} {changes}: {output} is off by {error:.1e} of {scale:.1e}")

# Linear biases in both directions.
IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
for heads, fused, code in ((3, False, False), (4, True, False), (3, False, True)):
    reference = gguf_encoders.jina(folder / "jina.gguf", heads=heads, fused=fused, code=code)
    run("ingot-compile", folder / "jina.gguf", "-o", folder / "fused.ingot", "--quiet", "--target=x86-64-v3", "--require-fused")
    got, expected = rows(folder / "jina.gguf", folder / "jina.ingot", "hidden"), reference(IDS)
    if not distance(got, expected) <= 2e-5 or len(got) != len(expected):
        problems.append(f"jina-bert-v2 with {heads} heads, code {code}, is off by {distance(got, expected):.1e}")

# Rotations in both directions; a mixture of experts without a gate, in the layout in which it was published too.
for kind, sizes in (("eurobert", {"kv_heads": 2}), ("eurobert", {"heads": 3, "kv_heads": 3, "size": 4}), ("jina-bert-v3", {}), ("nomic-bert-moe", {}),
                    ("nomic-bert-moe", {"experts": 8, "chosen": 3, "layers": 4})):
    directory = folder / "published" if "moe" in kind else None
    reference = gguf_encoders.rotary(folder / "rotary.gguf", kind, directory, **sizes)
    for model, biased in ((folder / "rotary.gguf", False), *([(directory, True)] if directory else [])):
        got, expected = rows(model, folder / "rotary.ingot", "hidden"), reference(IDS, biased)
        if len(got) != len(expected) or not distance(got, expected) <= 2e-5 * max(map(abs, expected)):
            problems.append(f"{kind} {sizes} {model.name} is off by {distance(got, expected):.1e}")


def expect_error(text):
    done = run("ingot-compile", folder / "bad.gguf", "-o", folder / "x.ingot", "--quiet", ok=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    if done.returncode != 1 or len(errors) != 1 or text not in errors[0]:
        problems.append(f"{text}: {done.stderr}")


# The file says how rows become a vector: pooling type 2 is the first row. A classifier is a head.
hidden = rows(folder / "1.gguf", folder / "1.ingot", "hidden")
done = run("ingot-run", "embed", folder / "1.ingot", "--ids=3,1,4,1,5,9,2,6,5,3,5")
if not distance(json.loads(done.stdout)["embeddings"][0], hidden[:12]) <= 1e-6:
    problems.append("the embedding is not the first row")
classes = rows(folder / "1.gguf", folder / "1.ingot", "classes")
if len(classes) != 3:
    problems.append("expected 3 classes")
# Its labels are those of the file.
NAMES = ["red", "green", "blue"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + ["\u2581" + chr(ord("a") + i) for i in range(18)]
TOKENS = [
    ("bert.classifier.output_labels", (gguf.ARRAY, gguf.STRING), NAMES), ("tokenizer.ggml.model", gguf.STRING, "bert"),
    ("tokenizer.ggml.tokens", (gguf.ARRAY, gguf.STRING), WORDS),
    ("tokenizer.ggml.token_type", (gguf.ARRAY, gguf.U32), [3] * 5 + [1] * 18),
    *((f"tokenizer.ggml.{name}_token_id", gguf.U32, i) for i, name in enumerate(("padding", "unknown", "cls", "seperator", "mask")))]
for keys, text, ids in (([], "A b", "2,5,6,3"), ([("tokenizer.ggml.normalizer.lowercase", gguf.BOOL, False)], "A b", "2,1,6,3")):
    gguf_encoders.convert(folder / "1", folder / "labels.gguf", TOKENS + keys)
    run("ingot-compile", folder / "labels.gguf", "-o", folder / "labels.ingot", "--quiet", "--target=x86-64-v3", "--strict")
    run("ingot-run", folder / "labels.ingot", f"--ids={ids}", "--output=classes", f"--logits={folder / 'rows.f32'}", "-n", "0")
    values = array.array("f")
    values.frombytes((folder / "rows.f32").read_bytes())
    total = sum(math.exp(x) for x in values)
    want = [[name, f"{math.exp(x) / total:.4f}"] for x, name in sorted(zip(values, NAMES), reverse=True)]
    got = [line.split("\t") for line in run("ingot-run", folder / "labels.ingot", "-p", text).stdout.splitlines()]
    if got != want:
        problems.append(f"labels of {text} {keys}: {got}, expected {want}")

# Linears of the mean of all rows, which stood beside the model.
number = [family for family, *_ in CASES].index("gemma3_text")
if number < count:
    matrices = [[[((i * 7 + j * 3) % 5 - 2) / 4 for j in range(inner)] for i in range(outer)] for outer, inner in ((20, 12), (9, 20))]
    names = {"dense_2.weight": matrices[0], "dense_3.weight": matrices[1]}
    sizes = [(f"gemma-embedding.dense_{n}_feat_{end}", gguf.U32, size) for n, end, size in ((2, "in", 12), (2, "out", 20), (3, "in", 20), (3, "out", 9))]
    gguf_encoders.convert(folder / f"{number}", folder / "dense.gguf", sizes, names)
    hidden = rows(folder / "dense.gguf", folder / "dense.ingot", "hidden")
    vector = [sum(hidden[j::12]) / 11 for j in range(12)]
    for matrix in matrices:
        vector = [sum(a * b for a, b in zip(row, vector)) for row in matrix]
    done = run("ingot-run", "embed", folder / "dense.ingot", "--ids=3,1,4,1,5,9,2,6,5,3,5")
    if not distance(json.loads(done.stdout)["embeddings"][0], vector) <= 1e-5 * max(map(abs, vector)):
        problems.append(f"the embedding is not that of the linears: {done.stdout}")
    gguf_encoders.convert(folder / f"{number}", folder / "bad.gguf", [*sizes, ("gemma-embedding.pooling_type", gguf.U32, 2)], names)
    expect_error("key 'gemma-embedding.pooling_type': expected 1 (mean) before the linears of the file")
    gguf_encoders.convert(folder / f"{number}", folder / "bad.gguf", [*sizes, ("gemma-embedding.dense_2_feat_in", gguf.U32, 13)], names)
    expect_error("key 'gemma-embedding.dense_2_feat_in': expected 12, as the tensor has it")

# What cannot be right is one error.
for key, text in ((("bert.attention.causal", gguf.BOOL, True), "key 'bert.attention.causal': expected false, nothing else is supported in 'bert'"),
                  (("bert.pooling_type", gguf.U32, 9), "key 'bert.pooling_type': expected an integer from 0 to 4"),
                  (("bert.attention.head_count", gguf.U32, 5), "expected a divisor of the embedding length 12, got 5"),
                  (("bert.attention.head_count_kv", gguf.U32, 2), "expected a divisor of the 3 heads, got 2"),
                  (("bert.attention.head_count_kv", gguf.U32, 1), "tensor 'blk.0.attn_k.weight': expected shape [4, 12] by the file's keys"),
                  (("tokenizer.ggml.tokens", (gguf.ARRAY, gguf.STRING), [f"t{i}" for i in range(24)]),
                   "expected at most 23 tokens, one for each row of the embedding table, got 24"),
                  (("bert.hidden_activation", gguf.STRING, "x"), "key 'bert.hidden_activation': expected one of gelu, gelu_10"),
                  (("bert.classifier.output_labels", gguf.U32, 1), "key 'bert.classifier.output_labels': expected an array of strings"),
                  (("bert.feed_forward_length", gguf.U32, 21), "tensor 'blk.0.ffn_up.weight': expected shape [21, 12] by the file's keys, got [20, 12]")):
    model = [("tokenizer.ggml.model", gguf.STRING, "bert")] if "tokens" in key[0] else []
    gguf_encoders.convert(folder / "0", folder / "bad.gguf", [key, *model])
    expect_error(text)
numbers = {family: number for number, (family, *_) in reversed(list(enumerate(CASES[:count])))}
for family, changes, without, text in (
        ("bert", (), ["token_embd_norm.weight"], "tensor 'token_embd_norm.weight' of shape [12] is missing"),
        ("modernbert", (), ["output_norm.weight"], "tensor 'output_norm.weight' of shape [12] is missing"),
        ("t5", [("t5encoder.attention.head_count_kv", gguf.U32, 1)], (), "key 't5encoder.attention.head_count_kv': expected the ")):
    if family in numbers:
        gguf_encoders.convert(folder / f"{numbers[family]}", folder / "bad.gguf", changes, without=without)
        expect_error(text)

print("\n".join(problems) or "all as they should be")
sys.exit(bool(problems))
