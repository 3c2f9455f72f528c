"""Official rules by which benchmarks and harnesses judge a multiple-choice answer, with their quirks.

Each is (text, options, answer) -> whether the rule counts the raw text as the option `answer` (an index). A rule's
random or fixed fallback ("C") is no answer here. They score beside `read_choice`, to compare with published numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Final

_PREFIXES: Final = ("The best answer is", "The correct answer is", "The answer is", "The answer")
_LONGVIDEOBENCH_PREFIXES: Final = (
    *_PREFIXES,
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)


def videomme(text: str, options: Sequence[str], answer: int) -> bool:
    """Take the first capital A to D once "The best answer is" and its like are cut out: "Answer: (B)" is A.

    Two commas missing in the original join two pairs of phrases to ones that never occur ("The best option isThe
    correct option is"), so "The best option is" is not cut. The original leaves answers without such a letter out of
    its accuracy; here they are wrong.

    Source: Video-MME, evaluation/eval_your_results.py, extract_characters_regex.
    """
    phrases = (*_PREFIXES, "The best option isThe correct option is", "Best answer:Best option:")
    return _is_letter(_first_of("ABCD", _without(text.strip(), phrases)), answer)


def longvideobench(text: str, options: Sequence[str], answer: int) -> bool:
    """Judge as `videomme`, with all phrases cut out and letters A to E; the original's random guess is no answer.

    Source: lmms-eval, tasks/longvideobench/utils.py, parse_multi_choice_response, by LongVideoBench's author.
    """
    return _is_letter(_first_of("ABCDE", _without(text.strip(), _LONGVIDEOBENCH_PREFIXES)), answer)


def mvbench(text: str, options: Sequence[str], answer: int) -> bool:
    """Check whether the first word of the first line is inside "(b)" or contains it: an empty answer is right.

    So are "(" and ")", whatever the answer. The original has the model go on from "Best option:(" and puts that bracket
    before the text; a benchmark that asks so does the same.

    Source: OpenGVLab/Ask-Anything, video_chat2/mvbench.ipynb, check_ans and infer_mvbench.
    """
    said = text.strip().split("\n")[0].lower().split(" ")[0]
    right = f"({ascii_uppercase[answer].lower()})"
    return said.replace(".", "") in right or right in said


def mlvu(text: str, options: Sequence[str], answer: int) -> bool:
    """Take the one character before the first ")", or the whole text: "B." is wrong, "B) it" is B.

    Source: JUNJIE99/MLVU, evaluation/multiple_choice_evaluation/choice_bench.py, check_ans.
    """
    text = text.strip()
    if ")" in text:
        at = text.index(")")
        text = text[at - 1 : at]
    return text == ascii_uppercase[answer]


def lvbench(text: str, options: Sequence[str], answer: int) -> bool:
    """Take the first character of the first word after the first "(", cut at the first ")": "Blue" is B.

    Source: THUDM/LVBench, lvbench/utils/answer_util.py, polish_answer.
    """
    said = text.strip().split(")")[0].strip()
    if "(" in said:
        said = said.split("(")[1].strip()
    return said.split(" ")[0][:1] == ascii_uppercase[answer]


def egoschema(text: str, options: Sequence[str], answer: int) -> bool:
    """Take the first capital A to E once "answer" and "Answer" are cut out; the original's fallback to C is no answer.

    EgoSchema itself takes option indices and has no rule for text.

    Source: VideoLLaMA2, videollama2/eval/inference_video_mcqa_egoschema.py, egoschema_dump.
    """
    found = re.findall(r"[( ]*[A-E][) ]*", _without(text, ("answer", "Answer")))
    return bool(found) and _is_letter(found[0].strip().strip("()"), answer)


def perception_test(text: str, options: Sequence[str], answer: int) -> bool:
    """Take the first capital A to C once "answer" and "Answer" are cut out, else an option's exact text; not C else.

    Perception Test itself takes option indices and has no rule for text.

    Source: VideoLLaMA2, videollama2/eval/inference_video_mcqa_perception_test_mcqa.py.
    """
    said = _without(text, ("answer", "Answer"))
    if letter := _first_of("ABC", said):
        return _is_letter(letter, answer)
    lower = [option.lower() for option in options]
    return said.lower() in lower and lower.index(said.lower()) == answer


def nextqa(text: str, options: Sequence[str], answer: int) -> bool:
    """Parse as MMMU does: "(B)", else "B ", else "B.", else an option's text in a longer answer; the last counts.

    A letter that ends a word counts ("DNA "), and of letters named without brackets only one between spaces has a
    place, so that of others the first in the alphabet wins. The original's random guess is no answer.
    NExT-QA itself takes option indices and has no rule for text.

    Source: lmms-eval, tasks/nextqa/utils.py, parse_multi_choice_response, after MMMU's eval/eval_utils.py.
    """
    for char in ",.!?;:'":
        text = text.strip(char)
    text = f" {text} "
    named = dict(zip(ascii_uppercase, options, strict=False))
    for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        if found := [letter for letter in named if form.format(letter) in text]:
            return _is_letter(max(found, key=lambda letter: text.rfind(place.format(letter))), answer)
    if len(text.split()) <= 5:
        return False
    lower = text.lower()
    found = [letter for letter in named if named[letter].strip().lower() in lower]
    return bool(found) and _is_letter(max(found, key=lambda letter: lower.rfind(named[letter].strip().lower())), answer)


def tempcompass_multi_choice(text: str, options: Sequence[str], answer: int) -> bool:
    """Accept "B. the option's text", "B", or a text that begins with "B." or "B)"; "(B)" and "b" go to a judge model.

    What goes to the judge model counts as wrong, as with the original's --disable_llm.

    Source: llyx97/TempCompass, eval_multi-choice.py.
    """
    text = text.replace("</s>", "").strip()
    letter = ascii_uppercase[answer]
    return text == f"{letter}. {options[answer]}" or text == letter or text.startswith((f"{letter}.", f"{letter})"))


def tempcompass_yes_no(text: str, options: Sequence[str], answer: int) -> bool:
    """Take yes or no from the beginning: "Nothing" is no; anything else goes to a judge model, and is wrong.

    Source: llyx97/TempCompass, eval_yes_no.py, extract_pred.
    """
    lower = text.replace("</s>", "").strip().lower()
    said = next((word for word in ("yes", "no") if lower.startswith(word)), None)
    return said == options[answer].lower()


def tempcompass_caption_matching(text: str, options: Sequence[str], answer: int) -> bool:
    """Accept a whole line "Caption A: ...", its sentence, "Caption A", or "A"; else a judge model would decide: wrong.

    Later ones win: a label over a sentence over a line. The original's cut of a sentence with ": " inside stays.

    Args:
        options: with their labels: "Caption A: ...", "Sentence A: ...", "Option 1: ...".

    Source: llyx97/TempCompass, eval_caption_matching.py, eval_rule.
    """
    text = text.replace("</s>", "").strip()
    titles = [option.split(": ")[0] for option in options]
    labels = [title.replace("Sentence ", "").replace("Option ", "").replace("Caption ", "") for title in titles]
    said = text if text in options else None
    for sentence in (option.split(": ")[1] for option in options):
        if sentence == text or (") " in text and sentence == text.split(") ")[1]):
            said = sentence
    for label in (*titles, *labels):
        if label in (text, text.replace(".", "")):
            said = label
    right = options[answer]
    title = right.split(": ")[0]
    return said is not None and said in (right, right.split(":")[0], right.split(": ")[1], title.split()[1])


def _without(text: str, phrases: Sequence[str]) -> str:
    for phrase in phrases:
        text = text.replace(phrase, "")
    return text


def _first_of(letters: str, text: str) -> str:
    return next((char for char in text if char in letters), "")


def _is_letter(letter: str, answer: int) -> bool:
    return letter == ascii_uppercase[answer]
