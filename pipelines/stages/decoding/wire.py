"""Messages between a decoding process and the one that asks: a JSON header, then raw bytes; nothing is unpickled."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any, Final

Header = dict[str, Any]
_LENGTHS: Final = struct.Struct(">IQ")


def write(fd: int, header: Header, body: memoryview | bytes = b"") -> None:
    """Send one message, all of it."""
    text = json.dumps(header).encode("ascii")
    for part in (_LENGTHS.pack(len(text), len(body)) + text, body):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(fd, rest) :]


def read(fd: int, *, deadline: float | None = None) -> tuple[Header, bytearray]:
    """Receive one message.

    Args:
        deadline: time.monotonic() after which to give up.
    Raises:
        EOFError: the other side is gone.
        TimeoutError: the deadline passed.
    """
    header_bytes, body_bytes = _LENGTHS.unpack(_exactly(fd, _LENGTHS.size, deadline))
    header = json.loads(_exactly(fd, header_bytes, deadline))
    return header, _exactly(fd, body_bytes, deadline)


def _exactly(fd: int, num_bytes: int, deadline: float | None) -> bytearray:
    data = bytearray(num_bytes)
    rest = memoryview(data)
    while rest:
        if deadline is not None and not _ready(fd, deadline):
            raise TimeoutError
        count = os.readv(fd, [rest])
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return data


def _ready(fd: int, deadline: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
