"""Videos of the decoding benchmark, every frame with its number as a barcode."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SIDE, BITS = 336, 16


@dataclass(frozen=True, kw_only=True)
class Case:
    """A video and how many of its frames are asked for."""

    frames: int
    """Frames asked for, linspace over the video."""
    count: int
    """Frames encoded."""
    copies: int = 1
    """Times the encoded segment is repeated in the file."""
    size: tuple[int, int] = (360, 640)
    codec: str = "libx264"
    options: tuple[tuple[str, str], ...] = (("g", "250"), ("crf", "24"))
    suffix: str = ".mp4"
    offset_seconds: float = 0
    uneven: bool = False
    cut: int = 0
    """Frames hidden at the start by an edit list."""
    quick: bool = False
    numbered: bool = True
    """Whether every frame carries its number."""


OPEN_GOP = (("g", "48"), ("bf", "4"), ("x264-params", "open-gop=1:b-pyramid=normal"), ("crf", "24"))
SHORT_GOP = (("g", "60"), ("crf", "26"))
ENDLESS = (("g", "1000000"), ("sc_threshold", "0"), ("crf", "26"))
X265 = (("x265-params", "log-level=none:keyint=250"), ("crf", "28"))
CASES = {
    "480p 10 s / 8": Case(frames=8, count=240, size=(480, 854), quick=True),
    "480p 10 s / 64": Case(frames=64, count=240, size=(480, 854), quick=True),
    "1080p 68 s / 8": Case(frames=8, count=2031, size=(1080, 1920)),
    "1080p 68 s / 32": Case(frames=32, count=2031, size=(1080, 1920)),
    "1080p 68 s / 64": Case(frames=64, count=2031, size=(1080, 1920)),
    "720p 60 min / 8": Case(frames=8, count=1800, copies=60, size=(720, 1280)),
    "720p 60 min / 64": Case(frames=64, count=1800, copies=60, size=(720, 1280)),
    "720p 60 min / 512": Case(frames=512, count=1800, copies=60, size=(720, 1280)),
    "1080p 10 min / 600": Case(
        frames=600, count=1800, copies=10, size=(1080, 1920), options=(("g", "60"), ("crf", "26"))
    ),
    "HEVC 5 min / 32": Case(frames=32, count=1500, copies=6, size=(720, 1280), codec="libx265", options=X265),
    "one keyframe / 32": Case(frames=32, count=1800, size=(480, 854), options=ENDLESS, quick=True),
    "open GOP / 32": Case(frames=32, count=900, options=OPEN_GOP, quick=True),
    "open GOP / 300": Case(frames=300, count=900, options=OPEN_GOP, quick=True),
    "mkv / 32": Case(frames=32, count=900, options=OPEN_GOP, suffix=".mkv", quick=True),
    "MPEG-TS from 5 s / 32": Case(frames=32, count=900, options=OPEN_GOP, suffix=".ts", offset_seconds=5, quick=True),
    "variable rate / 32": Case(frames=32, count=900, uneven=True, options=(("g", "60"), ("crf", "24")), quick=True),
    "edit list / 32": Case(frames=32, count=600, options=OPEN_GOP, cut=101, quick=True),
}


@cache
def textures(height: int, width: int) -> NDArray[np.int16]:
    """(h w) coarse noise."""
    coarse = np.random.default_rng(0).integers(60, 180, (height // 6 + 1, width // 6 + 1))
    return np.repeat(np.repeat(coarse, 6, 0), 6, 1)[:height, :width].astype(np.int16)


def picture(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """(3h/2 w) yuv420p picture: textures that drift and brighten, the number as a barcode over the top eighth."""
    texture, half = textures(height, width), width // 2
    wave = (20 * np.sin(np.arange(width) / 37 + number / 9)).astype(np.int16)
    luma = np.roll(texture, (2 * number, 3 * number), (0, 1)) + wave
    luma[:, half:] = np.roll(texture, (-number, -4 * number), (0, 1))[:, half:] + wave[::-1][half:]
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    for bit in range(BITS):
        luma[: height // 8, edges[bit] : edges[bit + 1]] = 220 if number >> bit & 1 else 30
    frame = np.full((height * 3 // 2, width), 128, np.uint8)
    frame[:height] = luma.clip(16, 235)
    return frame


def numbers(frames: NDArray[np.uint8]) -> list[int]:
    """Frame numbers in (t h w c) frames of SIDE x SIDE."""
    rows = frames[:, 10:30].mean(axis=(1, 3))
    centers = [int((bit + 0.5) * SIDE / BITS) for bit in range(BITS)]
    return [sum(int(row[c - 3 : c + 4].mean() > 125) << bit for bit, c in enumerate(centers)) for row in rows]


def times(case: Case) -> list[int]:
    """Presentation times of the encoded frames in 1 / 30 s."""
    if not case.uneven:
        return list(range(case.count))
    return [t for t in range(case.count * 7) if t % 7 in (0, 1, 4)][: case.count]


def make(case: Case, path: Path) -> None:
    """Encode a case's video unless it is there."""
    if path.exists():
        return
    print(f"making {path.name} ...", file=sys.stderr, flush=True)
    height, width = case.size
    segment = path.with_name(f"segment_{path.stem}.mp4")
    with av.open(str(segment), "w") as container:
        options = {"preset": "ultrafast" if case.codec == "libx265" else "veryfast", **dict(case.options)}
        stream: Any = container.add_stream(case.codec, rate=30, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 30)
        for number, pts in enumerate(times(case)):
            frame = av.VideoFrame.from_ndarray(picture(number, height, width), format="yuv420p")
            frame.pts, frame.time_base = pts, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    part = path.with_name(f"part_{path.name}")
    _copy(case, segment, part)
    part.rename(path)
    segment.unlink(missing_ok=True)


def _copy(case: Case, segment: Path, target: Path) -> None:
    """Repeat the segment's packets; a cut moves frames before time zero, where a muxer hides them by an edit list."""
    with av.open(str(target), "w") as new:
        stream = None
        for copy in range(case.copies):
            with av.open(str(segment)) as old:
                video = old.streams.video[0]
                if stream is None:
                    stream = new.add_stream_from_template(video)
                assert video.time_base is not None
                shift = (copy * case.count - case.cut) / 30 + case.offset_seconds
                for packet in old.demux(video):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts += round(shift / video.time_base)
                        packet.dts += round(shift / video.time_base)
                        packet.stream = stream
                        new.mux(packet)
