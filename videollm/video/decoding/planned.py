"""The default backend: plan from the index, decode only what the wanted frames need.

Frames are grouped by the keyframe they hang on; each group is one run (`run.py`), and runs go to independent
one-thread decoders, which beats frame threads. A run whose frames do not come out healthy is tried once more from the
keyframe before, without skipping: some encoders mark pictures as keyframes that only become right some frames later.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Final

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videollm.errors import VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.backend import Job, collect
from videollm.video.decoding.container import open_video, set_threads
from videollm.video.decoding.index import Index, demux_index, read_index
from videollm.video.decoding.run import Decoder, Run
from videollm.video.preprocessing.scale import Scaler, quarter_turns, target_size
from videollm.video.sampling import sample

LEADING_WINDOW: Final = 16
"""Frames after a keyframe that may be leading pictures (displayed before it)."""


class WrongPredictionError(Exception):
    """A decoded frame's time is not the one predicted from the header."""


def decode_planned(job: Job) -> FrameBatch:
    """Decode exactly the frames asked for.

    Raises:
        VideoError: as `decode.decode`; an UnplannableError where the container does not say which frame is where.
    """
    exact_times = job.sampling.needs_times(job.clip.start, job.clip.end)
    try:
        with open_video(job.path) as (container, stream):
            index = read_index(container, stream, exact_times=exact_times)
            return _decode_indexed(job, container, stream, index, check_times=exact_times)
    except WrongPredictionError:
        with open_video(job.path) as (container, stream):
            return _decode_indexed(job, container, stream, demux_index(container, stream), check_times=False)


def _decode_indexed(
    job: Job, container: InputContainer, stream: VideoStream, index: Index, *, check_times: bool
) -> FrameBatch:
    if index.damage and not job.allow_partial:
        raise VideoError(
            "decode_error", f"{job.clip.video}: {index.damage}; allow partial results (--allow-partial) to keep those."
        )
    asked = sample(job.sampling, index.timeline(stream), job.clip.start, job.clip.end, cut_end=job.clip.cut_end)
    picked = _Picked(job, stream, sorted(set(asked.indices)))
    runs = _plan(Decoder(container, stream, index), index, picked.distinct)
    num_workers = min(job.threads, len(runs))
    frame_threads = job.threads // num_workers
    queue = deque(sorted(runs, key=lambda run: index.keyframes[run.keyframe].base - run.indices[-1]))  # longest first

    def work(container: InputContainer, stream: VideoStream) -> None:
        set_threads(stream, frame_threads)
        decoder, scaler = Decoder(container, stream, index), Scaler(job.size)
        while queue:
            try:
                run = queue.popleft()
            except IndexError:  # another worker was faster
                return
            queue.extend(picked.decode(decoder, scaler, run))

    def work_apart() -> None:
        with open_video(job.path) as opened:
            work(*opened)

    with ThreadPoolExecutor(max(1, num_workers - 1)) as pool:  # starts no thread before it is given work
        others = [pool.submit(work_apart) for _ in range(num_workers - 1)]
        work(container, stream)
        for other in others:
            other.result()
    if check_times and not index.exact_ticks:
        predicted = {i: int(index.ticks[i]) for i in picked.ticks}
        if any(abs(predicted[i] - time) > 1 for i, time in picked.ticks.items()):
            raise WrongPredictionError
    assert stream.time_base is not None
    scale, first = float(stream.time_base), int(index.ticks[0])
    seconds = {i: (time - first) * scale for i, time in picked.ticks.items()}
    return collect(job, asked, picked.frames, seconds, picked.damage or index.damage)


def _plan(decoder: Decoder, index: Index, distinct: list[int]) -> list[Run]:
    """Group indices by keyframe.

    A header does not tell which frames are leading pictures, so the frames just after a keyframe may hang on the one
    before: three groups are looked at, and a run hands back what was guessed wrong.
    """
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


class _Picked:
    """Frames of a job as they arrive, from any thread; every index has a row of its own."""

    def __init__(self, job: Job, stream: VideoStream, distinct: list[int]) -> None:
        self.distinct = distinct
        self.ticks: dict[int, int] = {}
        self.damage: str | None = None
        self._job = job
        self._rows = {i: row for row, i in enumerate(distinct)}
        self._coded = (stream.codec_context.height, stream.codec_context.width)
        self._frames: NDArray[np.uint8] | None = None
        self._lock = Lock()

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(u h w c), in the order of `distinct`; rows of missing frames are undefined."""
        return np.empty((len(self.distinct), 0, 0, 3), np.uint8) if self._frames is None else self._frames

    def decode(self, decoder: Decoder, scaler: Scaler, run: Run) -> list[Run]:
        """Decode a run into the rows; returns what to try again from the keyframe before."""
        times: dict[int, int] = {}

        def put(index: int, frame: VideoFrame) -> None:
            scaler.write(frame, self._array(frame)[self._rows[index]])
            assert frame.pts is not None
            times[index] = frame.pts

        outcome = decoder.decode(run, put)
        self.ticks.update((i, times[i]) for i in outcome.decoded)
        lost = tuple(i for i in run.indices if i not in outcome.decoded and i not in outcome.leading)
        retry = [Run(run.keyframe - 1, outcome.leading)] if outcome.leading else []
        if lost and run.skip:
            retry.append(Run(max(0, run.keyframe - 1), lost, skip=False))
        elif lost:
            self.damage = outcome.damage
        return retry

    def _array(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The rows, made when the first frame tells the rotation."""
        with self._lock:
            if self._frames is None:
                height, width = self._coded if quarter_turns(frame) % 2 == 0 else self._coded[::-1]
                height, width = target_size(self._job.size, height, width)
                self._frames = np.empty((len(self.distinct), height, width, 3), np.uint8)
            return self._frames
