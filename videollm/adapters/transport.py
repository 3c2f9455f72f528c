"""One HTTP request to a server, by the standard library: a status with its body, or why there is none.

The key stands in the header alone: it is taken from the environment, and cut out of whatever the server sends back.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from videollm.errors import Status, UserError, VideollmError

USUAL_KEY: Final = "OPENAI_API_KEY"
MAX_BODY: Final = 64 << 20
"""Bytes of an answer that are read."""
BLOCK: Final = 64 << 10


class EndpointError(VideollmError):
    """A request that a server did not answer.

    Args:
        message: for the row.
        code: HTTP status; None where there was none.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(Status.GENERATE_ERROR, message)
        self.code = code

    def __reduce__(self) -> tuple[type[EndpointError], tuple[str, int | None]]:  # type: ignore[override]
        return type(self), (str(self), self.code)


class Broken(Exception):  # noqa: N818 (what happened)
    """A connection that was not made, or broke: the request may be sent again."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a server said."""

    code: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """Read the body.

        Raises:
            ValueError: it is no JSON.
        """
        return json.loads(self.body)


class Transport:
    """Sends JSON to one server, each time over a connection of its own; threads may share it.

    Args:
        base_url: as `check_url` takes it.
        key_variable: environment variable that holds the key; it may be unset where it is the usual one.
        timeout_seconds: of a request, from the first byte sent to the last one read.
    Raises:
        UserError: as `check_url` and `read_key`.
    """

    def __init__(self, base_url: str, key_variable: str, timeout_seconds: float) -> None:
        self._url, self._timeout = check_url(base_url), timeout_seconds
        self._key = read_key(key_variable)

    def post(self, path: str, body: bytes) -> Response:
        """Send JSON.

        Args:
            path: below the base URL.
        Raises:
            Broken: there is no connection, or it ended before the answer did.
            EndpointError: no answer came in time; the server may still work on it.
        """
        deadline = time.monotonic() + self._timeout
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connection, prefix = self._connection()
        try:
            try:
                connection.connect()
            except OSError as error:  # a timeout too: the server has seen nothing of the request
                raise Broken(f"no connection to {self._url.netloc}: {error}") from error
            assert connection.sock is not None
            opened: socket.socket = connection.sock
            # A server that refuses a large body answers before it has read it.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", f"{prefix}{self._url.path}/{path}", body=body, headers=headers)
            opened.settimeout(max(0.001, deadline - time.monotonic()))
            response = connection.getresponse()
            read = self._read(response, opened, deadline)
        except TimeoutError as error:
            why = f"No answer from {self._url.netloc} within {self._timeout:g} s"
            raise EndpointError(f"{why}. Raise --request-timeout, or ask for less.") from error
        except (http.client.HTTPException, OSError) as error:
            raise Broken(
                f"the connection to {self._url.netloc} broke: {type(error).__name__} {error}".strip()
            ) from error
        finally:
            connection.close()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Response(code=response.status, headers=named, body=self._without_key(read))

    def _connection(self) -> tuple[http.client.HTTPConnection, str]:
        """Return a connection, through the proxy that the environment names, and what comes before the path."""
        url, host = self._url, self._url.hostname or ""
        port = url.port or (443 if url.scheme == "https" else 80)
        proxy = None if proxy_bypass(host) else getproxies().get(url.scheme)
        through = urlsplit(proxy if "//" in proxy else f"http://{proxy}") if proxy else None
        at, at_port = (host, port) if through is None else (through.hostname or "", through.port or 80)
        if url.scheme == "http":
            plain = http.client.HTTPConnection(at, at_port, timeout=self._timeout)
            return plain, "" if through is None else f"http://{url.netloc}"
        secure = http.client.HTTPSConnection(at, at_port, timeout=self._timeout, context=ssl.create_default_context())
        if through is not None:
            secure.set_tunnel(host, port)
        return secure, ""

    def _read(self, response: http.client.HTTPResponse, opened: socket.socket, deadline: float) -> bytes:
        read = bytearray()
        while True:
            opened.settimeout(max(0.001, deadline - time.monotonic()))
            block = response.read1(BLOCK)
            if not block:
                break
            read += block
            if len(read) > MAX_BODY:
                raise EndpointError(f"{self._url.netloc} sent more than {MAX_BODY >> 20} MiB; expected an answer.")
            if time.monotonic() > deadline:
                raise TimeoutError
        if response.length:  # read1 says nothing of an answer that ends too early
            raise http.client.IncompleteRead(bytes(read), response.length)
        return bytes(read)

    def _without_key(self, text: bytes) -> bytes:
        return text.replace(self._key.encode(), b"[key]") if self._key else text


def check_url(base_url: str) -> SplitResult:
    """Check the address of a server, to which `/chat/completions` is added.

    Raises:
        UserError: it is none, or holds more than an address: it is written into run.json, where no secret may stand.
    """
    try:
        url = urlsplit(base_url)
        port_is_right = url.port is None or url.port > 0
    except ValueError:
        port_is_right = False
    if not port_is_right or url.scheme not in ("http", "https") or not url.hostname:
        raise UserError(f"--base-url is {base_url!r}, expected http://HOST:PORT/v1 or https://HOST/v1.")
    if url.username or url.password or url.query or url.fragment:
        raise UserError(
            "--base-url holds a user, a password, a query or a fragment; expected an address alone, as it is written "
            "into run.json. Put the key into an environment variable (--api-key-env)."
        )
    return url._replace(path=url.path.rstrip("/"))


def read_key(variable: str) -> str:
    """Read the key from the environment; "" where the usual variable is unset, for servers that need none.

    Raises:
        UserError: another variable is unset; or it holds what cannot stand in a header. The value is never told.
    """
    value = os.environ.get(variable, "").strip()
    if not value and variable != USUAL_KEY:
        raise UserError(f"The environment variable {variable} (--api-key-env) is not set. Set it to the server's key.")
    if not (value.isascii() and value.isprintable()):
        raise UserError(f"The environment variable {variable} holds no key: expected printable ASCII on one line.")
    return value
