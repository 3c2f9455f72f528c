"""Questions with their options, as the model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Final

from videollm.errors import UserError

NO_OCR: Final = (
    "The model's prompt has no place for text found in pictures. Leave ocr out, or write it into the question."
)
"""Said where a request brings such text and a model takes none."""


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
