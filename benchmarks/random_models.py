"""Published models at full size, or cut down, with random weights; and clips of noise for them.

python benchmarks/random_models.py VideoLLaMA2.1-7B-16F FOLDER      # writes a model folder: 17 GB
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer

from videollm import VideoLLM
from videollm.checkpoints import minicpmv, towers, videollama2
from videollm.checkpoints.folder import read_json
from videollm.checkpoints.weights import without_weights
from videollm.engines.builtin import BuiltinEngine
from videollm.models.config import ModelConfig
from videollm.types import Completion, FrameBatch

GOLDEN: Final = Path(__file__).resolve().parents[1] / "tests" / "golden"
Name = Literal["VideoLLaMA2.1-7B-16F", "MiniCPM-V-4_5"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Which family a model is of, and the clips that it is given."""

    configure: Callable[[Path, dict[str, Any]], ModelConfig]
    num_frames: int
    side: int
    packing: int = 1

    def clips(self, number: int) -> list[FrameBatch]:
        """Noise, of the size that the decoder makes for the model."""
        random, t = np.random.default_rng(0), self.num_frames
        shape, seconds = (t, self.side, self.side, 3), tuple(i / 5 for i in range(t))
        return [
            FrameBatch(
                frames=random.integers(0, 256, shape, np.uint8),
                indices=tuple(range(t)),
                seconds=seconds,
                packing=self.packing,
            )
            for _ in range(number)
        ]


def videollama(file: Path, values: dict[str, Any]) -> ModelConfig:
    return videollama2.configure(file, values, towers.TOWERS[values["mm_vision_tower"]])


def minicpm(file: Path, values: dict[str, Any]) -> ModelConfig:
    return minicpmv.configure(file, values, {}, {})


CASES: Final[dict[Name, Case]] = {
    "VideoLLaMA2.1-7B-16F": Case(configure=videollama, num_frames=16, side=384),
    "MiniCPM-V-4_5": Case(configure=minicpm, num_frames=30, side=448, packing=6),
}


class Recorder(BuiltinEngine):
    """The model's own engine, which keeps the ids of the latest completions: answers hold their text alone."""

    latest: list[list[Completion]]

    def generate(self, *args: Any, **options: Any) -> list[list[Completion]]:
        self.latest = super().generate(*args, **options)
        return self.latest


def build(
    name: Name, device: torch.device, dtype: torch.dtype, layers: int | None = None, width: int | None = None
) -> VideoLLM:
    """A model whose weights are made on the device: those of norms are 1, all others normal with deviation 0.02.

    A narrow model's deviate more: with 0.02 its answers would not depend on the clip or the question.
    A tokenizer of bytes with the LLMs' special tokens stands in for theirs, and no token ends an answer.

    Args:
        name: one of CASES, whose config.json lies beside the tests.
        device: of the weights.
        dtype: of the weights.
        layers: how many run, in tower and LLM each; None is all.
        width: of tower and LLM; None is their own.
    """
    file = GOLDEN / "configs" / f"{name}.json"
    config = _cut(CASES[name].configure(file, read_json(file)), layers, width)
    llm = AutoConfig.for_model(**config.llm)
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "minicpmv45_tiny", config=llm, local_files_only=True)
    with without_weights():
        model = VideoLLM(config, tokenizer, name).requires_grad_(False)

    deviation = 0.02 if width is None else 1.5 * width**-0.5

    def weight(name: str, like: Tensor) -> Tensor:
        made = torch.empty(like.shape, dtype=dtype, device=device)
        return made.fill_(1) if like.ndim == 1 and name.endswith("weight") else made.normal_(std=deviation)

    torch.manual_seed(0)
    model.load_state_dict({k: weight(k, v) for k, v in model.state_dict().items()}, assign=True)
    tokenizer.eos_token = model.llm.generation_config.eos_token_id = None
    model.engine = Recorder(model.llm, tokenizer)
    return model.to(device).eval()


def _cut(config: ModelConfig, layers: int | None, width: int | None) -> ModelConfig:
    vision, llm = dict(config.vision["config"]), dict(config.llm)
    if layers is not None:
        vision["num_hidden_layers"] = layers - 1 - config.vision["select_layer"]
        llm["num_hidden_layers"] = layers
    if width is not None:
        narrow = {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": 2}
        vision, llm = vision | narrow, llm | narrow | {"head_dim": width // 2, "num_key_value_heads": 1}
    return replace(config, vision={**config.vision, "config": vision}, llm=llm)


if __name__ == "__main__":
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    build(sys.argv[1], place, torch.bfloat16).save(sys.argv[2])  # type: ignore[arg-type]
