"""`--engine vllm-native`: any model that vLLM serves, by vLLM alone, on our frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from videollm.adapters import Adapter
from videollm.adapters.transformers import describe
from videollm.checkpoints.hub import find_model
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.protocol import ModelInfo

if TYPE_CHECKING:
    from videollm.adapters.serving import ServedVLM

NAME: Final = "vllm-native"


class VLLMNative(Adapter):
    """Runs tower, connector and LLM in vLLM; one such model a process."""

    spreads: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(Adapter.Config):
        """How vLLM runs."""

        num_devices: int = 1
        """Devices over which the model is spread."""
        gpu_share: float = 0.9
        """Share of a GPU's memory that vLLM takes."""
        max_model_len: int = -1
        """Most tokens of a prompt with its answer; -1 is the model's own limit, or what there is memory for."""
        processor: dict[str, Any] | None = None
        """Settings of the model's processor, for all clips (`size`, `max_pixels`, ...)."""

        def __post_init__(self) -> None:
            if type(self.num_devices) is not int or self.num_devices < 1:
                raise UserError(f"num_devices is {self.num_devices!r}; expected a whole number of at least 1.")
            if not 0 < self.gpu_share <= 1:
                raise UserError(f"gpu_share is {self.gpu_share!r}; expected a number above 0 and at most 1.")

    @classmethod
    def describe(cls, options: Options) -> ModelInfo:
        """Check a model's configuration and its processor, see `Adapter.describe`."""
        cls.config(options)
        return describe(options, NAME, lambda folder: _check_installed())

    @classmethod
    def load(cls, options: Options, folder: Path | None = None) -> ServedVLM:
        """Load a model, see `Adapter.load`."""
        _check_installed()
        from videollm.engines.vllm import VLLMEngine

        VLLMEngine.prepare()
        from videollm.adapters.serving import load

        info = cls.describe(options)
        return load(find_model(options.name) if folder is None else folder, options, cls.config(options), info)


def _check_installed() -> None:
    from importlib.util import find_spec

    if find_spec("vllm") is None:
        raise UserError(
            f"Engine {NAME} needs the package vllm, which is not installed. Install the extra (pip install "
            "'videollm[vllm]'; without a GPU as docs/generation.md says), or use --engine transformers or builtin."
        )
