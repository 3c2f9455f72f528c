"""The interface of a decoder, the table of decoders, and the layout of decoded frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from connectors.registry import Table
from videollm.errors import Status, UserError, VideoError
from videollm.types import Clip, FrameBatch
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampled, Sampling, Timeline, sample


@dataclass(frozen=True, kw_only=True)
class DecodeRequest:
    """Frames wanted of a file, and how."""

    path: str
    """A local file or folder."""
    clip: Clip
    """The part of the video; its `video` is how messages name it."""
    sampling: Sampling
    size: FrameSize | None = None
    """Size of the frames after rotation; None keeps the video's."""
    threads: int = 1
    allow_partial: bool = False
    """Whether some of the frames may be missing."""

    @property
    def needs_times(self) -> bool:
        """Whether presentation times decide which frames are wanted."""
        return self.sampling.needs_times(self.clip.start, self.clip.end)


class Decoder(ABC):
    """A way to decode the frames of a file."""

    on_gpu: ClassVar[bool] = False
    """Whether it needs a GPU in the process that decodes."""

    @classmethod
    def check(cls) -> None:
        """Check that this machine can decode so; asked before a job starts.

        Raises:
            UserError: a package or a device is missing.
        """
        return  # most need nothing that a job could lack

    @abstractmethod
    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode the frames that a request asks for.

        Raises:
            VideoError: the file cannot be read as asked; `status` says why.
        """

    def decode_windows(self, requests: Mapping[int, DecodeRequest]) -> Iterator[tuple[int, FrameBatch | VideoError]]:
        """Decode many parts of one file, each as `decode` does.

        A decoder that can do so in one pass overrides this, which opens the file for every part.

        Args:
            requests: parts by their numbers; they differ in their clip's range alone.
        Yields:
            Number and result of a part as soon as it is known, in any order.
        Raises:
            VideoError: the file as a whole cannot be read as asked; parts not yielded by then have no other result.
        """
        for number, request in requests.items():
            try:
                result: FrameBatch | VideoError = self.decode(request)
            except VideoError as error:
                result = error
            yield number, result


DECODERS: Final[Table[Decoder]] = Table(
    noun="decoder",
    group="videollm.decoders",
    base="videollm.video.decoding.base:Decoder",
    error=UserError,
    builtin={
        "auto": "videollm.video.decoding.auto:AutoDecoder",
        "planned": "videollm.video.decoding.planned:PlannedDecoder",
        "pyav": "videollm.video.decoding.sequential:SequentialDecoder",
        "decord": "videollm.video.decoding.decord_backend:DecordDecoder",
        "nvdec": "videollm.video.decoding.nvdec:NvdecDecoder",
    },
)


def choose(request: DecodeRequest, timeline: Timeline) -> tuple[Sampled, DecodeRequest]:
    """Choose the frames of a request, and settle the size that so many frames get.

    Raises:
        VideoError: the video does not reach the range asked for.
    """
    clip, size = request.clip, request.size
    asked = sample(request.sampling, timeline, clip.start, clip.end, cut_end=clip.cut_end)
    return asked, replace(request, size=None if size is None else size.of_clip(len(asked.indices)))


def lay_out(
    request: DecodeRequest,
    asked: Sampled,
    frames: NDArray[np.uint8],
    seconds: dict[int, float],
    damage: str | None,
) -> FrameBatch:
    """Lay the decoded frames out as they were asked for.

    Args:
        request: what was asked.
        asked: display indices in order, possibly repeated, and the times of their own that they come with.
        frames: (u h w c), one for every distinct index asked, ascending.
        seconds: presentation times of the indices that were decoded.
        damage: what went wrong, if anything did.
    Raises:
        VideoError: `decode_error`: a frame is missing and the request does not allow this, or all frames are missing.
    """
    distinct = sorted(set(asked.indices))
    missing = tuple(i for i in distinct if i not in seconds)
    if missing and (not request.allow_partial or len(missing) == len(distinct)):
        some = ", ".join(str(i) for i in missing[:5]) + (", ..." if len(missing) > 5 else "")
        partial = len(missing) < len(distinct)
        hint = (
            "allow partial results (--allow-partial) to keep the others"
            if partial
            else "no frame asked for is readable"
        )
        raise VideoError(
            Status.DECODE_ERROR,
            f"{request.clip.video}: {len(missing)} of {len(distinct)} frames could not be decoded ({some}): "
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
        fps=asked.fps,
        num_in_range=asked.num_in_range,
    )
