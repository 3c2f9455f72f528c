"""Published models at full size, or cut down, with random weights; and clips of noise for them.

python benchmarks/random_models.py VideoLLaMA2.1-7B-16F FOLDER      # writes a model folder: 17 GB
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer

from videollm import VideoLLM
from videollm.checkpoints import FAMILIES
from videollm.checkpoints.family import ComposedFamily
from videollm.checkpoints.folder import read_json
from videollm.checkpoints.options import Options
from videollm.checkpoints.weights import without_weights
from videollm.models.config import ModelConfig
from videollm.types import FrameBatch

GOLDEN: Final = Path(__file__).resolve().parents[1] / "tests" / "golden"
Name = Literal["VideoLLaMA2.1-7B-16F", "MiniCPM-V-4_5", "Qwen2.5-VL-7B-Instruct", "InternVL3-8B-hf"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """The clips that a model is given, and the tiny checkpoint whose tokenizer stands in for its own."""

    num_frames: int
    side: int
    packing: int = 1
    tokenizer: str = "minicpmv45_tiny"

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


CASES: Final[dict[Name, Case]] = {
    "VideoLLaMA2.1-7B-16F": Case(num_frames=16, side=384),
    "MiniCPM-V-4_5": Case(num_frames=30, side=448, packing=6),
    "Qwen2.5-VL-7B-Instruct": Case(num_frames=16, side=448, tokenizer="qwen25vl_tiny"),
    "InternVL3-8B-hf": Case(num_frames=8, side=448, tokenizer="internvl3_tiny"),
}


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
    config = _cut(_published(name), layers, width)
    llm = AutoConfig.for_model(**config.llm)
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / CASES[name].tokenizer, config=llm, local_files_only=True)
    with without_weights():
        model = VideoLLM(config, tokenizer, name).requires_grad_(False)

    deviation = 0.02 if width is None else 1.5 * width**-0.5

    def weight(name: str, like: Tensor) -> Tensor:
        made = torch.empty(like.shape, dtype=dtype, device=device)
        return made.fill_(1) if like.ndim == 1 and name.endswith("weight") else made.normal_(std=deviation)

    torch.manual_seed(0)
    model.load_state_dict({k: weight(k, v) for k, v in model.state_dict().items()}, assign=True)
    tokenizer.eos_token = model.llm.generation_config.eos_token_id = None
    return model.to(device).eval()


def _published(name: Name) -> ModelConfig:
    file = GOLDEN / "configs" / f"{name}.json"
    family = FAMILIES.load(read_json(file)["model_type"])
    assert issubclass(family, ComposedFamily)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(file, Path(folder, "config.json"))
        return family.read_config(Path(folder), Options(name=name))


def _cut(config: ModelConfig, layers: int | None, width: int | None) -> ModelConfig:
    vision, llm = dict(config.vision["config"]), dict(config.llm)
    if layers is not None:
        depth = "depth" if "depth" in vision else "num_hidden_layers"
        vision[depth] = layers if depth == "depth" else layers - 1 - config.vision.get("select_layer", -1)
        if "fullatt_block_indexes" in vision:
            vision["fullatt_block_indexes"] = [layers - 1]
        llm["num_hidden_layers"] = layers
    if width is not None:
        narrow = {"hidden_size": width, "intermediate_size": 2 * width}
        heads = "num_heads" if "num_heads" in vision else "num_attention_heads"
        vision = {**vision, **narrow, heads: 2} | ({"out_hidden_size": width} if "out_hidden_size" in vision else {})
        d = width // 2
        llm = llm | narrow | {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": d}
        if (scaling := llm.get("rope_scaling")) and "mrope_section" in scaling:
            llm["rope_scaling"] = {**scaling, "mrope_section": [d // 8, d // 2 - d // 8 - 3 * d // 16, 3 * d // 16]}
    return replace(config, vision={**config.vision, "config": vision}, llm=llm)


if __name__ == "__main__":
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    build(sys.argv[1], place, torch.bfloat16).save(sys.argv[2])  # type: ignore[arg-type]
