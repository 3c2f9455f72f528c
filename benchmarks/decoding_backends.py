"""Backends of the decoding benchmark: this package, decord, PyAV by hand, OpenCV and torchcodec.

Scaling is a good part of the work on small videos, so backends are compared at one quality: swscale's bilinear or its
bicubic filter, whose supports grow with the ratio. decord and torchcodec scale bilinearly only. OpenCV's area average,
its one filter with such a support, stands in for bilinear.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from decoding_videos import SIDE
from numpy.typing import NDArray

Decode = Callable[[str, list[int]], NDArray[np.uint8]]


def ours(threads: int, filter_: Interpolation) -> Decode:
    from videollm.video.decoding import scaler
    from videollm.video.decoding.decode import decode
    from videollm.video.preprocessing import FrameSize
    from videollm.video.sampling import Sampling

    cast("Any", scaler).INTERPOLATION = filter_  # the product's own is BICUBIC

    def run(path: str, indices: list[int]) -> NDArray[np.uint8]:
        sampling = Sampling(policy="linspace", num_frames=len(indices))
        return decode(path, sampling, size=FrameSize(height=SIDE, width=SIDE), threads=threads).frames

    return run


def with_decord(threads: int) -> Decode:
    import decord

    def run(path: str, indices: list[int]) -> NDArray[np.uint8]:
        reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=threads, width=SIDE, height=SIDE)
        frames: NDArray[np.uint8] = reader.get_batch(indices).asnumpy()
        return frames

    return run


def with_torchcodec(threads: int) -> Decode:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    def run(path: str, indices: list[int]) -> NDArray[np.uint8]:
        options: dict[str, Any] = {"num_ffmpeg_threads": threads, "transforms": [Resize((SIDE, SIDE))]}
        frames: NDArray[np.uint8] = (
            VideoDecoder(path, dimension_order="NHWC", **options).get_frames_at(indices).data.numpy()
        )
        return frames

    return run


def with_pyav(threads: int, filter_: Interpolation, *, seek: bool, skip: bool = False) -> Decode:
    """PyAV by hand: seek by the average rate and decode on inside a group of pictures, or decode all.

    Args:
        threads: 1, or frame threads.
        filter_: of the scaler.
        seek: whether to seek.
        skip: drop pictures that nothing refers to, unless the average rate has one of those wanted there.
    """

    def run(path: str, indices: list[int]) -> NDArray[np.uint8]:
        with av.open(path) as container:
            stream, scaler = container.streams.video[0], VideoReformatter()
            stream.thread_type, stream.thread_count = ("FRAME", threads) if threads > 1 else ("SLICE", 1)
            picked = (_seeking if seek else _counting)(container, stream, indices, skip)
            scaled = [scaler.reformat(f, SIDE, SIDE, "rgb24", interpolation=filter_).to_ndarray() for f in picked]
        return np.stack(scaled)

    return run


def _counting(container: Any, stream: Any, indices: list[int], skip: bool) -> Iterable[av.VideoFrame]:
    wanted = _ticks(stream, indices) if skip else indices
    left, last = set(wanted), wanted[-1]
    for number, frame in enumerate(_frames(container, stream, left, skip)):
        here = frame.pts if skip else number
        if here in left:
            left.discard(here)
            yield frame
        if here >= last:
            return


def _seeking(container: Any, stream: Any, indices: list[int], skip: bool) -> Iterable[av.VideoFrame]:
    targets = _ticks(stream, indices)
    half = (targets[-1] - targets[0]) / max(1, indices[-1] - indices[0]) / 2
    wanted, entries = set(targets), stream.index_entries
    frames: Any = None
    frame, group = None, None
    for target in targets:
        here = entries.search_timestamp(target, backward=True) if len(entries) > 1 else target
        if here != group:
            container.seek(target, stream=stream, backward=True)
            frames, frame, group = _frames(container, stream, wanted, skip), None, here
        while frame is None or (frame.pts or 0) + half <= target:
            following = next(frames, None)
            if following is None:
                break
            frame = following
        if frame is not None:
            yield frame


def _ticks(stream: Any, indices: list[int]) -> list[int]:
    start, step = stream.start_time or 0, 1 / (stream.average_rate * stream.time_base)
    return [start + int(index * step) for index in indices]


def _frames(container: Any, stream: Any, wanted: set[int], skip: bool) -> Iterable[av.VideoFrame]:
    if not skip:
        yield from container.decode(stream)
        return
    for packet in container.demux(stream):
        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        yield from packet.decode()


def with_opencv(seek: bool) -> Decode:
    import cv2

    def run(path: str, indices: list[int]) -> NDArray[np.uint8]:
        capture, found = cv2.VideoCapture(path, cv2.CAP_FFMPEG), []
        wanted = set(indices)
        for index in indices if seek else range(max(indices) + 1):
            if seek:
                capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            if capture.grab() and index in wanted:
                image = cv2.resize(capture.retrieve()[1], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                found.append(image[..., ::-1])
        capture.release()
        return np.stack(found)

    return run


CORES = os.cpu_count() or 1
QUALITIES: dict[str, Interpolation] = {
    "bilinear": Interpolation.BILINEAR,
    "bicubic": Interpolation.BICUBIC | Interpolation.ACCURATE_RND,  # the product's
}
BACKENDS: dict[str, dict[str, Callable[[Interpolation], Decode]]] = {
    "videollm": {"one thread": lambda f: ours(1, f), "all cores": lambda f: ours(CORES, f)},
    "PyAV": {
        "seek": lambda f: with_pyav(1, f, seek=True),
        "seek, skip": lambda f: with_pyav(1, f, seek=True, skip=True),
        "seek, all cores": lambda f: with_pyav(CORES, f, seek=True),
        "seek, skip, all cores": lambda f: with_pyav(CORES, f, seek=True, skip=True),
        "count, skip": lambda f: with_pyav(1, f, seek=False, skip=True),
        "count, all cores": lambda f: with_pyav(CORES, f, seek=False),
        "count, skip, all cores": lambda f: with_pyav(CORES, f, seek=False, skip=True),
    },
    "decord": {"one thread": lambda _: with_decord(1), "all cores": lambda _: with_decord(0)},
    "torchcodec": {"one thread": lambda _: with_torchcodec(1), "all cores": lambda _: with_torchcodec(CORES)},
    "OpenCV": {"set": lambda _: with_opencv(True), "grab": lambda _: with_opencv(False)},
}
BILINEAR_ONLY = frozenset({"decord", "torchcodec", "OpenCV"})
COUNTING = frozenset({"count, skip", "count, all cores", "count, skip, all cores", "grab"})
"""Variants that decode all: hopeless, and left out, where fewer than one frame in 300 is wanted."""
