"""A real HTTP server on loopback that speaks OpenAI's chat completions, and misbehaves as it is told."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Say:
    """What the server does with one request."""

    code: int = 200
    body: bytes | Mapping[str, Any] | None = None
    """None: a completion."""
    text: str | None = "yes"
    finish_reason: str = "stop"
    headers: Mapping[str, str] = field(default_factory=dict)
    after_seconds: float = 0.0
    drop: bool = False
    """Close the connection without a word."""
    cut: int | None = None
    """Close it after so many bytes of the body."""


def refusal(message: str, *, code: int = 400, **more: Any) -> Say:
    return Say(code=code, body={"error": {"message": message, "type": "invalid_request_error", **more}})


def question_of(body: Body) -> str:
    """The text after the frames."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    """Connections that wait to be taken; of more, the system drops some."""


class OpenAIServer:
    """The server: `answer` says what becomes of a request, by its body and how often its question came before."""

    def __init__(self, answer: Callable[[Body, int], Say]) -> None:
        self.answer = answer
        self.bodies: list[Body] = []
        self.headers: list[Mapping[str, str]] = []
        self.times: list[float] = []
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        """Questions that were answered in full with 200."""
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> OpenAIServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def _counting(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/v1/chat/completions":
                    server._reply(self, Say(code=404, body={"detail": "Not Found"}), body)
                    return
                question = question_of(body)
                with server._lock:
                    before = server.asked[question]
                    server.asked[question] += 1
                    server.bodies.append(body)
                    server.headers.append(dict(self.headers.items()))
                    server.times.append(time.monotonic())
                with server._counting():
                    say = server.answer(body, before)
                    time.sleep(say.after_seconds)
                if server._reply(self, say, body) and say.code == 200:
                    with server._lock:
                        server.answered[question] += 1

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def _reply(self, handler: BaseHTTPRequestHandler, say: Say, body: Body) -> bool:
        """Send what is to be said; tell whether it was sent in full."""
        handler.close_connection = True
        if say.drop:
            handler.connection.shutdown(socket.SHUT_RDWR)
            return False
        sent = self._completion(say, body) if say.body is None else say.body
        data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        handler.send_response(say.code)
        for name, value in {"Content-Type": "application/json", **say.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        try:
            handler.wfile.write(data[: say.cut])
        except OSError:
            return False
        return say.cut is None

    def _completion(self, say: Say, body: Body) -> Body:
        message = {"role": "assistant", "content": say.text}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": f"{body['model']}-2026-01-01",
            "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "message": message, "finish_reason": say.finish_reason}],
            "usage": {"prompt_tokens": 100 + len(body["messages"][-1]["content"]), "completion_tokens": 3},
        }
