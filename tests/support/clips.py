"""Real video files for the tests: every frame carries its number as a barcode, so the exact frame is checked.

The barcode is 12 blocks over the top quarter of the picture; the rest moves, so that references matter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 12
HEIGHT, WIDTH = 96, 192


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """(h w c) picture of a frame number."""
    x, y = np.sin((np.arange(width) + 5 * number) / 17), np.cos((np.arange(height) - 3 * number) / 13)
    luma = (96 + 60 * x * y[:, None].astype(np.float32)).astype(np.uint8)
    frame = np.repeat(luma[..., None], 3, axis=2)
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    for bit in range(BITS):
        frame[: height // 4, edges[bit] : edges[bit + 1]] = 235 if number >> bit & 1 else 20
    return frame


def numbers(frames: NDArray[np.uint8]) -> list[int]:
    """Frame numbers read back from (t h w c) frames of any size."""
    found = []
    for frame in frames:
        height, width = frame.shape[:2]
        row = frame[height // 16 : max(height // 16 + 1, height // 6)].mean(axis=(0, 2))
        centers = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
        found.append(sum(int(row[c] > 128) << bit for bit, c in enumerate(centers)))
    return found


def write(
    path: Path,
    count: int = 60,
    *,
    codec: str = "libx264",
    fps: int = 30,
    pixels: str = "yuv420p",
    size: tuple[int, int] = (HEIGHT, WIDTH),
    options: dict[str, str] | None = None,
    mux: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    container_format: str | None = None,
) -> Path:
    """Encode frames 0 to count - 1; `times` are presentation times in 1 / fps seconds, `fps` apart by default."""
    defaults = {"preset": "ultrafast", "bf": "2"} if codec == "libx264" else {}
    with av.open(str(path), "w", format=container_format, options=mux or {}) as container:
        stream = container.add_stream(codec, rate=fps, options={**defaults, **(options or {})})
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, fps)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(source: Path, target: Path, *, offset_seconds: float = 0, mux: dict[str, str] | None = None) -> Path:
    """Copy the packets into another container, without encoding; times move by an offset."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=mux or {}) as new:
        video = old.streams.video[0]
        stream = new.add_stream_from_template(video)
        assert video.time_base is not None
        shift = round(offset_seconds / video.time_base)
        for packet in old.demux(video):
            if packet.dts is not None and packet.pts is not None:
                packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                packet.stream = stream
                new.mux(packet)
    return target


def repeat(source: Path, target: Path, times: int) -> Path:
    """Copy the packets so many times, one copy after the other, without encoding."""
    with av.open(str(target), "w") as new:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(source)) as old:
                video = old.streams.video[0]
                stream = stream or new.add_stream_from_template(video)
                packets = [p for p in old.demux(video) if p.dts is not None and p.pts is not None]
                ticks = sorted(p.pts for p in packets)
                for packet in packets:
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    new.mux(packet)
                shift += ticks[-1] - ticks[0] + max(1, ticks[-1] - ticks[-2])
    return target


def edit_list(source: Path, target: Path, segments: Iterable[tuple[int, int]], fps: int = 30) -> Path:
    """Rewrite an mp4 (moov at its end) with an edit list that shows the frames [first, stop) of every segment."""
    data = bytearray(source.read_bytes())
    mvhd, mdhd = data.index(b"mvhd"), data.index(b"mdhd")
    movie_scale, media_scale = (struct.unpack_from(">I", data, at + 4 + 12)[0] for at in (mvhd, mdhd))
    at = data.index(b"elst") - 4
    length = struct.unpack_from(">I", data, at)[0]
    lead = struct.unpack_from(">i", data, at + 20)[0]  # media time of the one edit there is: the delay of B-frames
    edits = [((stop - first) * movie_scale // fps, lead + first * media_scale // fps) for first, stop in segments]
    body = b"".join(struct.pack(">IiHH", duration, time, 1, 0) for duration, time in edits)
    box = struct.pack(">I4sII", 16 + len(body), b"elst", 0, len(edits)) + body
    data[at : at + length] = box
    grown = len(box) - length
    for name in (b"moov", b"trak", b"edts"):
        start = data.index(name) - 4
        struct.pack_into(">I", data, start, struct.unpack_from(">I", data, start)[0] + grown)
    total = sum(duration for duration, _ in edits)
    struct.pack_into(">I", data, data.index(b"mvhd") + 4 + 16, total)
    struct.pack_into(">I", data, data.index(b"tkhd") + 4 + 20, total)
    target.write_bytes(data)
    return target


def rotate(source: Path, target: Path, quarter_turns: int) -> Path:
    """Rewrite an mp4's display matrix so that players turn it counterclockwise by quarter turns."""
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns % 4]
    data = bytearray(source.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    struct.pack_into(">9i", data, matrix, cos * one, -sin * one, 0, sin * one, cos * one, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


def late_sound(target: Path) -> Path:
    """Write an FLV of 9 equal pictures whose sound begins after 5 MB: later than FFmpeg looks for streams."""
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 640, 640, "yuv420p"
        (packet,) = [*stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")), *stream.encode()]
        data = bytes(packet)
        for number in range(9):
            copy = av.Packet(data)
            copy.stream, copy.time_base, copy.is_keyframe = stream, Fraction(1, 10), True
            copy.pts = copy.dts = number
            container.mux(copy)
    sound = b"\x32" + bytes(800)  # PCM, 16 bits
    tag = b"\x08" + len(sound).to_bytes(3, "big") + (900).to_bytes(3, "big") + bytes(4) + sound
    target.write_bytes(target.read_bytes() + tag + len(tag).to_bytes(4, "big"))
    return target
