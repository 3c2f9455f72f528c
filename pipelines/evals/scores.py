"""From the rows of a run and its questions to scores: every question counts, whatever became of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pipelines.evals.benchmark import Benchmark, Sample, each
from pipelines.evals.benchmarks import Own, load_benchmark
from pipelines.evals.grades import MARKS, Mark, references
from pipelines.evals.metrics.captions import score_captions
from pipelines.evals.metrics.java_captions import meteor, spice
from pipelines.evals.statistics.bootstrap import Estimate, estimate
from pipelines.evals.variants import load, variants
from pipelines.results.journal import read_rows
from pipelines.results.run_record import read_record
from pipelines.results.schema import Row
from videollm.errors import UserError

OK: Final = "ok"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One question under one setting."""

    sample: Sample
    setting: str
    """`plain`, or `subtitles`."""
    video: str
    """Its video, named from the data folder on."""
    row: Row | None
    """Its answer (options not rotated) as the run wrote it; None: it is not there."""
    rotations: tuple[Row | None, ...]
    """The answers with the options moved on by 1, 2, ..."""
    mark: Mark

    @property
    def right(self) -> bool | None:
        """Whether the headline metric counts it as wholly right; None where nothing is published."""
        return next(iter(self.mark.strict.values())) == 1.0 if self.mark.strict else None


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
    """What has no answer is wrong."""
    over_answered: Estimate | None
    """Over the questions whose answer could be read; None: there are none."""


@dataclass(frozen=True, kw_only=True)
class ScoredRun:
    """A run with its scores."""

    folder: Path
    record: Mapping[str, Any]
    """What run.json holds."""
    benchmark: Benchmark
    items: tuple[Scored, ...]
    scores: tuple[Score, ...]
    """The headline of each setting comes first."""

    @property
    def settings(self) -> list[str]:
        """In the order they were asked."""
        return list(dict.fromkeys(i.setting for i in self.items))

    def statuses(self, setting: str) -> Counter[str]:
        """Number of questions by status."""
        return Counter(i.mark.status for i in self.items if i.setting == setting)


def score_run(folder: Path, judge: str | None = None) -> ScoredRun:
    """Score what an eval wrote; no model is needed (but for a judge).

    Args:
        folder: output of `videollm eval`, finished or not.
        judge: model that judges open-ended answers, for benchmarks of that kind.
    Raises:
        UserError: it is no such folder, or a file of it cannot be read.
    """
    record, samples = read_record(folder), load(folder)
    config = record["config"]
    if "benchmark" not in config:
        raise UserError(f"{folder} holds no eval: run.json names no benchmark. Expected the output of `videollm eval`.")
    benchmark = load_benchmark(config["benchmark"])
    if isinstance(benchmark, Own):
        benchmark.take_after(samples)
    check_judge(benchmark, judge)
    rows = {row["id"]: row for row in read_rows(folder)}
    items: list[Scored] = []
    for setting in config["subtitles"]:
        asked = []
        for sample in samples:
            ways = variants(sample, subtitles=[setting == "subtitles"], circular=config["circular"])
            asked.append((sample, [rows.get(way.id(sample)) for way in ways]))
        marks = MARKS[benchmark.kind](benchmark, asked, folder, judge)
        items += [
            Scored(sample=sample, setting=setting, video=_video(sample, config["data"]), row=found[0],
                   rotations=tuple(found[1:]), mark=mark)
            for (sample, found), mark in zip(asked, marks, strict=True)
        ]  # fmt: skip
    scores = tuple(s for setting in config["subtitles"] for s in _scores(benchmark, setting, items))
    return ScoredRun(folder=folder, record=record, benchmark=benchmark, items=tuple(items), scores=scores)


def check_judge(benchmark: Benchmark, judge: str | None) -> None:
    """See that a judge has something to judge, and is there.

    Raises:
        UserError: it has not, or is not.
    """
    if judge is None:
        return
    if benchmark.kind != "open":
        raise UserError(f"--judge is {judge}, but this benchmark has no open-ended answers to judge. Leave it out.")
    from pipelines.evals.judge import Judge

    Judge(judge)


def write(run: ScoredRun) -> None:
    """Keep the scores as scores.json and every question's mark as scored.jsonl, each in one step."""
    value = {
        "benchmark": run.record["config"]["benchmark"],
        "config_hash": run.record["config_hash"],
        "statuses": {setting: dict(run.statuses(setting)) for setting in run.settings},
        "scores": [_plain(score) for score in run.scores],
    }
    lines = [
        {"id": i.sample.id, "setting": i.setting, "video": i.video, "groups": dict(i.sample.groups), **_plain(i.mark)}
        for i in run.items
    ]
    for name, text in (
        ("scores.json", json.dumps(value, indent=2) + "\n"),
        ("scored.jsonl", "".join(json.dumps(line) + "\n" for line in lines)),
    ):
        scratch = run.folder / f"{name}.partial"
        scratch.write_text(text)
        scratch.replace(run.folder / name)


def _video(sample: Sample, data: str) -> str:
    """Name of a video that is the same wherever the data lie."""
    return sample.clip.video.removeprefix(data.rstrip("/") + "/")


def _scores(benchmark: Benchmark, setting: str, items: Sequence[Scored]) -> Iterator[Score]:
    """Figures of one setting: over all, then group by group."""
    found = [i for i in items if i.setting == setting and i.mark.strict]
    for macro in dict.fromkeys([benchmark.macro, None]):
        yield from _figures(benchmark, found, setting=setting, macro=macro)
    for grouping in benchmark.groups:
        for group in sorted({g for i in found for g in each(i.sample.groups[grouping])}):
            members = [i for i in found if group in each(i.sample.groups[grouping])]
            yield from _figures(benchmark, members, setting=setting, grouping=grouping, group=group)


def _figures(
    benchmark: Benchmark,
    items: Sequence[Scored],
    *,
    setting: str,
    macro: str | None = None,
    grouping: str | None = None,
    group: str | None = None,
) -> Iterator[Score]:
    """Figures over these questions: a mean for each metric, and what is no mean."""
    answered = [i for i in items if i.mark.status == OK]

    def score(metric: str, rule: str, figure: Callable[[Sequence[Scored]], Estimate]) -> Score:
        return Score(setting=setting, metric=metric, rule=rule, macro=macro, grouping=grouping, group=group,
                     over_all=figure(items), over_answered=figure(answered) if answered else None)  # fmt: skip

    for rule in ("strict", "compat"):
        for metric in dict.fromkeys(m for i in items for m in getattr(i.mark, rule)):
            yield score(metric, rule, partial(_mean, rule=rule, metric=metric, macro=macro))
    if benchmark.kind == "captions" and items:
        yield score("BLEU-4", "strict", _bleu_4)
        if grouping is None:
            yield from _java_scores(items, setting)


def _mean(items: Sequence[Scored], *, rule: str, metric: str, macro: str | None) -> Estimate:
    groups = None if macro is None else [str(i.sample.groups[macro]) for i in items]
    return estimate([getattr(i.mark, rule)[metric] for i in items], [i.video for i in items], groups)


def _bleu_4(items: Sequence[Scored]) -> Estimate:
    """Of the captions together; it is no mean over them, so that no standard error is given."""
    return _without_error(score_captions(*_captions(items)).bleu_4, items)


def _java_scores(items: Sequence[Scored], setting: str) -> Iterator[Score]:
    """METEOR and SPICE, where what they need is installed."""
    for metric, figure in (("METEOR", meteor), ("SPICE", spice)):
        if (mean := figure(*_captions(items)).mean) is not None:
            yield Score(setting=setting, metric=metric, rule="strict", macro=None, grouping=None, group=None,
                        over_all=_without_error(mean, items), over_answered=None)  # fmt: skip


def _captions(items: Sequence[Scored]) -> tuple[list[str], list[Sequence[str]]]:
    """What was said of each video, and its references."""
    return [i.mark.reading or "" for i in items], [references(i.sample) for i in items]


def _without_error(mean: float, items: Sequence[Scored]) -> Estimate:
    num_videos = len({i.video for i in items})
    return Estimate(mean=mean, standard_error=None, low=None, high=None, num=len(items), num_clusters=num_videos)


def _plain(value: Any) -> Any:
    """A value of plain dataclasses as JSON has it."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return dict(value) if isinstance(value, Mapping) else value
