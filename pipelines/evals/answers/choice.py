"""The strict reading of a multiple-choice answer: what a careful person would read, and never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pipelines.evals.answers import lexicon as phrases
from pipelines.evals.answers.alternatives import weigh_alternatives
from pipelines.evals.answers.letter_matches import LOOK_ALIKE, OUTSIDE, labels_in
from pipelines.evals.answers.mentions import Claim, Force
from pipelines.evals.answers.normalise import plain, without_thinking
from pipelines.evals.answers.options import Menu
from pipelines.evals.answers.text_matches import wordings_in


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was read."""

    option: int | None
    """Index of the option; None: no option could be read."""
    rule: str
    """The rule that fired; where there is no option, why not."""


def read_choice(text: str, options: Sequence[str], *, lettered: bool = True) -> Choice:
    """Read the raw output of a model as a careful person would.

    Nothing is guessed: two options, a letter and a text that contradict each other ("B. red" where B is blue), a number
    where options have letters ("2": the second, or two?), a Cyrillic В (a Latin B, or the third letter?) and a thought
    cut off before its end are no answer, and `rule` says so.

    Args:
        options: 1 to 26 texts; labels of their own ("A. ...", "Option 1: ...") are recognised where all have one.
        lettered: whether the model was shown A, B, C... before them; if not, a letter names none.
    Raises:
        ValueError: no options, or more than 26.
    """
    menu = Menu.of(options, lettered=lettered)
    answer = without_thinking(text)
    if answer is None:
        return Choice(option=None, rule="unfinished thinking")
    return _read_marked(answer, menu, tuple(MARKED))


def _read_marked(text: str, menu: Menu, marks: tuple[str, ...]) -> Choice:
    """What stands in the first of these marks that the text has; else the text."""
    for at, name in enumerate(marks):
        if found := list(MARKED[name].finditer(text)):
            choices = [_read_marked(_inside(mark), menu, marks[at + 1 :]) for mark in _last(text, found)]
            if len({choice.option for choice in choices}) > 1:
                return Choice(option=None, rule=f"{name}: several options")
            return Choice(option=choices[-1].option, rule=f"{name}: {choices[-1].rule}")
    own = NEXT_TURN.split(text, maxsplit=1)[0]
    if own != text and not TURN.match(own) and (choice := _read(own, menu)).option is not None:
        return choice
    return _read(text, menu)


def _read(text: str, menu: Menu) -> Choice:
    said = Said(plain(text), menu)
    for rule in RULES:
        if choice := rule(said):
            return choice
    return Choice(option=None, rule="no option named")


MARKED: Final = {
    "answer tag": re.compile(r"(?:<answer>\s*)+(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE),
    "answer box": re.compile(r"<\|begin_of_box\|>(.*?)(?:<\|end_of_box\|>|$)", re.DOTALL),
    "boxed": re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}"),
    "json": re.compile(
        r"[\"'](?:(?:final|correct|best|predicted|selected)_?)?(?:answer|option|choice|prediction|letter)[\"']\s*:\s*"
        r"(?:\"((?:[^\"\\]|\\.)*)\"?|'((?:[^'\\]|\\.)*)'?|([^\s,}\"'\[{]+))",
        re.IGNORECASE,
    ),
}
"""Where a model marks its answer, that is all that is read."""

TURN: Final = re.compile(r"\s*(?:###|(?:question|q|user|human|assistant|instruction)\s*\d*\s*:)", re.IGNORECASE)
NEXT_TURN: Final = re.compile(rf"\n{TURN.pattern}", re.IGNORECASE)
"""A model that does not stop goes on with the next question."""
CORRECTS: Final = re.compile(phrases.CORRECTS, re.IGNORECASE)


def _inside(mark: re.Match[str]) -> str:
    return "".join(filter(None, mark.groups()))


def _last(text: str, marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """All marks, or those from the last "no, wait" between two of them on."""
    for at in range(len(marks) - 1, 0, -1):
        if CORRECTS.search(text[marks[at - 1].end() : marks[at].start()]):
            return marks[at:]
    return marks


@dataclass(frozen=True)
class Said:
    """A plain text, the options it is about, and what it claims of them."""

    text: str
    menu: Menu

    @cached_property
    def claims(self) -> list[Claim]:
        """What is given and denied, in order, but for what a later correction takes back."""
        names = self.menu.named_in(self.text)
        labels = labels_in(self.text, self.menu, names)
        wordings = wordings_in(self.text, self.menu, names, labels)
        claims = weigh_alternatives(self.text, sorted([*labels, *wordings], key=lambda claim: claim.start))
        return _corrected(self.text, claims)

    def asserted(self, *forces: Force) -> list[Claim]:
        """Claims of these forces that are not denied."""
        return [claim for claim in self.claims if claim.force in forces and not claim.denied]


DRESS: Final = r"[^\w+#%&@=]"
"""Brackets, punctuation and space around a label; "C++" and "A+" are no labels."""
Rule = Callable[[Said], Choice | None]


def empty(said: Said) -> Choice | None:
    """Nothing but white space and punctuation, where no option is made of such."""
    if re.search(r"\w", said.text) or said.menu.says_exactly(said.text):
        return None
    return Choice(option=None, rule="empty")


def whole_is_text(said: Said) -> Choice | None:
    """An option's words and nothing else; a lone letter that is also another option's label could be either."""
    options = said.menu.says_exactly(said.text)
    letter = re.fullmatch(r"[\W_]*(\w)[\W_]*", said.text)
    if letter and letter[1].upper() in said.menu.labels and said.menu.labels[letter[1].upper()] not in options:
        return Choice(option=None, rule="letter and text differ") if options else None
    return _one(options, "option text") if options else None


def whole_is_letter(said: Said) -> Choice | None:
    """A label and nothing else, once or repeated: "B", "(B).", "b)"."""
    labels = re.fullmatch(rf"{DRESS}*([A-Za-zА-Яа-я]|\d{{1,2}})(?:{DRESS}+\1)*{DRESS}*", said.text)
    if labels is None:
        several = re.fullmatch(r"[A-Z]{2,}", said.text) and set(said.text) <= said.menu.labels.keys()
        return Choice(option=None, rule="several options") if several else None
    label = labels[1].upper()
    if label in said.menu.labels:
        return Choice(option=said.menu.labels[label], rule="letter")
    if label.isdigit():
        return Choice(option=None, rule="number instead of a letter")
    return Choice(option=None, rule=OUTSIDE if label.isascii() else LOOK_ALIKE)


def letter_beside_text(said: Said) -> Choice | None:
    """The one letter given stands next to another option's words: "B. red" where B is blue, "red (B)"."""
    given = [claim for claim in said.asserted(*Force) if claim.option is not None]
    letters = [claim for claim in given if claim.by_letter]
    if len({letter.option for letter in letters}) != 1:
        return None
    for letter in letters:
        beside = {words.option for words in given if not words.by_letter and _beside(said.text, letter, words)}
        if beside and letter.option not in beside:
            return Choice(option=None, rule="letter and text differ")
    return None


def final_statement(said: Said) -> Choice | None:
    """ "Final answer: B", "therefore the answer is B", after whatever reasoning."""
    return _agreed(said.asserted(Force.FINAL), "final answer")


def statement(said: Said) -> Choice | None:
    """ "The answer is B", "B is correct", and what stands where an answer stands; they must agree."""
    placed, stated = said.asserted(Force.PLACED), said.asserted(Force.STATED)
    if stated and len({claim.option for claim in placed}) > 1:
        placed = []  # a list that goes through the options
    return _agreed([*stated, *placed], "answer phrase" if stated else "leading answer")


def mentioned_letter(said: Said) -> Choice | None:
    """ "I think it's B"."""
    return _agreed(said.asserted(Force.LETTER), "letter in a sentence")


def mentioned_text(said: Said) -> Choice | None:
    """One option named by its words, and no other."""
    return _agreed(said.asserted(Force.TEXT), "option text in a sentence")


def denied(said: Said) -> Choice | None:
    """Options are only ruled out; which of the others is meant is not said."""
    return Choice(option=None, rule="negated") if any(claim.denied for claim in said.claims) else None


REFUSED_NO: Final = re.compile(
    r"(?:yes|no)\b[\s,.]*(?:sorry[\s,.]*)?(?:but )?i (?:can't|can ?not|am unable to|am not able to) "
    r"(?:answer|tell|determine|(?:see|view|access|watch|open|play) (?:the|this|that|any) (?:video|clip|footage|image))",
    re.IGNORECASE,
)


def refused_no(said: Said) -> Choice | None:
    """ "No, I cannot see the video" is no "no"."""
    return Choice(option=None, rule="refusal") if REFUSED_NO.match(said.text) else None


def refusal(said: Said) -> Choice | None:
    """ "I cannot tell from the video"."""
    refuses = re.search(phrases.REFUSES, said.text, re.IGNORECASE)
    return Choice(option=None, rule="refusal") if refuses else None


RULES: Final[tuple[Rule, ...]] = (
    empty,
    whole_is_text,
    whole_is_letter,
    letter_beside_text,
    refused_no,
    final_statement,
    statement,
    mentioned_letter,
    mentioned_text,
    refusal,
    denied,
)
"""Tried in order; the first that knows decides. Where none does, no option is named."""


def _one(options: Sequence[int], rule: str) -> Choice:
    return Choice(option=options[0], rule=rule) if len(options) == 1 else Choice(option=None, rule="several options")


def _agreed(claims: list[Claim], rule: str) -> Choice | None:
    """The option on which all agree; None: there are no claims."""
    options = {claim.option for claim in claims}
    if not options:
        return None
    if options == {None}:
        return Choice(option=None, rule=claims[0].problem)
    if len(options) == 1:
        return Choice(option=claims[0].option, rule=rule)
    differ = len({claim.by_letter for claim in claims}) == 2 and len({c.option for c in claims if c.by_letter}) == 1
    return Choice(option=None, rule="letter and text differ" if differ else "several options")


def _beside(text: str, letter: Claim, words: Claim) -> bool:
    """Whether words stand in apposition to a letter, and are all that does."""
    if words.start >= letter.end:
        between = re.fullmatch(
            r"[\s.():,\"'—–-]*(?:(?:the|a|an|which is|i\.e\.)\s+)?", text[letter.end : words.start], re.IGNORECASE
        )
        return between is not None and re.match(r"[\"')]*(?:\s+one)?(?:$|[.,;\n])", text[words.end :]) is not None
    between = re.fullmatch(
        r"[\s,\"'(:—–-]*(?:(?:option|answer|letter|choice)[\s:(]*)?", text[words.end : letter.start], re.I
    )
    return between is not None and text[words.end : letter.start].strip() != ""


def _corrected(text: str, claims: list[Claim]) -> list[Claim]:
    """Claims after the last "no, wait", where something is claimed after it."""
    for mark in reversed(list(CORRECTS.finditer(text))):
        after = [claim for claim in claims if claim.start >= mark.start() + 1]
        before = [claim for claim in claims if claim.start < mark.start()]
        if any(not claim.denied and claim.force > Force.TEXT for claim in after) or (
            any(not claim.denied for claim in after) and all(not claim.by_letter for claim in before)
        ):
            return after
    return claims
