"""A progress bar for commands that run in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(total: int | None, *, unit: str, description: str) -> Iterator[Callable[..., None]]:
    """Show a bar on a terminal while a command runs.

    Args:
        total: units in all; None where only the work itself will tell.
    Yields:
        A function of the number of units done, and (once known) of all units.
    """
    with tqdm(total=total, unit=unit, desc=description, mininterval=1, disable=None) as bar:

        def show(done: int, of: int | None = None, **figures: float) -> None:
            bar.total = total if of is None else of
            if figures:
                bar.set_postfix(figures, refresh=False)
            bar.update(done - bar.n)

        yield show
