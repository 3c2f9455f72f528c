"""What models that run as a whole, by their own processor, have in common, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transformers import ProcessorMixin

from videollm.adapters.processing import (
    OWN_SIZE,
    control_tokens,
    literal,
    shown_prompt,
    takes_videos,
    visual_ids,
    write_prompt,
)
from videollm.engines.prompt import Prompt
from videollm.engines.scoring import Scoring
from videollm.engines.streaming import Text, decode
from videollm.errors import UserError
from videollm.models.protocol import ModelInfo, Visual
from videollm.models.running import budget_of
from videollm.models.whole import WholeModel
from videollm.types import Answer, FrameBatch, Generation, Request
from videollm.video.sampling import Sampling


class ProcessedModel(WholeModel):
    """A model whose own processor writes the prompts.

    Args:
        processor: made for it.
        info: name, sampling, settings of generation.
        config: the model's, which names tokens as the processor does.
        runs: what runs it, with its version.
    """

    def __init__(self, processor: ProcessorMixin, info: ModelInfo, config: Any, runs: str) -> None:
        self.processor = processor
        self.name, self.notice, self.revision, self.frame_size = info.name, info.notice, info.revision, OWN_SIZE
        self.sampling, self.generation = Sampling.from_dict(info.sampling), Generation(**info.generation)
        self.engine = f"{runs} ({type(processor).__name__})"
        self.as_images = not takes_videos(processor)
        self.visual = visual_ids(processor, config)
        self.control = control_tokens(processor)

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, see `VideoModel.count_tokens`."""
        return len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def write(self, request: Request, batch: FrameBatch | None) -> tuple[str, str | None]:
        """Write the prompt of a request, see `write_prompt`."""
        num_images = len(batch.frames) if batch is not None and self.as_images else None
        return write_prompt(self.processor, request, batch, tokens=self.control, num_images=num_images)

    def prompt(self, ids: Sequence[int], request: Request, generation: Generation, *, streams: bool) -> Prompt:
        """Make the prompt of a request, as our engines take tokens.

        Args:
            ids: of its tokens.
            request: what is asked.
            generation: its budget and stop strings.
            streams: whether the text will be passed on piece by piece.
        Raises:
            UserError: a text to score has no tokens, or names a control token.
        """
        scored = tuple(self._continuation(text) for text in request.continuations)
        return Prompt(
            ids=ids,
            positions=range(len(ids) + 1),
            key=request.id,
            budget=budget_of(request, generation),
            text=Text(self.processor.tokenizer, generation.stop) if generation.stop or streams else None,
            scoring=Scoring(continuations=scored) if scored else None,
        )

    def _continuation(self, text: str) -> tuple[int, ...]:
        """Tokenize a text by itself, as `ChatPrompt.continuation` does."""
        ids = tuple(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])
        if not ids or literal(text, self.control) != text:
            raise UserError(f"Continuation {text!r} is empty, or names a control token; expected a text to score.")
        return ids

    def answer_of(self, prompt: Prompt, visual: Visual | None, note: str | None) -> Answer:
        """Make the answer of a finished prompt."""
        tokenizer = self.processor.tokenizer
        text = prompt.text.final() if prompt.text is not None else decode(tokenizer, prompt.generated)
        pictures = "images" if self.as_images else "video"
        return Answer(
            text=text.strip(),
            prompt=shown_prompt(tokenizer, prompt.ids, self.visual),
            finish_reason=prompt.finish_reason,
            num_visual_tokens=sum(i in self.visual for i in prompt.ids),
            num_prompt_tokens=len(prompt.ids),
            num_generated_tokens=len(prompt.generated),
            engine=self.engine,
            frames_sent="none" if visual is None else pictures,
            note=note,
            scores=() if prompt.scoring is None else prompt.scoring.scores,
            frame_indices=() if visual is None else visual.frame_indices,
            frame_seconds=() if visual is None else visual.frame_seconds,
        )


def check_streaming(
    on_text: Callable[[str], None] | None, items: Sequence[tuple[Visual | None, Sequence[Request]]]
) -> None:
    """Check that what is streamed is one answer.

    Raises:
        ValueError: there are more requests, or none.
    """
    num_requests = sum(len(requests) for _, requests in items)
    if on_text is not None and num_requests != 1:
        raise ValueError(f"on_text streams one answer; got {num_requests} requests. Ask them one by one.")
