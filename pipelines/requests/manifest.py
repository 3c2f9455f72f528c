"""Inputs to requests: folders, videos, globs, URLs and manifests; a bad row becomes an error row, never an exception.

Ids are stable under a re-run: a row keeps its own `id`, any other is named after the video and what is asked.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final

from pipelines.requests.discover import MANIFESTS, Found, find
from pipelines.requests.readers import Line, read_lines
from videollm.errors import UserError
from videollm.io import is_remote, local_name
from videollm.types import Clip, Request

Row = dict[str, Any]

_EXPECTED: Final = {
    "video": "a path or URL",
    "question": "text",
    "start": "seconds from the start of the video, 0 or more",
    "end": "seconds from the start of the video, 0 or more",
    "options": "a list of texts",
    "system": "text",
    "max_new_tokens": "a whole number above 0",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A request and how the user names its video."""

    request: Request
    video: str
    fingerprint: str
    """Hash of all that is asked: two rows agree in it if and only if they ask the same."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A manifest row that is no request."""

    id: str
    video: str | None
    question: str | None
    error: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """All requests on one clip: it is decoded and encoded once for them."""

    clip: Clip
    entries: tuple[Entry, ...]


def read(inputs: Sequence[str], *, default_question: str | None, limit: int | None = None) -> list[Entry | Refused]:
    """The requests of all inputs, in order, each with an id of its own.

    Args:
        inputs: folders (searched for videos), videos, globs, URLs, manifests.
        default_question: asked where a row has no question; None makes the question a must.
        limit: take only the first so many.
    Raises:
        UserError: an input is missing, unreadable or empty, or is a video where a question is a must.
    """
    if not inputs:
        raise UserError("Got no inputs, expected folders, videos or manifests: videollm caption videos/ -o captions/")
    ids = _Ids()
    entries: list[Entry | Refused] = []
    for found in find(inputs):
        if default_question is None and not found.is_manifest:
            raise UserError(
                f"{found.path} brings no question: `answer` takes manifests ({', '.join(MANIFESTS)}) with columns "
                "video and question. To ask all videos the same, use `videollm caption --prompt ...`."
            )
        for line in _lines(found):
            if limit is not None and len(entries) >= limit:
                return entries
            entries.append(_entry(line, found, default_question, ids))
    return entries


def entry(request: Request, video: str) -> Entry:
    """A request with its fingerprint, which does not depend on its id.

    Args:
        video: how the user names the video.
    """
    clip = request.clip
    asked: list[Any] = [_shown(clip.video), clip.start, clip.end, request.question, request.options, request.system,
                        request.max_new_tokens]  # fmt: skip
    asked += [part for part in (clip.fps, clip.cut_end or None) if part is not None]
    if request.subtitles is not None:
        asked.append(asdict(request.subtitles))
    return Entry(request=request, video=_shown(video), fingerprint=_hash(asked))


def group(entries: Sequence[Entry]) -> list[Task]:
    """One task a clip (video, start, end), in order of first appearance."""
    clips: dict[Clip, list[Entry]] = {}
    for entry in entries:
        clips.setdefault(entry.request.clip, []).append(entry)
    return [Task(clip=clip, entries=tuple(asked)) for clip, asked in clips.items()]


def _lines(found: Found) -> Iterator[Line]:
    if found.is_manifest:
        yield from read_lines(found.path)
    else:
        yield Line(number=0, fields={"video": found.path})


def _entry(line: Line, found: Found, default_question: str | None, ids: _Ids) -> Entry | Refused:
    name = PurePosixPath(found.path).name
    raw = _hash(line.fields if line.error is None else [line.number, line.error])
    given = line.fields.get("id")
    own = _shown(str(given)) if isinstance(given, str | int) and given != "" else None

    def refuse(error: str, id: str | None) -> Refused:
        video, question = line.fields.get("video"), line.fields.get("question")
        return Refused(
            id=ids.unused(f"bad-{raw[:12]}" if id is None else id),
            video=_shown(video) if isinstance(video, str) else None,
            question=_shown(question) if isinstance(question, str) else None,
            error=_shown(f"{name}, line {line.number}: {error}"),
            fingerprint=raw,
        )

    if own is not None and own in ids.lines:
        return refuse(f"id {own!r} is already that of {ids.lines[own]}. Give every row an id of its own.",
                      f"{own}#{raw[:8]}")  # fmt: skip
    if line.error is not None:
        return refuse(line.error, own)
    try:
        video, request = _request(line.fields, found, default_question)
    except ValueError as error:
        return refuse(str(error), own)
    made = entry(request, video)
    id = ids.unused(f"{PurePosixPath(made.video).stem[:80]}-{made.fingerprint[:12]}") if own is None else own
    ids.lines[id] = f"{name}, line {line.number}"
    return replace(made, request=replace(request, id=id))


class _Ids:
    """Ids in use, and where."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}

    def unused(self, wanted: str) -> str:
        """`wanted`, numbered if it is taken; taken from now on."""
        id, number = wanted, 1
        while id in self.lines:
            number += 1
            id = f"{wanted}-{number}"
        self.lines[id] = "another row"
        return id


def _request(fields: Row, found: Found, default_question: str | None) -> tuple[str, Request]:
    """The video as the row names it, and the request without an id."""
    if not isinstance(fields.get("id"), str | int | None) or isinstance(fields.get("id"), bool):
        raise ValueError(f"id is {fields['id']!r}, expected a string or a whole number")
    video = _field(fields, "video", _path)
    if video is None:
        raise ValueError("it has no video")
    question = _field(fields, "question", _text) or default_question
    if question is None:
        raise ValueError("it has no question")
    start, end = _field(fields, "start", _seconds), _field(fields, "end", _seconds)
    if start is not None and end is not None and start >= end:
        raise ValueError(f"start is {start:g} s and end is {end:g} s, expected start < end")
    clip = Clip(video=_resolve(video, found) if found.is_manifest else video, start=start, end=end)
    request = Request(
        id="",
        clip=clip,
        question=question,
        options=_field(fields, "options", parse_options) or (),
        system=_field(fields, "system", _text),
        max_new_tokens=_field(fields, "max_new_tokens", _count),
    )
    return found.shown if not found.is_manifest else video, request


def _field(fields: Row, name: str, parse: Callable[[Any], Any]) -> Any:
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        return parse(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {str(value)[:100]!r}, expected {_EXPECTED[name]}") from error


def _path(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode("utf-8")
    return value


def _seconds(value: Any) -> float:
    seconds = float(value)
    if isinstance(value, bool) or not math.isfinite(seconds) or seconds < 0:
        raise ValueError
    return seconds


def _count(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value) or int(value) < 1:
        raise ValueError
    return int(value)


def parse_options(value: Any) -> tuple[str, ...]:
    """A list of texts, or (CSV) one as JSON or with | between.

    Raises:
        TypeError, ValueError: anything else.
    """
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split("|")
    if not isinstance(value, list | tuple) or not value:
        raise TypeError
    return tuple(_text(v) for v in value)


def _resolve(video: str, found: Found) -> str:
    """A manifest's relative paths start at its folder."""
    name = local_name(video)
    return name if is_remote(name) or name.startswith("/") else f"{found.path.rpartition('/')[0]}/{name}"


def _shown(text: str) -> str:
    """Text that any file can hold: bytes of file names that are not UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
