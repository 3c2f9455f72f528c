"""Adapters: models that run as a whole, by code that is not ours (a server, another library), on frames that are ours.

Importing this takes no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from connectors.registry import Table
from videollm.checkpoints.options import Options
from videollm.engines import DEFAULT_ENGINE
from videollm.errors import UserError

if TYPE_CHECKING:
    from videollm.models.protocol import ModelInfo, VideoModel


class Adapter(ABC):
    """A way to run models as a whole."""

    uses_device: ClassVar[bool] = True
    """Whether the model runs on a device of this process."""
    spreads: ClassVar[bool] = False
    """Whether the model may be spread over several devices (`--gpus-per-llm`)."""
    takes: ClassVar[frozenset[str]] = frozenset()
    """Options of loading, besides name, device, dtype and engine_config, that mean something to it."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How the model is run: fields of `Options.engine_config`; a subclass adds fields."""

    @classmethod
    @abstractmethod
    def describe(cls, options: Options) -> ModelInfo:
        """Check what can be checked without loading or asking anything, and describe the model.

        Raises:
            UserError: no such model, or an option that does not suit.
        """

    @classmethod
    @abstractmethod
    def load(cls, options: Options, folder: Path | None = None) -> VideoModel:
        """Load the model.

        Args:
            folder: where it lies, if not where its name says.
        Raises:
            UserError: as `describe`.
        """

    @classmethod
    def config(cls, options: Options) -> Any:
        """Read the settings that options bring.

        Raises:
            UserError: one that there is not, or that does not suit.
        """
        known = [f.name for f in fields(cls.Config)]
        if unknown := sorted(set(options.engine_config) - set(known)):
            expected = f"{', '.join(known)}" if known else "none"
            raise UserError(f"{options.name} got settings it does not take: {', '.join(unknown)}; expected {expected}.")
        try:
            return cls.Config(**options.engine_config)
        except ValueError as error:
            raise UserError(str(error)) from error


ADAPTERS: Final[Table[Adapter]] = Table(
    noun="adapter",
    group="videollm.adapters",
    base="videollm.checkpoints.adapter:Adapter",
    error=UserError,
    builtin={
        "openai": "videollm.adapters.endpoint:Endpoint",
        "transformers": "videollm.adapters.transformers:Transformers",
        "vllm-native": "videollm.adapters.vllm_native:VLLMNative",
    },
)
"""What stands before the colon of a model's name (`openai:NAME`), or is its `--engine` -> class."""

PARTS: Final = {
    "connector": "--connector",
    "connector_config": "--connector-config",
    "connector_weights": "--connector-weights",
    "family": "--family",
    "preset": "--preset",
    "thinking": "--thinking",
}
"""Options of loading that mean parts of a model -> their flags."""


def adapter_of(options: Options) -> type[Adapter] | None:
    """Choose the adapter of a model, by the prefix of its name or by its engine; None where it is made of parts.

    Raises:
        UserError: both are given; or options that only mean something to a model that is made of parts.
    """
    prefix, colon, _ = options.name.partition(":")
    by_prefix = bool(colon) and prefix in ADAPTERS
    if not by_prefix and (options.engine == DEFAULT_ENGINE or options.engine not in ADAPTERS):
        return None
    if by_prefix and options.engine not in (DEFAULT_ENGINE, prefix):
        raise UserError(f"{options.name} is run by `{prefix}`, not by --engine {options.engine}. Leave --engine out.")
    found = ADAPTERS.load(prefix if by_prefix else options.engine)
    default = Options(name="")
    changed = [name for name in PARTS if getattr(options, name) != getattr(default, name)]
    if given := [PARTS[name] for name in changed if name not in found.takes]:
        raise UserError(
            f"{options.name} runs as a whole: {', '.join(given)} cannot be applied. Leave out what cannot, or take a "
            "model of parts (`videollm models`)."
        )
    return found


def name_in(options: Options) -> str:
    """Return the model's name without the prefix that chose the adapter."""
    prefix, colon, name = options.name.partition(":")
    return name if colon and prefix in ADAPTERS else options.name
