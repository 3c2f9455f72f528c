"""Entries of the feature store: a clip's features as one safetensors file with a checksum.

The header holds, as JSON, where the features stand in a prompt and what rows say of the clip's frames; the checksum
covers header and tensors. Only `pack` and `unpack` need torch: processes that hand entries on stay light.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from videollm.models.protocol import EncodedClip


def pack(clip: EncodedClip, metadata: Mapping[str, Any]) -> bytes:
    """Write a clip as an entry.

    Args:
        metadata: JSON-able, further facts of the clip.
    """
    import torch
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}
    for i, group in enumerate(clip.features):
        tensors[f"{i}.frames"] = torch.stack([f.cpu() for f in group.frames])  # (t h w d)
        tensors[f"{i}.seconds"] = group.seconds
        tensors |= {f"{i}.extra.{name}": torch.stack([f.cpu() for f in made]) for name, made in group.extra.items()}
    about = {
        "around": clip.around,
        "labels": clip.labels,
        "clocks": clip.clocks,
        "frame_indices": [int(i) for i in clip.frame_indices],
        "frame_seconds": [float(s) for s in clip.frame_seconds],
    }
    header, body = _split(save(tensors, {"clip": json.dumps(about), "metadata": json.dumps(metadata)}))
    header["__metadata__"]["sha256"] = _checksum(header, body)
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)  # the format wants tensors at multiples of 8
    return b"".join((len(text).to_bytes(8, "little"), text, body))


def unpack(entry: bytes, device: torch.device) -> EncodedClip:
    """Read the clip of a whole entry, its features on a device."""
    from safetensors.torch import load

    from connectors import ClipFeatures
    from videollm.models.protocol import EncodedClip
    from videollm.upload import upload

    about, tensors = json.loads(_split(entry)[0]["__metadata__"]["clip"]), load(entry)
    extra: list[dict[str, tuple[torch.Tensor, ...]]] = [{} for _ in about["around"]]
    for name, tensor in tensors.items():
        number, _, kind = name.partition(".")
        if kind.startswith("extra."):
            extra[int(number)][kind.removeprefix("extra.")] = upload(tensor, device).unbind()
    return EncodedClip(
        features=tuple(
            ClipFeatures(
                frames=upload(tensors[f"{i}.frames"], device).unbind(), seconds=tensors[f"{i}.seconds"], extra=extra[i]
            )
            for i in range(len(about["around"]))
        ),
        around=tuple((before, after) for before, after in about["around"]),
        labels=tuple(tuple((before, after) for before, after in of_group) for of_group in about["labels"]),
        clocks=tuple(tuple(of_group) for of_group in about["clocks"]),
        frame_indices=tuple(about["frame_indices"]),
        frame_seconds=tuple(about["frame_seconds"]),
    )


def read_metadata(entry: bytes) -> dict[str, Any]:
    """Read the metadata that `pack` wrote beside the features."""
    metadata: dict[str, Any] = json.loads(_split(entry)[0]["__metadata__"]["metadata"])
    return metadata


def is_whole(entry: bytes) -> bool:
    """Tell whether an entry is as it was written."""
    try:
        header, body = _split(entry)
        return bool(header["__metadata__"].pop("sha256") == _checksum(header, body))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _split(entry: bytes) -> tuple[dict[str, Any], memoryview]:
    """Split a safetensors file into header and tensors: the header's length in 8 bytes, JSON, bytes."""
    start = 8 + int.from_bytes(entry[:8], "little")
    return json.loads(entry[8:start]), memoryview(entry)[start:]


def _checksum(header: dict[str, Any], body: memoryview) -> str:
    sha = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    sha.update(body)
    return sha.hexdigest()
