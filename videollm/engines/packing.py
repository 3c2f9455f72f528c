"""Prompts, visual tokens and the mask that lets the questions of a clip share one prefix.

The prompts of one clip lie end to end in one row: the part they share (all visual tokens) once, then each question's
own tokens. A token attends to the shared part and to its own question; positions of every question go on from the
shared part. So the visual prefix is computed and kept once, in training and in generation alike.

SHAPES  r rows (clips), s tokens of a row, k keys in the cache, n visual tokens, d LLM width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

VISUAL: Final = -1
"""Stands for one visual token in a prompt's ids."""
SHARED: Final = 0
"""Owner of the shared part; question i has owner i + 1."""
PADDING: Final = -1
"""Owner of padding."""
Position = int | tuple[int, int, int]
"""Of a token; (time, row, column) in models whose positions have three components."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The prompts of one clip, end to end."""

    ids: list[int]
    owners: list[int]
    positions: list[Position]
    last: list[int]
    """Index of the last token of every prompt."""


def pack(
    prompts: Sequence[Sequence[int]],
    most: int | None = None,
    positions: Sequence[Sequence[Position]] | None = None,
) -> Row:
    """Lay prompts that begin alike end to end, their common beginning once.

    Args:
        prompts: token ids of each prompt, VISUAL for each visual token.
        most: tokens of the beginning to share, where that is fewer than the prompts have in common.
        positions: of each prompt's tokens, where they are not simply numbered.
    Raises:
        ValueError: the prompts differ before their last visual token; group them by that part first.
    """
    first = prompts[0]
    shared = common(prompts) if most is None else min(most, common(prompts))
    for p in prompts:
        if VISUAL in p[shared:]:
            raise ValueError(
                "Prompts packed into one row differ before their last visual token. "
                "Group them by visual_prefix() before packing."
            )
    # The shared part once, then each prompt's own tokens, whose positions are those that the prompt has alone.
    alone = [range(len(p)) for p in prompts] if positions is None else positions
    ids, owners, last = list(first[:shared]), [SHARED] * shared, []
    placed: list[Position] = [*alone[0][:shared]]
    for i, (p, at) in enumerate(zip(prompts, alone, strict=True)):
        own = p[shared:]
        ids += own
        owners += [i + 1] * len(own)
        placed += at[shared : len(p)]
        last.append(len(ids) - 1)
    return Row(ids=ids, owners=owners, positions=placed, last=last)


def common(prompts: Sequence[Sequence[int]]) -> int:
    """Count the tokens that prompts have in common at their beginning, but the last of any.

    Every prompt keeps at least its last token for itself: the logits there are where its answer begins.
    """
    first = prompts[0]
    shared = min(len(p) for p in prompts) - 1
    for p in prompts[1:]:
        shared = next((i for i in range(shared) if p[i] != first[i]), shared)
    return shared


def visual_prefix(prompt: Sequence[int]) -> tuple[int, ...]:
    """Return a prompt up to its last visual token: prompts of a clip that agree in that part can share a row."""
    end = max((i for i, t in enumerate(prompt) if t == VISUAL), default=-1) + 1
    return tuple(prompt[:end])


def pad(rows: Sequence[Sequence[int]], value: int, device: torch.device | str = "cpu") -> Tensor:
    """Fill rows on the right with `value`: (r s) int64."""
    width = max(len(r) for r in rows)
    return torch.tensor([[*r, *[value] * (width - len(r))] for r in rows], dtype=torch.int64, device=device)


def further(position: Position, number: int) -> Position:
    """Return the position of text `number` tokens after a position of text."""
    return position + number if isinstance(position, int) else tuple(p + number for p in position)  # type: ignore[return-value]


def pad_positions(rows: Sequence[Sequence[Position]], device: torch.device | str = "cpu") -> Tensor:
    """Fill rows of positions on the right with 0: (r s), or (3 r s) where positions have three components."""
    if not any(isinstance(p, tuple) for row in rows for p in row[:1]):
        return pad(rows, 0, device)  # type: ignore[arg-type]
    return torch.stack([pad([[p[i] for p in row] for row in rows], 0, device) for i in range(3)])  # type: ignore[index]


def attention_mask(queries: Tensor, keys: Tensor) -> Tensor:
    """Mark the keys that each query may attend to.

    Args:
        queries: (r s) owners of the newest s tokens.
        keys: (r k) owners of all tokens so far, the queries last.
    Returns:
        (r 1 s k) bool. Padding attends to itself alone, so that no row of the mask is empty.
    """
    s, k = queries.shape[1], keys.shape[1]
    # The queries are the last s keys. A query sees those keys up to itself that are shared or of its own question.
    index = torch.arange(k, device=keys.device)
    earlier = index[None, :] <= index[k - s :, None]
    itself = index[None, :] == index[k - s :, None]
    related = (keys[:, None, :] == SHARED) | (keys[:, None, :] == queries[:, :, None])
    real = queries[:, :, None] != PADDING
    return ((related & earlier & real) | itself)[:, None]


def embed(ids: Tensor, visual: Sequence[Tensor], embedding: nn.Module) -> Tensor:
    """Embed tokens, each row's visual tokens scattered into their places.

    Args:
        ids: (r s), VISUAL at the visual tokens' places.
        visual: for each row (n d).
        embedding: the LLM's input embedding.
    Returns:
        (r s d).
    Raises:
        ValueError: a row reserves another number of visual tokens than it was given.
    """
    places = ids == VISUAL
    for row, made in zip(places, visual, strict=True):
        if int(row.sum()) != len(made):
            raise ValueError(
                f"Prompt reserves {int(row.sum())} visual tokens but the connector made {len(made)}. "
                "Build the prompt with connector.num_tokens(t, h, w)."
            )
    embeds: Tensor = embedding(ids.clamp_min(0))
    return embeds.masked_scatter(places[..., None], torch.cat(list(visual)).to(embeds.dtype))


def deepstack(ids: Tensor, deep: Sequence[Tensor | None], embeds: Tensor) -> dict[str, Any]:
    """Lay out what is added to the hidden states of visual tokens, as the text model of Qwen3-VL takes it.

    Args:
        ids: (r s), VISUAL at the visual tokens' places.
        deep: for each row (l n d); None in all rows where nothing is added.
        embeds: (r s d).
    Returns:
        Further arguments of the LLM.
    """
    added = [d.to(embeds) for d in deep if d is not None]
    if not added:
        return {}
    return {"visual_pos_masks": ids == VISUAL, "deepstack_visual_embeds": list(torch.cat(added, dim=1))}
