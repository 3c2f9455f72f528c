"""The built-in engine as it was before its running batch, to compare with (benchmarks/engine.py).

A row of the cache holds what a clip's prompts share once, and then the tokens of all its questions, mixed in the order
in which they were fed; a mask over their owners keeps the questions apart. All prompts begin together.

SHAPES  r rows, s tokens fed, k keys in the cache, h key heads, g query heads per key head, d width of a head, n visual
tokens, m unfinished prompts, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any, Final

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from videollm.engines import packing
from videollm.engines.base import Engine
from videollm.engines.prompt import Prefix, Prompt
from videollm.engines.sampler import Sampler
from videollm.errors import UserError
from videollm.types import Generation

GROUPED: Final = "masked_rows_grouped"


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' `sdpa` does, without copies of keys and values.

    Args:
        module: the attention layer.
        query: (r h*g s d).
        key: (r h k d).
        value: (r h k d).
        attention_mask: (r 1 s k), what a query may attend to; None is causal, and left to transformers.
        dropout: of weights, likewise left to transformers unless 0.
        scaling: factor of the scores.
        options: further arguments of transformers' layers.
    Returns:
        (r s h*g d), and no weights.
    """
    g = query.shape[1] // key.shape[1]
    if attention_mask is None or g == 1 or dropout:
        made, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return made, None
    made = scaled_dot_product_attention(
        rearrange(query, "r (h g) s d -> r h (g s) d", g=g),
        key,
        value,
        attn_mask=repeat(attention_mask, "r one s k -> r one (g s) k", g=g),
        scale=scaling,
    )
    return rearrange(made, "r h (g s) d -> r s (h g) d", g=g), None


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


@contextmanager
def grouped(llm: PreTrainedModel) -> Iterator[None]:
    """Let an LLM of `sdpa` attention attend with `grouped_attention` in a block of code."""
    config = llm.config.get_text_config(decoder=True)
    before = config._attn_implementation
    if before == "sdpa":
        config._attn_implementation = GROUPED
    try:
        yield
    finally:
        config._attn_implementation = before


FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"
NEEDED: Final = {"inputs_embeds", "attention_mask", "position_ids", "past_key_values", "logits_to_keep"}


class MaskedRows(Engine):
    """Generates answers with the model's own LLM, in eval mode, with `sdpa` or `eager` attention."""

    def __init__(
        self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: Engine.Config | None = None
    ) -> None:
        super().__init__(llm, tokenizer, config)
        self.check_backbone(llm)
        text_config = llm.config.get_text_config(decoder=True)
        self.window: int | None = getattr(text_config, "sliding_window", None)
        self.layer_kinds = _layer_kinds(llm)

    @classmethod
    def check_backbone(cls, llm: PreTrainedModel) -> None:
        """Check that prompts of this LLM can share a row.

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
        if _layer_kinds(llm) - {FULL, SLIDING}:
            raise UserError(f"LLM has layers of {sorted(_layer_kinds(llm))}; expected {FULL} or {SLIDING} only.")

    def _run(
        self,
        clips: Sequence[tuple[Prefix, Sequence[Prompt]]],
        generation: Generation,
        on_text: Callable[[str], None] | None,
    ) -> None:
        sampler, end_ids = Sampler(generation), self.end_ids
        groups = [(visual, group) for visual, prompts in clips for group in _group_by_prefix(prompts)]
        unfinished = [group for _, group in groups]
        rows = [packing.pack([p.ids for p in group], positions=[p.positions for p in group]) for group in unfinished]
        cache = _SharedRows(self, len(rows))
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


_Token = tuple[int, int, packing.Position]
"""Id, owner and position."""


class _SharedRows:
    """The key-value cache, with the owner and the position of every key."""

    def __init__(self, engine: MaskedRows, num_rows: int) -> None:
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
        self.cache.batch_select_indices(index)

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
        kinds = self.engine.layer_kinds
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


def _layer_kinds(llm: PreTrainedModel) -> set[str]:
    config = llm.config.get_text_config(decoder=True)
    only = SLIDING if getattr(config, "sliding_window", None) else FULL
    return set(getattr(config, "layer_types", None) or [only])


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
