"""The interface of an engine, and the code shared by all engines: everything but the LLM's forward passes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from videollm.engines import packing
from videollm.engines.admission import check_continuations, check_prompt, largest
from videollm.engines.prompt import Prefix, Prompt
from videollm.engines.scoring import SCORED, Scoring
from videollm.engines.settings import check_generation
from videollm.engines.streaming import Text, decode
from videollm.errors import UserError
from videollm.types import Completion, Generation, Room


class Batch(ABC):
    """Prompts under way: clips join at any time, and prompts leave as they finish (continuous batching, Orca).

    A prompt is finished once it has a `finish_reason`.
    """

    @abstractmethod
    def join(self, visual: Prefix, prompts: Sequence[Prompt]) -> None:
        """Add the prompts of a clip."""

    @abstractmethod
    def advance(self) -> None:
        """Take in as many prompts as there is room for, and generate a token, or more, of each that is under way."""

    @property
    @abstractmethod
    def num_waiting(self) -> int:
        """Prompts that there is no room for yet."""

    def room(self, prompts: Sequence[Prompt]) -> Room | None:
        """Tell what the prompts of a clip would take, and what there is; None where that is not planned."""
        return None


class Engine(ABC):
    """Generates answers for batches of clips with any number of prompts each.

    Args:
        llm: a causal LM of transformers; an engine may run it elsewhere, all but its input embedding.
        tokenizer: turns generated ids into text.
        config: settings of the engine; by default those of its Config.
    Raises:
        UserError: the engine cannot run this LLM here.
    """

    spreads: ClassVar[bool] = False
    """Whether it spreads an LLM over several devices by itself."""
    scores: ClassVar[bool] = False
    """Whether it takes prompts with continuations, and fills their `scoring` in."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How the engine runs; a subclass adds fields."""

        num_devices: int = 1
        """Devices over which the LLM is spread: cuda:0, cuda:1, ...; tower and connector lie on the first."""

        def __post_init__(self) -> None:
            if type(self.num_devices) is not int or self.num_devices < 1:
                raise ValueError(f"num_devices is {self.num_devices!r}, expected a whole number of at least 1")

    def __init__(self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: Config | None = None) -> None:
        self.llm, self.tokenizer, self.config = llm, tokenizer, config or self.Config()
        text_config = llm.config.get_text_config(decoder=True)
        self.limit: int | None = getattr(text_config, "max_position_embeddings", None)
        embedding = llm.get_input_embeddings()
        assert isinstance(embedding, nn.Embedding)
        self.embedding = embedding

    @classmethod  # noqa: B027 (most need nothing more)
    def check_installed(cls) -> None:
        """Check, without importing them, that the packages which the engine needs are installed.

        Raises:
            UserError: a package is missing; the message says how to install it.
        """

    @classmethod
    def prepare(cls) -> None:
        """Import what must be imported before there is a model.

        Raises:
            UserError: as `check_installed`, or the import fails.
        """
        cls.check_installed()

    @classmethod  # noqa: B027 (some take any LLM)
    def check_backbone(cls, llm: PreTrainedModel) -> None:
        """Check that the engine can run an LLM, whose weights need not be loaded yet.

        Raises:
            UserError: it cannot; the message says why.
        """

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        of_llm = self.llm.generation_config.eos_token_id if self.llm.generation_config else None
        ids = [*(of_llm if isinstance(of_llm, list) else [of_llm]), self.tokenizer.eos_token_id]
        return frozenset(i for i in ids if i is not None)

    def check(
        self, prompt: Sequence[int], max_new_tokens: int, positions: Sequence[packing.Position] | None = None
    ) -> None:
        """Raise UserError where `generate` would, so that one bad request need not fail a batch."""
        if max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {max_new_tokens}; expected at least 1.")
        check_prompt(prompt, positions, limit=self.limit, vocabulary=self.embedding.num_embeddings)

    @torch.inference_mode()
    def generate(
        self,
        rows: Sequence[tuple[Tensor | Prefix, Sequence[Sequence[int]]]],
        generation: Generation,
        *,
        positions: Sequence[Sequence[Sequence[packing.Position]]] | None = None,
        keys: Sequence[Sequence[str]] | None = None,
        max_new_tokens: Sequence[Sequence[int]] | None = None,
        continuations: Sequence[Sequence[Sequence[Sequence[int]]]] | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> list[list[Completion]]:
        """Complete every prompt of every clip; the same tokens as one prompt at a time.

        A prompt that brings continuations is not completed: they are scored behind it.

        Args:
            rows: for each clip its visual tokens (n d) and its prompts' ids, packing.VISUAL for each visual token.
            generation: how tokens are chosen, and when an answer ends.
            positions: for each prompt the position of every token and of the one to come, where they are not numbers
                from 0.
            keys: for each prompt a name that, with generation.seed, fixes its random numbers.
            max_new_tokens: for each prompt, instead of generation.max_new_tokens.
            continuations: for each prompt the ids of the texts to score; none for a prompt to be completed.
            on_text: is given the text of the only prompt, piece by piece; the pieces together are the answer's text.
        Returns:
            For each clip a completion of each prompt.
        Raises:
            UserError: see `check`; a setting out of range; visual tokens and reserved places differ in number;
                on_text with other than one prompt.
        """
        self._check_ready(generation)
        clips: list[tuple[Prefix, list[Prompt]]] = []
        for i, (visual, ids_of_clip) in enumerate(rows):
            clips.append((visual if isinstance(visual, Prefix) else Prefix(tokens=visual), []))
            for j, ids in enumerate(ids_of_clip):
                budget = max_new_tokens[i][j] if max_new_tokens is not None else generation.max_new_tokens
                at = range(len(ids) + 1) if positions is None else positions[i][j]
                key = keys[i][j] if keys is not None else f"{i}/{j}"
                scored = continuations[i][j] if continuations is not None else ()
                more: Any = {"streams": on_text is not None, "continuations": scored}
                clips[-1][1].append(self.prompt(ids, at, key, budget, generation, **more))
        num_prompts = sum(len(prompts) for _, prompts in clips)
        if on_text is not None and num_prompts != 1:
            raise ValueError(f"on_text streams one prompt; got {num_prompts}. Generate them one by one.")
        if num_prompts:
            self._run(clips, generation, on_text)
        return [[self.completion(p) for p in prompts] for _, prompts in clips]

    def try_steps(self) -> str | None:
        """Say how steps of the LLM run, if they may run in more than one way; tries it out."""
        return None

    def start(self, generation: Generation, *, max_prompts: int | None = None) -> Batch:
        """Start a batch that clips can join at any time.

        Args:
            generation: how tokens are chosen, and when an answer ends.
            max_prompts: most prompts under way; as many as there is memory for, if not given.
        Raises:
            UserError: a setting is out of range.
        """
        self._check_ready(generation)
        return _InTurn(self, generation, max_prompts)

    def prompt(
        self,
        ids: Sequence[int],
        positions: Sequence[packing.Position],
        key: str,
        budget: int,
        generation: Generation,
        *,
        streams: bool = False,
        continuations: Sequence[Sequence[int]] = (),
    ) -> Prompt:
        """Make a prompt for a batch.

        Args:
            ids: packing.VISUAL for each visual token.
            positions: of every token and of the one to come.
            key: a name that, with generation.seed, fixes its random numbers.
            budget: most tokens of its answer.
            generation: that of the batch.
            streams: whether its text will be passed on piece by piece.
            continuations: ids of texts to score in the place of an answer, as the LLM would generate them.
        Raises:
            UserError: see `check`; a continuation has no tokens, or does not fit; the engine cannot score them.
        """
        self.check(ids, budget, positions)
        if continuations:
            vocabulary = self.embedding.num_embeddings
            check_continuations(continuations, positions[-1], limit=self.limit, vocabulary=vocabulary)
            self.check_scoring(scoring := Scoring(continuations=tuple(map(tuple, continuations))))
            return Prompt(ids=ids, positions=positions, key=key, budget=scoring.longest, text=None, scoring=scoring)
        return Prompt(
            ids=ids,
            positions=positions,
            key=key,
            budget=budget if self.limit is None else min(budget, self.limit - largest(positions[-1])),
            text=Text(self.tokenizer, generation.stop) if generation.stop or streams else None,
        )

    def check_scoring(self, scoring: Scoring) -> None:
        """Check that the engine can score continuations.

        Raises:
            UserError: it cannot; the message says why.
        """
        if not self.scores:
            raise UserError(f"{type(self).__name__} generates answers, and scores no texts. Use --engine builtin.")

    def completion(self, prompt: Prompt) -> Completion:
        """Return what was generated for a finished prompt, or its scores."""
        if prompt.scoring is not None:
            return Completion(text="", ids=(), finish_reason=SCORED, scores=prompt.scoring.scores)
        text = prompt.text.final() if prompt.text is not None else decode(self.tokenizer, prompt.generated)
        return Completion(text=text, ids=tuple(prompt.generated), finish_reason=prompt.finish_reason)

    def _check_ready(self, generation: Generation) -> None:
        if self.llm.training:
            raise ValueError("LLM is in training mode, where its answers are random. Call .eval() first.")
        check_generation(generation)

    @abstractmethod
    def _run(
        self,
        clips: Sequence[tuple[Prefix, Sequence[Prompt]]],
        generation: Generation,
        on_text: Callable[[str], None] | None,
    ) -> None:
        """Finish all prompts.

        Args:
            clips: visual tokens and the prompts on them; at least one prompt in all.
            generation: how tokens are chosen.
            on_text: to be given to `Prompt.stream` after every token.
        """


class _InTurn(Batch):
    """A batch of an engine that runs prompts to their ends: those that joined meanwhile come next."""

    def __init__(self, engine: Engine, generation: Generation, max_prompts: int | None) -> None:
        self.engine, self.generation, self.max_prompts = engine, generation, max_prompts
        self.waiting: deque[tuple[Prefix, Sequence[Prompt]]] = deque()

    @property
    def num_waiting(self) -> int:
        """Prompts that wait for those before them."""
        return sum(len(prompts) for _, prompts in self.waiting)

    def join(self, visual: Prefix, prompts: Sequence[Prompt]) -> None:
        """Add the prompts of a clip, in parts that the batch takes at once."""
        size = self.max_prompts or max(len(prompts), 1)
        self.waiting += [(visual, prompts[i : i + size]) for i in range(0, len(prompts), size)]

    @torch.inference_mode()
    def advance(self) -> None:
        """Run as many prompts as the batch takes at once to their ends."""
        taken: list[tuple[Prefix, Sequence[Prompt]]] = []
        left = self.max_prompts or self.num_waiting
        while self.waiting and (not taken or len(self.waiting[0][1]) <= left):
            taken.append(self.waiting.popleft())
            left -= len(taken[-1][1])
        if taken:
            self.engine._run(taken, self.generation, None)
