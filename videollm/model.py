"""VideoLLM: a vision tower, a connector and an LLM that encode clips and answer questions on them.

SHAPES  t frames, c channels, H W pixels, h w patch grid, n visual tokens, d_llm LLM width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

from connectors import ClipFeatures, Connector, build_connector
from videollm.llm import Engine
from videollm.prompt import ChatPrompt
from videollm.types import Answer, Clip, FrameBatch, Generation, Request
from videollm.video.decode import decode
from videollm.video.sample import Sampling
from videollm.video.transform import Transform
from videollm.vision import TOWERS, VisionTower

MAX_FRAMES_PER_FORWARD = 256
"""Frames that go through the tower at once; bounds its memory, not the number of frames of a clip."""


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
    sampling: dict[str, Any]
    generation: dict[str, Any] = field(default_factory=dict)
    notice: str | None = None
    """One line that users should see before they trust the answers."""
    model_type: str = "videollm"


@dataclass(frozen=True, kw_only=True)
class Visual:
    """A clip as the LLM sees it."""

    tokens: Tensor
    """(n d_llm)."""
    frame_indices: tuple[int, ...]
    frame_seconds: tuple[float, ...]


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
        self.sampling = Sampling(**config.sampling)
        self.transform = Transform(**config.transform)
        self.generation = Generation(**config.generation)
        self.notice = config.notice
        self.tower: VisionTower = TOWERS[config.vision["kind"]](config.vision["config"], config.vision["select_layer"])
        llm_config = AutoConfig.for_model(**config.llm)
        self.llm = AutoModelForCausalLM.from_config(llm_config, attn_implementation="sdpa")
        self.connector: Connector = build_connector(
            self.connector_name,
            d_vision=self.tower.width,
            d_llm=llm_config.get_text_config(decoder=True).hidden_size,
            **config.connector.get("config", {}),
        )
        self.prompt = ChatPrompt(tokenizer=tokenizer)

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

    def num_visual_tokens(self, num_frames: int) -> int:
        """Visual tokens that a clip of so many frames costs."""
        size = self.transform.size
        return self.connector.num_tokens(num_frames, *self.tower.grid(size, size))

    def features(self, batches: Sequence[FrameBatch]) -> list[ClipFeatures]:
        """Tower features of clips, the frames of all of them in as few forwards as memory allows."""
        pixels = torch.cat([self.transform(b.frames) for b in batches]).to(self.device, self.dtype)
        encoded = torch.cat([self.tower(part) for part in pixels.split(MAX_FRAMES_PER_FORWARD)])
        return [
            ClipFeatures(frames=frames.unbind(), seconds=torch.tensor(b.seconds, dtype=torch.float64))
            for frames, b in zip(encoded.split([len(b.frames) for b in batches]), batches, strict=True)
        ]

    @torch.inference_mode()
    def encode(self, batches: Sequence[FrameBatch]) -> list[Visual]:
        """Visual tokens of clips, by the tower and the connector; a batch equals single clips."""
        tokens = self.connector.connect(self.features(batches))
        return [
            Visual(tokens=made, frame_indices=b.indices, frame_seconds=b.seconds)
            for made, b in zip(tokens, batches, strict=True)
        ]

    def decode(self, clip: Clip | str | Path, **options: Any) -> FrameBatch:
        """Frames of a clip as this model samples and sizes them; options as for `videollm.video.decode`."""
        clip = clip if isinstance(clip, Clip) else Clip(video=str(clip))
        return decode(clip, options.pop("sampling", self.sampling), size=self.transform.frame_size(), **options)

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
        prompts = [
            [self.prompt(r.question, len(v.tokens), options=r.options, system=r.system) for r in requests]
            for v, requests in items
        ]
        completions = Engine(self.llm, self.tokenizer).generate(
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
                    frame_indices=v.frame_indices,
                    frame_seconds=v.frame_seconds,
                )
                for done, (_, text) in zip(of_clip, of_prompts, strict=True)
            ]
            for (v, _), of_clip, of_prompts in zip(items, completions, prompts, strict=True)
        ]
