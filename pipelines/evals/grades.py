"""Grades of answers: one function per kind of benchmark, over all questions of a setting.

An answer that failed, is missing or cannot be read scores 0; no answer is guessed or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Final

from pipelines.evals.answers.choice import read_choice
from pipelines.evals.answers.open import exact_match, squad_normalise, token_f1
from pipelines.evals.answers.spans import read_span
from pipelines.evals.benchmark import Benchmark, Kind, Sample
from pipelines.evals.evidence import evidence_of, searched_for_evidence
from pipelines.evals.metrics.captions import score_captions
from pipelines.evals.metrics.grounding import Span, evidence_scores, moment_scores, time_error
from pipelines.results.schema import OK, Row

UNPARSED: Final = "unparsed"
MISSING: Final = "missing"
"""Status of a question without an answer (yet)."""
Asked = tuple[Sample, Sequence[Row | None]]
"""A question, and its rows: options as they are, then moved on by 1, 2, ..."""
Verdicts = list[dict[str, float]]
"""Of a judge, for each question: metric -> worth."""
AskJudge = Callable[[Sequence[tuple[Sample, str | None]]], Verdicts]
"""Judges the raw outputs of questions; None: a question has none."""


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The reading of an answer, and its score."""

    status: str
    """`ok`, `unparsed`, `missing`, or the row's own status (`decode_error`, `timeout`, ...)."""
    reading: str | None = None
    """What the strict parser read: an option's letter, or the normalised text."""
    rule: str | None = None
    """Which rule of the parser fired, or why none did."""
    strict: Mapping[str, float] = field(default_factory=dict)
    """Metric -> score of the answer, the headline first; {} where no right answer is published."""
    compat: Mapping[str, float] = field(default_factory=dict)
    """Scores by the benchmark's own rule, quirks included; {} where the benchmark has no rule."""


def grade_choices(benchmark: Benchmark, asked: Sequence[Asked], judge: AskJudge | None) -> list[Grade]:
    """Grade by accuracy; with rotations also by the share of right rotations, and whether all are right (circular)."""
    circular = any(len(rows) > 1 for _, rows in asked)
    return [_choice(benchmark, sample, rows, circular) for sample, rows in asked]


def _choice(benchmark: Benchmark, sample: Sample, rows: Sequence[Row | None], circular: bool) -> Grade:
    grades = [_one_choice(benchmark, sample.rotated(r), row) for r, row in enumerate(rows)]
    grade = grades[0]
    if sample.answer is None:
        return replace(grade, strict={})
    if circular:
        right = [g.strict["accuracy"] for g in grades]
        more = {"circular": float(all(right)), "mean over rotations": sum(right) / len(right)}
        grade = replace(grade, strict={**grade.strict, **more})
    if benchmark.official(sample, "") is not None:
        text = _text(rows[0])
        grade = replace(grade, compat={"accuracy": float(text is not None and bool(benchmark.official(sample, text)))})
    return grade


def _one_choice(benchmark: Benchmark, sample: Sample, row: Row | None) -> Grade:
    text = _text(row)
    if text is None:
        return Grade(status=_status(row), strict={"accuracy": 0.0})
    choice = read_choice(benchmark.said(sample, text), sample.options, lettered=sample.lettered)
    if choice.option is None:
        return Grade(status=UNPARSED, rule=choice.rule, strict={"accuracy": 0.0})
    return Grade(
        status=OK,
        reading=ascii_uppercase[choice.option],
        rule=choice.rule,
        strict={"accuracy": float(_is_right(choice.option, sample))},
    )


def _is_right(option: int, sample: Sample) -> bool:
    """Tell whether an option is the right one, or a copy of the right one (NExT-QA and MLVU have copies)."""
    return isinstance(sample.answer, int) and sample.options[option] == sample.options[sample.answer]


def grade_open(benchmark: Benchmark, asked: Sequence[Asked], judge: AskJudge | None) -> list[Grade]:
    """Grade by exact match and token F1 against the best right answer, and by a judge if given."""
    grades = [_open(sample, rows[0]) for sample, rows in asked]
    if judge is None:
        return grades
    verdicts = judge([(sample, _text(rows[0])) for sample, rows in asked])
    return [replace(g, strict={**v, **g.strict}) for g, v in zip(grades, verdicts, strict=True)]


def _open(sample: Sample, row: Row | None) -> Grade:
    text, answers = _text(row), sample.answer
    assert answers is None or isinstance(answers, tuple)
    read = "" if text is None else squad_normalise(text)
    status = _status(row) if text is None else OK if read else UNPARSED
    strict = {} if answers is None else {"exact": 0.0, "f1": 0.0}
    if answers and text is not None and read:
        strict = {"exact": float(exact_match(text, answers)), "f1": token_f1(text, answers)}
    return Grade(status=status, reading=read or None, rule="text" if read else None, strict=strict)


def grade_captions(benchmark: Benchmark, asked: Sequence[Asked], judge: AskJudge | None) -> list[Grade]:
    """Grade by CIDEr-D and ROUGE-L against the references; a missing caption counts as empty.

    BLEU-4 is no mean over captions: `scores` adds it over all of them.
    """
    grades = []
    for _, rows in asked:
        text = _text(rows[0])
        status = _status(rows[0]) if text is None else OK if text.strip() else UNPARSED
        grades.append(Grade(status=status, reading=text or None, rule="text" if status == OK else None))
    known = [i for i, (sample, _) in enumerate(asked) if sample.answer is not None]
    if known:
        found = score_captions([grades[i].reading or "" for i in known], [references(asked[i][0]) for i in known])
        for i, cider_d, rouge_l in zip(known, found.cider_d, found.rouge_l, strict=True):
            grades[i] = replace(grades[i], strict={"CIDEr-D": cider_d, "ROUGE-L": rouge_l})
    return grades


def references(sample: Sample) -> Sequence[str]:
    """Return the right captions of a video."""
    assert isinstance(sample.answer, tuple)
    return sample.answer


def grade_grounding(benchmark: Benchmark, asked: Sequence[Asked], judge: AskJudge | None) -> list[Grade]:
    """Grade by the option, or by the seconds; where the run searched for evidence, by the evidence too.

    A run whose rows hold no evidence is graded on its answers alone.
    """
    circular = any(len(rows) > 1 for _, rows in asked)
    searched = any(searched_for_evidence(rows[0]) for _, rows in asked)
    return [_grounded(benchmark, sample, rows, circular, searched) for sample, rows in asked]


def _grounded(
    benchmark: Benchmark, sample: Sample, rows: Sequence[Row | None], circular: bool, searched: bool
) -> Grade:
    grade = _choice(benchmark, sample, rows, circular) if sample.options else _span(benchmark, sample, rows[0])
    if not searched or not sample.evidence:
        return grade
    found = evidence_of(rows[0])
    union = benchmark.union_score(found, sample.evidence)
    compat = {} if union is None else {"evidence mIoU": union}
    strict = {**grade.strict, **evidence_scores(found, sample.evidence)}
    return replace(grade, strict=strict, compat={**grade.compat, **compat})


def _span(benchmark: Benchmark, sample: Sample, row: Row | None) -> Grade:
    """Grade the seconds that an answer names; the best evidence where it names none."""
    span, rule = answered_span(row)
    status = _status(row) if _text(row) is None else UNPARSED if span is None else OK
    reading = None if span is None else f"{span[0]:g} - {span[1]:g}"
    strict: dict[str, float] = {}
    if sample.evidence:
        if benchmark.tolerance_seconds is not None:
            error = None if span is None else time_error(span, sample.evidence[0])
            strict["accuracy"] = float(error is not None and error <= benchmark.tolerance_seconds)
        strict |= moment_scores([] if span is None else [span], sample.evidence)
    return Grade(status=status, reading=reading, rule=rule, strict=strict)


def answered_span(row: Row | None) -> tuple[Span | None, str | None]:
    """Read the span of a row without options, and say by which rule."""
    text = _text(row)
    if row is None or text is None:
        return None, None
    read = read_span(text)
    if read.span is None and (found := evidence_of(row)):
        return found[0], "evidence"
    return read.span, read.rule


GRADERS: Final[Mapping[Kind, Callable[[Benchmark, Sequence[Asked], AskJudge | None], list[Grade]]]] = {
    "choice": grade_choices,
    "open": grade_open,
    "captions": grade_captions,
    "grounding": grade_grounding,
}
"""Kind of benchmark -> function that grades its answers."""


def _text(row: Row | None) -> str | None:
    """Return the raw output of an answered row, else None."""
    return None if row is None or row["status"] != OK else row["answer"] or ""


def _status(row: Row | None) -> str:
    return MISSING if row is None else str(row["status"])
