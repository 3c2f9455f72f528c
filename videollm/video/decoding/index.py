"""The index of a video: how many frames it has, at which times, and on which keyframes they hang.

An mp4 or mov tells this in its header and no packet is read; other files are demuxed once, without decoding. It is held
in arrays: ten hours are a million frames.

UNITS  a tick is a presentation time in the stream's time base; an index is a display index.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videollm.errors import VideoError
from videollm.video.decoding.container import demux, is_shown, reason, tick
from videollm.video.sampling import Timeline

ONE_KEYFRAME: Final = frozenset({"gif", "apng"})
"""Codecs whose pictures are drawn over one another, whatever their packets' flags say."""
KEYFRAME_FLAG: Final = 1
"""FFmpeg's AVINDEX_KEYFRAME."""
DISCARD_FLAG: Final = 2
"""FFmpeg's AVINDEX_DISCARD_FRAME."""
ENTRY: Final = np.dtype([("timestamp", "i8"), ("position", "i8"), ("has_data", "?"), ("flags", "i4")])
"""What is taken from an entry of FFmpeg's index."""


@dataclass(frozen=True)
class Keyframe:
    """A place where decoding can start."""

    seek_tick: int
    position: int | None
    """Byte position of its packet; None where the tick alone identifies it."""
    base: int
    """Displayed frames before it: in the file where it has a `position` (leading pictures follow), else on screen."""


@dataclass(frozen=True)
class Index:
    """The frames of one video stream."""

    num_frames: int
    key_ticks: NDArray[np.int64]
    """(k,) `seek_tick` of every keyframe."""
    key_positions: NDArray[np.int64] | None
    """(k,) `position` of every keyframe; None where they have none."""
    bases: NDArray[np.int64]
    """(k,) `base` of every keyframe, ascending."""
    ticks: NDArray[np.int64]
    """(num_frames,) ascending ticks; with exact_ticks False a prediction from decoding times."""
    exact_ticks: bool
    """Whether the ticks were read from the packets."""
    steady: bool
    """Whether the prediction can be trusted until a decoded frame contradicts it."""
    damage: str | None = None
    """Why reading ended early, if it did."""

    def keyframe(self, number: int) -> Keyframe:
        """Return a keyframe by its number."""
        position = None if self.key_positions is None else int(self.key_positions[number])
        return Keyframe(int(self.key_ticks[number]), position, int(self.bases[number]))

    def keyframe_of(self, index: int) -> int:
        """Return the number of the last keyframe with at most `index` displayed frames before it.

        A frame is decoded from there, unless it is a leading picture: those need the keyframe before.
        """
        return max(0, int(np.searchsorted(self.bases, index, side="right")) - 1)

    def timeline(self, stream: VideoStream) -> Timeline:
        """Return the times of the frames, and the average rate the container states, as decord and OpenCV do."""
        assert stream.time_base is not None
        seconds = (self.ticks - self.ticks[0]) * float(stream.time_base)
        last = float(np.median(np.diff(seconds))) if self.num_frames > 1 else 0.0
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        if not 0.001 < fps < 10000:
            fps = 1 / last if last > 0 else 1.0
        return Timeline(
            num_frames=self.num_frames,
            fps=fps,
            duration_seconds=float(seconds[-1]) + (last if last > 0 else 1 / fps),
            seconds=seconds,
        )


class UnplannableError(VideoError):
    """The container does not say which frame is where: frames must be counted as they are decoded."""


def read_index(container: InputContainer, stream: VideoStream, *, exact_times: bool) -> Index:
    """Index a freshly opened video: from the header where that is exact, otherwise by demuxing.

    Args:
        container: at its start; its read position is moved.
        stream: the video stream.
        exact_times: presentation times decide which frames are wanted, so a doubtful prediction will not do.
    Raises:
        VideoError: `no_video` or `decode_error`: there is no frame.
        UnplannableError: timestamps are missing or ambiguous.
    """
    index = _header_index(container, stream)
    if index is None or (exact_times and not index.steady):
        index = demux_index(container, stream)
    return index


def _header_index(container: InputContainer, stream: VideoStream) -> Index | None:
    """Index an mp4 or mov by its sample table; None where that is absent, partial or cut up by an edit list.

    The table lists packets in the order of the file, with their decoding times: which frames are hidden, where the
    keyframes are and how many frames come before each is exact. Presentation times are not in it; they are predicted
    to step as decoding times do, from the first frame's, which is read.
    """
    if "mp4" not in container.format.name:
        return None
    # A table that does not list every packet of the stream is of no use.
    entries = stream.index_entries
    count = len(entries)
    if not count or count != stream.frames:
        return None
    table = np.fromiter(((e.timestamp, e.pos, e.size > 0, e.flags) for e in entries), ENTRY, count)
    is_key, is_shown_ = (table["flags"] & KEYFRAME_FLAG) != 0, (table["flags"] & DISCARD_FLAG) == 0
    times = table["timestamp"].copy()
    keys = np.flatnonzero(is_key)
    if (
        not table["has_data"].all()
        or not is_shown_.any()
        or not len(keys)
        or keys[0] != 0
        or (np.diff(times) <= 0).any()
    ):
        return None
    # One edit hides frames before its first keyframe's group ends; hidden frames any later are an edit list of parts.
    opening = int(keys[keys <= int(np.argmax(is_shown_))][-1])
    opening_end = int(next((k for k in keys if k > opening), len(times)))
    if not is_shown_[opening_end:].all():
        return None
    # `base` counts the displayed frames before each keyframe, so that indices are counted from there.
    keys = keys[keys >= opening]
    key_ticks, key_positions = times[keys], table["position"][keys]
    bases = (np.cumsum(is_shown_) - is_shown_)[keys]
    del table
    # Presentation times are predicted as decoding times, moved to the first frame's tick: exact at a uniform rate,
    # and without B-frames, where both orders are one.
    shown = times[is_shown_]
    steps = np.diff(times)
    uniform = not len(steps) or int(steps.max()) - int(steps.min()) <= 1
    num_frames = len(shown)
    ticks = shown - shown[0]
    if uniform and num_frames > 1:  # decoding times of hidden frames do not matter then
        ticks = times[:num_frames] - times[0]
    steady = uniform or not stream.codec_context.has_b_frames
    ticks += _first_tick(container, stream, int(key_ticks[0]))
    return Index(num_frames, key_ticks, key_positions, bases, ticks, False, steady)


def _first_tick(container: InputContainer, stream: VideoStream, opening_tick: int) -> int:
    """Find the tick of the first displayed frame: read packets until no earlier one can follow."""
    first: int | None = None
    try:
        for packet in demux(container, stream):
            if first is not None and packet.dts is not None and packet.dts > first:
                break
            time = tick(packet)
            if packet.size and not packet.is_discard and time is not None:
                first = time if first is None else min(first, time)
    except av.FFmpegError:
        pass  # the run that needs the damaged packets reports it
    return opening_tick if first is None else first


def demux_index(container: InputContainer, stream: VideoStream) -> Index:
    """Index a video by one pass over all packets.

    Raises:
        VideoError: `decode_error`: there is no packet.
        UnplannableError: as `read_index`.
    """
    codec = stream.codec_context.name
    reordered = stream.codec_context.has_b_frames
    if reordered and container.format.name == "avi":  # it knows no presentation times, and made-up ones are wrong
        raise _unplannable(container)
    keys, counts, hidden = array("q"), array("q"), array("b")  # tick, displayed frames before it in the file, hidden
    shown = array("q")
    damage = None
    try:
        rewind(container, stream)
        for packet in demux(container, stream):
            if not packet.size:
                continue
            time = tick(packet)
            if time is None or (packet.pts is None and reordered):
                raise _unplannable(container)
            if packet.is_keyframe and (not keys or codec not in ONE_KEYFRAME):
                keys.append(time)
                counts.append(len(shown))
                hidden.append(packet.is_discard)
            if keys and is_shown(packet, codec) and (len(keys) > 1 or time >= keys[0]):
                shown.append(time)  # what precedes the first keyframe, in the file or on the screen, cannot be decoded
    except av.FFmpegError as error:
        damage = f"reading stopped after {len(shown)} frames ({reason(error)})"
    if not shown:
        message = f"{_name(container)}: its video stream holds no frame ({damage or 'no packet'}); the file is damaged."
        raise VideoError("decode_error", message)
    # Packets come in decoding order; sorted ticks are the order of the screen, and equal ticks leave it open.
    order = np.frombuffer(shown, np.int64)
    ticks = np.sort(order)
    if (np.diff(ticks) == 0).any():
        raise _unplannable(container)
    key_ticks = _usable_keyframes(keys, counts, hidden, order)
    bases = np.searchsorted(ticks, key_ticks)
    bases[0] = 0
    return Index(len(ticks), key_ticks, None, bases, ticks, True, True, damage)


def _usable_keyframes(
    keys: Iterable[int], counts: Iterable[int], hidden: Iterable[int], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the ticks of the keyframes that part the file as they part the screen.

    An edit list can repeat or reorder frames. What a run needs lies between two such keyframes: all that is
    shown before one precedes it in the file, and all later follows.
    """
    # Running extremes over the file order: the latest tick before each packet and the earliest from it on. A keyframe
    # parts the frames if every tick before it in the file is smaller than every tick from it on.
    latest_before = np.maximum.accumulate(order)
    earliest_after = np.minimum.accumulate(order[::-1])[::-1]
    usable = array("q")
    for time, count, is_hidden in zip(keys, counts, hidden, strict=True):
        if not usable:
            usable.append(time)
            continue
        last = int(latest_before[count - 1]) if count else time - 1
        next_ = int(earliest_after[count]) if count < len(order) else time
        parts = last < min(time, next_) and not (is_hidden and next_ < time)
        if parts and time > usable[-1]:
            usable.append(time)
    return np.frombuffer(usable, np.int64)


def rewind(container: InputContainer, stream: VideoStream) -> None:
    """Seek to the first packet: by time, where time stamps may start anywhere, or to the first byte.

    Raises:
        av.FFmpegError: the file cannot be rewound.
    """
    for target in (-(1 << 40), stream.start_time or 0):  # not every container takes a time before its first
        try:
            container.seek(target, stream=stream, backward=True)
            return
        except av.FFmpegError:
            continue
    container.seek(0, unsupported_byte_offset=True)


def _unplannable(container: InputContainer) -> UnplannableError:
    message = f"{_name(container)}: the container does not say which frame is where; use the decoder auto or pyav."
    return UnplannableError("decode_error", message)


def _name(container: InputContainer) -> str:
    return container.name.removeprefix("file:")
