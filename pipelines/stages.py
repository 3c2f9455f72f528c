"""What the workers do with a clip: decode, encode, answer. Bad input is data: a failure is a row, never an exception.

Every stage takes works and their payloads (frames, then visual tokens) and gives, for each, either the work to carry
on with and its new payload, or finished rows. Nothing here knows how the workers are run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.card import Card, card, identity
from pipelines.decoder import Decoder, Failure
from pipelines.job import FrameOptions, ModelOptions
from pipelines.manifest import Entry, Task
from pipelines.rows import Facts, Row, answered, failed
from videollm.types import Answer as ModelAnswer
from videollm.types import FrameBatch, Generation, Request

if TYPE_CHECKING:
    from videollm.model import VideoLLM, Visual

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Work:
    """A clip on its way through the stages."""

    task: Task
    facts: Facts = field(default_factory=Facts)
    num_bytes: int = 0
    """Size of its payload."""
    batch: FrameBatch | None = None
    """What is known of its frames, which are the payload."""
    layout: tuple[int | str, ...] = ()
    """How its visual tokens, which are the payload, stand in the prompt."""


Outcome = Work | list[Row]


class Stage(Protocol):
    """What a worker runs."""

    def run(self, works: Sequence[Work], *payloads: Any) -> list[Any]:
        """Outcomes of the works, then as many payloads (None with rows)."""


class Decode:
    """Frames of clips, one after the other, in a child process that may hang or die."""

    def __init__(self, card: Card, options: FrameOptions, timeout_seconds: float) -> None:
        self.card, self.options = card, options
        self.decoder = Decoder(timeout_seconds=timeout_seconds)

    def run(self, works: Sequence[Work], *payloads: None) -> list[Any]:
        """Works become works with frames (t h w c) uint8."""
        return _flat([self._one(w) for w in works])

    def _one(self, work: Work) -> tuple[Outcome, NDArray[np.uint8] | None]:
        began = time.perf_counter()
        made = self.decoder.decode(work.task.clip, self.card.sampling, self.card.frame_size, self.options)
        if isinstance(made, Failure):
            facts = Facts(decode_seconds=time.perf_counter() - began)
            return list(failed(work.task, made.status, made.error, facts, self.card.identity)), None
        batch, seconds = made
        facts = Facts(
            frame_indices=batch.indices,
            frame_seconds=batch.seconds,
            missing_frames=batch.missing,
            frame_height=batch.frames.shape[1],
            frame_width=batch.frames.shape[2],
            decode_seconds=seconds,
        )
        known = replace(batch, frames=batch.frames[:0])
        return replace(work, facts=facts, num_bytes=batch.frames.nbytes, batch=known), batch.frames


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """How requests are answered."""

    model: ModelOptions
    generation: Generation
    questions_per_batch: int
    num_threads: int | None = None
    """Threads of torch on the CPU; None leaves its own choice."""


class Model:
    """A model, loaded when it is first needed."""

    def __init__(self, options: ModelOptions, num_threads: int | None = None) -> None:
        self.options, self.num_threads = options, num_threads
        self._model: VideoLLM | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def model(self) -> VideoLLM:
        """The model itself."""
        if self._model is None:
            name = self.options.model
            here = name if self._folder is None else self._folder.name
            self._model = load_model(replace(self.options, model=here), self.num_threads)
            self._model.name = name
        return self._model

    def install(self, names: Sequence[str], *files: NDArray[np.uint8]) -> None:
        """Take the files of a model folder that this machine does not see."""
        if not Path(self.options.model).is_dir():
            self._folder = tempfile.TemporaryDirectory(prefix="videollm-")
            for name, data in zip(names, files, strict=True):
                (Path(self._folder.name) / name).write_bytes(data.data)

    def card(self, frames: FrameOptions) -> Card | str:
        """What the other stages must know, or why the model cannot be loaded."""
        try:
            return card(self.model, frames)
        except (ValueError, OSError) as error:
            return str(error)


class Encode(Model):
    """Visual tokens of clips, the frames of all of them in one forward."""

    def __init__(self, options: ModelOptions, num_threads: int | None = None) -> None:
        super().__init__(replace(options, engine="builtin"), num_threads)  # it answers nothing, so it starts none

    def run(self, works: Sequence[Work], *payloads: NDArray[np.uint8]) -> list[Any]:
        """Frames become visual tokens (n d), on the CPU."""
        made = encode(self.model, works, payloads)
        return _flat([(w, None if v is None else v.tokens.cpu()) for w, v in made])


class Answer(Model):
    """Answers to all requests of clips."""

    def __init__(self, options: AnswerOptions) -> None:
        super().__init__(options.model, options.num_threads)
        self.answers = options

    def run(self, works: Sequence[Work], *payloads: Any) -> list[Any]:
        """Visual tokens become rows."""
        from videollm.model import Visual

        visuals = [
            Visual(
                tokens=tokens.to(self.model.device),
                frame_indices=w.facts.frame_indices,
                frame_seconds=w.facts.frame_seconds,
                layout=w.layout,
            )
            for w, tokens in zip(works, payloads, strict=True)
        ]
        return _flat([(rows, None) for rows in answer(self.model, works, visuals, self.answers)])


class EncodeAnswer(Answer):
    """Encode and answer with one copy of the model, without a hop between them."""

    def run(self, works: Sequence[Work], *payloads: NDArray[np.uint8]) -> list[Any]:
        """Frames become rows."""
        made = encode(self.model, works, payloads)
        kept = [(w, v) for w, v in made if isinstance(w, Work) and v is not None]
        rows = iter(answer(self.model, [w for w, _ in kept], [v for _, v in kept], self.answers))
        return _flat([(w if isinstance(w, list) else next(rows), None) for w, _ in made])


def encode(
    model: VideoLLM, works: Sequence[Work], frames: Sequence[NDArray[np.uint8]]
) -> list[tuple[Outcome, Visual | None]]:
    """Works with their visual tokens; or rows, and None."""
    batches = [replace(w.batch, frames=f) for w, f in zip(works, frames, strict=True) if w.batch is not None]
    began = time.perf_counter()
    visuals = singly(model.encode, batches)
    seconds = (time.perf_counter() - began) / max(len(works), 1)
    made: list[tuple[Outcome, Visual | None]] = []
    for work, visual in zip(works, visuals, strict=True):
        facts = replace(work.facts, encode_seconds=seconds)
        if isinstance(visual, Exception):
            made.append((list(failed(work.task, "encode_error", reason(visual), facts, identity(model))), None))
        else:
            num_bytes = visual.tokens.element_size() * visual.tokens.numel()
            made.append((replace(work, facts=facts, num_bytes=num_bytes, batch=None, layout=visual.layout), visual))
    return made


def answer(
    model: VideoLLM, works: Sequence[Work], visuals: Sequence[Visual], options: AnswerOptions
) -> list[list[Row]]:
    """The rows of every work, one a request."""

    def ask(items: Sequence[tuple[int, Entry]]) -> list[ModelAnswer]:
        clips: dict[int, list[Request]] = {}
        for i, entry in items:
            clips.setdefault(i, []).append(entry.request)
        made = model.answer_batch([(visuals[i], requests) for i, requests in clips.items()], options.generation)
        return [a for of_clip in made for a in of_clip]

    rows: list[list[Row]] = [[] for _ in works]
    asked = [(i, entry) for i, w in enumerate(works) for entry in w.task.entries]
    for run in split([len(w.task.entries) for w in works], options.questions_per_batch):
        began = time.perf_counter()
        answers = singly(ask, asked[run])
        seconds = (time.perf_counter() - began) / len(answers)
        for (i, entry), made in zip(asked[run], answers, strict=True):
            facts = works[i].facts.shared_by(len(works[i].task.entries))
            if isinstance(made, Exception):
                alone = replace(works[i].task, entries=(entry,))
                rows[i] += failed(alone, "generate_error", reason(made), facts, identity(model))
            else:
                rows[i].append(answered(entry, made, facts, identity(model), seconds))
    return rows


def load_model(options: ModelOptions, num_threads: int | None = None) -> VideoLLM:
    """The model that the options name.

    Raises:
        ValueError: there is none, or it does not load.
    """
    import torch

    from connectors import read_settings
    from videollm.checkpoints import load

    if num_threads is not None:
        torch.set_num_threads(num_threads)
    return load(
        options.model,
        connector=options.connector,
        connector_config=read_settings(options.connector, options.connector_config),
        connector_weights=options.connector_weights,
        thinking=options.thinking,
        engine=options.engine,
        device=options.device,
        dtype=options.dtype,
    )


def singly(call: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R | Exception]:
    """Results of a call on all items; if it fails, of one call an item, so that a bad item fails alone."""
    if not items:
        return []
    try:
        return list(call(items))
    except Exception as error:  # out of memory, a prompt that is too long, a fault of the model: data, not the end
        problem = error.with_traceback(None)
    _release()
    return [problem] if len(items) == 1 else [r for item in items for r in singly(call, [item])]


def split(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Runs of at most `limit` items in a row of groups; a group is divided only if it does not fit into a run alone.

    Args:
        sizes: items of each group.
    """
    start = end = 0
    for size in sizes:
        if end > start and end - start + size > limit:
            yield slice(start, end)
            start = end
        end += size
        while end - start > limit:
            yield slice(start, start + limit)
            start += limit
    if end > start:
        yield slice(start, end)


def _flat(made: Sequence[tuple[Outcome, Any]]) -> list[Any]:
    return [[outcome for outcome, _ in made], *[payload for _, payload in made]]


def _release() -> None:
    """Give cached GPU memory back, for a retry after running out of it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def reason(error: Exception) -> str:
    """An exception as a row's error."""
    return f"{type(error).__name__}: {error}"
