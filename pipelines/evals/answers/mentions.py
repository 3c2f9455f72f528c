"""Mentions of options in an answer: how plainly each is given, and whether the clause around it denies it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from pipelines.evals.answers import lexicon


class Force(IntEnum):
    """How plainly an option is given; a plainer one outweighs the others."""

    TEXT = 0
    """An option's words, somewhere in a sentence."""
    LETTER = 1
    """A label, somewhere in a sentence: "I think it's B", "(B)"."""
    PLACED = 2
    """Where an answer stands: at the start of the text or of a sentence, or alone in a line."""
    STATED = 3
    """"The answer is B", "B is correct"."""
    FINAL = 4
    """"Therefore the answer is B", "Final answer: B"."""


@dataclass(frozen=True, kw_only=True)
class Mention:
    """One place where a text gives or denies an option."""

    start: int
    end: int
    option: int | None
    """Index; None: what is given is no option, and `problem` says why."""
    force: Force
    by_letter: bool
    """By its label (a letter, or a number), not by its words."""
    denied: bool = False
    problem: str = ""


NOUN: Final = (
    rf"(?<!\beach )(?<!\bevery )(?:(?:{lexicon.RIGHT}|{lexicon.GIVEN})\s*(?:的|な)?\s*){{0,4}}"
    rf"{lexicon.ANSWER}(?:\s*{lexicon.RIGHT}){{0,2}}"
)
STATES: Final = rf"(?i:{NOUN}{lexicon.ABOUT}\s*(?:{lexicon.IS}){{1,3}}|{lexicon.CHOOSE})"
""" "The correct answer to the question is", "I choose"."""
ENDS: Final = re.compile(r"\s*(?:$|\n|[.,;:!?()\]}/&。、]|[-–—](?:\s|$)|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
"""A name ends here; in a language without spaces, the sentence may go on."""
SENTENCE_END: Final = re.compile(r"[.!?](?=\s|$)|\n|[。]")

REACH: Final = 400
"""Characters around a name in which something may be said of it: longer than a sentence."""
CLAUSE: Final = re.compile(rf"[.;!?,\n()—。]|{lexicon.BUT}", re.IGNORECASE)
DENIES: Final = re.compile(lexicon.DENIES, re.IGNORECASE)
DENIED_AFTER: Final = re.compile(lexicon.DENIED_AFTER, re.IGNORECASE)
NOT_A_DENIAL: Final = re.compile(lexicon.NOT_A_DENIAL, re.IGNORECASE)
HYPOTHETICAL: Final = re.compile(lexicon.HYPOTHETICAL, re.IGNORECASE)
CONDITIONAL: Final = re.compile(lexicon.CONDITIONAL, re.IGNORECASE)
EXCEPT: Final = re.compile(lexicon.EXCEPT, re.IGNORECASE)
FINALLY: Final = re.compile(lexicon.FINALLY, re.IGNORECASE)


def is_denied(text: str, start: int, end: int) -> bool:
    """Tell whether the clause around text[start:end] denies the option there, or makes a condition of it."""
    before = NOT_A_DENIAL.sub("", _clause_before(text, start))
    after = DENIED_AFTER.match(text, end) is not None
    if after and EXCEPT.search(before):
        return False
    line = max(text.rfind("\n", 0, start) + 1, start - REACH)
    conditional = any(match.start() <= start < match.end() for match in CONDITIONAL.finditer(text, line, end + REACH))
    return after or conditional or DENIES.search(before) is not None or HYPOTHETICAL.search(before) is not None


def force_of(text: str, statement: re.Match[str]) -> Force:
    """Return FINAL where the sentence up to the statement's end concludes ("so", "therefore", "final"), else STATED."""
    begin = max(0, statement.start() - REACH)
    for end in SENTENCE_END.finditer(text, begin, statement.start()):
        begin = end.end()
    return Force.FINAL if FINALLY.search(text, begin, statement.end()) else Force.STATED


def _clause_before(text: str, at: int) -> str:
    """Return the clause up to a place; a bracket that opens there belongs to the name, and ends no clause."""
    boundary = max(0, at - REACH)
    for match in CLAUSE.finditer(text, boundary, at):
        opens_name = match[0] == "(" and match.end() == at
        if not opens_name:
            boundary = match.end()
    return text[boundary:at]
