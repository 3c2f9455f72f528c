"""`videollm score`: score an eval's answers again, without the model that gave them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from tyro.conf import Positional

from pipelines.evals.score_tables import tables
from pipelines.evals.scores import ScoredRun, score_run, write


@dataclass(frozen=True, kw_only=True)
class Job:
    """Score the answers of an eval again, finished or not; no model is loaded and no video opened."""

    output: Positional[Path]
    """Output folder of `videollm eval`."""
    judge: str | None = None
    """For open-ended answers: a causal LM that judges them (a folder, or org/name@revision)."""


def main(job: Job) -> None:
    """Print the scores and keep them."""
    show(score_run(job.output, job.judge))


def show(run: ScoredRun) -> None:
    """Keep a run's scores beside its rows, and print them."""
    write(run)
    print()
    for table in tables(run):
        print(table.text(), end="\n\n")
    _write_submission(run)
    print(f"Scores are in {run.folder / 'scores.json'}, each question's in scored.jsonl; look at them with\n"
          f"  videollm report {run.folder}")  # fmt: skip


def _write_submission(run: ScoredRun) -> None:
    """Write the file for the benchmark's server, if it has one."""
    if run.benchmark.kind != "choice":
        return
    first = [i for i in run.items if i.setting == run.settings[0]]
    chosen = [(i.sample, ascii_uppercase.index(i.mark.reading) if i.mark.reading else None) for i in first]
    if (submission := run.benchmark.submission(chosen)) is not None:
        name, text = submission
        (run.folder / name).write_text(text)
        print(f"For the benchmark's server: {run.folder / name}")
