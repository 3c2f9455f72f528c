"""Places where a text gives an option by its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipelines.evals.answers.mentions import ENDS, SENTENCE_END, STATES, Force, Mention, force_of, is_denied
from pipelines.evals.answers.options import PARTICLES, Options, Span

STATEMENT: Final = re.compile(STATES)
LEADS: Final = re.compile(
    r"(?:\s|[:\"'(]|\b(?:that|the|a|an|la|el|le|die|der|das|most|likely|probably)\b){0,12}", re.IGNORECASE
)
"""What may stand between the answer's words and "the answer is", or the start of the text, before them."""
CALLED_RIGHT: Final = re.compile(r"\s*(?:is|would be|seems) (?:the )?(?:correct|right|best)\b", re.IGNORECASE)
REASON: Final = re.compile(r",?\s*(?:because|as|since|not|rather than|instead of)\b", re.IGNORECASE)
COMPARED: Final = re.compile(
    r"\b(?:(?:more|less|fewer|greater|other) than|over|under|at least|at most|up to)\s+$", re.IGNORECASE
)
GIVES_PARTICLE: Final = re.compile(r"(?:\b(?:so|thus|therefore|hence|then)\b[,:]?|[.!?\n])\s*$", re.IGNORECASE)


def find_text_matches(text: str, options: Options, names: list[Span], labels: list[Mention]) -> list[Mention]:
    """Find every option that a normalised text gives or denies in words, in order.

    Args:
        names: places of the options' words in the text.
        labels: mentions by letter; "the answer is B" states no words.
    """
    stated = dict(_stated(text, names, labels))
    mentions = []
    for name in names:
        force = max(stated.get(name, Force.TEXT), _force_in_place(text, name, names))
        if options.words[name.option] in PARTICLES and force == Force.TEXT:
            if not _gives_particle(text, name):
                continue
            force = Force.PLACED
        compared = options.words[name.option][0].isdigit() and COMPARED.search(text, 0, name.start)
        denied = bool(compared) or is_denied(text, name.start, name.end)
        if not denied and CALLED_RIGHT.match(text, name.end):
            force = max(force, Force.STATED)
        mentions.append(
            Mention(start=name.start, end=name.end, option=name.option, force=force, by_letter=False, denied=denied)
        )
    return mentions


def _stated(text: str, names: list[Span], labels: list[Mention]) -> Iterator[tuple[Span, Force]]:
    """Yield the names right after "the answer is", or without one all names in the rest of that sentence."""
    for statement in STATEMENT.finditer(text):
        end = SENTENCE_END.search(text, statement.end())
        stop = end.start() if end else len(text)
        if any(statement.start() <= label.start <= stop for label in labels):
            continue
        lead = LEADS.match(text, statement.end())
        inside = [name for name in names if statement.end() <= name.start < stop]
        first = [name for name in inside if lead and name.start <= lead.end()]
        yield from ((name, force_of(text, statement)) for name in first or inside)


def _force_in_place(text: str, name: Span, names: list[Span]) -> Force:
    """Return PLACED where the text opens with the name and its sentence names no other option, unless in a reason."""
    lead = LEADS.match(text)
    if lead is None or name.start != lead.end() or not ENDS.match(text, name.end):
        return Force.TEXT
    end = SENTENCE_END.search(text, name.end)
    stop = end.start() if end else len(text)
    others = any(other.option != name.option and name.end <= other.start < stop for other in names)
    return Force.TEXT if others and not REASON.match(text, name.end) else Force.PLACED


def _gives_particle(text: str, name: Span) -> bool:
    """Tell whether a word such as "yes" is the answer there: "..., so yes"."""
    return GIVES_PARTICLE.search(text, 0, name.start) is not None and ENDS.match(text, name.end) is not None
