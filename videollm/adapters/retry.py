"""When a request is sent again, and how many are under way: waits that grow, fewer requests where a server is full."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

AGAIN: Final = frozenset({408, 409, 429})
"""Statuses below 500 after which a request is sent again; those from 500 on all are."""
FULL: Final = 429
MAX_WAIT: Final = 60.0
"""Seconds to which waits grow by themselves."""
MAX_ASKED: Final = 600.0
"""Seconds that a server may ask for (Retry-After); one that asks for more gets no second request."""
SUCCESSES: Final = 20
"""Answers after which one request more is under way at once."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before a request is sent again."""

    tries: int
    """Requests in all, the first one too."""
    first_seconds: float
    """About the first wait; each is twice the one before."""

    def wait(self, num_failed: int, asked: float | None = None) -> float | None:
        """Return the seconds to wait, or None: give up.

        Args:
            num_failed: requests that failed so far.
            asked: seconds that the server asked for, which is the least.
        """
        if num_failed >= self.tries or (asked is not None and asked > MAX_ASKED):
            return None
        grown = min(MAX_WAIT, self.first_seconds * 2.0 ** (num_failed - 1))
        # Jitter spreads the requests that failed together.
        jittered = grown * random.uniform(0.5, 1.0)
        return jittered if asked is None else asked + jittered * 0.1


def is_passing(code: int) -> bool:
    """Tell whether an HTTP status means trouble that may pass."""
    return code in AGAIN or code >= 500


def seconds_asked(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Read Retry-After, in seconds or as a date; None where there is none that can be read.

    Args:
        headers: names in lower case.
        now: seconds since the epoch; the present, if not given.
    """
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - (time.time() if now is None else now)
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None


class Gate:
    """Lets so many requests through at once: half as many after a 429, one more per 20 answers.

    A 429 to a request that was sent before the number was last halved says nothing new.

    Args:
        most: requests at once, at first and at most.
    """

    def __init__(self, most: int) -> None:
        self.most = self.limit = most
        self._under_way = self._successes = self._halved = 0
        self._changed = threading.Condition()

    @contextmanager
    def passing(self) -> Iterator[int]:
        """Wait for room, and hold it; gives what `refused` wants to know."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < self.limit)
            self._under_way += 1
            halved = self._halved
        try:
            yield halved
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def refused(self, halved: int) -> None:
        """Note a 429.

        Args:
            halved: what `passing` gave.
        """
        with self._changed:
            self._successes = 0
            if halved == self._halved:
                self.limit = max(1, self.limit // 2)
                self._halved += 1

    def answered(self) -> None:
        """Note an answer."""
        with self._changed:
            self._successes += 1
            if self._successes >= SUCCESSES:
                self._successes, self.limit = 0, min(self.most, self.limit + 1)
                self._changed.notify_all()
