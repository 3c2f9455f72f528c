"""Many parts of one file by its index, in one pass: what all of them want is decoded once.

The frames wanted of all parts are merged and grouped by keyframe. Runs go through the file in order, and a part leaves
as soon as its last frame is known to be healthy, also in the middle of a run: a file with one keyframe is one run. A
part that misses a frame after all is decoded by itself, by the same index, so that it gets what it gets alone; a part
whose frames' times contradict the header's prediction waits for a second pass, by an index of all packets.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace

from av.container import InputContainer
from av.video.stream import VideoStream

from videollm.errors import VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.base import DecodeRequest
from videollm.video.decoding.container import open_video, set_threads
from videollm.video.decoding.gathering import Gathering, Window
from videollm.video.decoding.index import Index, demux_index, read_index
from videollm.video.decoding.indexed import (
    ONE_THREAD,
    WrongPredictionError,
    decode_indexed,
    incomplete_index,
    is_contradicted,
    plan_runs,
)
from videollm.video.decoding.run import Run, RunDecoder

Numbered = tuple[int, FrameBatch | VideoError]
"""Number and result of a part."""


def decode_windows(requests: Mapping[int, DecodeRequest]) -> Iterator[Numbered]:
    """Decode many parts of one file, as `Decoder.decode_windows` says.

    Raises:
        VideoError: the file cannot be opened or indexed; an UnplannableError as for `read_index`.
    """
    if not requests:
        return
    first = next(iter(requests.values()))
    by_time = any(request.needs_times for request in requests.values())
    with open_video(first.path) as (container, stream):
        index = read_index(container, stream, exact_times=by_time)
        wrong = yield from _Pass(container, stream, index, check_times=by_time).decode(requests)
    if wrong:
        with open_video(first.path) as (container, stream):
            index = demux_index(container, stream)
            yield from _Pass(container, stream, index, check_times=False).decode(wrong)


class _Pass:
    """One pass through a file.

    Args:
        container: freshly indexed.
        stream: its video stream.
        index: of its frames.
        check_times: whether a part whose times contradict the index must wait.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, index: Index, *, check_times: bool) -> None:
        self._container, self._stream, self._index, self._check_times = container, stream, index, check_times
        self._first = int(index.ticks[0])
        self._scale = float(stream.time_base or 0)
        self._wrong: dict[int, DecodeRequest] = {}

    def decode(self, requests: Mapping[int, DecodeRequest]) -> Generator[Numbered, None, dict[int, DecodeRequest]]:
        """Decode parts; returns those whose times contradict the index."""
        timeline = self._index.timeline(self._stream)
        windows: list[Window] = []
        threads = 1
        for number, request in requests.items():
            threads = request.threads
            if self._index.damage and not request.allow_partial:
                yield number, incomplete_index(request, self._index)
                continue
            try:
                windows.append(Window(number, request, timeline))
            except VideoError as error:
                yield number, error
        context = self._stream.codec_context
        gathering = Gathering(windows, context.height, context.width)
        decoder = RunDecoder(self._container, self._stream, self._index)
        del windows  # each goes with its frames when it leaves
        runs = plan_runs(decoder, self._index, gathering.indices)
        set_threads(self._stream, 1 if context.name in ONE_THREAD else threads)
        for run in runs:
            yield from self._decode_run(decoder, run, gathering)
        return self._wrong

    def _decode_run(self, decoder: RunDecoder, run: Run, gathering: Gathering) -> Iterator[Numbered]:
        wanted = tuple(i for i in run.indices if gathering.waiting(i))
        if not wanted:
            return
        steps = decoder.steps(replace(run, indices=wanted), gathering.put)
        while True:
            try:
                settled = next(steps)
            except StopIteration as end:
                result = end.value
                break
            for window in gathering.settle(settled):
                yield from self._finish(window)
        for window in gathering.settle(i for i in wanted if i in result.decoded):
            yield from self._finish(window)
        if result.leading:  # they hang on the keyframe before
            yield from self._decode_run(decoder, Run(run.keyframe - 1, result.leading), gathering)
        lost = tuple(i for i in wanted if i not in result.decoded and i not in result.leading)
        if lost and run.skip:  # some keyframes only become right some frames later
            yield from self._decode_run(decoder, Run(max(0, run.keyframe - 1), lost, skip=False), gathering)
        for window in {w.number: w for i in lost for w in gathering.waiting(i)}.values():
            gathering.remove(window)
            yield from self._decode_alone(window)

    def _finish(self, window: Window) -> Iterator[Numbered]:
        """Hand out a part that is complete, unless its times show that the index is wrong."""
        ticks = {i: tick for i, tick in window.ticks.items() if tick is not None}
        if self._check_times and is_contradicted(self._index, ticks):
            self._wrong[window.number] = window.request
        else:
            yield window.number, window.batch({i: (tick - self._first) * self._scale for i, tick in ticks.items()})

    def _decode_alone(self, window: Window) -> Iterator[Numbered]:
        request = replace(window.request, threads=1)
        try:
            with open_video(request.path) as (container, stream):
                result: FrameBatch | VideoError = decode_indexed(
                    request, container, stream, self._index, check_times=self._check_times
                )
        except WrongPredictionError:
            self._wrong[window.number] = window.request
            return
        except VideoError as error:
            result = error
        yield window.number, result
