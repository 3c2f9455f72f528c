"""Tiny official checkpoints, and copies of them with something changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

import videollm
from tests.support.paths import CLIPS, GOLDEN
from tests.support.tensors import read
from videollm import VideoLLM
from videollm.types import FrameBatch


def clip(name: str) -> Path:
    video = CLIPS / name
    if not video.is_file():
        pytest.skip(f"{video} is not here; real clips lie beside the repository, in ../shared/clips")
    return video


@dataclass(frozen=True, eq=False)
class Golden:
    """A tiny official checkpoint with what the official code makes of a clip."""

    folder: Path
    model: VideoLLM
    tensors: dict[str, Tensor]
    facts: dict[str, str]
    decoded: dict[str, FrameBatch] = field(default_factory=dict)

    def decode(self, name: str | None = None, **options: Any) -> FrameBatch:
        """Frames of a clip, which are decoded once."""
        name = name or self.facts["video"]
        options = {"sampling": self.model.sampling, **options}
        key = repr((name, self.model.transform.frame_size(), options))
        if key not in self.decoded:
            self.decoded[key] = self.model.decode(clip(name), **options)
        return self.decoded[key]


def read_golden(name: str, **sampling: Any) -> Golden:
    folder = GOLDEN / name
    tensors, facts = read(folder / "golden.safetensors.gz")
    model = videollm.load(folder, device="cpu")
    model.sampling = replace(model.sampling, **sampling)
    return Golden(folder, model, tensors, facts)


def copy(name: str, to: Path, **changes: Any) -> Path:
    """A checkpoint of its own, with another config.json; a field set to None is left out."""
    folder = to / name
    shutil.copytree(GOLDEN / name, folder, ignore=shutil.ignore_patterns("golden*.gz"))
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in config.items() if k not in changes or v is not None}))
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Replace the weights of a checkpoint."""
    file = folder / "model.safetensors"
    weights = {k: v.clone() for k, v in load_file(file).items()}
    save_file({k: v.contiguous() for k, v in change(weights).items()}, file, {"format": "pt"})
