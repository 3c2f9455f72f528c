"""How long videos are captioned: part by part, and what is summed up above the parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pipelines.timelines.given_file import GivenSegments
from pipelines.timelines.splitters.base import SplitOptions
from videollm.errors import UserError

LEVELS: Final = ("segment", "chapter", "video")
PROMPTS: Final = Path(__file__).parent / "prompts"
MAX_NOTES: Final[Mapping[str, int]] = {"chapter": 8, "summary": 16, "video": 16}
"""Captions that stand for a part of a video where no LLM sums it up."""


@dataclass(frozen=True, kw_only=True)
class CaptionPlan:
    """All that the rows of long videos depend on, beside the model and the frames."""

    splitter: str
    """A name in SPLITTERS."""
    split: SplitOptions
    given: GivenSegments | None = None
    """Ranges of the videos, where the splitter needs them."""
    levels: tuple[str, ...] = LEVELS
    chapter_minutes: float = 5.0
    reduce: Literal["llm", "extract"] = "llm"
    """Sum up by the LLM that captioned, or put together the captions that differ most."""
    branch: int
    """Parts that are summed up together, at most."""
    context: Literal["none", "previous"] = "none"
    """Whether the LLM is told the caption of the segment before; a video's segments then wait for one another."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Level -> prompt, with {start}, {end}, {question} and {notes}."""
    windows_per_span: int = 64
    """Windows that are decoded in one go."""


def check_levels(levels: Sequence[str]) -> None:
    """Check which levels of rows are wanted.

    Raises:
        UserError: an unknown level, or none of segments.
    """
    if unknown := [level for level in levels if level not in LEVELS]:
        raise UserError(f"--levels has {unknown[0]!r}; expected some of {', '.join(LEVELS)}.")
    if "segment" not in levels:
        raise UserError(
            f"--levels is {','.join(levels)}; expected segment among them: the others are made of segments."
        )


def read_prompt(level: str, given: str | None) -> str:
    """Return the prompt of a level: a file's content, a text, or the prompt that comes with the product."""
    if given is None:
        return (PROMPTS / f"{level}.txt").read_text("utf-8").strip()
    try:
        is_file = Path(given).is_file()
    except (OSError, ValueError):  # too long for a name of a file, or none
        is_file = False
    try:
        return Path(given).read_text("utf-8").strip() if is_file else given
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--prompt-{level} is {given}, which cannot be read: {error}. Give a text file in UTF-8, or the text."
        ) from error


def check_prompts(prompts: Mapping[str, str]) -> None:
    """Check that the LLM is told what it is to sum up.

    Raises:
        UserError: a prompt has no place for the notes.
    """
    for level in ("chapter", "video"):
        if "{notes}" not in prompts[level]:
            raise UserError(f"--prompt-{level} has no {{notes}}, in whose place the LLM reads what it is to sum up.")


def fill(prompt: str, **values: str) -> str:
    """Fill a prompt in; braces of the values stay as they are."""
    names = "|".join(map(re.escape, values))
    return re.sub(r"\{(" + names + r")\}", lambda match: values[match[1]], prompt)
