"""Small pictures of all frames of a file, one pass: what finders of shots look at.

SHAPES  h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videollm.io import check_file, local_path
from videollm.video.decoding.container import demux, open_video, set_threads
from videollm.video.decoding.index import UnplannableError, read_index, rewind
from videollm.video.decoding.scaler import Scaler
from videollm.video.preprocessing import FrameSize


class Thumbnails:
    """An iterator over (seconds, (h w c) uint8) of all healthy frames of a file, in display order."""

    def __init__(self, video: str, size: tuple[int, int]) -> None:
        self.num_damaged = 0
        """Frames left out so far, because they or their packets are damaged."""
        self._pictures = self._decode(video, FrameSize(height=size[0], width=size[1]))

    def __iter__(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        return self

    def __next__(self) -> tuple[float, NDArray[np.uint8]]:
        return next(self._pictures)

    def close(self) -> None:
        """Close the file, before its end."""
        self._pictures.close()

    def _decode(self, video: str, size: FrameSize) -> Generator[tuple[float, NDArray[np.uint8]], None, None]:
        with local_path(video) as path:
            check_file(path)
            with open_video(path) as (container, stream):
                set_threads(stream, 1)
                first, rate, count = self._clock(container, stream)
                scaler = Scaler(size, stream.codec_context.height, stream.codec_context.width)
                shown, broken = 0, False
                for number, frame in enumerate(self._frames(container, stream)):
                    if frame is None or frame.is_corrupt:
                        broken = True  # frames up to the next keyframe may refer to this one
                    elif frame.key_frame:
                        broken = False
                    if frame is None or broken:
                        self.num_damaged += 1
                        continue
                    picture = np.empty((size.height, size.width, 3), np.uint8)
                    scaler.write(frame, picture)
                    shown += 1
                    yield (number if first is None or frame.pts is None else frame.pts - first) * rate, picture
                self.num_damaged = max(self.num_damaged, count - shown)  # some are lost without a word

    def _clock(self, container: InputContainer, stream: VideoStream) -> tuple[int | None, float, int]:
        """Return tick of the first frame (None if frames must be counted), seconds of a tick, number of frames or 0."""
        try:
            index = read_index(container, stream, exact_times=False)
            found: tuple[int | None, float, int] = (int(index.ticks[0]), float(stream.time_base or 0), index.num_frames)
        except UnplannableError:
            found = None, 1 / float(stream.average_rate or stream.guessed_rate or 25), 0
        rewind(container, stream)
        return found

    def _frames(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame | None]:
        """Yield the frames in display order, and None for a packet that cannot be decoded."""
        try:
            for packet in demux(container, stream):
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    yield None
        except av.FFmpegError:  # reading ended early: what was not read is counted at the end
            return


def thumbnails(video: str, size: tuple[int, int] = (36, 64)) -> Thumbnails:
    """Decode all frames of a file in one pass, by one thread, and scale them down where they are decoded.

    Nothing is held but what the decoder holds. A damaged frame is left out and counted, and so are those after it up to
    the next keyframe.

    Args:
        video: a video file or URL.
        size: (h, w) of the pictures, whatever the ratio of the frames.
    Returns:
        An iterator over (seconds from the first frame, (h w c) picture), whose `num_damaged` counts what is left out.
    Raises:
        VideoError: while iterating: the video cannot be opened.
    """
    return Thumbnails(video, size)
