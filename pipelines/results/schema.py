"""Result rows: one per request, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from pipelines.requests.manifest import Entry, Refused, Task
from videollm.types import Answer

Row = dict[str, Any]

OK: Final = "ok"
"""Status of a row that holds an answer; every other status comes with an `error`."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a clip after some stages."""

    frame_indices: tuple[int, ...] = ()
    frame_seconds: tuple[float, ...] = ()
    missing_frames: tuple[int, ...] = ()
    video_hash: str | None = None
    frame_height: int | None = None
    frame_width: int | None = None
    decode_seconds: float = 0.0
    encode_seconds: float = 0.0

    def of_frames(self) -> dict[str, Any]:
        """Those that are the same however long it took to learn them."""
        return {k: v for k, v in asdict(self).items() if k not in ("decode_seconds", "encode_seconds")}

    def shared_by(self, num_requests: int) -> Facts:
        """The same for one of so many requests on the clip: seconds are divided, so that a column's sum is right."""
        return replace(
            self, decode_seconds=self.decode_seconds / num_requests, encode_seconds=self.encode_seconds / num_requests
        )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who answers."""

    model: str
    connector: str


def answered(entry: Entry, answer: Answer, facts: Facts, identity: Identity, seconds: float) -> Row:
    """The row of a request that was answered.

    Args:
        facts: this request's share of them.
        seconds: its share of generating.
    """
    return _row(entry, facts, identity) | {
        "prompt": answer.prompt,
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "status": OK,
        "num_visual_tokens": answer.num_visual_tokens,
        "generate_seconds": seconds,
    }


def failed(task: Task, status: str, error: str, facts: Facts, identity: Identity) -> Iterator[Row]:
    """The rows of a clip that could not be decoded, encoded or asked about."""
    for entry in task.entries:
        yield _row(entry, facts.shared_by(len(task.entries)), identity) | {"status": status, "error": error}


def refused(bad: Refused) -> Row:
    """The row of a manifest row that is no request."""
    row = dict.fromkeys(COLUMNS) | {"frame_indices": [], "frame_seconds": [], "missing_frames": []}
    row |= {"id": bad.id, "video": bad.video, "question": bad.question, "fingerprint": bad.fingerprint}
    row |= {"status": "bad_request", "error": bad.error}
    return row | {"decode_seconds": 0.0, "encode_seconds": 0.0, "generate_seconds": 0.0}


def _row(entry: Entry, facts: Facts, identity: Identity) -> Row:
    return dict.fromkeys(COLUMNS) | {
        "id": entry.request.id,
        "video": entry.video,
        "start": entry.request.clip.start,
        "end": entry.request.clip.end,
        "question": entry.request.question,
        "frame_indices": list(facts.frame_indices),
        "frame_seconds": list(facts.frame_seconds),
        "missing_frames": list(facts.missing_frames),
        "video_hash": facts.video_hash,
        "frame_height": facts.frame_height,
        "frame_width": facts.frame_width,
        "model": identity.model,
        "connector": identity.connector,
        "decode_seconds": facts.decode_seconds,
        "encode_seconds": facts.encode_seconds,
        "generate_seconds": 0.0,
        "fingerprint": entry.fingerprint,
    }


COLUMNS: Final = {
    "id": "string",
    "video": "string",
    "start": "double",
    "end": "double",
    "question": "string",
    "prompt": "string",
    "answer": "string",
    "finish_reason": "string",
    "status": "string",
    "error": "string",
    "frame_indices": "list<int64>",
    "frame_seconds": "list<double>",
    "missing_frames": "list<int64>",
    "video_hash": "string",
    "frame_height": "int32",
    "frame_width": "int32",
    "num_visual_tokens": "int32",
    "model": "string",
    "connector": "string",
    "decode_seconds": "double",
    "encode_seconds": "double",
    "generate_seconds": "double",
    "fingerprint": "string",
}
"""Column of the output -> Arrow type."""
