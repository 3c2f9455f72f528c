"""Decoding one run: seek to a keyframe, feed packets up to the last frame wanted, keep only frames wanted.

UNITS  a tick is a presentation time in the stream's time base; an index is a display index.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.video.decoding.container import demux, reason, tick
from videollm.video.decoding.index import Index, rewind

SKIPPABLE: Final = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})
"""Codecs whose decoders drop a picture that no other refers to before doing any work on it."""


@dataclass(frozen=True)
class Run:
    """Frames that hang on one keyframe."""

    keyframe: int
    indices: tuple[int, ...]
    skip: bool = True
    """Whether pictures that nothing refers to may be skipped."""


@dataclass
class Outcome:
    """What came of a run."""

    decoded: set[int] = field(default_factory=set)
    leading: tuple[int, ...] = ()
    """Frames that need the keyframe before."""
    damage: str | None = None


class Decoder:
    """Runs over one open video; belongs to one thread."""

    def __init__(self, container: InputContainer, stream: VideoStream, index: Index) -> None:
        self._container, self._stream, self._index = container, stream, index
        self._context = stream.codec_context
        self._delay = self._context.thread_count if self._context.thread_count > 1 else 0

    def decode(self, run: Run, put: Callable[[int, VideoFrame], None]) -> Outcome:
        """Decode a run and give every frame wanted to `put`, in display order.

        A frame that was decoded after damage in the same run is withheld from `Outcome.decoded`: it may refer to what
        was lost, though `put` has seen it.
        """
        outcome = Outcome()
        watch = _Watch(self._delay)
        wanted: dict[int, int] = {}  # tick -> index of the frames wanted that are in the decoder
        numbers: dict[int, int] = {}  # index -> packet number
        leading: list[int] = []
        skip = run.skip and self._context.name in SKIPPABLE

        def feed(packet: Packet[VideoStream] | None) -> None:
            try:
                frames = self._context.decode(packet)
            except av.FFmpegError as error:
                watch.error(reason(error))
                return
            for frame in frames:
                watch.frame(frame)
                index = wanted.pop(frame.pts, None) if frame.pts is not None else None
                if index is not None:
                    put(index, frame)
                    outcome.decoded.add(index)

        self._context.flush_buffers()
        remaining = len(run.indices)
        key_tick: int | None = None
        opening = run.keyframe > 0  # leading pictures come before any other that follows the keyframe
        try:
            for packet, time, index in self._labelled(run):
                key_tick = time if key_tick is None else key_tick
                opening = opening and time <= key_tick
                if opening and time < key_tick:  # a leading picture: its references come before the keyframe
                    if index is not None:
                        leading.append(index)
                        remaining -= 1
                else:
                    watch.packet(time)
                    if index is not None:
                        wanted[time] = index
                        numbers[index] = watch.number
                        remaining -= 1
                    if skip:
                        self._context.skip_frame = "NONREF" if index is None else "DEFAULT"
                    feed(packet)
                if not remaining:
                    break
        except av.FFmpegError as error:
            outcome.damage = f"reading stopped ({reason(error)})"
        if wanted:
            feed(None)
        self._context.skip_frame = "DEFAULT"
        if watch.broken_from is not None:
            outcome.decoded = {i for i in outcome.decoded if numbers[i] < watch.broken_from}
            outcome.damage = outcome.damage or watch.message
        if remaining and outcome.damage is None:
            outcome.damage = "the file ends before its last frames"
        outcome.leading = tuple(leading)
        return outcome

    def count_leading(self, keyframe: int) -> int:
        """Pictures shown before a keyframe though they follow it in the file."""
        ticks: list[int] = []
        for packet in self._packets(keyframe):
            time = tick(packet)
            if time is not None:
                ticks.append(time)
            # decoding times never go back: once they pass the keyframe, nothing later is shown before it
            if len(ticks) > 32 or (packet.dts is not None and packet.dts >= ticks[0]):
                break
        return sum(time < ticks[0] for time in ticks)

    def _labelled(self, run: Run) -> Iterator[tuple[Packet[VideoStream], int, int | None]]:
        """Packets from the run's keyframe on, in file order, with tick and index (None: not wanted)."""
        packets = self._packets(run.keyframe)
        if self._index.exact_ticks:
            indices = {int(self._index.ticks[i]): i for i in run.indices}
            for packet in packets:
                time = tick(packet)
                if time is not None:
                    yield packet, time, indices.get(time) if not packet.is_discard else None
        else:
            yield from self._counted(packets, set(run.indices), self._index.keyframes[run.keyframe].base)

    def _counted(
        self, packets: Iterator[Packet[VideoStream]], wanted: set[int], rank: int
    ) -> Iterator[tuple[Packet[VideoStream], int, int | None]]:
        """Label packets by rank of their ticks: a rank is final once a packet with a later decoding time is seen."""
        held: deque[tuple[Packet[VideoStream], int]] = deque()
        unranked: list[int] = []
        indices: dict[int, int] = {}
        ranked_up_to = -(1 << 62)

        def release(limit: int) -> Iterator[tuple[Packet[VideoStream], int, int | None]]:
            nonlocal rank, ranked_up_to
            while unranked and unranked[0] < limit:
                ranked_up_to = heapq.heappop(unranked)
                if rank in wanted:
                    indices[ranked_up_to] = rank
                rank += 1
            while held and (held[0][1] <= ranked_up_to or limit == _END):
                packet, time = held.popleft()
                yield packet, time, indices.pop(time, None)

        for packet in packets:
            time = tick(packet)
            if time is None:
                continue
            held.append((packet, time))
            if not packet.is_discard:
                heapq.heappush(unranked, time)
            yield from release(packet.dts if packet.dts is not None else -_END)
        yield from release(_END)

    def _packets(self, keyframe: int) -> Iterator[Packet[VideoStream]]:
        """Packets with data, from exactly this keyframe on; damage in a container shows as an early end."""
        key = self._index.keyframes[keyframe]
        time_base = self._stream.time_base
        assert time_base is not None
        for back_seconds in (0, 2, 20, None):  # containers without an index land near, often after
            if back_seconds is None or keyframe == 0:
                rewind(self._container, self._stream)
            else:
                before = key.seek_tick - int(back_seconds / time_base)
                self._container.seek(before, stream=self._stream, backward=True)
            packets = demux(self._container, self._stream)
            for packet in packets:
                if not packet.size:
                    break
                if packet.is_keyframe and (
                    tick(packet) == key.seek_tick if key.position is None else packet.pos == key.position
                ):
                    yield packet
                    yield from (p for p in packets if p.size)
                    return
                if keyframe > 0 and packet.dts is not None and packet.dts > key.seek_tick:
                    break
            if keyframe == 0:
                return


_END: Final = 1 << 62


class _Watch:
    """Numbers packets and remembers the first one that was damaged."""

    def __init__(self, delay: int) -> None:
        self.number = 0
        self.broken_from: int | None = None
        self.message: str | None = None
        self._delay = delay  # frame threads report damage this many packets late
        self._numbers: dict[int, int] = {}

    def packet(self, time: int) -> None:
        self.number += 1
        self._numbers[time] = self.number

    def frame(self, frame: VideoFrame) -> None:
        number = self._numbers.pop(frame.pts, self.number) if frame.pts is not None else self.number
        if frame.is_corrupt:
            self._broken(number, "a frame is damaged")

    def error(self, message: str) -> None:
        self._broken(self.number - self._delay, message)

    def _broken(self, number: int, message: str) -> None:
        if self.broken_from is None or number < self.broken_from:
            self.broken_from, self.message = number, message
