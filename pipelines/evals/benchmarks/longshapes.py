"""Long videos of shapes with known timelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pipelines.evals.annotations import Fields, checked, jsonl_rows
from pipelines.evals.benchmark import Benchmark, Sample
from pipelines.evals.evidence import evidence_of, searched_for_evidence
from pipelines.evals.grades import answered_span
from pipelines.evals.metrics.grounding import time_error
from videollm.shapes.clips import QUESTIONS
from videollm.shapes.long_questions import NUMBERS
from videollm.shapes.timeline import MAX_COUNT
from videollm.types import Clip, Search

SEARCHED: Final = {"exists": "exists", "when": "when", "order": "order", "count": "count", "chapter": "global",
                   "gist": "global"}  # fmt: skip
"""Kind of a question -> how its video is searched; the others are asked where what they name shows."""


class LongShapes(Benchmark):
    """Questions of 8 kinds on videos of a minute to many hours, in which every event is seen for a few seconds.

    Folder: what `videollm make-clips --minutes ...` wrote (questions.jsonl and the videos).
    Splits: `test`, and the controls: `removed` (the needle is gone), `shuffled` (events in another order, answers by
    order as before), `blank` (nothing to see).
    Groups: `kind`; `minutes`; `position`, the tenth of the video that shows the answer; `place`, both.
    The question is asked without its options, as in `shapes`. `when` is answered in seconds, or by evidence.
    """

    kind = "grounding"
    source = "`videollm make-clips --minutes 10`, which writes them"
    splits = ("test", "removed", "shuffled", "blank")
    groups = ("kind", "minutes", "position", "place")
    tolerance_seconds = 10.0

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions video by video."""
        files = self.files(folder, split)
        return checked((s for row in jsonl_rows(files[0]) for s in _samples(folder, row, split)), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the questions."""
        return [folder / QUESTIONS]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question alone."""
        return sample.question

    def search(self, sample: Sample) -> Search:
        """Tell how the kind of a question is searched."""
        return replace(super().search(sample), kind=SEARCHED.get(str(sample.groups["kind"]), "localized"))

    def said(self, sample: Sample, text: str) -> str:
        """Write a count in digits as the word that the options have."""
        digits = text.strip().rstrip(".")
        counted = sample.options == NUMBERS and digits.isdecimal() and 1 <= int(digits) <= MAX_COUNT
        return NUMBERS[int(digits) - 1] if counted else text

    def measures(self, sample: Sample, row: Mapping[str, Any]) -> Mapping[str, float]:
        """Measure the error of times and counts, and how often something is found that is not there."""
        kind, found = sample.groups["kind"], evidence_of(row)
        if kind == "when" and sample.evidence:
            span, _ = answered_span(row)
            return {} if span is None else {"time error, s": time_error(span, sample.evidence[0])}
        if kind == "count":
            said = self.said(sample, row["answer"] or "").strip()
            right = sample.answer
            return (
                {"count error": float(abs(NUMBERS.index(said) - right))}
                if said in NUMBERS and isinstance(right, int)
                else {}
            )
        if kind == "exists" and not sample.evidence and sample.seconds and sample.options[_index(sample)] == "no":
            alarms = len(found) if searched_for_evidence(row) else (row["answer"] or "").strip().lower() == "yes"
            return {"false alarms an hour": alarms * 3600 / sample.seconds}
        return {}


def _index(sample: Sample) -> int:
    assert isinstance(sample.answer, int)
    return sample.answer


def _samples(folder: Path, row: Fields, split: str) -> Iterator[Sample]:
    if row.text("split") != split:
        return
    options = row.texts("choices") if row.values.get("choices") else ()
    minutes, position = f"{float(row.text('minutes')):g}", row.values.get("position")
    tenth = "-" if position is None else f"{min(9, int(10 * float(position))) / 10:.1f}"
    yield Sample(
        id=row.text("id"),
        clip=Clip(video=str(folder / row.text("video"))),
        question=row.text("question"),
        options=options,
        lettered=False,
        answer=row.option("answer", options) if options else None,
        evidence=row.spans("evidence"),
        seconds=row.seconds("seconds"),
        groups={"kind": row.text("kind"), "minutes": minutes, "position": tenth, "place": f"{minutes} min, {tenth}"},
    )
