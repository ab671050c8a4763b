"""Turns small encoders and encoder-decoders in the layout of Hugging Face into GGUF as llama.cpp's converter does.

Names change, the rows of learned positions before that of the first token go, and shapes are written innermost first.
"""
import json
import pathlib
import re
import struct

import checkpoint
import gguf

BERT = [("bert.embeddings.word_embeddings", "token_embd"), ("bert.embeddings.position_embeddings", "position_embd"),
        ("bert.embeddings.token_type_embeddings", "token_types"), ("bert.embeddings.LayerNorm", "token_embd_norm"),
        (r"bert.encoder.layer.(\d+).attention.self.(.).*?\.", r"blk.\1.attn_\2."),
        (r"bert.encoder.layer.(\d+).attention.output.dense", r"blk.\1.attn_output"),
        (r"bert.encoder.layer.(\d+).attention.output.LayerNorm", r"blk.\1.attn_output_norm"),
        (r"bert.encoder.layer.(\d+).intermediate.dense", r"blk.\1.ffn_up"),
        (r"bert.encoder.layer.(\d+).output.dense", r"blk.\1.ffn_down"),
        (r"bert.encoder.layer.(\d+).output.LayerNorm", r"blk.\1.layer_output_norm"), (r"^bert.pooler.*|^cls\..*", ""), ("^classifier", "cls")]
NOMIC = [("embeddings.word_embeddings", "token_embd"), ("embeddings.token_type_embeddings", "token_types"), ("emb_ln", "token_embd_norm"),
         (r"encoder.layers.(\d+).attn.Wqkv", r"blk.\1.attn_qkv"), (r"encoder.layers.(\d+).attn.out_proj", r"blk.\1.attn_output"),
         (r"encoder.layers.(\d+).norm1", r"blk.\1.attn_output_norm"), (r"encoder.layers.(\d+).norm2", r"blk.\1.layer_output_norm"),
         (r"encoder.layers.(\d+).mlp.fc11", r"blk.\1.ffn_up"), (r"encoder.layers.(\d+).mlp.fc12", r"blk.\1.ffn_gate"),
         (r"encoder.layers.(\d+).mlp.fc2", r"blk.\1.ffn_down")]
T5 = [("^shared", "token_embd"), ("lm_head", "output"), ("(en|de)coder.block", r"\1c.blk"), ("(en|de)coder.final_layer_norm", r"\1c.output_norm"),
      ("layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"), ("layer.0.SelfAttention.", "attn_"),
      ("layer.1.EncDecAttention.", "cross_attn_"), ("layer.0.layer_norm", "attn_norm"),
      (r"^(dec.*)layer.1.layer_norm", r"\1cross_attn_norm"), ("layer...layer_norm", "ffn_norm"), ("layer...DenseReluDense.wi_0", "ffn_gate"),
      ("layer...DenseReluDense.(wi_1|wi)", "ffn_up"), ("layer...DenseReluDense.wo", "ffn_down")]


def keys_of(c):
    kind = c["model_type"]
    if kind == "t5":
        a = "t5encoder" if c["architectures"] == ["T5EncoderModel"] else "t5"
        keys = {"context_length": 512, "embedding_length": c["d_model"], "block_count": c["num_layers"], "feed_forward_length": c["d_ff"],
                "attention.head_count": c["num_heads"], "attention.key_length": c["d_kv"], "attention.value_length": c["d_kv"],
                "attention.layer_norm_rms_epsilon": c["layer_norm_epsilon"], "attention.layer_norm_epsilon": c["layer_norm_epsilon"],
                "attention.relative_buckets_count": c["relative_attention_num_buckets"]}
        if a == "t5":
            keys.update({"decoder_block_count": c["num_decoder_layers"], "decoder_start_token_id": c["decoder_start_token_id"]})
    else:
        a = "nomic-bert" if kind == "nomic_bert" else "bert"
        keys = {"context_length": c["max_position_embeddings"], "embedding_length": c["hidden_size"], "block_count": c["num_hidden_layers"],
                "feed_forward_length": c["intermediate_size"], "attention.head_count": c["num_attention_heads"],
                "attention.layer_norm_epsilon": c["layer_norm_eps"], "attention.causal": False, "pooling_type": 2}
        if kind == "nomic_bert":
            keys["rope.freq_base"] = c["rope_parameters"]["rope_theta"]
    result = [("general.architecture", gguf.STRING, a)]
    for key, content in keys.items():
        result.append((f"{a}.{key}", gguf.BOOL if isinstance(content, bool) else gguf.F32 if isinstance(content, float) else gguf.U32, content))
    return result


def convert(directory, path, changes=()):
    """changes: keys that replace those of the config."""
    directory = pathlib.Path(directory)
    config = json.loads((directory / "config.json").read_text())
    header, data = checkpoint.split((directory / "model.safetensors").read_bytes())
    table = {"t5": T5, "nomic_bert": NOMIC}.get(config["model_type"], BERT)
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        for pattern, role in table:
            name = re.sub(pattern, role, name)
        if name.split(".")[0]:
            tensors[name] = ("F32", info["shape"][::-1], data[begin:end])
    keys = {key: (key, kind, content) for key, kind, content in keys_of(config)}
    keys.update({key[0]: key for key in changes})
    gguf.write(path, list(keys.values()), tensors)
