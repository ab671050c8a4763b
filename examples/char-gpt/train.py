#!/usr/bin/env python3
"""Trains the character GPT of this directory and writes it in the Hugging Face GPT-2 layout.

  python3 train.py --text=tinyshakespeare.txt --out=DIR [--run=STATE.pt]    train, export, check
  python3 train.py --text=tinyshakespeare.txt --out=DIR --check             loss and a sample

Needs torch (2.9 or newer, CPU is enough) and numpy. One thread, and every batch and dropout mask
drawn from (seed, step): two runs on one machine give the same weights, and so does a run that was
interrupted and taken up again from its --run file.

Most updates see short windows, which are cheap, at random offsets into the position table, so that
each of the 1024 positions is trained; the last fifth sees whole contexts. The learning rate is
flat after the warm-up and falls linearly to zero at the end, so --steps can still be changed while
the rate is flat and the windows are short.
"""

import argparse
import json
import math
import os
import struct
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LAYERS, WIDTH, HEADS, CONTEXT = 4, 256, 4, 1024


class Block(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.dropout = dropout
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.attn_proj = nn.Linear(WIDTH, WIDTH)
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.fc = nn.Linear(WIDTH, 4 * WIDTH)
        self.mlp_proj = nn.Linear(4 * WIDTH, WIDTH)

    def drop(self, x):
        return F.dropout(x, self.dropout, self.training)

    def forward(self, x):
        batch, length, _ = x.shape
        h = self.ln_1(x)
        q, k, v = (
            p(h).view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            for p in (self.q, self.k, self.v)
        )
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.drop(self.attn_proj(h.transpose(1, 2).reshape(batch, length, WIDTH)))
        return x + self.drop(self.mlp_proj(F.relu(self.fc(self.ln_2(x)))))


class CharGPT(nn.Module):
    def __init__(self, vocab, dropout=0.0):
        super().__init__()
        self.wte = nn.Embedding(vocab, WIDTH)  # also the head: tied
        self.wpe = nn.Embedding(CONTEXT, WIDTH)
        self.h = nn.ModuleList(Block(dropout) for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH)
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif p.dim() == 2:  # smaller into the residual stream, as GPT-2 does
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * LAYERS) if "_proj" in name else 1))

    def forward(self, ids, offsets=None):
        """Logits [B, T, V] of ids [B, T]; row b starts at position offsets[b] (0 if None)."""
        positions = torch.arange(ids.shape[1])[None, :]
        if offsets is not None:
            positions = positions + offsets[:, None]
        x = self.wte(ids) + self.wpe(positions)
        x = F.dropout(x, self.h[0].dropout, self.training)
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


# ---- data -------------------------------------------------------------------------------------


def read_text(path):
    """The sorted characters, and the ids of the first 90 % and the last 10 % of the text."""
    with open(path, encoding="utf-8", newline="") as f:
        text = f.read()
    chars = sorted(set(text))
    index = {c: i for i, c in enumerate(chars)}
    ids = torch.tensor([index[c] for c in text])
    cut = int(0.9 * len(ids))
    return chars, ids[:cut], ids[cut:]


def draw_batch(ids, window, rows):
    """Windows of the text, their successors, and the position at which each window is put."""
    starts = torch.randint(len(ids) - window, (rows,))
    at = starts[:, None] + torch.arange(window)
    return ids[at], ids[at + 1], torch.randint(CONTEXT - window + 1, (rows,))


@torch.no_grad()
def text_loss(model, ids, windows=None):
    """Nats per character over windows of 1024 without overlap, the shorter last one included: each
    character but the first is predicted once, from what precedes it in its window."""
    model.eval()
    total = count = 0
    for at in range(0, len(ids) - 1, CONTEXT)[:windows]:
        y = ids[at + 1 : at + 1 + CONTEXT]
        logits = model(ids[None, at : at + len(y)])
        total += F.cross_entropy(logits[0].float(), y, reduction="sum").double().item()
        count += len(y)
    model.train()
    return total / count


# ---- training ---------------------------------------------------------------------------------


def make_optimizers(model, args):
    """Muon for the projections, AdamW for the embeddings, norms and biases.
    Both take one rate: Muon's updates are scaled to the size that AdamW's have."""
    matrices = [p for p in model.h.parameters() if p.dim() == 2]
    tables = [model.wte.weight, model.wpe.weight]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [
        {"params": tables, "weight_decay": args.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [
        torch.optim.Muon(
            matrices,
            lr=args.lr,
            weight_decay=args.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.99)),
    ]


def learning_rate(step, args):
    warm = (step + 1) / args.warmup
    fall = (args.steps - step) / (args.decay * args.steps)
    return args.lr * min(1.0, warm, fall)


def train(args, chars, train_ids, val_ids):
    torch.manual_seed(args.seed)
    model = CharGPT(len(chars), args.dropout)
    optimizers = make_optimizers(model, args)
    first, seconds = 0, 0.0
    if args.run and os.path.exists(args.run):
        state = torch.load(args.run)
        first, seconds = state["step"], state["seconds"]
        model.load_state_dict(state["model"])
        for opt, saved in zip(optimizers, state["optimizers"]):
            opt.load_state_dict(saved)
        print(f"taken up at step {first}", flush=True)
    long_from = int(args.steps * (1 - args.long))
    started = time.perf_counter() - seconds
    shown = 0.0
    for step in range(first, args.steps):
        torch.manual_seed(args.seed * 1_000_003 + step)  # batch and dropout of this step
        window = CONTEXT if step >= long_from else args.window
        x, y, offsets = draw_batch(train_ids, window, args.tokens // window)
        for opt in optimizers:
            for group in opt.param_groups:
                group["lr"] = learning_rate(step, args)
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.f32):
            logits = model(x, offsets)
        loss = F.cross_entropy(logits.float().flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in optimizers:
            opt.step()
            opt.zero_grad(set_to_none=True)
        shown += loss.item()
        done = step + 1
        if done % 50 == 0:
            seconds = time.perf_counter() - started
            print(f"step {done}/{args.steps} train {shown / 50:.4f} {seconds:.0f} s", flush=True)
            shown = 0.0
        if done % args.save_every == 0 or done == args.steps:
            loss = text_loss(model, val_ids, 16)
            print(f"step {done} validation, 16 windows: {loss:.4f}", flush=True)
            if args.run:
                state = {
                    "step": done,
                    "seconds": time.perf_counter() - started,
                    "model": model.state_dict(),
                    "optimizers": [opt.state_dict() for opt in optimizers],
                }
                torch.save(state, args.run + ".tmp")
                os.replace(args.run + ".tmp", args.run)
    return model


# ---- the Hugging Face directory ---------------------------------------------------------------


def to_gpt2(model):
    """GPT-2's tensor names; its projections are stored [in, out], and q, k, v side by side."""
    out = {"transformer.wte.weight": model.wte.weight, "transformer.wpe.weight": model.wpe.weight}

    def norm(name, m):
        out[name + ".weight"], out[name + ".bias"] = m.weight, m.bias

    def projection(name, *parts):
        out[name + ".weight"] = torch.cat([m.weight.t() for m in parts], 1)
        out[name + ".bias"] = torch.cat([m.bias for m in parts])

    for i, block in enumerate(model.h):
        h = f"transformer.h.{i}."
        norm(h + "ln_1", block.ln_1)
        projection(h + "attn.c_attn", block.q, block.k, block.v)
        projection(h + "attn.c_proj", block.attn_proj)
        norm(h + "ln_2", block.ln_2)
        projection(h + "mlp.c_fc", block.fc)
        projection(h + "mlp.c_proj", block.mlp_proj)
    norm("transformer.ln_f", model.ln_f)
    return {k: v.detach().to(torch.float16).contiguous() for k, v in out.items()}


def from_gpt2(tensors, vocab):
    """The inverse of to_gpt2, in float32."""
    model = CharGPT(vocab)
    get = lambda name: tensors[name].float()
    state = {}
    for name in ("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"):
        state[name] = get("transformer." + name)
    for i in range(LAYERS):
        ours, theirs = f"h.{i}.", f"transformer.h.{i}."
        for name in ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"):
            state[ours + name] = get(theirs + name)
        for part, w in zip("qkv", get(theirs + "attn.c_attn.weight").split(WIDTH, 1)):
            state[ours + part + ".weight"] = w.t()
        for part, b in zip("qkv", get(theirs + "attn.c_attn.bias").split(WIDTH)):
            state[ours + part + ".bias"] = b
        names = {"attn_proj": "attn.c_proj", "fc": "mlp.c_fc", "mlp_proj": "mlp.c_proj"}
        for mine, their in names.items():
            state[ours + mine + ".weight"] = get(theirs + their + ".weight").t()
            state[ours + mine + ".bias"] = get(theirs + their + ".bias")
    model.load_state_dict(state)
    return model


def write_safetensors(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        size = tensors[name].numel() * 2
        shape = list(tensors[name].shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for name in sorted(tensors):
            f.write(tensors[name].numpy().astype("<f2").tobytes())


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:start]).items():
        if name != "__metadata__":
            low, high = (start + x for x in t["data_offsets"])
            values = np.frombuffer(data[low:high], "<f2").reshape(t["shape"])
            out[name] = torch.from_numpy(values.copy())
    return out


def byte_symbols():
    """The printable character that byte-level BPE writes for each byte: itself where the byte is
    printable in Latin-1, else the next unused code point from 256."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in visible]
    return {**{b: chr(b) for b in visible}, **{b: chr(256 + i) for i, b in enumerate(hidden)}}


def tokenizer_json(chars):
    symbols = byte_symbols()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {symbols[ord(c)]: i for i, c in enumerate(chars)},
            "merges": [],
        },
    }


def config_json(vocab):
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": WIDTH,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_positions": CONTEXT,
        "n_inner": None,
        "vocab_size": vocab,
        "activation_function": "relu",
        "layer_norm_epsilon": 1e-05,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "tie_word_embeddings": True,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": None,
        "torch_dtype": "float16",
    }


def export(model, chars, out):
    if any(ord(c) > 127 for c in chars):
        raise SystemExit("error: the text is not ASCII: a character would be more than one token")
    os.makedirs(out, exist_ok=True)
    write_safetensors(os.path.join(out, "model.safetensors"), to_gpt2(model))
    for name, value in (
        ("config.json", config_json(len(chars))),
        ("tokenizer.json", tokenizer_json(chars)),
    ):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            json.dump(value, f, indent=2, ensure_ascii=False)
            f.write("\n")


@torch.no_grad()
def sample(model, chars, prompt, count, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([chars.index(c) for c in prompt])
    for _ in range(count):
        p = model(ids[None, -CONTEXT:])[0, -1].softmax(-1)
        ids = torch.cat([ids, torch.multinomial(p, 1, generator=generator)])
    return "".join(chars[i] for i in ids)


def check(out, chars, val_ids, seed):
    """What the exported file gives: float16 weights, float32 arithmetic."""
    model = from_gpt2(read_safetensors(os.path.join(out, "model.safetensors")), len(chars))
    print(f"validation loss of the export: {text_loss(model, val_ids):.4f} nats per character")
    print(sample(model, chars, "ROMEO:\n", 300, seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", required=True, help="the training text, ASCII")
    parser.add_argument("--out", required=True, help="directory of the exported model")
    parser.add_argument("--run", help="file that keeps the state of an unfinished run")
    parser.add_argument("--check", action="store_true", help="only load the export and judge it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens per step")
    parser.add_argument("--window", type=int, default=256, help="window of the short updates")
    parser.add_argument("--long", type=float, default=0.2, help="share of steps with full context")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--decay", type=float, default=0.4, help="share of steps with falling rate")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--f32", action="store_true", help="no bfloat16 in the training arithmetic")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chars, train_ids, val_ids = read_text(args.text)
    if not args.check:
        export(train(args, chars, train_ids, val_ids), chars, args.out)
    check(args.out, chars, val_ids, args.seed)


if __name__ == "__main__":
    main()
