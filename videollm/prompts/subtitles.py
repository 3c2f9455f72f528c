"""Subtitles of .srt, .vtt and LongVideoBench's .json files, and the part of them that goes with sampled frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any, Final

from videollm.errors import UserError
from videollm.types import Cue, Subtitles

_TIMES: Final = re.compile(r"^.*-->.*$", re.MULTILINE)
_TAGS: Final = re.compile(r"\{\\[^{}]*\}")
"""SubStation overrides ({\\i1}), which pysubs2 makes of <i>, and leaves."""
_WORD_TIMES: Final = re.compile(r"<[\d:.]+>")
_WORDS: Final = re.compile(r"^(?!.*-->).*:.*$", re.MULTILINE)
"""Lines that are no times; two times in one of them would make it one for pysubs2."""


def read_subtitles(path: Path, begins_at: float = 0.0) -> tuple[Cue, ...]:
    """Read the cues of a file in which something is said, in order of their start.

    Args:
        begins_at: seconds in the file at which the video begins; the cues' times count from there.
    Raises:
        UserError: the file is missing, or no subtitle file.
    """
    said = (cue for cue in read_cues(path) if cue.text)
    moved = (replace(cue, start=cue.start - begins_at, end=cue.end - begins_at) if begins_at else cue for cue in said)
    return tuple(sorted(moved, key=lambda c: c.start))


def read_cues(path: Path) -> tuple[Cue, ...]:
    """Read all cues of a file as they stand there, those without words too.

    Raises:
        UserError: the file is missing, or no subtitle file.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tuple(_json_cues(json.loads(text)) if path.suffix == ".json" else _cues(text, path.suffix))
    except OSError as error:
        raise UserError(f"Subtitles {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:  # UnicodeDecodeError is a ValueError
        raise UserError(f"Subtitles {path} cannot be read: {error}. Expected UTF-8 .srt, .vtt or .json.") from error


def spoken(cues: Sequence[Cue], seconds: Sequence[float]) -> list[str]:
    """Return the texts of the cues on screen at the times of the frames, each once, in order."""
    seen = [c for c in cues if any(c.start <= s < c.end for s in seconds)]
    return [c.text for i, c in enumerate(seen) if i == 0 or c.text != seen[i - 1].text]


def with_subtitles(question: str, subtitles: Subtitles | None, seconds: Sequence[float]) -> str:
    """Put the subtitles of the frames before a question; without subtitles, return the question as it is.

    Args:
        seconds: presentation time of every frame, from the start of the whole video.
    """
    lines = spoken(subtitles.cues, seconds) if subtitles is not None else []
    return "\n".join([subtitles.heading, *lines, question]) if subtitles is not None and lines else question


def _cues(text: str, suffix: str) -> Iterator[Cue]:
    """Yield the cues of SubRip or WebVTT."""
    from pysubs2 import SSAFile
    from pysubs2.formats.subrip import SubripFormat

    class Subrip(SubripFormat):
        """SubRip whose hours may pass 99."""

        TIMESTAMP = re.compile(r"(\d+):(\d{1,2}):(\d{1,2})[.,](\d{1,3})")

    text = _WORDS.sub(lambda line: _WORD_TIMES.sub("", line[0]).replace(":", "&#58;"), text.replace("\r\n", "\n"))
    if suffix == ".vtt" or text.startswith("WEBVTT"):
        # pysubs2 takes what stands between two cues (names of cues, notes) for words of the first, so it is cut out.
        blocks = ((block, _TIMES.search(block)) for block in re.split(r"\n\s*\n", text))
        events = SSAFile.from_string("\n\n".join(b[found.start() :] for b, found in blocks if found), format_="vtt")
    else:
        Subrip.from_file(events := SSAFile(), StringIO(text), "srt")
    if not len(events) and text.strip() and text.split(maxsplit=1)[0] != "WEBVTT":
        raise ValueError("it has no line of times (00:00:01,000 --> 00:00:02,000)")
    for event in events:
        said = " ".join(unescape(_TAGS.sub("", event.text.replace(r"\N", " "))).split())
        yield Cue(start=event.start / 1000, end=event.end / 1000, text=said)


def _json_cues(rows: list[dict[str, Any]]) -> Iterator[Cue]:
    """Yield LongVideoBench's cues: `start`, `end`, `line`; or `timestamp` (two seconds, the second or null), `text`."""
    for i, row in enumerate(rows):
        if "timestamp" in row:
            start, end = row["timestamp"]
            following = rows[i + 1]["timestamp"][0] if i + 1 < len(rows) else float("inf")
            yield Cue(start=float(start), end=float(following if end is None else end), text=str(row["text"]).strip())
        else:
            yield Cue(start=_seconds(row["start"]), end=_seconds(row["end"]), text=str(row["line"]).strip())


def _seconds(time: str) -> float:
    """Read `[hours:]minutes:seconds`, the fraction after a comma or a dot."""
    parts = [float(p) for p in str(time).replace(",", ".").split(":")]
    if not 1 < len(parts) <= 3:
        raise ValueError(f"time is {time!r}, expected hours:minutes:seconds")
    return float(sum(p * 60.0**i for i, p in enumerate(reversed(parts))))
