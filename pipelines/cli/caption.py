"""`videollm caption`: describe every video."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.cli import options
from pipelines.jobs.run import run


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(options.InputOptions):
    """Describe every video of folders, globs, URLs and manifests, one result row each."""

    prompt: str = "Describe the video."
    """Question about every video (of a manifest: where a row has no question)."""


def main(job: CaptionOptions) -> None:
    """Run the job, or the rest of it."""
    requests = job.requests(question=job.prompt)
    described = {"command": "caption", "inputs": job.absolute_inputs(), "prompt": job.prompt}
    run(job.batch_job(described), requests, files=job.manifests())
