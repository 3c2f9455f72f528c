"""Stages: what workers do with clips on the way from a task to its rows.

A stage takes items (a clip, its requests, what is known so far, and a payload) and says of each either that it goes on
to the next stage, or that it is finished and these are its rows. Bad input is data: a failure is a row, never an
exception. Stages know nothing of how they are run, and executors know nothing of models and rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.requests.types import ClipTask, JobRequest
from pipelines.results.schema import ResultRow
from videollm.errors import Status
from videollm.types import Answer, FrameBatch

if TYPE_CHECKING:
    from videollm.models.protocol import Visual
    from videollm.video.surveys import Survey


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """Facts of a clip that stages add on the way."""

    frame_indices: tuple[int, ...] = ()
    frame_seconds: tuple[float, ...] = ()
    missing_frames: tuple[int, ...] = ()
    video_hash: str | None = None
    frame_height: int | None = None
    frame_width: int | None = None
    decoder: str | None = None
    decode_seconds: float = 0.0
    encode_seconds: float = 0.0

    def without_timings(self) -> dict[str, Any]:
        """Return a copy without the timings."""
        return {k: v for k, v in asdict(self).items() if k not in ("decode_seconds", "encode_seconds")}

    def split_across(self, num_requests: int) -> ClipInfo:
        """Return the share of one of the clip's requests: seconds are divided, so that a column's sum is right."""
        return replace(
            self, decode_seconds=self.decode_seconds / num_requests, encode_seconds=self.encode_seconds / num_requests
        )


@dataclass(frozen=True, kw_only=True)
class Item:
    """A clip with its requests on the way through the stages. It pickles; so does its payload."""

    task: ClipTask
    model: str
    """Name of the model, for rows."""
    connector: str
    """Name of the model's connector, for rows."""
    info: ClipInfo = field(default_factory=ClipInfo)
    payload: FrameBatch | NDArray[np.uint8] | Visual | None = None
    """Frames, or an entry of the feature cache in their place, then visual tokens on the CPU."""
    num_bytes: int = 0
    """Size of the payload, for executors that bound how much is under way; kept where the payload is not."""
    feature_key: str | None = None
    """Key under which the features of the frames are to be kept, if they are."""
    from_cache: bool = False
    """Whether the payload is, or was made from, an entry of the feature cache."""
    warnings: tuple[str, ...] = ()
    """What could not be done though the rows are there (features that could not be kept)."""

    def without_payload(self) -> Item:
        """Return the item without payload, for executors that move payloads separately."""
        return replace(self, payload=None)

    def restarted(self) -> Item:
        """Return the item as before the first stage, for executors that lost an item on the way."""
        return Item(task=self.task, model=self.model, connector=self.connector)

    def fail(self, status: Status, error: str, *, trace: str | None = None) -> Finished:
        """Give up on all requests of the clip.

        Args:
            error: for the rows, one line.
            trace: of a bug of ours, for the log.
        """
        return self.finish([self.failed(r, status, error) for r in self.task.requests], trace=trace)

    def finish(self, rows: Sequence[ResultRow], *, trace: str | None = None) -> Finished:
        """Give the rows of all requests of the clip."""
        return Finished(
            rows=tuple(rows), key=self.task.key, from_cache=self.from_cache, warnings=self.warnings, trace=trace
        )

    def found(self, *, survey: Survey | None = None, pooled: Sequence[float] = ()) -> Finished:
        """Give what was asked for in the place of rows."""
        return replace(self.finish([]), survey=survey, pooled=tuple(pooled))

    def failed(self, request: JobRequest, status: Status, error: str) -> ResultRow:
        """Make the row of a request that has no answer."""
        return ResultRow(**self._columns(request), status=status, error=error)

    def answered(self, request: JobRequest, answer: Answer, seconds: float) -> ResultRow:
        """Make the row of a request that has an answer.

        Args:
            seconds: the request's share of the time to generate.
        """
        columns = self._columns(request)
        if answer.frames_sent is not None and not answer.frame_indices:  # the video itself: frames were not ours
            columns |= {"frame_indices": (), "frame_seconds": (), "frame_height": None, "frame_width": None}
        return ResultRow(
            **columns,
            status=Status.OK,
            prompt=answer.prompt,
            answer=answer.text,
            finish_reason=answer.finish_reason,
            num_prompt_tokens=answer.num_prompt_tokens,
            num_visual_tokens=answer.num_visual_tokens,
            num_generated_tokens=answer.num_generated_tokens,
            engine=answer.engine,
            frames_sent=answer.frames_sent,
            note=answer.note,
            scores=answer.scores,
            generate_seconds=seconds,
        )

    def _columns(self, request: JobRequest) -> dict[str, Any]:
        return {
            "id": request.id,
            "video": request.video,
            "start": request.clip.start,
            "end": request.clip.end,
            "question": request.question,
            "model": self.model,
            "connector": self.connector,
            "fingerprint": request.fingerprint,
            **vars(self.info.split_across(len(self.task.requests))),
        }


@dataclass(frozen=True, kw_only=True)
class Advance:
    """The item goes on to the next stage."""

    item: Item


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The clip is done: a row for each of its requests."""

    rows: tuple[ResultRow, ...]
    key: str = ""
    """The task's own."""
    survey: Survey | None = None
    """What is known of the video, where that was asked for; there are no rows then."""
    pooled: tuple[float, ...] = ()
    """Mean of the tower's features over all patches and frames, where that was asked for; likewise."""
    from_cache: bool = False
    """Whether its features came from the feature cache."""
    warnings: tuple[str, ...] = ()
    trace: str | None = None
    """Of a bug of ours, for the log."""


StageResult = Advance | Finished


class Stage(ABC):
    """Work on items: made from a Config that pickles, set up once, run many times, torn down.

    One thread makes a stage and calls it.
    """

    guards_itself: ClassVar[bool] = False
    """Whether no item can kill its process or hang its calls, for it runs them in a child process of its own."""

    @abstractmethod
    def run(self, items: Sequence[Item]) -> list[StageResult]:
        """Process items into one result each, in order. An item's failure is its rows, never an exception."""

    def setup(self, folder: Path | None = None) -> Any:
        """Load the models and start the processes of the stage.

        Args:
            folder: where the spec's `folder` lies on this machine; None: where the spec says.
        Returns:
            A description of the stage for others (`Executor.describe`); it pickles.
        Raises:
            UserError: loading fails, and would in any other worker of this stage.
        """
        return None

    def teardown(self) -> None:  # noqa: B027 (most stages hold nothing)
        """Release the stage's child processes and memory."""


class RunningStage(Stage):
    """A stage that items join and leave at any time; it is the last one, so that all its results are rows."""

    @property
    @abstractmethod
    def num_items(self) -> int:
        """Items that joined and have not left."""

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether more items would be worked on at once."""

    @abstractmethod
    def add(self, items: Mapping[int, Item]) -> None:
        """Let items join, by names that `advance` returns."""

    @abstractmethod
    def advance(self) -> dict[int, Finished]:
        """Do the next piece of work, and return the ends of items that leave."""

    @abstractmethod
    def clear(self) -> None:
        """Give all items up."""

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        """Take items to their ends, with nothing beside them."""
        self.add(dict(enumerate(items)))
        ends: dict[int, Finished] = {}
        while self.num_items:
            ends |= self.advance()
        return [ends[i] for i in range(len(items))]


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """A stage for workers to build, and their number. It pickles."""

    stage: type[Stage]
    config: Any
    """The stage's only argument."""
    num_workers: int = 1
    """Workers on the machine, or the cluster as it is now."""
    elastic: bool = False
    """Whether the number may follow the cluster as it grows and shrinks (the user named none)."""
    batch_size: int = 1
    """Most items per call; an idle worker takes fewer."""
    timeout_seconds: float = 3600.0
    """Most seconds per call: an executor that runs the stage in a child process takes a longer call for hung."""
    num_cpus: float = 1
    num_gpus: float = 0
    folder: Path | None = None
    """Folder that workers need; where they do not see it, an executor brings a copy and hands it to `setup`."""

    @property
    def name(self) -> str:
        """How logs and status name the stage."""
        return self.stage.__name__

    def build(self) -> Stage:
        """Make the stage, not set up yet."""
        stage: Any = self.stage
        made: Stage = stage(self.config)
        return made


@dataclass(frozen=True, kw_only=True)
class StageCall:
    """One call of a stage, for logs and counters."""

    stage: str
    worker: str
    """host:pid."""
    began: float
    """Seconds since the epoch."""
    seconds: float
    num_items: int
    num_finished: int
    num_failed: int
    """Rows that hold no answer."""
