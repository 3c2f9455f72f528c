"""The pipeline against a plain loop, its overhead, and (--memory) whether it stays flat and loses nothing.

python benchmarks/pipeline.py            # speed and overhead
python benchmarks/pipeline.py --executors local ray_actors ray_data
python benchmarks/pipeline.py --memory   # 1,000 clips: memory, poisoned clips, two kills
python benchmarks/pipeline.py --cached   # another question on the same clips, with a feature cache
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import tyro

from pipelines.results.journal import read_rows

ROOT = Path(__file__).resolve().parents[1]
CACHE = ["--feature-cache", "{folder}/cache"]
QUESTIONS = ("Describe the video.", "What moves first?", "How many shapes are there?")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Print clips/s of the pipeline and of a plain loop, and the shares of time outside decode, encode, generate."""

    model: str = "tiny-stc"
    """Model of both."""
    num_clips: int = 200
    """Clips of the speed run."""
    seconds: float = 20.0
    """Length of a clip."""
    size: int = 720
    """Pixels a side."""
    max_new_tokens: int = 32
    """Tokens of an answer."""
    plain_clips: int = 20
    """Clips of the plain loop."""
    executors: tuple[str, ...] = ("auto",)
    """Executors of the speed run."""
    memory: bool = False
    """Run the memory job instead."""
    cached: bool = False
    """Run two jobs with a feature cache instead: the first fills it, the second asks something else."""


def main(options: Options) -> None:
    with tempfile.TemporaryDirectory(prefix="videollm-bench-") as folder:
        (memory if options.memory else cached if options.cached else speed)(options, Path(folder))


def speed(options: Options, folder: Path) -> None:
    videos = make_videos(folder, options.num_clips, options.seconds, options.size)
    manifest = write_manifest(folder / "requests.jsonl", videos)
    print(f"{options.num_clips} clips of {options.seconds:g} s, {options.size} x {options.size}, "
          f"{len(QUESTIONS)} questions each, model {options.model}, {os.cpu_count()} cores")  # fmt: skip
    plain = plain_loop(options, videos[: options.plain_clips])
    print(f"plain loop         {plain:8.2f} clips/s (without loading the model)")
    for name in options.executors:
        run = timed(command(options, manifest, folder / name, "--executor", name), folder / name)
        print(
            f"{name:18} {run.rate:8.2f} clips/s with start and end of the command, {run.rate / plain:.2f} times "
            f"the plain loop; {run.steady_rate:.2f} once the model is up, {run.steady_rate / plain:.2f} times"
        )
        print(f"{'':18} wall {run.wall:.1f} s: the first clip is decoded from {run.first_call - run.began:.1f} s on, "
              f"the model is up after {run.started - run.began:.1f} s")  # fmt: skip
        print(f"{'':18} no stage at work: {run.idle_share():.1%} of the wall time ({run.idle_share(started=True):.1%} "
              f"once the model is up); the busiest stage's workers idle: {run.slack_share():.1%} "
              f"({run.slack_share(started=True):.1%})")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Run:
    """When a command began and ended, and when its stages were at work."""

    began: float
    ended: float
    calls: list[dict[str, Any]]
    """Of all stages, as the job's log has them."""
    num_clips: int
    num_workers: dict[str, int]
    """Of each stage."""

    @property
    def wall(self) -> float:
        return self.ended - self.began

    @property
    def first_call(self) -> float:
        return min(call["began"] for call in self.calls)

    @property
    def started(self) -> float:
        """When the model took its first clips."""
        return min(call["began"] for call in self.calls if call["stage"] != "Decode")

    @property
    def rate(self) -> float:
        return self.num_clips / self.wall

    @property
    def steady_rate(self) -> float:
        return self.num_clips / (self.ended - self.started)

    def idle_share(self, *, started: bool = False) -> float:
        """Share of the time in which no stage was at work: neither decode nor encode nor generate."""
        begin = self.started if started else self.began
        worked, until = 0.0, begin
        for first, last in sorted((c["began"], c["began"] + c["seconds"]) for c in self.calls):
            worked += max(0.0, last - max(first, until))
            until = max(until, last)
        return 1 - worked / (self.ended - begin)

    def slack_share(self, *, started: bool = False) -> float:
        """Share of the time in which a worker of the busiest stage was not at work."""
        begin = self.started if started else self.began
        busy = Counter[str]()
        for call in self.calls:
            busy[call["stage"]] += max(0.0, call["began"] + call["seconds"] - max(call["began"], begin))
        return 1 - max(n / self.num_workers[stage] for stage, n in busy.items()) / (self.ended - begin)


def timed(arguments: list[str], output: Path) -> Run:
    """Run a job, and read from its log when it did what."""
    began = time.time()
    subprocess.run(arguments, check=True, env=environment(), stdout=subprocess.DEVNULL)
    ended = time.time()
    session = json.loads((output / "run.json").read_text())["sessions"][-1]
    lines = map(json.loads, (output / "logs" / "job.jsonl").read_text().splitlines())
    workers = session["workers"]
    return Run(
        began=began,
        ended=ended,
        calls=[line for line in lines if line["message"] == "stage call"],
        num_clips=session["clips"],
        num_workers={"Decode": workers["num_decoders"], "EncodeAnswer": workers["num_llms"]},
    )


def cached(options: Options, folder: Path) -> None:
    videos = make_videos(folder, options.num_clips, options.seconds, options.size, num_stories=options.num_clips)
    print(f"{options.num_clips} clips of {options.seconds:g} s, {options.size} x {options.size}, "
          f"one question, model {options.model}, {os.cpu_count()} cores")  # fmt: skip
    rates, work = [], []
    runs = ("without a cache", []), ("cache is filled", CACHE), ("cache is read", CACHE)
    for i, (what, extra) in enumerate(runs):
        manifest = write_manifest(folder / f"{i}.jsonl", videos, (QUESTIONS[min(i, 1)],))
        arguments = [*command(options, manifest, folder / str(i)), *[o.format(folder=folder) for o in extra]]
        subprocess.run(arguments, check=True, env=environment(), stdout=subprocess.DEVNULL)
        session = json.loads((folder / str(i) / "run.json").read_text())["sessions"][-1]
        wall, start = session["wall_seconds"], session["start_seconds"]
        rates.append(session["clips"] / (wall - start))
        work.append(session["decode_seconds"] + session["encode_seconds"])
        print(f"{what:16} {session['clips'] / wall:7.2f} clips/s, {rates[-1]:7.2f} once started; decode "
              f"{session['decode_seconds']:.2f} s, encode {session['encode_seconds']:.2f} s, generate "
              f"{session['generate_seconds']:.2f} s; {session['clips_from_cache']} clips from the cache")  # fmt: skip
    megabytes = sum(f.stat().st_size for f in (folder / "cache").rglob("*.safetensors")) / 1e6
    print(f"with the cache: {rates[2] / rates[0]:.1f} times the clips/s once started, "
          f"{work[0] / work[2]:.0f} times less time to decode and encode; "
          f"{megabytes / options.num_clips:.2f} MB per clip")  # fmt: skip


def plain_loop(options: Options, videos: list[Path]) -> float:
    """Clips a second of a loop that does all for every question; the better of 1 thread and all."""
    import torch

    import videollm
    from videollm.types import Generation

    model = videollm.load(options.model)
    generation = Generation(max_new_tokens=options.max_new_tokens)
    model.answer(videos[0], QUESTIONS[0], generation=generation)
    rates = []
    for num_threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(num_threads)
        began = time.perf_counter()
        for video in videos:
            for question in QUESTIONS:
                model.answer(video, question, generation=generation)
        rates.append(len(videos) / (time.perf_counter() - began))
    return max(rates)


def memory(options: Options, folder: Path) -> None:
    videos = make_videos(folder, 1000, 2.0, 192)
    for video, data in zip(videos[50::333], (b"", b"not a video", videos[0].read_bytes()[:2000]), strict=True):
        video.unlink()
        video.write_bytes(data)
    manifest = write_manifest(folder / "requests.jsonl", videos, QUESTIONS[:1])
    running = subprocess.Popen(
        command(options, manifest, folder / "whole"), env=environment(), stdout=subprocess.DEVNULL
    )
    wait_for(folder / "whole", 100, running)
    early = usage(running)
    wait_for(folder / "whole", 990, running)
    late = usage(running)
    running.wait()
    print(f"{'process':32} {'MB at clip 100':>15} {'MB at clip 1,000':>17}  change")
    for name in sorted(early.keys() & late.keys()):
        print(f"{name:32} {early[name]:15.1f} {late[name]:17.1f} {late[name] / max(early[name], 1e-9) - 1:+7.1%}")
    report(folder / "whole")
    for number in (333, 666):
        running = subprocess.Popen(command(options, manifest, folder / "killed"), env=environment())
        wait_for(folder / "killed", number, running)
        running.kill()
        running.wait()
        print(f"killed with -9 at row {number}")
    subprocess.run(command(options, manifest, folder / "killed"), env=environment(), check=True)
    report(folder / "killed")


def report(output: Path) -> None:
    rows = list(read_rows(output))
    statuses = Counter(r["status"] for r in rows)
    print(f"{len(rows)} rows, {len({r['id'] for r in rows})} ids: {dict(statuses)}")


def usage(running: subprocess.Popen[bytes]) -> dict[str, float]:
    """Resident MB by process, and of the object store."""
    found = {"object store": (shm := os.statvfs("/dev/shm")) and (shm.f_blocks - shm.f_bfree) * shm.f_frsize / 1e6}
    driver = psutil.Process(running.pid)
    for process in [driver, *driver.children(recursive=True)]:
        text = " ".join(process.cmdline())
        kinds = ("ray::Decode", "ray::EncodeAnswer", "decode_worker", "raylet", "gcs_server", "monitor", "dashboard",
                 "pipelines.cli.main")  # fmt: skip
        name = next((k for k in kinds if k in text), process.name())
        found[f"{name} {process.pid}"] = process.memory_info().rss / 1e6
    return found


def wait_for(output: Path, number: int, running: subprocess.Popen[bytes]) -> None:
    journal = output / "_journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < number:
        if running.poll() is not None:
            raise SystemExit(f"the job ended with {running.returncode} before row {number}")
        time.sleep(0.02)


def make_videos(folder: Path, number: int, seconds: float, size: int, num_stories: int = 5) -> list[Path]:
    """So many files of a few stories: what is in them does not change what they cost."""
    stories = [write_video(folder / f"story{i}.mp4", i, seconds, size) for i in range(num_stories)]
    videos = [folder / f"{i:04d}.mp4" for i in range(number)]
    for i, video in enumerate(videos):
        video.write_bytes(stories[i % len(stories)].read_bytes())
    return videos


def write_video(path: Path, seed: int, seconds: float, size: int, fps: int = 24) -> Path:
    """H.264 as encoders write it by default; blocks that drift."""
    image = np.random.default_rng(seed).integers(0, 255, (size // 24, size // 24, 3), np.uint8)
    image = image.repeat(24, axis=0).repeat(24, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for i in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(np.roll(image, (i, 3 * i), axis=(0, 1)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_manifest(path: Path, videos: list[Path], questions: tuple[str, ...] = QUESTIONS) -> Path:
    rows = [{"video": str(v), "question": q} for v in videos for q in questions]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def command(options: Options, manifest: Path, output: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "pipelines.cli.main", "answer", str(manifest), "-o", str(output),
            "--model", options.model, "--max-new-tokens", str(options.max_new_tokens), *flags]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}


if __name__ == "__main__":
    main(tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,)))
