"""Training data: clips with what is to be learned from them, from a manifest of videos, questions and answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from videollm.errors import UserError
from videollm.io import is_remote, local_name
from videollm.types import Clip, FrameBatch

if TYPE_CHECKING:
    from videollm.models.protocol import VideoModel

SUFFIXES: Final = (".jsonl", ".csv", ".parquet")
"""Formats of a manifest."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One question with the answer to learn."""

    question: str
    answer: str
    kind: str = "answer"
    options: tuple[str, ...] = ()
    """Shown with the question; the answer is then the letter of one of them."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A clip's frames with all that is learned from it."""

    frames: FrameBatch
    lessons: tuple[Lesson, ...]


class Data(Protocol):
    """Batches by number: the same number gives the same batch, so that training can resume anywhere."""

    def __call__(self, step: int) -> list[Example]:
        """Make the batch of a step."""


@dataclass(frozen=True, kw_only=True)
class ManifestData:
    """Clips with their lessons, in a new order every epoch, decoded as training goes."""

    clips: tuple[tuple[Clip, tuple[Lesson, ...]], ...]
    decode: Callable[[Clip], FrameBatch]
    """Frames of a clip, as the model that learns sees them."""
    seed: int
    batch_size: int

    def __call__(self, step: int) -> list[Example]:
        """Make the batch of a step."""
        return [self._example(step * self.batch_size + i) for i in range(self.batch_size)]

    def _example(self, number: int) -> Example:
        epoch, at = divmod(number, len(self.clips))
        order = list(range(len(self.clips)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        clip, lessons = self.clips[order[at]]
        return Example(frames=self.decode(clip), lessons=lessons)

    @staticmethod
    def read(path: str | Path, model: VideoModel, *, seed: int, batch_size: int) -> ManifestData:
        """Read a .jsonl, .csv or .parquet manifest, whose clips are sampled and sized as a model wants them.

        Raises:
            UserError: the file cannot be read, or a row lacks a video, a question or an answer.
        """
        rows = _read_rows(path)
        clips: dict[Clip, dict[str, Lesson]] = {}
        for number, row in enumerate(rows, 1):
            if lacking := [k for k in ("video", "question", "answer") if not row.get(k)]:
                raise UserError(f"{path}, row {number} lacks {', '.join(lacking)}; each row needs all three.")
            video = row["video"] if is_remote(row["video"]) else str(Path(path).parent / local_name(row["video"]))
            clip = Clip(video=video, start=row.get("start"), end=row.get("end"))
            lesson = Lesson(question=row["question"], answer=row["answer"], kind=row.get("kind") or "answer")
            clips.setdefault(clip, {})[lesson.question] = lesson
        if not clips:
            raise UserError(f"{path} has no rows; expected rows of video, question and answer.")
        return ManifestData(
            clips=tuple((clip, tuple(lessons.values())) for clip, lessons in clips.items()),
            decode=model.decode,
            seed=seed,
            batch_size=batch_size,
        )


def _read_rows(path: str | Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq
    from pyarrow import ArrowInvalid, csv, json

    readers = dict(zip(SUFFIXES, (json.read_json, csv.read_csv, pq.read_table), strict=True))
    if Path(path).suffix not in readers:
        raise UserError(f"Training data {path} is no manifest; expected a {', '.join(SUFFIXES)} file.")
    try:
        rows: list[dict[str, Any]] = readers[Path(path).suffix](path).to_pylist()
    except (OSError, ArrowInvalid) as error:
        raise UserError(f"Training data {path} cannot be read: {error}. Expected rows of a table.") from error
    return rows
