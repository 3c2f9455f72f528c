"""Memory for keys and values: what a token takes, and what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from transformers import PreTrainedModel

from videollm.engines.layers import RECURRENT, kinds_by_layer

GPU_SHARE: Final = 0.7
"""Of a GPU's free memory; the rest is for frames, features and intermediate results."""
CPU_SHARE: Final = 0.25
"""Of a machine's free memory."""


def bytes_per_token(llm: PreTrainedModel) -> int:
    """Count the bytes that the keys and values of a token take, in all layers."""
    config = llm.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layers = sum(kind != RECURRENT for kind in kinds_by_layer(llm))
    return int(2 * layers * heads * width * llm.dtype.itemsize)


def free_bytes(device: torch.device) -> int:
    """Return the bytes of a device that keys and values may take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(GPU_SHARE * (free + reusable))
    return int(CPU_SHARE * _available())


def _available() -> int:
    """Return the bytes of memory that a new program could use; 8 GiB where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return 8 * 2**30
