"""Requests under way at a server: each in a thread of its own, so many at once as are allowed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

from videollm.models.answering import Answered, Answering
from videollm.models.protocol import Visual
from videollm.types import Answer, Request

TICK_SECONDS: Final = 0.05
"""How long `advance` waits for an answer: its caller is to see Ctrl-C, and clips that came meanwhile."""

Ask = Callable[[Request], Answer]


@dataclass(kw_only=True)
class _Clip:
    key: Hashable
    outcomes: list[Answer | Exception | None]
    seconds: list[float] = field(default_factory=list)

    @property
    def num_left(self) -> int:
        return sum(outcome is None for outcome in self.outcomes)


class InFlight(Answering[Visual | None]):
    """Clips whose requests are under way.

    Args:
        show: makes of a clip what answers a request on it; called in any thread.
        most: requests at once.
    """

    def __init__(self, show: Callable[[Visual | None], Ask], most: int) -> None:
        self._show, self._most = show, most
        self._clips: list[_Clip] = []
        self._waiting: deque[tuple[_Clip, int, Ask, Request]] = deque()
        self._num_threads = 0
        self._changed = threading.Condition()
        self._since = time.perf_counter()

    def add(self, key: Hashable, visual: Visual | None, requests: Sequence[Request]) -> None:
        """Let a clip join, see `Answering.add`."""
        ask = self._show(visual)
        clip = _Clip(key=key, outcomes=[None] * len(requests), seconds=[0.0] * len(requests))
        with self._changed:
            if not self._clips:
                self._since = time.perf_counter()
            self._clips.append(clip)
            self._waiting += [(clip, i, ask, request) for i, request in enumerate(requests)]
            new = min(self._most - self._num_threads, len(self._waiting))
            self._num_threads += max(0, new)
        for _ in range(new):
            # Daemons: a request that no one waits for any more does not keep the process alive.
            threading.Thread(target=self._work, name="request", daemon=True).start()

    def advance(self) -> list[Answered]:
        """Wait a moment for a clip to end, see `Answering.advance`."""
        with self._changed:
            self._changed.wait_for(lambda: not all(clip.num_left for clip in self._clips), TICK_SECONDS)
            self._share_time()
            ended = [clip for clip in self._clips if not clip.num_left]
            self._clips = [clip for clip in self._clips if clip.num_left]
        return [
            Answered(key=c.key, outcomes=[o for o in c.outcomes if o is not None], seconds=c.seconds) for c in ended
        ]

    @property
    def num_waiting(self) -> int:
        """Requests that no thread has taken yet."""
        return len(self._waiting)

    @property
    def num_clips(self) -> int:
        """Clips that have not ended."""
        return len(self._clips)

    def clear(self) -> None:
        """Give all clips up; what is under way ends unheard."""
        with self._changed:
            self._clips = []
            self._waiting.clear()

    def _share_time(self) -> None:
        """Divide the time since the last call among the requests of all clips that have not ended."""
        now = time.perf_counter()
        shares = [(clip, i) for clip in self._clips for i in range(len(clip.outcomes))]
        for clip, i in shares:
            clip.seconds[i] += (now - self._since) / len(shares)
        self._since = now

    def _work(self) -> None:
        """Answer requests until none is waiting."""
        while True:
            with self._changed:
                if not self._waiting:
                    self._num_threads -= 1
                    return
                clip, i, ask, request = self._waiting.popleft()
            outcome: Answer | Exception
            try:
                outcome = ask(request)
            except Exception as error:  # of whatever kind: it is this request's outcome, and the caller's to judge
                outcome = error
            with self._changed:
                clip.outcomes[i] = outcome
                self._changed.notify_all()
