"""`videollm caption`: describe every video."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.cli.options import InputOptions
from pipelines.jobs.run import run


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(InputOptions):
    """Describe every video of folders, globs, URLs and manifests, one result row each."""

    prompt: str = "Describe the video."
    """Question about every video (of a manifest: where a row has no question)."""


def main(options: CaptionOptions) -> None:
    """Run the job, or the rest of it."""
    requests = options.requests(question=options.prompt)
    described = {"command": "caption", "inputs": options.absolute_inputs(), "prompt": options.prompt}
    run(options.batch_job(described), requests, files=options.manifests())
