"""Tensors on their way from the host's memory to a device."""

from __future__ import annotations

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor to a device; to a GPU through pinned memory, so that nobody waits for what the GPU is doing.

    torch keeps the pinned memory until the copy is done, and hands it out again then: any number of copies may be under
    way, queued behind work that is under way itself.
    """
    device = torch.device(device)
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
