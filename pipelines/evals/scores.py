"""Scores of a run from its rows and questions: every question counts, failed or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from pipelines.evals.benchmark import Benchmark, Sample, each
from pipelines.evals.benchmarks import load_benchmark
from pipelines.evals.benchmarks.table_benchmark import TableBenchmark
from pipelines.evals.evidence import costs_of
from pipelines.evals.grades import GRADERS, AskJudge, Grade, references
from pipelines.evals.metrics.captions import score_captions
from pipelines.evals.metrics.java_captions import meteor, spice
from pipelines.evals.statistics.bootstrap import Estimate, estimate
from pipelines.evals.variants import load_questions, variants
from pipelines.results.journal import read_rows
from pipelines.results.run_record import read_record
from pipelines.results.schema import OK, Row
from videollm.errors import UserError

Progress = Callable[[int, int], None]
"""Called with what is done, and how much there is."""


@dataclass(frozen=True, kw_only=True)
class ScoredQuestion:
    """A question under one setting, with its answers and their grade."""

    sample: Sample
    setting: str
    """`plain`, or `subtitles`."""
    video: str
    """Path of its video, from the data folder on."""
    row: Row | None
    """Row of its answer, options not rotated; None: there is no row."""
    rotations: tuple[Row | None, ...]
    """Rows with the options moved on by 1, 2, ..."""
    grade: Grade

    @property
    def right(self) -> bool | None:
        """Whether the headline metric counts the answer as wholly right; None where no right answer is published."""
        return next(iter(self.grade.strict.values())) == 1.0 if self.grade.strict else None


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure."""

    setting: str
    metric: str
    rule: str
    """`strict`, or `compat`: the benchmark's own rule."""
    macro: str | None
    """Grouping whose groups weigh the same in it; None: every question does."""
    grouping: str | None
    """None: over all questions."""
    group: str | None
    over_all: Estimate
    """A question without an answer is wrong."""
    over_answered: Estimate | None
    """Mean over the questions whose answer could be read; None: no such question."""
    frames: float | None = None
    """Mean number of frames that the answered questions of it took; None: no question was answered."""
    tokens: float | None = None
    """Mean number of tokens, of prompt and answer."""


@dataclass(frozen=True, kw_only=True)
class ScoredRun:
    """A run with its scores."""

    folder: Path
    record: Mapping[str, Any]
    """Content of run.json."""
    benchmark: Benchmark
    items: tuple[ScoredQuestion, ...]
    scores: tuple[Score, ...]
    """The headline of each setting comes first."""
    measures: tuple[Score, ...] = ()
    """Figures in units of their own: what an answer cost, and the benchmark's `measures`."""

    @property
    def settings(self) -> list[str]:
        """Settings in the order they were asked."""
        return list(dict.fromkeys(i.setting for i in self.items))

    def statuses(self, setting: str) -> Counter[str]:
        """Count questions by status."""
        return Counter(i.grade.status for i in self.items if i.setting == setting)


def score_run(folder: Path, judge: str | None = None, on_judged: Progress | None = None) -> ScoredRun:
    """Score the output of an eval; no model is loaded but the judge, if given.

    Args:
        folder: output of `videollm eval`, finished or not.
        judge: model that judges open-ended answers, for benchmarks of that kind.
        on_judged: called after every answer that the judge was asked about.
    Raises:
        UserError: the folder is no eval's output, or a file of it cannot be read.
    """
    record, samples = read_record(folder), load_questions(folder)
    config = record["config"]
    if "benchmark" not in config:
        raise UserError(f"{folder} holds no eval: run.json names no benchmark. Expected the output of `videollm eval`.")
    benchmark = load_benchmark(config["benchmark"])
    if isinstance(benchmark, TableBenchmark):
        benchmark.infer_kind(samples)
    check_judge(benchmark, judge)
    ask_judge = None if judge is None else _judge(folder, judge, on_judged)
    rows = {row["id"]: row for row in read_rows(folder)}
    items: list[ScoredQuestion] = []
    for setting in config["subtitles"]:
        asked = []
        for sample in samples:
            ways = variants(sample, subtitles=[setting == "subtitles"], circular=config["circular"])
            asked.append((sample, [rows.get(way.id(sample)) for way in ways]))
        grades = GRADERS[benchmark.kind](benchmark, asked, ask_judge)
        items += [
            ScoredQuestion(sample=sample, setting=setting, video=_video(sample, config["data"]), row=found[0],
                           rotations=tuple(found[1:]), grade=grade)
            for (sample, found), grade in zip(asked, grades, strict=True)
        ]  # fmt: skip
    scores = tuple(s for setting in config["subtitles"] for s in _scores(benchmark, setting, items))
    measures = tuple(m for setting in config["subtitles"] for m in _measures(benchmark, setting, items))
    return ScoredRun(
        folder=folder, record=record, benchmark=benchmark, items=tuple(items), scores=scores, measures=measures
    )


def check_judge(benchmark: Benchmark, judge: str | None) -> None:
    """Check that the judge applies and exists.

    Raises:
        UserError: the benchmark has no open-ended answers, or there is no such model.
    """
    if judge is None:
        return
    if benchmark.kind != "open":
        raise UserError(f"--judge is {judge}, but this benchmark has no open-ended answers to judge. Leave it out.")
    from pipelines.evals.judge import find_judge

    find_judge(judge)


def _judge(folder: Path, model: str, on_judged: Progress | None) -> AskJudge:
    """Return the judge as a function; scoring imports torch only for a judge."""
    from pipelines.evals.judge import judge_answers

    return partial(judge_answers, folder, model, on_judged=on_judged)


def _video(sample: Sample, data: str) -> str:
    """Return a video's name that does not depend on the place of the data."""
    return sample.clip.video.removeprefix(data.rstrip("/") + "/")


def _scores(benchmark: Benchmark, setting: str, items: Sequence[ScoredQuestion]) -> Iterator[Score]:
    """Yield the figures of one setting: over all questions, then group by group."""
    found = [i for i in items if i.setting == setting and i.grade.strict]
    for macro in dict.fromkeys([benchmark.macro, None]):
        yield from _figures(benchmark, found, setting=setting, macro=macro)
    for grouping in benchmark.groups:
        for group in sorted({g for i in found for g in each(i.sample.groups[grouping])}):
            members = [i for i in found if group in each(i.sample.groups[grouping])]
            yield from _figures(benchmark, members, setting=setting, grouping=grouping, group=group)


def _figures(
    benchmark: Benchmark,
    items: Sequence[ScoredQuestion],
    *,
    setting: str,
    macro: str | None = None,
    grouping: str | None = None,
    group: str | None = None,
) -> Iterator[Score]:
    """Yield the figures over these questions: one mean per metric, and metrics that are no means."""

    def score(metric: str, rule: str, figure: Callable[[Sequence[ScoredQuestion]], Estimate]) -> Score:
        with_it = [i for i in items if metric in getattr(i.grade, rule) or metric == "BLEU-4"]
        read = [i for i in with_it if i.grade.status == OK]
        costs = [cost for i in with_it if (cost := costs_of(i.row))]
        frames, tokens = (mean(c[name] for c in costs) if costs else None for name in ("frames", "tokens"))
        return Score(setting=setting, metric=metric, rule=rule, macro=macro, grouping=grouping, group=group,
                     over_all=figure(with_it), over_answered=figure(read) if read else None,
                     frames=frames, tokens=tokens)  # fmt: skip

    for rule in ("strict", "compat"):
        for metric in dict.fromkeys(m for i in items for m in getattr(i.grade, rule)):
            yield score(metric, rule, partial(_mean, rule=rule, metric=metric, macro=macro))
    if benchmark.kind == "captions" and items:
        yield score("BLEU-4", "strict", _bleu_4)
        if grouping is None:
            yield from _java_scores(items, setting)


def _measures(benchmark: Benchmark, setting: str, items: Sequence[ScoredQuestion]) -> Iterator[Score]:
    """Yield the figures of answers that are no shares, each over the questions that have it."""
    found: dict[str, list[tuple[float, str]]] = {}
    for item in items:
        if item.setting == setting and item.row is not None and item.row["status"] == OK:
            for name, value in {**benchmark.measures(item.sample, item.row), **costs_of(item.row)}.items():
                found.setdefault(name, []).append((value, item.video))
    for name, pairs in found.items():
        over_all = estimate([value for value, _ in pairs], [video for _, video in pairs])
        yield Score(setting=setting, metric=name, rule="measure", macro=None, grouping=None, group=None,
                    over_all=over_all, over_answered=None)  # fmt: skip


def _mean(items: Sequence[ScoredQuestion], *, rule: str, metric: str, macro: str | None) -> Estimate:
    groups = None if macro is None else [str(i.sample.groups[macro]) for i in items]
    return estimate([getattr(i.grade, rule)[metric] for i in items], [i.video for i in items], groups)


def _bleu_4(items: Sequence[ScoredQuestion]) -> Estimate:
    """Score the captions together: BLEU-4 is no mean over captions, and so has no standard error."""
    return _without_interval(score_captions(*_captions(items)).bleu_4, items)


def _java_scores(items: Sequence[ScoredQuestion], setting: str) -> Iterator[Score]:
    """Yield METEOR and SPICE, where Java and pycocoevalcap are installed."""
    for metric, figure in (("METEOR", meteor), ("SPICE", spice)):
        if (mean := figure(*_captions(items)).mean) is not None:
            yield Score(setting=setting, metric=metric, rule="strict", macro=None, grouping=None, group=None,
                        over_all=_without_interval(mean, items), over_answered=None)  # fmt: skip


def _captions(items: Sequence[ScoredQuestion]) -> tuple[list[str], list[Sequence[str]]]:
    """Return the caption of each video, and its references."""
    return [i.grade.reading or "" for i in items], [references(i.sample) for i in items]


def _without_interval(mean: float, items: Sequence[ScoredQuestion]) -> Estimate:
    num_videos = len({i.video for i in items})
    return Estimate(mean=mean, standard_error=None, low=None, high=None, num=len(items), num_clusters=num_videos)
