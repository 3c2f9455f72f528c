"""Kinds of questions on long videos, told from their words, and the yes-or-no questions that find their evidence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pipelines.requests.types import JobRequest
from videollm.errors import UserError
from videollm.types import Search

KINDS: Final = {
    "localized": "the answer shows in one place",
    "exists": "whether something shows at all",
    "when": "at what time something shows",
    "order": "which of two things shows first",
    "count": "how often something shows",
    "global": "the whole video is asked about",
}

_WORDS: Final = (
    ("count", r"\bhow (many times|often)\b"),
    ("when", r"\b(when (does|do|did|is|are|was|were)|at (what|which) (time|second|moment|point)|how long into)\b"),
    ("order", r"\b(before|after)\b.*\?|\b(which|what|who)\b.*\b(first|earlier|last|later)\b"),
    ("exists", r"^(is|are|was|were) (there|anything|anyone|any|something)\b|^does the video (show|contain|have)\b"),
    ("global", r"\b(describe|summari\w+|summary|overall|main\w*|mostly|most (often|frequent\w*)|throughout|whole|"
               r"entire|genre|about|theme|purpose|tone|mood)\b"),
)  # fmt: skip
_PAIRS: Final = (
    r"(?:does|do|did|is|are|was|were) (?P<a>.+?) (?:\w+ )?(?P<when>before|after) (?P<b>.+?)\?",
    r"(?P<when>first|earlier|last|later)\b[^,:]*[,:] (?P<a>.+?),? or (?P<b>.+?)\?",
)
RELEVANT: Final = "Does this part of the video show what is needed to answer the question: {stem} Answer yes or no."
SHOWN: Final = "Does this part of the video show {what}? Answer yes or no."
YES: Final = ("Yes", "yes")
NO: Final = ("No", "no")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question on a long video."""

    request: JobRequest
    stem: str
    options: tuple[str, ...]
    lettered: bool
    """Whether an answer names an option by its letter."""
    kind: str
    probes: tuple[str, ...]
    """One, or one for each of two things: of an order, or of what lies between them."""
    is_reversed: bool = False
    """Of an order: whether yes, or the first one named, means the later one."""


def read_question(request: JobRequest, *, knows_words: bool) -> Question:
    """Tell what is asked, and how its evidence is to be found.

    Args:
        request: its `search` goes before what the words say.
        knows_words: whether the model understands any question; the embedded ones know their own only.
    Raises:
        UserError: the request names no such kind.
    """
    search = request.search or Search(stem=request.question, options=request.options)
    stem = search.stem
    kind = search.kind or kind_of(stem)
    if kind not in KINDS:
        raise UserError(f"search_kind is {kind!r}; expected one of {', '.join(KINDS)}.")
    probes, is_reversed = search.probes, False
    pair = next((m for pattern in _PAIRS if (m := re.search(pattern, stem, re.IGNORECASE))), None)
    if kind == "order":
        is_reversed = pair is not None and pair["when"].lower() in ("after", "last", "later")
        if not probes and pair is not None and knows_words:
            probes = tuple(SHOWN.format(what=pair[name]) for name in "ab")
    if not probes and not knows_words:
        from videollm.shapes.probes import probes_of

        probes = probes_of(stem)
    if kind == "order" and len(probes) != 2:
        kind = "localized"
    if not probes:
        probes = (RELEVANT.format(stem=stem),)
    return Question(
        request=request,
        stem=stem,
        options=search.options,
        lettered=search.lettered,
        kind=kind,
        probes=probes,
        is_reversed=is_reversed,
    )


def kind_of(stem: str) -> str:
    """Tell the kind of a question from its words."""
    return next((kind for kind, pattern in _WORDS if re.search(pattern, stem.strip(), re.IGNORECASE)), "localized")


def subjects(question: Question) -> tuple[str, str] | None:
    """Return the two things that an order is asked of, as the question names them."""
    pair = next((m for pattern in _PAIRS if (m := re.search(pattern, question.stem, re.IGNORECASE))), None)
    return None if pair is None else (pair["a"], pair["b"])
