"""`videollm watch`: the live page of a job."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """Serve a page that shows a job while it runs, and after its end: progress, rates, errors, last answers with
    pictures. It is for this machine alone, and its address holds a token."""

    output: Positional[Path]
    """Output folder of a job."""
    port: int = 0
    """Port on 127.0.0.1; 0 takes one that is free."""


def main(options: WatchOptions) -> None:
    """Print the address of the page and serve it until Ctrl-C."""
    from pipelines.evals.watching.news import News
    from pipelines.evals.watching.server import WatchServer

    with WatchServer(News(options.output), options.port) as server, suppress(KeyboardInterrupt):
        print(f"{server.url}\nCtrl-C ends this page, not the job.", flush=True)
        server.serve_forever()
