"""The default decoder: the fastest way that is exact, and slower ones where a file needs them."""

from __future__ import annotations

from dataclasses import replace

from videollm.errors import Status, VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.base import Decoder, DecodeRequest
from videollm.video.decoding.decord_backend import DecordDecoder
from videollm.video.decoding.index import UnplannableError
from videollm.video.decoding.planned import PlannedDecoder
from videollm.video.decoding.sequential import SequentialDecoder


class AutoDecoder(Decoder):
    """Plans; counts frames where there is no plan or it fails; asks decord where FFmpeg cannot open the file."""

    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode in the first way that succeeds.

        Raises:
            VideoError: all ways fail; the message is that of the first one.
        """
        try:
            return replace(PlannedDecoder().decode(request), decoder="planned")
        except UnplannableError:
            return replace(SequentialDecoder().decode(request), decoder="pyav")
        except VideoError as error:
            fallbacks: dict[Status, tuple[str, Decoder]] = {
                Status.DECODE_ERROR: ("pyav", SequentialDecoder()),
                Status.NO_VIDEO: ("decord", DecordDecoder()),
            }
            if error.status not in fallbacks:
                raise
            name, fallback = fallbacks[error.status]
            try:
                return replace(fallback.decode(request), decoder=name)
            except VideoError:
                raise error from None
