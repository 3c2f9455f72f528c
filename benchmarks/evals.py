"""`videollm eval` against decoding and encoding anew for every question, as lmms-eval does: same model, same frames.

python benchmarks/evals.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from pipeline import environment, make_videos

from pipelines.results.journal import read_rows

OPTIONS = ("a red circle", "a blue square", "a green triangle", "a yellow star")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Print questions/s of both, for 3 questions a clip (Video-MME) and 15 (LVBench)."""

    model: str = "tiny-stc"
    """Model of both."""
    num_clips: int = 100
    """Clips of the eval."""
    questions: tuple[int, ...] = (3, 15)
    """Questions a clip."""
    seconds: float = 60.0
    """Length of a clip."""
    size: int = 720
    """Pixels a side."""
    plain_clips: int = 6
    """Clips of the loop that decodes for every question."""


def main(options: Options) -> None:
    with tempfile.TemporaryDirectory(prefix="videollm-bench-") as name:
        folder = Path(name)
        videos = make_videos(folder, options.num_clips, options.seconds, options.size)
        print(f"{options.num_clips} clips of {options.seconds:g} s, {options.size} x {options.size}, "
              f"model {options.model}, {os.cpu_count()} cores")  # fmt: skip
        for number in options.questions:
            table = write_questions(folder / f"{number}.jsonl", videos, number)
            whole = eval_rate(options, table, folder / f"out-{number}")
            rows = {row["id"]: row["answer"] for row in read_rows(folder / f"out-{number}")}
            plain, answers = plain_rate(options, videos[: options.plain_clips], number)
            same = sum(rows[id] == answer for id, answer in answers.items())
            print(f"{number:2} questions a clip: eval {whole:6.2f} questions/s from start to scores; a decode and an "
                  f"encode a question {plain:6.2f}: {whole / plain:.1f} times; "
                  f"{same} of {len(answers)} answers the same")  # fmt: skip


def asked(i: int) -> str:
    return f"Which shape is the {i + 1}. to move?"


def write_questions(path: Path, videos: list[Path], number: int) -> Path:
    rows = [
        {"id": f"{v.stem}-{i}", "video": v.name, "question": asked(i), "options": OPTIONS, "answer": "A"}
        for v in videos
        for i in range(number)
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def eval_rate(options: Options, table: Path, output: Path) -> float:
    """Questions a second of the whole command: start, answers, scores."""
    command = [
        sys.executable,
        "-m",
        "pipelines.cli.main",
        "eval",
        str(table),
        "-o",
        str(output),
        "--model",
        options.model,
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return len(table.read_text().splitlines()) / (time.perf_counter() - began)


def plain_rate(options: Options, videos: list[Path], number: int) -> tuple[float, dict[str, str]]:
    """Questions a second of a loop without the model's loading, the better of 1 thread and all; and its answers."""
    import torch

    import videollm
    from videollm.prompts.question import format_question
    from videollm.types import Generation

    model = videollm.load(options.model)
    generation = Generation(max_new_tokens=64)
    model.answer(videos[0], asked(0), generation=generation)
    rates, answers = [], {}
    for num_threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(num_threads)
        began = time.perf_counter()
        for video in videos:
            for i in range(number):
                question = format_question(asked(i), OPTIONS)
                answers[f"{video.stem}-{i}"] = model.answer(video, question, generation=generation).text
        rates.append(len(answers) / (time.perf_counter() - began))
    return max(rates), answers


if __name__ == "__main__":
    main(tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,)))
