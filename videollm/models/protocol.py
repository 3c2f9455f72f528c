"""The interface of a model that answers questions on clips, and the values that pass through it.

    decode        Clip -> FrameBatch                 frames, as the model samples and sizes them
    encode_frames FrameBatch -> EncodedClip          the vision tower's half: what the feature cache keeps
    connect       EncodedClip (, questions) -> Visual   the connector's half: may depend on the questions
    answer_batch  Visual, Request -> Answer          the LLM

Importing this takes no torch, so that processes which only hand these values on stay light.

SHAPES  n visual tokens, d_llm LLM width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, overload

from videollm.errors import UserError
from videollm.models.answering import Answering, InTurn
from videollm.types import Answer, Clip, FrameBatch, Generation, Places, Request

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from connectors import ClipFeatures
    from videollm.video.sampling import Sampling


NO_SCORES: Final = "it cannot score texts exactly. Use --engine builtin or transformers, or ask for answers."
"""What is said where a request brings continuations."""


@dataclass(frozen=True, kw_only=True)
class EncodedClip:
    """A clip as the tower sees it, of which any connector can make visual tokens."""

    features: tuple[ClipFeatures, ...]
    """One for each group of pictures that share visual tokens: one in all, unless the model packs or slices."""
    around: tuple[tuple[str, str], ...]
    """Text in front of and behind the visual tokens of each group."""
    labels: tuple[tuple[tuple[str, str], ...], ...] = ()
    """For each group, text in front of and behind each frame of features, written in the place of `around` where the
    connector keeps frames apart; () where the model writes none."""
    clocks: tuple[tuple[float, ...], ...] = ()
    """For each group, the time of each frame of features on the axis of the LLM's positions, in seconds; () where there
    is none."""
    frame_indices: tuple[int, ...]
    frame_seconds: tuple[float, ...]

    def mean_features(self) -> list[float]:
        """Average the features over all patches and frames (d values): what the clip looks like, on the whole."""
        import torch

        patches = [frame.flatten(0, 1) for group in self.features for frame in group.frames]
        mean: list[float] = torch.cat(patches).float().mean(0).tolist()
        return mean


@dataclass(frozen=True, kw_only=True)
class Visual:
    """A clip as the LLM sees it."""

    tokens: Tensor
    """(n d_llm)."""
    frame_indices: tuple[int, ...]
    frame_seconds: tuple[float, ...]
    layout: tuple[int | str, ...] = ()
    """Spans of the visual tokens, each by its number of them, and the text around the spans; () is one span."""
    places: tuple[Places, ...] = ()
    """Of each span, where the LLM's positions have rows and columns; () where they have not."""
    deep: Tensor | None = None
    """(l n d_llm), added to the hidden states of the visual tokens after each of the LLM's first l layers."""
    asked: Mapping[str, Visual] = field(default_factory=dict)
    """By question, where tokens depend on the question and `connect` was given some; these are then for none."""

    @property
    def num_bytes(self) -> int:
        """Size of all tokens in memory."""
        tensors = [t for t in (self.tokens, self.deep) if t is not None]
        own: int = sum(t.element_size() * t.numel() for t in tensors)
        return own + sum(visual.num_bytes for visual in self.asked.values())

    def of(self, question: str) -> Visual:
        """Return the clip as the LLM sees it when it is asked a question.

        Raises:
            UserError: tokens depend on the question, and were made for others.
        """
        if not self.asked:
            return self
        if question not in self.asked:
            raise UserError(
                f"The clip's visual tokens were made for {len(self.asked)} questions; {question!r} is none of them. "
                "Give the questions that will be asked to `connect` or `encode`."
            )
        return self.asked[question]

    def to(self, device: torch.device | str) -> Visual:
        """Move all tokens to a device."""
        return replace(
            self,
            tokens=self.tokens.to(device),
            deep=None if self.deep is None else self.deep.to(device),
            asked={question: visual.to(device) for question, visual in self.asked.items()},
        )


def seen_by(request: Request, visual: Visual | None) -> Visual | None:
    """Return what a model is shown for a request; None where it asks about text alone.

    Raises:
        UserError: it asks about a clip, and there is none.
    """
    if not request.seen:
        return None
    if visual is None:
        raise UserError(f"Request {request.id!r} asks about a clip, and came without one. Give it, or ask seen=False.")
    return visual


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Facts of a model for stages, rows and run.json; the last fields are known of a loaded model only."""

    name: str
    connector: str
    sampling: dict[str, Any]
    """The model's own choice of frames, for Sampling.from_dict."""
    frame_size: dict[str, Any] | None
    """Size of frames that is asked of the decoder: fields of FrameSize; None is full size."""
    generation: dict[str, Any]
    """Generation settings of the model's makers: fields of Generation."""
    takes_ocr: bool = False
    """Whether a request may bring text found in the pictures."""
    can_score: bool = False
    """Whether a request may bring continuations; with --engine vllm, of one token each."""
    context_tokens: int | None = None
    """Tokens that the LLM's context holds, visual tokens and answer included; None where it is not known."""
    notice: str | None = None
    """One line that users should see before they trust the answers."""
    revision: str | None = None
    """Commit of the hub's repository, where the model comes from one."""
    device: str | None = None
    dtype: str | None = None
    attention: str | None = None
    """Implementation of the LLM's attention."""
    steps: str | None = None
    """How the LLM's steps run on a GPU: captured, or why not."""
    tower_key: str | None = None
    """Hash of all that the features of given frames depend on, where it was asked for."""

    @property
    def loaded(self) -> dict[str, Any] | None:
        """Facts that only a loaded model knows, for run.json; None before the model is loaded."""
        names = ("revision", "device", "dtype", "attention", "steps", "generation")
        return None if self.device is None else {name: getattr(self, name) for name in names}


class VideoModel(ABC):
    """A model that answers questions on clips; batches equal single clips, token for token."""

    name: str
    """How answers name the model."""
    connector_name: str
    sampling: Sampling
    """The model's own choice of frames."""
    generation: Generation
    """Generation settings of the model's makers."""
    notice: str | None
    revision: str | None

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the weights lie."""

    @abstractmethod
    def describe(self, *, with_tower_key: bool = False) -> ModelInfo:
        """Describe the model.

        Args:
            with_tower_key: hash the tower's weights too, which takes a second per GB of them.
        """

    @abstractmethod
    def decode(self, clip: Clip | str | Path, **options: Any) -> FrameBatch:
        """Decode the frames of a clip as this model samples and sizes them.

        Args:
            options: as for `videollm.video.decoding.decode.decode`; `sampling` in the place of the model's own.
        Raises:
            VideoError: the clip cannot be decoded.
        """

    @abstractmethod
    def encode_frames(self, batches: Sequence[FrameBatch]) -> list[EncodedClip]:
        """Run the vision tower on clips, with gradients for the parameters that want them."""

    @abstractmethod
    def connect(self, clips: Sequence[EncodedClip], questions: Sequence[Sequence[str]] | None = None) -> list[Visual]:
        """Run the connector on encoded clips, with gradients for the parameters that want them.

        Args:
            questions: of each clip, all that will be asked of it, for connectors whose tokens depend on the question;
                None makes tokens for no question.
        Raises:
            UserError: the connector cannot take a clip (too few frames, for instance).
        """

    @abstractmethod
    def answer_batch(
        self,
        items: Sequence[tuple[Visual | None, Sequence[Request]]],
        generation: Generation | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> list[list[Answer]]:
        """Answer the requests of several clips at once.

        Args:
            items: visual tokens of each clip, and the requests on it; None in the place of a clip where all of them
                are about text alone (`seen=False`). Those that bring continuations get their scores for an answer.
            generation: settings; by default the model's own.
            on_text: is given the text of the only request, piece by piece.
        Raises:
            UserError: a prompt does not fit the LLM, a setting is out of its range, or the model cannot score.
        """

    def start(
        self, generation: Generation | None = None, *, max_requests: int | None = None
    ) -> Answering[Visual | None]:
        """Start to answer clips that join at any time, and leave as they are answered.

        A model that only knows whole batches takes one after the other.

        Args:
            generation: settings; by default the model's own.
            max_requests: most requests under way; as many as there is memory for, if not given.
        Raises:
            UserError: a setting is out of its range.
        """
        return InTurn(partial(self.answer_batch, generation=generation), max_requests)

    @property
    def context_tokens(self) -> int | None:
        """Tokens that the LLM's context holds, visual tokens and answer included; None where it is not known."""
        return None

    def count_tokens(self, text: str) -> int:
        """Count the tokens that a text takes by itself.

        Raises:
            UserError: what runs the model does not say how it makes tokens.
        """
        raise UserError(f"{self.name} does not tell how many tokens a text has. Use a model that runs here.")

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write a model folder that `videollm.load` reads.

        Raises:
            UserError: this kind of model cannot be written, or the folder cannot.
        """

    def encode(self, batches: Sequence[FrameBatch], questions: Sequence[Sequence[str]] | None = None) -> list[Visual]:
        """Make visual tokens of clips, by the tower and the connector, without gradients; see `connect`."""
        import torch

        with torch.inference_mode():
            return self.connect(self.encode_frames(batches), questions)

    @overload
    def answer(
        self,
        clip: Any,
        question: str,
        *,
        generation: Generation | None = ...,
        ocr: str | None = ...,
        on_text: Callable[[str], None] | None = ...,
    ) -> Answer: ...
    @overload
    def answer(
        self, clip: Any, question: Sequence[str], *, generation: Generation | None = ..., ocr: str | None = ...
    ) -> list[Answer]: ...

    def answer(
        self,
        clip: str | Path | Clip | FrameBatch | Visual,
        question: str | Sequence[str],
        *,
        generation: Generation | None = None,
        ocr: str | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer | list[Answer]:
        """Answer one question, or several on one encoding, about a clip, its frames or its visual tokens.

        Args:
            clip: what is asked about.
            question: the user's text, or several.
            generation: settings; by default the model's own.
            ocr: text found in the pictures, for models that take it.
            on_text: is given the text of the only answer, piece by piece.
        Raises:
            VideoError: the clip cannot be decoded.
            UserError: the prompt does not fit the LLM, or the model takes no text of pictures.
        """
        asked = [question] if isinstance(question, str) else question
        visual = self._see(clip, asked)
        requests = [Request(id=str(i), clip=Clip(video=""), question=q, ocr=ocr) for i, q in enumerate(asked)]
        answers = self.answer_batch([(visual, requests)], generation, on_text=on_text)[0]
        return answers[0] if isinstance(question, str) else answers

    def score(
        self, clip: str | Path | Clip | FrameBatch | Visual | None, question: str, continuations: Sequence[str]
    ) -> list[float]:
        """Score texts behind the prompt of a question: how likely the model is to begin its answer with each.

        Args:
            clip: what is asked about; None asks about text alone.
            question: the user's text.
            continuations: texts as the model would write them, see `ChatPrompt.continuation`.
        Returns:
            For each the sum of the log-probabilities of its tokens: natural logarithm, temperature 1, no penalty.
        Raises:
            VideoError: the clip cannot be decoded.
            UserError: the prompt does not fit the LLM, or the model cannot score these texts.
        """
        if not continuations:
            return []
        visual = None if clip is None else self._see(clip, [question])
        nowhere = Clip(video="")
        request = Request(
            id="0", clip=nowhere, question=question, continuations=tuple(continuations), seen=clip is not None
        )
        return list(self.answer_batch([(visual, [request])])[0][0].scores)

    def _see(self, clip: str | Path | Clip | FrameBatch | Visual, questions: Sequence[str]) -> Visual:
        if isinstance(clip, (str, Path, Clip)):
            clip = self.decode(clip)
        return clip if isinstance(clip, Visual) else self.encode([clip], [questions])[0]
