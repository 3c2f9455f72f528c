"""Assembly of a composed model from a configuration and files of weights, for all families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from connectors import Connector
from videollm.checkpoints.folder import Rename, Renamed, Source, read_optional_json, weight_files
from videollm.checkpoints.options import UNTRAINED, Options
from videollm.checkpoints.peer import Spread, device_of
from videollm.checkpoints.sentencepiece import MODEL, load_sentencepiece
from videollm.checkpoints.weights import fill, find, give, without_weights
from videollm.engines import ENGINES, sharding
from videollm.engines.base import Engine
from videollm.engines.builtin import BuiltinEngine
from videollm.errors import UserError
from videollm.models.composed import VideoLLM
from videollm.models.config import ModelConfig

CONNECTOR: Final = "connector."
DTYPES: Final = ("float32", "bfloat16", "float16", "float64")


def assemble(folder: Path, config: ModelConfig, sources: Sequence[Source], options: Options) -> VideoLLM:
    """Build a model, without ever holding its weights twice.

    Args:
        folder: holds the tokenizer, and the config.json that tells the type of the weights.
        config: as the folder says.
        sources: its weights, with what their names become.
        options: the user's options.
    Raises:
        UserError: a file is missing or damaged, weights and configuration do not fit, or the engine cannot run the
            LLM.
    """
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device, folder)
    engine = ENGINES.load(options.engine)
    try:
        settings = engine.Config(**options.engine_config)
    except (TypeError, ValueError) as error:
        raise UserError(f"Engine {options.engine} got settings it does not take: {error}.") from error
    new_connector = options.replaces_connector(config) or options.connector_weights is not None
    with without_weights():
        model = VideoLLM(options.apply(config), _tokenizer(folder, config.llm), options.name)
    engine.check_backbone(model.llm)
    several = options.answers and settings.num_devices > 1
    if several:
        _check_devices(engine, model, settings.num_devices, device)
        device = device_of(device, 0)
    # Of the LLM, an encoder needs the input embedding alone, for connectors that look at the question.
    of_llm = {f"llm.{name}": weight for name, weight in model.llm.state_dict(keep_vars=True).items()}
    inner = frozenset(name for name, weight in of_llm.items() if weight is not model.llm.get_input_embeddings().weight)
    skipped = frozenset() if options.answers else inner
    if new_connector:  # its weights do not come from the folder: it is made with real ones, and left alone below
        model.connector = _connector(model, options, device, dtype)
        sources = [replace(s, rename=_without_connector(s.rename)) for s in sources]
        skipped |= frozenset(f"{CONNECTOR}{k}" for k in model.connector.state_dict())
        if options.leaves_untrained(config):
            model.notice = UNTRAINED.format(name=model.connector_name)
    found = find(model, sources, tied=model.tied_names | skipped)
    spread = Spread(model, found, settings, device, dtype) if several and not engine.spreads else None
    try:
        # An engine that spreads the LLM by itself takes the weights from memory: no device would hold them all.
        apart = inner if several and engine.spreads else ()
        cuts = None if spread is None else spread.cuts
        give(model, found, device=lambda name: "cpu" if name in apart else device, dtype=dtype, cuts=cuts)
        model.llm.tie_weights()
        for part in (model.tower, model.connector, *([] if apart or skipped >= inner else [model.llm])):
            part.to(device)
        model.eval()
        if options.answers:
            model.engine = engine(model.llm, model.tokenizer, settings) if spread is None else spread.join(model)
    except BaseException:
        if spread is not None:
            spread.team.close()
        raise
    return model


def outline(folder: Path, config: ModelConfig, options: Options) -> VideoLLM:
    """Build a model without weights, on the meta device.

    Args:
        folder: holds the tokenizer.
        config: as the folder says.
        options: the user's options.
    Raises:
        UserError: a file is missing or damaged, or a part cannot be built.
    """
    with torch.device("meta"), without_weights():
        return VideoLLM(options.apply(config), _tokenizer(folder, config.llm), options.name)


def choose_device(name: str) -> str:
    """Choose the device that `name` means; `auto` is cuda where there is one, else cpu.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device is {name!r}; expected auto, cpu, cuda, cuda:1, ...") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device is {name!r}, but torch sees {torch.cuda.device_count()} GPUs here. Give another one.")
    return name


def choose_dtype(name: str, device: str, folder: Path) -> torch.dtype:
    """Choose the type of the weights that `name` means: auto, config, or a torch dtype's name.

    Raises:
        UserError: there is no such type.
    """
    if name == "auto":
        name = "bfloat16" if device.startswith("cuda") else "float32"
    if name == "config":
        config = read_optional_json(folder / "config.json")
        name = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    if name not in DTYPES:
        raise UserError(f"dtype is {name!r}; expected auto, config, {', '.join(DTYPES)}.")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _check_devices(engine: type[Engine], model: VideoLLM, num_devices: int, device: str) -> None:
    """Check that the LLM can be spread over so many devices.

    Raises:
        UserError: it cannot, or there are not so many.
    """
    if device.startswith("cuda:"):
        raise UserError(f"device is {device!r}, and num_devices {num_devices} takes cuda:0 and on. Give cuda.")
    if device == "cuda" and torch.cuda.device_count() < num_devices:
        raise UserError(f"num_devices is {num_devices}, but torch sees {torch.cuda.device_count()} GPUs here.")
    if engine is BuiltinEngine:
        sharding.check(model.llm, num_devices)
    elif not engine.spreads:
        raise UserError(f"{engine.__name__} runs on one device; got num_devices {num_devices}. Use --engine builtin.")


def _tokenizer(folder: Path, llm: dict[str, Any]) -> PreTrainedTokenizerBase:
    """Load the folder's tokenizer, that of its LLM: no code of the folder's own is run."""
    if (folder / MODEL).is_file() and "auto_map" in read_optional_json(folder / "tokenizer_config.json"):
        return load_sentencepiece(folder)
    try:
        made: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, config=AutoConfig.for_model(**llm), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder} has no tokenizer that loads: {error}") from error
    return made


def _connector(model: VideoLLM, options: Options, device: str, dtype: torch.dtype) -> Connector:
    """Build the model's connector with weights of its own, or with new ones."""
    made = model.build_connector()
    if options.connector_weights is not None:
        given = options.connector_weights
        files = weight_files(given) if given.is_dir() else (given,)
        if not files:
            raise UserError(f"{given} holds no weights. Give a .safetensors file or a model folder.")
        fill(made, [Source(files=files, rename=_connector_name)], device=device, dtype=dtype)
    return made.to(device, dtype)


def _connector_name(name: str) -> str | None:
    """Rename to the connector's own names; of a whole model's weights only the connector's are used."""
    if name.startswith(CONNECTOR):
        return name.removeprefix(CONNECTOR)
    return None if name.startswith(("tower.", "llm.")) else name


def _without_connector(rename: Rename) -> Rename:
    def rename_others(name: str) -> Renamed:
        made = rename(name)
        targets = (made,) if isinstance(made, str) else made or ()
        return None if any(target.startswith(CONNECTOR) for target in targets) else made

    return rename_others
