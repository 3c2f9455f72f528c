"""Golden InternLM2 of InternVL's authors: tiny random weights in their names, and the logits of their own code.

The code is imported from a checkout of github.com/OpenGVLab/InternVL. With transformers 5.23:
    PYTHONPATH=. python tests/golden/make_internlm2.py CHECKOUT tests/golden/internlm2.safetensors.gz
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import torch

from tests.golden.make import randomise
from tests.support import tensors as stored

CONFIG = {"vocab_size": 400, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
          "num_attention_heads": 6, "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 2048,
          "rms_norm_eps": 1e-5, "rope_theta": 1000000.0, "bias": False, "tie_word_embeddings": False,
          "attn_implementation": "eager"}  # fmt: skip


def main(checkout: str, out: str) -> None:
    """Write weights, ids and logits."""
    package = types.ModuleType("internlm2")
    package.__path__ = [str(Path(checkout, "internvl_chat", "internvl", "model", "internlm2"))]
    sys.modules["internlm2"] = package
    modeling = importlib.import_module("internlm2.modeling_internlm2")
    config = modeling.InternLM2Config(**CONFIG)
    config.attn_implementation, config.rope_scaling = "eager", None
    config.rope_theta = CONFIG["rope_theta"]
    modeling.InternLM2ForCausalLM._tied_weights_keys = None
    model: Any = modeling.InternLM2ForCausalLM(config).float().eval()
    randomise(model)
    ids = torch.randint(0, CONFIG["vocab_size"], (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False, return_dict=True, output_attentions=False).logits
    tensors = {f"weights.{name}": tensor for name, tensor in model.state_dict().items() if "rotary" not in name}
    facts = {"config": json.dumps(CONFIG)}
    stored.write(Path(out), {**tensors, "input_ids": ids, "logits": logits[0]}, facts)
    print({k: tuple(v.shape) for k, v in tensors.items()}, logits.abs().max())


if __name__ == "__main__":
    main(*sys.argv[1:])
