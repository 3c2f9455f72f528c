"""Connectors by name, their settings, and new connectors built from settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from connectors.errors import ConnectorError
from connectors.registry import Table

if TYPE_CHECKING:
    from connectors.base import Connector

CONNECTORS: Final[Table[Connector]] = Table(
    noun="connector",
    group="videollm.connectors",
    base="connectors:Connector",
    error=ConnectorError,
    builtin={
        "stc": "connectors.stc:STC",
        "stc_v35": "connectors.stc:STCv35",
        "stp": "connectors.stc:STP",
        "spatial_conv": "connectors.stc:SpatialConv",
        "spatial_pool": "connectors.stc:SpatialPool",
        "resampler3d": "connectors.resampler3d:Resampler3D",
        "resampler2d": "connectors.resampler3d:Resampler2D",
        "mlp": "connectors.mlp:MLP",
        "mlp2x_gelu": "connectors.mlp:MeanMLP",
        "linear": "connectors.mlp:MeanLinear",
        "group_mean": "connectors.pool:GroupMean",
        "adaptive_pool": "connectors.pool:AdaptivePool",
        "mlp_pool": "connectors.mlp_pool:MLPPool",
        "pixel_shuffle_mlp": "connectors.pixel_shuffle:PixelShuffleMLP",
        "patch_merger": "connectors.patch_merger:PatchMerger",
        "repeated_merger": "connectors.repeated_merger:RepeatedMerger",
        "glu_adapter": "connectors.glu_adapter:GLUAdapter",
        "deep_patch_merger": "connectors.patch_merger:DeepPatchMerger",
        "mlp_downsample": "connectors.mlp_downsample:MLPDownsample",
        "patch_mining": "connectors.mining:PatchMining",
        "patch_linear": "connectors.patch_linear:PatchLinear",
        "diff_fp": "connectors.diff_fp:DiffFP",
    },
)
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


def config_fields(cls: type[Connector]) -> tuple[Field, ...]:
    """List the hyper-parameters that a user may set."""
    hints = get_type_hints(cls.Config)
    return tuple(
        Field(name=f.name, type=type_name(hints[f.name]), default=f.default)
        for f in fields(cls.Config)
        if f.name not in WIDTHS
    )


def describe_fields(cls: type[Connector]) -> str:
    """Say in a sentence what a user may set."""
    known = config_fields(cls)
    return f"Its fields: {'; '.join(map(str, known))}." if known else "It has no fields to set."


def check_field_names(cls: type[Connector], names: Iterable[str]) -> None:
    """Check that a connector has these hyper-parameters.

    Raises:
        ConnectorError: the connector lacks one; the message lists those that exist.
    """
    known = {f.name for f in config_fields(cls)}
    if unknown := [name for name in names if name not in known]:
        raise ConnectorError(f"{cls.__name__} has no field {', '.join(unknown)}. {describe_fields(cls)}")


def build_connector(name: str, *, d_vision: int, d_llm: int, **config: Any) -> Connector:
    """Build a connector with fresh weights.

    Args:
        name: as for `CONNECTORS.load`.
        d_vision: width of the encoder's features.
        d_llm: width of the LLM's embeddings.
        config: hyper-parameters, values of the Config's field types.
    Raises:
        ConnectorError: unknown connector or hyper-parameter, a required one is missing, or its value does not suit.
    """
    cls = CONNECTORS.load(name)
    check_field_names(cls, config)
    missing = [f.name for f in config_fields(cls) if f.default is MISSING and f.name not in config]
    if missing:
        raise ConnectorError(f"{cls.__name__} needs {', '.join(missing)}. {describe_fields(cls)}")
    try:
        return cls(cls.Config(d_vision=d_vision, d_llm=d_llm, **config))
    except ConnectorError:
        raise
    except ValueError as error:  # of a connector from outside
        raise ConnectorError(str(error)) from error


def describe(
    name: str, *, d_vision: int, d_llm: int, num_frames: int, height: int, width: int, **config: Any
) -> Description:
    """Say what a connector makes of num_frames of height x width patches, without allocating its weights.

    Raises:
        ConnectorError: as `build_connector`.
    """
    import torch

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


def type_name(hint: Any) -> str:
    """Name a type as a user reads it."""
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
