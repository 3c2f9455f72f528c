"""What each answer is worth: one function for each kind of benchmark, over all questions of a setting.

An answer that failed, is missing or cannot be read is worth nothing; it is never guessed and never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.answers.choice import read_choice
from pipelines.evals.answers.open import exact_match, squad_normalise, token_f1
from pipelines.evals.benchmark import Benchmark, Kind, Sample
from pipelines.evals.metrics.captions import score_captions
from pipelines.results.schema import OK, Row

UNPARSED: Final = "unparsed"
MISSING: Final = "missing"
"""Status of a question whose answer is not there (yet)."""
Asked = tuple[Sample, Sequence[Row | None]]
"""A question, and its answers: options as they are, then moved on by 1, 2, ..."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What is thought of an answer."""

    status: str
    """`ok`, `unparsed`, `missing`, or the row's own status (`decode_error`, `timeout`, ...)."""
    reading: str | None = None
    """What the strict parser read: an option's letter, or the normalised text."""
    rule: str | None = None
    """Which rule of the parser fired, or why none did."""
    strict: Mapping[str, float] = field(default_factory=dict)
    """Metric -> worth of the answer, the headline first; {} where no right answer is published."""
    compat: Mapping[str, float] = field(default_factory=dict)
    """The same by the benchmark's own rule, quirks included; {} where it has none."""


def mark_choices(benchmark: Benchmark, asked: Sequence[Asked], folder: Path, judge: str | None) -> list[Mark]:
    """Accuracy; with rotations also how many of them are right, and whether all are (circular evaluation)."""
    circular = any(len(rows) > 1 for _, rows in asked)
    return [_choice(benchmark, sample, rows, circular) for sample, rows in asked]


def _choice(benchmark: Benchmark, sample: Sample, rows: Sequence[Row | None], circular: bool) -> Mark:
    marks = [_one_choice(sample.rotated(r), row) for r, row in enumerate(rows)]
    mark = marks[0]
    if sample.answer is None:
        return replace(mark, strict={})
    if circular:
        right = [m.strict["accuracy"] for m in marks]
        more = {"circular": float(all(right)), "mean over rotations": sum(right) / len(right)}
        mark = replace(mark, strict={**mark.strict, **more})
    if benchmark.official(sample, "") is not None:
        text = _text(rows[0])
        mark = replace(mark, compat={"accuracy": float(text is not None and bool(benchmark.official(sample, text)))})
    return mark


def _one_choice(sample: Sample, row: Row | None) -> Mark:
    text = _text(row)
    if text is None:
        return Mark(status=_status(row), strict={"accuracy": 0.0})
    choice = read_choice(text, sample.options, lettered=sample.lettered)
    if choice.option is None:
        return Mark(status=UNPARSED, rule=choice.rule, strict={"accuracy": 0.0})
    return Mark(
        status=OK,
        reading=ascii_uppercase[choice.option],
        rule=choice.rule,
        strict={"accuracy": float(_is_right(choice.option, sample))},
    )


def _is_right(option: int, sample: Sample) -> bool:
    """Whether an option is the right one, or a copy of it (NExT-QA and MLVU have some)."""
    return isinstance(sample.answer, int) and sample.options[option] == sample.options[sample.answer]


def mark_open(benchmark: Benchmark, asked: Sequence[Asked], folder: Path, judge: str | None) -> list[Mark]:
    """Exact match and token F1 against the best of the right answers; a judge's verdict where there is one."""
    marks = [_open(sample, rows[0]) for sample, rows in asked]
    if judge is None:
        return marks
    from pipelines.evals.judge import judge_answers

    verdicts = judge_answers(folder, judge, [(s, _text(rows[0])) for s, rows in asked])
    return [replace(m, strict={**v, **m.strict}) for m, v in zip(marks, verdicts, strict=True)]


def _open(sample: Sample, row: Row | None) -> Mark:
    text, answers = _text(row), sample.answer
    assert answers is None or isinstance(answers, tuple)
    read = "" if text is None else squad_normalise(text)
    status = _status(row) if text is None else OK if read else UNPARSED
    strict = {} if answers is None else {"exact": 0.0, "f1": 0.0}
    if answers and text is not None and read:
        strict = {"exact": float(exact_match(text, answers)), "f1": token_f1(text, answers)}
    return Mark(status=status, reading=read or None, rule="text" if read else None, strict=strict)


def mark_captions(benchmark: Benchmark, asked: Sequence[Asked], folder: Path, judge: str | None) -> list[Mark]:
    """CIDEr-D and ROUGE-L of each caption against its references; one that is not there counts as empty.

    BLEU-4 is no mean over captions: `scores` adds it over all of them.
    """
    marks = []
    for _, rows in asked:
        text = _text(rows[0])
        status = _status(rows[0]) if text is None else OK if text.strip() else UNPARSED
        marks.append(Mark(status=status, reading=text or None, rule="text" if status == OK else None))
    known = [i for i, (sample, _) in enumerate(asked) if sample.answer is not None]
    if known:
        found = score_captions([marks[i].reading or "" for i in known], [references(asked[i][0]) for i in known])
        for i, cider_d, rouge_l in zip(known, found.cider_d, found.rouge_l, strict=True):
            marks[i] = replace(marks[i], strict={"CIDEr-D": cider_d, "ROUGE-L": rouge_l})
    return marks


def references(sample: Sample) -> Sequence[str]:
    """Right captions of a video."""
    assert isinstance(sample.answer, tuple)
    return sample.answer


MARKS: Final[dict[Kind, Callable[[Benchmark, Sequence[Asked], Path, str | None], list[Mark]]]] = {
    "choice": mark_choices,
    "open": mark_open,
    "captions": mark_captions,
}
"""Kind of benchmark -> how its answers are marked."""


def _text(row: Row | None) -> str | None:
    """The raw output, if there is one."""
    return None if row is None or row["status"] != OK else row["answer"] or ""


def _status(row: Row | None) -> str:
    return MISSING if row is None else str(row["status"])
