"""Frames as a model's own video processor chooses them: its `sample_frames`, on our count of the video's frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from videollm.adapters.processing import load_processor
from videollm.checkpoints.hub import CONFIGURATION, find_model
from videollm.errors import UserError
from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class ProcessorSampling(Sampling):
    """The rule of the model's files, which transformers computes; the processor is loaded where frames are decoded."""

    model: str
    """Folder or hub id of the model."""
    num_frames: int | None = None
    """Frames, in the place of the processor's own number or rate."""
    choose_fps: float | None = None
    """Frames per second, in the place of the processor's own number or rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("num_frames", "choose_fps") if getattr(self, name) is not None]
        self.check_positive(*given)
        if len(given) > 1:
            raise UserError(f"num_frames is {self.num_frames} and choose_fps {self.choose_fps}; expected one of them.")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Choose frames as the processor does; an index behind the last frame (rounding does that) means the last."""
        from transformers.video_utils import VideoMetadata

        total, fps = len(frames), timeline.fps
        processor = _video_processor(self.model)
        settings = {name: getattr(processor, name, None) for name in processor.valid_kwargs.__annotations__}
        if self.num_frames is not None or self.choose_fps is not None:
            settings |= {"num_frames": self.num_frames, "fps": self.choose_fps}
        known = VideoMetadata(total_num_frames=total, fps=fps, duration=total / fps, frames_indices=list(range(total)))
        try:
            chosen = processor.sample_frames(metadata=known, **settings)
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise UserError(
                f"{type(processor).__name__} chooses no frames of a clip of {total} ({fps:g} a second): {error} "
                "Give --sampling, or another --num-frames."
            ) from error
        return Sampled(tuple(frames[min(int(i), total - 1)] for i in chosen))


@lru_cache(maxsize=2)
def _video_processor(model: str) -> Any:
    return load_processor(find_model(model, patterns=CONFIGURATION), "transformers").video_processor
