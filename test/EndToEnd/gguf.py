# RUN: %python %s %t %source
"""Small checkpoints as Hugging Face directories and as GGUF files: the same logits, in several architectures and formats."""
import array
import pathlib
import subprocess
import sys

folder, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(source / "test/Import/Inputs"))
import checkpoint
import gguf

folder.mkdir(parents=True, exist_ok=True)
WIDE = dict(hidden_size=64, intermediate_size=96, head_dim=32, num_attention_heads=4, num_key_value_heads=2)
CASES = [
    ("llama", {}, {}),
    ("llama", dict(rope_parameters={"rope_theta": 500.0, "rope_type": "default"}, attention_bias=True), dict(version=2)),
    ("llama", dict(tie_word_embeddings=True), dict(parts=3)),
    ("llama", WIDE, dict(kind="Q8_0")),
    ("qwen2", dict(use_sliding_window=False, hidden_size=64, intermediate_size=96, num_attention_heads=2), dict(kind="Q4_0")),
    ("qwen3", dict(use_sliding_window=False), {}),
    ("gemma2", {}, {}),
    ("gemma2", dict(WIDE), dict(kind="Q8_0", parts=2)),
    ("granite", {}, {}),
    ("gpt2", {}, {}),
    ("gpt2", dict(tie_word_embeddings=False), {}),
    ("cohere", {}, {}),
]
problems = []


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")
    return done


def logits(model, out):
    run("ingot-compile", model, "-o", out, "--quiet", "--strict", "--target=x86-64-v3")
    run("ingot-run", out, "--ids=3,1,4,1,5,9,2,6,5,3,5", "-n", "0", f"--logits={folder / 'logits.f32'}")
    values = array.array("f")
    values.frombytes((folder / "logits.f32").read_bytes())
    return values


for number, (family, changes, options) in enumerate(CASES):
    name = f"{family} {changes} {options}"
    config = {**getattr(checkpoint, family.upper()), **changes}
    directory = checkpoint.write(folder / f"{number}", config)
    single = options.get("parts", 1) == 1
    stem = folder / f"{number}"
    gguf.convert(directory, f"{stem}.gguf" if single else stem, **options)
    expected = logits(directory, folder / f"{number}-directory.ingot")
    got = logits(f"{stem}.gguf" if single else f"{stem}-00001-of-{options['parts']:05}.gguf", folder / f"{number}-gguf.ingot")
    scale = max(map(abs, expected))
    error = max(abs(a - b) for a, b in zip(expected, got)) if len(expected) == len(got) else float("inf")
    if not error <= 1e-5 * max(scale, 1) or scale < 1e-3:
        problems.append(f"{name}: logits are off by {error:.1e} of {scale:.1e}")

print("\n".join(problems) or f"{len(CASES)} models, all as they should be")
sys.exit(bool(problems))
