"""Options that are offered side by side: "(A) or maybe (D)" gives neither."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import Final

from pipelines.evals.answers import lexicon
from pipelines.evals.answers.mentions import ENDS, Mention

FILLER: Final = r"(?:\b(?:it's|it is|that|also|the|an?|option|choice|answer|just)\b|[^\S\n]|[,(\[\"'])"
BETWEEN: Final = re.compile(
    rf"[^\S\n]*[)\]\"'.,;:?!—–-]*"
    rf"(?:{FILLER}|(?P<join>(?!,){lexicon.JOINS})|(?P<doubt>{lexicon.DOUBT})){{0,12}}",
    re.IGNORECASE,
)
"""All that may stand between two options of one list."""
JOIN: Final = re.compile(rf"\s*{lexicon.JOINS}", re.IGNORECASE)


class Link(Enum):
    """What stands between two options of one list."""

    OFFER = "offer"
    """ "or", "and", "maybe": the second is offered beside the first."""
    NEUTRAL = "neutral"
    """A comma, or nothing between a letter and its words."""


def weigh_alternatives(text: str, mentions: Sequence[Mention]) -> list[Mention]:
    """Give each option of a list the force of those before it, so that none outweighs the ones it is offered beside.

    Without this "(A) or maybe (D)" would be A: (A) stands where an answer stands, and (D) somewhere in a sentence. Only
    later options are raised: in "Comparing A and B, B is better" the plainer mention comes last, and decides.

    Args:
        mentions: in the order of the text.
    """
    weighed = []
    for chain, is_offer in _chains(text, mentions):
        forces = [max(m.force for m in chain[: i + 1]) if is_offer else m.force for i, m in enumerate(chain)]
        weighed += [replace(mention, force=force) for mention, force in zip(chain, forces, strict=True)]
    return weighed


def _chains(text: str, mentions: Sequence[Mention]) -> Iterator[tuple[list[Mention], bool]]:
    """Split mentions where something else than a link stands between two; with whether a chain has an offer in it."""
    chain: list[Mention] = []
    is_offer = False
    for mention in mentions:
        link = _link(text, chain[-1], mention) if chain else None
        if chain and link is None:
            yield chain, is_offer
            chain, is_offer = [], False
        chain.append(mention)
        is_offer = is_offer or link is Link.OFFER
    if chain:
        yield chain, is_offer


def _link(text: str, before: Mention, after: Mention) -> Link | None:
    between = text[before.end : max(before.end, after.start)]
    found = BETWEEN.fullmatch(between)
    if found is None or before.denied or after.denied:  # "red, not blue" gives red
        return None
    if before.option == after.option:
        return Link.NEUTRAL
    if found["doubt"]:
        return Link.OFFER
    ends = after.by_letter or ENDS.match(text, after.end) or JOIN.match(text, after.end)
    if not ends:  # "the answer is red and blue cars come later"
        return None
    if found["join"]:
        return Link.OFFER
    return Link.NEUTRAL if "," in between else None
