"""Where a text gives an option by its label, and what it says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pipelines.evals.answers import lexicon as phrases
from pipelines.evals.answers.mentions import DENIED_AFTER, ENDS, STATES, Claim, Force, force_of, is_denied
from pipelines.evals.answers.options import Menu, Span

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
"""A lone letter or number, perhaps in brackets or quotes; not the T of T-shirt, the 1 of 1.5, that of Bob's, of a
JSON key or of B. B. King."""

STATED: Final = re.compile(
    rf"(?:{STATES}|(?i:(?:(?:{phrases.RIGHT}|{phrases.GIVEN})\s*){{1,4}}{phrases.ANSWER}|\bmost likely\b))"
    rf"(?i:{phrases.FILLER}){LABEL}"
)
PLACED: Final = re.compile(
    rf"(?:^|\n|(?<=[.!?;。])(?<!\b[A-Z]\.)(?<!\b[DMS][rst]\.)(?<!\bvs\.)(?:\s+|(?=[{WORD}(])))[\s•*·>-]{{0,8}}"
    rf"(?i:(?:option|choice|选项|選択肢|옵션)\s*)?{LABEL}"
)
BEGINS_CLAUSE: Final = re.compile(rf"(?:^|[,.;:!?\n。])(?i:{phrases.FILLER}){LABEL}")
MENTIONED: Final = re.compile(rf"(?i:(?:{phrases.ANSWER}|{phrases.HEDGED}|{phrases.DOUBT})s?,?{phrases.FILLER}){LABEL}")
BRACKETED: Final = re.compile(rf"(?<![{WORD}])(?=[(\[{{<\"'「『【])" + LABEL)
TICKED: Final = re.compile(LABEL + r"(?=\s*[✓✔✅❌✗✘])")
JOINS: Final = rf"(?i:{phrases.JOINS})"
ALSO: Final = re.compile(rf"[\s)\]\"']{{0,4}}(?:{JOINS}|\s){{1,6}}[\s(\[\"']{{0,4}}{LABEL}")
LISTED: Final = re.compile(
    rf"{LABEL}(?=\s*(?:{JOINS}\s*){{1,3}}(?:(?i:{phrases.DOUBT})[\s,]*){{0,2}}[(\[\"']*(?P<next>[A-Z])(?![{WORD}]))"
)

AFTER_PLACED: Final = re.compile(r"\s*(?:$|\n|[.,;:!?()/&。]|[-–—]\s|です|だ|입니다)")
REASON: Final = re.compile(rf"\s*{phrases.REASON}", re.IGNORECASE)
FITS: Final = re.compile(rf"\s*{phrases.FITS}", re.IGNORECASE)
GOES_ON: Final = re.compile(rf"\s*(?:{phrases.REASON}|{phrases.FITS}|{phrases.GOES_ON})", re.IGNORECASE)
CAPITAL: Final = re.compile(r"\s+[A-Z]")
RIGHT_AFTER: Final = re.compile(phrases.RIGHT_AFTER, re.IGNORECASE)
ITS_WORDS_FOLLOW: Final = re.compile(r"[\s.:)\"'(-]*(?:(?:an?|the)\s)?")
ITEM_RIGHT: Final = re.compile(phrases.ITEM_RIGHT, re.IGNORECASE)
ITEM_WRONG: Final = re.compile(phrases.ITEM_WRONG, re.IGNORECASE)


def labels_in(text: str, menu: Menu, names: list[Span]) -> list[Claim]:
    """Every label a plain text gives or denies, in order, each at its plainest.

    Args:
        names: where options are named by their words; a letter in there ("Team B") is no label.
    """
    found: dict[int, Claim] = {}
    for claim in _single(text, menu):
        inside_name = any(name.start <= claim.start < name.end for name in names)
        known = found.get(claim.start)
        if not inside_name and (known is None or known.force < claim.force):
            found[claim.start] = claim
    runs = [_judged(text, run, names) for run in _runs(text, menu, found)]
    return _items_weighed(text, names, [claim for run in runs for claim in run])


def _single(text: str, menu: Menu) -> Iterator[Claim]:
    """Labels one by one; the same may come more than once."""
    for match in STATED.finditer(text):
        if _is_label(text, match, after_statement=True):
            yield from _claim(match, menu, force_of(text, match))
    for match in PLACED.finditer(text):
        if AFTER_PLACED.match(text, match.end()) or _is_closed(match):
            yield from _claim(match, menu, Force.PLACED)
    for match in BEGINS_CLAUSE.finditer(text):
        if match.start() == 0 and REASON.match(text, match.end()):
            yield from _claim(match, menu, Force.PLACED)
        elif any(said.match(text, match.end()) for said in (REASON, FITS, RIGHT_AFTER, DENIED_AFTER)):
            yield from _claim(match, menu, Force.LETTER)
    for match in TICKED.finditer(text):
        yield from _claim(match, menu, Force.LETTER)
    for match in LISTED.finditer(text):
        if match["next"] in menu.labels:
            yield from _claim(match, menu, Force.LETTER)
    for pattern in (MENTIONED, BRACKETED):
        for match in pattern.finditer(text):
            if _is_label(text, match, after_statement=False):
                yield from _claim(match, menu, Force.LETTER)


def _claim(match: re.Match[str], menu: Menu, force: Force) -> Iterator[Claim]:
    label = match["label"]
    option = menu.labels.get(label.upper())
    if option is None and (force < Force.PLACED or label.isdigit() != menu.numbered or label in "Ii"):
        return
    problem = "" if option is not None else LOOK_ALIKE if label in LOOK_ALIKES else OUTSIDE
    start, end = match.start("label"), match.end()
    yield Claim(start=start, end=end, option=option, force=force, by_letter=True, problem=problem)


def _is_closed(match: re.Match[str]) -> bool:
    """Whether a label ends in a bracket: "(B)", "B)"."""
    return match[0][-1] in ")]}】"


def _is_label(text: str, match: re.Match[str], after_statement: bool) -> bool:
    """Whether a lone letter is a label and not a word, by what surrounds it."""
    label = match["label"]
    quoted = match[0][: match.start("label") - match.start()].endswith(("'", '"', "「", "『"))
    if quoted or _is_closed(match) or ENDS.match(text, match.end()) or GOES_ON.match(text, match.end()):
        return True
    if label.islower() or not after_statement:
        return False
    return label not in MAYBE_A_WORD or CAPITAL.match(text, match.end()) is not None


def _runs(text: str, menu: Menu, found: dict[int, Claim]) -> Iterator[list[Claim]]:
    """Labels in lists that share what is said of them: "neither A nor B", "A, C and D are wrong"."""
    done = -1
    for start in sorted(found):
        if start <= done:
            continue
        run = [found[start]]
        while (match := ALSO.match(text, run[-1].end)) and _joins(text, match, run[-1], found):
            claims = list(_claim(match, menu, run[0].force))
            if not claims or claims[0].option in {None, *(claim.option for claim in run)}:
                break
            run.append(max(claims[0], found.get(claims[0].start, claims[0]), key=lambda claim: claim.force))
        done = run[-1].start
        yield run


def _joins(text: str, match: re.Match[str], last: Claim, found: dict[int, Claim]) -> bool:
    """Whether what stands between two labels makes them one list; lines and labels side by side stay apart."""
    between = text[last.end : match.start("label")].strip(" )(][\"'")
    if between == "" or "\n" in between:
        return between == "" and match["label"].isupper() and match.start("label") not in found
    return _is_label(text, match, after_statement=False)


def _judged(text: str, run: list[Claim], names: list[Span]) -> list[Claim]:
    """A list of labels with what the clause around it says: denied, or called right."""
    end = run[-1].end
    for name in names:
        if name.option == run[-1].option and ITS_WORDS_FOLLOW.fullmatch(text, end, name.start):
            end = name.end
            break
    if is_denied(text, run[0].start, end):
        return [replace(claim, denied=True) for claim in run]
    if RIGHT_AFTER.match(text, end):
        return [replace(claim, force=max(claim.force, Force.STATED)) for claim in run]
    return run


def _items_weighed(text: str, names: list[Span], claims: list[Claim]) -> list[Claim]:
    """Claims; a list that goes through the options ("A. ...: wrong. B. ...: correct") is judged item by item."""
    items = [claim for claim in claims if claim.force == Force.PLACED]
    if len({claim.option for claim in items}) < 2:
        return claims
    return [_item_weighed(text, names, claim) if claim in items else claim for claim in claims]


def _item_weighed(text: str, names: list[Span], item: Claim) -> Claim:
    said = _said_of_item(text, names, item)
    if ITEM_WRONG.search(said):
        return replace(item, denied=True)
    return replace(item, force=Force.STATED) if ITEM_RIGHT.search(said) else item


def _said_of_item(text: str, names: list[Span], item: Claim) -> str:
    """The rest of an item's line, up to the next item, without options' own words."""
    newline = text.find("\n", item.end)
    line = text[item.end : newline if newline >= 0 else len(text)]
    for name in reversed(names):
        if item.end <= name.start and name.end <= item.end + len(line):
            line = line[: name.start - item.end] + line[name.end - item.end :]
    following = PLACED.search(line, 1)
    return line[: following.start()] if following else line
