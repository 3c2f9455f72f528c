"""InternVL 2.5, 3 and 3.5 (arXiv:2504.10479, github.com/OpenGVLab/InternVL).

There are two layouts: that of transformers (`-hf` on the hub), and the authors' own, whose code takes other frames,
scales them with PIL, and writes a system message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints import transformers_layout as layout
from videollm.checkpoints.family import PROVEN, ComposedFamily
from videollm.checkpoints.folder import Renamed, Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.names import causal_lm
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.config import ModelConfig
from videollm.prompts.templates import CHATML, CHATML_DIRECT

MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
"""Of ImageNet, where no file says it."""
NUM_FRAMES: Final = 8
"""As in the authors' example."""
LLMS: Final = ("qwen2", "qwen3", "qwen3_moe", "llama", "internlm2")
"""`model_type` of the LLMs that the authors' layout is read with; others ran by code of the repository's own."""
INTERNLM2: Final = {
    "model.tok_embeddings.": "model.embed_tokens.",
    "output.": "lm_head.",
    ".attention.wo.": ".self_attn.o_proj.",
    ".feed_forward.w1.": ".mlp.gate_proj.",
    ".feed_forward.w2.": ".mlp.down_proj.",
    ".feed_forward.w3.": ".mlp.up_proj.",
    ".attention_norm.": ".input_layernorm.",
    ".ffn_norm.": ".post_attention_layernorm.",
}
"""Parts of InternLM2's names -> Llama's, whose arithmetic it has."""
NOT_LLAMA: Final = {"architectures", "auto_map", "attn_implementation", "bias", "torch_dtype", "dtype",
                    "transformers_version", "_name_or_path"}  # fmt: skip
"""Fields of InternLM2's configuration that are not Llama's."""
SYSTEM: Final = (
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"  # noqa: RUF001
)
"""Of the conversation template `internvl2_5`."""
ELDER: Final = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, "  # noqa: RUF001
    "是一个有用无害的人工智能助手。"
)
"""Of those before it."""
TEMPLATES: Final[dict[str, dict[str, Any]]] = {
    "internvl2_5": {**CHATML, "system": SYSTEM},
    "internlm2-chat": {"template": CHATML_DIRECT["template"], "system": ELDER},
    "Hermes-2": {"template": CHATML_DIRECT["template"], "system": ELDER},
}
"""`template` -> the prompt."""
VISION: Final = {"qkv_bias": "attention_bias", "qk_normalization": "use_qk_norm"}
"""Fields of the authors' `vision_config` -> transformers' names; the others have the same."""
OTHER_NAMES: Final = (
    ("vision_model.embeddings.class_embedding", "tower.model.embeddings.cls_token"),
    ("vision_model.embeddings.patch_embedding.", "tower.model.embeddings.patch_embeddings.projection."),
    ("vision_model.embeddings.position_embedding", "tower.model.embeddings.position_embeddings"),
    ("vision_model.encoder.layers.", "tower.model.encoder.layer."),
    (".attn.proj.", ".attention.projection_layer."),
    (".attn.", ".attention."),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".ls1", ".lambda_1"),
    (".ls2", ".lambda_2"),
)
"""Parts of the authors' names in the tower -> transformers'."""
PROJECTOR: Final = {"0": "layer_norm", "1": "linear_1", "3": "linear_2"}


class InternVL(ComposedFamily):
    """Folders of the layout of transformers."""

    title: ClassVar[str] = "InternVL3, 3.5 (-hf)"
    parts: ClassVar[str] = "InternViT; pixel_shuffle_mlp; Qwen2, Qwen3"
    published: ClassVar[tuple[str, ...]] = ("OpenGVLab/InternVL3-8B-hf", "OpenGVLab/InternVL3_5-8B-HF")
    licence: ClassVar[str] = "MIT, with an LLM under Apache-2.0 or the Qwen License (3); Apache-2.0 (3.5)"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"internvl": PROVEN}

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


class InternVLChat(ComposedFamily):
    """Folders of the authors' own layout."""

    title: ClassVar[str] = "InternVL2, 2.5, 3, 3.5 (the authors' layout)"
    parts: ClassVar[str] = "InternViT; pixel_shuffle_mlp; Qwen2, Qwen3, Llama, InternLM2"
    published: ClassVar[tuple[str, ...]] = (
        "OpenGVLab/InternVL2-8B",
        "OpenGVLab/InternVL2_5-8B",
        "OpenGVLab/InternVL3-8B",
        "OpenGVLab/InternVL3_5-8B",
    )
    licence: ClassVar[str] = "MIT, with an LLM under Apache-2.0 or the Qwen License (3); Apache-2.0 (3.5)"

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        vision = {VISION.get(k, k): v for k, v in require(values, "vision_config", file).items()}
        size = values.get("force_image_size") or vision["image_size"]
        given = {"text_config": require(values, "llm_config", file)}
        llm = layout.language_model(file, given, generation, "qwen2")
        if llm["model_type"] not in LLMS or values.get("ps_version", "v2") != "v2":
            raise UserError(
                f"{file} has an LLM of model_type {llm['model_type']!r} and ps_version {values.get('ps_version')!r}; "
                f"expected one of {', '.join(LLMS)}, and 'v2'. Take the repository of the same name that ends in -hf."
            )
        template = values.get("template", "internvl2_5")
        if template not in TEMPLATES:
            raise UserError(f"{file} has template {template!r}; expected one of {', '.join(TEMPLATES)}.")
        words = read_optional_json(folder / "tokenizer_config.json")
        begins = words.get("add_bos_token", llm["model_type"] == "internlm2")
        return ModelConfig(
            vision={
                "kind": "internvit",
                "config": {**vision, "image_size": size, "model_type": "internvl_vision"},
                "select_layer": values.get("select_layer", -1),
            },
            connector={
                "name": "pixel_shuffle_mlp",
                "config": {"side": round(1 / values.get("downsample_ratio", 0.5))},
            },
            llm=internlm2(llm) if llm["model_type"] == "internlm2" else llm,
            transform={"size": size, "mean": MEAN, "std": STD, "exact": True, **frame_text()},
            sampling={"policy": "segments", "num_frames": NUM_FRAMES, "place": "rounded"},
            generation={"max_new_tokens": 1024},
            prompt={**TEMPLATES[template], "begin": bool(begins)},
        )

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=rename, arrange=arranger(config.llm))]


def internlm2(llm: dict[str, Any]) -> dict[str, Any]:
    """Translate the configuration of InternLM2 to Llama's."""
    kept = {k: v for k, v in llm.items() if k not in NOT_LLAMA}
    return {**kept, "model_type": "llama", "attention_bias": llm.get("bias", True)}


def arranger(llm: dict[str, Any]) -> Callable[[str, Any], Any]:
    """Make the arrangement of InternLM2's packed rows: queries of a group, its key and its value, group after group."""
    heads = llm["num_attention_heads"]
    return partial(_arrange, heads, llm.get("num_key_value_heads") or heads)


def _arrange(heads: int, groups: int, name: str, tensor: Any) -> Any:
    if ".attention.wqkv." not in name:
        return tensor
    import torch
    from einops import rearrange

    packed = rearrange(tensor, "(g h d) ... -> g h d ...", g=groups, h=heads // groups + 2)
    parts = (packed[:, :-2], packed[:, -2:-1], packed[:, -1:])
    return torch.cat([rearrange(part, "g h d ... -> (g h d) ...") for part in parts])


def rename(name: str) -> Renamed:
    """Translate a name of the authors' layout, in which the tower's query, key and value are one tensor."""
    if name.startswith("language_model."):
        return llama_name(name.removeprefix("language_model."))
    if found := re.fullmatch(r"mlp1\.([013])\.(.*)", name):
        return f"connector.{PROJECTOR[found[1]]}.{found[2]}"
    if name.startswith("vision_model."):
        for theirs, ours in OTHER_NAMES:
            name = name.replace(theirs, ours)
    if found := re.fullmatch(r"(.*\.attention\.)qkv\.(.*)", name):
        return tuple(f"{found[1]}{part}_proj.{found[2]}" for part in "qkv")
    return name


def llama_name(name: str) -> Renamed:
    """Translate a name of the LLM; InternLM2's query, key and value are one tensor."""
    if found := re.fullmatch(r"(.*)\.attention\.wqkv\.(.*)", name):
        return tuple(f"llm.{found[1]}.self_attn.{part}_proj.{found[2]}" for part in "qkv")
    for theirs, ours in INTERNLM2.items():
        name = name.replace(theirs, ours)
    return causal_lm(name)
