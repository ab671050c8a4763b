#!/usr/bin/env python3
"""Random checkpoints of any shape, in the layout of Hugging Face, at the speed of the disk.

    bench/make_checkpoint.py OUT --preset=a                          1.1 B parameters, Llama's shape, bf16
    bench/make_checkpoint.py OUT --hidden=4096 --layers=8 --heads=32 --kv-heads=8 --vocab=32000
    bench/make_checkpoint.py OUT --config=config.json --dtype=f16    the weights that a config asks for
    bench/make_checkpoint.py OUT --preset=gpt2 --set n_layer=2       any field of config.json

Speed does not depend on the values of weights, but results must stay finite and no two tokens may look alike. So values are
normal with the variance that keeps activations at one, norms are about one, and biases small. Drawing each of a billion
numbers would take minutes: there is a pool of half a million, and a tensor reads it from a place of its own, again and again.
The length of the pool is odd, so that the rows of a matrix differ. The same arguments make the same bytes.
"""
import argparse
import array
import json
import pathlib
import random
import statistics
import struct
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test/Import/Inputs"))
sys.dont_write_bytecode = True
import checkpoint  # noqa: E402  (which tensors each family has)
import encoders  # noqa: E402

POOL = (1 << 19) + 1
TYPES = {"f32": ("F32", "I", 4), "f16": ("F16", "H", 2), "bf16": ("BF16", "H", 2)}
# What other options start from: fields of config.json by the names of Llama.
PRESETS = {
    "a": dict(hidden=2048, layers=22, heads=32, kv_heads=4, ff=5632, vocab=32000, context=2048),
    "smollm2-135m": dict(hidden=576, layers=30, heads=9, kv_heads=3, ff=1536, vocab=49152, context=8192, tied=True),
    "gpt2": dict(family="gpt2", hidden=768, layers=12, heads=12, vocab=50257, context=1024, tied=True),
    "bert-base": dict(family="bert", hidden=768, layers=12, heads=12, ff=3072, vocab=30522, context=512),
    "llama3-8b": dict(hidden=4096, layers=32, heads=32, kv_heads=8, ff=14336, vocab=128256, context=8192),
    "mistral-7b": dict(hidden=4096, layers=32, heads=32, kv_heads=8, ff=14336, vocab=32000, context=4096),
    "tiny": dict(hidden=64, layers=2, heads=4, kv_heads=2, ff=160, vocab=320, context=256),
}
NAMES = {  # of the options, in the two layouts
    "llama": dict(hidden="hidden_size", layers="num_hidden_layers", heads="num_attention_heads",
                  kv_heads="num_key_value_heads", head_dim="head_dim", ff="intermediate_size", vocab="vocab_size",
                  context="max_position_embeddings", tied="tie_word_embeddings"),
    "gpt2": dict(hidden="n_embd", layers="n_layer", heads="n_head", ff="n_inner", vocab="vocab_size",
                 context="n_positions", tied="tie_word_embeddings"),
}


def make_config(options):
    """config.json of the options: the test's config of the family, with their sizes in it."""
    given = {**PRESETS.get(options.preset, {}),
             **{k: v for k, v in vars(options).items() if v is not None}}
    family = given.get("family", "llama")
    config = dict(encoders.MODELS.get(family) or getattr(checkpoint, family.upper()))
    names = NAMES["gpt2" if family == "gpt2" else "llama"]
    sizes = {names[k]: v for k, v in given.items() if k in names}
    if "hidden" not in given:
        sys.exit("error: expected --preset, --config or sizes; see --help")
    if family != "gpt2" and family not in encoders.MODELS:
        # Nothing of the small model stays: a size that is not given follows from the others.
        sizes.setdefault("num_key_value_heads", given.get("heads"))
        sizes.setdefault("head_dim", given["hidden"] // given.get("heads", config["num_attention_heads"]))
        sizes.setdefault("intermediate_size", 4 * given["hidden"])
    config.update(sizes)
    return config


def encode(values, dtype):
    """The bits of the values, as integers of the type's width."""
    if dtype == "f16":
        return [struct.unpack("<H", struct.pack("<e", v))[0] for v in values]
    words = [struct.unpack("<I", struct.pack("<f", v))[0] for v in values]
    if dtype == "f32":
        return words
    return [(w + 0x7FFF + ((w >> 16) & 1)) >> 16 for w in words]


class Pools:
    """Half a million values of a mean and a deviation, as bytes, twice in a row."""

    def __init__(self, dtype, seed):
        self.dtype, self.code = dtype, TYPES[dtype][1]
        normal = statistics.NormalDist()
        self.quantiles = [normal.inv_cdf((i + 0.5) / 4096) for i in range(4096)]
        draws = array.array("H", random.Random(seed).randbytes(2 * POOL))
        self.draws = [d >> 4 for d in draws]
        self.pools = {}

    def get(self, mean, deviation):
        key = (mean, deviation)
        if key not in self.pools:
            table = encode([mean + deviation * q for q in self.quantiles], self.dtype)
            pool = array.array(self.code, [table[d] for d in self.draws])
            if sys.byteorder == "big":
                pool.byteswap()
            self.pools[key] = memoryview(pool.tobytes() * 2)
        return self.pools[key]


def distribution(name, shape):
    if len(shape) > 1:
        # One class per power of two is enough, and keeps the number of pools small.
        return 0.0, 2.0 ** -round(shape[-1].bit_length() / 2)
    return (0.0, 0.02) if name.endswith("bias") else (1.0, 0.1)


def write_tensor(file, pool, elements, width, start):
    at, left = start * width, elements * width
    while left:
        piece = pool[at:at + min(left, POOL * width)]
        file.write(piece)
        left -= len(piece)
        at = (at + len(piece)) % (POOL * width)


def write_file(path, tensors, dtype, pools, seed):
    name_of_type, _, width = TYPES[dtype]
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors.items():
        begin, end = end, end + checkpoint.product(shape) * width
        header[name] = {"dtype": name_of_type, "shape": shape, "data_offsets": [begin, end]}
    with open(path, "wb") as file:
        file.write(checkpoint.wrap(json.dumps(header).encode(), b""))
        for name, shape in tensors.items():
            start = random.Random(f"{seed}:{name}").randrange(POOL)
            write_tensor(file, pools.get(*distribution(name, shape)), checkpoint.product(shape), width, start)
    return end


def write_checkpoint(out, config, dtype="bf16", seed=0, shards=1):
    """Returns the bytes of all tensors."""
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    shapes_of = encoders.SHAPES.get(config["model_type"]) or (
        checkpoint.gpt2_shapes if config["model_type"] == "gpt2" else checkpoint.llama_shapes)
    tensors, pools = shapes_of(config), Pools(dtype, seed)
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    if shards == 1:
        return write_file(out / "model.safetensors", tensors, dtype, pools, seed)
    total, index, names = 0, {}, list(tensors)
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        total += write_file(out / file, {n: tensors[n] for n in part}, dtype, pools, seed)
        index.update({n: file for n in part})
    index = {"metadata": {"total_size": total}, "weight_map": index}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="the folder to write")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="a known shape")
    parser.add_argument("--config", type=pathlib.Path, help="take this config.json as it is")
    parser.add_argument("--family", choices=checkpoint.FAMILIES + list(encoders.MODELS))
    for name in ("hidden", "layers", "heads", "kv-heads", "head-dim", "ff", "vocab", "context"):
        parser.add_argument("--" + name, type=int, metavar="N")
    parser.add_argument("--tied", action="store_true", default=None, help="the head is the embedding table")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="a field of config.json")
    parser.add_argument("--dtype", choices=sorted(TYPES), default="bf16")
    parser.add_argument("--shards", type=int, default=1, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = json.loads(options.config.read_text()) if options.config else make_config(options)
    for field in options.set:
        name, _, value = field.partition("=")
        try:
            config[name] = json.loads(value)
        except ValueError:
            config[name] = value
    begin = time.monotonic()
    total = write_checkpoint(options.out, config, options.dtype, options.seed, options.shards)
    print(f"{options.out}: {total / 1e6:.1f} MB of weights in {time.monotonic() - begin:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
