"""Opening video files with PyAV: one place for its options, its errors and its missing timestamps."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.errors import VideoError

LOCAL_ONLY: Final = {"protocol_whitelist": "file"}
"""A playlist inside a file must not make the decoder open network addresses."""


@contextmanager
def open_video(path: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a local file and its best video stream; other streams are not read.

    Raises:
        VideoError: `no_video`: not a video, no video stream, or no decoder for it. `decode_error`: FFmpeg failed inside
            the block.
    """
    try:
        # "file:" keeps a colon in a file's name from being read as a protocol.
        container = av.open(f"file:{path}", options=LOCAL_ONLY, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        message = f"{path}: not a readable video ({reason(error)}); expected a video file that FFmpeg knows."
        raise VideoError("no_video", message) from error
    with closing(container):  # an unclosed container keeps its frame pool until the cycle collector runs
        stream = _best_stream(container, path)
        for other in container.streams:
            other.discard = Discard.default if other is stream else Discard.all
        try:
            yield container, stream
        except av.FFmpegError as error:
            message = f"{path}: decoding stopped ({reason(error)}); the file is damaged, or not what its header says."
            raise VideoError("decode_error", message) from error


def set_threads(stream: VideoStream, threads: int) -> None:
    """Let a decoder use `threads` threads; only before its first packet.

    Several return a damaged frame before they know of its damage, so they are told to fail instead.
    """
    context = stream.codec_context
    if threads > 1:
        context.thread_type, context.thread_count = "FRAME", threads
        context.options = {"err_detect": "explode"}
    else:
        context.thread_type, context.thread_count = "SLICE", 1


def demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield the packets of a stream in file order, then an empty one that flushes its decoder.

    PyAV trips at the end of a file in which a stream began that the header did not announce (FLV, MPEG-TS); its last
    packet has been yielded by then.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, IndexError):
            return
        yield packet


def decode_all(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames of a stream in display order.

    Raises:
        av.FFmpegError: the file is damaged.
    """
    for packet in demux(container, stream):
        yield from packet.decode()


def tick(packet: Packet[VideoStream]) -> int | None:
    """Return a packet's presentation time in its stream's time base; its decoding time where there is no other."""
    return packet.dts if packet.pts is None else packet.pts


def is_shown(packet: Packet[VideoStream], codec: str) -> bool:
    """Tell whether a packet holds a picture that is displayed."""
    if not packet.size or packet.is_discard:
        return False
    # VP8 keeps its hidden reference pictures in packets of their own; bit 4 of the first byte is show_frame.
    return codec != "vp8" or bool(memoryview(packet)[0] & 0x10)


def reason(error: BaseException) -> str:
    """Return the useful part of an FFmpeg error."""
    if getattr(error, "errno", None) == errno.EPERM:  # FFmpeg's plain -1, which Python takes for "not permitted"
        return "FFmpeg gives no reason"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _best_stream(container: InputContainer, path: str) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError("no_video", f"{path}: no video stream (it holds {kinds}); expected a video.")
    best = container.streams.best("video")
    stream = next((s for s in streams if s is best), streams[0])
    if stream.codec_context is None:
        raise VideoError("no_video", f"{path}: no decoder for its video codec; re-encode it, for example as H.264.")
    return stream
