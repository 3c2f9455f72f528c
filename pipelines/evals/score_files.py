"""Files that scoring writes beside the rows of a run: scores.json, scored.jsonl, and the benchmark's submission."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final

from pipelines.evals.answers.choice import RULES_VERSION
from pipelines.evals.scores import ScoredRun
from videollm.io import atomic_write

SCORES: Final = "scores.json"
SCORED_QUESTIONS: Final = "scored.jsonl"
UNVERSIONED: Final = 1
"""Version of the rules that made scores which name none: versions are named from the second on."""


def write_scores(run: ScoredRun) -> Path | None:
    """Write the scores and every question's grade, each file in one step, and the submission if the benchmark has one.

    Returns:
        The file for the benchmark's server; None where the benchmark has no server.
    """
    scores = {
        "benchmark": run.record["config"]["benchmark"],
        "config_hash": run.record["config_hash"],
        "rules": RULES_VERSION,
        "statuses": {setting: dict(run.statuses(setting)) for setting in run.settings},
        "scores": [_as_json(score) for score in run.scores],
        "measures": [_as_json(measure) for measure in run.measures],
    }
    lines = [
        {"id": i.sample.id, "setting": i.setting, "video": i.video, "groups": dict(i.sample.groups)} | _as_json(i.grade)
        for i in run.items
    ]
    _write(run.folder / SCORES, json.dumps(scores, indent=2) + "\n")
    _write(run.folder / SCORED_QUESTIONS, "".join(json.dumps(line) + "\n" for line in lines))
    return _write_submission(run)


def written_rules(folder: Path) -> int | None:
    """Return the version of the reader's rules in a run's scores.json; None where there is no such file."""
    try:
        return int(json.loads((folder / SCORES).read_text()).get("rules", UNVERSIONED))
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def rules_warning(run: ScoredRun) -> str | None:
    """Warn if a run's scores.json was made by other rules than the present ones; None if not."""
    version = written_rules(run.folder)
    if run.benchmark.kind != "choice" or version in (None, RULES_VERSION):
        return None
    return (
        f"{run.folder / SCORES} was made by version {version} of the reader's rules; here answers are read by version "
        f"{RULES_VERSION}, so figures may differ. `videollm score {run.folder}` writes it again."
    )


def _write_submission(run: ScoredRun) -> Path | None:
    if run.benchmark.kind != "choice":
        return None
    first = [i for i in run.items if i.setting == run.settings[0]]
    chosen = [(i.sample, ascii_uppercase.index(i.grade.reading) if i.grade.reading else None) for i in first]
    submission = run.benchmark.submission(chosen)
    if submission is None:
        return None
    name, text = submission
    _write(run.folder / name, text)
    return run.folder / name


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as scratch:
        scratch.write_text(text)


def _as_json(value: Any) -> Any:
    """Convert a value of plain dataclasses to JSON's types."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _as_json(getattr(value, name)) for name in value.__dataclass_fields__}
    return dict(value) if isinstance(value, Mapping) else value
