"""Prompts under way in vLLM: handed to its engine, which schedules them, and finished by the code of our engines."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import count
from typing import Any, Final
from weakref import WeakSet

from videollm.engines.prompt import Prompt
from videollm.engines.scoring import SCORED, Scoring
from videollm.errors import UserError
from videollm.types import Generation

MAX_SCORED: Final = 128
"""Tokens whose log-probabilities vLLM tells at once."""
_LIVING: Final[WeakSet[Any]] = WeakSet()
"""vLLM keeps some of its state once a process, and the end of one engine clears it."""


class Requests:
    """Prompts under way in an engine of vLLM.

    Args:
        engine: a vllm.LLMEngine, which runs in this process.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._names = map(str, count())
        self._prompts: dict[str, tuple[Prompt, frozenset[int]]] = {}

    def __len__(self) -> int:
        return len(self._prompts)

    def num_unbegun(self) -> int:
        """Count the prompts of which no token was generated yet."""
        return sum(not prompt.generated for prompt, _ in self._prompts.values())

    def add(self, prompt: Prompt, given: Any, parameters: Any, end_ids: frozenset[int], **options: Any) -> None:
        """Hand a prompt over.

        Args:
            prompt: takes the tokens.
            given: the prompt as vLLM takes it.
            parameters: vLLM's, for tokens as they come (DELTA).
            end_ids: tokens that end the answer.
            options: further arguments of vLLM's `add_request`.
        Raises:
            ValueError: vLLM refuses the prompt.
        """
        name = next(self._names)
        try:
            self._engine.add_request(name, given, parameters, **options)
        except Exception as error:
            # From vLLM 0.32 on what a prompt is refused with is no ValueError any more, and has a class of its own.
            if any(cls.__name__ == "VLLMClientError" for cls in type(error).__mro__):
                raise ValueError(str(error)) from error
            raise
        self._prompts[name] = prompt, end_ids

    def step(self, on_text: Callable[[str], None] | None = None) -> list[tuple[Prompt, Any]]:
        """Let vLLM do a step; return the prompts that got tokens, each with vLLM's output.

        Args:
            on_text: is given the text of the only prompt, piece by piece.
        """
        moved: list[tuple[Prompt, Any]] = []
        for output in self._engine.step():
            if output.request_id not in self._prompts:
                continue
            prompt, end_ids = self._prompts[output.request_id]
            if prompt.scoring is not None:
                _score(prompt.scoring, output.outputs[0].logprobs[0])
                prompt.finish_reason = SCORED
            for token in () if prompt.scoring is not None else output.outputs[0].token_ids:
                prompt.take(token, end_ids)
                if on_text is not None:
                    prompt.stream(on_text)
                if prompt.finish_reason:
                    break
            if prompt.finish_reason:
                del self._prompts[output.request_id]
                if not output.finished:
                    self._engine.abort_request([output.request_id])
            elif output.finished:
                del self._prompts[output.request_id]
                if output.outputs[0].finish_reason != "length":
                    raise RuntimeError(f"vLLM gave an answer up: {output.outputs[0].finish_reason}.")
                prompt.finish_reason = "length"
            moved.append((prompt, output))
        return moved

    def clear(self) -> None:
        """Give all prompts up."""
        self.drop([prompt for prompt, _ in self._prompts.values()])

    def drop(self, prompts: Sequence[Prompt]) -> None:
        """Give up those of the prompts that are under way."""
        meant = {id(prompt) for prompt in prompts}
        names = [name for name, (prompt, _) in self._prompts.items() if id(prompt) in meant]
        self._engine.abort_request(names)
        for name in names:
            del self._prompts[name]


@contextmanager
def living() -> Iterator[Callable[[object], None]]:
    """Start what may live once a process; what is handed to the function that this gives lives from then on.

    Raises:
        UserError: a process holds one already.
    """
    gc.collect()  # one that nobody holds any more may lie in a cycle
    if _LIVING:
        raise UserError(
            "A process holds one vLLM engine at a time. Drop the model that has it, or use another process."
        )
    yield _LIVING.add


def check_single(scoring: Scoring) -> None:
    """Check that continuations can be scored by the first token that vLLM generates.

    Raises:
        UserError: one has more tokens than one, or there are more of them than vLLM tells of.
    """
    if scoring.branches:
        longest = scoring.longest + 1
        raise UserError(
            f"vLLM tells of the first token of an answer alone, and a continuation has {longest}. Score texts of one "
            "token (Yes and No, or letters of options), or use --engine builtin."
        )
    if (number := len(set(scoring.continuations))) > MAX_SCORED:
        raise UserError(f"vLLM scores at most {MAX_SCORED} tokens at once; got {number}. Ask for fewer at a time.")


def _score(scoring: Scoring, told: Mapping[int, Any]) -> None:
    """Take note of the log-probabilities of first tokens."""
    for key, token in scoring.wanted((), 0):
        scoring.known[key] = float(told[token].logprob)


def seed_of(generation: Generation, key: str) -> int:
    """Make the seed of one request, which depends on the job's seed and the request's key alone."""
    digest = blake2b(f"{generation.seed}/{key}".encode(errors="backslashreplace"), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def parameters(generation: Generation, prompt: Prompt, end_ids: frozenset[int]) -> Any:
    """Make vLLM's sampling parameters. It has no tokenizer here: stop strings are found as the tokens come."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    from videollm.engines.vllm_penalty import PENALTY

    scored = prompt.scoring is not None
    return SamplingParams(
        logprob_token_ids=sorted({ids[0] for ids in prompt.scoring.continuations}) if prompt.scoring else None,
        max_tokens=1 if scored else prompt.budget,
        temperature=generation.temperature,
        top_p=generation.top_p,
        top_k=generation.top_k,
        seed=seed_of(generation, prompt.key),
        stop_token_ids=sorted(end_ids),
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        extra_args={PENALTY: float(generation.repetition_penalty)},
    )
