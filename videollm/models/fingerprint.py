"""A hash of what features of given frames depend on, which names them in the feature cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch

from videollm.vision.tower import VisionTower


def tower_key(tower: VisionTower, further: Mapping[str, object]) -> str:
    """Hash a tower's weights and what else matters.

    Args:
        tower: makes the features.
        further: JSON-able: the tower's settings, its pictures, ...
    """
    weights = hashlib.sha256()
    for name, tensor in sorted(tower.state_dict().items()):
        weights.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    parts = {**further, "weights": weights.hexdigest()}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
