"""CogVLM2-Video in its published layout (arXiv:2408.16500, github.com/THUDM/CogVLM2): chat, base and caption models.

Their config.json is one and the same: which frames a model sees and how it is asked is a preset that the user chooses.
The image models have experts of their own for visual tokens, and are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, ComposedFamily, language_model
from videollm.checkpoints.folder import Renamed, Source, read_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.models.config import ModelConfig

NOT_LLM: Final = {
    "architectures", "auto_map", "torch_dtype", "dtype", "transformers_version", "_name_or_path", "vision_config",
    "template_version", "num_multi_query_heads",
}  # fmt: skip
"""Fields of config.json that do not describe the LLM."""
PLACEHOLDER: Final = "<|reserved_special_token_0|>"
TEMPLATE: Final = (
    "{% for m in messages %}{% for p in m.content if p.type == 'video' %}" + PLACEHOLDER + "{% endfor %}{% endfor %}"
    "{% for m in messages %}{% for p in m.content if p.type == 'text' %}"
    "{{ p.text + '\\n' if m.role == 'system' else BEFORE + p.text + AFTER }}{% endfor %}{% endfor %}"
)
"""The video, a system message (which the models do not know) as text, and the question."""
QUESTIONS: Final = {"chat": ("Question: ", " Answer:"), "base": ("", ""), "vqa": ("Question: ", " Short answer:")}
"""Text in front of and behind a question; what ends in `Answer:` is what the models were tuned with."""


class CogVLM2Video(ComposedFamily):
    """Folders of the published layout."""

    presets: ClassVar[tuple[str, ...]] = tuple(QUESTIONS)
    title: ClassVar[str] = "CogVLM2-Video"
    parts: ClassVar[str] = "EVA-CLIP-E; glu_adapter (66 tokens a frame); Llama 3 with shared positions"
    published: ClassVar[tuple[str, ...]] = ("zai-org/cogvlm2-video-llama3-chat", "zai-org/cogvlm2-video-llama3-base")
    licence: ClassVar[str] = "CogVLM2 License and Llama 3 Community License"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"CogVLMVideoForCausalLM": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read config.json. generation_config.json is left out: the authors' own code answers greedily."""
        file = folder / "config.json"
        return configure(file, read_json(file), options.preset or cls.presets[0])

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=rename)]


def configure(file: Path, values: dict[str, Any], preset: str = "chat") -> ModelConfig:
    """Translate a config.json.

    Args:
        file: that config.json, for messages.
        values: what it holds.
        preset: `chat` sees the frame nearest to each of the first 24 seconds, each with its number; `base` and `vqa`
            see 24 frames of the first minute.
    Raises:
        UserError: a field is missing.
    """
    vision = require(values, "vision_config", file)
    chat = preset == "chat"
    before, after = QUESTIONS[preset]
    return ModelConfig(
        vision={"kind": "cogvlm_video", "config": vision},
        connector={"name": "glu_adapter", "config": {"d_hidden": require(values, "intermediate_size", file)}},
        llm={
            **language_model(values, NOT_LLM),
            "model_type": "llama",
            "num_key_value_heads": require(values, "num_multi_query_heads", file),
            "rope_theta": 500_000.0,
            "stored_frequencies": True,
        },
        transform={"kind": "float_square", "size": vision["image_size"], "numbered": chat},
        sampling={"policy": "nearest_seconds"} if chat else {"policy": "first_seconds"},
        generation={"max_new_tokens": 2048},
        prompt={
            "begin": True,
            "placeholder": PLACEHOLDER,
            "template": TEMPLATE.replace("BEFORE", repr(before)).replace("AFTER", repr(after)),
        },
        positions={"kind": "runs"},
    )


def rename(name: str) -> Renamed:
    """Translate a name of a weight."""
    if name.startswith("model.vision."):
        inside = name.removeprefix("model.vision.")
        part = "tower" if inside.startswith(("patch_embedding.", "transformer.")) else "connector"
        return f"{part}.{inside}"
    if found := re.fullmatch(r"model\.layers\.(\d+)\.self_attn\.rotary_emb\.inv_freq", name):
        return "llm.model.rotary_emb.inv_freq" if found[1] == "0" else None  # those of all layers are alike
    name = name.replace(".mlp.language_mlp.", ".mlp.").replace(".language_expert_dense.", ".o_proj.")
    if ".language_expert_query_key_value." in name:
        return tuple(f"llm.{name.replace('language_expert_query_key_value', f'{part}_proj')}" for part in "qkv")
    return f"llm.{name}"
