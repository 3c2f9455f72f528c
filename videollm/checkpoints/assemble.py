"""From a configuration and files of weights to a model: what all families have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from connectors import Connector, build_connector
from videollm.checkpoints.weights import Source, fill, weight_files, without_weights
from videollm.engines.vllm import VLLMEngine, check_backbone
from videollm.models.composed import ModelConfig, VideoLLM

CONNECTOR = "connector."
ENGINES: Final = ("builtin", "vllm")
UNTRAINED = "Connector {name} is untrained: its answers mean nothing yet. Train it, or give its weights."


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to load a model folder."""

    name: str
    """How answers name the model."""
    device: str
    dtype: torch.dtype
    connector: str | None = None
    """A connector to put in the place of the model's own."""
    connector_config: dict[str, Any] = field(default_factory=dict)
    connector_weights: Path | None = None
    """Weights of that connector: a file, or a model folder that holds it."""
    thinking: bool = False
    """Let the LLM think before it answers, where its chat template can ask for that."""
    engine: str = "builtin"
    """One of ENGINES."""

    def replaces(self, config: ModelConfig) -> bool:
        """Whether another connector takes the place of the model's own."""
        return self.connector is not None and self.connector != config.connector["name"]


def assemble(folder: Path, config: ModelConfig, sources: Sequence[Source], options: Options) -> VideoLLM:
    """Build a model, without ever holding its weights twice.

    Args:
        folder: holds the tokenizer.
        config: as the folder says.
        sources: its weights, with what their names become.
        options: what the user wants of it.
    Raises:
        ValueError: a file is missing or damaged, weights and configuration do not fit, or the engine cannot run the
            LLM.
    """
    new = options.replaces(config)
    if options.connector is not None:
        kept = {} if new else config.connector.get("config", {})
        config = replace(config, connector={"name": options.connector, "config": {**kept, **options.connector_config}})
    if options.thinking:
        config = replace(config, prompt={**config.prompt, "enable_thinking": True})
    with without_weights():
        model = VideoLLM(config, _tokenizer(folder, config.llm), options.name)
    if options.engine == "vllm":
        check_backbone(model.llm)
    own = None if new or options.connector_weights is not None else model.connector
    if own is None:
        model.connector = _connector(model, options)
        sources = [replace(s, rename=_without_connector(s)) for s in sources]
        if options.connector_weights is None:
            model.notice = UNTRAINED.format(name=model.connector_name)
    skipped = frozenset() if own is not None else frozenset(f"{CONNECTOR}{k}" for k in model.connector.state_dict())
    fill(model, sources, device=options.device, dtype=options.dtype, tied=tied_names(model) | skipped)
    model.llm.tie_weights()
    model.to(options.device).eval()
    if options.engine == "vllm":
        model.engine = VLLMEngine(model.llm, model.tokenizer)
    return model


def tied_names(model: VideoLLM) -> frozenset[str]:
    """Weights that share the tensor of another one."""
    return frozenset(f"llm.{k}" for k in getattr(model.llm, "all_tied_weights_keys", None) or {})


def read_json(file: Path) -> dict[str, Any]:
    """A table of a JSON file.

    Raises:
        ValueError: it is missing, or not a table.
    """
    try:
        values = json.loads(file.read_text())
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}). Fetch the model folder again.") from error
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}. Fetch it again.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file} holds {type(values).__name__}, expected a table. Fetch it again.")
    return values


def require(values: dict[str, Any], name: str, file: Path) -> Any:
    """A field that a configuration must have.

    Raises:
        ValueError: it has not.
    """
    if name not in values:
        raise ValueError(f"{file} has no {name}, which says what to build. Use the checkpoint's own config.json.")
    return values[name]


def language_model(values: dict[str, Any], foreign: Set[str]) -> dict[str, Any]:
    """Fields of a config.json that describe the LLM: all but the foreign ones, and no `rope_scaling` that is null."""
    return {k: v for k, v in values.items() if k not in foreign and not (k == "rope_scaling" and v is None)}


def _tokenizer(folder: Path, llm: dict[str, Any]) -> PreTrainedTokenizerBase:
    """The folder's tokenizer, that of its LLM: no code of the folder's own is run."""
    try:
        made: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, config=AutoConfig.for_model(**llm), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder} has no tokenizer that loads: {error}") from error
    return made


def _connector(model: VideoLLM, options: Options) -> Connector:
    """The model's connector with its own weights, or with new ones."""
    config = model.connector.config
    settings = model.config.connector.get("config", {})
    made = build_connector(model.connector_name, d_vision=config.d_vision, d_llm=config.d_llm, **settings)
    if options.connector_weights is not None:
        given = options.connector_weights
        files = weight_files(given) if given.is_dir() else (given,)
        if not files:
            raise ValueError(f"{given} holds no weights. Give a .safetensors file or a model folder.")
        fill(made, [Source(files=files, rename=_connector_name)], device=options.device, dtype=options.dtype)
    return made.to(options.device, options.dtype)


def _connector_name(name: str) -> str | None:
    """Name in the connector; of a whole model's weights only the connector's are used."""
    if name.startswith(CONNECTOR):
        return name.removeprefix(CONNECTOR)
    return None if name.startswith(("tower.", "llm.")) else name


def _without_connector(source: Source) -> Any:
    def rename(name: str) -> str | None:
        target = source.rename(name)
        return None if target is not None and target.startswith(CONNECTOR) else target

    return rename
