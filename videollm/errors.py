"""Statuses of result rows, and the exceptions whose message is for the user: got, expected, what to do.

Any other exception is a bug in the product, and shows itself as one.
"""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """Outcome of a request; every status but `ok` comes with an error."""

    OK = "ok"
    """Answered."""
    PARTIAL = "partial"
    """Summed up, or answered, from less than all parts of the video: some of them failed."""
    BAD_REQUEST = "bad_request"
    """The manifest row is no request: a field is missing, or has a value that cannot be used."""
    NOT_FOUND = "not_found"
    """There is no such video."""
    PERMISSION_DENIED = "permission_denied"
    """The video may not be read."""
    FETCH_ERROR = "fetch_error"
    """A remote video could not be fetched."""
    NO_VIDEO = "no_video"
    """The file is not a video, or holds no video stream that can be decoded."""
    BAD_RANGE = "bad_range"
    """The range of seconds is empty, or lies past the end of the video."""
    DECODE_ERROR = "decode_error"
    """The video is damaged where its frames are wanted."""
    MISSING_DEPENDENCY = "missing_dependency"
    """Reading the video takes a package that is not installed."""
    CHANGED = "changed"
    """The video is not the one whose parts were planned, or answered, before."""
    TIMEOUT = "timeout"
    """Decoding took longer than `--decode-timeout`."""
    DECODER_DIED = "decoder_died"
    """The video ended the decoding process, twice."""
    ENCODE_ERROR = "encode_error"
    """The vision tower or the connector failed on the clip."""
    GENERATE_ERROR = "generate_error"
    """The LLM failed on the question, or its prompt does not fit."""
    WORKER_DIED = "worker_died"
    """The clip ended every worker that it was given to, alone."""
    INTERNAL_ERROR = "internal_error"
    """The product itself failed on the clip; the log has the trace."""

    def __str__(self) -> str:
        return self.value


class VideollmError(Exception):
    """An expected failure; it survives pickling, so a worker can hand it to its driver.

    Args:
        status: kind of failure.
        message: got, expected and what to do, for a person.
    """

    def __init__(self, status: Status | str, message: str) -> None:
        super().__init__(message)
        self.status = Status(status)

    def __reduce__(self) -> tuple[type[VideollmError], tuple[Status, str]]:
        return type(self), (self.status, str(self))


class VideoError(VideollmError):
    """A video that cannot be read as asked."""


class EngineLost(VideollmError):  # noqa: N818 (what happened, not what was wrong)
    """The end of a model's engine, which processes or devices took along: the model must be loaded again."""

    def __init__(self, message: str) -> None:
        super().__init__(Status.WORKER_DIED, message)

    def __reduce__(self) -> tuple[type[EngineLost], tuple[str]]:  # type: ignore[override]
        return type(self), (str(self),)


class UserError(VideollmError, ValueError):
    """Something that was asked for and cannot be done: a wrong argument, a damaged file, a full disk."""

    def __init__(self, message: str) -> None:
        super().__init__(Status.BAD_REQUEST, message)

    def __reduce__(self) -> tuple[type[UserError], tuple[str]]:  # type: ignore[override]
        return type(self), (str(self),)
