"""Decoding side by side: this package against decord, PyAV by hand, OpenCV and torchcodec, in one run.

    python benchmarks/decoding.py --quick            # small cases, several minutes on 2 cores
    python benchmarks/decoding.py                    # all cases; the videos take a while to make once
    python benchmarks/decoding.py --cases vfr open_gop --folder /tmp/videos

The videos are made here, every frame with its number as a barcode, so that a wrong frame counts as wrong. Every
(case, backend) runs in its own process; opening, indexing, decoding and scaling to 336 x 336 are timed, the best of
several repetitions counts. Every peer may use the settings that are best for it; the table gives its best variant.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SIDE, BITS = 336, 16
Decode = Callable[[str, list[int]], NDArray[np.uint8]]


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


# --- videos ----------------------------------------------------------------------------------------------------------


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


# --- backends --------------------------------------------------------------------------------------------------------


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
ROUNDS = 2
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


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(name: str, backend: str, variant: str, path: str, seconds: float) -> dict[str, float]:
    """Best wall seconds, its CPU seconds, peak MB and wrong frames of one variant, in this process."""
    case = CASES[name]
    total = case.count * case.copies - case.cut
    indices = np.linspace(0, total - 1, case.frames).round().astype(int).tolist()
    decode = BACKENDS[backend][variant]()
    walls: list[float] = []
    cpus: list[float] = []
    while not walls or (len(walls) < 5 and sum(walls) + walls[0] < seconds):
        before, start = time.process_time(), time.perf_counter()
        frames = decode(path, indices)
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - before)
    expected = [(i + case.cut) % case.count for i in indices]
    found = numbers(frames)
    wrong = sum(a != b for a, b in zip(found, expected, strict=False)) + abs(len(found) - len(expected))
    return {"wall": min(walls), "cpu": min(cpus), "peak": peak_megabytes(), "wrong": wrong}


def peak_megabytes() -> float:
    """Most memory this process has held; Linux's getrusage also counts the parent it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured_apart(name: str, backend: str, variant: str, path: Path, seconds: float) -> dict[str, float] | None:
    """`measure` in a process of its own; None where the backend is absent, fails or takes ten minutes."""
    command = [sys.executable, __file__, "--one", name, backend, variant, str(path), str(seconds)]
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, env=environment)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small cases only")
    parser.add_argument("--cases", nargs="*", default=[], help="only cases whose name contains one of these")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "videollm-benchmark")
    parser.add_argument("--seconds", type=float, default=6, help="time for the repetitions of one measurement")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, backend, variant, path, seconds = options.one
        print(json.dumps(measure(name, backend, variant, path, float(seconds))))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"{CORES} cores, PyAV {av.__version__}; peers: time as a multiple of ours [wrong frames] peak memory")
    head = "".join(f"{name:>24}" for name in BACKENDS if name != "videollm")
    print(f"{'case':24}{'ours s':>8}{'CPU s':>8}{'wrong':>6}{'MB':>6}{head}")
    for name, case in CASES.items():
        chosen = not options.cases or any(part.lower() in name.lower() for part in options.cases)
        if not chosen or (options.quick and not case.quick):
            continue
        path = options.folder / f"{name.rpartition(' / ')[0].replace(' ', '_')}{case.suffix}"
        make(case, path)
        tries: dict[str, list[dict[str, float]]] = {backend: [] for backend in BACKENDS}
        for _ in range(ROUNDS):  # in turns, so that a busy moment of the machine does not hit one backend alone
            for backend, variants in BACKENDS.items():
                for variant in variants:
                    result = measured_apart(name, backend, variant, path, options.seconds)
                    tries[backend] += [result] if result else []
        found = {backend: min(of, key=lambda r: r["wall"], default=None) for backend, of in tries.items()}
        best = found.pop("videollm")
        if best is None:
            raise SystemExit(f"{name}: videollm itself failed")
        row = f"{name:24}{best['wall']:8.3f}{best['cpu']:8.3f}{best['wrong']:6.0f}{best['peak']:6.0f}"
        for result in found.values():
            if result is None:
                row += f"{'-':>24}"
            else:
                cell = f"{result['wall'] / best['wall']:.1f}x [{result['wrong']:.0f}] {result['peak']:.0f} MB"
                row += f"{cell:>24}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
