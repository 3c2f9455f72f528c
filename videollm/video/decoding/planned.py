"""The planned decoder: plan from the index, decode only what the wanted frames need.

1. The index says where the frames are: how many, at which times, and on which keyframes they hang (`index.py`).
2. The frames wanted are decoded by it, keyframe by keyframe (`indexed.py`); of many parts of a file in one pass
   (`planned_windows.py`).
3. Where times decide and the header only predicted them, the times of the decoded frames are compared with the
   prediction; a wrong one means that the file is demuxed and decoded again.
4. Where several threads miss a frame, one thread has the last word: several find more of a damaged file broken than
   one, and not the same every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from videollm.errors import Status, VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.base import Decoder, DecodeRequest
from videollm.video.decoding.container import open_video
from videollm.video.decoding.index import UnplannableError, demux_index, read_index
from videollm.video.decoding.indexed import WrongPredictionError, decode_indexed
from videollm.video.decoding.planned_windows import decode_windows


class PlannedDecoder(Decoder):
    """Decodes what the wanted frames need, as the container's index says."""

    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode exactly the frames asked for.

        Raises:
            VideoError: as `decode.decode`; an UnplannableError where the container does not say which frame is where.
        """
        try:
            batch = _decode(request)
            if request.threads == 1 or not batch.missing:
                return batch
        except UnplannableError:
            raise
        except VideoError as error:
            if request.threads == 1 or error.status != Status.DECODE_ERROR:
                raise
        return _decode(replace(request, threads=1))

    def decode_windows(self, requests: Mapping[int, DecodeRequest]) -> Iterator[tuple[int, FrameBatch | VideoError]]:
        """Decode many parts of one file in one pass, each as `decode` does; errors as there."""
        yield from decode_windows(requests)


def _decode(request: DecodeRequest) -> FrameBatch:
    """Decode as the header says; where it turns out to be wrong, as the packets say."""
    try:
        with open_video(request.path) as (container, stream):
            index = read_index(container, stream, exact_times=request.needs_times)
            return decode_indexed(request, container, stream, index, check_times=request.needs_times)
    except WrongPredictionError:
        with open_video(request.path) as (container, stream):
            return decode_indexed(request, container, stream, demux_index(container, stream), check_times=False)
