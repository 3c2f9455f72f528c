"""Mini-Gemini and its HD variants in the official layout (arXiv:2403.18814, github.com/dvlab-research/MGM).

A checkpoint names its two vision towers by folders of its makers' machine. They are looked for beside the checkpoint,
then where the names say, then on the hub. Videos are frames that are mined one by one, shown as the official code shows
a list of images; a clip that does not fit the LLM is refused, where the official code cuts the question off.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, ComposedFamily, control_tokens, language_model
from videollm.checkpoints.folder import (
    INDICES,
    Rename,
    Renamed,
    Source,
    read_json,
    read_optional_json,
    require,
    weight_files,
)
from videollm.checkpoints.hub import find_folder
from videollm.checkpoints.names import causal_lm, vit
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.config import ModelConfig
from videollm.prompts.templates import CHATML_DIRECT, GEMMA, MISTRAL_INSTRUCT, VICUNA_V1, llama_3

if TYPE_CHECKING:
    from videollm.models.protocol import VideoModel

LLMS: Final = {"mgm": "llama", "mgm_gemma": "gemma", "mgm_mistral": "mistral", "mgm_mixtral": "mixtral"}
"""`model_type` -> that of the LLM alone."""
PROMPTS: Final = {"gemma": GEMMA, "mistral": MISTRAL_INSTRUCT, "mixtral": MISTRAL_INSTRUCT}
OCR: Final = "\nReference OCR Token: {}\n"
"""As the official code writes what PaddleOCR read with a confidence above 0.1."""
EXPECTED: Final[dict[str, Any]] = {
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_feature": "patch",
    "image_aspect_ratio": "pad",
    "mm_use_im_start_end": False,
    "mm_use_im_patch_token": False,
}
"""What all published checkpoints say."""
NOT_LLM: Final = {
    "architectures", "auto_map", "torch_dtype", "dtype", "transformers_version", "_name_or_path", "image_aspect_ratio",
    "image_global", "image_grid", "image_grid_pinpoints", "image_size_aux", "freeze_mm_mlp_adapter",
    "tune_mm_mlp_adapter", "optimize_vision_tower", "optimize_vision_tower_aux", "use_mm_proj",
    "tokenizer_model_max_length", "tokenizer_padding_side",
}  # fmt: skip
"""Fields of config.json that do not describe the LLM, besides those that begin with `mm_`."""
CLIP: Final = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}
"""CLIP of the published checkpoints, so that its configuration need not be fetched."""
HUB: Final = {
    "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    "mm_vision_tower_aux": "laion/CLIP-convnext_large_d_320.laion2B-s29B-b131K-ft-soup",
}
CLIP_COPY: Final = "model.vision_tower.vision_tower.vision_model."
AUX_COPY: Final = "model.vision_tower_aux.vision_"
AUX: Final = "visual.trunk."
AUX_FILE: Final = "open_clip_pytorch_model.bin"
READ: Final[dict[str, tuple[str, ...]]] = {"mm_vision_tower": (), "mm_vision_tower_aux": (AUX_FILE,)}
"""Files of weights in the towers' repositories; () is a folder in the layout of transformers."""
TEXT: Final = ("text_", "transformer.", "token_embedding.", "positional_embedding", "ln_final.", "logit_scale",
               "visual_projection.", "visual.trunk.head.", "visual.head.")  # fmt: skip
"""What else the towers' own files hold."""
CONNECTOR: Final = {
    "model.mm_projector.": "connector.projector.",
    "model.vlm_uni_query_projector.": "connector.query.",
    "model.vlm_uni_aux_projector.": "connector.key.",
    "model.vlm_uni_val_projector.": "connector.value.",
}


class MiniGemini(ComposedFamily):
    """Folders of the official layout, with copies of the frozen towers among their weights or without."""

    title: ClassVar[str] = "Mini-Gemini, HD"
    parts: ClassVar[str] = "CLIP and ConvNeXt; patch_mining; Llama, Gemma, Mistral, Mixtral"
    published: ClassVar[tuple[str, ...]] = ("YanweiLi/MGM-7B", "YanweiLi/MGM-7B-HD")
    licence: ClassVar[str] = "CC-BY-NC-4.0, and the licence of the LLM"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"mgm": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read config.json, and what describes CLIP; ConvNeXt is taken for that of the published checkpoints."""
        file = folder / "config.json"
        values = read_json(file)
        tower = find_tower(folder, values, "mm_vision_tower")
        clip = read_json(tower / "config.json")["vision_config"] if tower else CLIP
        tokenizer = read_optional_json(folder / "tokenizer_config.json")
        return configure(file, values, clip, read_optional_json(folder / "generation_config.json"), tokenizer)

    @classmethod
    def elsewhere(cls, folder: Path, names: Collection[str]) -> Mapping[str, Sequence[str]]:
        """List the towers of which the weights hold no copy; both, where no index tells what they hold."""
        values = read_json(folder / "config.json")
        index = next((folder / name for name in INDICES if (folder / name).is_file()), None)
        held = read_json(index).get("weight_map", {}) if index else {}
        lacking = lacking_towers(folder, values, held)
        return {HUB[field]: READ[field] for field in lacking if find_tower(folder, values, field) is None}

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the weights of the folder and of the towers, of each tower from one place."""
        from videollm.checkpoints.weights import list_tensors  # which takes torch

        cls.check_weights(folder)
        values, files = read_json(folder / "config.json"), weight_files(folder)
        lacking = lacking_towers(folder, values, [entry.name for file in files for entry in list_tensors(file)])
        towers: list[Path] = []
        for field in lacking:
            found = find_tower(folder, values, field) or find_folder(HUB[field], patterns=READ[field])
            towers += [found / name for name in READ[field]] or weight_files(found)
        use_copy = "mm_vision_tower_aux" not in lacking
        return [
            Source(files=files, rename=renamer(config, aux_copy=use_copy)),
            Source(files=tuple(towers), rename=tower_renamer(config)),
        ]

    @classmethod
    def load(cls, folder: Path, options: Options) -> VideoModel:
        """Load the model of a folder, see `Family.load`; the shape of ConvNeXt is that of its weights."""
        from videollm.checkpoints.assemble import assemble
        from videollm.checkpoints.weights import list_tensors

        config = cls.read_config(folder, options)
        sources = cls.sources(folder, config)
        shapes = {
            str(source.rename(entry.name)): entry.shape
            for source in sources
            for file in source.files
            for entry in list_tensors(file)
        }
        return assemble(folder, with_stages(config, *stages(shapes)), sources, options)


def configure(
    file: Path, values: dict[str, Any], clip: dict[str, Any], generation: dict[str, Any], tokenizer: dict[str, Any]
) -> ModelConfig:
    """Translate the configuration files.

    Args:
        file: config.json, for messages.
        values: what it holds.
        clip: transformers' configuration of CLIP's vision tower.
        generation: what generation_config.json holds; its end tokens are used.
        tokenizer: what tokenizer_config.json holds; its control tokens tell the prompt of Llama's descendants.
    Raises:
        UserError: a field is missing or has a value that is not known.
    """
    for name, expected in EXPECTED.items():
        if (got := values.get(name, expected)) != expected:
            raise UserError(f"{file} has {name} {got!r}; expected {expected!r}, as all published checkpoints have.")
    pieces, whole = values.get("image_grid") or 1, bool(values.get("image_global"))
    if whole != (pieces > 1):
        raise UserError(
            f"{file} has image_grid {pieces} and image_global {whole}; expected 1 without it, or more with."
        )
    llm = language_model(values, NOT_LLM | {name for name in values if name.startswith("mm_")})
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    kind = LLMS[values["model_type"]]
    config = ModelConfig(
        vision={
            "kind": "minigemini",
            "select_layer": values.get("mm_vision_select_layer", -2),
            "config": clip,
            "pieces": pieces,
        },
        connector={"name": "patch_mining", "config": {"pieces": pieces}},
        llm={**llm, "model_type": kind},
        transform={
            "kind": "padded",
            "size": require(values, "image_size_aux", file),
            "mean": (0.48145466, 0.4578275, 0.40821073),
            "std": (0.26862954, 0.26130258, 0.27577711),
            "exact": True,
            "label": "Image {number}:",
        },
        # 576 tokens a frame, of the 2,048 that it was trained with; of the 4,096 of HD one frame takes 2,880.
        sampling={"policy": "linspace", "num_frames": 1 if pieces > 1 else 3, "repeat": False},
        generation={"max_new_tokens": 512, "temperature": 0.2},
        prompt={**(PROMPTS.get(kind) or prompt_of_llama(control_tokens(tokenizer))), "ocr": OCR},
    )
    return with_stages(config, (3, 3, 27, 3), (192, 384, 768, 1536))


def renamer(config: ModelConfig, *, aux_copy: bool) -> Rename:
    """Make the translation of the checkpoint's names; `aux_copy` tells whether its copy of ConvNeXt is used."""
    of_clip = vit(config.vision["config"]["num_hidden_layers"], config.vision["select_layer"])

    def rename(name: str) -> Renamed:
        if name.startswith(CLIP_COPY):
            return of_clip(name.removeprefix(CLIP_COPY))
        if name.startswith(AUX_COPY):
            return f"tower.aux.{name.removeprefix(AUX_COPY)}" if aux_copy else None
        for official, ours in CONNECTOR.items():
            if name.startswith(official):
                return ours + name.removeprefix(official)
        return causal_lm(name)

    return rename


def tower_renamer(config: ModelConfig) -> Rename:
    """Make the translation of names in the towers' own files, which hold models of text too."""
    of_clip = vit(config.vision["config"]["num_hidden_layers"], config.vision["select_layer"])

    def rename(name: str) -> Renamed:
        if name.startswith(TEXT):
            return None
        if name.startswith(AUX):
            return f"tower.aux.{name.removeprefix(AUX)}"
        return of_clip(name.removeprefix("vision_model."))

    return rename


def prompt_of_llama(known: set[str]) -> dict[str, Any]:
    """Tell the prompt by the control tokens of the LLM: Vicuna has none."""
    if "<|start_header_id|>" in known:
        return llama_3("system")  # so the official code names the role of answers
    return CHATML_DIRECT if "<|im_start|>" in known else VICUNA_V1


def with_stages(config: ModelConfig, depths: Sequence[int], widths: Sequence[int]) -> ModelConfig:
    """Set the blocks and features of ConvNeXt's stages."""
    connector = {**config.connector, "config": {**config.connector["config"], "widths": tuple(widths)}}
    vision = {**config.vision, "depths": tuple(depths), "widths": tuple(widths)}
    return replace(config, vision=vision, connector=connector)


def stages(shapes: dict[str, tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """Read the blocks and features of ConvNeXt's stages off the shapes of its weights.

    Raises:
        UserError: there are no such weights.
    """
    depths: dict[int, int] = {}
    widths: dict[int, int] = {}
    for name, shape in shapes.items():
        if found := re.fullmatch(r"tower\.aux\.stages\.(\d+)\.blocks\.(\d+)\.gamma", name):
            stage, block = map(int, found.groups())
            depths[stage] = max(depths.get(stage, 0), block + 1)
            widths[stage] = shape[0]
    if not depths:
        raise UserError(f"The weights of {HUB['mm_vision_tower_aux']} hold no stages of a ConvNeXt. Fetch them again.")
    return [depths[i] for i in sorted(depths)], [widths[i] for i in sorted(widths)]


def lacking_towers(folder: Path, values: dict[str, Any], held: Collection[str]) -> list[str]:
    """List the fields of the towers that are not read from the checkpoint's own weights.

    As officially: CLIP's copy wins over its folder; ConvNeXt's only where it was trained, or there is no folder.

    Args:
        folder: the checkpoint.
        values: what its config.json holds.
        held: names of its weights.
    """
    copies = {prefix: any(name.startswith(prefix) for name in held) for prefix in (CLIP_COPY, AUX_COPY)}
    trained = bool(values.get("optimize_vision_tower_aux"))
    use_copy = copies[AUX_COPY] and (trained or find_tower(folder, values, "mm_vision_tower_aux") is None)
    return ["mm_vision_tower"] * (not copies[CLIP_COPY]) + ["mm_vision_tower_aux"] * (not use_copy)


def find_tower(folder: Path, values: dict[str, Any], field: str) -> Path | None:
    """Find the folder of a vision tower, beside the checkpoint or where the name says; None where it is not here."""
    named = str(require(values, field, folder / "config.json"))
    return next((place for place in (folder / named, Path(named)) if place.is_dir()), None)
