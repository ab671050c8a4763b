# RUN: %python %s %t %source
"""`ingot-run chat` on a small made-up model: what is in the cache, stop strings, JSON, errors."""
import json
import pathlib
import subprocess
import sys

folder, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
# One target is enough here: the others have tests of their own.
TARGET = "--target=" + ("x86-64-v4" if "avx512vl" in open("/proc/cpuinfo").read() else "x86-64-v3")
checkpoint, model = folder / "model", folder / "model.ingot"
TEMPLATE = """{% for m in messages %}{{ '<|' ~ m.role ~ '|>' ~ m.content ~ '<|end|>' }}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}{% if shout is defined and shout %}!{% endif %}"""


def run(*command, text=None, ok=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, input=text)
    if ok and done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: {done.stderr.strip()[-600:]}")
    return done


def expect(condition, what):
    if not condition:
        problems.append(what)


def chat(*arguments, text="", ok=True):
    return run("ingot-run", "chat", model, *arguments, text=text, ok=ok)


def answers(*arguments, text):
    return [json.loads(line) for line in chat("--json", *arguments, text=text).stdout.splitlines()]


problems = []
run(sys.executable, source / "test/Import/Inputs/make.py", checkpoint, "llama", "vocab_size=262", "max_position_embeddings=256",
    "eos_token_id=256")
# Letters and pairs of letters: whatever the model says is ASCII.
characters = [chr(c) if c > 32 else "\u0120" for c in range(32, 127)]
pairs = [a + b for a in characters[33:59] for b in characters[65:72]][:256 - len(characters)]
vocabulary = {token: i for i, token in enumerate(characters + pairs)}
special = ["</s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
(checkpoint / "tokenizer.json").write_text(json.dumps({
    "version": "1.0", "normalizer": None, "post_processor": None, "truncation": None, "padding": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "added_tokens": [{"id": 256 + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": True} for i, token in enumerate(special)],
    "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}))
(checkpoint / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE, "eos_token": "</s>"}))
run("ingot-compile", checkpoint, "-o", model, "--quiet", TARGET, "--past-context=stop")


def encode(text):
    return json.loads(run("ingot-run", "tokenize", model, "--no-special", text=json.dumps(text) + "\n").stdout)


# The answers are those of plain generation from the rendered text, and a turn costs what is new.
turns = answers("-n", 7, "--system", "S", text="first\n\nsecond\n")
expect([turn["turn"] for turn in turns] == [1, 2] and turns[0]["schema"] == 1, "two turns, empty lines aside")
conversation = "<|system|>S<|end|>"
for turn, said in zip(turns, ["first", "second"]):
    conversation += f"<|user|>{said}<|end|><|assistant|>"
    ids = encode(conversation)
    printed = run("ingot-run", model, "--ids=" + ",".join(map(str, ids)), "-n", 7).stdout.split()
    new = [int(word) for word in printed[len(ids):]]
    if any(i in (256, 257) for i in new):
        new = new[:min(new.index(i) for i in (256, 257) if i in new) + 1]
    expect(turn["prompt_tokens"] == len(ids), f"{turn['prompt_tokens']} tokens in the prompt, not {len(ids)}")
    expect(turn["new_tokens"] == len(new), f"{turn['new_tokens']} new tokens, not {len(new)}")
    text = json.loads(run("ingot-run", "tokenize", model, "--decode", text=json.dumps([i for i in new if i < 256]) + "\n").stdout)
    expect(turn["content"] == text, f"the answer is {turn['content']!r}, not {text!r}")
    conversation += text + "<|end|>"
expect(turns[0]["cached_tokens"] == 0, "nothing is cached at first")
# An answer of pairs is spelled with letters when it is retold: what it shares with the cache ends with the prompt.
shared = turns[0]["prompt_tokens"]
expect(turns[1]["cached_tokens"] >= shared - 1, f"{turns[1]['cached_tokens']} of {shared} tokens stay in the cache")

# As text; the same as one turn with -p; the template's variables; another template.
plain = chat("-n", 7, "--system", "S", text="first\nsecond\n").stdout
expect(plain == "".join(turn["content"] + "\n" for turn in turns), "the text is that of the JSON")
expect(chat("-n", 7, "--system", "S", "-p", "first").stdout == turns[0]["content"] + "\n", "-p is one turn")
expect(answers("-n", 7, "--var", "shout=true", text="a\n")[0]["prompt_tokens"] == len(encode("<|user|>a<|end|><|assistant|>!")),
       "--var reaches the template")
(folder / "other.jinja").write_text("{{ messages[-1].content }}")
expect(answers("-n", 1, "--chat-template", folder / "other.jinja", text="abc\n")[0]["prompt_tokens"] == 3, "--chat-template")
again = answers("-n", 7, "--system", "S", text="first\n/clear\nfirst\n/exit\nnever\n")
expect(len(again) == 2 and again[1]["content"] == again[0]["content"] and again[1]["cached_tokens"] == 0, "/clear and /exit")

# Stop strings: in chat, and in plain generation.
content = answers("-n", 40, text="tell me\n")[0]["content"]
at = next(i for i in range(1, len(content) - 1) if content[i:i + 2] not in content[:i + 1] and "\ufffd" not in content[i:i + 2])
stopped = answers("-n", 40, "--stop", content[at:at + 2], "--stop", "\u4f60\u597d", text="tell me\n")[0]
expect(stopped["content"] == content[:at] and stopped["finish"] == "stop", f"stopped at {stopped}, not {content[:at]!r}")
whole = run("ingot-run", model, "-p", "tell me", "-n", 40).stdout
rest = whole[len("tell me"):-1]
at = next(i for i in range(1, len(rest) - 1) if rest[i:i + 2] not in rest[:i + 1] and "\ufffd" not in rest[i:i + 2])
expect(run("ingot-run", model, "-p", "tell me", "-n", 40, "--stop", rest[at:at + 2]).stdout == "tell me" + rest[:at] + "\n", "--stop")

# The context is full.
full = chat("-n", 5, text="x" * 300 + "\n", ok=False)
expect(full.returncode == 1 and "the context is full: the conversation has 303 tokens, the context 256 positions" in full.stderr
       and "Traceback" not in full.stderr, f"full context: {full.stderr}")
near = chat("--json", text="x" * 240 + "\n")
last = json.loads(near.stdout)
expect(last["finish"] in ("context", "end"), f"near the end of the context: {last['finish']}")
if last["finish"] == "context":
    expect("the context of 256 positions is full" in near.stderr, "a note about the context")

# Errors, and the statistics.
expect("stats: prompt 9 tokens, 0 of them cached" in chat("-n", 2, "--stats", text="abcdef\n").stderr, "--stats")
for arguments, message in [(["--var", "x"], "--var: expected NAME=VALUE, got 'x'"), (["--stop", ""], "--stop: expected a text"),
                           (["--chat-template", folder / "none.jinja"], "none.jinja: cannot be opened")]:
    done = chat(*arguments, text="a\n", ok=False)
    expect(done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1, f"{arguments}: {done.stderr}")
(folder / "bad.jinja").write_text("a\n{% include 'x' %}")
expect("chat template: line 2: the statement 'include' is not supported" in
       chat("--chat-template", folder / "bad.jinja", text="a\n", ok=False).stderr, "an unknown construct")
(checkpoint / "tokenizer_config.json").write_text("{}")
run("ingot-compile", checkpoint, "-o", folder / "none.ingot", "--quiet", TARGET)
expect("has no chat template; give one with --chat-template FILE" in
       run("ingot-run", "chat", folder / "none.ingot", text="a\n", ok=False).stderr, "no template")
if problems:
    sys.exit("\n".join(problems))
