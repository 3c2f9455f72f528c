"""Data of the page, as plain values that JSON can hold: runs with their scores, questions with their answers.

Questions and answers are laid out in columns, and texts that many of them share stand in one table.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final, Generic, TypeVar

from pipelines.evals.answers.choice import read_choice
from pipelines.evals.benchmark import Sample, each
from pipelines.evals.grades import MISSING, UNPARSED
from pipelines.evals.report.runs import (
    AnsweredRun,
    Run,
    headline_facts,
    paired_differences,
    provenance,
    run_names,
)
from pipelines.evals.report.thumbnails import Strip, strip_of
from pipelines.evals.report.videos import VideoRow, lay_out_videos
from pipelines.evals.scores import Score, ScoredQuestion, ScoredRun
from pipelines.evals.settings import differing_settings
from pipelines.evals.statistics.bootstrap import Estimate
from pipelines.results.run_record import find_video
from pipelines.results.schema import OK, Row
from videollm.types import Clip

VERSION: Final = 1
"""Of the data's form; goes up when a reader of older pages could not read them."""
T = TypeVar("T", bound=Hashable)
Fields = dict[str, Any]
Key = tuple[str, str, float | None, float | None]
"""A question's id, its setting and, where it is about a part of a split video, the part's start and end."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Data of a page, and the frames that it shows."""

    data: Fields
    strips: tuple[Strip, ...]
    """Frames of clips, in the order in which the answers name them."""


@dataclass(kw_only=True)
class Item:
    """Question of a page."""

    id: str
    setting: str
    video: int
    """Place among the texts."""
    start: float | None
    end: float | None
    question: str
    groups: list[list[str]]
    """Of each grouping, those it counts in."""
    options: list[str] | None = None
    right: int | None = None
    """Index of the right option."""
    references: list[str] | None = None
    """Texts that are right."""
    level: str | None = None
    """What part of a split video it is about."""

    @property
    def key(self) -> Key:
        """Tell questions apart; segments of one number may lie elsewhere in another run."""
        return (self.id, self.setting, *((None, None) if self.level is None else (self.start, self.end)))


@dataclass(kw_only=True)
class Answer:
    """Answer of a run to a question."""

    status: str
    reading: str | None = None
    rule: str | None = None
    correct: bool | None = None
    strict: list[float | None] | None = None
    """Score by every metric."""
    compat: list[float | None] | None = None
    rotations: list[Fields] | None = None
    output: str | None = None
    finish: str | None = None
    error: int | None = None
    """Place among the texts."""
    prompt: list[int] | None = None
    """Places of its parts: before the question, the question as it was asked, after it."""
    tokens: int | None = None
    size: str | None = None
    seconds: list[float] | None = None
    """Of decoding, encoding and generating."""
    missing: list[int] | None = None
    strip: int | None = None
    """Place among the strips."""
    cut: int | None = None
    """Why the segment ends where it does: place among the texts."""
    failed: int | None = None
    """Segments of the part that have no answer."""
    strategy: int | None = None
    """Place among the texts."""
    evidence: list[tuple[float, float, float | None]] | None = None
    """Start, end and score; best first."""
    looked: tuple[int | None, int | None] | None = None
    """Parts of the video that were looked at, and frames."""
    note: int | None = None
    """Place among the texts."""


def make_view(runs: Sequence[Run], folder: Path | None = None) -> View:
    """Lay out runs side by side: every question of any of them, with the answers of each.

    Args:
        folder: where the page will lie; None: in the first run's.
    """
    texts, strips = _Table[str](), _Table[Strip]()
    items: dict[Key, Item] = {}
    answers: list[dict[Key, Answer]] = []
    metrics = list(dict.fromkeys(s.metric for run in runs if isinstance(run, ScoredRun) for s in run.scores))
    groupings = list(dict.fromkeys(name for run in runs for name in _groupings(run)))
    told: list[tuple[int, Key, Row, str]] = []
    for number, run in enumerate(runs):
        path = cache(partial(find_video, run.record))
        if isinstance(run, ScoredRun):
            found = [(_item(s, groupings, texts), _answer(s, metrics), s.row, s.sample.clip) for s in run.items]
        else:
            found = [(_asked(r, texts), Answer(status=r["status"]), r, _clip(r)) for r in run.rows]
        answers.append({})
        for item, answer, row, clip in found:
            if row is not None:
                _add_row(answer, row, texts)
                answer.strip = (
                    strips.place(strip_of(row, replace(clip, video=path(clip.video)), run.record))
                    if row["frame_indices"]
                    else None
                )
                if clip.video and (isinstance(run, AnsweredRun) or row.get("strategy") is not None):
                    told.append((number, item.key, row, path(clip.video)))
            items.setdefault(item.key, item)
            answers[-1][item.key] = answer
    places = {key: place for place, key in enumerate(items)}
    rows = [VideoRow(item=places[key], run=number, row=row, video=video) for number, key, row, video in told]
    data = {
        "version": VERSION,
        "runs": [_run(run, name) for run, name in zip(runs, run_names(runs), strict=True)],
        "metrics": metrics,
        "groupings": groupings,
        "differences": differing_settings([run.record for run in runs]),
        "paired": paired_differences(runs),
        "items": _columns(Item, list(items.values())),
        "answers": [_columns(Answer, [of_run.get(key) for key in items]) for of_run in answers],
        "videos": lay_out_videos(rows, runs[0].folder if folder is None else folder),
        "texts": texts.values,
    }
    return View(data=data, strips=tuple(strips.values))


class _Table(Generic[T]):
    """Values, each kept once, that are named by their place."""

    def __init__(self) -> None:
        self._places: dict[T, int] = {}

    def place(self, value: T) -> int:
        return self._places.setdefault(value, len(self._places))

    @property
    def values(self) -> list[T]:
        return list(self._places)


def _groupings(run: Run) -> Iterable[str]:
    """Return the groupings that get a plot, then the others."""
    return (
        [*run.benchmark.groups, *(n for i in run.items for n in i.sample.groups)] if isinstance(run, ScoredRun) else ()
    )


def _run(run: Run, name: str) -> Fields:
    return {
        "name": name,
        "finished": "finished" in run.record,
        "graded": isinstance(run, ScoredRun) and run.benchmark.kind == "captions",
        "facts": headline_facts(run),
        "provenance": provenance(run),
        "statuses": {setting: dict(run.statuses(setting).most_common()) for setting in run.settings},
        "scores": [_score(s) for s in run.scores] if isinstance(run, ScoredRun) else [],
    }


def _score(score: Score) -> Fields:
    return {
        "setting": score.setting,
        "metric": score.metric,
        "rule": score.rule,
        "macro": score.macro,
        "grouping": score.grouping,
        "group": score.group,
        "all": _estimate(score.over_all),
        "answered": None if score.over_answered is None else _estimate(score.over_answered),
    }


def _estimate(found: Estimate) -> Fields:
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "questions": found.num,
        "videos": found.num_clusters,
    }


def _item(scored: ScoredQuestion, groupings: Sequence[str], texts: _Table[str]) -> Item:
    sample = scored.sample
    return Item(
        id=sample.id,
        setting=scored.setting,
        video=texts.place(scored.video),
        start=sample.clip.start,
        end=sample.clip.end,
        question=sample.question,
        groups=[list(each(sample.groups.get(name, ()))) for name in groupings],
        options=list(sample.options) or None,
        right=sample.answer if isinstance(sample.answer, int) else None,
        references=list(sample.answer) if isinstance(sample.answer, tuple) else None,
    )


def _answer(scored: ScoredQuestion, metrics: Sequence[str]) -> Answer:
    grade = scored.grade
    return Answer(
        status=grade.status,
        reading=grade.reading,
        rule=grade.rule,
        correct=scored.right,
        strict=[grade.strict.get(m) for m in metrics] if grade.strict else None,
        compat=[grade.compat.get(m) for m in metrics] if grade.compat else None,
        rotations=[_rotation(scored.sample, by, row) for by, row in enumerate(scored.rotations, 1)] or None,
    )


def _rotation(sample: Sample, by: int, row: Row | None) -> Fields:
    """Lay out the answer to rotated options; `reading` is the option's letter before the rotation."""
    asked = sample.rotated(by)
    choice = read_choice(row["answer"] or "", asked.options) if row is not None and row["status"] == OK else None
    option = None if choice is None or choice.option is None else (choice.option + by) % len(asked.options)
    status = MISSING if row is None else row["status"] if choice is None else UNPARSED if option is None else OK
    return {
        "by": by,
        "status": status,
        "reading": None if option is None else ascii_uppercase[option],
        "correct": None if sample.answer is None else option == sample.answer,
        "output": None if row is None else row["answer"] or row["error"],
    }


def _asked(row: Row, texts: _Table[str]) -> Item:
    """Lay out the question of a row without a benchmark."""
    return Item(
        id=row["id"],
        setting="",
        video=texts.place(row["video"] or ""),
        start=row["start"],
        end=row["end"],
        question=row["question"] or "",
        groups=[],
        level=row.get("level"),
    )


def _add_row(answer: Answer, row: Row, texts: _Table[str]) -> None:
    """Fill in an answer's fields from its row."""
    prompt, asked = row["prompt"], row["question"]
    if prompt:
        before, found, after = prompt.partition(asked) if asked else (prompt, "", "")
        answer.prompt = [texts.place(part) for part in (before, found, after)]
    answer.output, answer.finish, answer.tokens = row["answer"], row["finish_reason"], row["num_visual_tokens"]
    answer.error = None if row["error"] is None else texts.place(row["error"])
    answer.size = f"{row['frame_width']} by {row['frame_height']}" if row["frame_height"] else None
    answer.seconds = [round(row[name], 4) for name in ("decode_seconds", "encode_seconds", "generate_seconds")]
    answer.missing = row["missing_frames"] or None
    answer.failed = row.get("children_failed") or None
    for name, column in (("cut", "split_reason"), ("strategy", "strategy"), ("note", "note")):
        setattr(answer, name, None if row.get(column) is None else texts.place(row[column]))
    if row.get("strategy") is not None:
        columns = [row.get(f"evidence_{name}") or () for name in ("start", "end", "scores")]
        answer.evidence = [(round(a, 3), round(b, 3), score) for a, b, score in zip_longest(*columns)]
        answer.looked = (row.get("num_looks"), row.get("num_frames_scanned"))


def _clip(row: Row) -> Clip:
    return Clip(video=row["video"] or "", start=row["start"], end=row["end"])


def _columns(kind: type[Item] | type[Answer], rows: Sequence[Item | Answer | None]) -> Fields:
    """Turn rows into columns: name of a field -> its values, None where every value is missing."""
    columns: Fields = {"count": len(rows)}
    for name in (f.name for f in fields(kind)):
        values = [None if row is None else getattr(row, name) for row in rows]
        columns[name] = values if any(v is not None for v in values) else None
    return columns
