"""Questions of yes or no that the embedded models know, made of other questions that they know."""

from __future__ import annotations

import re

from videollm.shapes.stories import COLOUR_WORDS, PHRASES


def probes_of(question: str) -> tuple[str, ...]:
    """Ask for each colour that a question names, in the order in which it names them; () where it names none."""
    words = re.findall(r"\w+", question.lower())
    named = dict.fromkeys(word for word in words if word in COLOUR_WORDS)
    return tuple(PHRASES["exists"][0].format(colour=colour) for colour in named)
