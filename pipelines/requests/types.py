"""Requests of a job, and the clips that they are about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from videollm.types import Clip, Request


@dataclass(frozen=True, kw_only=True)
class JobRequest(Request):
    """A request whose answer is a row of the output."""

    video: str
    """The video as the user names it."""
    fingerprint: str
    """Hash of the question: equal for two requests if and only if they ask the same."""


@dataclass(frozen=True, kw_only=True)
class BadRequest:
    """A manifest row that is no request."""

    id: str
    video: str | None
    question: str | None
    error: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class ClipTask:
    """A clip and all requests on it: the clip is decoded and encoded once for them."""

    clip: Clip
    requests: tuple[JobRequest, ...]
    key: str = ""
    """By which whoever made the task knows it again."""
    span: str | None = None
    """Names the tasks that are decoded in one go, windows of one video that follow one another; None is alone."""
    sampling: Mapping[str, Any] | None = None
    """Fields of videollm.Sampling, where the job's own choice of frames is not wanted."""
    survey: str | None = None
    """Cues to look for in the whole video (a name in CUES; "" for none), in the place of all that follows."""
    pooled: bool = False
    """Whether the mean of the tower's features is wanted, in the place of answers."""

    @property
    def seen(self) -> bool:
        """Whether the model is shown the clip; else all requests are about text alone, and nothing is decoded."""
        return any(request.seen for request in self.requests)


def job_request(request: Request, video: str) -> JobRequest:
    """Make a job's request of a request; the fingerprint does not depend on the id.

    Args:
        video: the video as the user names it.
    """
    clip = request.clip
    asked: list[Any] = [printable(clip.video), clip.start, clip.end, request.question, request.options, request.system,
                        request.max_new_tokens]  # fmt: skip
    asked += [part for part in (clip.fps, clip.cut_end or None) if part is not None]
    if request.ocr is not None:
        asked.append({"ocr": request.ocr})
    if request.continuations or not request.seen:
        asked.append({"continuations": request.continuations, "seen": request.seen})
    if request.search is not None:
        asked.append({"search": asdict(request.search)})
    if request.subtitles is not None:
        asked.append(asdict(request.subtitles))
    known = {f.name: getattr(request, f.name) for f in fields(Request)}
    return JobRequest(**known, video=printable(video), fingerprint=json_hash(asked))


def printable(text: str) -> str:
    """Escape bytes of file names that are not UTF-8, so that any file can hold the text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def json_hash(value: Any) -> str:
    """Hash a value's JSON by SHA-256."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
