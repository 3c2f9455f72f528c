"""A call on many items in parts: a bad item fails alone, and groups are divided only where they must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def singly(call: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R | Exception]:
    """Results of a call on all items; if it fails, of one call an item, so that a bad item fails alone."""
    if not items:
        return []
    try:
        return list(call(items))
    except Exception as error:  # out of memory, a prompt that is too long, a fault of the model: data, not the end
        problem = error.with_traceback(None)
    _release()
    return [problem] if len(items) == 1 else [r for item in items for r in singly(call, [item])]


def split(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Runs of at most `limit` items in a row of groups; a group is divided only if it does not fit into a run alone.

    Args:
        sizes: items of each group.
    """
    start = end = 0
    for size in sizes:
        if end > start and end - start + size > limit:
            yield slice(start, end)
            start = end
        end += size
        while end - start > limit:
            yield slice(start, start + limit)
            start += limit
    if end > start:
        yield slice(start, end)


def reason(error: Exception) -> str:
    """An exception as a row's error."""
    return f"{type(error).__name__}: {error}"


def _release() -> None:
    """Give cached GPU memory back, for a retry after running out of it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
