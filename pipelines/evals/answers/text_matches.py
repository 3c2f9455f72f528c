"""Where a text gives an option by the option's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipelines.evals.answers.mentions import ENDS, SENTENCE_END, STATES, Claim, Force, force_of, is_denied
from pipelines.evals.answers.options import PARTICLES, Menu, Span

STATEMENT: Final = re.compile(STATES)
LEADS: Final = re.compile(
    r"(?:\s|[:\"'(]|\b(?:that|the|a|an|la|el|le|die|der|das|most|likely|probably)\b){0,12}", re.IGNORECASE
)
"""What may stand between "the answer is", or the start of a text, and the words of the answer."""
CALLED_RIGHT: Final = re.compile(r"\s*(?:is|would be|seems) (?:the )?(?:correct|right|best)\b", re.IGNORECASE)
REASON: Final = re.compile(r",?\s*(?:because|as|since|not|rather than|instead of)\b", re.IGNORECASE)
COMPARED: Final = re.compile(
    r"\b(?:(?:more|less|fewer|greater|other) than|over|under|at least|at most|up to)\s+$", re.IGNORECASE
)
GIVES_PARTICLE: Final = re.compile(r"(?:\b(?:so|thus|therefore|hence|then)\b[,:]?|[.!?\n])\s*$", re.IGNORECASE)


def wordings_in(text: str, menu: Menu, names: list[Span], labels: list[Claim]) -> list[Claim]:
    """Every option a plain text gives or denies in words, in order.

    Args:
        names: where the options' words stand in the text.
        labels: what the text gives by label; "the answer is B" states no words.
    """
    stated = dict(_stated(text, names, labels))
    claims = []
    for name in names:
        force = max(stated.get(name, Force.TEXT), _force_in_place(text, name, names))
        if menu.words[name.option] in PARTICLES and force == Force.TEXT:
            if not _gives_particle(text, name):
                continue
            force = Force.PLACED
        compared = menu.words[name.option][0].isdigit() and COMPARED.search(text, 0, name.start)
        denied = bool(compared) or is_denied(text, name.start, name.end)
        if not denied and CALLED_RIGHT.match(text, name.end):
            force = max(force, Force.STATED)
        claims.append(
            Claim(start=name.start, end=name.end, option=name.option, force=force, by_letter=False, denied=denied)
        )
    return claims


def _stated(text: str, names: list[Span], labels: list[Claim]) -> Iterator[tuple[Span, Force]]:
    """Names right after "the answer is", else all in the rest of that sentence."""
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
    """PLACED where the text opens with the name and the rest of the sentence names no other option, but in a reason."""
    lead = LEADS.match(text)
    if lead is None or name.start != lead.end() or not ENDS.match(text, name.end):
        return Force.TEXT
    end = SENTENCE_END.search(text, name.end)
    stop = end.start() if end else len(text)
    others = any(other.option != name.option and name.end <= other.start < stop for other in names)
    return Force.TEXT if others and not REASON.match(text, name.end) else Force.PLACED


def _gives_particle(text: str, name: Span) -> bool:
    """ "..., so yes." """
    return GIVES_PARTICLE.search(text, 0, name.start) is not None and ENDS.match(text, name.end) is not None
