"""The one exception of the video layer: what was got, what was expected, what to do."""

from __future__ import annotations

from typing import Literal

Status = Literal[
    "not_found", "permission_denied", "no_video", "bad_range", "decode_error", "fetch_error", "missing_dependency"
]


class VideoError(Exception):
    """A video that cannot be read as asked; it survives pickling, so a worker can hand it to its driver.

    Args:
        status: kind of failure, the word that ends up in a job's output row.
        message: got, expected and what to do, for a person.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status: Status = status

    def __reduce__(self) -> tuple[type[VideoError], tuple[Status, str]]:
        return VideoError, (self.status, str(self))
