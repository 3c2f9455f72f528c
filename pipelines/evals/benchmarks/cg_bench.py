"""CG-Bench."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase

from pipelines.evals.annotations import checked, find_video, json_rows, one_of
from pipelines.evals.benchmark import Benchmark, Sample
from pipelines.evals.metrics.grounding import Span, union_iou
from videollm.types import Clip


class CGBench(Benchmark):
    """12,129 questions with up to 14 options on 1,219 videos of 27 minutes on average, each with its clues.

    Folder: https://huggingface.co/datasets/CG-Bench/CG-Bench with its archives unpacked: cgbench.json (`mini`:
    cgbench_mini.json), the videos by their ids in cg_videos_720p/ or videos/, subtitles in cg_subtitles/.
    Groups: `domain` and `sub_category`, as the file has them.
    The clues (`clue_intervals`) are what evidence is scored against; the official rule for it is the intersection over
    the union of all predicted and all true seconds (mIoU).
    Prompt: the question and lettered options; the official one wants JSON.
    """

    kind = "grounding"
    splits = ("test", "mini")
    datasets = ("CG-Bench/CG-Bench", "CG-Bench/CG-Bench")
    groups = ("domain", "sub_category")

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions in the order of the annotation file."""
        files = self.files(folder, split)
        return checked(_samples(folder, files[0]), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the questions."""
        name = "cgbench.json" if split == "test" else "cgbench_mini.json"
        return [one_of(folder, name, f"annotations/{name}")]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question, lettered options and how to answer."""
        options = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        answer = "Answer with the option's letter from the given choices directly."
        return "\n".join([sample.question, *options, answer])

    def union_score(self, predicted: Sequence[Span], truth: Sequence[Span]) -> float | None:
        """Compute the intersection over the union of all predicted and all true seconds."""
        return union_iou(predicted, truth)


def _samples(folder: Path, file: Path) -> Iterator[Sample]:
    videos = [folder / at for at in ("cg_videos_720p", "videos", ".")]
    for row in json_rows(file):
        options, subtitles = row.texts("choices"), folder / "cg_subtitles" / f"{row.text('video_uid')}.srt"
        yield Sample(
            id=row.text("qid"),
            clip=Clip(video=find_video(videos, row.text("video_uid"))),
            question=row.text("question"),
            options=options,
            answer=row.letter("right_answer", options),
            evidence=row.spans("clue_intervals"),
            seconds=row.seconds("duration"),
            subtitles=subtitles if subtitles.is_file() else None,
            groups={name: row.text(name) for name in CGBench.groups},
        )
