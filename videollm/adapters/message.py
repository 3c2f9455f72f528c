"""What is sent for a request: its text, and the frames of its clip in one of three forms.

- `images`: a JPEG for each frame, its time as text before it. Every server that takes pictures takes it.
- `video`: one `data:video/jpeg` part of all frames, with their indices, as vLLM takes frames for a video.
- `file`: the video itself, by its URL or whole; the server chooses frames.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Final

from videollm.adapters.jpeg import Jpeg
from videollm.errors import UserError
from videollm.io import is_remote, local_name, open_file, suffix
from videollm.models.whole import ClipFrames
from videollm.prompts.question import format_question
from videollm.prompts.subtitles import with_subtitles
from videollm.types import Clip, FrameBatch, Request

TAG: Final = "<video>"
"""Stands for a picture or a video in a prompt's text."""
WEB: Final = ("http://", "https://")
MIME: Final = {".webm": "video/webm", ".mov": "video/quicktime", ".mkv": "video/x-matroska", ".avi": "video/x-msvideo"}
"""Extension -> type of a video; the others are mp4."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip in the form in which a server is shown it."""

    parts: tuple[Mapping[str, Any], ...]
    """Of the user's message, before the question."""
    text: str
    """The same as text, TAG for each picture or video."""
    says: str
    """The form in words, for rows."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """What the request says of it besides."""
    num_images: int = 0
    frame_indices: tuple[int, ...] = ()
    frame_seconds: tuple[float, ...] = ()


NO_PICTURES: Final = Shown(parts=(), text="", says="none")
"""What is shown where text alone is asked about."""


@dataclass
class ClipOnce:
    """A clip whose frames are compressed once, by whichever thread asks first."""

    frames: FrameBatch
    jpeg: Jpeg
    lock: Lock = field(default_factory=Lock)

    @property
    def encoded(self) -> list[str]:
        """Base64 of each frame's JPEG."""
        with self.lock:
            return self._encoded

    @cached_property
    def _encoded(self) -> list[str]:
        return self.jpeg.encode(self.frames.frames)


def as_images(clip: ClipOnce, request: Request, limit: float) -> Shown:
    """Show each frame as a picture, after its time as text."""
    frames = clip.frames
    seconds = frames.model_seconds or frames.seconds
    times = [""] * len(seconds) if frames.still else [f"<{s:.1f} seconds>" for s in seconds]
    parts: list[Mapping[str, Any]] = []
    for time, picture in zip(times, clip.encoded, strict=True):
        parts += [_text(time)] if time else []
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}})
    return Shown(
        parts=tuple(parts),
        text="".join(f"{time}{TAG}" for time in times),
        says=f"{len(times)} images, {clip.jpeg.describe(frames.frames)}" if times else "none",
        num_images=len(times),
        frame_indices=frames.indices,
        frame_seconds=frames.seconds,
    )


def as_video(clip: ClipOnce, request: Request, limit: float) -> Shown:
    """Show all frames as one video, with their indices; vLLM is told to take them as they are."""
    frames = clip.frames
    fps = frames.fps or _fps(frames)
    # Indices count in the whole video, of which a part may have been taken.
    total = max(frames.num_in_range, frames.indices[-1] + 1)
    told = {"num_frames": -1, "fps": fps, "frames_indices": list(frames.indices), "total_num_frames": total,
            "duration": total / fps}  # fmt: skip
    return Shown(
        parts=(_video(f"data:video/jpeg;base64,{','.join(clip.encoded)}"),),
        text=TAG,
        says=f"video of {len(frames.indices)} frames, {clip.jpeg.describe(frames.frames)}",
        body={"media_io_kwargs": {"video": told}, "mm_processor_kwargs": {"do_sample_frames": False}},
        frame_indices=frames.indices,
        frame_seconds=frames.seconds,
    )


def as_file(clip: ClipOnce, request: Request, limit: float) -> Shown:
    """Show the video itself.

    Raises:
        UserError: only a part of it is asked about, it is no file, or a file that is too large.
    """
    asked = request.clip
    if not asked.video and isinstance(clip.frames, ClipFrames):
        asked = clip.frames.clip
    _check_whole(asked)
    if asked.video.startswith((*WEB, "file://")):
        return Shown(parts=(_video(asked.video),), text=TAG, says="the file by its URL")
    data = _read(asked.video, limit)
    kind = MIME.get(suffix(asked.video), "video/mp4")
    return Shown(
        parts=(_video(f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"),),
        text=TAG,
        says=f"the file, {len(data)} bytes",
    )


FORMS: Final[Mapping[str, Callable[[ClipOnce, Request, float], Shown]]] = {
    "images": as_images,
    "video": as_video,
    "file": as_file,
}
"""Value of --frames-as -> what makes the form of a clip, a request on it, and the bytes that it may take."""


def write_messages(shown: Shown, request: Request) -> tuple[list[dict[str, Any]], str]:
    """Write the messages of a request, and the same as one text for its row."""
    question = with_subtitles(request.question, request.subtitles, shown.frame_seconds)
    question = format_question(question, request.options)
    messages: list[dict[str, Any]] = [{"role": "user", "content": [*shown.parts, _text(question)]}]
    if request.system:
        messages.insert(0, {"role": "system", "content": request.system})
    lines = [request.system, shown.text, question]
    return messages, "\n".join(line for line in lines if line)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _video(url: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}}


def _fps(frames: FrameBatch) -> float:
    """Tell the frames per second by indices and times, where the video does not say; 1 if nothing does."""
    span = frames.seconds[-1] - frames.seconds[0]
    return (frames.indices[-1] - frames.indices[0]) / span if span > 0 else 1.0


def _check_whole(clip: Clip) -> None:
    if clip.start is not None or clip.end is not None:
        raise UserError(
            f"{clip.video}: only a part is asked about ({clip.start} to {clip.end} s), and --frames-as file sends the "
            "whole video. Use --frames-as images, or cut the file."
        )
    if not clip.video or (not is_remote(clip.video) and not Path(local_name(clip.video)).is_file()):
        raise UserError(
            f"--frames-as file sends a video file; got {clip.video or 'frames without their file'!r}. "
            "Use --frames-as images."
        )


def _read(video: str, limit: float) -> bytes:
    """Read a video that is to be sent whole, unless it is too large for a request in base64."""
    most = int(limit * 3 / 4)
    with open_file(video) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise UserError(
            f"{video} is larger than a request may be ({limit / 1e6:g} MB, --max-request-mb; base64 takes 4 bytes for "
            "3). Use --frames-as images, raise the limit, or give a URL that the server can fetch."
        )
    return data
