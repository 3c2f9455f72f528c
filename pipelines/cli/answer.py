"""`videollm answer`: answer the questions of a manifest."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.cli import options
from pipelines.jobs.run import run


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(options.InputOptions):
    """Answer the requests of manifests: rows of video, question [, id, start, end, options, system, max_new_tokens]."""


def main(job: AnswerOptions) -> None:
    """Run the job, or the rest of it."""
    requests = job.requests(question=None)
    described = {"command": "answer", "inputs": job.absolute_inputs()}
    run(job.batch_job(described), requests, files=job.manifests())
