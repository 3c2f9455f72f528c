"""`videollm answer`: answer the questions of a manifest."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.cli import options as job
from pipelines.jobs import run as batch


@dataclass(frozen=True, kw_only=True)
class Job(job.Job):
    """Answer the requests of manifests: rows of video, question [, id, start, end, options, system, max_new_tokens]."""


def main(job: Job) -> None:
    """Run the job, or what is left of it."""
    batch.run_inputs(job, "answer", question=None)
