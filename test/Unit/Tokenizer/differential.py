#!/usr/bin/env python3
"""Compare ingot-tokenize-lines with the reference libraries on random tokenizers and texts.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    differential.py [--seed N] [--rounds N] [--codepoints | --sentencepiece] PROGRAM

Each round assembles a tokenizer from random components with random options, loads it with Hugging
Face tokenizers, and compares ids (with and without special tokens) and decoded text. --codepoints
instead puts every character through each component that looks at character properties;
--sentencepiece trains SentencePiece models with random options and compares with that library.
"""
import argparse
import collections
import json
import os
import random
import resource
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer, models, trainers

WORDS = """the of and to a in is it you that he was for on are with as I his they be at one have this
from or had by hot word but what some we can out other were all there when up use your how said an
each she which do their time if will way about many then them write would like so these her long make
thing see him two has look more day could go come did number sound no most people my over know water
than call first who may down side been now find don't can't I'll we've it's 3.14 1,000,000 2024 x**2
naïve café résumé Ångström straße ĳ ﬁne ½ ² ™ Ⅷ Привет мир こんにちは 世界 カタカナ 안녕하세요 한국어 مرحبا
שלום ต้นำ नमस्ते 🙂 👩‍👩‍👧 “quotes” —dash— … foo_bar CamelCase https://a.org/b?c=d e-mail@x.y""".split()
CORPUS = [" ".join(random.Random(i).choices(WORDS, k=12)) for i in range(300)]
PIECES = WORDS + list(" \n\t.,!?'\"-_()[]{}0123456789abcXYZ") + [
    "  ", "    ", "\n\n", "\r\n", "\r", " \n ", "\u00a0", "\u3000", "\u200b", "\u200d", "\u0301", "e\u0301",
    "a\u0323\u0301", "\u0300", "\ufeff", "\ufffd", "\x00", "\x07", "\u2028", "\x85", "ﬃ", "①", "㍿", "ﷺ", "𝕌𝕟",
    "İ", "ſ", "ß", "Σς", "ǅ", "▁", "▁▁", "Ġ", "Ċ", "Ġthe", "</w>", "##ing", "<0x41>", "一", "丁七", "々", "ー",
    "क्ष", "한", "각", "ᄀ", "ᅡ", "🇩🇪", "👍🏽", "é", "Å", "Ω", "\U0001d7ce", "٣", "५", "¼", "²", "_", "`", "$", "+", "<", "=", "€"]
SPECIALS = ["<s>", "</s>", "<unk>", "<pad>", "[MASK]", "<|end|>", "<|endoftext|>", "the", "  ", " a", "é", "X", "\n", "Foo", "fi"]
EMPTY_REGEXES = [r"", r"a*", r"(?=e)", r"\b", r"^", r"$", r"\n|$"]
NONEMPTY_REGEXES = [r"\s+", r"\d", r"\p{L}+", r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+", r"\s+(?!\S)|\s+", r"[一-龥ぁ-ゟ]+", r"'(?i:s|t)",
                    r"[aeiou]", r"(?i:the)", r" ", r"\w+|[^\w\s]+", r"[^(\s|[.,!?…])]+", r"\A ", r"\X", r"(?<=o)r", r"(ab|a)(c|bcd)?",
                    r"[\p{Lu}\p{Lt}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+", r".", r"[^\n]"]
REGEXES = EMPTY_REGEXES + NONEMPTY_REGEXES
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
CHARSMAP = None


def some_text(rng):
    kind = rng.random()
    if kind < 0.05:
        return ""
    if kind < 0.35:
        text = " ".join(rng.choices(WORDS, k=rng.randint(1, 15)))
    else:
        text = "".join(rng.choices(PIECES + WORDS, k=rng.randint(1, 25)))
    for _ in range(rng.randint(0, 3)):
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice(SPECIALS) + text[at:]
    return text


def flag(rng):
    return rng.random() < 0.5


def pattern(rng, literals, regexes=REGEXES):
    return {"Regex": rng.choice(regexes)} if rng.random() < 0.6 else {"String": rng.choice(literals)}


def sequence(rng, make, name, limit):
    count = rng.choice([0, 1, 1, 2, limit])
    if count == 0:
        return None
    parts = [make(rng) for _ in range(count)]
    return parts[0] if count == 1 else {"type": "Sequence", name: parts}


def normalizer(rng):
    kind = rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "BertNormalizer", "Nmt", "Replace",
                       "Prepend", "ByteLevel", "Precompiled"])
    if kind == "Precompiled" and not CHARSMAP:
        kind = "NFKC"
    options = {
        "Strip": lambda: {"strip_left": flag(rng), "strip_right": flag(rng)},
        "BertNormalizer": lambda: {"clean_text": flag(rng), "handle_chinese_chars": flag(rng), "strip_accents": rng.choice([None, True, False]),
                                   "lowercase": flag(rng)},
        # Where a pattern matches nothing at the very start, the reference's text gets out of step with its offsets.
        "Replace": lambda: {"pattern": pattern(rng, [" ", "``", "a", "é", "the", "▁"], NONEMPTY_REGEXES),
                            "content": rng.choice(["", "▁", " ", "x", "“é", "\""])},
        "Prepend": lambda: {"prepend": rng.choice(["▁", " ", "ab"])},
        "Precompiled": lambda: {"precompiled_charsmap": CHARSMAP},
    }
    return {"type": kind, **options.get(kind, dict)()}


def pre_tokenizer(rng):
    kind = rng.choice(["ByteLevel", "ByteLevel", "Split", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit", "Metaspace",
                       "BertPreTokenizer", "UnicodeScripts", "CharDelimiterSplit", "FixedLength"])
    options = {
        "ByteLevel": lambda: {"add_prefix_space": flag(rng), "trim_offsets": True, "use_regex": flag(rng)},
        "Split": lambda: {"pattern": pattern(rng, [" ", "\n", "a", "the", "é", "", ".", "▁"]), "behavior": rng.choice(BEHAVIORS), "invert": flag(rng)},
        "Digits": lambda: {"individual_digits": flag(rng)},
        "Punctuation": lambda: {"behavior": rng.choice(BEHAVIORS)},
        "Metaspace": lambda: {"replacement": rng.choice(["▁", "_", "é"]), "prepend_scheme": rng.choice(["always", "first", "never"]), "split": flag(rng)},
        "CharDelimiterSplit": lambda: {"delimiter": rng.choice([" ", "e", "é", "▁"])},
        "FixedLength": lambda: {"length": rng.randint(1, 7)},
    }
    return {"type": kind, **options.get(kind, dict)()}


def decoder(rng):
    kind = rng.choice(["ByteLevel", "Metaspace", "WordPiece", "ByteFallback", "Fuse", "Strip", "Replace", "BPEDecoder", "CTC"])
    options = {
        "ByteLevel": lambda: {"add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "Metaspace": lambda: {"replacement": rng.choice(["▁", "_"]), "prepend_scheme": rng.choice(["always", "first", "never"]), "split": True},
        "WordPiece": lambda: {"prefix": rng.choice(["##", "", "▁"]), "cleanup": flag(rng)},
        "Strip": lambda: {"content": rng.choice([" ", "a", "▁", "é"]), "start": rng.randint(0, 2), "stop": 0},
        "Replace": lambda: {"pattern": pattern(rng, ["▁", " ", "Ġ", "th", "ee"]), "content": rng.choice([" ", "", "xy", "é"])},
        "BPEDecoder": lambda: {"suffix": rng.choice(["</w>", "e", "▁", ""])},
        "CTC": lambda: {"pad_token": "<pad>", "word_delimiter_token": rng.choice(["|", "▁"]), "cleanup": flag(rng)},
    }
    return {"type": kind, **options.get(kind, dict)()}


def post_processor(rng, ids):
    def one():
        kind = rng.choice(["TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel"])
        if kind == "ByteLevel":
            return {"type": kind, "add_prefix_space": True, "trim_offsets": flag(rng), "use_regex": True}
        if kind != "TemplateProcessing":
            extra = {"trim_offsets": flag(rng), "add_prefix_space": flag(rng)} if kind[0] == "R" else {}
            return {"type": kind, "sep": ["</s>", rng.choice(ids)], "cls": ["<s>", rng.choice(ids)], **extra}
        pieces = [{"Sequence": {"id": "A", "type_id": 0}}]
        for _ in range(rng.randint(0, 3)):
            pieces.insert(rng.randint(0, len(pieces)), {"SpecialToken": {"id": rng.choice("pqr"), "type_id": 0}})
        if rng.random() < 0.1:
            pieces.append({"Sequence": {"id": "A", "type_id": 0}})
        tokens = {k: {"id": k, "ids": rng.choices(ids, k=rng.randint(1, 2)), "tokens": []} for k in "pqr"}
        for t in tokens.values():
            t["tokens"] = ["x"] * len(t["ids"])
        pair = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": rng.randint(0, 3)}}]
        for _ in range(rng.randint(0, 4)):
            pair.insert(rng.randint(0, len(pair)), {"SpecialToken": {"id": rng.choice("pqr"), "type_id": rng.randint(0, 2)}})
        return {"type": kind, "single": pieces, "pair": pair, "special_tokens": tokens}
    kind = rng.random()
    if kind < 0.3:
        return None
    if kind < 0.8:
        return one()
    return {"type": "Sequence", "processors": [one() for _ in range(rng.randint(1, 3))]}


def model(rng):
    kind = rng.choice(["BPE", "BPE", "BPE", "WordPiece", "WordLevel", "Unigram"])
    size = rng.choice([150, 400, 900])
    if kind == "BPE":
        prefix, suffix = rng.choice([("", ""), ("", ""), ("##", ""), ("", "</w>"), ("@@", "</w>")])
        byte_level = flag(rng)
        affixes = {k: v for k, v in (("continuing_subword_prefix", prefix), ("end_of_word_suffix", suffix)) if v}
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", **affixes))
        from tokenizers import pre_tokenizers
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel() if byte_level else rng.choice([pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace()])
        byte_tokens = [f"<0x{b:02X}>" for b in range(256)] if flag(rng) else []
        if byte_tokens and flag(rng):
            byte_tokens = rng.sample(byte_tokens, 250)
        trainer = trainers.BpeTrainer(vocab_size=size + len(byte_tokens), show_progress=False, special_tokens=["<unk>", "<s>"] + byte_tokens,
                                      limit_alphabet=rng.choice([40, 100, 1000]), **affixes)
        tokenizer.train_from_iterator(CORPUS, trainer)
        result = json.loads(tokenizer.to_str())["model"]
        result["unk_token"] = rng.choice(["<unk>", "<unk>", None])
        result["fuse_unk"], result["byte_fallback"], result["ignore_merges"] = flag(rng), bool(byte_tokens) and flag(rng), rng.random() < 0.3
        if result["merges"] and rng.random() < 0.2:  # a pair listed twice
            result["merges"].append(result["merges"][0])
        if flag(rng):
            result["merges"] = [" ".join(m) for m in result["merges"]]
        return result
    from tokenizers import pre_tokenizers
    if kind == "Unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=min(size, 400), show_progress=False, special_tokens=["<unk>", "<s>"],
                                                                     unk_token="<unk>"))
        result = json.loads(tokenizer.to_str())["model"]
        if flag(rng):
            result["vocab"] += [[f"<0x{b:02X}>", 0.0] for b in range(256)]
            result["byte_fallback"] = flag(rng)
        if rng.random() < 0.3:
            result["vocab"] += [[rng.choice(WORDS), -rng.random() * 10] for _ in range(5)]
        if rng.random() < 0.3:  # ties
            for entry in result["vocab"]:
                entry[1] = float(round(entry[1]))
        return result
    if kind == "WordPiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=size, show_progress=False, special_tokens=["<unk>", "<s>"]))
        result = json.loads(tokenizer.to_str())["model"]
        result["max_input_chars_per_word"] = rng.choice([3, 10, 100])
        if rng.random() < 0.2:
            result["continuing_subword_prefix"] = rng.choice(["", "@", "e"])
        return result
    words = ["<unk>", "<s>"] + rng.sample(WORDS, 100)
    return {"type": "WordLevel", "unk_token": "<unk>", "vocab": {w: i for i, w in enumerate(dict.fromkeys(words))}}


def document(rng):
    the_model = model(rng)
    vocab = the_model["vocab"]
    size = len(vocab)
    names = set(vocab) if isinstance(vocab, dict) else {t for t, _ in vocab}
    added, next_id = [], size
    for text in rng.sample(SPECIALS, rng.randint(0, 6)):
        in_vocab = text in names
        token = {"id": next_id, "content": text, "single_word": rng.random() < 0.3, "lstrip": rng.random() < 0.3, "rstrip": rng.random() < 0.3,
                 "normalized": flag(rng), "special": flag(rng)}
        next_id += not in_vocab
        added.append(token)
    result = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
              "normalizer": sequence(rng, normalizer, "normalizers", 3), "pre_tokenizer": sequence(rng, pre_tokenizer, "pretokenizers", 4),
              "post_processor": post_processor(rng, list(range(min(size, 50)))), "decoder": sequence(rng, decoder, "decoders", 4), "model": the_model}
    return result, next_id


def run(program, path, values, *args):
    text = "".join(json.dumps(v) + "\n" for v in values)
    done = subprocess.run([program, path, *args], input=text, capture_output=True, text=True, timeout=300)
    lines = [json.loads(x) for x in done.stdout.split("\n")[:-1]]
    return lines, done.stderr


def attempt(f, *args, **kwargs):
    try:
        return f(*args, **kwargs)
    except BaseException as error:  # the bindings raise panics past Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def compare(program, tokenizer, path, texts, ids, describe):
    """The number of differences; inputs on which the reference itself fails are left out."""
    bad = 0

    def check(what, expected, *args, show=repr):
        """Puts (input, wanted) pairs through the program. False where it did not get through them."""
        nonlocal bad
        got, stderr = run(program, path, [value for value, _ in expected], *args)
        if "template behind" in stderr:  # the reference takes it if no special tokens are asked for
            return False
        if len(got) != len(expected):
            print("FAILED", what, describe, stderr.strip()[-300:], "on", repr(expected[len(got):][:1]))
            bad += 1
            return False
        for (value, want), have in zip(expected, got):
            if want != have:
                bad += 1
                if bad <= 2:
                    print(what, describe, repr(value), "\n  want", show(want), "\n  have", show(have))
        return True

    named = lambda encoding: [(i, tokenizer.id_to_token(i)) for i in encoding]
    for special in (False, True):
        expected = [(t, e.ids) for t in texts if (e := attempt(tokenizer.encode, t, add_special_tokens=special)) is not None]
        if expected and not check("ENCODE", expected, *([] if special else ["--no-special"]), show=named):
            return bad
    # Pairs, and cut to a length: longer than what is added, which the reference does not survive.
    pairs = list(zip(texts[:30], texts[30:60]))
    for limit in (None, 17, 40):
        if limit:
            tokenizer.enable_truncation(limit)
        if limit and max(tokenizer.num_special_tokens_to_add(False), tokenizer.num_special_tokens_to_add(True)) >= limit:
            continue
        expected = [(p, {"ids": e.ids, "types": e.type_ids}) for p in pairs if (e := attempt(tokenizer.encode, *p)) is not None]
        expected += [(t, e.ids) for t in texts[:30] if (e := attempt(tokenizer.encode, t)) is not None]
        if not check(f"PAIR {limit}", expected, *([f"--max-tokens={limit}"] if limit else [])):
            return bad
    tokenizer.no_truncation()
    check("DECODE", [(i, s) for i in ids if (s := attempt(tokenizer.decode, i, skip_special_tokens=False)) is not None], "--decode")
    return bad


def one_round(program, number):
    """0: equal, 1: different, 2: the reference refuses the tokenizer."""
    rng = random.Random(number)
    spec, size = document(rng)
    text = json.dumps(spec, ensure_ascii=False)
    tokenizer = attempt(Tokenizer.from_str, text)
    if tokenizer is None:
        return 2
    # An added token that normalises to nothing cuts the reference's text between all characters, and of two that
    # normalise to the same the reference finds either.
    if tokenizer.normalizer:
        spellings = [tokenizer.normalizer.normalize_str(t["content"]) for t in spec["added_tokens"] if t["normalized"]]
        if "" in spellings or len(set(spellings)) < len(spellings):
            return 2
    texts = [some_text(rng) for _ in range(60)]
    ids = [rng.choices(range(size + 2), k=rng.randint(0, 12)) for _ in range(60)]
    ids += [e.ids for t in texts[:30] if (e := attempt(tokenizer.encode, t)) is not None]
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        kinds = {k: spec[k] for k in ("normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens")}
        options = {k: v for k, v in spec["model"].items() if k not in ("vocab", "merges")}
        describe = f"seed {number} {options} {json.dumps(kinds, ensure_ascii=False)}"
        if CHARSMAP:
            describe = describe.replace(CHARSMAP, "MAP")
        return 1 if compare(program, tokenizer, file.name, texts, ids, describe[:2000]) else 0


def rounds(program, seed, count):
    """Each round in a process of its own with bounded memory and time: the reference sometimes has neither bound."""
    statistics = collections.Counter()
    for number in range(seed, seed + count):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
            resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
            code = 3
            try:
                code = one_round(program, number)
            except Exception as error:
                print("seed", number, repr(error))
            sys.stdout.flush()
            os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        statistics[{0: "equal", 1: "different", 2: "refused by the reference"}.get(status, f"crashed ({status})")] += 1
        if status not in (0, 1, 2):
            print("seed", number, "ended with", status)
    print(dict(statistics))
    return statistics["different"]


def codepoints(program):
    """Every character through every component that looks at properties of characters."""
    wrong = 0
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    vocab = {chr(c): i for i, c in enumerate(range(256))}
    vocab["<unk>"] = 256
    bare = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
            "decoder": {"type": "Fuse"},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                      "byte_fallback": True, "vocab": {**{f"<0x{b:02X}>": b for b in range(256)}, "|": 256}, "merges": []}}
    bar = {"type": "Split", "pattern": {"Regex": "$"}, "behavior": "Isolated", "invert": False}
    components = [("normalizer", {"type": t}) for t in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]]
    components += [("normalizer", {"type": "Strip", "strip_left": True, "strip_right": True})]
    components += [("normalizer", {"type": "BertNormalizer", "clean_text": a, "handle_chinese_chars": b, "strip_accents": c, "lowercase": d})
                   for a, b, c, d in [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)] for a, b, c, d in [map(bool, (a, b, c, d))]]
    if CHARSMAP:
        components += [("normalizer", {"type": "Precompiled", "precompiled_charsmap": CHARSMAP})]
    components += [("pre_tokenizer", p) for p in [
        {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
        {"type": "BertPreTokenizer"}, {"type": "UnicodeScripts"}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]]
    for role, component in components:
        spec = {**bare, role: component}
        texts = ["".join(points[i:i + 64]) for i in range(0, len(points), 64)]
        if role == "pre_tokenizer":
            # Cuts show up as the suffix of the character that ends a word.
            spec["model"] = {**bare["model"], "end_of_word_suffix": "|"}
            texts = ["".join("a" + c for c in points[i:i + 64]) + "a\u0627" for i in range(0, len(points), 64)]
        tokenizer = Tokenizer.from_str(json.dumps(spec))
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump(spec, file)
            file.flush()
            expected = [e.ids for e in tokenizer.encode_batch(texts)]
            got, stderr = run(program, file.name, texts)
        bad = [i for i, (e, g) in enumerate(zip(expected, got)) if e != g]
        if len(got) != len(texts):
            print("FAILED", component["type"], stderr)
        # The characters behind a difference, one by one.
        exact = []
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump(spec, file)
            file.flush()
            single = [("a" + c + "a" if role == "pre_tokenizer" else c) for i in bad for c in points[i * 64:i * 64 + 64]]
            have, _ = run(program, file.name, single)
            exact = [t for t, h in zip(single, have) if tokenizer.encode(t).ids != h]
        codes = sorted(ord(t[1] if role == "pre_tokenizer" else t) for t in exact)
        import unicodedata
        known = [hex(c) for c in codes if unicodedata.category(chr(c)) != "Cn"]
        print(f"{component['type']:18} {len(bad)} texts, {len(codes)} characters differ; not new in Unicode: {known[:20]}")
        wrong += len(known)
    return wrong


def sentencepiece_rounds(program, seed, count):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as model_pb2
    different = 0
    for number in range(seed, seed + count):
        rng = random.Random(number)
        options = dict(
            model_type=rng.choice(["bpe", "bpe", "unigram", "unigram", "word", "char"]), vocab_size=rng.choice([400, 500, 600]),
            character_coverage=rng.choice([0.98, 1.0]), byte_fallback=flag(rng), add_dummy_prefix=flag(rng), remove_extra_whitespaces=flag(rng),
            normalization_rule_name=rng.choice(["identity", "nfkc", "nmt_nfkc", "nmt_nfkc_cf", "nfkc_cf"]), treat_whitespace_as_suffix=rng.random() < 0.3,
            allow_whitespace_only_pieces=flag(rng), split_digits=flag(rng), split_by_whitespace=rng.random() < 0.8)
        if flag(rng):
            symbols = ["<mask>", "<|x|>", "the", "  ", "\t", "一", "é", "▁▁", "½", "<|xx|>", "th"]
            options["user_defined_symbols"] = rng.sample(symbols, rng.randint(1, 6))
        if flag(rng):
            options["control_symbols"] = ["<ctl>"]
        if rng.random() < 0.3:
            options["unk_surface"] = "??"
        with tempfile.TemporaryDirectory() as folder:
            sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_prefix=folder + "/m", hard_vocab_limit=False, num_threads=1,
                                                     minloglevel=2, **options)
            message = model_pb2.ModelProto.FromString(open(folder + "/m.model", "rb").read())
            if flag(rng):  # ties, and pieces that may not be used
                for p in message.pieces:
                    p.score = round(p.score)
                    if p.type == 1 and rng.random() < 0.2:
                        p.type = 5
            path = folder + "/tokenizer.model"
            open(path, "wb").write(message.SerializeToString())
            reference = sentencepiece.SentencePieceProcessor(model_file=path)
            texts = [some_text(rng) for _ in range(500)]
            ids = [rng.choices(range(len(reference)), k=rng.randint(0, 12)) for _ in range(300)]
            ids += [rng.choices(range(min(265, len(reference))), k=rng.randint(0, 12)) for _ in range(300)]
            encoded, stderr = run(program, path, texts, "--no-special")
            decoded, _ = run(program, path, ids, "--decode")
        wrong = [(t, e, g) for t, g in zip(texts, encoded) if (e := reference.encode(t)) != g]
        wrong += [(i, e, g) for i, g in zip(ids, decoded) if (e := reference.decode(i)) != g]
        if wrong or len(encoded) != len(texts) or len(decoded) != len(ids):
            different += 1
            print("seed", number, options, len(wrong), "differ", wrong[:1], stderr.strip()[-200:])
    print({"equal": count - different, "different": different})
    return different


def main():
    global CHARSMAP
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--codepoints", action="store_true")
    parser.add_argument("--sentencepiece", action="store_true")
    parser.add_argument("--charsmap", help="a tokenizer.json with a Precompiled normalizer to take the map from")
    options = parser.parse_args()
    if options.charsmap:
        CHARSMAP = find(json.load(open(options.charsmap)), "precompiled_charsmap")
    if options.codepoints:
        wrong = codepoints(options.program)
    elif options.sentencepiece:
        wrong = sentencepiece_rounds(options.program, options.seed, options.rounds)
    else:
        wrong = rounds(options.program, options.seed, options.rounds)
    sys.exit(1 if wrong else 0)


def find(value, key):
    if isinstance(value, dict):
        if key in value:
            return value[key]
        value = list(value.values())
    if isinstance(value, list):
        return next((f for v in value if (f := find(v, key))), None)
    return None


if __name__ == "__main__":
    main()
