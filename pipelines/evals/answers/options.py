"""Options as a reader sees them: labels, texts, and the places where a text names an option."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pipelines.evals.answers.normalise import normalise

MAX_OPTIONS: Final = len(string.ascii_uppercase)
OWN_LABEL: Final = re.compile(
    r"\(?(?:(?:option|sentence|caption|choice|statement)\s+)?([A-Z]|\d{1,2})(?:\)|\.|:)\s+(?=\S)", re.I
)
CJK: Final = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
TOKEN: Final = re.compile(rf"[{CJK}]|\d+(?:[.,:/]\d+)*|[^\W\d_{CJK}]+(?:'[^\W\d_]+)*|[+#%$€£°<>=]|-(?=\d)")
ARTICLE: Final = re.compile(r"(?!(?<=\w )A\s+[a-z])(?i:an?|the)\s+(?!(?i:yes|no|true|false)\b)(?=\w)")
"""An article; not the name in "Person A gives", nor the label in "A. Yes" and "A Yes"."""
NUMBERS: Final = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
NOT_A_COUNT: Final = {"the", "no", "any", "this", "that", "every", "each", "some", "which"}
"""After these, "one" is a pronoun."""
PARTICLES: Final = {("yes",), ("no",), ("true",), ("false",), ("none",), ("not",), ("maybe",)}
"""Options that are also ordinary words of a sentence: they count only where an answer is given."""


@dataclass(frozen=True)
class Token:
    """A lower-case word and its place."""

    word: str
    start: int
    end: int


@dataclass(frozen=True)
class Span:
    """A place where a text names an option by its words."""

    start: int
    end: int
    option: int


def tokens(text: str, keep_articles: bool = False) -> list[Token]:
    """Split a normalised text into words, numbers and a few signs; number words become digits, articles are dropped."""
    found: list[Token] = []
    before = ""
    for match in TOKEN.finditer(text):
        word = match[0].casefold()
        if word != "one" or before not in NOT_A_COUNT:
            word = NUMBERS.get(word, word)
        before = match[0].casefold()
        if keep_articles or not ARTICLE.match(text, match.start()):
            found.append(Token(word, match.start(), match.end()))
    return found


@dataclass(frozen=True)
class Options:
    """The options of one question.

    Options are called A, B, C... unless every one brings a label of its own ("Option 1: ...", "Sentence A: ...").
    """

    given: tuple[str, ...]
    """Normalised, with their own labels."""
    lettered: bool = True
    """Whether the model was shown A, B, C..."""

    @classmethod
    def of(cls, options: Sequence[str], *, lettered: bool = True) -> Options:
        """Normalise the options of a question.

        Raises:
            ValueError: there are none, or more than 26.
        """
        if not 1 <= len(options) <= MAX_OPTIONS:
            raise ValueError(
                f"{len(options)} options; a multiple-choice question has 1 to {MAX_OPTIONS}, named A to Z."
            )
        return cls(tuple(normalise(option) for option in options), lettered)

    @cached_property
    def _own_labels(self) -> list[re.Match[str]] | None:
        found = [OWN_LABEL.match(option) for option in self.given]
        labels = [match for match in found if match]
        return labels if len({match[1].upper() for match in labels}) == len(self.given) else None

    @cached_property
    def labels(self) -> dict[str, int]:
        """Label in upper case -> index of the option."""
        if self._own_labels:
            return {match[1].upper(): index for index, match in enumerate(self._own_labels)}
        return {string.ascii_uppercase[index]: index for index in range(len(self.given) if self.lettered else 0)}

    @cached_property
    def numbered(self) -> bool:
        """Whether options are called by numbers."""
        return any(label.isdigit() for label in self.labels)

    @cached_property
    def keep_articles(self) -> bool:
        """Whether nothing but articles tells two options apart."""
        bare = [tuple(token.word for token in tokens(text)) for text in self.texts]
        return len(set(bare)) < len(bare) or () in bare

    @cached_property
    def texts(self) -> list[str]:
        """Text of each option, without its own label."""
        if self._own_labels:
            return [text[match.end() :] for text, match in zip(self.given, self._own_labels, strict=True)]
        return list(self.given)

    @cached_property
    def words(self) -> list[tuple[str, ...]]:
        """Words of each option, as `tokens` splits them."""
        return [tuple(token.word for token in tokens(text, self.keep_articles)) for text in self.texts]

    def says_exactly(self, text: str) -> list[int]:
        """Return the indices of the options equal to a normalised text, case, articles and punctuation aside."""
        said = tuple(token.word for token in tokens(text, self.keep_articles))
        if said:
            return [index for index, words in enumerate(self.words) if words == said]
        return [index for index, option in enumerate(self.given) if option == text]

    def named_in(self, text: str) -> list[Span]:
        """Find where a normalised text names options by their words, in order.

        A name inside a longer one does not count: "dark red" names that option, not "red". Single letters are labels.
        """
        said = tokens(text, self.keep_articles)
        spans: list[Span] = []
        for index, words in enumerate(self.words):
            if not words or (len(words) == 1 and len(words[0]) == 1 and words[0].upper() in string.ascii_uppercase):
                continue
            for at in range(len(said) - len(words) + 1):
                if tuple(token.word for token in said[at : at + len(words)]) == words:
                    spans.append(Span(said[at].start, said[at + len(words) - 1].end, index))
        outermost = [span for span in spans if not any(_is_inside(span, other) for other in spans)]
        return sorted(outermost, key=lambda span: (span.start, span.option))


def _is_inside(span: Span, other: Span) -> bool:
    """Tell whether a span is a part of a longer one."""
    return other.start <= span.start and span.end <= other.end and other.end - other.start > span.end - span.start
