"""Video-MME."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.annotations import checked, find_video, first_there, one_of, parquet_rows
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.types import Clip

_ASK: Final = (
    "Select the best answer to the following multiple-choice question based on the video. "
    "Respond with only the letter (A, B, C, or D) of the correct option."
)


class VideoMME(Benchmark):
    """900 videos of 11 s to 1 h, 3 questions each with 4 options, subtitles for 744 of them.

    Folder: https://huggingface.co/datasets/lmms-lab/Video-MME with its zips unpacked: videomme/test-*.parquet, data/
    (or video/, videos/) with {videoID}.mp4 (or .mkv, ...), subtitle/ (or subtitles/) with {videoID}.srt.
    Prompt: https://github.com/MME-Benchmarks/Video-MME (README), the same with and without subtitles.
    Rule: eval_your_results.py, which that README names.
    """

    datasets = ("lmms-lab/Video-MME",)
    groups = ("duration", "domain", "sub_category", "task_type")

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions in the order of the Parquet file."""
        files = self.files(folder, split)
        return checked(_samples(folder, files[0]), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Find the Parquet file, in its folder or beside the videos."""
        name = f"{split}-00000-of-00001.parquet"
        return [one_of(folder, f"videomme/{name}", name)]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the official prompt, under the subtitles and their heading (the base class's) where there are any."""
        options = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        return "\n".join([_ASK, sample.question, *options, "The best answer is:"])

    def official(self, sample: Sample, text: str) -> bool:
        """Tell whether the first capital A to D is the right letter, once set phrases are cut out."""
        assert isinstance(sample.answer, int)
        return official.videomme(text, sample.options, sample.answer)


def _samples(folder: Path, annotations: Path) -> Iterator[Sample]:
    for fields in parquet_rows(annotations):
        name, options = fields.text("videoID"), fields.lettered("options")
        subtitles = first_there(folder / f"subtitle/{name}.srt", folder / f"subtitles/{name}.srt")
        yield Sample(
            id=fields.text("question_id"),
            clip=Clip(video=find_video((folder / at for at in ("data", "video", "videos")), name)),
            question=fields.text("question"),
            options=options,
            answer=fields.letter("answer", options),
            groups={group: fields.text(group) for group in VideoMME.groups},
            subtitles=subtitles if subtitles.is_file() else None,
        )
