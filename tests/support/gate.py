"""A server of videos that answers nothing until a file appears: `python -m tests.support.gate FOLDER PORT GATE`.

It prints a line for every question, before it waits.
"""

from __future__ import annotations

import functools
import http.server
import sys
import time
from pathlib import Path


class Gated(http.server.SimpleHTTPRequestHandler):
    """Serves files once the gate is there."""

    gate: Path

    def do_GET(self) -> None:
        """Wait, then send the file."""
        print(self.path, flush=True)
        while not self.gate.exists():
            time.sleep(0.05)
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815


if __name__ == "__main__":
    folder, port, gate = sys.argv[1:]
    Gated.gate = Path(gate)
    handler = functools.partial(Gated, directory=folder)
    http.server.ThreadingHTTPServer(("", int(port)), handler).serve_forever()
