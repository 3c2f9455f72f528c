"""`videollm answer`: answer the questions of a manifest."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.cli.options import InputOptions
from pipelines.cli.strategy_options import StrategyOptions
from pipelines.jobs.run import run


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(InputOptions):
    """Answer the requests of manifests.

    Their rows hold video, question [, id, start, end, options, system, ocr, max_new_tokens, probes,
    search_kind].
    """

    search: StrategyOptions = field(default_factory=StrategyOptions)


def main(options: AnswerOptions) -> None:
    """Run the job, or the rest of it."""
    requests = options.requests(question=None)
    described = {"command": "answer", "inputs": options.absolute_inputs()}
    job = options.batch_job({**described, **options.search.config})
    run(job, requests, method=options.search.method, files=options.manifests())
