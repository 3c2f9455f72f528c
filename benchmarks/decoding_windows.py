"""Many windows of one file side by side: clip after clip with `decode`, and all in one pass with `decode_windows`.

    python benchmarks/decoding.py --windows           # minutes; the files are made once
    python benchmarks/decoding_windows.py --hours 10 --fps 30

Every measurement runs in its own process. Of the files of many hours only some windows are decoded one by one, and the
time of all is computed from these.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import av
from decoding_videos import Case, make

from videollm.types import Clip
from videollm.video.decoding import run
from videollm.video.decoding.decode import decode
from videollm.video.decoding.windows import decode_windows
from videollm.video.file_timeline import read_timeline
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling

SAMPLING = Sampling(num_frames=8)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A file, and windows to cut from it."""

    case: Case
    window_seconds: float
    side: int = 336
    """Pixels of the frames decoded."""
    one_by_one: int | None = None
    """Windows decoded one by one, spread over the file; None is all."""


def scans(hours: float, fps: int) -> dict[str, Scan]:
    """Return the scans by name; frames are made at 30 a second, and `fps` of the longest file follows from copies."""
    small, short = (96, 160), (("g", "60"), ("crf", "30"))
    minute = {"count": 1800, "size": small, "options": short}
    copies = round(hours * 60 * fps / 30)
    endless = (("g", "1000000"), ("sc_threshold", "0"), ("crf", "30"))
    found = {
        "mp4 30 min, 225 x 8 s": Scan(case=Case(frames=8, copies=30, **minute), window_seconds=8),
        "mkv 30 min, 225 x 8 s": Scan(case=Case(frames=8, copies=30, suffix=".mkv", **minute), window_seconds=8),
        "mp4 30 min, one keyframe, 60 x 30 s": Scan(
            case=Case(frames=8, count=54000, size=small, options=endless), window_seconds=30
        ),
    }
    for suffix in (".mp4", ".mkv"):
        case = Case(frames=8, copies=copies, suffix=suffix, **minute)
        found[f"{suffix[1:]} {hours:g} h, {copies * 1800} frames"] = Scan(
            case=case, window_seconds=copies * 60 / 1200, side=384, one_by_one=6
        )
    return found


def measure(scan: Scan, path: str, how: str) -> dict[str, float]:
    """CPU seconds of all windows, packets read in runs, and megabytes over those before, in this process."""
    count, demux = 0, run.demux

    def counting(*arguments):  # type: ignore[no-untyped-def]
        nonlocal count
        for packet in demux(*arguments):
            count += 1
            yield packet

    run.demux = counting
    size = FrameSize(height=scan.side, width=scan.side)
    decode(Clip(video=path, start=0, end=0.1), SAMPLING, size=size)  # loads what is loaded once
    before, start, share = resident_megabytes(), time.process_time(), 1.0
    reset_peak()
    count = 0
    if how == "timeline":
        read_timeline(path)
    else:
        timeline_end = scan.case.count * scan.case.copies / 30
        number = round(timeline_end / scan.window_seconds)
        windows = [(i * scan.window_seconds, (i + 1) * scan.window_seconds) for i in range(number)]
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


def measured_apart(name: str, how: str, path: Path, hours: float, fps: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--one", name, how, str(path), "--hours", str(hours), "--fps", str(fps)]
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "videollm-benchmark")
    parser.add_argument("--hours", type=float, default=10, help="length of the longest file")
    parser.add_argument("--fps", type=int, default=30, help="its frames, as so many a second")
    parser.add_argument("--scans", nargs="*", default=[], help="only those whose name contains one of these")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    found = scans(options.hours, options.fps)
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
        path = options.folder / f"windows_{name.replace(' ', '_').replace(',', '')}{scan.case.suffix}"
        make(scan.case, path)
        apart, one, alone = (
            measured_apart(name, how, path, options.hours, options.fps) for how in ("clips", "one pass", "timeline")
        )
        cells = [f"{r['seconds']:.1f} s, {r['packets'] / 1000:.1f}k packets" for r in (apart, one)]
        cells[0] += " (computed)" if scan.one_by_one else ""
        ratio = f"{apart['seconds'] / one['seconds']:.1f}"
        memory = f"{one['megabytes']:.0f}"
        print(f"| {name} | {' | '.join(cells)} | {ratio} | {memory} | {alone['seconds']:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
