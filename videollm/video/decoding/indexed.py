"""Frames of a video by its index: decode only what the wanted frames need.

1. The frames wanted are grouped by keyframe; each group is one run (`run.py`).
2. Runs go to independent one-thread decoders, which beats frame threads.
3. A run hands back the frames that it could not decode: those that hang on the keyframe before, and those that did not
   come out healthy, which are tried once more from the keyframe before without skipping (some encoders mark pictures
   as keyframes that only become right some frames later).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Final

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videollm.errors import Status, VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.base import DecodeRequest, choose, lay_out
from videollm.video.decoding.container import open_video, set_threads
from videollm.video.decoding.index import Index
from videollm.video.decoding.run import Run, RunDecoder
from videollm.video.decoding.scaler import Scaler

LEADING_WINDOW: Final = 16
"""Frames after a keyframe that may be leading pictures (displayed before it)."""
ONE_THREAD: Final = frozenset({"ffv1", "mjpeg"})
"""Codecs whose decoders fill what is damaged from the picture before in their memory, and do not tell."""


class WrongPredictionError(Exception):
    """A decoded frame's time is not the one predicted from the header."""


def decode_indexed(
    request: DecodeRequest, container: InputContainer, stream: VideoStream, index: Index, *, check_times: bool
) -> FrameBatch:
    """Decode a request by an index of its video.

    Raises:
        VideoError: as `decode.decode`.
        WrongPredictionError: `check_times` is set, and a frame's time is not the one that the index predicts.
    """
    if index.damage and not request.allow_partial:
        raise incomplete_index(request, index)
    # The sampling chooses among all frames of the index; frames that it repeats are decoded once.
    asked, request = choose(request, index.timeline(stream))
    distinct = sorted(set(asked.indices))
    runs = plan_runs(RunDecoder(container, stream, index), index, distinct)
    found = _FoundFrames(distinct)
    _decode_runs(request, container, stream, index, runs, found)
    # Ticks predicted from the header may be off by one for rounding. Anything else may have chosen wrong frames.
    if check_times and is_contradicted(index, found.ticks):
        raise WrongPredictionError
    assert stream.time_base is not None
    scale, first = float(stream.time_base), int(index.ticks[0])
    seconds = {i: (tick - first) * scale for i, tick in found.ticks.items()}
    return lay_out(request, asked, found.frames, seconds, found.damage or index.damage)


def incomplete_index(request: DecodeRequest, index: Index) -> VideoError:
    """Return the error of a request that does not allow an index which ends early."""
    return VideoError(
        Status.DECODE_ERROR,
        f"{request.clip.video}: {index.damage}; allow partial results (--allow-partial) to keep those.",
    )


def is_contradicted(index: Index, ticks: Mapping[int, int]) -> bool:
    """Tell whether ticks of decoded frames, by index, are not those that the index predicts."""
    return not index.exact_ticks and any(abs(int(index.ticks[i]) - tick) > 1 for i, tick in ticks.items())


def plan_runs(decoder: RunDecoder, index: Index, distinct: list[int]) -> list[Run]:
    """Group indices by keyframe.

    A header does not tell which frames are leading pictures, so the frames just after a keyframe may hang on the one
    before: three groups are looked at, and a run hands back what was guessed wrong.
    """
    # Of the wanted frames near a keyframe, three groups (first, middle, last) are read to count their leading
    # pictures. Encoders mostly use one structure throughout, so the largest count serves for all.
    keys = [index.keyframe_of(i) for i in distinct]
    leading = 0
    if not index.exact_ticks:
        near = [k for i, k in zip(distinct, keys, strict=True) if k > 0 and i - index.bases[k] < LEADING_WINDOW]
        if near:
            leading = max(decoder.count_leading(k) for k in {near[0], near[len(near) // 2], near[-1]})
    groups: dict[int, list[int]] = {}
    for i, key in zip(distinct, keys, strict=True):
        start = key - 1 if key > 0 and i - index.bases[key] < leading else key
        groups.setdefault(start, []).append(i)
    return [Run(key, tuple(indices)) for key, indices in groups.items()]


def _decode_runs(
    request: DecodeRequest,
    container: InputContainer,
    stream: VideoStream,
    index: Index,
    runs: list[Run],
    found: _FoundFrames,
) -> None:
    """Decode runs, longest first, in this thread and in as many others as the request allows."""
    # Threads decode runs apart; where there are fewer runs than threads, each decoder gets several frame threads.
    # The longest runs start first, so that no thread is left with a long one at the end.
    threads = 1 if stream.codec_context.name in ONE_THREAD else request.threads
    num_workers = min(threads, len(runs))
    frame_threads = threads // num_workers
    queue = deque(sorted(runs, key=lambda run: int(index.bases[run.keyframe]) - run.indices[-1]))

    def work(container: InputContainer, stream: VideoStream) -> None:
        set_threads(stream, frame_threads)
        decoder = RunDecoder(container, stream, index)
        scaler = Scaler(request.size, stream.codec_context.height, stream.codec_context.width)
        while queue:
            try:
                run = queue.popleft()
            except IndexError:  # another worker was faster
                return
            queue.extend(found.decode(decoder, scaler, run))

    def work_apart() -> None:
        with open_video(request.path) as opened:
            work(*opened)

    with ThreadPoolExecutor(max(1, num_workers - 1)) as pool:  # starts no thread before it is given work
        others = [pool.submit(work_apart) for _ in range(num_workers - 1)]
        work(container, stream)
        for other in others:
            other.result()


class _FoundFrames:
    """Wanted frames as they arrive, from any thread; every index has a row of its own."""

    def __init__(self, distinct: list[int]) -> None:
        self.ticks: dict[int, int] = {}
        """Tick of every healthy frame, by index."""
        self.damage: str | None = None
        self._rows = {i: row for row, i in enumerate(distinct)}
        self._frames: NDArray[np.uint8] | None = None
        self._lock = Lock()

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(u h w c), by ascending index; rows of missing frames are undefined."""
        return np.empty((len(self._rows), 0, 0, 3), np.uint8) if self._frames is None else self._frames

    def decode(self, decoder: RunDecoder, scaler: Scaler, run: Run) -> list[Run]:
        """Decode a run into the rows, and return the runs to try again from the keyframe before."""
        ticks: dict[int, int] = {}

        def put(index: int, frame: VideoFrame) -> None:
            scaler.write(frame, self._array(scaler, frame)[self._rows[index]])
            assert frame.pts is not None
            ticks[index] = frame.pts

        # Leading pictures are decoded from the keyframe before. Lost ones are tried once more from there without
        # skipping; only what is lost in that second run is damage of the file.
        result = decoder.decode(run, put)
        self.ticks.update((i, ticks[i]) for i in result.decoded)
        lost = tuple(i for i in run.indices if i not in result.decoded and i not in result.leading)
        retry = [Run(run.keyframe - 1, result.leading)] if result.leading else []
        if lost and run.skip:
            retry.append(Run(max(0, run.keyframe - 1), lost, skip=False))
        elif lost:
            self.damage = result.damage
        return retry

    def _array(self, scaler: Scaler, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the rows, allocated once the first frame tells the rotation."""
        with self._lock:
            if self._frames is None:
                self._frames = np.empty((len(self._rows), *scaler.target(frame), 3), np.uint8)
            return self._frames
