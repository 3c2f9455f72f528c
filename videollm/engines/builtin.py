"""The built-in engine: a causal LM in which the questions of a clip share one prefill and one row of the cache.

A row of the key-value cache holds the beginning that a clip's prompts have in common once (all visual tokens are in
it), and then the tokens of all its questions, mixed in the order in which they were fed. A mask over their owners
(`packing.attention_mask`) keeps the questions apart. Every step feeds the newest token of each unfinished question, so
that finished ones cost nothing. In LLMs with recurrent layers each question has a row of its own, which begins with a
copy of what was computed for the shared beginning.

SHAPES  r rows, s tokens fed, k keys in the cache, n visual tokens, m unfinished prompts, d LLM width, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from inspect import signature
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from videollm.engines import packing
from videollm.engines.attention import grouped
from videollm.engines.base import Engine, Prefix, Prompt
from videollm.engines.layers import FULL, RECURRENT, SLIDING, layer_kinds, stack
from videollm.engines.sampler import Sampler
from videollm.errors import UserError
from videollm.types import Generation

NEEDED: Final = {"inputs_embeds", "attention_mask", "position_ids", "past_key_values", "logits_to_keep"}


class BuiltinEngine(Engine):
    """Generates answers with the model's own LLM, in eval mode, with `sdpa` or `eager` attention."""

    def __init__(
        self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: Engine.Config | None = None
    ) -> None:
        super().__init__(llm, tokenizer, config)
        self.check_backbone(llm)
        text_config = llm.config.get_text_config(decoder=True)
        self.window: int | None = getattr(text_config, "sliding_window", None)
        self.layer_kinds = layer_kinds(llm)

    @classmethod
    def check_backbone(cls, llm: PreTrainedModel) -> None:
        """Check that prompts of this LLM can share what they begin with.

        Raises:
            UserError: they cannot; the message says why.
        """
        attention = llm.config._attn_implementation
        if attention not in ("sdpa", "eager"):
            raise UserError(f"LLM uses {attention} attention; expected sdpa or eager. Load it with one of those.")
        if missing := NEEDED - set(signature(llm.forward).parameters):
            raise UserError(
                f"{type(llm).__name__}.forward takes no {sorted(missing)}. Use a decoder-only attention LM."
            )
        kinds = layer_kinds(llm)
        if not (kinds <= {FULL, SLIDING} or kinds <= {FULL, RECURRENT}):
            raise UserError(f"LLM has layers of {sorted(kinds)}; expected {FULL} with {SLIDING} or {RECURRENT} only.")

    def _run(
        self,
        clips: Sequence[tuple[Prefix, Sequence[Prompt]]],
        generation: Generation,
        on_text: Callable[[str], None] | None,
    ) -> None:
        sampler, end_ids = self._sampler(generation), self.end_ids
        recurrent = RECURRENT in self.layer_kinds
        groups = [
            (visual, group)
            for visual, prompts in clips
            for together in ([[p] for p in prompts] if recurrent else [prompts])
            for group in _group_by_prefix(together)
        ]
        unfinished = [group for _, group in groups]
        rows = [packing.pack([p.ids for p in group], positions=[p.positions for p in group]) for group in unfinished]
        cache = (_OwnRows if recurrent else _SharedRows)(self, len(rows))
        # 1. Prefill what the prompts of a row have in common, once per row.
        cache.prefill(rows, [visual for visual, _ in groups])
        # 2. The first step feeds the rest of every question. Last tokens go in the last columns, so that the logits of
        #    those columns are the ones to sample from, there as in all later steps.
        pending, newest = [_own_but_last(row) for row in rows], [_last(row) for row in rows]
        while True:
            logits = cache.step(pending, newest)
            # 3. Column c of row r belongs to the c-th unfinished question of that row; other columns are padding.
            active = [(r, c, prompt) for r, group in enumerate(unfinished) for c, prompt in enumerate(group)]
            _take_tokens(logits, active, sampler, end_ids)
            if on_text is not None:
                active[0][2].stream(on_text)
            # 4. Finished questions are fed no more (their keys stay, which nobody attends to); a row whose questions
            #    are all finished leaves the cache.
            unfinished = [[p for p in group if not p.finish_reason] for group in unfinished]
            kept = [r for r, group in enumerate(unfinished) if group]
            if not kept:
                return
            if len(kept) < len(unfinished):
                cache.keep(kept)
                unfinished = [unfinished[r] for r in kept]
            # 5. From now on a step feeds one token per question. Its position goes on from the question's own tokens,
            #    wherever in the row the token comes to lie.
            pending = [[] for _ in unfinished]
            newest = [[(p.generated[-1], p.owner, p.newest_position) for p in group] for group in unfinished]

    def _sampler(self, generation: Generation) -> Sampler:
        """Make what chooses tokens; all else that `_run` does depends on its arguments and on these tokens alone."""
        return Sampler(generation)


_Token = tuple[int, int, packing.Position]
"""Id, owner and position."""


class _SharedRows:
    """The key-value cache, with the owner and the position of every key."""

    def __init__(self, engine: BuiltinEngine, num_rows: int) -> None:
        self.engine, self.llm = engine, engine.llm
        self.device = engine.embedding.weight.device
        # Not made from the config: layers with a sliding window would drop keys by index, not by position.
        self.cache = DynamicCache()
        self.owners = torch.empty(num_rows, 0, dtype=torch.int64, device=self.device)
        self.positions: Tensor | None = None
        """(r k), or (3 r k); None before the first token."""

    def prefill(self, rows: Sequence[packing.Row], visual: Sequence[Prefix]) -> None:
        """Feed the prefix that the prompts of a row share: plain causal attention, no mask to keep in memory."""
        shared = [[t for t in _tokens(row) if t[1] == packing.SHARED] for row in rows]
        if not any(shared):
            return
        ids, positions = self._append(shared)
        embeds = packing.embed(ids, [v.tokens.to(self.device) for v in visual], self.engine.embedding)
        self._forward(embeds, positions, None, 1, **packing.deepstack(ids, [v.deep for v in visual], embeds))

    def step(self, pending: Sequence[Sequence[_Token]], newest: Sequence[Sequence[_Token]]) -> Tensor:
        """Feed pending tokens and then the newest ones, and return the logits (r s v) of the newest ones."""
        pieces = [self._append(tokens) for tokens in (pending, newest) if any(tokens)]
        ids, positions = (torch.cat(parts, -1) for parts in zip(*pieces, strict=True))
        num_newest = pieces[-1][0].shape[1]
        return self._forward(self.engine.embedding(ids), positions, self._mask(ids.shape[1]), num_newest)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget the other rows."""
        index = torch.tensor(rows, device=self.device)
        assert self.positions is not None
        self.owners, self.positions = self.owners[index], self.positions.index_select(-2, index)
        self.cache.reorder_cache(index)  # type: ignore[arg-type]

    def _append(self, tokens: Sequence[Sequence[_Token]]) -> tuple[Tensor, Tensor]:
        """Note the owners and positions of tokens; return (r s) ids and (r s) or (3 r s) positions, right-padded."""
        ids = packing.pad([[t[0] for t in row] for row in tokens], 0, self.device)
        owners = packing.pad([[t[1] for t in row] for row in tokens], packing.PADDING, self.device)
        positions = packing.pad_positions([[t[2] for t in row] for row in tokens], self.device)
        self.owners = torch.cat([self.owners, owners], 1)
        self.positions = positions if self.positions is None else torch.cat([self.positions, positions], -1)
        return ids, positions

    def _mask(self, s: int) -> Tensor | dict[str, Tensor]:
        """Build (r 1 s k) for the newest s tokens, per kind of layer: bool for sdpa, additive for eager."""
        full = packing.attention_mask(self.owners[:, -s:], self.owners)
        masks = {FULL: full, SLIDING: full}
        if self.engine.window is not None and self.positions is not None and SLIDING in self.engine.layer_kinds:
            # By position, not by index: the questions of a row lie between each other's tokens.
            if self.positions.dim() == 3:
                raise UserError("LLM has sliding windows and positions of three components, which do not go together.")
            distance = self.positions[:, -s:, None] - self.positions[:, None, :]
            masks[SLIDING] = full & (distance < self.engine.window)[:, None]
        if self.llm.config._attn_implementation == "eager":
            lowest = torch.finfo(self.llm.dtype).min
            masks = {k: torch.zeros_like(m, dtype=self.llm.dtype).masked_fill(~m, lowest) for k, m in masks.items()}
        kinds = self.engine.layer_kinds - {RECURRENT}
        return masks if len(kinds) > 1 else masks[next(iter(kinds))]

    def _forward(
        self, embeds: Tensor, positions: Tensor, mask: Tensor | dict[str, Tensor] | None, keep: int, **further: Any
    ) -> Tensor:
        with grouped(self.llm):
            logits: Tensor = self.llm(
                inputs_embeds=embeds,
                position_ids=positions,
                attention_mask=mask,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=keep,
                **further,
            ).logits
        return logits


class _OwnRows(_SharedRows):
    """A row for each question, all of which is the beginning but the last token: every step feeds one token a row."""

    def prefill(self, rows: Sequence[packing.Row], visual: Sequence[Prefix]) -> None:
        """Feed beginnings one by one, which padding would spoil; questions on a clip copy its visual prefix."""
        beginnings = [_tokens(row)[:-1] for row in rows]
        caches: list[DynamicCache] = []
        fed: object = None
        for row, tokens, seen in zip(rows, beginnings, visual, strict=True):
            prefix = packing.visual_prefix(row.ids)
            if fed != (id(seen), prefix):
                fed, shared = (id(seen), prefix), DynamicCache(config=self.llm.config)
                self._feed(shared, tokens[: len(prefix)], seen)
            caches.append(deepcopy(shared))
            self._feed(caches[-1], tokens[len(prefix) :], Prefix(tokens=seen.tokens[:0]))
        if any(beginnings):
            self._append(beginnings)
            self.cache = stack(caches)
        else:
            self.cache = caches[0]

    def _feed(self, cache: DynamicCache, tokens: Sequence[_Token], seen: Prefix) -> None:
        """Feed the next tokens of one row: plain causal attention."""
        if not tokens:
            return
        ids = packing.pad([[t[0] for t in tokens]], 0, self.device)
        embeds = packing.embed(ids, [seen.tokens.to(self.device)], self.engine.embedding)
        positions = packing.pad_positions([[t[2] for t in tokens]], self.device)
        self.cache = cache
        self._forward(embeds, positions, None, 1, **packing.deepstack(ids, [seen.deep], embeds))


def _group_by_prefix(prompts: Sequence[Prompt]) -> list[list[Prompt]]:
    """Group a clip's prompts that agree up to their last visual token, and number the prompts of each group."""
    groups: dict[tuple[int, ...], list[Prompt]] = {}
    for prompt in prompts:
        group = groups.setdefault(packing.visual_prefix(prompt.ids), [])
        group.append(prompt)
        prompt.owner = len(group)
    return list(groups.values())


def _take_tokens(
    logits: Tensor, active: Sequence[tuple[int, int, Prompt]], sampler: Sampler, end_ids: frozenset[int]
) -> None:
    """Choose the next token of every unfinished prompt from the logits (r s v) at its row and column."""
    at = torch.tensor([(r, c) for r, c, _ in active], device=logits.device)
    prompts = [prompt for *_, prompt in active]
    chosen = sampler(logits[at[:, 0], at[:, 1]], [p.generated for p in prompts], [p.key for p in prompts])
    for prompt, token in zip(prompts, chosen, strict=True):
        prompt.take(token, end_ids)


def _tokens(row: packing.Row) -> list[_Token]:
    return list(zip(row.ids, row.owners, row.positions, strict=True))


def _own_but_last(row: packing.Row) -> list[_Token]:
    """List the questions' own tokens but the last of each."""
    last = set(row.last)
    return [t for i, t in enumerate(_tokens(row)) if t[1] != packing.SHARED and i not in last]


def _last(row: packing.Row) -> list[_Token]:
    tokens = _tokens(row)
    return [tokens[i] for i in row.last]
