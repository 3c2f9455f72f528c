"""Training data from a manifest: rows of video, question and answer, grouped by clip."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from videollm.io import is_remote
from videollm.models.composed import VideoLLM
from videollm.training.data import Example, Lesson
from videollm.types import Clip
from videollm.video.decoding.decode import decode
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class ManifestData:
    """Clips with their lessons, in a new order every epoch, decoded as training goes."""

    clips: tuple[tuple[Clip, tuple[Lesson, ...]], ...]
    sampling: Sampling
    size: FrameSize | None
    seed: int
    batch_size: int

    def __call__(self, step: int) -> list[Example]:
        """The batch of a step."""
        return [self._example(step * self.batch_size + i) for i in range(self.batch_size)]

    def _example(self, number: int) -> Example:
        epoch, at = divmod(number, len(self.clips))
        order = list(range(len(self.clips)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        clip, lessons = self.clips[order[at]]
        return Example(frames=decode(clip, self.sampling, size=self.size), lessons=lessons)

    @staticmethod
    def read(path: str, model: VideoLLM, *, seed: int, batch_size: int) -> ManifestData:
        """Read a .jsonl, .csv or .parquet manifest.

        Raises:
            ValueError: the file cannot be read, or a row lacks a video, a question or an answer.
        """
        import pyarrow.parquet as pq
        from pyarrow import ArrowInvalid, csv, json

        readers = {".jsonl": json.read_json, ".csv": csv.read_csv, ".parquet": pq.read_table}
        if Path(path).suffix not in readers:
            raise ValueError(f"--data got {path!r}; expected `shapes` or a {', '.join(readers)} file.")
        try:
            rows = readers[Path(path).suffix](path).to_pylist()
        except (OSError, ArrowInvalid) as error:
            raise ValueError(f"--data {path} cannot be read: {error}") from error
        clips: dict[Clip, dict[str, Lesson]] = {}
        for number, row in enumerate(rows, 1):
            if lacking := [k for k in ("video", "question", "answer") if not row.get(k)]:
                raise ValueError(f"{path}, row {number} lacks {', '.join(lacking)}; each row needs all three.")
            video = row["video"] if is_remote(row["video"]) else str(Path(path).parent / row["video"])
            clip = Clip(video=video, start=row.get("start"), end=row.get("end"))
            lesson = Lesson(question=row["question"], answer=row["answer"], kind=row.get("kind") or "answer")
            clips.setdefault(clip, {})[lesson.question] = lesson
        if not clips:
            raise ValueError(f"{path} has no rows; expected rows of video, question and answer.")
        return ManifestData(
            clips=tuple((clip, tuple(lessons.values())) for clip, lessons in clips.items()),
            sampling=model.sampling,
            size=model.transform.frame_size(),
            seed=seed,
            batch_size=batch_size,
        )
