"""Models by name: embedded ones, folders and hub ids, each read by the family that its config names.

Importing this, and `resolve`, take no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connectors import CONNECTORS, ConnectorError, Table
from connectors.catalog import check_field_names
from videollm.checkpoints.adapter import ADAPTERS, Adapter, adapter_of
from videollm.checkpoints.family import ComposedFamily, Family
from videollm.checkpoints.folder import read_json
from videollm.checkpoints.hub import CONFIGURATION, EMBEDDED, find_model, is_local
from videollm.checkpoints.options import Options
from videollm.engines import DEFAULT_ENGINE, ENGINES
from videollm.errors import UserError

if TYPE_CHECKING:
    from videollm.models.composed import VideoLLM
    from videollm.models.protocol import ModelInfo, VideoModel

FAMILIES: Final[Table[Family]] = Table(
    noun="family",
    group="videollm.families",
    base="videollm.checkpoints.family:Family",
    error=UserError,
    builtin={
        "videollm": "videollm.checkpoints.native:Native",
        "videollama2_mistral": "videollm.checkpoints.videollama2:VideoLLaMA2",
        "videollama2_mixtral": "videollm.checkpoints.videollama2:VideoLLaMA2",
        "videollama2_qwen2": "videollm.checkpoints.videollama2:VideoLLaMA2",
        "internvl": "videollm.checkpoints.internvl:InternVL",
        "internvl_chat": "videollm.checkpoints.internvl:InternVLChat",
        "llava_next_video": "videollm.checkpoints.llava_next_video:LlavaNextVideo",
        "llava_onevision": "videollm.checkpoints.llava_onevision:LlavaOneVision",
        "llava_qwen": "videollm.checkpoints.llava:Llava",
        "LlavaQwenForCausalLM": "videollm.checkpoints.llava:Llava",
        "CogVLMVideoForCausalLM": "videollm.checkpoints.cogvlm2_video:CogVLM2Video",
        "minicpmv": "videollm.checkpoints.minicpmv:MiniCPMV",
        "minicpmv4_6": "videollm.checkpoints.minicpmv46:MiniCPMV46",
        "minicpmv4_7": "videollm.checkpoints.minicpmv46:MiniCPMV46",
        "qwen2_vl": "videollm.checkpoints.qwen2vl:Qwen2VL",
        "qwen2_5_vl": "videollm.checkpoints.qwen2vl:Qwen2VL",
        "qwen3_vl": "videollm.checkpoints.qwen3vl:Qwen3VL",
        "qwen3_vl_moe": "videollm.checkpoints.qwen3vl:Qwen3VL",
        "llava_llama": "videollm.checkpoints.vila:VILA",
        "mgm": "videollm.checkpoints.minigemini:MiniGemini",
        "mgm_gemma": "videollm.checkpoints.minigemini:MiniGemini",
        "mgm_mistral": "videollm.checkpoints.minigemini:MiniGemini",
        "mgm_mixtral": "videollm.checkpoints.minigemini:MiniGemini",
        "smolvlm": "videollm.checkpoints.smolvlm2:SmolVLM2",
        "video_llama_3": "videollm.checkpoints.videollama3:VideoLLaMA3",
        "videollama3_qwen2": "videollm.checkpoints.videollama3:VideoLLaMA3Qwen2",
    },
)
"""`model_type` of config.json, or a name in its `architectures` where it has none that is known -> class."""

__all__ = [
    "ADAPTERS",
    "EMBEDDED",
    "FAMILIES",
    "Adapter",
    "Family",
    "Options",
    "ResolvedModel",
    "adapter_of",
    "elsewhere",
    "load",
    "load_with",
    "outline",
    "resolve",
]

OTHER_WAYS: Final = (
    "`videollm models` lists all; --family pkg.mod:Class reads another layout; --engine transformers or vllm-native, "
    "or --model openai:NAME, runs it as a whole."
)
"""What the message about an unknown model_type ends with."""


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """A model that was found and looks as if it loads."""

    folder: Path | None
    """The model's folder; of a hub id, the folder of the fetched files; None of a model that an adapter runs."""
    info: ModelInfo
    """Facts from the model's configuration."""


def load(
    name: str | Path = "tiny-stc",
    *,
    family: str | None = None,
    connector: str | None = None,
    connector_config: Mapping[str, Any] | None = None,
    connector_weights: str | Path | None = None,
    preset: str | None = None,
    thinking: bool = False,
    engine: str = DEFAULT_ENGINE,
    engine_config: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> VideoModel:
    """Load a model.

    Args:
        name: an embedded model (tiny-stc, tiny-resampler3d), a model folder, a hub id (org/name, org/name@revision),
            or `openai:NAME`, a model behind a server (docs/endpoints.md).
        family: the layout of the folder: a model_type, an entry point, pkg.mod:Class or path/to/file.py:Class; what
            config.json says, if not given.
        connector: put in the place of the model's own: a name, an entry point, pkg.mod:Class or path/to/file.py:Class.
        connector_config: settings of that connector.
        connector_weights: its weights, a file or a model folder; without them it is untrained.
        preset: which frames the model sees and how it is asked, where it knows several ways (CogVLM2-Video: chat, base
            or vqa); its usual one, if not given.
        thinking: let the LLM think before it answers, where it can.
        engine: what runs the LLM: builtin, vllm (see docs/generation.md; such a model can answer, not be trained), or
            one from outside.
        engine_config: settings of that engine, or of what runs the model as a whole.
        device: auto is cuda where there is one, else cpu.
        dtype: auto is bfloat16 on cuda and float32 on cpu; config is what config.json says; or a torch dtype's name.
    Raises:
        UserError: no such model, or one that cannot be loaded; the message says why.
    """
    return load_with(
        Options(
            name=str(name),
            family=family,
            connector=connector,
            connector_config=connector_config or {},
            connector_weights=None if connector_weights is None else Path(connector_weights),
            preset=preset,
            thinking=thinking,
            engine=engine,
            engine_config=engine_config or {},
            device=device,
            dtype=dtype,
        )
    )


def load_with(options: Options, *, folder: Path | None = None) -> VideoModel:
    """Load a model as options say.

    Args:
        folder: where the model lies, if not where its name says.
    Raises:
        UserError: as `load`.
    """
    if (adapter := adapter_of(options)) is not None:
        return adapter.load(options, folder)
    ENGINES.load(options.engine).prepare()
    folder = find_model(options.name) if folder is None else folder
    model = _family(folder, options).load(folder, options)
    model.revision = _revision(folder)
    return model


def resolve(options: Options) -> ResolvedModel:
    """Find a model and check what can be checked without loading it: folder, family, weights, connector, engine.

    Torch is imported only for a connector or an engine that takes the place of the model's own. Of a hub id, the
    configuration is fetched and the weights are not.

    Raises:
        UserError: no such model, or one that cannot be loaded; the message says why.
    """
    if (adapter := adapter_of(options)) is not None:
        return ResolvedModel(folder=None, info=adapter.describe(options))
    can_score = True
    if options.engine != DEFAULT_ENGINE:
        engine = ENGINES.load(options.engine)
        engine.check_installed()
        can_score = engine.scores
    folder = find_model(options.name, patterns=CONFIGURATION)
    family = _family(folder, options)
    info = family.describe(folder, options)
    if is_local(options.name):
        family.check_weights(folder)
    if options.connector is not None:
        _check_connector(options)
    can_score = info.can_score or (can_score and issubclass(family, ComposedFamily))
    return ResolvedModel(folder=folder, info=replace(info, revision=_revision(folder), can_score=can_score))


def outline(options: Options) -> VideoLLM:
    """Find a model and build it without weights; of a hub id, the configuration alone is fetched.

    Raises:
        UserError: no such model, or one that is not made of a tower, a connector and an LLM.
    """
    folder = find_model(options.name, patterns=CONFIGURATION)
    family = _family(folder, options)
    if not issubclass(family, ComposedFamily):
        raise UserError(f"{options.name} is not made of a tower, a connector and an LLM; its cost cannot be counted.")
    return family.outline(folder, options)


def elsewhere(folder: Path, names: Collection[str]) -> Mapping[str, Sequence[str]]:
    """List what loading a model reads of other repositories of the hub, see `Family.elsewhere`.

    Args:
        folder: the model's configuration files.
        names: all files of its repository.
    Raises:
        UserError: a file is missing or damaged, or says what is not known.
    """
    return _family(folder, Options(name=str(folder))).elsewhere(folder, names)


def _family(folder: Path, options: Options) -> type[Family]:
    found = FAMILIES.load(_kind(folder / "config.json") if options.family is None else options.family)
    if options.preset is not None and options.preset not in found.presets:
        expected = f"one of {', '.join(found.presets)}" if found.presets else "none, as this model has no presets"
        raise UserError(f"preset is {options.preset!r}; expected {expected}.")
    return found


def _kind(file: Path) -> str:
    """Read the name in FAMILIES that a config.json means."""
    values = read_json(file)
    kind, architectures = str(values.get("model_type")), values.get("architectures") or []
    for name in (kind, *map(str, architectures)):
        if name in FAMILIES:
            return name
    got = f"model_type {kind!r}" + (f" and architectures {architectures}" if architectures else "")
    near = _nearest((kind, *map(str, architectures)))
    raise UserError(
        f"{file} has {got}, which is none of the {len(FAMILIES)} names that are known; "
        f"the nearest are {', '.join(near)}. {OTHER_WAYS}"
    )


def _nearest(names: Sequence[str], number: int = 3) -> list[str]:
    """Choose the names in FAMILIES that look most like one of these, the likest first."""

    def likeness(known: str) -> float:
        return max(SequenceMatcher(None, name.lower(), known.lower()).ratio() for name in names)

    return sorted(FAMILIES, key=likeness, reverse=True)[:number]


def _check_connector(options: Options) -> None:
    assert options.connector is not None
    try:
        check_field_names(CONNECTORS.load(options.connector), options.connector_config)
    except ConnectorError as error:
        raise UserError(str(error)) from error
    if (weights := options.connector_weights) is not None and not weights.exists():
        raise UserError(f"Connector weights {weights} are missing. Give a .safetensors file or a model folder.")


def _revision(folder: Path) -> str | None:
    """Read the commit of a repository from the place of its folder in the hub's cache."""
    return folder.name if folder.parent.name == "snapshots" else None
