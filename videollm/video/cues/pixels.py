"""Cuts by what is seen: sudden changes of local colours that last, and dissolves.

Every frame is 16 cells, of each of which the colours are counted. A change counts if it is much greater than those
around it (a hand that moves, a pan or a zoom changes all frames alike), and if it is still there some frames later (a
flash is not). A dissolve is a change along a straight line: all frames between are mixtures of the first and the last.

SHAPES  h w pixels, c colour channels (RGB), k window of frames, f features of a frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from videollm.video.cues.base import Cues, Cut, Picture
from videollm.video.file_timeline import FileTimeline

Floats = NDArray[np.float32]

SIZE: Final = (36, 64)
CELLS: Final = 4
"""Per side."""
BINS: Final = 8
"""Per channel; a value counts for the two nearest ones, so that a small change of light is a small change of counts."""
LEAST_CHANGE: Final = 0.06
"""Of the colours, 0 to 1: less is no cut."""
TIMES_MEDIAN: Final = 4.0
MORE_THAN_MEDIAN: Final = 0.05
AROUND: Final = 8
"""Frames on each side whose changes a cut must exceed."""
REPEATED: Final = 0.002
"""Change up to which a frame is the one before, shown again."""
LATER: Final = 5
"""Frames after which a change must still be there."""
FADE_LENGTHS: Final = (8, 16, 32, 48)
"""Frames in which dissolves are looked for."""
FADE_CHANGE: Final = 0.2
SETTLED: Final = 4
"""Frames for which a picture must stay as the dissolve left it."""
OFF_LINE: Final = 0.2
"""Of the change: what frames of a dissolve may differ from mixtures of its ends."""
FADE_STEP: Final = 0.34
"""Of the change: a greater step between two frames is no dissolve."""
PLAIN: Final = 4.0
"""Standard deviation of pixels, 0 to 255, up to which a picture is one colour."""


@dataclass(frozen=True)
class _Frame:
    """What is kept of a frame."""

    seconds: float
    colours: Floats
    """(f,) share of each colour in each cell, all of them together 1."""
    small: Floats
    """(9 * 16 * c,) the picture, 0 to 255."""


@dataclass(frozen=True)
class _Found:
    """A cut, by the number of its frame."""

    number: int
    cut: Cut
    reach: int = 0
    """Frames on each side that belong to a dissolve."""


class Pixels(Cues):
    """Changes of local colours that are sudden and last, and dissolves; numpy, one pass, memory of 50 frames."""

    size = SIZE

    def find(self, timeline: FileTimeline, pictures: Iterable[Picture]) -> list[Cut]:
        """Find the cuts; strength is the share of colours that changed."""
        sudden, fades = _Sudden(), _Fades()
        for number, (seconds, picture) in enumerate(pictures):
            frame = _Frame(seconds, colours(picture), shrink(picture))
            sudden.push(number, frame)
            fades.push(number, frame)
        sudden.close()
        fades.close()
        cuts = [found.cut for found in sudden.found]
        cuts += [f.cut for f in fades.found if not any(abs(f.number - s.number) <= f.reach for s in sudden.found)]
        return sorted(cuts, key=lambda cut: cut.seconds)


class _Sudden:
    """Finds changes from one frame to the next."""

    def __init__(self) -> None:
        self.found: list[_Found] = []
        self._frames: deque[_Frame] = deque(maxlen=LATER + AROUND + 2)
        self._changes: deque[float] = deque([np.nan] * (2 * AROUND + 1), maxlen=2 * AROUND + 1)
        self._last = -1

    def push(self, number: int, frame: _Frame) -> None:
        """Take a frame; the one that lies AROUND before can be judged then."""
        change = distance(self._frames[-1].colours, frame.colours) if self._frames else np.nan
        self._frames.append(frame)
        self._last = number
        self._judge(change, number - AROUND)

    def close(self) -> None:
        """Judge the frames at the end, by those before them alone."""
        for number in range(self._last - AROUND + 1, self._last + 1):
            if self._frames:
                self._frames.append(self._frames[-1])
            self._judge(np.nan, number)

    def _judge(self, newest_change: float, number: int) -> None:
        self._changes.append(newest_change)
        changes = np.array(self._changes)
        change, others = float(changes[AROUND]), np.delete(changes, AROUND)
        others = others[~np.isnan(others)]
        if number < 1 or change <= LEAST_CHANGE or change < others.max(initial=0.0):
            return
        # Frames shown twice, as slow films have in fast videos, do not make what moves between them stand still.
        moving = others[others > REPEATED]
        usual = float(np.median(moving if len(moving) >= AROUND // 2 else others)) if len(others) else 0.0
        if change <= TIMES_MEDIAN * usual + MORE_THAN_MEDIAN:
            return
        frames = list(self._frames)
        here = len(frames) - 1 - AROUND
        # Neither where a flash begins nor where it ends is the picture after it another one than that before it.
        later = frames[here + LATER].colours
        if min(distance(frames[max(0, i)].colours, later) for i in (here - 1, here - 1 - LATER)) > LEAST_CHANGE:
            self.found.append(_Found(number, Cut(frames[here].seconds, change)))


class _Fades:
    """Finds dissolves, and pictures that come out of black or white."""

    def __init__(self) -> None:
        self.found: list[_Found] = []
        self._frames: deque[_Frame] = deque(maxlen=max(FADE_LENGTHS) + 1 + SETTLED)
        self._best: _Found | None = None
        self._over = 0

    def push(self, number: int, frame: _Frame) -> None:
        """Take a frame; the windows that end with it are looked at."""
        self._frames.append(frame)
        frames = list(self._frames)
        for length in FADE_LENGTHS:
            if len(frames) <= length + SETTLED:
                break
            # What is looked at ends some frames ago: a picture that changes on is not yet the new one.
            part = frames[-1 - length - SETTLED : len(frames) - SETTLED]
            first, last = number - length - SETTLED, part[-1]
            change = distance(part[0].colours, last.colours)
            if first < self._over or change <= FADE_CHANGE or (self._best and change <= self._best.cut.strength):
                continue
            if distance(last.colours, frame.colours) > change / 4:
                continue
            middle = middle_of_line(np.stack([f.small for f in part]))
            if middle is None or any(f.small.std() <= PLAIN for f in part[middle:]):  # what goes is no new picture
                continue
            at = first + middle
            if self._best is not None and at - self._best.number > self._best.reach:
                self.close()
            self._best = _Found(at, Cut(part[middle].seconds, change), length)
        if self._best is not None and number - self._best.number > 2 * self._best.reach + SETTLED:
            self.close()

    def close(self) -> None:
        """Take the best of the windows that show one dissolve."""
        if self._best is not None:
            self.found.append(self._best)
            self._over = (
                self._best.number + self._best.reach // 2
            )  # a window that begins before shows the same dissolve
        self._best = None


def distance(a: Floats, b: Floats) -> float:
    """Return the share of colours that changed, 0 to 1."""
    return float(np.abs(a - b).sum()) / 2


def middle_of_line(pictures: Floats) -> int | None:
    """Find the middle of a dissolve.

    Args:
        pictures: (k f) consecutive frames.
    Returns:
        Number of the first frame that is more like the last than like the first; None where the frames do not change
        little by little from the first to the last, each a mixture of the two.
    """
    whole = pictures[-1] - pictures[0]
    moved = pictures - pictures[0]
    share = moved @ whole / max(float(whole @ whole), 1e-6)
    off = np.abs(moved - share[:, None] * whole).mean(axis=1) / max(float(np.abs(whole).mean()), 1e-6)
    steps = np.diff(share)
    if off.max() > OFF_LINE or steps.max() > FADE_STEP or steps.min() < -0.1:
        return None
    return int(np.argmax(share >= 0.5))


def shrink(picture: NDArray[np.uint8]) -> Floats:
    """Return (f,) a picture at a quarter of its size."""
    h, w, c = picture.shape
    small: Floats = picture.reshape(h // 4, 4, w // 4, 4, c).mean(axis=(1, 3), dtype=np.float32).reshape(-1)
    return small


def colours(picture: NDArray[np.uint8]) -> Floats:
    """Count the colours of each cell.

    Args:
        picture: (h w c) of SIZE.
    Returns:
        (f,), all together 1.
    """
    lower = _LOWER[picture] + _PLACES
    upper = _UPPER[picture]
    count = CELLS * CELLS * 3 * BINS
    counts = np.bincount(lower.ravel(), 1 - upper.ravel(), count) + np.bincount(lower.ravel() + 1, upper.ravel(), count)
    return (counts / picture.size).astype(np.float32)


_POSITION: Final = np.arange(256) / 255 * (BINS - 1)
_LOWER: Final = np.minimum(_POSITION.astype(np.int64), BINS - 2)
"""(256,) lower one of the two bins of a value."""
_UPPER: Final = _POSITION - _LOWER
"""(256,) share of the upper one."""
_ROWS, _COLUMNS = (np.arange(side) * CELLS // side for side in SIZE)
_PLACES: Final = ((_ROWS[:, None, None] * CELLS + _COLUMNS[None, :, None]) * 3 + np.arange(3)) * BINS
"""(h w c) first bin of the cell and channel of a pixel."""
