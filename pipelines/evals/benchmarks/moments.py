"""Moment retrieval: Charades-STA and QVHighlights, whose answers are seconds."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pipelines.evals.annotations import checked, find_video, jsonl_rows, one_of, read_text
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.errors import UserError
from videollm.types import Clip

_LINE: Final = re.compile(r"(\S+) (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)##(.*\S)\s*")
LENGTHS: Final = {"short": (0, 10), "middle": (10, 30), "long": (30, 150)}
"""Seconds of a moment, as QVHighlights' standalone_eval groups them (from memory)."""


class Moments(Benchmark):
    """Sentences on a moment of a video; neither benchmark has a prompt for chat models."""

    kind = "grounding"

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the sentences in the order of the annotation file."""
        files = self.files(folder, split)
        return checked(self._samples(folder, files[0]), files)

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Ask for the first and the last second of what the sentence says."""
        return (
            f"When does this happen in the video: {sample.question}\n"
            "Answer with the second at which it starts and the second at which it ends, as START - END."
        )

    @abstractmethod
    def _samples(self, folder: Path, file: Path) -> Iterator[Sample]: ...


class CharadesSTA(Moments):
    """3,720 sentences on 1,334 videos of 30 s, each with the one moment that it describes.

    Folder: charades_sta_test.txt, as https://github.com/jiyanggao/TALL gives it (a line: `VIDEO START END##sentence`),
    and the videos of Charades by their ids in Charades_v1/, Charades_v1_480/ or videos/.
    Metrics: R@1 at tIoU 0.3, 0.5 and 0.7, and mIoU (Gao et al., TALL, ICCV 2017).
    """

    splits = ("test", "train")
    source = "https://github.com/jiyanggao/TALL and https://prior.allenai.org/projects/charades"

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the sentences."""
        name = f"charades_sta_{split}.txt"
        return [one_of(folder, name, f"Charades-STA/{name}", f"annotations/{name}")]

    def _samples(self, folder: Path, file: Path) -> Iterator[Sample]:
        videos = [folder / at for at in ("Charades_v1", "Charades_v1_480", "videos", ".")]
        for number, line in enumerate(read_text(file).splitlines(), 1):
            if not line.strip():
                continue
            found = _LINE.fullmatch(line)
            if found is None or not float(found[2]) < float(found[3]):
                raise UserError(
                    f"{file}, line {number} is {line!r:.200}, expected VIDEO START END##sentence, start before end."
                )
            yield Sample(
                id=f"{found[1]}-{number}",
                clip=Clip(video=find_video(videos, found[1])),
                question=found[4],
                evidence=((float(found[2]), float(found[3])),),
            )


class QVHighlights(Moments):
    """1,550 queries (val) on videos of 150 s, each with one moment or several.

    Folder: highlight_val_release.jsonl (or in data/), as https://github.com/jayleicn/moment_detr gives it, and the
    videos in videos/ by their ids, {YouTube id}_{start}_{end}. The file of `test` has no moments: nothing is scored.
    The first answer is scored against the moment that it meets best (R@1); mAP, which needs several ranked answers, is
    not computed.
    Group: `length` of the moments; a query counts in each of its own.
    """

    splits = ("val", "test")
    source = "https://github.com/jayleicn/moment_detr"
    groups = ("length",)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the queries."""
        name = f"highlight_{split}_release.jsonl"
        return [one_of(folder, name, f"data/{name}", f"annotations/{name}")]

    def _samples(self, folder: Path, file: Path) -> Iterator[Sample]:
        videos = [folder / at for at in ("videos", "QVHighlights/videos", ".")]
        for row in jsonl_rows(file):
            moments = row.spans("relevant_windows") if "relevant_windows" in row.values else ()
            lengths = [
                name for start, end in moments for name, (low, high) in LENGTHS.items() if low < end - start <= high
            ]
            yield Sample(
                id=row.text("qid"),
                clip=Clip(video=find_video(videos, row.text("vid"))),
                question=row.text("query"),
                evidence=moments,
                seconds=row.seconds("duration"),
                groups={"length": tuple(dict.fromkeys(lengths)) or "unknown"},
            )
