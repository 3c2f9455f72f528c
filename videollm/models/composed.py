"""VideoLLM: a vision tower, a connector and an LLM that encode clips and answer questions on them.

SHAPES  t frames, c channels, H W pixels, h w patch grid, n visual tokens, d_llm LLM width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from einops import reduce
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedTokenizerBase

from connectors import ClipFeatures, Connector, Tokens, build_connector
from videollm.engines.base import Engine
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.packing import Position
from videollm.engines.prompt import Prefix
from videollm.models.answering import Answering
from videollm.models.backbones import build_llm
from videollm.models.config import ModelConfig, build_part
from videollm.models.connecting import check_needs, connector_errors, gather, runs, show
from videollm.models.fingerprint import tower_key
from videollm.models.layout import lay_out
from videollm.models.protocol import EncodedClip, ModelInfo, Visual, seen_by
from videollm.models.running import Running, Written, budget_of, make_answer
from videollm.models.saving import save
from videollm.models.trainable import TrainableModel
from videollm.prompts.chat import ChatPrompt
from videollm.prompts.positions import Positions
from videollm.prompts.subtitles import with_subtitles
from videollm.types import Answer, Clip, FrameBatch, Generation, Places, Request
from videollm.video.decoding.decode import decode
from videollm.video.preprocessing import Group
from videollm.vision import TOWERS
from videollm.vision.pixel_change import PIXEL_CHANGE, pixel_change
from videollm.vision.tower import VisionTower

MAX_FRAMES_PER_FORWARD: Final = 256
"""Frames that go through the tower at once; bounds its memory, not the number of frames of a clip."""
MAX_PIXELS_PER_FORWARD: Final = {"cpu": 2**22, "cuda": 2**25}  # by kind of device: 16 frames of 512 x 512, or 128


class VideoLLM(nn.Module, TrainableModel):
    """A vision tower, a connector and an LLM.

    Args:
        config: what to build.
        tokenizer: the LLM's own, with a chat template.
        name: how answers name the model.
    Raises:
        UserError: the config names an unknown part, or settings that a part does not take.
    """

    def __init__(self, config: ModelConfig, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        super().__init__()
        self.config, self.tokenizer, self.name = config, tokenizer, name
        self.connector_name: str = config.connector["name"]
        self.sampling = config.build_sampling()
        self.transform = config.build_preprocessing()
        self.generation = config.build_generation()
        self.notice = config.notice
        self.revision = None
        vision = dict(config.vision)
        tower = TOWERS.load(vision.pop("kind"))
        self.tower: VisionTower = tower(build_part("vision", tower.Config, vision))
        llm_config = build_part("llm", AutoConfig.for_model, config.llm)
        self.llm = build_llm(llm_config)
        self.connector = self.build_connector()
        offered = {*self.tower.offers, *([PIXEL_CHANGE] if self.tower.temporal_patch == 1 else [])}
        check_needs(self.connector, type(self.tower).__name__, offered)
        self.positions = Positions.from_dict(config.positions)
        self.prompt: ChatPrompt = build_part("prompt", ChatPrompt, {"tokenizer": tokenizer, **config.prompt})

    def build_connector(self) -> Connector:
        """Build the connector that the config names, with new weights.

        Raises:
            UserError: there is no such connector, or its settings do not suit.
        """
        with connector_errors():
            return build_connector(
                self.connector_name,
                d_vision=self.tower.width,
                d_llm=self.llm.config.get_text_config(decoder=True).hidden_size,
                **self.config.connector.get("config", {}),
            )

    @cached_property
    def engine(self) -> Engine:
        """Engine that completes prompts: the LLM itself, unless another one was set."""
        return BuiltinEngine(self.llm, self.tokenizer)

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

    @property
    def tied_names(self) -> frozenset[str]:
        """Weights that share the tensor of another one."""
        return frozenset(f"llm.{k}" for k in getattr(self.llm, "all_tied_weights_keys", None) or {})

    def describe(self, *, with_tower_key: bool = False) -> ModelInfo:
        """Describe the model, see `VideoModel.describe`."""
        size = self.transform.frame_size()
        return ModelInfo(
            name=self.name,
            connector=self.connector_name,
            sampling=asdict(self.sampling),
            frame_size=None if size is None else asdict(size),
            generation=asdict(self.generation),
            takes_ocr=self.prompt.ocr is not None,
            can_score=self.engine.scores,
            context_tokens=self.context_tokens,
            notice=self.notice,
            revision=self.revision,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            attention=self.llm.config._attn_implementation,
            steps=self.engine.try_steps(),
            tower_key=self._tower_key() if with_tower_key else None,
        )

    def _tower_key(self) -> str:
        further = {
            "tower": self.config.vision,
            "needs": self.connector.needs,
            "transform": repr(self.transform),
            "dtype": str(self.dtype),
            "device": self.device.type,  # a GPU's sums differ from a CPU's
        }
        return tower_key(self.tower, further)

    def save(self, folder: str | Path) -> None:
        """Write a model folder, see `VideoModel.save`."""
        tied = self.tied_names
        weights = {name: tensor for name, tensor in self.state_dict().items() if name not in tied}
        save(Path(folder), self.config, weights, self.tokenizer)

    def num_visual_tokens(
        self, num_frames: int, height: int = 1, width: int = 1, *, packing: int = 1, still: bool = False
    ) -> int:
        """Count the visual tokens of a clip of `num_frames` frames of height x width pixels.

        Models with a frame size of their own ignore height and width.

        Args:
            packing: frames that share one set of visual tokens, where the sampling packs.
            still: the frame is a still image.
        Raises:
            UserError: the connector cannot take such a clip.
        """
        shapes = self.transform.shapes(num_frames, height, width, packing=packing, still=still)
        with connector_errors():
            return sum(
                self.connector.num_tokens(t // self.tower.temporal_patch, *self.tower.grid(h, w)) for t, h, w in shapes
            )

    def encode_frames(self, batches: Sequence[FrameBatch]) -> list[EncodedClip]:
        """Run the vision tower on clips: the frames of all of them in as few forwards as memory allows."""
        groups = [self.transform.groups(b) for b in batches]
        with torch.set_grad_enabled(torch.is_grad_enabled() and any(p.requires_grad for p in self.tower.parameters())):
            features = iter(self._features([group for of_clip in groups for group in of_clip]))
        return [
            EncodedClip(
                features=tuple(next(features) for _ in of_clip),
                around=tuple((g.before, g.after) for g in of_clip),
                labels=tuple(g.labels for g in of_clip),
                clocks=tuple(g.clock for g in of_clip),
                frame_indices=b.indices,
                frame_seconds=b.seconds,
            )
            for b, of_clip in zip(batches, groups, strict=True)
        ]

    def _features(self, groups: Sequence[Group]) -> list[ClipFeatures]:
        """Run the vision tower on groups of pictures, those of one size together, so that none is padded."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for i, group in enumerate(groups):
            alike.setdefault(group.pictures.shape[1:], []).append(i)
        made: dict[int, ClipFeatures] = {}
        patch = self.tower.temporal_patch
        for members in alike.values():
            pictures = np.concatenate([groups[i].pictures for i in members])
            encoded, extra = self._encode(pictures)
            lengths = [len(groups[i].pictures) // patch for i in members]
            further = {name: tensor.split(lengths) for name, tensor in extra.items()}
            for number, (i, frames) in enumerate(zip(members, encoded.split(lengths), strict=True)):
                seconds = torch.tensor(groups[i].seconds, dtype=torch.float64)
                of_clip = {name: tensors[number].unbind() for name, tensors in further.items()}
                if PIXEL_CHANGE in self.connector.needs:
                    pixels = self.transform.pixels(groups[i].pictures, self.device)
                    of_clip[PIXEL_CHANGE] = pixel_change(pixels, self.tower.patch_size).unbind()
                made[i] = ClipFeatures(
                    frames=frames.unbind(),
                    seconds=reduce(seconds, "(t patch) -> t", "mean", patch=patch),
                    extra=of_clip,
                )
        return [made[i] for i in range(len(groups))]

    def _encode(self, pictures: NDArray[Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the vision tower on pictures of one size, as many at once as memory allows."""
        needs = [name for name in self.connector.needs if name in self.tower.offers]
        area, patch = prod(pictures.shape[1:3]), self.tower.temporal_patch
        most = MAX_PIXELS_PER_FORWARD.get(self.device.type, MAX_PIXELS_PER_FORWARD["cuda"]) // max(area, 1)
        size = max(1, min(MAX_FRAMES_PER_FORWARD, most) // patch) * patch
        parts = [
            self.tower.encode(self.transform.pixels(pictures[i : i + size], self.device).to(self.dtype), needs)
            for i in range(0, len(pictures), size)
        ]
        return torch.cat([frames for frames, _ in parts]), {
            name: torch.cat([extra[name] for _, extra in parts]) for name in needs
        }

    def connect(self, clips: Sequence[EncodedClip], questions: Sequence[Sequence[str]] | None = None) -> list[Visual]:
        """Run the connector on encoded clips, see `VideoModel.connect`."""
        if questions is None or not self.connector.asks:
            return self._connect(clips)
        shown = show(clips, questions, self._embed)
        made = self._connect([*clips, *(clip for *_, clip in shown)])
        return gather(made[: len(clips)], shown, made[len(clips) :])

    def _connect(self, clips: Sequence[EncodedClip]) -> list[Visual]:
        features = [part for clip in clips for part in clip.features]
        with connector_errors():
            tokens = iter([Tokens.of(made) for run in runs(features) for made in self.connector.connect(run)])
            return [lay_out(self.connector, clip, [next(tokens) for _ in clip.features]) for clip in clips]

    def _embed(self, text: str) -> Tensor:
        """Embed a text as the LLM does: (q d_llm)."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        made: Tensor = self.llm.get_input_embeddings()(torch.tensor(ids, dtype=torch.int64, device=self.device))
        return made

    def decode(self, clip: Clip | str | Path, **options: Any) -> FrameBatch:
        """Decode the frames of a clip, see `VideoModel.decode`."""
        clip = clip if isinstance(clip, Clip) else Clip(video=str(clip))
        return decode(clip, options.pop("sampling", self.sampling), size=self.transform.frame_size(), **options)

    def write_prompt(
        self,
        visual: Visual,
        question: str,
        *,
        options: Sequence[str] = (),
        system: str | None = None,
        ocr: str | None = None,
    ) -> tuple[list[int], list[Position], str]:
        """Write the prompt of a question, see `TrainableModel.write_prompt`."""
        layout = visual.layout or (len(visual.tokens),)
        ids, text = self.prompt(question, layout, options=options, system=system, ocr=ocr)
        spans = [part for part in layout if isinstance(part, int)]
        places = visual.places or [Places(grid=None)] * len(spans)
        return ids, self.positions(ids, spans, places), text

    @cached_property
    def _nothing(self) -> Visual:
        """What the LLM sees where it is asked about text alone."""
        return Visual(tokens=self._embed("").detach(), frame_indices=(), frame_seconds=())

    def _write(self, visual: Visual | None, request: Request) -> Written:
        of_clip = seen_by(request, visual)
        seen = self._nothing if of_clip is None else of_clip.of(request.question)
        question = with_subtitles(request.question, request.subtitles, seen.frame_seconds)
        ids, positions, text = self.write_prompt(
            seen, question, options=request.options, system=request.system, ocr=request.ocr
        )
        return Written(seen, ids, positions, text, [self.prompt.continuation(c) for c in request.continuations])

    @property
    def context_tokens(self) -> int | None:
        """Tokens that the LLM's context holds, see `VideoModel.context_tokens`."""
        return self.engine.limit

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, see `VideoModel.count_tokens`."""
        return len(self.prompt.continuation(text))

    def start(
        self, generation: Generation | None = None, *, max_requests: int | None = None
    ) -> Answering[Visual | None]:
        """Start to answer clips that join at any time, see `VideoModel.start`."""
        return Running(self.engine, self._write, generation or self.generation, max_requests)

    def answer_batch(
        self,
        items: Sequence[tuple[Visual | None, Sequence[Request]]],
        generation: Generation | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> list[list[Answer]]:
        """Answer the requests of several clips at once, see `VideoModel.answer_batch`."""
        generation = generation or self.generation
        asked = [(i, self._write(v, r), r) for i, (v, requests) in enumerate(items) for r in requests]
        # The requests of a clip share one row, unless the connector asks: then those of a question do.
        rows: dict[tuple[int, int], list[int]] = {}
        for n, (i, written, _) in enumerate(asked):
            rows.setdefault((i, id(written.visual)), []).append(n)
        prompts = [[asked[n][1] for n in of_row] for of_row in rows.values()]
        completions = self.engine.generate(
            [
                (Prefix(tokens=of_row[0].visual.tokens, deep=of_row[0].visual.deep), [p.ids for p in of_row])
                for of_row in prompts
            ],
            generation,
            positions=[[p.positions for p in of_row] for of_row in prompts],
            continuations=[[p.continuations for p in of_row] for of_row in prompts],
            keys=[[asked[n][2].id for n in of_row] for of_row in rows.values()],
            max_new_tokens=[[budget_of(asked[n][2], generation) for n in of_row] for of_row in rows.values()],
            on_text=on_text,
        )
        order = [n for of_row in rows.values() for n in of_row]
        done = dict(zip(order, (completion for of_row in completions for completion in of_row), strict=True))
        answers = (
            make_answer(written.visual, len(written.ids), written.text, done[n])
            for n, (_, written, _) in enumerate(asked)
        )
        return [[next(answers) for _ in requests] for _, requests in items]
