"""Questions with their options, as the model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from videollm.errors import UserError


def format_question(question: str, options: Sequence[str] = ()) -> str:
    """Write the question, with lettered options and how to answer where there are any.

    Raises:
        UserError: more than 26 options.
    """
    if not options:
        return question
    if len(options) > len(ascii_uppercase):
        raise UserError(f"Question has {len(options)} options; expected at most {len(ascii_uppercase)} (A to Z).")
    lines = [f"({letter}) {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return "\n".join([question, *lines, "Answer with the option's letter from the given choices directly."])
