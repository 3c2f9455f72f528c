"""When the frames of a file are shown, and where its keyframes are: what a splitter needs, without decoding."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videollm.io import check_file, local_path
from videollm.types import Clip
from videollm.video.decoding.base import DecodeRequest
from videollm.video.decoding.container import open_video
from videollm.video.decoding.index import Index, UnplannableError, read_index
from videollm.video.decoding.run import RunDecoder
from videollm.video.decoding.sequential import count_frames
from videollm.video.sampling import Sampling, Timeline


@dataclass(frozen=True, kw_only=True)
class FileTimeline:
    """Times of a video, in seconds from its first frame."""

    seconds: NDArray[np.float64]
    """(t,) ascending times at which the frames are shown; the first is 0."""
    key_seconds: NDArray[np.float64]
    """(k,) ascending times of the keyframes; empty where the container does not tell them, and of images."""
    duration_seconds: float
    """End of the last frame. Sound may be longer."""
    fps: float
    """Average frames per second."""


def read_timeline(clip: Clip | str) -> FileTimeline:
    """Read when the frames of a whole video are shown.

    An mp4 or mov tells it in its header, other files are demuxed once. These are the times by which `decode_windows`
    finds the frames of a window. A file that does not say which frame is where (AVI with B-frames, raw streams) must be
    decoded, and so must all of it.

    Args:
        clip: a video file, gif, image, folder of images or URL; a range in it is not looked at.
    Raises:
        VideoError: the video cannot be read; `status` says why.
    """
    clip = clip if isinstance(clip, Clip) else Clip(video=clip)
    none = np.zeros(0)
    with local_path(clip.video) as path:
        check_file(path)
        from videollm.video.decoding import images  # Pillow is loaded by those who need it

        if images.is_image(path):
            return _made(images.image_timeline(path, clip.fps), none)
        try:
            with open_video(path) as (container, stream):
                index = read_index(container, stream, exact_times=True)
                return _made(index.timeline(stream), _key_seconds(container, stream, index))
        except UnplannableError:
            whole = DecodeRequest(path=path, clip=clip, sampling=Sampling(), allow_partial=True)
            return _made(count_frames(whole), none)


def _made(timeline: Timeline, key_seconds: NDArray[np.float64]) -> FileTimeline:
    seconds = np.arange(timeline.num_frames) / timeline.fps if timeline.seconds is None else timeline.seconds
    return FileTimeline(
        seconds=seconds, key_seconds=key_seconds, duration_seconds=timeline.duration_seconds, fps=timeline.fps
    )


def _key_seconds(container: InputContainer, stream: VideoStream, index: Index) -> NDArray[np.float64]:
    """Find the times of the keyframes.

    A header counts the frames before a keyframe in the file, of which leading pictures are shown before it but come
    after it. Three keyframes are read up to the last of those; where they have none, no other is read.
    """
    ticks = index.key_ticks
    if not index.exact_ticks:
        decoder, count = RunDecoder(container, stream, index), len(index.bases)
        try:
            some = {k: decoder.count_leading(k) for k in {min(1, count - 1), count // 2, count - 1} if k}
            leading = [decoder.count_leading(k) if k else 0 for k in range(count)] if any(some.values()) else 0
        except av.FFmpegError:
            leading = 0  # decoding tells of the damage
        ticks = index.ticks[np.minimum(index.bases + leading, index.num_frames - 1)]
    assert stream.time_base is not None
    # an edit list may hide the first keyframe, before the first frame on screen, and those after the last one
    on_screen = np.unique(np.maximum(ticks[ticks <= index.ticks[-1]], index.ticks[0]))
    key_seconds: NDArray[np.float64] = (on_screen - index.ticks[0]) * float(stream.time_base)
    return key_seconds
