"""Calls on many items at once: a bad item fails alone, and groups of items are divided only where necessary."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def call_with_fallback(call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R | Exception]:
    """Call once for all items; if that fails, once per item, so that a bad item fails alone.

    Returns:
        A result for each item, or the exception that its own call raised (`trace_of` has its trace as text; the
        exception itself holds no frame, and so no tensor of the failed call).
    """
    if not items:
        return []
    try:
        return list(call(items))
    except Exception as error:  # out of memory, a prompt that is too long, a fault of the model: data, not the end
        problem = _without_frames(error)
    _release_memory()
    return [problem] if len(items) == 1 else [r for item in items for r in call_with_fallback(call, [item])]


def batch_slices(group_sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Cut a sequence of groups of items into slices of at most `limit` items.

    A group is divided only if it does not fit into a slice alone.

    Args:
        group_sizes: items of each group.
    """
    start = end = 0
    for size in group_sizes:
        if end > start and end - start + size > limit:
            yield slice(start, end)
            start = end
        end += size
        while end - start > limit:
            yield slice(start, start + limit)
            start += limit
    if end > start:
        yield slice(start, end)


def describe_error(error: Exception) -> str:
    """Describe an exception as a row's error: kind and message."""
    return f"{type(error).__name__}: {error}"


def trace_of(error: Exception) -> str:
    """Format the trace of an exception, also of one that `call_with_fallback` returned."""
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
