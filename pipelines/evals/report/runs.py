"""Runs on disk as a page tells of them: with scores or without, named, and how they were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.cli.compare_runs import comparisons, flat, last_told, settings_of
from pipelines.evals.scores import ScoredRun, score_run
from pipelines.evals.table import interval, p_value, signed_hundredths
from pipelines.evals.variants import QUESTIONS
from pipelines.results.journal import read_rows
from pipelines.results.run_record import read_record
from pipelines.results.schema import Row
from videollm.errors import UserError
from videollm.io import is_remote

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class AnsweredRun:
    """A run without scores: the output of `videollm caption` or `answer`."""

    folder: Path
    record: Mapping[str, Any]
    rows: tuple[Row, ...]

    @property
    def settings(self) -> list[str]:
        """One, without a name."""
        return [""]

    def statuses(self, setting: str) -> Counter[str]:
        """Number of rows by status."""
        return Counter(r["status"] for r in self.rows)


Run = ScoredRun | AnsweredRun


def read_run(folder: Path, judge: str | None = None) -> Run:
    """A run with its scores, if it is an eval's; else with its rows.

    Args:
        judge: see `score_run`.
    Raises:
        UserError: there is none in the folder.
    """
    if (folder / QUESTIONS).exists():
        return score_run(folder, judge)
    rows = tuple(read_rows(folder))
    if not rows:
        raise UserError(f"{folder} holds no rows. Expected the output of `videollm eval`, `answer` or `caption`.")
    return AnsweredRun(folder=folder, record=read_record(folder), rows=rows)


def run_names(runs: Sequence[Run]) -> list[str]:
    """A name each: that of its folder, with as many of the folders above as it takes to tell them apart."""
    paths = [run.folder.resolve().parts for run in runs]
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["/".join(p[-depth:]) for p in paths]
        if len(set(names)) == len(names):
            break
    return names


def facts(run: Run) -> Pairs:
    """What one wants to know first."""
    config = run.record["config"]
    model, chosen = config.get("model"), sampling(run) or {}
    row = next(iter(_rows(run)), None)
    benchmark = " ".join(str(config[name]).rpartition("/")[2] for name in ("benchmark", "split") if config.get(name))
    found = {
        "Model": model["name"] if isinstance(model, dict) else model,
        "Connector": row["connector"] if row else config.get("connector"),
        "Benchmark": benchmark or None,
        "Command": None if benchmark else config.get("command"),
        "Frames": f"{chosen['num_frames']}, {chosen['policy']}" if chosen else None,
        "Device": " ".join(v for n in ("device", "dtype") if (v := last_told(run.record, n))) or None,
        "Started": _minute(run.record["sessions"][0].get("started")),
        "Finished": _minute(run.record.get("finished")) or "not finished",
        "Note": last_told(run.record, "notice"),
    }
    return [(name, str(value)) for name, value in found.items() if value is not None]


def provenance(run: Run) -> list[tuple[str, Pairs]]:
    """All that run.json holds: title -> name and value."""
    record = dict(run.record)
    config, sessions = record.pop("config"), record.pop("sessions")
    parts = [("Configuration", config), ("Run", {"folder": str(run.folder.resolve()), **record})]
    parts += [(f"Session {i}", session) for i, session in enumerate(sessions, 1)]
    return [(title, flat(values)) for title, values in parts]


def paired_differences(runs: Sequence[Run]) -> list[str]:
    """Of two evals of one benchmark, a line for each setting: what `compare-runs` says first."""
    if len(runs) != 2 or not all(isinstance(run, ScoredRun) for run in runs):
        return []
    a, b = (run for run in runs if isinstance(run, ScoredRun))
    try:
        found = comparisons(a, b)
    except UserError:  # other benchmarks, or nothing in common
        return []
    first, second = run_names(runs)
    return [
        f"{second} against {first} on the same {c.difference.num:,} questions ({setting}, {metric}): "
        f"{signed_hundredths(c.difference.mean)}, 95% interval "
        f"{interval(c.difference.low, c.difference.high, signed_hundredths)}, p = {p_value(c.difference.p)}; "
        f"{c.difference.gained:,} better, {c.difference.lost:,} worse."
        for setting, metric, c in found
    ]


def differences(runs: Sequence[Run]) -> list[tuple[str, list[str | None]]]:
    """Settings that are not the same in all runs, with the value of each."""
    settings = [settings_of(run.record) for run in runs]
    names = dict.fromkeys(name for found in settings for name in found)
    values = {name: [found.get(name) for found in settings] for name in names}
    return [(name, of_runs) for name, of_runs in values.items() if len(set(of_runs)) > 1]


def sampling(run: Run) -> Mapping[str, Any] | None:
    """How the run chose frames: fields of videollm.Sampling."""
    found: Mapping[str, Any] | None = last_told(run.record, "sampling")
    return found


def path_of(run: Run, video: str) -> str:
    """Where a video lies, which a row names from where the command ran or from the folder of its manifest on."""
    if is_remote(video) or Path(video).is_absolute():
        return video
    near = (folder / video for i in run.record["config"].get("inputs", ()) for folder in Path(i).parents)
    return str(next((path for path in near if path.exists()), Path.cwd() / video))


def _rows(run: Run) -> Iterator[Row]:
    yield from run.rows if isinstance(run, AnsweredRun) else (i.row for i in run.items if i.row is not None)


def _minute(time: str | None) -> str | None:
    """2026-01-31T12:30:00+00:00 -> 2026-01-31 12:30 UTC"""
    return None if time is None else time[:16].replace("T", " ") + " UTC"
