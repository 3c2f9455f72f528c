"""`videollm caption`: describe every video."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.cli import options as job
from pipelines.jobs import run as batch


@dataclass(frozen=True, kw_only=True)
class Job(job.Job):
    """Describe every video of folders, globs, URLs and manifests, one result row each."""

    prompt: str = "Describe the video."
    """Asked of every video (of a manifest: where a row has no question)."""


def main(job: Job) -> None:
    """Run the job, or what is left of it."""
    batch.run_inputs(job, "caption", question=job.prompt)
