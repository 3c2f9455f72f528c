"""Progress bar of a command."""

from __future__ import annotations

from tqdm import tqdm


class ProgressBar:
    """Bar that appears with the first step, where standard error is a terminal.

    Args:
        verb: what is done with a unit ("judged").
        unit: what is counted.
    """

    def __init__(self, verb: str, unit: str) -> None:
        self.verb, self.unit = verb, unit
        self._bar: tqdm[None] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._bar is None:
            self._bar = tqdm(total=total, desc=self.verb, unit=self.unit, dynamic_ncols=True, disable=None)
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()
            self._bar = None
