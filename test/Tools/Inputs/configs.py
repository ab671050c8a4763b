"""configs.py FOLDER: the sizes of published models, as config.json files."""
import json
import pathlib
import sys

MISTRAL = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
           "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 32768,
           "sliding_window": 4096, "vocab_size": 32000, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu"}
COMMAND_R = {"model_type": "cohere", "architectures": ["CohereForCausalLM"], "hidden_size": 8192, "intermediate_size": 22528,
             "num_hidden_layers": 40, "num_attention_heads": 64, "num_key_value_heads": 64, "max_position_embeddings": 131072,
             "vocab_size": 256000, "layer_norm_eps": 1e-5, "logit_scale": 0.0625, "rope_theta": 8000000.0, "hidden_act": "silu"}

MIXTRAL = {**{k: v for k, v in MISTRAL.items() if k != "sliding_window"}, "model_type": "mixtral", "sliding_window": None,
           "architectures": ["MixtralForCausalLM"], "num_local_experts": 8, "num_experts_per_tok": 2, "rope_theta": 1e6}

for name, config in (("mistral-7b", MISTRAL), ("command-r", COMMAND_R), ("mixtral-8x7b", MIXTRAL)):
    (pathlib.Path(sys.argv[1]) / f"{name}.json").write_text(json.dumps(config))
