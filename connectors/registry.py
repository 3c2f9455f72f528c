"""Connectors by name: the built-in table, entry points and `pkg.mod:Class`."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import torch

from connectors.base import Connector
from connectors.mlp import MLP, MeanLinear, MeanMLP
from connectors.pool import AdaptivePool, GroupMean
from connectors.resampler3d import Resampler2D, Resampler3D
from connectors.stc import STC, STP, SpatialConv, SpatialPool, STCv35

CONNECTORS: Final[dict[str, type[Connector]]] = {
    "stc": STC,
    "stc_v35": STCv35,
    "stp": STP,
    "spatial_conv": SpatialConv,
    "spatial_pool": SpatialPool,
    "resampler3d": Resampler3D,
    "resampler2d": Resampler2D,
    "mlp": MLP,
    "mlp2x_gelu": MeanMLP,
    "linear": MeanLinear,
    "group_mean": GroupMean,
    "adaptive_pool": AdaptivePool,
}
ENTRY_POINTS: Final = "videollm.connectors"
"""Entry-point group in which an installed package names its connectors; a built-in name wins over them."""
WIDTHS: Final = ("d_vision", "d_llm")
"""Config fields that the model sets, not the user."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A hyper-parameter of a connector."""

    name: str
    type: str
    default: object
    """`dataclasses.MISSING` where it must be given."""

    def __str__(self) -> str:
        default = "" if self.default is MISSING else f" = {self.default}"
        return f"{self.name}: {self.type}{default}"


@dataclass(frozen=True, kw_only=True)
class Description:
    """What `videollm connectors` shows of a connector."""

    name: str
    summary: str
    tokens: int | str
    """Visual tokens of the frames asked about, or why it cannot take them."""
    parameters: int
    source: str
    fields: tuple[Field, ...]


def connector_names() -> tuple[str, ...]:
    """Built-in names, then those of installed entry points."""
    return tuple(dict.fromkeys([*CONNECTORS, *sorted(entry_points(group=ENTRY_POINTS).names)]))


def load_connector(name: str) -> type[Connector]:
    """The class of a connector.

    Args:
        name: a name of `connector_names()`, or `pkg.mod:Class`.
    Raises:
        ValueError: there is no such name, it cannot be imported, or it is not a Connector.
    """
    if name in CONNECTORS:
        return CONNECTORS[name]
    found = next(iter(entry_points(group=ENTRY_POINTS).select(name=name)), None)
    target = found.value if found else name
    module, colon, attribute = target.partition(":")
    if not (module and colon and attribute):
        raise ValueError(
            f"Unknown connector {name!r}. Expected one of {', '.join(connector_names())}, or pkg.mod:Class."
        )
    try:
        loaded: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"Connector {target!r} cannot be imported: {error}. Expected an importable pkg.mod:Class; "
            "install its package, or put its folder on PYTHONPATH."
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Connector)):
        raise ValueError(f"Connector {target!r} is {loaded!r}, expected a subclass of connectors.Connector.")
    return loaded


def config_fields(cls: type[Connector]) -> tuple[Field, ...]:
    """The hyper-parameters a user may set."""
    hints = get_type_hints(cls.Config)
    return tuple(
        Field(name=f.name, type=_type_name(hints[f.name]), default=f.default)
        for f in fields(cls.Config)
        if f.name not in WIDTHS
    )


def parse_config(cls: type[Connector], strings: Mapping[str, str]) -> dict[str, object]:
    """Turn `k=v` strings of the command line into values of the Config's field types.

    Raises:
        ValueError: the Config has no such field, or the string does not read as its type.
    """
    _check_names(cls, strings)
    hints = get_type_hints(cls.Config)
    values: dict[str, object] = {}
    for name, text in strings.items():
        try:
            values[name] = _parse(hints[name], text)
        except ValueError as error:
            raise ValueError(
                f"{cls.__name__} got {name}={text!r}, expected {_type_name(hints[name])}. {_fields_text(cls)}"
            ) from error
    return values


def read_settings(name: str | None, pairs: Sequence[str]) -> dict[str, object]:
    """Values of `--connector-config k=v ...` for a connector.

    Raises:
        ValueError: a pair has no `=`, no connector is named, or `parse_config` says why.
    """
    if not pairs:
        return {}
    split = [pair.partition("=") for pair in pairs]
    if name is None or not all(equals for _, equals, _ in split):
        raise ValueError(f"Got --connector-config {' '.join(pairs)}; expected k=v, and --connector.")
    return parse_config(load_connector(name), {key: value for key, _, value in split})


def build_connector(name: str, *, d_vision: int, d_llm: int, **config: Any) -> Connector:
    """A new connector with fresh weights.

    Args:
        name: as for `load_connector`.
        d_vision, d_llm: widths of the encoder's features and of the LLM's embeddings.
        config: hyper-parameters, values of the Config's field types (see `parse_config`).
    Raises:
        ValueError: unknown connector or hyper-parameter, a required one is missing, or its value does not suit.
    """
    cls = load_connector(name)
    _check_names(cls, config)
    missing = [f.name for f in config_fields(cls) if f.default is MISSING and f.name not in config]
    if missing:
        raise ValueError(f"{cls.__name__} needs {', '.join(missing)}. {_fields_text(cls)}")
    return cls(cls.Config(d_vision=d_vision, d_llm=d_llm, **config))


def describe(
    name: str, *, d_vision: int, d_llm: int, num_frames: int, height: int, width: int, **config: Any
) -> Description:
    """What a connector makes of num_frames of height x width patches, without allocating its weights.

    Raises:
        ValueError: as `build_connector`.
    """
    with torch.device("meta"):
        connector = build_connector(name, d_vision=d_vision, d_llm=d_llm, **config)
    try:
        tokens: int | str = connector.num_tokens(num_frames, height, width)
    except ValueError as error:
        tokens = str(error)
    return Description(
        name=name,
        summary=(type(connector).__doc__ or "").strip().partition("\n")[0],
        tokens=tokens,
        parameters=sum(p.numel() for p in connector.parameters()),
        source=connector.source,
        fields=config_fields(type(connector)),
    )


def _check_names(cls: type[Connector], names: Mapping[str, object]) -> None:
    known = {f.name for f in config_fields(cls)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}. {_fields_text(cls)}")


def _fields_text(cls: type[Connector]) -> str:
    known = config_fields(cls)
    return f"Its fields: {'; '.join(map(str, known))}." if known else "It has no fields to set."


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def _parse(hint: Any, text: str) -> object:
    """Raise ValueError where the text does not read as the type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if type(None) in args and text.lower() == "none":
            return None
        for option in args:
            try:
                return _parse(option, text)
            except ValueError:
                continue
    elif origin is Literal:
        for choice in args:
            if text == str(choice):
                return choice
    elif origin is tuple:
        parts = [part for part in text.strip("()[] ").split(",") if part.strip()]
        kinds = [args[0]] * len(parts) if args[1:] == (...,) else list(args)
        if len(parts) == len(kinds):
            return tuple(_parse(kind, part.strip()) for kind, part in zip(kinds, parts, strict=True))
    elif hint is bool:
        if text.lower() in ("true", "1", "yes", "on", "false", "0", "no", "off"):
            return text.lower() in ("true", "1", "yes", "on")
    elif hint in (int, float, str):
        return hint(text)
    raise ValueError(text)
