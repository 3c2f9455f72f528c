"""InternVL3 and 3.5 in the layout of transformers, `-hf` on the hub (arXiv:2504.10479, OpenGVLab/InternVL)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from videollm.checkpoints import transformers_layout as layout
from videollm.checkpoints.family import ComposedFamily
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.models.config import ModelConfig

MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
"""Of ImageNet, where no file says it."""
NUM_FRAMES: Final = 8
"""As in the authors' example."""


class InternVL(ComposedFamily):
    """Folders of the layout of transformers."""

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        vision = require(values, "vision_config", file)
        size = vision.get("image_size", 448)
        return ModelConfig(
            vision={
                "kind": "internvit",
                "config": vision,
                "select_layer": layout.select_layer(file, values, default=-1, strategy="default"),
            },
            connector={
                "name": "pixel_shuffle_mlp",
                "config": {"side": round(1 / values.get("downsample_ratio", 0.5))},
            },
            llm=layout.language_model(file, values, generation, "qwen2"),
            transform={
                **layout.pictures(folder, size if isinstance(size, int) else size[0], MEAN, STD),
                **frame_text(),
            },
            sampling={"policy": "segments", "num_frames": NUM_FRAMES, "place": "middle"},
            generation={"max_new_tokens": 1024},
            prompt=layout.prompt(folder),
        )

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        num_layers = config.vision["config"].get("num_hidden_layers", 24)
        return [Source(files=weight_files(folder), rename=layout.renamer(num_layers, config.vision["select_layer"]))]


def frame_text() -> dict[str, Any]:
    """Return what is written around frames: `Frame1: <img>` and `</img>`, on lines of their own."""
    return {"before": "<img>", "after": "</img>", "label": "Frame{number}: <img>"}
