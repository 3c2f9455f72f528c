"""Answers from a causal LM: the questions of a clip share one prefill and one row of the cache.

A row of the cache holds the clip's common beginning once and then the tokens of all its questions, mixed; a mask
over their owners (`fuse.attention_mask`) keeps the questions apart. Every step feeds the newest token of each
unfinished question, so that finished ones cost nothing.

SHAPES  r rows, s tokens fed, k keys in the cache, n visual tokens, m unfinished prompts, d LLM width, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Final

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from videollm import fuse
from videollm.sampler import Sampler
from videollm.text import Text, decode
from videollm.types import Completion, Generation

FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"
NEEDED: Final = {"inputs_embeds", "attention_mask", "position_ids", "past_key_values", "logits_to_keep"}


@dataclass(kw_only=True)
class Prompt:
    """One prompt and what was generated for it so far."""

    ids: Sequence[int]
    key: str
    budget: int
    """Tokens it may still be given in all."""
    text: Text | None
    """Kept only where stop strings or streaming need it."""
    owner: int = 0
    generated: list[int] = field(default_factory=list)
    finish_reason: str = ""

    def take(self, token: int, end_ids: frozenset[int]) -> None:
        """Append a generated token, or finish."""
        if token in end_ids:
            self.finish_reason = "stop"
            return
        self.generated.append(token)
        if self.text is not None:
            self.text.add(token)
            if self.text.end is not None:
                self.finish_reason = "stop_string"
        if not self.finish_reason and len(self.generated) >= self.budget:
            self.finish_reason = "length"


class Engine:
    """Generates answers for batches of clips with any number of prompts each.

    Args:
        llm: a causal LM of transformers, in eval mode, with `sdpa` or `eager` attention.
        tokenizer: turns generated ids into text.
    Raises:
        ValueError: the LM cannot be used with prompts that share a row (the message says why).
    """

    def __init__(self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        config = llm.config.get_text_config(decoder=True)
        attention = llm.config._attn_implementation
        if attention not in ("sdpa", "eager"):
            raise ValueError(f"LLM uses {attention} attention; expected sdpa or eager. Load it with one of those.")
        if missing := NEEDED - set(signature(llm.forward).parameters):
            raise ValueError(
                f"{type(llm).__name__}.forward takes no {sorted(missing)}. Use a decoder-only attention LM."
            )
        self.window: int | None = getattr(config, "sliding_window", None)
        self.kinds = set(getattr(config, "layer_types", None) or [SLIDING if self.window else FULL])
        if self.kinds - {FULL, SLIDING}:
            raise ValueError(f"LLM has layers of {sorted(self.kinds)}; expected {FULL} or {SLIDING} only.")
        self.llm, self.tokenizer = llm, tokenizer
        self.limit: int | None = getattr(config, "max_position_embeddings", None)
        embedding = llm.get_input_embeddings()
        assert isinstance(embedding, nn.Embedding)
        self.embedding = embedding

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        of_llm = self.llm.generation_config.eos_token_id if self.llm.generation_config else None
        ids = [*(of_llm if isinstance(of_llm, list) else [of_llm]), self.tokenizer.eos_token_id]
        return frozenset(i for i in ids if i is not None)

    def check(self, prompt: Sequence[int], max_new_tokens: int) -> None:
        """Raise ValueError where `generate` would, so that one bad request need not fail a batch."""
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {max_new_tokens}; expected at least 1.")
        if not prompt or prompt[-1] == fuse.VISUAL:
            raise ValueError("Prompt has no text after its visual tokens; expected at least one token to answer to.")
        if self.limit is not None and len(prompt) >= self.limit:
            raise ValueError(
                f"Prompt has {len(prompt)} tokens ({sum(i == fuse.VISUAL for i in prompt)} of them visual) but the LLM "
                f"takes fewer than {self.limit}. Use fewer frames, a connector that compresses more, or a shorter text."
            )
        vocabulary = self.embedding.num_embeddings
        if max(prompt) >= vocabulary:
            raise ValueError(
                f"Prompt holds token id {max(prompt)} but the LLM embeds {vocabulary}. "
                "Use the LLM's own tokenizer, or resize its embeddings."
            )

    @torch.inference_mode()
    def generate(
        self,
        rows: Sequence[tuple[Tensor, Sequence[Sequence[int]]]],
        generation: Generation,
        *,
        keys: Sequence[Sequence[str]] | None = None,
        max_new_tokens: Sequence[Sequence[int]] | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> list[list[Completion]]:
        """Complete every prompt of every clip; the same tokens as one prompt at a time.

        Args:
            rows: for each clip its visual tokens (n d) and its prompts' ids, fuse.VISUAL for each visual token.
            generation: how tokens are chosen, and when an answer ends.
            keys: for each prompt a name that, with generation.seed, fixes its random numbers.
            max_new_tokens: for each prompt, instead of generation.max_new_tokens.
            on_text: is given the text of the only prompt, piece by piece; the pieces together are the answer's text.
        Returns:
            For each clip a completion of each prompt.
        Raises:
            ValueError: see `check`; a setting out of range; visual tokens and reserved places differ in number;
                on_text with other than one prompt.
        """
        if self.llm.training:
            raise ValueError("LLM is in training mode, where its answers are random. Call .eval() first.")
        sampler = Sampler(generation)
        watched = bool(generation.stop) or on_text is not None
        prompts: list[list[Prompt]] = []
        groups: list[tuple[Tensor, list[Prompt]]] = []
        for i, (visual, ids_of_clip) in enumerate(rows):
            by_prefix: dict[tuple[int, ...], list[Prompt]] = {}
            prompts.append([])
            for j, ids in enumerate(ids_of_clip):
                budget = max_new_tokens[i][j] if max_new_tokens is not None else generation.max_new_tokens
                self.check(ids, budget)
                prompt = Prompt(
                    ids=ids,
                    key=keys[i][j] if keys is not None else f"{i}/{j}",
                    budget=min(budget, self.limit - len(ids)) if self.limit is not None else budget,
                    text=Text(self.tokenizer, generation.stop) if watched else None,
                )
                prompts[-1].append(prompt)
                by_prefix.setdefault(fuse.visual_prefix(ids), []).append(prompt)
            groups += [(visual, group) for group in by_prefix.values()]
        if on_text is not None and sum(map(len, prompts)) != 1:
            raise ValueError(f"on_text streams one prompt; got {sum(map(len, prompts))}. Generate them one by one.")
        if groups:
            self._run(groups, sampler, on_text)
        return [[self._completion(p) for p in of_clip] for of_clip in prompts]

    def _completion(self, prompt: Prompt) -> Completion:
        text = prompt.text.final() if prompt.text is not None else decode(self.tokenizer, prompt.generated)
        return Completion(text=text, ids=tuple(prompt.generated), finish_reason=prompt.finish_reason)

    def _run(
        self, groups: list[tuple[Tensor, list[Prompt]]], sampler: Sampler, on_text: Callable[[str], None] | None
    ) -> None:
        """Generate for groups of prompts, a row of the cache for each group."""
        feed = _Feed(self, len(groups))
        alive = [group for _, group in groups]
        packed = [fuse.pack([p.ids for p in group]) for group in alive]
        for group in alive:
            for i, prompt in enumerate(group):
                prompt.owner = i + 1
        feed.shared(packed, [visual for visual, _ in groups])
        # The first step feeds the questions' own tokens too, their last tokens in the last columns.
        end_ids, own, newest = self.end_ids, [_own(row) for row in packed], [_last(row) for row in packed]
        streamed = 0
        while True:
            width = max(map(len, newest))
            logits = feed.step(own, newest)[:, -width:]
            own = [[] for _ in newest]
            active = [(r, c, p) for r, group in enumerate(alive) for c, p in enumerate(group)]
            at = torch.tensor([(r, c) for r, c, _ in active], device=logits.device)
            tokens = sampler(logits[at[:, 0], at[:, 1]], [p.generated for *_, p in active], [p.key for *_, p in active])
            for (*_, prompt), token in zip(active, tokens, strict=True):
                prompt.take(token, end_ids)
            if on_text is not None:
                streamed = _stream(active[0][2], streamed, on_text)
            alive = [[p for p in group if not p.finish_reason] for group in alive]
            kept = [r for r, group in enumerate(alive) if group]
            if not kept:
                return
            if len(kept) < len(alive):
                feed.keep(kept)
                alive, own = [alive[r] for r in kept], [own[r] for r in kept]
            newest = [[(p.generated[-1], p.owner, len(p.ids) + len(p.generated) - 1) for p in g] for g in alive]


_Token = tuple[int, int, int]
"""Id, owner and position."""


class _Feed:
    """The cache, and who owns which of its keys."""

    def __init__(self, engine: Engine, num_rows: int) -> None:
        self.engine, self.llm = engine, engine.llm
        self.device = engine.embedding.weight.device
        # Not made from the config: layers with a sliding window would drop keys by index, not by position.
        self.cache = DynamicCache()
        self.owners = torch.empty(num_rows, 0, dtype=torch.int64, device=self.device)
        self.positions = self.owners.clone()

    def shared(self, rows: Sequence[fuse.Row], visual: Sequence[Tensor]) -> None:
        """Prefill what the prompts of a row have in common: plain causal attention, no mask to keep in memory."""
        begin = [[t for t in _tokens(row) if t[1] == fuse.SHARED] for row in rows]
        if not any(begin):
            return
        ids, positions = self._append(begin)
        embeds = fuse.embed(ids, [v.to(self.device) for v in visual], self.engine.embedding)
        self._forward(embeds, positions, None, 1)

    def step(self, own: Sequence[Sequence[_Token]], newest: Sequence[Sequence[_Token]]) -> Tensor:
        """(r s v) logits of the newest tokens, which follow the questions' other tokens."""
        pieces = [self._append(tokens) for tokens in (own, newest) if any(tokens)]
        ids, positions = (torch.cat(parts, 1) for parts in zip(*pieces, strict=True))
        return self._forward(self.engine.embedding(ids), positions, self._mask(ids.shape[1]), pieces[-1][0].shape[1])

    def keep(self, rows: Sequence[int]) -> None:
        """Forget the other rows."""
        index = torch.tensor(rows, device=self.device)
        self.owners, self.positions = self.owners[index], self.positions[index]
        self.cache.batch_select_indices(index)

    def _append(self, tokens: Sequence[Sequence[_Token]]) -> tuple[Tensor, Tensor]:
        """(r s) ids and (r s) positions, padded on the right, their owners noted."""
        ids, owners, positions = (
            fuse.pad([[t[i] for t in row] for row in tokens], value, self.device)
            for i, value in enumerate((0, fuse.PADDING, 0))
        )
        self.owners = torch.cat([self.owners, owners], 1)
        self.positions = torch.cat([self.positions, positions], 1)
        return ids, positions

    def _mask(self, s: int) -> Tensor | dict[str, Tensor]:
        """(r 1 s k) for each kind of layer: bool for sdpa, additive for eager."""
        full = fuse.attention_mask(self.owners[:, -s:], self.owners)
        masks = {FULL: full, SLIDING: full}
        if self.engine.window is not None:
            distance = self.positions[:, -s:, None] - self.positions[:, None, :]
            masks[SLIDING] = full & (distance < self.engine.window)[:, None]
        if self.llm.config._attn_implementation == "eager":
            lowest = torch.finfo(self.llm.dtype).min
            masks = {k: torch.zeros_like(m, dtype=self.llm.dtype).masked_fill(~m, lowest) for k, m in masks.items()}
        return masks if len(self.engine.kinds) > 1 else masks[next(iter(self.engine.kinds))]

    def _forward(self, embeds: Tensor, positions: Tensor, mask: Tensor | dict[str, Tensor] | None, keep: int) -> Tensor:
        logits: Tensor = self.llm(
            inputs_embeds=embeds,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep,
        ).logits
        return logits


def _tokens(row: fuse.Row) -> list[_Token]:
    return list(zip(row.ids, row.owners, row.positions, strict=True))


def _own(row: fuse.Row) -> list[_Token]:
    """The questions' own tokens but the last of each."""
    last = set(row.last)
    return [t for i, t in enumerate(_tokens(row)) if t[1] != fuse.SHARED and i not in last]


def _last(row: fuse.Row) -> list[_Token]:
    tokens = _tokens(row)
    return [tokens[i] for i in row.last]


def _stream(prompt: Prompt, streamed: int, on_text: Callable[[str], None]) -> int:
    """Pass on what is new of the text; its length so far."""
    assert prompt.text is not None
    text = prompt.text.final() if prompt.finish_reason else prompt.text.ready()
    if len(text) > streamed:
        on_text(text[streamed:])
    return max(streamed, len(text))
