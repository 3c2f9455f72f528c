"""Layout of a clip's visual tokens: spans, the text around them, and the places of the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from connectors import Connector, Tokens
from videollm.models.protocol import EncodedClip, Visual
from videollm.types import Places


def lay_out(connector: Connector, clip: EncodedClip, made: Sequence[Tokens]) -> Visual:
    """Lay out the visual tokens of a clip's groups, with the text around them.

    A group is one span. Where the model writes text at every frame and the connector keeps frames apart, each frame is
    a span of its own.

    Args:
        connector: made the tokens.
        clip: of which they were made.
        made: for each group.
    """
    nothing: list[tuple[()]] = [()] * len(clip.features)
    layout: list[int | str] = []
    places: list[Places] = []
    groups = zip(clip.features, clip.around, clip.labels or nothing, clip.clocks or nothing, made, strict=True)
    for features, (before, after), labels, clock, tokens in groups:
        num, t = len(tokens.tokens), len(features.frames)
        grid = connector.grid(t, *features.grids[0]) if len(set(features.grids)) == 1 else None
        of_frames = _of_frames(tokens, grid, t) if labels else None
        if grid is not None and prod(grid) != num:  # fewer tokens than places: they lie in no grid
            grid = None
        if of_frames is not None:
            for (label_before, label_after), size in zip(labels, of_frames, strict=True):
                layout += [label_before, size, label_after]
            places += [Places(grid=None if grid is None else (1, *grid[1:])) for size in of_frames if size]
        else:
            layout += [before, num, after]
            places.append(Places(grid=grid, clock=_merged(clock, grid)))
    deep = [tokens.deep for tokens in made if tokens.deep is not None]
    return Visual(
        tokens=torch.cat([tokens.tokens for tokens in made]),
        frame_indices=clip.frame_indices,
        frame_seconds=clip.frame_seconds,
        layout=tuple(part for part in layout if part),
        places=tuple(places),
        deep=torch.cat(deep, dim=1) if deep else None,
    )


def _of_frames(made: Tokens, grid: tuple[int, int, int] | None, t: int) -> list[int] | None:
    """Count the tokens of each frame; None where the connector does not keep frames apart."""
    if grid is None or grid[0] != t:
        return None
    if len(made.tokens) == prod(grid):
        return [prod(grid[1:])] * t
    if made.places is None:
        return None
    counts: list[int] = torch.bincount(made.places[:, 0].long(), minlength=t).tolist()
    return counts


def _merged(clock: Sequence[float], grid: tuple[int, int, int] | None) -> tuple[float, ...]:
    """Give each frame of the connector's grid the time of the first frame that it was made of."""
    if grid is None or not clock:
        return ()
    return tuple(clock[i * len(clock) // grid[0]] for i in range(grid[0]))
