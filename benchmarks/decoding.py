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
from pathlib import Path

import av
import numpy as np
from decoding_backends import BACKENDS, CORES
from decoding_videos import CASES, make, numbers

ROUNDS = 2


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
