"""Result rows, one per request, answered or not; Arrow schema, JSON and docs follow from the class."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final, get_type_hints

from pipelines.requests.types import BadRequest
from videollm.errors import Status

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
"""A row as it is read from a file: column -> value."""

OK: Final = Status.OK.value
"""Status of a row that holds an answer; every other status comes with an `error`."""


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """What became of one request."""

    id: str
    """The request's own id, or one made of the video and a hash of what is asked."""
    video: str | None = None
    """The video as the user names it."""
    start: float | None = None
    """Seconds from the start of the video."""
    end: float | None = None
    """Seconds, exclusive."""
    question: str | None = None
    """What is asked."""
    prompt: str | None = None
    """The exact text the LLM is given, with `<video>` where visual tokens stand."""
    answer: str | None = None
    """What the LLM wrote."""
    finish_reason: str | None = None
    """`stop` (end token), `stop_string` or `length`; of a server, what it says (`content_filter`)."""
    status: Status
    """What became of the request; see the table of statuses."""
    error: str | None = None
    """Why there is no answer."""
    frame_indices: tuple[int, ...] = ()
    """Decoded frames, by their place in the whole video."""
    frame_seconds: tuple[float, ...] = ()
    """Their presentation times, from the first frame of the whole video."""
    missing_frames: tuple[int, ...] = ()
    """Frames that a damaged video lacks (`--allow-partial`)."""
    video_hash: str | None = None
    """Size of the video file and a hash of its content."""
    frame_height: int | None = None
    """Pixels of a decoded frame, from top to bottom."""
    frame_width: int | None = None
    """Pixels of a decoded frame, from left to right."""
    decoder: str | None = None
    """What decoded the frames: of `--decoder auto` and `nvdec`, the one that could; none for images."""
    num_prompt_tokens: int | None = None
    """Tokens of the prompt, visual tokens included."""
    num_visual_tokens: int | None = None
    """Visual tokens of the prompt."""
    num_generated_tokens: int | None = None
    """Tokens that the LLM generated."""
    model: str | None = None
    """Name of the model."""
    connector: str | None = None
    """Name of its connector; `none` where the model runs as a whole."""
    engine: str | None = None
    """What ran the model, with versions, where it ran as a whole (by another library, behind a server)."""
    frames_sent: str | None = None
    """In which form such a model was given the frames (JPEG of some quality and size, the file itself)."""
    note: str | None = None
    """What was changed in the question so that such a model could be asked (names of control tokens)."""
    decode_seconds: float = 0.0
    """This row's share of the time to decode its clip: a column's sum is the time spent."""
    encode_seconds: float = 0.0
    """This row's share of the time to encode its batch of clips."""
    generate_seconds: float = 0.0
    """This row's share of the time to answer its batch of questions."""
    parent: str | None = None
    """Id of the row of the whole video, where this one is of a part of it."""
    level: str | None = None
    """What part that is: `segment`, `chapter`, `summary` (of several chapters), or `video`."""
    segment: int | None = None
    """Its number among those of its level."""
    num_segments: int | None = None
    """Segments of the video, or of this part of it."""
    split_reason: str | None = None
    """Why the segment ends where it does: `fixed`, `cut`, `longest`, `given`, `end`, ..."""
    children_failed: int | None = None
    """Segments of this part that have no answer."""
    strategy: str | None = None
    """How a long video was searched for the answer (`--strategy`)."""
    evidence_start: tuple[float, ...] = ()
    """Seconds from the start of the video at which the evidence for the answer begins, best evidence first."""
    evidence_end: tuple[float, ...] = ()
    """Seconds at which it ends, exclusive."""
    evidence_scores: tuple[float, ...] = ()
    """How much more likely than not the question can be answered there: log p(yes) - log p(no)."""
    num_looks: int | None = None
    """Parts of the video that were looked at for the answer."""
    num_frames_scanned: int | None = None
    """Frames that the answer took, all looks together; questions of one video share them."""
    num_tokens_scanned: int | None = None
    """Tokens of all prompts that the answer took."""
    scores: tuple[float, ...] = ()
    """Log-likelihoods of the texts that the request asked to score."""
    fingerprint: str
    """Hash of what is asked."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to columns and their JSON-able values."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: list(v) if isinstance(v, tuple) else str(v) if name == "status" else v for name, v in values}


_ARROW: Final = {
    str: "string",
    Status: "string",
    float: "double",
    int: "int32",
    tuple[int, ...]: "list<int64>",
    tuple[float, ...]: "list<double>",
}


def _arrow_type(hint: Any) -> str:
    kinds = [text for kind, text in _ARROW.items() if hint in (kind, kind | None)]
    return kinds[0]


COLUMNS: Final = {name: _arrow_type(hint) for name, hint in get_type_hints(ResultRow).items()}
"""Column of the output -> Arrow type."""


def arrow_schema() -> pa.Schema:
    """Build the Arrow schema of the output's Parquet files."""
    import pyarrow as pa

    def typed(text: str) -> pa.DataType:
        inner = text.removeprefix("list<").removesuffix(">")
        return pa.type_for_alias(text) if inner == text else pa.list_(pa.type_for_alias(inner))

    return pa.schema([(name, typed(text)) for name, text in COLUMNS.items()])


def bad_request_row(bad: BadRequest) -> ResultRow:
    """Make the row of a manifest row that is no request."""
    return ResultRow(
        id=bad.id,
        video=bad.video,
        question=bad.question,
        status=Status.BAD_REQUEST,
        error=bad.error,
        fingerprint=bad.fingerprint,
    )


def column_descriptions() -> dict[str, str]:
    """Describe the columns, for docs: column -> description."""
    return _attribute_docstrings(ResultRow)


def status_descriptions() -> dict[str, str]:
    """Describe the statuses, for docs: status -> description."""
    return {str(Status[name]): text for name, text in _attribute_docstrings(Status).items()}


def _attribute_docstrings(cls: type) -> dict[str, str]:
    """Read the string under each attribute of a class from its source."""
    (parsed,) = ast.parse(dedent(inspect.getsource(cls))).body
    assert isinstance(parsed, ast.ClassDef)
    found: dict[str, str] = {}
    for line, below in pairwise(parsed.body):
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found |= {t.id: str(below.value.value) for t in targets if isinstance(t, ast.Name)}
    return found
