"""Squares of which the model is told the number, the length of the clip and the time of each: SmolVLM2's frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from videollm.types import FrameBatch
from videollm.video.preprocessing.base import Group
from videollm.video.preprocessing.square import Square


@dataclass(frozen=True, kw_only=True)
class TimedSquare(Square):
    """Squares with text before, between and behind them."""

    intro: str = ""
    """Written in front of a clip; `{frames}` is their number in words, `{duration}` the length as 0:00:00."""
    label: str = ""
    """Written in front of a frame, where the connector keeps frames apart; `{minutes}` and `{seconds}` are whole."""
    before: str = ""
    """Written behind a label, and once in front of a clip whose frames are not kept apart."""
    after: str = ""
    """Written behind a frame, and once behind such a clip."""
    outro: str = ""
    """Written behind a clip."""

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group of all frames of a clip; errors as `fit`."""
        told = [i / batch.fps for i in batch.indices] if batch.fps > 0 else list(batch.seconds)
        length = batch.num_in_range / batch.fps if batch.fps > 0 and batch.num_in_range > 0 else told[-1]
        intro = self.intro.format(frames=in_words(len(told)), duration=str(timedelta(seconds=int(length))))
        stamps = [self.label.format(minutes=int(second // 60), seconds=int(second % 60)) for second in told]
        labels = [[stamp + self.before, self.after] for stamp in stamps]
        labels[0][0] = intro + labels[0][0]
        labels[-1][1] += self.outro
        return [
            Group(
                pictures=self.fit(batch.frames),
                seconds=batch.seconds,
                before=intro + self.before,
                after=self.after + self.outro,
                labels=tuple((before, after) for before, after in labels),
            )
        ]


SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS: Final = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """Write a number below a million in British English, as the package num2words does."""
    if number < 20:
        return SMALL[number]
    if number < 100:
        return TENS[number // 10] + (f"-{SMALL[number % 10]}" if number % 10 else "")
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = number % unit
    joint = " and " if rest < 100 else ", "
    return f"{in_words(number // unit)} {name}" + (f"{joint}{in_words(rest)}" if rest else "")
