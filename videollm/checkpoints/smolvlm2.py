"""SmolVLM2 in its published layout (arXiv:2504.05299, hub HuggingFaceTB), as it was released.

transformers 4.52 and later scale frames to the size for still images first, four times what the release took for video.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, ComposedFamily, generation_settings, language_model
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.models.config import ModelConfig

VISION: Final = {
    "hidden_size": 1152, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 16,
    "image_size": 224, "patch_size": 32, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
"""Where `vision_config` leaves a field out; the other fields are not the tower's."""
NOT_LLM: Final = {
    "architectures", "torch_dtype", "dtype", "transformers_version", "transformers.js_config", "_name_or_path",
    "_flash_attn_2_enabled", "is_llama_config", "neftune_noise_alpha", "perceiver_config", "pixel_shuffle_factor",
    "qk_layer_norms", "use_resampler", "vision_config", "image_token_id",
}  # fmt: skip
"""Fields of `text_config` that do not describe the LLM."""
SAMPLING: Final = {"fps": 1, "max_frames": 64}
"""Where preprocessor_config.json has no `video_sampling`."""
IMAGE: Final = "<fake_token_around_image>"
TEMPLATE: Final = (
    "<|im_start|>"
    "{% for message in messages %}"
    "{{ message.role | capitalize }}: "
    "{% for part in message.content %}{{ '<video>' if part.type == 'video' else part.text }}{% endfor %}"
    "<end_of_utterance>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""The processor's own for videos; that of the tokenizer knows images alone."""


class SmolVLM2(ComposedFamily):
    """Folders of the published layout."""

    title: ClassVar[str] = "SmolVLM2 256M, 500M, 2.2B"
    parts: ClassVar[str] = "SigLIP at 512 or 384; patch_linear (squares of patches, one linear layer); Llama"
    published: ClassVar[tuple[str, ...]] = (
        "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
        "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
    )
    licence: ClassVar[str] = "Apache-2.0"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"smolvlm": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        preprocessor = read_optional_json(folder / "preprocessor_config.json")
        return configure(file, values, generation, preprocessor)

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=rename)]


def configure(
    file: Path, values: dict[str, Any], generation: dict[str, Any], preprocessor: dict[str, Any]
) -> ModelConfig:
    """Translate a config.json.

    Args:
        file: that config.json, for messages.
        values: what it holds.
        generation: what generation_config.json holds.
        preprocessor: what preprocessor_config.json holds.
    Raises:
        UserError: a field is missing.
    """
    tower = require(values, "vision_config", file)
    vision = {name: tower.get(name, default) for name, default in VISION.items()}
    llm = language_model(require(values, "text_config", file), NOT_LLM)
    llm["tie_word_embeddings"] = values.get("tie_word_embeddings", False)
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    sampling = {**SAMPLING, **preprocessor.get("video_sampling", {})}
    return ModelConfig(
        vision={"kind": "navit", "config": vision},
        connector={"name": "patch_linear", "config": {"side": values.get("scale_factor", 2)}},
        llm=llm,
        transform={
            "kind": "timed_square",
            "size": preprocessor.get("max_image_size", {}).get("longest_edge", vision["image_size"]),
            "exact": True,
            "filter": "lanczos_fitted",
            "intro": "You are provided the following series of {frames} frames from a {duration} [H:MM:SS] video.\n",
            "label": "\nFrame from {minutes:02d}:{seconds:02d}:",
            "before": f"{IMAGE}<global-img>",
            "after": IMAGE,
            "outro": "\n\n",
            "mean": tuple(preprocessor.get("image_mean", (0.5, 0.5, 0.5))),
            "std": tuple(preprocessor.get("image_std", (0.5, 0.5, 0.5))),
        },
        sampling={"policy": "fps_skip", "choose_fps": sampling["fps"], "max_num_frames": sampling["max_frames"]},
        generation=generation_settings(generation),
        prompt={"placeholder": "<video>", "template": TEMPLATE},
    )


def rename(name: str) -> str | None:
    """Translate a name of a weight."""
    name = name.removeprefix("model.")
    if name.startswith("vision_model."):
        return f"tower.model.{name.removeprefix('vision_model.')}"
    if name.startswith("connector."):
        return f"connector.{name.removeprefix('connector.modality_projection.')}"
    return f"llm.{name}" if name.startswith("lm_head.") else f"llm.model.{name.removeprefix('text_model.')}"
