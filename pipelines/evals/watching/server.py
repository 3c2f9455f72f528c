"""The page of a job on loopback: whoever has its address, with the token in it, may look; nobody can change it."""

from __future__ import annotations

import hmac
import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, Final

from pipelines.evals.watching.news import News
from videollm.errors import UserError

LOOPBACK: Final = "127.0.0.1"
NAMES: Final = (LOOPBACK, "localhost")
"""Hosts that a request may name: a page of another site whose name leads here is refused."""
FILES: Final = {"": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
"""Files of the page -> media type."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class WatchServer(ThreadingHTTPServer):
    """Server of one job's page.

    Args:
        port: 0 for any that is free.
    Raises:
        UserError: the port is taken, or is none.
    """

    daemon_threads = True

    def __init__(self, news: News, port: int = 0) -> None:
        self.news, self.token = news, secrets.token_urlsafe(24)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"Cannot serve on port {port}: {error}. Use another --port, or 0 for any.") from error

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer

    def do_GET(self) -> None:
        """Answer a request that names this host and the token."""
        _, token, *rest = [*self.path.split("/", 2), ""]
        is_ours = self.headers.get("Host", "").rpartition(":")[0] in NAMES
        # Compared in constant time, so that nobody can find the token letter by letter.
        if not hmac.compare_digest(token.encode(), self.server.token.encode()) or not is_ours:
            self._send(403, "text/plain", b"The address lacks the token that `videollm watch` printed.\n")
            return
        name = rest[0]
        if name in FILES:
            file = resources.files("pipelines.evals.watching") / "assets" / (name or "page.html")
            self._send(200, FILES[name], file.read_bytes())
        elif name == "news":
            self._send_news()
        elif name.startswith("picture/"):
            self._send_picture(name.removeprefix("picture/"))
        else:
            self._send(404, "text/plain", b"There is no such page.\n")

    def _send_news(self) -> None:
        try:
            news: dict[str, Any] = self.server.news.read()
        except (UserError, OSError) as error:  # the folder is gone, or a file of it was replaced this very moment
            self._send(503, "text/plain", f"{error}\n".encode())
            return
        self._send(200, "application/json", json.dumps(news).encode())

    def _send_picture(self, key: str) -> None:
        found = self.server.news.picture(key)
        if found is None or not found.jpegs:
            reason = "The page shows no such row." if found is None else found.missing or "There is no picture."
            self._send(404, "text/plain", f"{reason}\n".encode())
            return
        self._send(200, "image/jpeg", found.jpegs[0])

    def _send(self, code: int, media_type: str, data: bytes) -> None:
        self.send_response(code)
        text = "" if media_type.startswith("image/") else "; charset=utf-8"
        headers = {"Content-Type": media_type + text, "Content-Length": str(len(data)), **HEADERS}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: addresses hold the token."""
