"""The product's own clips of moving shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.evals.annotations import checked, jsonl_rows
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.shapes.clips import QUESTIONS
from videollm.types import Clip


class Shapes(Benchmark):
    """Questions of 19 kinds on stories of shapes, which the embedded models can answer.

    Folder: what `videollm make-clips` wrote (questions.jsonl and the clips).
    Groups: `kind`, and `temporal` (no: the set of the frames, without their order, gives the answer).
    The question is asked without its options, as `videollm eval-shapes` does, and the answer's words name one: lettered
    options measure whether a model knows letters, and the embedded ones hardly do (docs/embedded.md).
    Rule: the very words, as in `videollm eval-shapes`.
    """

    source = "`videollm make-clips`, which writes them"
    groups = ("kind", "temporal")

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions clip by clip."""
        files = self.files(folder, split)
        return checked(_samples(folder, files[0]), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the questions."""
        return [folder / QUESTIONS]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question alone."""
        return sample.question

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether the output is the right option, word for word."""
        return text == sample.options[sample.answer] if isinstance(sample.answer, int) else None


def _samples(folder: Path, questions: Path) -> Iterator[Sample]:
    for fields in jsonl_rows(questions):
        options = fields.texts("choices")
        yield Sample(
            id=fields.text("id"),
            clip=Clip(video=str(folder / fields.text("video"))),
            question=fields.text("question"),
            options=options,
            lettered=False,
            answer=fields.option("answer", options),
            groups={"kind": fields.text("kind"), "temporal": "yes" if fields.values.get("temporal") else "no"},
        )
