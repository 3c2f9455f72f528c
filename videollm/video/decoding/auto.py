"""The default decoder: the fastest way that is exact, and slower ones where a file needs them."""

from __future__ import annotations

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
            return PlannedDecoder().decode(request)
        except UnplannableError:
            return SequentialDecoder().decode(request)
        except VideoError as error:
            fallbacks: dict[Status, Decoder] = {
                Status.DECODE_ERROR: SequentialDecoder(),
                Status.NO_VIDEO: DecordDecoder(),
            }
            if error.status not in fallbacks:
                raise
            try:
                return fallbacks[error.status].decode(request)
            except VideoError:
                raise error from None
