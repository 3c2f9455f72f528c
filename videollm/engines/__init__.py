"""Engines, which run the LLM: one file per engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connectors.registry import Table
from videollm.errors import UserError

if TYPE_CHECKING:
    from videollm.engines.base import Engine

DEFAULT_ENGINE: Final = "builtin"
"""The engine that every machine has."""
ENGINES: Final[Table[Engine]] = Table(
    noun="engine",
    group="videollm.engines",
    base="videollm.engines.base:Engine",
    error=UserError,
    builtin={
        DEFAULT_ENGINE: "videollm.engines.builtin:BuiltinEngine",
        "vllm": "videollm.engines.vllm:VLLMEngine",
    },
)
"""Name for `--engine` -> class."""
