"""LLaVA-NeXT-Video in the layout of transformers, `-hf` on the hub (github.com/LLaVA-VL/LLaVA-NeXT).

Frames are pooled before the projector, as transformers does; the authors' own code pools them behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

from videollm.checkpoints import transformers_layout as layout
from videollm.checkpoints.family import PROVEN, ComposedFamily
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.config import ModelConfig

MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
STD: Final = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP, where no file says it."""
VISION: Final = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
                 "image_size": 336, "patch_size": 14, "projection_dim": 768}  # fmt: skip
"""Where `vision_config` leaves a field out."""
NUM_FRAMES: Final = 32
"""As in the authors' evaluations."""


class LlavaNextVideo(ComposedFamily):
    """Folders of the layout of transformers."""

    title: ClassVar[str] = "LLaVA-NeXT-Video (-hf)"
    parts: ClassVar[str] = "CLIP; mlp_pool; Llama"
    published: ClassVar[tuple[str, ...]] = ("llava-hf/LLaVA-NeXT-Video-7B-hf",)
    licence: ClassVar[str] = "Llama 2 Community License"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"llava_next_video": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        vision = {**VISION, **require(values, "vision_config", file)}
        pool = values.get("spatial_pool_mode", "average")
        if pool not in ("average", "max"):
            raise UserError(f"{file} has spatial_pool_mode {pool!r}; expected 'average' or 'max'.")
        side = values.get("spatial_pool_stride", 2)
        return ModelConfig(
            vision={
                "kind": "clip",
                "config": vision,
                "select_layer": layout.select_layer(file, values, default=-2, strategy="default"),
            },
            connector={"name": "mlp_pool", "config": {"pool": pool, "side": side, "first": True, "newline": "none"}},
            llm=layout.language_model(file, values, generation, "llama"),
            transform=layout.pictures(folder, vision["image_size"], MEAN, STD),
            sampling={"policy": "segments", "num_frames": NUM_FRAMES},
            generation={"max_new_tokens": 1024},
            prompt=layout.prompt(folder),
        )

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        vision = config.vision
        rename = layout.renamer(vision["config"]["num_hidden_layers"], vision["select_layer"], newline=False)
        return [Source(files=weight_files(folder), rename=rename)]
