"""What the layouts of transformers' image-and-text models have in common: names of weights, prompts, preprocessing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from videollm.checkpoints.folder import Rename, Renamed, read_optional_json, require
from videollm.checkpoints.names import causal_lm, vit
from videollm.errors import UserError


def renamer(num_layers: int, select_layer: int, *, newline: bool = True) -> Rename:
    """Make the translation of names, of the first releases (`language_model.model.`) or of later ones (`model.`).

    Args:
        num_layers: of the vision tower.
        select_layer: hidden state whose features the connector reads; what lies behind it is known and not used.
        newline: whether the connector writes `image_newline`.
    """
    of_tower = vit(num_layers, select_layer)

    def rename(name: str) -> Renamed:
        name = re.sub(r"^model\.(?=vision_tower|multi_modal_projector|language_model|image_newline)", "", name)
        if name.startswith("vision_tower."):
            return of_tower(name.removeprefix("vision_tower.").removeprefix("vision_model."))
        if name == "image_newline":
            return f"connector.{name}" if newline else None
        if name.startswith("multi_modal_projector."):
            return f"connector.{name.removeprefix('multi_modal_projector.')}"
        inside = name.removeprefix("language_model.")
        return causal_lm(inside if inside.startswith(("model.", "lm_head.")) else f"model.{inside}")

    return rename


def select_layer(file: Path, values: Mapping[str, Any], *, default: int, strategy: str) -> int:
    """Read the hidden state of the tower that the connector reads.

    Args:
        file: config.json, for messages.
        values: what it holds.
        default: where it does not say.
        strategy: what `vision_feature_select_strategy` must be: `default` where the tower has a class token to drop.
    Raises:
        UserError: several layers, or features with a class token.
    """
    layer = values.get("vision_feature_layer", default)
    chosen = values.get("vision_feature_select_strategy", strategy)
    if not isinstance(layer, int) or chosen != strategy:
        raise UserError(
            f"{file} has vision_feature_layer {layer!r} and vision_feature_select_strategy {chosen!r}; expected one "
            f"layer and {strategy!r}."
        )
    return layer


def language_model(file: Path, values: dict[str, Any], generation: Mapping[str, Any], default: str) -> dict[str, Any]:
    """Read the LLM's configuration, with the end tokens that generation_config.json says.

    Args:
        file: config.json, for messages.
        values: what it holds.
        generation: what generation_config.json holds.
        default: model_type, where none is given.
    Raises:
        UserError: there is no `text_config`.
    """
    # transformers' own classes may tie embeddings by default, which no file that leaves it out was saved with.
    tied = values.get("tie_word_embeddings", False)
    llm = {"model_type": default, "tie_word_embeddings": tied, **require(values, "text_config", file)}
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    return fixed_rope(llm)


def fixed_rope(llm: dict[str, Any]) -> dict[str, Any]:
    """Leave out `dynamic` scaling of rotary frequencies, which begins where the model's positions end.

    Beyond them it would change the frequencies of keys that are cached already; the engine refuses such prompts.
    """
    for name in ("rope_scaling", "rope_parameters"):
        rope = llm.get(name) or {}
        if rope.get("rope_type", rope.get("type")) == "dynamic":
            llm = {k: v for k, v in llm.items() if k != name}
            llm.setdefault("rope_theta", rope.get("rope_theta", 10000.0))
    return llm


def pictures(folder: Path, size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    """Read the preprocessing of frames: that of videos, or that of images where a folder has no other.

    Args:
        folder: the model's.
        size: side of the tower's images, where no file says it.
        mean: where no file says it.
        std: where no file says it.
    Raises:
        UserError: frames are not resized to squares.
    """
    file = folder / "video_preprocessor_config.json"
    file = file if file.is_file() else folder / "preprocessor_config.json"
    values = read_optional_json(file)
    crop = bool(values.get("do_center_crop"))
    wanted: dict[str, int] = values.get("size") or {"height": size, "width": size}
    sides = set((values.get("crop_size") or wanted if crop else wanted).values())
    if len(sides) != 1 or (crop and wanted.keys() != {"shortest_edge"} and set(wanted.values()) != sides):
        raise UserError(f"{file} resizes frames to {wanted} and crops to {sides}; expected squares of one size.")
    return {
        "size": sides.pop(),
        "mode": "crop" if crop else "squash",
        "mean": tuple(values.get("image_mean") or mean),
        "std": tuple(values.get("image_std") or std),
        "exact": True,
        "filter": "torch",
    }


def prompt(folder: Path) -> dict[str, Any]:
    """Read the prompt: the processor's template, which older repositories keep apart from the tokenizer's."""
    own = {} if (folder / "chat_template.jinja").is_file() else read_optional_json(folder / "chat_template.json")
    words = read_optional_json(folder / "tokenizer_config.json")
    begin = words.get("add_bos_token", str(words.get("tokenizer_class")).startswith("Llama"))
    return {"placeholder": "<video>", "begin": begin, **({"template": own["chat_template"]} if own else {})}
