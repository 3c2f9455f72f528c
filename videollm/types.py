"""Values that travel between the stages: plain, frozen, no behaviour.

SHAPES  t frames, h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video, or a part of it."""

    video: str
    """Path or URL of a video file, or of a folder of images."""
    start: float | None = None
    """Seconds from the start of the video; None is its first frame."""
    end: float | None = None
    """Seconds, exclusive; None is the end of the video."""
    cut_end: bool = False
    """Whether an end past that of the video means that of the video, instead of an error."""
    fps: float | None = None
    """Frames per second of a folder of images; None is 1."""


@dataclass(frozen=True, kw_only=True)
class FrameBatch:
    """Frames decoded from one clip, and where they come from."""

    frames: NDArray[np.uint8]
    """(t h w c) RGB."""
    indices: tuple[int, ...]
    """Display index of every frame in the whole video."""
    seconds: tuple[float, ...]
    """Presentation time of every frame, from the first frame of the whole video."""
    missing: tuple[int, ...] = ()
    """Indices asked for that could not be decoded (only with allow_partial; they are not in `frames`)."""
    model_seconds: tuple[float, ...] = ()
    """Times that the model is told, where the sampling has its own (`fps_pack`, `fps_filter`); -1 for a still image."""
    video_hash: str | None = None
    """Hash of the video's content, as `videollm.io.quick_hash` makes it; None for a folder of images."""
    packing: int = 1
    """Consecutive frames that share one set of visual tokens (`fps_pack`)."""
    fps: float = 0.0
    """Average frames per second of the video; 0 where it is not known."""
    num_in_range: int = 0
    """Frames of the video, or of the part of it, that these were chosen from; 0 where it is not known."""
    decoder: str | None = None
    """What decoded them, by its name in DECODERS, which of `auto` and `nvdec` depends on the file; None where it is not
    known."""

    @property
    def still(self) -> bool:
        """Whether this is a still image, which has no time."""
        return bool(self.model_seconds) and self.model_seconds[0] < 0


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the visual tokens of a span lie, for positions with rows and columns."""

    grid: tuple[int, int, int] | None
    """Frames, rows and columns, the tokens in raster order; None where they lie in no grid."""
    clock: tuple[float, ...] = ()
    """Seconds of each frame of the grid; () where frames are numbered."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How answers are generated. The defaults are greedy."""

    max_new_tokens: int = 256
    """Tokens after which an answer is cut."""
    temperature: float = 0.0
    """0 is greedy; above 0 samples."""
    top_p: float = 1.0
    """Smallest set of tokens with this probability is sampled from; 1 is off."""
    top_k: int = 0
    """Number of likeliest tokens sampled from; 0 is off."""
    repetition_penalty: float = 1.0
    """Divides the logits of tokens already generated; 1 is off."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer (and are cut from it)."""
    seed: int = 0
    """Seed of sampling; with a request's id it fixes its answer, whatever else is in the batch."""


@dataclass(frozen=True, kw_only=True)
class Cue:
    """One subtitle."""

    start: float
    """Seconds from the start of the video."""
    end: float
    """Seconds, exclusive."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Subtitles:
    """Subtitles of a whole video; the model is shown those of the frames it sees, before the question."""

    cues: tuple[Cue, ...]
    heading: str = "This video's subtitles are listed below:"


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a long video is searched by for an answer."""

    stem: str
    """The question without the options to choose from."""
    options: tuple[str, ...] = ()
    """Those options."""
    lettered: bool = True
    """Whether the question shows them with letters, by which an answer names them."""
    probes: tuple[str, ...] = ()
    """Questions of yes or no, asked of each part of the video; yes is where the evidence lies. Of an order of two
    events, one for each, the first one named first. None are made of the stem."""
    kind: str | None = None
    """A name in KINDS of `pipelines.timelines.questions`; None is told from the words of the stem."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question on one clip."""

    id: str
    clip: Clip
    question: str
    options: tuple[str, ...] = ()
    """Answers to choose from, shown to the model as (A), (B), ..."""
    subtitles: Subtitles | None = None
    system: str | None = None
    ocr: str | None = None
    """Text in the pictures as a reader of text found it, pieces with `, ` between; for models that take it."""
    max_new_tokens: int | None = None
    """Overrides the job's setting for this request."""
    continuations: tuple[str, ...] = ()
    """Texts to score in the place of an answer: the log-likelihood of each after the prompt is wanted."""
    seen: bool = True
    """Whether the model is shown the clip; False asks about text alone."""
    search: Search | None = None
    """How its video is searched, by strategies that do; None is told from the question."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """Memory for keys and values."""

    needed: int
    """Bytes that a clip takes, with all its prompts, from beginning to end."""
    available: int
    """Bytes that there are for all clips under way."""
    max_prompts: int
    """Most prompts under way, however much memory there is."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What the LLM wrote for one prompt."""

    text: str
    ids: tuple[int, ...]
    finish_reason: str
    """`stop` (end token), `stop_string` or `length`; `scored` where continuations were scored instead."""
    scores: tuple[float, ...] = ()
    """Log-likelihood of each continuation, natural logarithm."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A completion with what it was made from."""

    text: str
    prompt: str
    """The exact prompt, with `<video>` where the visual tokens stand."""
    finish_reason: str
    num_visual_tokens: int | None
    """None where what ran the model does not tell; so below."""
    num_prompt_tokens: int | None = 0
    """Tokens of the prompt, visual tokens included."""
    num_generated_tokens: int | None = 0
    engine: str | None = None
    """What ran the model, with versions, where it ran as a whole: by another library, or behind a server."""
    frames_sent: str | None = None
    """In which form it was given the frames, where that is not ours to choose freely (JPEG, the file)."""
    note: str | None = None
    """What was changed in the question so that the model could be asked (names of control tokens)."""
    scores: tuple[float, ...] = ()
    """Log-likelihood of each of the request's continuations, natural logarithm; the text is then empty."""
    frame_indices: tuple[int, ...] = field(default=())
    frame_seconds: tuple[float, ...] = field(default=())
