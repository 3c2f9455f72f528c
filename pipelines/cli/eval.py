"""`videollm eval`: ask a benchmark's questions and score the answers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Final

from tyro.conf import Positional

from pipelines.cli.options import BatchOptions
from pipelines.cli.score import score_and_print
from pipelines.cli.strategy_options import StrategyOptions
from pipelines.evals.run import Eval, EvalSpec, resolve_eval
from pipelines.jobs.run import run

MAX_LISTED: Final = 20


@dataclass(frozen=True, kw_only=True)
class EvalOptions(EvalSpec, BatchOptions):
    """Ask a benchmark's questions, each video decoded and encoded once, and score the answers. Greedy unless told."""

    benchmark: Positional[str]
    """A name (videomme, mvbench, ...), a table of questions (.jsonl, .csv), or `path/to/file.py:Class`."""
    search: StrategyOptions = field(default_factory=StrategyOptions)


def main(options: EvalOptions) -> None:
    """Run the eval, or the rest of it, and print its scores."""
    limit_tokens = options.generation.max_new_tokens is None and not options.model.thinking
    searches = options.search.strategy != "none"
    resolved = resolve_eval(options, limit=options.limit, limit_tokens=limit_tokens, searches=searches)
    _print_questions(resolved)
    greedy = replace(options, generation=replace(options.generation, temperature=options.generation.temperature or 0.0))
    run(
        greedy.batch_job({**resolved.config, **options.search.config}),
        resolved.requests,
        method=options.search.method,
        files=resolved.files,
        on_claimed=lambda: resolved.save_questions(options.output),
    )
    if not options.dry_run:
        score_and_print(options.output, options.judge)


def _print_questions(resolved: Eval) -> None:
    """Print the number of questions, and the missing videos."""
    missing = resolved.missing
    print(f"{len(resolved.samples):,} questions on {len(resolved.videos):,} videos")
    if missing:
        print(f"{len(missing):,} videos are missing; their questions count as wrong:", file=sys.stderr)
        for video in missing[:MAX_LISTED]:
            print(f"  {video}", file=sys.stderr)
        if len(missing) > MAX_LISTED:
            print(f"  ... and {len(missing) - MAX_LISTED:,} more", file=sys.stderr)
