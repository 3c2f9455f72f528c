"""VideoLLM: a vision tower, a connector and an LLM that encode clips and answer questions on them.

SHAPES  t frames, c channels, H W pixels, h w patch grid, n visual tokens, d_llm LLM width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

from connectors import ClipFeatures, Connector, build_connector
from videollm.engines.base import Completer
from videollm.engines.builtin import Engine
from videollm.prompts.chat import ChatPrompt
from videollm.prompts.subtitles import with_subtitles
from videollm.types import Answer, Clip, FrameBatch, Generation, Request
from videollm.video.decoding.decode import decode
from videollm.video.preprocessing.slices import Slices
from videollm.video.preprocessing.square import Group, Preprocessing, Transform
from videollm.video.sampling import Sampling
from videollm.vision import TOWERS, VisionTower

MAX_FRAMES_PER_FORWARD = 256
"""Frames that go through the tower at once; bounds its memory, not the number of frames of a clip."""
MAX_FRAMES_PER_CONNECT = 64
"""Frames whose features go through the connector at once, unless a single clip (or pack) has more."""
TRANSFORMS: Final[dict[str, type[Preprocessing]]] = {"square": Transform, "slices": Slices}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What config.json of a model folder holds."""

    vision: dict[str, Any]
    """`kind` (a name in TOWERS), `select_layer`, and `config`, the transformers config of the tower."""
    connector: dict[str, Any]
    """`name`, and `config`, the connector's own settings."""
    llm: dict[str, Any]
    """The transformers config of the LLM."""
    transform: dict[str, Any]
    """Settings of one of TRANSFORMS, which `kind` names (`square` if there is none)."""
    sampling: dict[str, Any]
    generation: dict[str, Any] = field(default_factory=dict)
    prompt: dict[str, Any] = field(default_factory=dict)
    """Settings of ChatPrompt."""
    notice: str | None = None
    """One line that users should see before they trust the answers."""
    model_type: str = "videollm"


@dataclass(frozen=True, kw_only=True)
class EncodedClip:
    """A clip as the tower sees it, of which any connector can make visual tokens."""

    features: tuple[ClipFeatures, ...]
    """One for each group of pictures that share visual tokens: one in all, unless the model packs or slices."""
    around: tuple[tuple[str, str], ...]
    """Text in front of and behind the visual tokens of each group."""
    frame_indices: tuple[int, ...]
    frame_seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Visual:
    """A clip as the LLM sees it."""

    tokens: Tensor
    """(n d_llm)."""
    frame_indices: tuple[int, ...]
    frame_seconds: tuple[float, ...]
    layout: tuple[int | str, ...] = ()
    """Spans of the visual tokens, each by its number of them, and the text around the spans; () is one span."""


class VideoLLM(nn.Module):
    """A vision tower, a connector and an LLM.

    Args:
        config: what to build.
        tokenizer: the LLM's own, with a chat template.
        name: how answers name the model.
    """

    def __init__(self, config: ModelConfig, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        super().__init__()
        self.config, self.tokenizer, self.name = config, tokenizer, name
        self.connector_name: str = config.connector["name"]
        self.sampling = Sampling.from_dict(config.sampling)
        settings = {"kind": "square", **config.transform}
        self.transform = TRANSFORMS[settings.pop("kind")](**settings)
        self.generation = Generation(**config.generation)
        self.notice = config.notice
        self.revision: str | None = None
        self.tower: VisionTower = TOWERS[config.vision["kind"]](config.vision["config"], config.vision["select_layer"])
        llm_config = AutoConfig.for_model(**config.llm)
        self.llm = AutoModelForCausalLM.from_config(llm_config, attn_implementation="sdpa")
        self.connector: Connector = build_connector(
            self.connector_name,
            d_vision=self.tower.width,
            d_llm=llm_config.get_text_config(decoder=True).hidden_size,
            **config.connector.get("config", {}),
        )
        self.prompt = ChatPrompt(tokenizer=tokenizer, **config.prompt)

    @cached_property
    def engine(self) -> Completer:
        """What completes prompts: the LLM itself, unless another engine was put here."""
        return Engine(self.llm, self.tokenizer)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        device: torch.device = self.llm.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        dtype: torch.dtype = self.llm.dtype
        return dtype

    def num_visual_tokens(
        self, num_frames: int, height: int = 1, width: int = 1, *, packing: int = 1, still: bool = False
    ) -> int:
        """Visual tokens that a clip of so many frames of height x width pixels costs (some models take any as alike).

        Args:
            packing: frames that share one set of visual tokens, where the sampling packs.
            still: the frame is a still image.
        """
        shapes = self.transform.shapes(num_frames, height, width, packing=packing, still=still)
        return sum(self.connector.num_tokens(t, *self.tower.grid(h, w)) for t, h, w in shapes)

    def features(self, batches: Sequence[FrameBatch]) -> list[ClipFeatures]:
        """Tower features of clips, one for each group of pictures that share visual tokens."""
        return [features for clip in self.encode_frames(batches) for features in clip.features]

    def _features(self, groups: Sequence[Group]) -> list[ClipFeatures]:
        """Pictures of one size go through the tower together, so that none is padded."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for i, group in enumerate(groups):
            alike.setdefault(group.pictures.shape[1:], []).append(i)
        made: dict[int, ClipFeatures] = {}
        for members in alike.values():
            pictures = np.concatenate([groups[i].pictures for i in members])
            parts = [pictures[i : i + MAX_FRAMES_PER_FORWARD] for i in range(0, len(pictures), MAX_FRAMES_PER_FORWARD)]
            encoded = torch.cat([self.tower(self.transform.pixels(p, self.device).to(self.dtype)) for p in parts])
            for i, frames in zip(members, encoded.split([len(groups[i].pictures) for i in members]), strict=True):
                seconds = torch.tensor(groups[i].seconds, dtype=torch.float64)
                made[i] = ClipFeatures(frames=frames.unbind(), seconds=seconds)
        return [made[i] for i in range(len(groups))]

    @torch.inference_mode()
    def encode(self, batches: Sequence[FrameBatch]) -> list[Visual]:
        """Visual tokens of clips, by the tower and the connector; a batch equals single clips."""
        return self.visuals(batches)

    def visuals(self, batches: Sequence[FrameBatch]) -> list[Visual]:
        """What `encode` gives, with gradients for the parameters that want them."""
        return self.connect(self.encode_frames(batches))

    def encode_frames(self, batches: Sequence[FrameBatch]) -> list[EncodedClip]:
        """The tower's half of `visuals`: the frames of all clips in as few forwards as memory allows."""
        groups = [self.transform.groups(b) for b in batches]
        with torch.set_grad_enabled(torch.is_grad_enabled() and any(p.requires_grad for p in self.tower.parameters())):
            features = iter(self._features([group for of_clip in groups for group in of_clip]))
        return [
            EncodedClip(
                features=tuple(next(features) for _ in of_clip),
                around=tuple((g.before, g.after) for g in of_clip),
                frame_indices=b.indices,
                frame_seconds=b.seconds,
            )
            for b, of_clip in zip(batches, groups, strict=True)
        ]

    def connect(self, clips: Sequence[EncodedClip]) -> list[Visual]:
        """The connector's half of `visuals`."""
        features = [part for clip in clips for part in clip.features]
        tokens = (made for run in _runs(features) for made in self.connector.connect(run))
        visuals = []
        for clip in clips:
            made = [next(tokens) for _ in clip.features]
            spans = zip(clip.around, made, strict=True)
            layout = [part for (before, after), span in spans for part in (before, len(span), after) if part]
            visuals.append(
                Visual(
                    tokens=torch.cat(made),
                    frame_indices=clip.frame_indices,
                    frame_seconds=clip.frame_seconds,
                    layout=tuple(layout),
                )
            )
        return visuals

    def decode(self, clip: Clip | str | Path, **options: Any) -> FrameBatch:
        """Frames of a clip as this model samples and sizes them; options as for `videollm.video.decoding.decode`."""
        clip = clip if isinstance(clip, Clip) else Clip(video=str(clip))
        return decode(clip, options.pop("sampling", self.sampling), size=self.transform.frame_size(), **options)

    def _prompt(self, visual: Visual, request: Request) -> tuple[list[int], str]:
        """Ids and text of the prompt of a request."""
        question = with_subtitles(request.question, request.subtitles, visual.frame_seconds)
        layout = visual.layout or len(visual.tokens)
        return self.prompt(question, layout, options=request.options, system=request.system)

    @overload
    def answer(
        self,
        clip: Any,
        question: str,
        *,
        generation: Generation | None = ...,
        on_text: Callable[[str], None] | None = ...,
    ) -> Answer: ...
    @overload
    def answer(self, clip: Any, question: Sequence[str], *, generation: Generation | None = ...) -> list[Answer]: ...

    def answer(
        self,
        clip: str | Path | Clip | FrameBatch | Visual,
        question: str | Sequence[str],
        *,
        generation: Generation | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer | list[Answer]:
        """Answer one question, or several on one encoding, about a clip, its frames or its visual tokens.

        Raises:
            VideoError: the clip cannot be decoded.
            ValueError: the prompt does not fit the LLM.
        """
        if isinstance(clip, (str, Path, Clip)):
            clip = self.decode(clip)
        visual = clip if isinstance(clip, Visual) else self.encode([clip])[0]
        asked = [question] if isinstance(question, str) else question
        requests = [Request(id=str(i), clip=Clip(video=""), question=q) for i, q in enumerate(asked)]
        answers = self.answer_batch([(visual, requests)], generation, on_text=on_text)[0]
        return answers[0] if isinstance(question, str) else answers

    def answer_batch(
        self,
        items: Sequence[tuple[Visual, Sequence[Request]]],
        generation: Generation | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> list[list[Answer]]:
        """Answer the requests of several clips at once; token for token as one by one."""
        generation = generation or self.generation
        prompts = [[self._prompt(v, r) for r in requests] for v, requests in items]
        completions = self.engine.generate(
            [(v.tokens, [ids for ids, _ in of_clip]) for (v, _), of_clip in zip(items, prompts, strict=True)],
            generation,
            keys=[[r.id for r in requests] for _, requests in items],
            max_new_tokens=[
                [generation.max_new_tokens if r.max_new_tokens is None else r.max_new_tokens for r in requests]
                for _, requests in items
            ],
            on_text=on_text,
        )
        return [
            [
                Answer(
                    text=done.text.strip(),
                    prompt=text,
                    finish_reason=done.finish_reason,
                    num_visual_tokens=len(v.tokens),
                    num_prompt_tokens=len(ids),
                    num_generated_tokens=len(done.ids),
                    frame_indices=v.frame_indices,
                    frame_seconds=v.frame_seconds,
                )
                for done, (ids, text) in zip(of_clip, of_prompts, strict=True)
            ]
            for (v, _), of_clip, of_prompts in zip(items, completions, prompts, strict=True)
        ]


def _runs(features: Sequence[ClipFeatures]) -> Iterator[list[ClipFeatures]]:
    """Features in order, in runs of as many frames as the connector is given at once."""
    run: list[ClipFeatures] = []
    for part in features:
        if run and sum(len(f.frames) for f in (*run, part)) > MAX_FRAMES_PER_CONNECT:
            yield run
            run = []
        run.append(part)
    if run:
        yield run
