"""Open-ended answers against one or several acceptable ones: exact match and token F1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Final

from pipelines.evals.answers.normalise import normalise, without_thinking

ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")
PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
YES_NO: Final = ("yes", "no")


def squad_normalise(text: str) -> str:
    """Lower-case, drop punctuation, articles and superfluous spaces; articles stay where there is nothing else.

    Source: normalize_answer of the SQuAD 1.1 evaluation script (Rajpurkar et al., 2016), in its order.
    """
    bare = text.lower().translate(PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", bare).split() or bare.split())


def exact_match(text: str, answers: Sequence[str]) -> bool:
    """Tell whether a raw output is one of the acceptable answers, both normalised.

    To yes or no, the first word decides ("Yes, he does." is yes), unless the other follows ("yes and no"). Thinking
    before the answer and Markdown are cut out; a thought cut off before its end is no answer, and never right.

    Raises:
        ValueError: no acceptable answer is given.
    """
    said = _said(text)
    return said != "" and any(
        said == right or (right in YES_NO and _yes_or_no(said) == right) for right in _right(answers)
    )


def token_f1(text: str, answers: Sequence[str]) -> float:
    """Compute the harmonic mean of precision and recall of words, for the best acceptable answer; 0 to 1.

    Source: f1_score of the SQuAD 1.1 evaluation script (Rajpurkar et al., 2016).

    Raises:
        ValueError: no acceptable answer is given.
    """
    said = _said(text).split()
    return max(_f1(said, right.split()) for right in _right(answers))


def _said(text: str) -> str:
    return squad_normalise(normalise(without_thinking(text) or ""))


def _right(answers: Sequence[str]) -> list[str]:
    if isinstance(answers, str) or not answers:
        raise ValueError(f"Acceptable answers are {answers!r}, expected a list of at least one text.")
    return [squad_normalise(answer) for answer in answers]


def _yes_or_no(said: str) -> str | None:
    words = said.split()
    if not words or words[0] not in YES_NO:
        return None
    return None if set(YES_NO) <= set(words) else words[0]


def _f1(said: list[str], right: list[str]) -> float:
    num_same = sum((Counter(said) & Counter(right)).values())
    return 2 * num_same / max(1, len(said) + len(right))
