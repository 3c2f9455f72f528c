"""Calls on many items at once: a bad item fails alone, and groups of items are divided only where necessary."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from videollm.errors import EngineLost

T = TypeVar("T")
R = TypeVar("R")


class Attempts(Generic[T, R]):
    """One call for all items and, if that fails, one per item, so that a bad item fails alone.

        attempts = Attempts(items)
        for some in attempts:
            with attempts:
                attempts.add(call(some))

    The call stands in the caller's own lines: a debugger, or a trace, goes from the one straight to the other.
    """

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self.outcomes: list[R | Exception] = []
        """A result for each item, or the exception that its own call raised (`trace_of` has its trace as text; the
        exception itself holds no frame, and so no tensor of the failed call)."""
        self._problem: Exception | None = None

    def __iter__(self) -> Iterator[Sequence[T]]:
        return self._attempt(self.items)

    def __enter__(self) -> None:
        self._problem = None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, EngineLost):
            return False
        # Out of memory, a prompt too long, a fault of the model: data, not the end.
        self._problem = _without_frames(error)
        return True

    def add(self, results: Iterable[R]) -> None:
        """Add the results of a call, one per item."""
        self.outcomes += list(results)

    def _attempt(self, some: Sequence[T]) -> Iterator[Sequence[T]]:
        if not some:
            return
        yield some
        if self._problem is None:
            return
        _release_memory()
        if len(some) == 1:
            self.outcomes.append(self._problem)
            return
        for item in some:
            yield from self._attempt([item])


def describe_error(error: Exception) -> str:
    """Describe an exception as a row's error: kind and message."""
    return f"{type(error).__name__}: {error}"


def trace_of(error: Exception) -> str:
    """Format the trace of an exception, also of one among the outcomes of `Attempts`."""
    kept: str | None = getattr(error, "_videollm_trace", None)
    return kept or "".join(traceback.format_exception(error))


def _without_frames(error: Exception) -> Exception:
    error._videollm_trace = trace_of(error)  # type: ignore[attr-defined]
    return error.with_traceback(None)


def _release_memory() -> None:
    """Release cached GPU memory, for a retry after running out of memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
