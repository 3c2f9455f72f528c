"""Runs on disk, with scores or without: their names, facts and differences, as the page shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.evals.answers.choice import RULES_VERSION
from pipelines.evals.compare import compare_runs
from pipelines.evals.score_files import rules_warning
from pipelines.evals.scores import Progress, ScoredRun, score_run
from pipelines.evals.settings import flatten, latest_fact
from pipelines.evals.text_table import interval, p_value, signed_hundredths
from pipelines.evals.variants import QUESTIONS
from pipelines.results.journal import read_rows
from pipelines.results.run_record import read_record
from pipelines.results.schema import Row
from videollm.errors import UserError

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class AnsweredRun:
    """Run without scores: the output of `videollm caption` or `answer`."""

    folder: Path
    record: Mapping[str, Any]
    rows: tuple[Row, ...]

    @property
    def settings(self) -> list[str]:
        """The one setting, which has no name."""
        return [""]

    def statuses(self, setting: str) -> Counter[str]:
        """Count rows by status."""
        return Counter(r["status"] for r in self.rows)


Run = ScoredRun | AnsweredRun


def read_run(folder: Path, judge: str | None = None, on_judged: Progress | None = None) -> Run:
    """Read a run with its scores if it is an eval's, else with its rows.

    Args:
        judge, on_judged: see `score_run`.
    Raises:
        UserError: the folder holds no rows.
    """
    if (folder / QUESTIONS).exists():
        return score_run(folder, judge, on_judged)
    rows = tuple(read_rows(folder))
    if not rows:
        raise UserError(f"{folder} holds no rows. Expected the output of `videollm eval`, `answer` or `caption`.")
    return AnsweredRun(folder=folder, record=read_record(folder), rows=rows)


def run_names(runs: Sequence[Run]) -> list[str]:
    """Name each run after its folder, with parent folders until the names differ."""
    paths = [run.folder.resolve().parts for run in runs]
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["/".join(p[-depth:]) for p in paths]
        if len(set(names)) == len(names):
            break
    return names


def headline_facts(run: Run) -> Pairs:
    """List the main facts of a run."""
    config = run.record["config"]
    model, chosen = config.get("model"), sampling(run) or {}
    row = next(iter(_rows(run)), None)
    benchmark = " ".join(str(config[name]).rpartition("/")[2] for name in ("benchmark", "split") if config.get(name))
    is_read = isinstance(run, ScoredRun) and run.benchmark.kind == "choice"
    found = {
        "Model": model["name"] if isinstance(model, dict) else model,
        "Connector": row["connector"] if row else config.get("connector"),
        "Benchmark": benchmark or None,
        "Command": None if benchmark else config.get("command"),
        "Frames": f"{chosen['num_frames']}, {chosen['policy']}" if chosen else None,
        "Device": " ".join(v for n in ("device", "dtype") if (v := latest_fact(run.record, n))) or None,
        "Started": _minute(run.record["sessions"][0].get("started")),
        "Finished": _minute(run.record.get("finished")) or "not finished",
        "Reader": f"rules {RULES_VERSION}" if is_read else None,
        "Note": latest_fact(run.record, "notice"),
        "Warning": rules_warning(run) if isinstance(run, ScoredRun) else None,
    }
    return [(name, str(value)) for name, value in found.items() if value is not None]


def provenance(run: Run) -> list[tuple[str, Pairs]]:
    """List the content of run.json: title -> names and values."""
    record = dict(run.record)
    config, sessions = record.pop("config"), record.pop("sessions")
    parts = [("Configuration", config), ("Run", {"folder": str(run.folder.resolve()), **record})]
    parts += [(f"Session {i}", session) for i, session in enumerate(sessions, 1)]
    return [(title, flatten(values)) for title, values in parts]


def paired_differences(runs: Sequence[Run]) -> list[str]:
    """Return one line per setting of two evals of one benchmark: the head line of `compare-runs`."""
    if len(runs) != 2 or not all(isinstance(run, ScoredRun) for run in runs):
        return []
    a, b = (run for run in runs if isinstance(run, ScoredRun))
    try:
        found = compare_runs(a, b)
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


def sampling(run: Run) -> Mapping[str, Any] | None:
    """Return the run's sampling, fields of videollm.Sampling; None: run.json does not say."""
    found: Mapping[str, Any] | None = latest_fact(run.record, "sampling")
    return found


def _rows(run: Run) -> Iterator[Row]:
    yield from run.rows if isinstance(run, AnsweredRun) else (i.row for i in run.items if i.row is not None)


def _minute(time: str | None) -> str | None:
    """Format a time: 2026-01-31T12:30:00+00:00 -> 2026-01-31 12:30 UTC."""
    return None if time is None else time[:16].replace("T", " ") + " UTC"
