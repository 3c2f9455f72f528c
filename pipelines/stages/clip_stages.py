"""What the workers do with a clip: decode, encode, answer. Bad input is data: a failure is a row, never an exception.

Every stage takes works and their payloads (frames, or features from the cache, then visual tokens) and gives, for each,
either the work to carry on with and its new payload, or finished rows. Nothing here knows how the workers are run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.cli.options import FrameOptions, GenerationOptions, ModelOptions
from pipelines.requests.manifest import Entry, Task
from pipelines.results.schema import Facts, Row, answered, failed
from pipelines.stages.batching import reason, singly, split
from pipelines.stages.decoding.client import Decoder, Failure
from pipelines.stages.model_info import Card, card, identity
from videollm.features.codec import read_metadata, unpack
from videollm.features.key import make_key
from videollm.features.store import FeatureCache
from videollm.types import Answer as ModelAnswer
from videollm.types import Clip, FrameBatch, Request

if TYPE_CHECKING:
    from videollm.models.composed import VideoLLM
    from videollm.models.protocol import EncodedClip, Visual


@dataclass(frozen=True, kw_only=True)
class Work:
    """A clip on its way through the stages."""

    task: Task
    facts: Facts = field(default_factory=Facts)
    num_bytes: int = 0
    """Size of its payload."""
    batch: FrameBatch | None = None
    """What is known of its frames, where they are the payload."""
    key: str | None = None
    """Where to keep the features of its frames, if they should be."""
    cached: bool = False
    """Its features were in the cache: their entry takes the place of its frames."""
    layout: tuple[int | str, ...] = ()
    """How its visual tokens, which are the payload, stand in the prompt."""


Outcome = Work | list[Row]


class Stage(Protocol):
    """What a worker runs."""

    def run(self, works: Sequence[Work], *payloads: Any) -> list[Any]:
        """Outcomes of the works, then as many payloads (None with rows)."""


class Decode:
    """Frames of clips, one after the other, in a child process that may hang or die."""

    def __init__(
        self, card: Card, options: FrameOptions, timeout_seconds: float, cache: FeatureCache | None = None
    ) -> None:
        self.card, self.options, self.cache = card, options, cache
        self.decoder = Decoder(timeout_seconds=timeout_seconds)

    def run(self, works: Sequence[Work], *payloads: None) -> list[Any]:
        """Works become works with frames (t h w c) uint8, or with an entry of the cache (bytes as uint8)."""
        return _flat([self._one(w) for w in works])

    def _one(self, work: Work) -> tuple[Outcome, NDArray[np.uint8] | None]:
        began = time.perf_counter()
        key = self._key(work.task.clip)
        entry = self.cache.get(key) if self.cache is not None and key is not None else None
        looked_up_seconds = time.perf_counter() - began
        if entry is not None:
            known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in read_metadata(entry).items()}
            facts = Facts(**known, decode_seconds=looked_up_seconds)
            work = replace(work, facts=facts, num_bytes=len(entry), batch=None, key=None, cached=True)
            return work, np.frombuffer(entry, np.uint8)
        made = self.decoder.decode(work.task.clip, self.card.sampling, self.card.frame_size, self.options)
        if isinstance(made, Failure):
            facts = Facts(decode_seconds=time.perf_counter() - began)
            return list(failed(work.task, made.status, made.error, facts, self.card.identity)), None
        batch, seconds = made
        facts = Facts(
            frame_indices=batch.indices,
            frame_seconds=batch.seconds,
            missing_frames=batch.missing,
            video_hash=batch.video_hash,
            frame_height=batch.frames.shape[1],
            frame_width=batch.frames.shape[2],
            decode_seconds=looked_up_seconds + seconds,
        )
        without_frames = replace(batch, frames=batch.frames[:0])
        work = replace(work, facts=facts, num_bytes=batch.frames.nbytes, batch=without_frames, key=key, cached=False)
        return work, batch.frames

    def _key(self, clip: Clip) -> str | None:
        """Where the cache holds the features of a clip; None without a cache, or for what has no digest."""
        digest = None if self.cache is None else self.decoder.digest(clip.video)
        if digest is None:
            return None
        return make_key(
            content=digest,
            part={name: value for name, value in asdict(clip).items() if name != "video"},
            sampling=self.card.sampling,
            frame_size=self.card.frame_size,
            decoder=self.options.decoder,
            allow_partial=self.options.allow_partial,
            tower=self.card.tower,
        )


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """How requests are answered."""

    model: ModelOptions
    generation: GenerationOptions
    questions_per_batch: int
    num_threads: int | None = None
    """Threads of torch on the CPU; None leaves its own choice."""
    cache: FeatureCache | None = None
    """Keeps the features of the clips that are encoded."""


class Model:
    """A model, loaded when it is first needed."""

    def __init__(
        self, options: ModelOptions, num_threads: int | None = None, cache: FeatureCache | None = None
    ) -> None:
        self.options, self.num_threads, self.cache = options, num_threads, cache
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
            return card(self.model, frames, with_tower=self.cache is not None)
        except (ValueError, OSError) as error:
            return str(error)

    def get_problem(self) -> str | None:
        """What it could not do, though its rows are there."""
        return None if self.cache is None else self.cache.problem


class Encode(Model):
    """Visual tokens of clips, the frames of all of them in one forward."""

    def run(self, works: Sequence[Work], *payloads: NDArray[np.uint8]) -> list[Any]:
        """Frames, or entries of the cache, become visual tokens (n d), on the CPU."""
        made = encode(self.model, works, payloads, self.cache)
        return _flat([(w, None if v is None else v.tokens.cpu()) for w, v in made])


class Answer(Model):
    """Answers to all requests of clips."""

    def __init__(self, options: AnswerOptions) -> None:
        super().__init__(options.model, options.num_threads, options.cache)
        self.answers = options

    def run(self, works: Sequence[Work], *payloads: Any) -> list[Any]:
        """Visual tokens become rows."""
        from videollm.models.protocol import Visual

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
        """Frames, or entries of the cache, become rows."""
        made = encode(self.model, works, payloads, self.cache)
        kept = [(w, v) for w, v in made if isinstance(w, Work) and v is not None]
        rows = iter(answer(self.model, [w for w, _ in kept], [v for _, v in kept], self.answers))
        return _flat([(w if isinstance(w, list) else next(rows), None) for w, _ in made])


def encode(
    model: VideoLLM, works: Sequence[Work], payloads: Sequence[NDArray[np.uint8]], cache: FeatureCache | None = None
) -> list[tuple[Outcome, Visual | None]]:
    """Works with their visual tokens; or rows, and None.

    Args:
        payloads: frames of the works, or where they are `cached` the entries.
        cache: where to keep the features of the frames.
    """
    import torch

    began = time.perf_counter()
    with torch.inference_mode():
        clips = _encoded(model, works, payloads)
        for work, clip in zip(works, clips, strict=True):
            if cache is not None and work.key is not None and not isinstance(clip, Exception):
                cache.put(work.key, clip, work.facts.of_frames())
        connected = singly(model.connect, [c for c in clips if not isinstance(c, Exception)])
        in_order = iter(connected)
        visuals = [c if isinstance(c, Exception) else next(in_order) for c in clips]
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


def _encoded(
    model: VideoLLM, works: Sequence[Work], payloads: Sequence[NDArray[np.uint8]]
) -> list[EncodedClip | Exception]:
    """Clips as the tower sees them, those that it has not seen yet all at once."""

    def read(entries: Sequence[NDArray[np.uint8]]) -> list[EncodedClip]:
        return [unpack(e.tobytes(), model.device) for e in entries]

    pairs = list(zip(works, payloads, strict=True))
    seen = singly(read, [p for w, p in pairs if w.cached])
    new = singly(model.encode_frames, [replace(w.batch, frames=p) for w, p in pairs if w.batch is not None])
    in_order = iter(seen), iter(new)
    return [next(in_order[w.batch is not None]) for w in works]


def answer(
    model: VideoLLM, works: Sequence[Work], visuals: Sequence[Visual], options: AnswerOptions
) -> list[list[Row]]:
    """The rows of every work, one a request."""
    generation = options.generation.over(model.generation)

    def ask(items: Sequence[tuple[int, Entry]]) -> list[ModelAnswer]:
        clips: dict[int, list[Request]] = {}
        for i, entry in items:
            clips.setdefault(i, []).append(entry.request)
        made = model.answer_batch([(visuals[i], requests) for i, requests in clips.items()], generation)
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

    from pipelines.cli.config_values import read_connector_config
    from videollm.checkpoints import load
    from videollm.models.composed import VideoLLM

    if num_threads is not None:
        torch.set_num_threads(num_threads)
    model = load(
        options.model,
        connector=options.connector,
        connector_config=read_connector_config(options.connector, options.connector_config),
        connector_weights=options.connector_weights,
        thinking=options.thinking,
        engine=options.engine,
        device=options.device,
        dtype=options.dtype,
    )
    assert isinstance(model, VideoLLM)
    return model


def _flat(made: Sequence[tuple[Outcome, Any]]) -> list[Any]:
    return [[outcome for outcome, _ in made], *[payload for _, payload in made]]
