"""`videollm score`: score an eval's answers again, or captions with times, without the model that gave them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from pipelines.cli.progress import progress_bar
from pipelines.evals.score_files import SCORED_QUESTIONS, SCORES, write_scores
from pipelines.evals.score_tables import tables
from pipelines.evals.scores import Progress, score_run
from pipelines.evals.timed_captions import score_timed_captions
from pipelines.results.journal import read_rows
from pipelines.timelines.grouping import group_rows
from pipelines.timelines.tracks import COLUMNS, make_track, track_key
from videollm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Score the answers of an eval again, finished or not, without loading the model or opening a video."""

    output: Positional[Path]
    """Output folder of `videollm eval`; with --timelines, of `videollm caption`."""
    judge: str | None = None
    """For open-ended answers: a causal LM as judge (a folder, or org/name@revision), or `openai:NAME@URL`, one
    behind a server."""
    timelines: Path | None = None
    """Score captions of segments instead: by the timeline.json of `make-clips --minutes`, which knows every event."""


def main(options: ScoreOptions) -> None:
    """Score the run, write the scores and print them.

    Raises:
        UserError: the output holds no answers to score, or an option does not suit.
    """
    if options.timelines is None:
        score_and_print(options.output, options.judge)
        return
    if options.judge is not None:
        raise UserError("--judge reads answers, and --timelines scores captions; expected one of them. Leave one out.")
    tracks = [make_track(rows) for _, rows in group_rows(read_rows(options.output, COLUMNS), track_key, options.output)]
    print(score_timed_captions({Path(t.video).name: t.segments for t in tracks}, options.timelines).table().text())
    if num_failed := sum(track.num_failed for track in tracks):
        print(f"{num_failed:,} segments or chapters failed: nothing names what they show.")


def judge_bar(judge: str | None) -> AbstractContextManager[Progress | None]:
    """Show a bar while answers are judged, if there is a judge."""
    return nullcontext() if judge is None else progress_bar(None, unit="answer", description="judged")


def score_and_print(folder: Path, judge: str | None) -> None:
    """Score a run, write the scores beside the rows, and print them."""
    with judge_bar(judge) as on_judged:
        run = score_run(folder, judge, on_judged)
    submission = write_scores(run)
    print()
    for table in tables(run):
        print(table.text(), end="\n\n")
    if submission is not None:
        print(f"For the benchmark's server: {submission}")
    print(f"Scores are in {folder / SCORES}, each question's in {SCORED_QUESTIONS}; look at them with\n"
          f"  videollm report {folder}")  # fmt: skip
