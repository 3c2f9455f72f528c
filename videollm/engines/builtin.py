"""Answers from a causal LM: the questions of a clip share one prefill and one row of the cache.

A row of the cache holds the clip's common beginning once and then the tokens of all its questions, mixed; a mask
over their owners (`fuse.attention_mask`) keeps the questions apart. Every step feeds the newest token of each
unfinished question, so that finished ones cost nothing.

SHAPES  r rows, s tokens fed, k keys in the cache, n visual tokens, m unfinished prompts, d LLM width, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Final

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from videollm.engines import packing as fuse
from videollm.engines.base import Completer, Prompt
from videollm.engines.sampler import Sampler
from videollm.types import Generation

FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"
NEEDED: Final = {"inputs_embeds", "attention_mask", "position_ids", "past_key_values", "logits_to_keep"}


class Engine(Completer):
    """Generates answers with the model's own LLM.

    Args:
        llm: a causal LM of transformers, in eval mode, with `sdpa` or `eager` attention.
        tokenizer: turns generated ids into text.
    Raises:
        ValueError: the LM cannot be used with prompts that share a row (the message says why).
    """

    def __init__(self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(llm, tokenizer)
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

    def _run(
        self,
        clips: Sequence[tuple[Tensor, Sequence[Prompt]]],
        generation: Generation,
        on_text: Callable[[str], None] | None,
    ) -> None:
        """A row of the cache for each group of prompts that agree up to their last visual token."""
        sampler = Sampler(generation)
        groups: list[tuple[Tensor, list[Prompt]]] = []
        for visual, prompts in clips:
            by_prefix: dict[tuple[int, ...], list[Prompt]] = {}
            for prompt in prompts:
                by_prefix.setdefault(fuse.visual_prefix(prompt.ids), []).append(prompt)
            groups += [(visual, group) for group in by_prefix.values()]
        feed = _Feed(self, len(groups))
        alive = [group for _, group in groups]
        packed = [fuse.pack([p.ids for p in group]) for group in alive]
        for group in alive:
            for i, prompt in enumerate(group):
                prompt.owner = i + 1
        feed.shared(packed, [visual for visual, _ in groups])
        # The first step feeds the questions' own tokens too, their last tokens in the last columns.
        end_ids, own, newest = self.end_ids, [_own(row) for row in packed], [_last(row) for row in packed]
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
                active[0][2].stream(on_text)
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
