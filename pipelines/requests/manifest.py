"""Inputs to requests: folders, videos, globs, URLs and manifests; a bad row becomes an error row, never an exception.

Ids are stable under a re-run: a row keeps its own `id`, any other is named after the video and what is asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from pipelines.requests.discover import MANIFESTS, Source, find
from pipelines.requests.readers import NumberedRow, read_rows
from pipelines.requests.types import BadRequest, ClipTask, JobRequest, job_request, json_hash, printable
from videollm.errors import UserError
from videollm.io import is_remote, local_name
from videollm.types import Clip, Request, Search

Fields = dict[str, Any]

_EXPECTED: Final = {
    "video": "a path or URL",
    "question": "text",
    "start": "seconds from the start of the video, 0 or more",
    "end": "seconds from the start of the video, 0 or more",
    "options": "a list of texts",
    "system": "text",
    "ocr": "text",
    "max_new_tokens": "a whole number above 0",
    "probes": "a list of texts",
    "search_kind": "text",
}


def read(
    inputs: Sequence[str], *, default_question: str | None, limit: int | None = None
) -> list[JobRequest | BadRequest]:
    """Read the requests of all inputs, in order, each with an id of its own.

    Args:
        inputs: folders (searched for videos), videos, globs, URLs, manifests.
        default_question: asked where a row has no question; None makes a question mandatory.
        limit: read at most this many requests.
    Raises:
        UserError: an input is missing, unreadable or empty, or is a video where a question is mandatory.
    """
    if not inputs:
        raise UserError("Got no inputs, expected folders, videos or manifests: videollm caption videos/ -o captions/")
    ids = _Ids()
    requests: list[JobRequest | BadRequest] = []
    for source in find(inputs):
        if default_question is None and not source.is_manifest:
            raise UserError(
                f"{source.path} brings no question: `answer` takes manifests ({', '.join(MANIFESTS)}) with columns "
                "video and question. To ask all videos the same, use `videollm caption --prompt ...`."
            )
        for row in read_rows(source.path) if source.is_manifest else [(0, {"video": source.path})]:
            if limit is not None and len(requests) >= limit:
                return requests
            requests.append(_read_one(row, source, default_question, ids))
    return requests


def group(requests: Sequence[JobRequest]) -> list[ClipTask]:
    """Group requests by clip (video, start, end), in order of first appearance; those about text alone apart."""
    clips: dict[tuple[Clip, bool], list[JobRequest]] = {}
    for request in requests:
        clips.setdefault((request.clip, request.seen), []).append(request)
    return [ClipTask(clip=clip, requests=tuple(asked)) for (clip, _), asked in clips.items()]


def _read_one(row: NumberedRow, source: Source, default_question: str | None, ids: _Ids) -> JobRequest | BadRequest:
    number, found = row
    fields, problem = ({}, str(found)) if isinstance(found, UserError) else (found, None)
    name = PurePosixPath(source.path).name
    raw = json_hash(fields if problem is None else [number, problem])
    given = fields.get("id")
    own = printable(str(given)) if isinstance(given, str | int) and given != "" else None

    def refuse(error: str, id: str | None) -> BadRequest:
        video, question = fields.get("video"), fields.get("question")
        return BadRequest(
            id=ids.unused(f"bad-{raw[:12]}" if id is None else id),
            video=printable(video) if isinstance(video, str) else None,
            question=printable(question) if isinstance(question, str) else None,
            error=printable(f"{name}, line {number}: {error}"),
            fingerprint=raw,
        )

    if own is not None and own in ids.lines:
        return refuse(f"id {own!r} is already that of {ids.lines[own]}. Give every row an id of its own.",
                      f"{own}#{raw[:8]}")  # fmt: skip
    if problem is not None:
        return refuse(problem, own)
    try:
        request = _request(fields, source, default_question)
    except UserError as error:
        return refuse(str(error), own)
    stem = PurePosixPath(request.video).stem[:80]
    id = ids.unused(f"{stem}-{request.fingerprint[:12]}") if own is None else own
    ids.lines[id] = f"{name}, line {number}"
    return replace(request, id=id)


class _Ids:
    """Ids in use, and where."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}

    def unused(self, wanted: str) -> str:
        """Reserve the id `wanted`, numbered if it is in use."""
        id, number = wanted, 1
        while id in self.lines:
            number += 1
            id = f"{wanted}-{number}"
        self.lines[id] = "another row"
        return id


def _request(fields: Fields, source: Source, default_question: str | None) -> JobRequest:
    """Read a request; its id is assigned later.

    Raises:
        UserError: a field is missing or unusable.
    """
    if not isinstance(fields.get("id"), str | int | None) or isinstance(fields.get("id"), bool):
        raise UserError(f"id is {fields['id']!r}, expected a string or a whole number")
    video = _field(fields, "video", _path)
    if video is None:
        raise UserError("it has no video")
    question = _field(fields, "question", _text) or default_question
    if question is None:
        raise UserError("it has no question")
    start, end = _field(fields, "start", _seconds), _field(fields, "end", _seconds)
    if start is not None and end is not None and start >= end:
        raise UserError(f"start is {start:g} s and end is {end:g} s, expected start < end")
    clip = Clip(video=_resolve(video, source) if source.is_manifest else video, start=start, end=end)
    request = Request(
        id="",
        clip=clip,
        question=question,
        options=_field(fields, "options", parse_options) or (),
        system=_field(fields, "system", _text),
        ocr=_field(fields, "ocr", _text),
        max_new_tokens=_field(fields, "max_new_tokens", _count),
        search=_search(fields, question),
    )
    return job_request(request, video if source.is_manifest else source.shown)


def _search(fields: Fields, question: str) -> Search | None:
    """Read by what the video is to be searched, where a row says so."""
    probes, kind = _field(fields, "probes", parse_options) or (), _field(fields, "search_kind", _text)
    if not probes and kind is None:
        return None
    return Search(stem=question, options=_field(fields, "options", parse_options) or (), probes=probes, kind=kind)


def _field(fields: Fields, name: str, parse: Callable[[Any], Any]) -> Any:
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        return parse(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} is {str(value)[:100]!r}, expected {_EXPECTED[name]}") from error


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
    """Parse options: a list of texts, or (CSV) one text, as JSON or with | between.

    Raises:
        TypeError, ValueError: anything else.
    """
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split("|")
    if not isinstance(value, list | tuple) or not value:
        raise TypeError
    return tuple(_text(v) for v in value)


def _resolve(video: str, source: Source) -> str:
    """Resolve a relative path against the manifest's folder."""
    name = local_name(video)
    return name if is_remote(name) or name.startswith("/") else f"{source.path.rpartition('/')[0]}/{name}"
