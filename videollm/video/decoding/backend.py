"""What every backend hands back: the frames it could decode, and which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from videollm.errors import VideoError
from videollm.types import Clip, FrameBatch
from videollm.video.preprocessing.scale import FrameSize
from videollm.video.sampling import Sampled, Sampling


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of a backend."""

    path: str
    """A local file or folder."""
    clip: Clip
    sampling: Sampling
    size: FrameSize | None
    threads: int
    allow_partial: bool


class Backend(Protocol):
    """Decodes the frames a job asks for."""

    def __call__(self, job: Job) -> FrameBatch:
        """Decode; raises VideoError."""


def collect(
    job: Job,
    asked: Sampled,
    frames: NDArray[np.uint8],
    seconds: dict[int, float],
    damage: str | None,
) -> FrameBatch:
    """Lay the decoded frames out as they were asked for.

    Args:
        job: the call.
        asked: display indices in order, possibly repeated, and the times of their own that they come with.
        frames: (u h w c), one for every distinct index asked, ascending.
        seconds: presentation times of the indices that were decoded.
        damage: what went wrong, if anything did.
    Raises:
        VideoError: `decode_error`: a frame is missing and the job does not allow it, or all are.
    """
    distinct = sorted(set(asked.indices))
    missing = tuple(i for i in distinct if i not in seconds)
    if missing and (not job.allow_partial or len(missing) == len(distinct)):
        some = ", ".join(str(i) for i in missing[:5]) + (", ..." if len(missing) > 5 else "")
        partial = len(missing) < len(distinct)
        hint = (
            "allow partial results (--allow-partial) to keep the others"
            if partial
            else "no frame asked for is readable"
        )
        raise VideoError(
            "decode_error",
            f"{job.clip.video}: {len(missing)} of {len(distinct)} frames could not be decoded ({some}): "
            f"{damage or 'the decoder returned nothing for them'}; {hint}.",
        )
    kept = tuple(i for i in asked.indices if i in seconds)
    if kept != tuple(distinct):  # frames repeat, or some are missing
        rows = {index: row for row, index in enumerate(distinct)}
        frames = frames[[rows[i] for i in kept]]
    pairs = zip(asked.indices, asked.snapped_seconds, strict=True) if asked.snapped_seconds else ()
    return FrameBatch(
        frames=frames,
        indices=kept,
        seconds=tuple(seconds[i] for i in kept),
        missing=missing,
        model_seconds=tuple(s for i, s in pairs if i in seconds),
        packing=asked.packing,
    )
