"""Subtitles of .srt, .vtt and LongVideoBench's .json files; those of the sampled frames stand before a question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any, Final

from videollm.types import Cue, Subtitles

_TIMES: Final = re.compile(r"^\s*(\S+)\s*-->\s*(\S+)", re.MULTILINE)
_TAGS: Final = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")


def read_subtitles(path: Path, begins_at: float = 0.0) -> tuple[Cue, ...]:
    """The cues of a file, in order of their start.

    Args:
        begins_at: seconds in the file at which the video begins; the cues' times count from there.
    Raises:
        ValueError: it is missing, or no subtitle file.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        cues = list(_json_cues(json.loads(text)) if path.suffix == ".json" else _cues(text.replace("\r\n", "\n")))
    except OSError as error:
        raise ValueError(f"Subtitles {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"Subtitles {path} cannot be read: {error}. Expected UTF-8 .srt, .vtt or .json.") from error
    moved = (replace(cue, start=cue.start - begins_at, end=cue.end - begins_at) for cue in cues)
    return tuple(sorted(moved if begins_at else cues, key=lambda c: c.start))


def spoken(cues: Sequence[Cue], seconds: Sequence[float]) -> list[str]:
    """Texts of the cues that run at the times of the frames, each once, in order."""
    seen = [c for c in cues if any(c.start <= s < c.end for s in seconds)]
    return [c.text for i, c in enumerate(seen) if i == 0 or c.text != seen[i - 1].text]


def with_subtitles(question: str, subtitles: Subtitles | None, seconds: Sequence[float]) -> str:
    """The question after the subtitles of the frames; as it is without any.

    Args:
        seconds: presentation time of every frame, from the start of the whole video.
    """
    lines = spoken(subtitles.cues, seconds) if subtitles is not None else []
    return "\n".join([subtitles.heading, *lines, question]) if subtitles is not None and lines else question


def _cues(text: str) -> Iterator[Cue]:
    """Cues of .srt or .vtt: blocks with a line of times; what stands before it is a number or a name."""
    if text.strip() and not _TIMES.search(text):
        raise ValueError("it has no line of times (00:00:01,000 --> 00:00:02,000)")
    for block in re.split(r"\n\s*\n", text):
        if found := _TIMES.search(block):
            said = " ".join(unescape(_TAGS.sub("", block[found.end() :].partition("\n")[2])).split())
            if said:
                yield Cue(start=_seconds(found[1]), end=_seconds(found[2]), text=said)


def _json_cues(rows: list[dict[str, Any]]) -> Iterator[Cue]:
    """LongVideoBench: `start`, `end` and `line`, or `timestamp` (two seconds, the end may be null) and `text`."""
    for i, row in enumerate(rows):
        if "timestamp" in row:
            start, end = row["timestamp"]
            following = rows[i + 1]["timestamp"][0] if i + 1 < len(rows) else float("inf")
            yield Cue(start=float(start), end=float(following if end is None else end), text=str(row["text"]).strip())
        else:
            yield Cue(start=_seconds(row["start"]), end=_seconds(row["end"]), text=str(row["line"]).strip())


def _seconds(time: str) -> float:
    """Seconds of `[hours:]minutes:seconds`, the fraction after a comma or a dot."""
    parts = [float(p) for p in str(time).replace(",", ".").split(":")]
    if not 1 < len(parts) <= 3:
        raise ValueError(f"time is {time!r}, expected hours:minutes:seconds")
    return float(sum(p * 60.0**i for i, p in enumerate(reversed(parts))))
