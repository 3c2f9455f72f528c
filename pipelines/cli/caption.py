"""`videollm caption`: describe every video."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.cli.options import InputOptions
from pipelines.cli.split_options import PartOptions
from pipelines.jobs.run import run


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(InputOptions):
    """Describe every video of folders, globs, URLs and manifests, as a whole or part by part."""

    prompt: str = "Describe the video."
    """Question about every video (of a manifest: where a row has no question)."""
    parts: PartOptions = field(default_factory=PartOptions)


def main(options: CaptionOptions) -> None:
    """Run the job, or the rest of it."""
    requests = options.requests(question=options.prompt)
    described = {"command": "caption", "inputs": options.absolute_inputs(), "prompt": options.prompt}
    job = options.batch_job({**described, **options.parts.config})
    run(job, requests, method=options.parts.method, files=options.manifests())
