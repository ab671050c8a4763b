#!/usr/bin/env python3
"""Compares directories without a tokenizer.json with what the classes of Hugging Face transformers make of them.

    pip install transformers sentencepiece tiktoken      (torch is not needed)
    python3 directories.py build/unit/ingot-tokenize-lines VOCAB.json MERGES.txt

VOCAB.json and MERGES.txt are GPT-2's. Directories of many classes are made from them, and from SentencePiece models that
are trained here, in a temporary folder. Ids of a few hundred texts must be the same.
"""
import base64
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import sentencepiece
import tiktoken
import transformers

tool, vocab, merges = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
random.seed(1)
words = ["Hello", "world", "I", "saw", "a", "girl", "with", "a", "telescope", "caf\u00e9", "na\u00efve", "\u4f60\u597d", "1,000", "2024", "it's",
         "``quoted''", "A", "THE", "\U0001f600", "...", "x=1;", "</s>", "<mask>", "<unk>", "<s>", "\u00bd", "e\u0301", "\ufb01ne"]
texts = [" ".join(random.choices(words, k=random.randint(1, 9))) for _ in range(300)]
texts += ["", " ", "  two  spaces ", "\tTab\nnewline", " leading", "trailing ", "\u3000wide", "a\u00a0b"]


def ours(directory):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    run = subprocess.run([tool, directory], input=lines, capture_output=True, text=True)
    if run.returncode:
        return run.stderr.strip()
    return [json.loads(line) for line in run.stdout.splitlines()]


failures = 0


def compare(name, directory, expected):
    global failures
    got = ours(directory)
    if isinstance(got, str):
        print(f"{name}: {got}")
        failures += 1
        return
    wrong = [i for i in range(len(texts)) if got[i] != expected[i]]
    print(f"{name}: {len(texts) - len(wrong)} of {len(texts)}")
    for i in wrong[:3]:
        print("  ", repr(texts[i]), "\n   expected", expected[i], "\n   got     ", got[i])
    failures += bool(wrong)


with tempfile.TemporaryDirectory() as folder:
    def make(name, files, config=None, **more):
        directory = pathlib.Path(folder, name)
        directory.mkdir()
        for target, source in files.items():
            if isinstance(source, pathlib.Path):
                shutil.copy(source, directory / target)
            else:
                (directory / target).write_text(source if isinstance(source, str) else json.dumps(source, ensure_ascii=False))
        (directory / "tokenizer_config.json").write_text(json.dumps(config or {}))
        return directory

    def check(name, files, **config):
        directory = make(name, files, {"tokenizer_class": name, **config})
        try:
            reference = getattr(transformers, name).from_pretrained(str(directory))
            expected = [reference(text)["input_ids"] for text in texts]
        except Exception as error:
            print(f"{name}: the reference fails: {type(error).__name__}: {str(error)[:200]}")
            return
        compare(name, directory, expected)

    def train(name, **options):
        options = {"vocab_size": 160, "hard_vocab_limit": False, **options}
        corpus = pathlib.Path(folder, "corpus.txt")
        corpus.write_text("\n".join(text for text in texts if text.strip()))
        sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=f"{folder}/{name}", **options,
                                                 minloglevel=9, character_coverage=0.98)
        return pathlib.Path(folder, name + ".model")

    spm = train("fairseq")
    t5 = train("t5", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    albert = train("albert", pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"])
    xlnet = train("xlnet", control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"])
    deberta = train("deberta", pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]")
    llama = train("llama", model_type="bpe", hard_vocab_limit=True, vocab_size=340, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    for name, file, model in [("XLMRobertaTokenizer", "sentencepiece.bpe.model", spm), ("CamembertTokenizer", "sentencepiece.bpe.model", spm),
                              ("MBartTokenizer", "sentencepiece.bpe.model", spm), ("MBart50Tokenizer", "sentencepiece.bpe.model", spm),
                              ("XGLMTokenizer", "sentencepiece.bpe.model", spm), ("PegasusTokenizer", "spiece.model", t5),
                              ("AlbertTokenizer", "spiece.model", albert), ("BigBirdTokenizer", "spiece.model", albert),
                              ("RemBertTokenizer", "sentencepiece.model", albert), ("XLNetTokenizer", "spiece.model", xlnet),
                              ("DebertaV2Tokenizer", "spm.model", deberta), ("T5Tokenizer", "spiece.model", t5),
                              ("LlamaTokenizer", "tokenizer.model", llama)]:
        check(name, {file: model})
    numbered = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for i in range(pieces.get_piece_size()):
        if i % 9:  # some pieces have no number
            numbered.setdefault(pieces.id_to_piece(i), len(numbered))
    check("M2M100Tokenizer", {"sentencepiece.bpe.model": spm, "vocab.json": numbered})
    marian = {"</s>": 0, "<unk>": 1}
    for piece in list(numbered)[4:] + [">>fra<<", "<pad>"]:
        marian.setdefault(piece, len(marian))
    check("MarianTokenizer", {"source.spm": spm, "target.spm": spm, "vocab.json": marian}, source_lang="en", target_lang="fr")

    gpt2 = {"vocab.json": vocab, "merges.txt": merges}
    for name in ["GPT2Tokenizer", "RobertaTokenizer", "BartTokenizer", "Qwen2Tokenizer"]:
        files = dict(gpt2)
        if name in ("RobertaTokenizer", "BartTokenizer"):
            table = json.loads(vocab.read_text())
            for token in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]:
                table.setdefault(token, len(table))
            files["vocab.json"] = table
        check(name, files)
    check("CLIPTokenizer", {"vocab.json": {token: i for i, token in enumerate(
        ["<|startoftext|>", "<|endoftext|>"] + [c for c in "abcdefghijklmnopqrstuvwxyz0123456789.,'"] +
        [c + "</w>" for c in "abcdefghijklmnopqrstuvwxyz0123456789.,'"] + ["he", "ll", "hell", "o</w>x", "hello</w>", "th", "the</w>"])},
        "merges.txt": "#version: 0.2\nh e\nl l\nhe ll\nhell o</w>\nt h\nth e</w>\n"})
    wordpieces = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s", "i", "saw", "a", "caf", "##e", "1", ",", "000", "\u4f60", "it", "'", "s", "the", "."]) + "\n"
    check("BertTokenizer", {"vocab.txt": wordpieces})
    check("BertTokenizer", {"vocab.txt": wordpieces}, do_lower_case=False) if False else None
    check("MPNetTokenizer", {"vocab.txt": wordpieces.replace("[PAD]", "<pad>").replace("[CLS]", "<s>").replace("[SEP]", "</s>").replace("[MASK]", "<mask>")})

    # Ranks: GPT-2's merges as tiktoken writes them.
    unprintable = {}
    byte_of = {}
    for b in range(256):
        if 0x21 <= b <= 0x7E or (0xA1 <= b != 0xAD):
            byte_of[chr(b)] = b
        else:
            byte_of[chr(0x100 + len(unprintable))] = b
            unprintable[b] = True
    table = json.loads(vocab.read_text())
    ranks = {}
    for token, i in sorted(table.items(), key=lambda item: item[1]):
        if token != "<|endoftext|>":
            ranks[bytes(byte_of[c] for c in token)] = len(ranks)
    text = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
    pattern = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
    import unicodedata
    encoding = tiktoken.Encoding("qwen", pat_str=pattern, mergeable_ranks=ranks, special_tokens={n: len(ranks) + i for i, n in enumerate(names)})
    texts += ["<|im_start|>user\nhi<|im_end|>\n<|extra_204|>", "aaaaaaaaaaaaaaaaaaaaaa", "\x00\x01\xad", "a" * 5000, "  \n\n  x", "===========" * 9]
    compare("qwen.tiktoken", make("qwen", {"qwen.tiktoken": text}, {"tokenizer_class": "QWenTokenizer"}),
            [encoding.encode(unicodedata.normalize("NFC", t), allowed_special="all") for t in texts])
sys.exit(failures > 0)
