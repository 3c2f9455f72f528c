"""Places where a text gives an option by its label, and what the text says of the option there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pipelines.evals.answers import lexicon
from pipelines.evals.answers.mentions import DENIED_AFTER, ENDS, STATES, Force, Mention, force_of, is_denied
from pipelines.evals.answers.options import Options, Span

OUTSIDE: Final = "letter outside the options"
LOOK_ALIKE: Final = "look-alike letter"
LOOK_ALIKES: Final = "ВЕБГД"
"""Cyrillic letters that a reader could take for a Latin one or for a place in the Cyrillic alphabet."""
MAYBE_A_WORD: Final = "AEIOUY"
"""Capitals that may be a word: an article, "I", or a conjunction in another language."""

WORD: Final = r"A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff0-9_"
LABEL: Final = (
    rf"[(\[{{<\"'「『【]{{0,3}}(?<![{WORD}])(?<![{WORD}]')"
    rf"(?P<label>[A-Za-z{LOOK_ALIKES}]|\d{{1,2}})"
    rf"(?![{WORD}]|'[A-Za-z]|[-+][A-Za-z0-9]|[.,:]\d|%|[\"']\s*:|\.\s?[A-Z]\.\s|\s+is (?:written|printed|drawn)\b)"
    r"[)\]}>\"'」』】]{0,3}"
)
"""A lone letter or number, perhaps in brackets or quotes; not the T of T-shirt, the 1 of 1.5, the s of Bob's, a JSON
key, or the B of B. B. King."""

STATED: Final = re.compile(
    rf"(?:{STATES}|(?i:(?:(?:{lexicon.RIGHT}|{lexicon.GIVEN})\s*){{1,4}}{lexicon.ANSWER}|\bmost likely\b))"
    rf"(?i:{lexicon.FILLER}){LABEL}"
)
PLACED: Final = re.compile(
    rf"(?:^|\n|(?<=[.!?;。])(?<!\b[A-Z]\.)(?<!\b[DMS][rst]\.)(?<!\bvs\.)(?:\s+|(?=[{WORD}(])))[\s•*·>-]{{0,8}}"
    rf"(?i:(?:option|choice|选项|選択肢|옵션)\s*)?{LABEL}"
)
BEGINS_CLAUSE: Final = re.compile(rf"(?:^|[,.;:!?\n。])(?i:{lexicon.FILLER}){LABEL}")
MENTIONED: Final = re.compile(rf"(?i:(?:{lexicon.ANSWER}|{lexicon.HEDGED}|{lexicon.DOUBT})s?,?{lexicon.FILLER}){LABEL}")
BRACKETED: Final = re.compile(rf"(?<![{WORD}])(?=[(\[{{<\"'「『【])" + LABEL)
TICKED: Final = re.compile(LABEL + r"(?=\s*[✓✔✅❌✗✘])")
JOINS: Final = rf"(?i:{lexicon.JOINS})"
ALSO: Final = re.compile(rf"[\s)\]\"']{{0,4}}(?:{JOINS}|\s){{1,6}}[\s(\[\"']{{0,4}}{LABEL}")
LISTED: Final = re.compile(
    rf"{LABEL}(?=\s*(?:{JOINS}\s*){{1,3}}(?:(?i:{lexicon.DOUBT})[\s,]*){{0,2}}[(\[\"']*(?P<next>[A-Z])(?![{WORD}]))"
)

AFTER_PLACED: Final = re.compile(r"\s*(?:$|\n|[.,;:!?()/&。]|[-–—]\s|です|だ|입니다)")
REASON: Final = re.compile(rf"\s*{lexicon.REASON}", re.IGNORECASE)
FITS: Final = re.compile(rf"\s*{lexicon.FITS}", re.IGNORECASE)
GOES_ON: Final = re.compile(rf"\s*(?:{lexicon.REASON}|{lexicon.FITS}|{lexicon.GOES_ON})", re.IGNORECASE)
CAPITAL: Final = re.compile(r"\s+[A-Z]")
RIGHT_AFTER: Final = re.compile(lexicon.RIGHT_AFTER, re.IGNORECASE)
ITS_WORDS_FOLLOW: Final = re.compile(r"[\s.:)\"'(-]*(?:(?:an?|the)\s)?")
ITEM_RIGHT: Final = re.compile(lexicon.ITEM_RIGHT, re.IGNORECASE)
ITEM_WRONG: Final = re.compile(lexicon.ITEM_WRONG, re.IGNORECASE)


def find_letter_matches(text: str, options: Options, names: list[Span]) -> list[Mention]:
    """Find every label that a normalised text gives or denies, in order, each with its greatest force.

    Args:
        names: places of the options' words; a letter inside one ("Team B") is no label.
    """
    # 1. Labels one by one. Several patterns may find the same label; the plainest statement of it counts.
    found: dict[int, Mention] = {}
    for mention in _single_labels(text, options):
        inside_name = any(name.start <= mention.start < name.end for name in names)
        known = found.get(mention.start)
        if not inside_name and (known is None or known.force < mention.force):
            found[mention.start] = mention
    # 2. Labels joined to runs: "A and B are wrong" denies both.
    runs = [_judge_run(text, run, names) for run in _runs(text, options, found)]
    # 3. A text that goes through all options gives none by their order; what it says of each decides.
    return _weigh_items(text, names, [mention for run in runs for mention in run])


def _single_labels(text: str, options: Options) -> Iterator[Mention]:
    """Yield labels pattern by pattern; the same label may come more than once."""
    for match in STATED.finditer(text):
        if _is_label(text, match, after_statement=True):
            yield from _mention(match, options, force_of(text, match))
    for match in PLACED.finditer(text):
        if AFTER_PLACED.match(text, match.end()) or _is_closed(match):
            yield from _mention(match, options, Force.PLACED)
    for match in BEGINS_CLAUSE.finditer(text):
        if match.start() == 0 and REASON.match(text, match.end()):
            yield from _mention(match, options, Force.PLACED)
        elif any(said.match(text, match.end()) for said in (REASON, FITS, RIGHT_AFTER, DENIED_AFTER)):
            yield from _mention(match, options, Force.LETTER)
    for match in TICKED.finditer(text):
        yield from _mention(match, options, Force.LETTER)
    for match in LISTED.finditer(text):
        if match["next"] in options.labels:
            yield from _mention(match, options, Force.LETTER)
    for pattern in (MENTIONED, BRACKETED):
        for match in pattern.finditer(text):
            if _is_label(text, match, after_statement=False):
                yield from _mention(match, options, Force.LETTER)


def _mention(match: re.Match[str], options: Options, force: Force) -> Iterator[Mention]:
    """Yield the mention in a match, if there is one.

    A label outside the options counts only where an answer is given, and only if it is of the options' kind: "the
    answer is E" of four options is an answer that cannot be read, "vitamin E" and "the answer is 3" are no label.
    """
    label = match["label"]
    option = options.labels.get(label.upper())
    if option is None and (force < Force.PLACED or label.isdigit() != options.numbered or label in "Ii"):
        return
    problem = "" if option is not None else LOOK_ALIKE if label in LOOK_ALIKES else OUTSIDE
    start, end = match.start("label"), match.end()
    yield Mention(start=start, end=end, option=option, force=force, by_letter=True, problem=problem)


def _is_closed(match: re.Match[str]) -> bool:
    """Tell whether a label ends in a bracket: "(B)", "B)"."""
    return match[0][-1] in ")]}】"


def _is_label(text: str, match: re.Match[str], after_statement: bool) -> bool:
    """Tell by its surroundings whether a lone letter is a label and not a word ("a", "I")."""
    label = match["label"]
    quoted = match[0][: match.start("label") - match.start()].endswith(("'", '"', "「", "『"))
    if quoted or _is_closed(match) or ENDS.match(text, match.end()) or GOES_ON.match(text, match.end()):
        return True
    if label.islower() or not after_statement:
        return False
    return label not in MAYBE_A_WORD or CAPITAL.match(text, match.end()) is not None


def _runs(text: str, options: Options, found: dict[int, Mention]) -> Iterator[list[Mention]]:
    """Yield labels in lists with one verdict on all: "neither A nor B", "A, C and D are wrong"."""
    done = -1
    for start in sorted(found):
        if start <= done:
            continue
        # From each label that is in no run yet: go on as long as a join and one more label follow. A label that no
        # pattern found on its own (the D of "A, C and D are wrong") becomes a mention by standing in the run.
        run = [found[start]]
        while (match := ALSO.match(text, run[-1].end)) and _joins(text, match, run[-1], found):
            mentions = list(_mention(match, options, run[0].force))
            if not mentions or mentions[0].option in {None, *(mention.option for mention in run)}:
                break
            run.append(max(mentions[0], found.get(mentions[0].start, mentions[0]), key=lambda mention: mention.force))
        done = run[-1].start
        yield run


def _joins(text: str, match: re.Match[str], last: Mention, found: dict[int, Mention]) -> bool:
    """Tell whether the text between two labels makes them one list; lines and labels side by side stay apart."""
    between = text[last.end : match.start("label")].strip(" )(][\"'")
    if between == "" or "\n" in between:
        return between == "" and match["label"].isupper() and match.start("label") not in found
    return _is_label(text, match, after_statement=False)


def _judge_run(text: str, run: list[Mention], names: list[Span]) -> list[Mention]:
    """Judge a run of labels by the clause around it: denied, or called right."""
    end = run[-1].end
    for name in names:
        if name.option == run[-1].option and ITS_WORDS_FOLLOW.fullmatch(text, end, name.start):
            end = name.end
            break
    if is_denied(text, run[0].start, end):
        return [replace(mention, denied=True) for mention in run]
    if RIGHT_AFTER.match(text, end):
        return [replace(mention, force=max(mention.force, Force.STATED)) for mention in run]
    return run


def _weigh_items(text: str, names: list[Span], mentions: list[Mention]) -> list[Mention]:
    """Judge a list that goes through the options ("A. ...: wrong. B. ...: correct") item by item."""
    items = [mention for mention in mentions if mention.force == Force.PLACED]
    if len({mention.option for mention in items}) < 2:
        return mentions
    return [_weigh_item(text, names, mention) if mention in items else mention for mention in mentions]


def _weigh_item(text: str, names: list[Span], item: Mention) -> Mention:
    said = _said_of_item(text, names, item)
    if ITEM_WRONG.search(said):
        return replace(item, denied=True)
    return replace(item, force=Force.STATED) if ITEM_RIGHT.search(said) else item


def _said_of_item(text: str, names: list[Span], item: Mention) -> str:
    """Return the rest of an item's line up to the next item, without the options' own words."""
    newline = text.find("\n", item.end)
    line = text[item.end : newline if newline >= 0 else len(text)]
    for name in reversed(names):
        if item.end <= name.start and name.end <= item.end + len(line):
            line = line[: name.start - item.end] + line[name.end - item.end :]
    following = PLACED.search(line, 1)
    return line[: following.start()] if following else line
