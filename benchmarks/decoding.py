"""Decoding side by side: this package against PyAV by hand, decord, torchcodec and OpenCV, in one run.

    python benchmarks/decoding.py --quick            # small cases, many minutes on 2 cores
    python benchmarks/decoding.py                    # all cases; the videos take a while to make once
    python benchmarks/decoding.py --cases vfr open_gop --folder /tmp/videos
    python benchmarks/decoding.py --videos clip.mp4:64 film.mp4:512     # yours, frames wanted of each
    python benchmarks/decoding.py --windows          # many windows of one file: see decoding_windows.py

The videos are made here, every frame with its number as a barcode, so that a wrong frame counts as wrong; of yours it
is not known. Every (case, backend, variant) runs in its own process; opening, indexing, decoding and scaling to
336 x 336 are timed, the best of several repetitions counts, once with every scaling quality. Every peer may use the
settings that are best for it: the table gives its best variant, by wall time and, on its own, by CPU time, which other
work on the machine disturbs less and which decides where many videos are decoded at once.

torchcodec needs FFmpeg's shared libraries by their plain names; where the system has none it gets PyAV's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import av
import decoding_windows
import numpy as np
from decoding_backends import BACKENDS, BILINEAR_ONLY, CORES, COUNTING, QUALITIES
from decoding_videos import CASES, Case, make, numbers

Result = dict[str, float]


def measure(case: Case, quality: str, backend: str, variant: str, path: str, seconds: float) -> Result:
    """Best wall and CPU seconds, peak MB and wrong frames of one variant, in this process."""
    total = case.count * case.copies - case.cut
    indices = np.linspace(0, total - 1, case.frames).round().astype(int).tolist()
    decode = BACKENDS[backend][variant](QUALITIES[quality])
    walls: list[float] = []
    cpus: list[float] = []
    while not walls or (len(walls) < 5 and sum(walls) + walls[0] < seconds):
        before, start = time.process_time(), time.perf_counter()
        frames = decode(path, indices)
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - before)
    wrong = abs(len(frames) - len(indices))
    if case.numbered:
        pairs = zip(numbers(frames), indices, strict=False)
        wrong += sum(found != (i + case.cut) % case.count for found, i in pairs)
    return {"wall": min(walls), "cpu": min(cpus), "peak": peak_megabytes(), "wrong": wrong}


def peak_megabytes() -> float:
    """Most memory this process has held; Linux's getrusage also counts the parent it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured_apart(arguments: list[str], libraries: Path) -> Result | None:
    """`measure` in a process of its own; None where the backend is absent, fails or takes ten minutes."""
    command = [sys.executable, __file__, "--one", *arguments]
    root = str(Path(__file__).resolve().parents[1])
    environment = dict(os.environ)
    for name, place in {"PYTHONPATH": root, "LD_LIBRARY_PATH": str(libraries)}.items():
        environment[name] = os.pathsep.join(filter(None, (environment.get(name), place)))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, env=environment)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def link_libraries(folder: Path) -> Path:
    """Link the FFmpeg libraries of PyAV's wheel by the names that torchcodec looks for."""
    links = folder / "ffmpeg"
    links.mkdir(exist_ok=True)
    for library in (Path(av.__file__).parents[1] / "av.libs").glob("*.so.*"):
        plain = re.sub(r"-[0-9a-f]{8}(\.so\.\d+).*", r"\1", library.name)
        (links / plain).unlink(missing_ok=True)
        (links / plain).symlink_to(library)
    return links


def compare(case: Case, quality: str, path: Path, seconds: float, rounds: int, libraries: Path) -> dict[str, Result]:
    """Best results by backend, of those that can and that scale so."""
    total = case.count * case.copies - case.cut
    tries: dict[str, list[Result]] = {}
    for _ in range(rounds):  # in turns, so that a busy moment of the machine does not hit one backend alone
        for backend, variants in BACKENDS.items():
            if backend in BILINEAR_ONLY and quality != "bilinear":
                continue
            for variant in variants:
                if variant in COUNTING and total > 300 * case.frames:
                    continue
                arguments = [json.dumps(vars(case)), quality, backend, variant, str(path), str(seconds)]
                if (result := measured_apart(arguments, libraries)) is not None:
                    tries.setdefault(backend, []).append(result)
    return {backend: best(of) for backend, of in tries.items()}


def best(results: list[Result]) -> Result:
    """The fastest result among those with the fewest wrong frames, and the smallest CPU time of any of these."""
    fewest = min(r["wrong"] for r in results)
    right = [r for r in results if r["wrong"] == fewest]
    return {**min(right, key=lambda r: r["wall"]), "cpu": min(r["cpu"] for r in right)}


def main() -> None:
    if "--windows" in sys.argv:
        decoding_windows.main([argument for argument in sys.argv[1:] if argument != "--windows"])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small cases only")
    parser.add_argument("--cases", nargs="*", default=[], help="only cases whose name contains one of these")
    parser.add_argument("--videos", nargs="*", default=[], help="videos of yours, as FILE:FRAMES")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "videollm-benchmark")
    parser.add_argument("--seconds", type=float, default=6, help="time for the repetitions of one measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--qualities", nargs="*", default=list(QUALITIES), choices=list(QUALITIES))
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        case, quality, backend, variant, path, seconds = options.one
        print(json.dumps(measure(Case(**json.loads(case)), quality, backend, variant, path, float(seconds))))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    libraries = link_libraries(options.folder)
    print(f"{CORES} cores, PyAV {av.__version__}; ours: s, CPU s, wrong frames, peak MB;")
    print("peers: wall and CPU time as multiples of ours, [wrong frames], peak MB")
    peers = [name for name in BACKENDS if name != "videollm"]
    print(f"{'case':24}{'scaling':10}{'s':>8}{'CPU s':>8}{'wrong':>6}{'MB':>6}" + "".join(f"{p:>25}" for p in peers))
    for name, case, path in cases(options):
        for quality in options.qualities:
            found = compare(case, quality, path, options.seconds, options.rounds, libraries)
            if "videollm" not in found:
                raise SystemExit(f"{name}: videollm itself failed")
            mine = found["videollm"]
            row = f"{name:24}{quality:10}{mine['wall']:8.3f}{mine['cpu']:8.3f}{mine['wrong']:6.0f}{mine['peak']:6.0f}"
            print(row + "".join(f"{cell(found.get(peer), mine):>25}" for peer in peers), flush=True)


def cell(peer: Result | None, mine: Result) -> str:
    """A peer's result beside ours."""
    if peer is None:
        return "-"
    wall, cpu = peer["wall"] / mine["wall"], peer["cpu"] / mine["cpu"]
    return f"{wall:.2f}x {cpu:.2f}x [{peer['wrong']:.0f}] {peer['peak']:.0f} MB"


def cases(options: argparse.Namespace) -> list[tuple[str, Case, Path]]:
    """The cases chosen, with their videos."""
    if options.videos:
        from videollm.video.probe import probe

        pairs = [(Path(file), int(frames)) for file, _, frames in (v.rpartition(":") for v in options.videos)]
        return [
            (f"{p.name} / {n}", Case(frames=n, count=probe(str(p)).num_frames, numbered=False), p) for p, n in pairs
        ]
    chosen = []
    for name, case in CASES.items():
        if options.quick and not case.quick:
            continue
        if not options.cases or any(part.lower() in name.lower() for part in options.cases):
            path = options.folder / f"{name.rpartition(' / ')[0].replace(' ', '_')}{case.suffix}"
            make(case, path)
            chosen.append((name, case, path))
    return chosen


if __name__ == "__main__":
    main()
