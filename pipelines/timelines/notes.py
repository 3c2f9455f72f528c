"""Notes on parts of a video: captions with their times, as lines that a person or an LLM reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Note:
    """What was said of a part of a video."""

    start: float
    """Seconds from the start of the video."""
    end: float
    """Seconds, exclusive."""
    text: str
    times: int = 1
    """Neighbouring parts of which it was said."""


def clock(seconds: float) -> str:
    """Write seconds as HH:MM:SS; the hours may pass 99."""
    whole = round(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def merge_equal(notes: Sequence[Note]) -> list[Note]:
    """Merge neighbours that say the same."""
    groups = [list(alike) for _, alike in groupby(notes, key=lambda note: " ".join(note.text.split()))]
    return [
        Note(start=of[0].start, end=of[-1].end, text=of[0].text, times=sum(note.times for note in of)) for of in groups
    ]


def write(notes: Sequence[Note]) -> str:
    """Write notes as lines `[HH:MM:SS-HH:MM:SS] text`, equal neighbours as one line with their number."""
    return "\n".join(
        f"[{clock(n.start)}-{clock(n.end)}] {' '.join(n.text.split())}" + (f" (x{n.times})" if n.times > 1 else "")
        for n in merge_equal(notes)
    )


def extract(notes: Sequence[Note], most: int) -> list[Note]:
    """Choose the most distinct notes, equal neighbours merged, in the order of time.

    The first is the one that holds for longest; each further one shares the smallest part of its words with the most
    similar of those chosen before (Gonzalez 1985, farthest-first).

    Args:
        most: notes to keep at most.
    """
    merged = merge_equal(notes)
    if len(merged) <= most:
        return merged
    words = [set(WORD.findall(note.text.lower())) for note in merged]
    chosen = [max(range(len(merged)), key=lambda i: merged[i].end - merged[i].start)]
    nearest = [_shared(words[chosen[0]], of) for of in words]
    while len(chosen) < most:
        farthest = min((i for i in range(len(merged)) if i not in chosen), key=lambda i: nearest[i])
        chosen.append(farthest)
        nearest = [max(before, _shared(words[farthest], of)) for before, of in zip(nearest, words, strict=True)]
    return [merged[i] for i in sorted(chosen)]


def invented_names(summary: str, notes: Sequence[Note]) -> list[str]:
    """Find capitalised words inside the sentences of a summary that no note holds: links that a model makes up."""
    known = {word.lower() for note in notes for word in WORD.findall(note.text)}
    inside = re.findall(r"(?<![.!?\n] )(?<!^)(?<!\n)\b[A-Z]\w+", summary)
    return list(dict.fromkeys(word for word in inside if word.lower() not in known))


def _shared(one: set[str], other: set[str]) -> float:
    """Share of the words of two notes that both have (Jaccard)."""
    return len(one & other) / max(1, len(one | other))
