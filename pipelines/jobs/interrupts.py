"""Ctrl-C, which ends a job even where a library loses it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noticing_interrupts() -> Iterator[Callable[[], None]]:
    """Remember SIGINT in a block of code, beside what it does anyway.

    A KeyboardInterrupt is raised wherever the main thread happens to be. In native code that calls back into Python
    (Ray's core worker does) it can be dropped there, and the job would go on.

    Yields:
        A function that raises KeyboardInterrupt if a SIGINT has come; to be called now and then.
    """
    came = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        came.set()
        if callable(before):
            before(number, frame)

    def check() -> None:
        if came.is_set():
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # where signals never arrive
        yield check
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
