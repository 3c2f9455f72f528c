"""A model of transformers that runs as a whole: its processor makes inputs of our frames, `generate` the answers.

Its tower runs once for all questions on a clip, where `generate` takes what it made. Which token comes next, and where
an answer ends, is decided by the code of our engines, so that settings mean the same.

SHAPES  t frames, h w pixels, c colour channels, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    ProcessorMixin,
    StoppingCriteria,
    StoppingCriteriaList,
)

from videollm.adapters.processed import ProcessedModel, check_streaming
from videollm.adapters.processing import load_processor, process
from videollm.checkpoints.assemble import choose_device, choose_dtype
from videollm.checkpoints.options import Options
from videollm.engines.prompt import Prompt
from videollm.engines.sampler import Sampler
from videollm.engines.scoring import SCORED, Scoring, take
from videollm.errors import UserError
from videollm.models.protocol import ModelInfo, Visual, seen_by
from videollm.models.whole import VisualFrames
from videollm.types import Answer, FrameBatch, Generation, Request

PIXELS = ("pixel_values", "image_patches")
"""What names of inputs that hold pixels begin with."""


class TransformersVLM(ProcessedModel):
    """A model of transformers with its processor.

    Args:
        model: in eval mode; its own settings of generation are given up.
        processor: made for it.
        info: name, sampling, settings of generation.
    """

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin, info: ModelInfo) -> None:
        super().__init__(processor, info, model.config, f"transformers {version('transformers')}")
        self.model = model
        own = model.generation_config
        ends = own.eos_token_id if own is not None else None
        ids = [*(ends if isinstance(ends, list) else [ends]), processor.tokenizer.eos_token_id]
        self.end_ids = frozenset(i for i in ids if i is not None)
        model.generation_config = GenerationConfig()  # a penalty or a temperature in it would come on top of ours
        self._accepts = frozenset(signature(model.forward).parameters)
        self._seen: _Seen | None = None

    def describe(self, *, with_tower_key: bool = False) -> ModelInfo:
        """Describe the model, see `VideoModel.describe`."""
        return self.info(
            device=str(self.model.device),
            dtype=str(self.model.dtype).removeprefix("torch."),
            attention=self.model.config._attn_implementation,
            can_score=True,
            context_tokens=self.context_tokens,
        )

    @torch.inference_mode()
    def answer_batch(
        self,
        items: Sequence[tuple[Visual | None, Sequence[Request]]],
        generation: Generation | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> list[list[Answer]]:
        """Answer one request after the other, see `VideoModel.answer_batch`."""
        check_streaming(on_text, items)
        settings = generation or self.generation
        choose = Sampler(settings)
        return [[self._answer(visual, r, settings, choose, on_text) for r in requests] for visual, requests in items]

    def _answer(
        self,
        visual: Visual | None,
        request: Request,
        generation: Generation,
        choose: Sampler,
        on_text: Callable[[str], None] | None,
    ) -> Answer:
        visual = seen_by(request, visual)
        assert visual is None or isinstance(visual, VisualFrames)
        batch = None if visual is None else visual.frames
        if batch is not None and (self._seen is None or self._seen.batch is not batch):
            self._seen = _Seen(batch)
        seen = self._seen if batch is not None and self._seen is not None else _Seen(batch)
        written, note = self.write(request, batch)
        with seen.processed_once(self.processor):
            settings = {"return_mm_token_type_ids": True} if "mm_token_type_ids" in self._accepts else {}
            made = process(self.processor, written, batch, as_images=self.as_images, **settings)
        inputs = dict(made.to(self.model.device, dtype=self.model.dtype))
        if batch is not None and "mm_encoder_outputs" in self._accepts:
            seen.encode(self.model, inputs)
            inputs = {name: value for name, value in inputs.items() if not name.startswith(PIXELS)}
            inputs["mm_encoder_outputs"] = dict(seen.encoded)
        ids: list[int] = made["input_ids"][0].tolist()
        prompt = self.prompt(ids, request, generation, streams=on_text is not None)
        limit, behind = self.context_tokens, 1 if prompt.scoring is None else prompt.scoring.longest + 1
        if limit is not None and len(ids) + behind > limit:
            raise UserError(
                f"Prompt has {len(ids)} tokens ({sum(i in self.visual for i in ids)} of them visual) but the model "
                f"takes fewer than {limit}. Use fewer frames (--num-frames), or a shorter text."
            )
        if limit is not None:
            prompt.budget = min(prompt.budget, limit - len(ids))
        if prompt.scoring is not None:
            self._score(inputs, prompt, prompt.scoring)
        else:
            self._generate(inputs, prompt, choose, on_text)
        return self.answer_of(prompt, visual, note)

    @property
    def context_tokens(self) -> int | None:
        """Tokens that the LLM's context holds, see `VideoModel.context_tokens`."""
        limit: int | None = getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        return limit

    def _score(self, inputs: dict[str, Any], prompt: Prompt, scoring: Scoring) -> None:
        """Score the continuations of a prompt, by a forward for each of their branches."""
        for branch in scoring.branches or ((),):
            self._forget()
            behind = {"input_ids": branch, "attention_mask": [1] * len(branch), "mm_token_type_ids": [0] * len(branch)}
            whole = {
                name: torch.cat([inputs[name], inputs[name].new_tensor([ids])], 1)
                for name, ids in behind.items()
                if name in inputs and branch
            }
            kept = {"logits_to_keep": len(branch) + 1} if "logits_to_keep" in self._accepts else {}
            logits = self.model(**{**inputs, **whole}, **kept, use_cache=False).logits[0, -len(branch) - 1 :]
            take([(scoring, branch, depth) for depth in range(len(branch) + 1)], logits)
        prompt.finish_reason = SCORED

    def _forget(self) -> None:
        inner: Any = self.model.base_model
        if hasattr(inner, "rope_deltas"):
            inner.rope_deltas = None  # of the clip before

    def _generate(
        self, inputs: dict[str, Any], prompt: Prompt, choose: Sampler, on_text: Callable[[str], None] | None
    ) -> None:
        self._forget()
        pad = self.processor.tokenizer.pad_token_id
        generate: Any = self.model.generate
        generate(
            **inputs,
            generation_config=GenerationConfig(
                max_new_tokens=prompt.budget,
                do_sample=False,
                eos_token_id=sorted(self.end_ids) or None,
                pad_token_id=pad if pad is not None else min(self.end_ids, default=0),
            ),
            logits_processor=LogitsProcessorList([_Choice(choose, prompt)]),
            stopping_criteria=StoppingCriteriaList([_End(prompt, self.end_ids, on_text)]),
        )


@dataclass
class _Seen:
    """What was made of a clip's frames for its first question, for the others."""

    batch: FrameBatch | None

    def __post_init__(self) -> None:
        self.processed: dict[str, Any] = {}
        self.encoded: dict[str, Any] = {}

    def processed_once(self, processor: ProcessorMixin) -> _Stand:
        """Let the processor take this clip's pixels from here, once they were made."""
        return _Stand(processor, self.processed)

    def encode(self, model: PreTrainedModel, inputs: Mapping[str, Any]) -> None:
        """Run the tower on the inputs that hold pixels, unless it ran before."""
        if self.encoded:
            return
        for kind in ("image", "video"):
            run = getattr(model.base_model, f"get_{kind}_features", None)
            names = [name for name in signature(run).parameters if name in inputs] if run is not None else []
            if run is not None and any(name.startswith(PIXELS) for name in names):
                self.encoded[kind] = run(**{name: inputs[name] for name in names}, return_dict=True)


class _Stand:
    """While it lasts, the parts of a processor that make pixels give what they gave before for the same clip."""

    def __init__(self, processor: ProcessorMixin, made: dict[str, Any]) -> None:
        self.processor, self.made = processor, made
        self.parts: dict[str, Any] = {}

    def __enter__(self) -> None:
        for name in ("image_processor", "video_processor"):
            if (part := getattr(self.processor, name, None)) is not None:
                self.parts[name] = part
                setattr(self.processor, name, _Once(part, name, self.made))

    def __exit__(self, *_: object) -> None:
        for name, part in self.parts.items():
            setattr(self.processor, name, part)


class _Once:
    """A part of a processor that is called once; all else is asked of the part itself."""

    def __init__(self, part: Any, name: str, made: dict[str, Any]) -> None:
        self._part, self._name, self._made = part, name, made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._name not in self._made:
            self._made[self._name] = self._part(*args, **kwargs)
        made = self._made[self._name]
        return type(made)(dict(made))  # the processor may take things out of it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


class _Choice(LogitsProcessor):
    """Leaves one token to choose from: the one that our sampler takes."""

    def __init__(self, choose: Sampler, prompt: Prompt) -> None:
        self.choose, self.prompt = choose, prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        (token,) = self.choose(scores, [self.prompt.generated], [self.prompt.key])
        only = torch.full_like(scores, -torch.inf)
        only[:, token] = 0.0
        return only


class _End(StoppingCriteria):
    """Gives every token to the prompt, and stops where that is finished."""

    def __init__(self, prompt: Prompt, end_ids: frozenset[int], on_text: Callable[[str], None] | None) -> None:
        self.prompt, self.end_ids, self.on_text = prompt, end_ids, on_text

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self.prompt.take(int(input_ids[0, -1]), self.end_ids)
        if self.on_text is not None:
            self.prompt.stream(self.on_text)
        return torch.tensor([bool(self.prompt.finish_reason)], device=input_ids.device)


def load(folder: Path, options: Options, info: ModelInfo) -> TransformersVLM:
    """Load a model folder, weights of safetensors only.

    Raises:
        UserError: it does not load.
    """
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device, folder)
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise UserError(f"transformers does not load {folder}: {' '.join(str(error).split())}") from error
    return TransformersVLM(model.eval().to(device), load_processor(folder, "transformers"), info)
