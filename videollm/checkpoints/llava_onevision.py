"""LLaVA-OneVision in the layout of transformers (arXiv:2408.03326, github.com/LLaVA-VL/LLaVA-NeXT), `-hf` on the hub.

The settings of generation_config.json came with its LLM; the authors' own code is greedy, and so is this.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

from videollm.checkpoints import transformers_layout as layout
from videollm.checkpoints.family import PROVEN, ComposedFamily
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.models.config import ModelConfig

HALF: Final = (0.5, 0.5, 0.5)
"""Mean and std, where no file says them."""
NUM_FRAMES: Final = 32
"""As in the paper."""


class LlavaOneVision(ComposedFamily):
    """Folders of the layout of transformers."""

    title: ClassVar[str] = "LLaVA-OneVision (-hf)"
    parts: ClassVar[str] = "SigLIP; mlp_pool; Qwen2"
    published: ClassVar[tuple[str, ...]] = (
        "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
        "llava-hf/llava-onevision-qwen2-7b-ov-hf",
    )
    licence: ClassVar[str] = "Apache-2.0"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"llava_onevision": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        vision = require(values, "vision_config", file)
        return ModelConfig(
            vision={
                "kind": "siglip",
                "config": vision,
                "select_layer": layout.select_layer(file, values, default=-1, strategy="full"),
            },
            connector={"name": "mlp_pool", "config": {"pool": "bilinear", "newline": "clip"}},
            llm=layout.language_model(file, values, generation, "qwen2"),
            transform=layout.pictures(folder, vision.get("image_size", 384), HALF, HALF),
            sampling={"policy": "segments", "num_frames": NUM_FRAMES},
            generation={"max_new_tokens": 1024},
            prompt=layout.prompt(folder),
        )

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        num_layers = config.vision["config"].get("num_hidden_layers", 26)
        return [Source(files=weight_files(folder), rename=layout.renamer(num_layers, config.vision["select_layer"]))]
