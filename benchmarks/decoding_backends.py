"""Backends of the decoding benchmark: this package, decord, PyAV by hand, OpenCV and torchcodec."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import av
import numpy as np
from decoding_videos import SIDE
from numpy.typing import NDArray

Decode = Callable[[str, list[int]], NDArray[np.uint8]]


def ours(threads: int) -> Decode:
    from videollm.video.decoding.decode import decode
    from videollm.video.preprocessing import FrameSize
    from videollm.video.sampling import Sampling

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


def with_pyav(threads: int, seek: bool) -> Decode:
    """As most user code does: seek by the average rate, decode on inside a group of pictures; or decode all."""
    from av.video.reformatter import VideoReformatter

    def run(path: str, indices: list[int]) -> NDArray[np.uint8]:
        with av.open(path) as container:
            stream, scaler = container.streams.video[0], VideoReformatter()
            stream.thread_type, stream.thread_count = ("FRAME", threads) if threads > 1 else ("SLICE", 1)
            picked = _seeking(container, stream, indices) if seek else _counting(container, stream, indices)
            scaled = [scaler.reformat(f, SIDE, SIDE, "rgb24", interpolation="BILINEAR").to_ndarray() for f in picked]
        return np.stack(scaled)

    return run


def _counting(container: Any, stream: Any, indices: list[int]) -> Iterable[av.VideoFrame]:
    wanted, last = set(indices), max(indices)
    for number, frame in enumerate(container.decode(stream)):
        if number in wanted:
            yield frame
        if number >= last:
            return


def _seeking(container: Any, stream: Any, indices: list[int]) -> Iterable[av.VideoFrame]:
    start, step = stream.start_time or 0, 1 / (stream.average_rate * stream.time_base)
    entries = stream.index_entries
    frames: Any = None
    frame, group = None, None
    for index in indices:
        target = start + int(index * step)
        here = entries.search_timestamp(target, backward=True) if len(entries) > 1 else target
        if here != group:
            container.seek(target, stream=stream, backward=True)
            frames, frame, group = container.decode(stream), None, here
        while frame is None or (frame.pts or 0) + step / 2 <= target:
            following = next(frames, None)
            if following is None:
                break
            frame = following
        if frame is not None:
            yield frame


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
BACKENDS: dict[str, dict[str, Callable[[], Decode]]] = {
    "videollm": {"one thread": lambda: ours(1), "all cores": lambda: ours(CORES)},
    "decord": {"one thread": lambda: with_decord(1), "all cores": lambda: with_decord(0)},
    "PyAV": {
        "seek": lambda: with_pyav(1, True),
        "seek, all cores": lambda: with_pyav(CORES, True),
        "sequential, all cores": lambda: with_pyav(CORES, False),
    },
    "OpenCV": {"set": lambda: with_opencv(True), "grab": lambda: with_opencv(False)},
    "torchcodec": {"one thread": lambda: with_torchcodec(1), "all cores": lambda: with_torchcodec(CORES)},
}
