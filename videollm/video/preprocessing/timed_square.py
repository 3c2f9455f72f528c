"""Squares of which the model is told the number, the length of the clip and the time of each.

SmolVLM2 is told before the clip and at each frame, LLaVA-Video behind the clip.
"""

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
    """Written in front of a clip. `{number}` is that of its frames, `{frames}` the same in words, `{length}` are the
    seconds of the clip, `{duration}` the same as 0:00:00, `{times}` the seconds from its first frame to each."""
    label: str | None = None
    """Written in front of a frame, where the connector keeps frames apart; `{minutes}` and `{seconds}` are whole. None
    writes nothing at frames."""
    before: str = ""
    """Written behind a label, and once in front of a clip whose frames are not kept apart."""
    after: str = ""
    """Written behind a frame, and once behind such a clip."""
    outro: str = ""
    """Written behind a clip, with the same words as `intro`."""

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group of all frames of a clip; errors as `fit`."""
        told = [i / batch.fps for i in batch.indices] if batch.fps > 0 else list(batch.seconds)
        length = batch.num_in_range / batch.fps if batch.fps > 0 and batch.num_in_range > 0 else told[-1]
        words = {
            "number": len(told),
            "frames": in_words(len(told)),
            "length": length,
            "duration": str(timedelta(seconds=int(length))),
            "times": ",".join(f"{second - told[0]:.2f}s" for second in told),
        }
        intro, outro = self.intro.format(**words), self.outro.format(**words)
        labels: list[list[str]] = []
        if self.label is not None:
            stamps = [self.label.format(minutes=int(second // 60), seconds=int(second % 60)) for second in told]
            labels = [[stamp + self.before, self.after] for stamp in stamps]
            labels[0][0] = intro + labels[0][0]
            labels[-1][1] += outro
        return [
            Group(
                pictures=self.fit(batch.frames),
                seconds=batch.seconds,
                before=intro + self.before,
                after=self.after + outro,
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
