"""Strict reading of a multiple-choice answer: what a careful person would read, and never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pipelines.evals.answers import lexicon
from pipelines.evals.answers.alternatives import weigh_alternatives
from pipelines.evals.answers.letter_matches import LOOK_ALIKE, OUTSIDE, find_letter_matches
from pipelines.evals.answers.mentions import Force, Mention
from pipelines.evals.answers.normalise import normalise, without_thinking
from pipelines.evals.answers.options import Options
from pipelines.evals.answers.text_matches import find_text_matches

RULES_VERSION: Final = 2
"""Goes up by 1 with every change that may read some answer differently; scores name it.

1: the 633 readings of tests/support/readings. 2: options offered side by side are no answer ("(A) or maybe (D)").
"""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was read."""

    option: int | None
    """Index of the option; None: no option could be read."""
    rule: str
    """The rule that fired; where there is no option, why not."""


MARKERS: Final = {
    "answer tag": re.compile(r"(?:<answer>\s*)+(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE),
    "answer box": re.compile(r"<\|begin_of_box\|>(.*?)(?:<\|end_of_box\|>|$)", re.DOTALL),
    "boxed": re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}"),
    "json": re.compile(
        r"[\"'](?:(?:final|correct|best|predicted|selected)_?)?(?:answer|option|choice|prediction|letter)[\"']\s*:\s*"
        r"(?:\"((?:[^\"\\]|\\.)*)\"?|'((?:[^'\\]|\\.)*)'?|([^\s,}\"'\[{]+))",
        re.IGNORECASE,
    ),
}
"""Name of a marker -> what it looks like, its groups hold the answer. Only what a model marks so is read."""
TURN: Final = re.compile(r"\s*(?:###|(?:question|q|user|human|assistant|instruction)\s*\d*\s*:)", re.IGNORECASE)
NEXT_TURN: Final = re.compile(rf"\n{TURN.pattern}", re.IGNORECASE)
"""A model that does not stop goes on with the next question."""
CORRECTION: Final = re.compile(lexicon.CORRECTS, re.IGNORECASE)
DRESS: Final = r"[^\w+#%&@=]"
"""Brackets, punctuation and space around a label; "C++" and "A+" are no labels."""
REFUSED_NO: Final = re.compile(
    r"(?:yes|no)\b[\s,.]*(?:sorry[\s,.]*)?(?:but )?i (?:can't|can ?not|am unable to|am not able to) "
    r"(?:answer|tell|determine|(?:see|view|access|watch|open|play) (?:the|this|that|any) (?:video|clip|footage|image))",
    re.IGNORECASE,
)


def read_choice(text: str, options: Sequence[str], *, lettered: bool = True) -> Choice:
    """Read the raw output of a model as a careful person would.

    Nothing is guessed. These are no answer, and `rule` says so: two options; a letter and a text that contradict each
    other ("B. red" where B is blue); a number where options have letters ("2": the second, or two?); a Cyrillic В (a
    Latin B, or the third letter?); a thought that was cut off.

    The text is read in four steps: thinking is cut out; an answer tag, box or JSON field is unwrapped; every place
    that names an option becomes a `Mention` with a force; and the first of RULES that applies to the mentions decides.

    Args:
        options: 1 to 26 texts; labels of their own ("A. ...", "Option 1: ...") are recognised where all have one.
        lettered: whether the model was shown A, B, C... before them; if not, a letter names none.
    Raises:
        ValueError: no options, or more than 26.
    """
    known = Options.of(options, lettered=lettered)
    answer = without_thinking(text)
    if answer is None:
        return Choice(option=None, rule="unfinished thinking")
    return _read_marked(answer, known, tuple(MARKERS))


def _read_marked(text: str, options: Options, markers: Sequence[str]) -> Choice:
    """Return the content of the first of these markers in the text; without a marker, the text itself."""
    for at, name in enumerate(markers):
        if found := list(MARKERS[name].finditer(text)):
            # A marker may hold another one (an answer tag a JSON object), so the rest of them is tried inside.
            choices = [
                _read_marked("".join(filter(None, match.groups())), options, markers[at + 1 :])
                for match in _after_last_correction(text, found)
            ]
            if len({choice.option for choice in choices}) > 1:
                return Choice(option=None, rule=f"{name}: several options")
            return Choice(option=choices[-1].option, rule=f"{name}: {choices[-1].rule}")
    # The model's own turn decides, unless nothing can be read there.
    first_turn = NEXT_TURN.split(text, maxsplit=1)[0]
    if first_turn != text and not TURN.match(first_turn):
        choice = _read_plain(first_turn, options)
        if choice.option is not None:
            return choice
    return _read_plain(text, options)


def _after_last_correction(text: str, found: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return all matches, or those after the last "no, wait" that stands between two of them."""
    for at in range(len(found) - 1, 0, -1):
        if CORRECTION.search(text[found[at - 1].end() : found[at].start()]):
            return found[at:]
    return found


def _read_plain(text: str, options: Options) -> Choice:
    answer = AnswerText(normalise(text), options)
    for rule in RULES:
        if choice := rule(answer):
            return choice
    return Choice(option=None, rule="no option named")


@dataclass(frozen=True)
class AnswerText:
    """A normalised text with the options that it is about."""

    text: str
    options: Options

    @cached_property
    def mentions(self) -> list[Mention]:
        """Every option that the text gives or denies, in order, without those that a later correction takes back."""
        names = self.options.named_in(self.text)
        by_letter = find_letter_matches(self.text, self.options, names)
        by_words = find_text_matches(self.text, self.options, names, by_letter)
        found = sorted([*by_letter, *by_words], key=lambda mention: mention.start)
        return _without_corrected(self.text, weigh_alternatives(self.text, found))

    def given(self, *forces: Force) -> list[Mention]:
        """Return the mentions of these forces that are not denied."""
        return [mention for mention in self.mentions if mention.force in forces and not mention.denied]


def _without_corrected(text: str, mentions: list[Mention]) -> list[Mention]:
    """Keep the mentions after the last "no, wait" that is followed by an option."""
    for correction in reversed(list(CORRECTION.finditer(text))):
        after = [mention for mention in mentions if mention.start >= correction.start() + 1]
        before = [mention for mention in mentions if mention.start < correction.start()]
        if any(not mention.denied and mention.force > Force.TEXT for mention in after) or (
            any(not mention.denied for mention in after) and all(not mention.by_letter for mention in before)
        ):
            return after
    return mentions


Rule = Callable[[AnswerText], Choice | None]
"""Decides, or returns None where it does not apply."""


def empty(answer: AnswerText) -> Choice | None:
    """Accept nothing but white space and punctuation, where no option consists of these."""
    if re.search(r"\w", answer.text) or answer.options.says_exactly(answer.text):
        return None
    return Choice(option=None, rule="empty")


def whole_is_text(answer: AnswerText) -> Choice | None:
    """Accept an option's words and nothing else; a lone letter that is also another option's label could be either."""
    said = answer.options.says_exactly(answer.text)
    letter = re.fullmatch(r"[\W_]*(\w)[\W_]*", answer.text)
    labelled = answer.options.labels.get(letter[1].upper()) if letter else None
    if labelled is not None and labelled not in said:
        return Choice(option=None, rule="letter and text differ") if said else None
    if len(said) > 1:
        return Choice(option=None, rule="several options")
    return Choice(option=said[0], rule="option text") if said else None


def whole_is_letter(answer: AnswerText) -> Choice | None:
    """Accept a label and nothing else, once or repeated: "B", "(B).", "b)"."""
    labels = answer.options.labels
    found = re.fullmatch(rf"{DRESS}*([A-Za-zА-Яа-я]|\d{{1,2}})(?:{DRESS}+\1)*{DRESS}*", answer.text)
    if found is None:
        several = re.fullmatch(r"[A-Z]{2,}", answer.text) and set(answer.text) <= labels.keys()
        return Choice(option=None, rule="several options") if several else None
    label = found[1].upper()
    if label in labels:
        return Choice(option=labels[label], rule="letter")
    if label.isdigit():
        return Choice(option=None, rule="number instead of a letter")
    return Choice(option=None, rule=OUTSIDE if label.isascii() else LOOK_ALIKE)


def letter_beside_text(answer: AnswerText) -> Choice | None:
    """Find the one letter given next to another option's words: "B. red" where B is blue, "red (B)"."""
    given = [mention for mention in answer.given(*Force) if mention.option is not None]
    letters = [mention for mention in given if mention.by_letter]
    if len({letter.option for letter in letters}) != 1:
        return None
    for letter in letters:
        beside = {words.option for words in given if not words.by_letter and _is_beside(answer.text, letter, words)}
        if beside and letter.option not in beside:
            return Choice(option=None, rule="letter and text differ")
    return None


def refused_no(answer: AnswerText) -> Choice | None:
    """Refuse "No, I cannot see the video" as a "no"."""
    return Choice(option=None, rule="refusal") if REFUSED_NO.match(answer.text) else None


def final_statement(answer: AnswerText) -> Choice | None:
    """Accept "Final answer: B", "therefore the answer is B", after whatever reasoning."""
    return _agreed(answer.given(Force.FINAL), "final answer")


def statement(answer: AnswerText) -> Choice | None:
    """Accept "The answer is B", "B is correct", and an option in an answer's place, where all agree."""
    placed, stated = answer.given(Force.PLACED), answer.given(Force.STATED)
    if stated and len({mention.option for mention in placed}) > 1:
        placed = []  # a list that goes through the options
    return _agreed([*stated, *placed], "answer phrase" if stated else "leading answer")


def mentioned_letter(answer: AnswerText) -> Choice | None:
    """Accept "I think it's B"."""
    return _agreed(answer.given(Force.LETTER), "letter in a sentence")


def mentioned_text(answer: AnswerText) -> Choice | None:
    """Accept one option named by its words, and no other."""
    return _agreed(answer.given(Force.TEXT), "option text in a sentence")


def refusal(answer: AnswerText) -> Choice | None:
    """Recognise "I cannot tell from the video"."""
    refuses = re.search(lexicon.REFUSES, answer.text, re.IGNORECASE)
    return Choice(option=None, rule="refusal") if refuses else None


def denied(answer: AnswerText) -> Choice | None:
    """Recognise answers that only rule options out, and do not say which other is meant."""
    return Choice(option=None, rule="negated") if any(mention.denied for mention in answer.mentions) else None


# From the plainest to the weakest: what the whole text is, contradictions, and then mentions by falling force. A rule
# sees mentions of its own force only, so that "Therefore the answer is C" outweighs every letter of the reasoning
# before it, and a letter in a sentence counts only where no answer is stated.
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
"""Tried in order; the first that applies decides. Where none does, no option is named."""


def _agreed(mentions: Sequence[Mention], rule: str) -> Choice | None:
    """Return the option on which all mentions agree; None where there are no mentions."""
    options = {mention.option for mention in mentions}
    if not options:
        return None
    if options == {None}:
        return Choice(option=None, rule=mentions[0].problem)
    if len(options) == 1:
        return Choice(option=mentions[0].option, rule=rule)
    by_letter = {mention.option for mention in mentions if mention.by_letter}
    differ = len({mention.by_letter for mention in mentions}) == 2 and len(by_letter) == 1
    return Choice(option=None, rule="letter and text differ" if differ else "several options")


def _is_beside(text: str, letter: Mention, words: Mention) -> bool:
    """Tell whether an option's words, and nothing more, stand in apposition to a letter."""
    if words.start >= letter.end:
        between = re.fullmatch(
            r"[\s.():,\"'—–-]*(?:(?:the|a|an|which is|i\.e\.)\s+)?", text[letter.end : words.start], re.IGNORECASE
        )
        return between is not None and re.match(r"[\"')]*(?:\s+one)?(?:$|[.,;\n])", text[words.end :]) is not None
    between = re.fullmatch(
        r"[\s,\"'(:—–-]*(?:(?:option|answer|letter|choice)[\s:(]*)?", text[words.end : letter.start], re.IGNORECASE
    )
    return between is not None and text[words.end : letter.start].strip() != ""
