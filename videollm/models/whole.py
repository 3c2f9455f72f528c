"""Models that run as a whole: what they see of a clip are its frames, in the place of features and visual tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from videollm.errors import UserError
from videollm.models.protocol import EncodedClip, ModelInfo, VideoModel, Visual
from videollm.types import Clip, FrameBatch
from videollm.video.decoding.decode import decode
from videollm.video.preprocessing import FrameSize

if TYPE_CHECKING:
    from connectors import ClipFeatures

NO_CONNECTOR: Final = "none"


@dataclass(frozen=True, kw_only=True)
class ClipFrames(FrameBatch):
    """Frames that know their clip, for models that are given the file."""

    clip: Clip


@dataclass(frozen=True, kw_only=True)
class EncodedFrames(EncodedClip):
    """A clip before its model has seen it."""

    frames: FrameBatch
    features: tuple[ClipFeatures, ...] = ()
    around: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class VisualFrames(Visual):
    """A clip as a model sees it that makes visual tokens itself: all that is asked of it brings these frames."""

    frames: FrameBatch
    tokens: Tensor = field(default_factory=lambda: torch.empty(0, 0))

    @property
    def num_bytes(self) -> int:
        """Size of the frames in memory."""
        return self.frames.frames.nbytes

    def to(self, device: torch.device | str) -> VisualFrames:
        """Return this: frames stay in main memory."""
        return self


class WholeModel(VideoModel):
    """A model that runs as a whole, on frames."""

    connector_name = NO_CONNECTOR
    notice: str | None = None
    revision: str | None = None
    frame_size: FrameSize | None = None
    """Size of frames that is asked of the decoder; None is full size."""

    @property
    def device(self) -> torch.device:
        """Where frames are taken from: main memory."""
        return torch.device("cpu")

    @abstractmethod
    def describe(self, *, with_tower_key: bool = False) -> ModelInfo:
        """Describe the model, see `VideoModel.describe`; `info` of this class has what is the same for all."""

    def info(self, **more: Any) -> ModelInfo:
        """Describe the model."""
        return ModelInfo(
            name=self.name,
            connector=self.connector_name,
            sampling=asdict(self.sampling),
            frame_size=None if self.frame_size is None else asdict(self.frame_size),
            generation=asdict(self.generation),
            notice=self.notice,
            revision=self.revision,
            **more,
        )

    def decode(self, clip: Clip | str | Path, **options: Any) -> ClipFrames:
        """Decode the frames of a clip, see `VideoModel.decode`."""
        clip = clip if isinstance(clip, Clip) else Clip(video=str(clip))
        made = decode(clip, options.pop("sampling", self.sampling), size=self.frame_size, **options)
        return ClipFrames(**{f.name: getattr(made, f.name) for f in fields(FrameBatch)}, clip=clip)

    def encode_frames(self, batches: Sequence[FrameBatch]) -> list[EncodedClip]:
        """Hold the frames."""
        return [EncodedFrames(frames=b, frame_indices=b.indices, frame_seconds=b.seconds) for b in batches]

    def connect(self, clips: Sequence[EncodedClip], questions: Sequence[Sequence[str]] | None = None) -> list[Visual]:
        """Hand the frames on."""
        held = [clip for clip in clips if isinstance(clip, EncodedFrames)]
        if len(held) != len(clips):
            raise UserError(f"{self.name} runs as a whole, on frames; features of a tower mean nothing to it.")
        return [VisualFrames(frames=c.frames, frame_indices=c.frame_indices, frame_seconds=c.frame_seconds)
                for c in held]  # fmt: skip

    def save(self, folder: str | Path) -> None:
        """Refuse.

        Raises:
            UserError: always.
        """
        raise UserError(f"{self.name} runs as a whole, by code that is not ours; it cannot be saved.")
