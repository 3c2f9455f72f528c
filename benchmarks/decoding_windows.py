"""Many windows of one file side by side: clip after clip with `decode`, and all in one pass with `decode_windows`.

    python benchmarks/decoding.py --windows           # minutes; the files are made once
    python benchmarks/decoding_windows.py --hours 10 --scans mp4

The videos are those of `videollm make-clips --minutes`: 96 x 96, 8 frames a second, a shape for 4 s each. Every
measurement runs in its own process. Of the files of many hours only some windows are decoded one by one, and the time
of all is computed from these.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av

from videollm.shapes.long import write_segments
from videollm.shapes.timeline import long_video
from videollm.types import Clip
from videollm.video.decoding import run
from videollm.video.decoding.decode import decode
from videollm.video.decoding.windows import decode_windows
from videollm.video.file_timeline import read_timeline
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling

SAMPLING = Sampling(num_frames=8)


FPS, PIXELS = 8, 96


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A file, and windows to cut from it."""

    minutes: float
    number: int
    """Windows."""
    make: Callable[[Path, Path], None] | None = None
    """Makes the file of the plain mp4 of that length; None is that itself."""
    suffix: str = ".mp4"
    side: int | None = None
    """Pixels of the frames decoded; None is as they are in the file."""
    one_by_one: int | None = None
    """Windows decoded one by one, spread over the file; None is all."""

    @property
    def windows(self) -> list[tuple[float, float]]:
        """Windows side by side, in seconds."""
        length = self.minutes * 60 / self.number
        return [(i * length, (i + 1) * length) for i in range(self.number)]


def scans(hours: float) -> dict[str, Scan]:
    """Return the scans by name."""
    found = {
        "mp4 30 min, 225 x 8 s": Scan(minutes=30, number=225),
        "mkv 30 min, 225 x 8 s": Scan(minutes=30, number=225, make=repack, suffix=".mkv"),
        "mp4 30 min, one keyframe, 60 x 30 s": Scan(minutes=30, number=60, make=encode_with_one_keyframe),
    }
    for suffix, make in ((".mp4", None), (".mkv", repack)):
        for side in (None, 384):
            name = f"{suffix[1:]} {hours:g} h, 1200 windows{f' at {side} x {side}' if side else ''}"
            found[name] = Scan(minutes=60 * hours, number=1200, make=make, suffix=suffix, side=side, one_by_one=6)
    return found


def prepare(scan: Scan, folder: Path) -> Path:
    """Make the file of a scan, unless it is there."""
    plain = folder / f"shapes_{scan.minutes:g}m.mp4"
    rng, frames = random.Random(0), round(scan.minutes * 60 * FPS)
    write_segments(plain, long_video(rng, num_frames=frames, event_frames=4 * FPS, fps=FPS, decile=5), size=PIXELS)
    if scan.make is None:
        return plain
    path = folder / f"{scan.make.__name__}_{scan.minutes:g}m{scan.suffix}"
    if not path.exists():
        part = path.with_stem(f"part_{path.stem}")
        scan.make(plain, part)
        part.rename(path)
    return path


def repack(source: Path, target: Path) -> None:
    """Copy the packets into another container."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


def encode_with_one_keyframe(source: Path, target: Path) -> None:
    """Encode again, as one group of pictures."""
    options = {"preset": "veryfast", "crf": "20", "g": "1000000", "sc_threshold": "0"}
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream("libx264", rate=FPS, options=options)
        stream.width = stream.height = PIXELS
        stream.pix_fmt = "yuv420p"
        for frame in old.decode(video=0):
            frame.pict_type = 0  # as the encoder likes
            new.mux(stream.encode(frame))
        new.mux(stream.encode())


def measure(scan: Scan, path: str, how: str) -> dict[str, float]:
    """CPU seconds of all windows, packets read in runs, and megabytes over those before, in this process."""
    count, demux = 0, run.demux

    def counting(*arguments):  # type: ignore[no-untyped-def]
        nonlocal count
        for packet in demux(*arguments):
            count += 1
            yield packet

    run.demux = counting
    size = None if scan.side is None else FrameSize(height=scan.side, width=scan.side)
    decode(Clip(video=path, start=0, end=0.1), SAMPLING, size=size)  # loads what is loaded once
    before, start, share = resident_megabytes(), time.process_time(), 1.0
    reset_peak()
    count = 0
    if how == "timeline":
        read_timeline(path)
    else:
        windows = scan.windows
        if how == "one pass":
            for window in decode_windows(path, windows, SAMPLING, size=size):
                assert window.batch is not None, window.error
                del window
        else:
            chosen = windows[:: max(1, len(windows) // (scan.one_by_one or len(windows)))]
            share = len(windows) / len(chosen)
            for begin, end in chosen:
                decode(Clip(video=path, start=begin, end=end), SAMPLING, size=size)
    seconds = (time.process_time() - start) * share
    return {"seconds": seconds, "packets": count * share, "megabytes": peak_megabytes() - before}


def cost(result: dict[str, float]) -> str:
    return f"{result['seconds']:.1f} s, {result['packets'] / 1000:.1f}k packets"


def resident_megabytes() -> float:
    return _status("VmRSS")


def peak_megabytes() -> float:
    return _status("VmHWM")


def reset_peak() -> None:
    """Let the peak begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def measured_apart(name: str, how: str, path: Path, hours: float) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--one", name, how, str(path), "--hours", str(hours)]
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "videollm-benchmark")
    parser.add_argument("--hours", type=float, default=10, help="length of the longest file")
    parser.add_argument("--scans", nargs="*", default=[], help="only those whose name contains one of these")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    found = scans(options.hours)
    if options.one:
        name, how, path = options.one
        print(json.dumps(measure(found[name], path, how)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"PyAV {av.__version__}; CPU seconds, packets read in runs, peak MB over those at the start")
    print("| file, 8 frames a window | one by one | one pass | ratio | MB of one pass | times alone |")
    print("|---|---|---|---|---|---|")
    for name, scan in found.items():
        if options.scans and not any(part in name for part in options.scans):
            continue
        path = prepare(scan, options.folder)
        one, alone = (measured_apart(name, how, path, options.hours) for how in ("one pass", "timeline"))
        cells, ratio = ["", cost(one)], ""
        if scan.side is None:
            apart = measured_apart(name, "clips", path, options.hours)
            cells[0] = cost(apart) + (" (computed)" if scan.one_by_one else "")
            ratio = f"{apart['seconds'] / one['seconds']:.1f}"
        memory = f"{one['megabytes']:.0f}"
        print(f"| {name} | {' | '.join(cells)} | {ratio} | {memory} | {alone['seconds']:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
