"""Facts of a video without decoding: frames, rate, length, size, codec."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from videollm.io import check_file, local_path
from videollm.types import Clip
from videollm.video.decoding.base import DecodeRequest
from videollm.video.decoding.container import decode_all, open_video
from videollm.video.decoding.index import UnplannableError, read_index, rewind
from videollm.video.decoding.scaler import quarter_turns
from videollm.video.decoding.sequential import count_frames
from videollm.video.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Facts of a video."""

    num_frames: int
    """Frames displayed."""
    fps: float
    """Average frames per second."""
    duration_seconds: float
    """From the first displayed frame to the end of the last."""
    width: int
    """Pixels, after display rotation."""
    height: int
    """Pixels, after display rotation."""
    codec: str
    rotation: int
    """Degrees counterclockwise (0, 90, 180, 270) that were applied to bring it upright."""
    start_seconds: float
    """Presentation time of the first displayed frame in the container's own clock."""


def probe(video: str) -> VideoInfo:
    """Describe a video file, gif, image, folder of images or URL.

    Raises:
        VideoError: the video cannot be read; `status` says why.
    """
    with local_path(video) as path:
        check_file(path)
        from videollm.video.decoding import images

        if images.is_image(path):
            timeline = images.image_timeline(path)
            height, width = images.image_size(path)
            codec, rotation, start = "images", 0, 0.0
        else:
            try:
                with open_video(path) as (container, stream):
                    index = read_index(container, stream, exact_times=False)
                    timeline = index.timeline(stream)
                    start = float(int(index.ticks[0]) * (stream.time_base or 1))
                    codec, rotation, height, width = _picture(container, stream)
            except UnplannableError:
                whole = DecodeRequest(path=path, clip=Clip(video=video), sampling=Sampling(), allow_partial=True)
                timeline, start = count_frames(whole), 0.0
                with open_video(path) as (container, stream):
                    codec, rotation, height, width = _picture(container, stream)
    return VideoInfo(
        num_frames=timeline.num_frames,
        fps=timeline.fps,
        duration_seconds=timeline.duration_seconds,
        width=width,
        height=height,
        codec=codec,
        rotation=rotation,
        start_seconds=start,
    )


def _picture(container: InputContainer, stream: VideoStream) -> tuple[str, int, int, int]:
    """Return (codec, rotation, height, width); the rotation is only known from a decoded frame."""
    turns = 0
    try:
        rewind(container, stream)
        frame = next(decode_all(container, stream), None)
        turns = quarter_turns(frame) if frame is not None else 0
    except av.FFmpegError:
        pass  # decoding reports the damage; what the header says still holds
    height, width = stream.codec_context.height, stream.codec_context.width
    if turns % 2:
        height, width = width, height
    return stream.codec.canonical_name, turns * 90, height, width
