"""Outputs of official code, kept as gzipped safetensors: pixels of real frames shrink to a fifth."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata."""
    data = gzip.decompress(file.read_bytes())
    size = int.from_bytes(data[:8], "little")
    return load(data), json.loads(data[8 : 8 + size]).get("__metadata__", {})


def write(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    data = save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, dict(metadata))
    file.write_bytes(gzip.compress(data, mtime=0))
