"""Options offered side by side: "(A) or maybe (D)" gives neither."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pipelines.evals.answers import lexicon
from pipelines.evals.answers.mentions import ENDS, Claim

FILLER: Final = r"(?:\b(?:it's|it is|that|also|the|an?|option|choice|answer|just)\b|[^\S\n]|[,(\[\"'])"
LINK: Final = re.compile(
    rf"[^\S\n]*[)\]\"'.,;:?!—–-]*(?:{FILLER}|(?P<join>(?!,){lexicon.JOINS})|(?P<doubt>{lexicon.DOUBT})){{0,12}}",
    re.IGNORECASE,
)
"""Between two options that stand in one list."""
JOIN_FOLLOWS: Final = re.compile(rf"\s*{lexicon.JOINS}", re.IGNORECASE)


def weigh_alternatives(text: str, claims: Sequence[Claim]) -> list[Claim]:
    """Give an option that stands in a list the force of those before it, so that none of them outweighs it.

    A list is a chain of options with nothing but commas, "or" and doubts between them, one "or" or doubt at least.
    Options that are denied end a chain: "red, not blue" gives red.
    """
    weighed: list[Claim] = []
    chain: list[Claim] = []
    is_list = False
    for claim in claims:
        link = _link(text, chain[-1], claim) if chain else None
        if link is None:
            weighed += _as_plain(chain) if is_list else chain
            chain, is_list = [], False
        chain.append(claim)
        is_list = is_list or bool(link)
    return weighed + (_as_plain(chain) if is_list else chain)


def _link(text: str, before: Claim, after: Claim) -> bool | None:
    """Whether "or" or a doubt stands between two mentions; None: something that keeps them apart does."""
    between = text[before.end : max(before.end, after.start)]
    found = LINK.fullmatch(between)
    if found is None or before.denied or after.denied:
        return None
    if before.option == after.option:  # a letter and its words
        return False
    if found["doubt"]:
        return True
    if not (
        after.by_letter or ENDS.match(text, after.end) or JOIN_FOLLOWS.match(text, after.end)
    ):  # "the answer is red and blue cars come later"
        return None
    return found["join"] is not None or (False if "," in between else None)


def _as_plain(chain: Sequence[Claim]) -> list[Claim]:
    return [replace(claim, force=max(c.force for c in chain[: i + 1])) for i, claim in enumerate(chain)]
