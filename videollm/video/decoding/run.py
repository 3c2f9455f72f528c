"""One run of decoding: seek to a keyframe, feed packets up to the last frame wanted, keep only frames wanted.

A packet holds one picture. Packets come in the order of the file, frames in the order of the screen, and ticks tell
which frame a packet became. Of every packet is decided

- which index it has: the one of its tick where the index is exact, else its rank among the ticks that follow the
  keyframe, of which the index says how many frames are displayed before it;
- whether it is a leading picture: it follows the keyframe in the file and precedes it on the screen, so that it refers
  to pictures before the keyframe, and is handed back to be decoded from the keyframe before;
- whether the decoder may skip it: no index is wanted of it and no other picture refers to it (the decoder knows).

UNITS  a tick is a presentation time in the stream's time base; an index is a display index.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.video.decoding.container import demux, reason, tick
from videollm.video.decoding.index import Index, Keyframe, rewind

SKIPPABLE: Final = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})
"""Codecs whose decoders drop a picture that no other refers to before doing any work on it."""
SEEK_BACK_SECONDS: Final = (0, 2, 20, None)
"""How far before a keyframe to seek, one after the other (None: the start): containers without an index land near it,
often after it."""
MAX_LEADING: Final = 32
"""Packets after a keyframe that are looked at for leading pictures."""
MAX_KEPT: Final = 64
"""Packets that are kept, from a keyframe on, for a run that begins there."""
_END: Final = 1 << 62
"""A tick later than any."""

LabelledPacket: TypeAlias = "tuple[Packet[VideoStream], int, int | None]"
"""A packet, its tick, and its index where that is wanted."""


@dataclass(frozen=True)
class Run:
    """Frames that hang on one keyframe."""

    keyframe: int
    """Its number in the index."""
    indices: tuple[int, ...]
    skip: bool = True
    """Whether pictures that nothing refers to may be skipped."""


@dataclass(frozen=True)
class RunResult:
    """Result of a run."""

    decoded: frozenset[int]
    """Indices of healthy frames."""
    leading: tuple[int, ...]
    """Indices of frames that need the keyframe before."""
    damage: str | None


class RunDecoder:
    """Decodes runs of one open video; belongs to one thread."""

    def __init__(self, container: InputContainer, stream: VideoStream, index: Index) -> None:
        self._container, self._stream, self._index = container, stream, index
        self._context = stream.codec_context
        self._packets_left: Iterator[Packet[VideoStream]] = iter(())
        self._unread: deque[Packet[VideoStream]] = deque()  # come before those
        self._kept: list[Packet[VideoStream]] = []  # from the last keyframe read on
        self._begun = -1  # keyframe of the run before
        self._lands_late = False  # whether a seek missed: reading on to the next keyframe is cheaper then

    def decode(self, run: Run, put: Callable[[int, VideoFrame], None]) -> RunResult:
        """Decode a run and give every frame wanted to `put`, in display order.

        A frame that was decoded after damage in the same run is withheld from `RunResult.decoded`: it may refer to
        what was lost, though `put` may have seen it.
        """
        steps = self.steps(run, put)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: RunResult = end.value
                return result

    def steps(self, run: Run, put: Callable[[int, VideoFrame], None]) -> Generator[list[int], None, RunResult]:
        """Decode a run as `decode` does, and yield indices as soon as their frames are known to be healthy.

        Those that become known at the end of the run are in its result alone.
        """
        feeder = _Feeder(self._context, put)
        may_skip = run.skip and self._context.name in SKIPPABLE
        remaining = len(run.indices)
        leading: list[int] = []
        damage: str | None = None
        key_tick: int | None = None
        opening = run.keyframe > 0  # leading pictures come before any other that follows the keyframe
        try:
            for packet, time, index in self._labelled(run):
                key_tick = time if key_tick is None else key_tick
                opening = opening and time <= key_tick
                remaining -= index is not None
                if opening and time < key_tick:
                    leading += [] if index is None else [index]
                else:
                    feeder.feed(packet, time, index, skip=may_skip and index is None)
                    if settled := feeder.settled():
                        yield settled
                if not remaining:  # every packet that holds a frame wanted was fed, and so was all it refers to
                    break
                if not opening and feeder.lost_the_rest():
                    break
        except av.FFmpegError as error:
            damage = f"reading stopped ({reason(error)})"
        feeder.drain()
        healthy, what_broke = feeder.healthy()
        damage = damage or what_broke or ("the file ends before its last frames" if remaining else None)
        return RunResult(healthy, tuple(leading), damage)

    def count_leading(self, keyframe: int) -> int:
        """Count the pictures that are shown before a keyframe though they follow it in the file."""
        ticks: list[int] = []
        for packet in self._packets(keyframe):
            time = tick(packet)
            if time is not None:
                ticks.append(time)
            # decoding times never go back: once they pass the keyframe, nothing later is shown before it
            if len(ticks) > MAX_LEADING or (packet.dts is not None and packet.dts >= ticks[0]):
                break
        return sum(time < ticks[0] for time in ticks)

    def _labelled(self, run: Run) -> Iterator[LabelledPacket]:
        """Label the packets from the run's keyframe on, in file order."""
        packets = self._packets(run.keyframe)
        if self._index.exact_ticks:
            indices = {int(self._index.ticks[i]): i for i in run.indices}
            for packet in packets:
                time = tick(packet)
                if time is not None:
                    yield packet, time, indices.get(time) if not packet.is_discard else None
        else:
            yield from _ranked(packets, set(run.indices), int(self._index.bases[run.keyframe]))

    def _packets(self, keyframe: int) -> Iterator[Packet[VideoStream]]:
        """Read the packets with data, from exactly this keyframe on; damage in a container shows as an early end."""
        key = self._index.keyframe(keyframe)
        time_base = self._stream.time_base
        assert time_base is not None
        begun, self._begun = self._begun, keyframe
        if self._kept and _begins(self._kept[0], key):  # the run before read on past this keyframe
            self._unread.extendleft(reversed(self._kept))
            yield from self._read()
            return
        if self._lands_late and keyframe == begun + 1 and self._reach(key):
            yield from self._read()
            return
        for back_seconds in SEEK_BACK_SECONDS:
            self._unread.clear()
            if back_seconds is None or keyframe == 0:
                rewind(self._container, self._stream)
            else:
                before = key.seek_tick - int(back_seconds / time_base)
                self._container.seek(before, stream=self._stream, backward=True)
            self._packets_left = demux(self._container, self._stream)
            if self._reach(key):
                yield from self._read()
                return
            if keyframe == 0:
                return
            self._lands_late = True

    def _reach(self, key: Keyframe) -> bool:
        """Read on up to the packet of a keyframe; False if there is none, or reading has passed it."""
        self._kept.clear()
        while True:
            packet = self._unread.popleft() if self._unread else next(self._packets_left, None)
            if packet is None or not packet.size:
                return False
            if packet.is_keyframe and _begins(packet, key):
                self._unread.appendleft(packet)
                return True
            if self._begun > 0 and packet.dts is not None and packet.dts > key.seek_tick:
                return False

    def _read(self) -> Iterator[Packet[VideoStream]]:
        """Read on; keep what follows the last keyframe, so that a run that begins there need not read it again."""
        self._kept.clear()
        while True:
            try:
                packet = self._unread.popleft() if self._unread else next(self._packets_left)
            except StopIteration:
                return
            except av.FFmpegError:
                self._kept.clear()  # reading ended: whoever begins here must meet this again
                raise
            if not packet.size:  # the last one of some
                continue
            if packet.is_keyframe:
                self._kept = [packet]
            elif 0 < len(self._kept) < MAX_KEPT:
                self._kept.append(packet)
            else:
                self._kept.clear()
            yield packet


def _begins(packet: Packet[VideoStream], key: Keyframe) -> bool:
    """Tell whether a packet is that of a keyframe."""
    return tick(packet) == key.seek_tick if key.position is None else packet.pos == key.position


def _ranked(packets: Iterator[Packet[VideoStream]], wanted: set[int], rank: int) -> Iterator[LabelledPacket]:
    """Label packets by the rank of their ticks, which starts at `rank`.

    No later packet is shown before its own decoding time, and decoding times ascend. So once a packet is read, the
    ranks of all smaller ticks than its decoding time are final: packets are held back until theirs is.
    """
    held: deque[tuple[Packet[VideoStream], int]] = deque()
    unranked: list[int] = []  # a heap of the ticks of displayed pictures
    indices: dict[int, int] = {}  # tick -> index of the frames wanted
    ranked_up_to = -_END

    def release(limit: int) -> Iterator[LabelledPacket]:
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


class _Feeder:
    """Feeds packets to a codec, catches the frames wanted, and remembers which packets came before any damage."""

    def __init__(self, context: VideoCodecContext, put: Callable[[int, VideoFrame], None]) -> None:
        self._context, self._put = context, put
        self._delay = context.thread_count if context.thread_count > 1 else 0
        self._wanted: dict[int, int] = {}  # tick -> index of the frames wanted that are in the decoder
        self._number_by_tick: dict[int, int] = {}  # tick -> number of the packet
        self._number_by_index: dict[int, int] = {}  # index -> number of the packet
        self._number = 0
        self._latest = self._shown = -_END  # ticks of packets fed and of frames decoded
        self._latest_by_index: dict[int, int] = {}  # index -> latest tick up to its packet; of frames not yet settled
        self._decoded: set[int] = set()
        self._broken_from = _END
        self._damage: str | None = None
        context.flush_buffers()

    def feed(self, packet: Packet[VideoStream], time: int, index: int | None, *, skip: bool) -> None:
        """Feed a packet; `skip` lets the decoder drop it if no other picture refers to it."""
        self._number += 1
        self._number_by_tick[time] = self._number
        self._latest = max(self._latest, time)
        if index is not None:
            self._wanted[time] = index
            self._number_by_index[index] = self._number
            if self._number < self._broken_from:
                self._latest_by_index[index] = self._latest
        self._context.skip_frame = "NONREF" if skip else "DEFAULT"
        self._decode(packet)

    def drain(self) -> None:
        """Take the frames wanted that are still in the decoder."""
        if self._wanted:
            self._decode(None)
        self._context.skip_frame = "DEFAULT"

    def settled(self) -> list[int]:
        """Return the indices that no damage can reach any more: what their frames may refer to has been decoded.

        A decoder hands out frames in display order, so whatever was fed before a frame is done with once a frame is
        out that is shown no earlier than all of that.
        """
        numbers = self._number_by_index
        found = [
            i
            for i, latest in self._latest_by_index.items()
            if i in self._decoded
            and latest <= self._shown
            and numbers[i] <= self._number - self._delay
            and numbers[i] < self._broken_from
        ]
        for index in found:
            del self._latest_by_index[index]
        return found

    def lost_the_rest(self) -> bool:
        """Tell whether there was damage that no frame precedes which could still come out healthy."""
        return self._broken_from < _END and all(
            self._number_by_index[i] >= self._broken_from for i in self._latest_by_index
        )

    def healthy(self) -> tuple[frozenset[int], str | None]:
        """Return the indices decoded before any damage, and a description of the damage."""
        return frozenset(i for i in self._decoded if self._number_by_index[i] < self._broken_from), self._damage

    def _decode(self, packet: Packet[VideoStream] | None) -> None:
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError as error:
            self._break(self._number - self._delay, reason(error))  # frame threads tell this many packets late
            return
        for frame in frames:
            number, index = self._number, None
            if frame.pts is not None:
                self._shown = max(self._shown, frame.pts)
                number = self._number_by_tick.pop(frame.pts, self._number)
                index = self._wanted.pop(frame.pts, None)
            if frame.is_corrupt:
                self._break(number, "a frame is damaged")
            if index is not None and number < self._broken_from:
                self._put(index, frame)
                self._decoded.add(index)

    def _break(self, number: int, damage: str) -> None:
        if number < self._broken_from:
            self._broken_from, self._damage = number, damage
