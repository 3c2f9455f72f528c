"""Clips under way in a model: they join at any time, and leave as soon as all their requests are answered."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from videollm.types import Answer, Request, Room

V = TypeVar("V")
"""A clip as the model sees it."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The end of a clip."""

    key: Hashable
    """As it was added."""
    outcomes: list[Answer | Exception]
    """For each request its answer, or why there is none."""
    seconds: list[float]
    """For each request its share of the time that was spent."""


class Answering(ABC, Generic[V]):
    """Clips under way. Answers are those of clips alone, token for token, whoever is under way beside them."""

    @abstractmethod
    def add(self, key: Hashable, visual: V, requests: Sequence[Request]) -> None:
        """Let a clip join.

        Args:
            key: names it.
            visual: the clip.
            requests: on it; one that cannot be answered (a prompt too long) fails alone.
        """

    @abstractmethod
    def advance(self) -> list[Answered]:
        """Do the next piece of work, a fraction of a second where that can be chosen; return the clips that it ended.

        Raises:
            Exception: the work failed (out of memory). No clip under way can go on; `clear` gives them up.
        """

    @property
    @abstractmethod
    def num_waiting(self) -> int:
        """Requests that there is no room for yet: more clips are of use once it is 0."""

    @property
    @abstractmethod
    def num_clips(self) -> int:
        """Clips that were added and have not ended."""

    @abstractmethod
    def clear(self) -> None:
        """Give all clips up."""

    def room(self, visual: V, requests: Sequence[Request]) -> Room | None:
        """Tell what memory a clip would take, and what there is; None where that is not planned."""
        return None


class InTurn(Answering[V]):
    """Clips in a model that takes a batch to its end: those that joined meanwhile come next.

    Args:
        answer: answers the requests of several clips.
        max_requests: most requests of a batch; all, if not given.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[tuple[V, Sequence[Request]]]], list[list[Answer]]],
        max_requests: int | None = None,
    ) -> None:
        self._answer, self._max_requests = answer, max_requests
        self._clips: deque[_Clip[V]] = deque()

    def add(self, key: Hashable, visual: V, requests: Sequence[Request]) -> None:
        """Let a clip join, see `Answering.add`."""
        self._clips.append(_Clip(key=key, visual=visual, requests=requests))

    @property
    def num_waiting(self) -> int:
        """Requests that wait for the next batch."""
        return sum(len(clip.requests) for clip in self._clips)

    @property
    def num_clips(self) -> int:
        """Clips that wait for the next batch."""
        return len(self._clips)

    def clear(self) -> None:
        """Give all clips up."""
        self._clips.clear()

    def advance(self) -> list[Answered]:
        """Take a batch to its end, see `Answering.advance`; requests of one clip may need several."""
        taken: list[tuple[_Clip[V], Sequence[Request]]] = []
        left = self._max_requests or self.num_waiting
        for clip in self._clips:
            if left <= 0:
                break
            taken.append((clip, clip.requests[len(clip.outcomes) :][:left]))
            left -= len(taken[-1][1])
        if not taken:
            return []
        began = time.perf_counter()
        made = self._answer([(clip.visual, requests) for clip, requests in taken])
        share = (time.perf_counter() - began) / max(1, sum(len(requests) for _, requests in taken))
        for (clip, requests), answers in zip(taken, made, strict=True):
            clip.outcomes += answers
            clip.seconds += [share] * len(requests)
        ended = []
        while self._clips and len(self._clips[0].outcomes) == len(self._clips[0].requests):
            clip = self._clips.popleft()
            ended.append(Answered(key=clip.key, outcomes=clip.outcomes, seconds=clip.seconds))
        return ended


@dataclass(kw_only=True)
class _Clip(Generic[V]):
    key: Hashable
    visual: V
    requests: Sequence[Request]
    outcomes: list[Answer | Exception] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
