"""Captions and answers over video archives, with an interchangeable temporal connector.

The names below are the public API. They are imported when they are asked for, so `import videollm` takes no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from connectors import ClipFeatures, Connector, ConnectorError, check_connector
    from videollm.checkpoints import load
    from videollm.errors import Status, UserError, VideoError, VideollmError
    from videollm.models.composed import VideoLLM
    from videollm.models.protocol import EncodedClip, VideoModel, Visual
    from videollm.types import Answer, Clip, FrameBatch, Generation, Request, Subtitles
    from videollm.video.decoding.decode import decode
    from videollm.video.preprocessing import FrameSize
    from videollm.video.probe import VideoInfo, probe
    from videollm.video.sampling import Sampling

__all__ = [
    "Answer",
    "Clip",
    "ClipFeatures",
    "Connector",
    "ConnectorError",
    "EncodedClip",
    "FrameBatch",
    "FrameSize",
    "Generation",
    "Request",
    "Sampling",
    "Status",
    "Subtitles",
    "UserError",
    "VideoError",
    "VideoInfo",
    "VideoLLM",
    "VideoModel",
    "VideollmError",
    "Visual",
    "check_connector",
    "decode",
    "load",
    "probe",
]

_MODULES: Final = {
    "connectors": ("ClipFeatures", "Connector", "ConnectorError", "check_connector"),
    "videollm.checkpoints": ("load",),
    "videollm.errors": ("Status", "UserError", "VideollmError", "VideoError"),
    "videollm.models.composed": ("VideoLLM",),
    "videollm.models.protocol": ("EncodedClip", "VideoModel", "Visual"),
    "videollm.types": ("Answer", "Clip", "FrameBatch", "Generation", "Request", "Subtitles"),
    "videollm.video.decoding.decode": ("decode",),
    "videollm.video.preprocessing": ("FrameSize",),
    "videollm.video.probe": ("VideoInfo", "probe"),
    "videollm.video.sampling": ("Sampling",),
}
"""Module -> public names in it."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'videollm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
