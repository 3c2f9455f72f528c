"""videollm: captions and answers over video archives, with an interchangeable temporal connector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videollm.checkpoints import load
    from videollm.models.composed import VideoLLM

__all__ = ["VideoLLM", "load"]


def __getattr__(name: str) -> Any:
    """Import torch and transformers when a model is asked for, not before."""
    if name == "load":
        from videollm.checkpoints import load

        return load
    if name == "VideoLLM":
        from videollm.models.composed import VideoLLM

        return VideoLLM
    raise AttributeError(f"module 'videollm' has no attribute {name!r}")
