"""Chapters of a video, and the tree of summaries: which parts are summed up together, up to the whole video.

The leaves are segments. Consecutive segments are a chapter, cut where neighbours are least alike. A node has at most
`branch` children, as many as the LLM can read at once: where there are more, summaries of some of them stand between.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pipelines.timelines.segments import Segment
from videollm.errors import UserError
from videollm.video.surveys import Survey

NOTE_TOKENS: Final = 14
"""Tokens of `[HH:MM:SS-HH:MM:SS] ` and the end of the line around a caption."""
SHORTEST: Final = 0.5
"""Of the length asked for: no chapter is shorter, unless the video or one of its segments decides."""
LONGEST: Final = 1.5


@dataclass(frozen=True)
class Node:
    """A row of a video: a segment, or a summary of the rows below it."""

    suffix: str
    """What follows the video's id in the row's: `/s00012`, `/c003`, `/n1-004` (a summary between), or nothing."""
    level: str
    """`segment`, `chapter`, `summary` or `video`."""
    number: int
    """Its number among those of its level; of summaries, among those of its height."""
    segments: tuple[int, int]
    """Numbers of its first and of its last segment."""
    children: tuple[int, int] | None
    """Places of its first and of its last child in the tree; None for a segment."""


def branch(context: int, *, prompt_tokens: int, max_new_tokens: int, caption_tokens: int) -> int:
    """Return how many notes an LLM can sum up at once.

    Args:
        context: tokens that the LLM takes and gives together.
        prompt_tokens: of the prompt without notes.
        max_new_tokens: of the summary.
        caption_tokens: of a note, at most.
    Raises:
        UserError: not even two fit.
    """
    number = (context - prompt_tokens - max_new_tokens) // (caption_tokens + NOTE_TOKENS)
    if number < 2:
        raise UserError(
            f"The LLM has a context of {context} tokens: after a prompt of {prompt_tokens} and a summary of "
            f"{max_new_tokens}, there is no room for two captions of {caption_tokens}. Ask for shorter ones."
        )
    return number


def differences(segments: Sequence[Segment], survey: Survey, alike: Sequence[float] = ()) -> tuple[float, ...]:
    """Return how unlike the neighbours at each inner boundary are: to compare, not to read.

    Args:
        segments: of the video.
        survey: its cuts count where there is no cosine; a boundary without a cut counts 0.
        alike: cosine of the features of each two neighbouring segments, where they are known.
    """
    if alike:
        return tuple(1 - cosine for cosine in alike)
    strengths = {cut.seconds: cut.strength for cut in survey.cuts}
    return tuple(strengths.get(segment.end, 0.0) for segment in segments[:-1])


def chapters(
    segments: Sequence[Segment], unlike: Sequence[float], chapter_minutes: float
) -> tuple[tuple[int, int], ...]:
    """Group consecutive segments into chapters of about a length.

    A chapter ends at the greatest difference between half and one and a half of that length, the nearest to it among
    equals; what is left is never shorter than half, where the segments allow.

    Args:
        segments: that tile a video.
        unlike: as `differences` returns them.
        chapter_minutes: length wanted.
    Returns:
        Numbers of the first and of the last segment of each chapter.
    """
    check_chapter_minutes(chapter_minutes)
    wanted, duration, ends = chapter_minutes * 60, segments[-1].end, [segment.end for segment in segments]
    made, first = [], 0
    while first < len(segments):
        start = segments[first].start
        last = len(segments) - 1
        if duration - start > LONGEST * wanted:
            earliest, latest = start + SHORTEST * wanted, min(start + LONGEST * wanted, duration - SHORTEST * wanted)
            fit = range(bisect_left(ends, earliest), min(bisect_right(ends, latest), last))
            longer = min(fit.start, last)  # where nothing fits, one segment is longer than a chapter
            last = max(fit, key=lambda i: (unlike[i], -abs(ends[i] - start - wanted)), default=longer)
        made.append((first, last))
        first = last + 1
    return tuple(made)


def check_chapter_minutes(minutes: float) -> None:
    """Check how long chapters are to be.

    Raises:
        UserError: no length.
    """
    if not (math.isfinite(minutes) and minutes > 0):
        raise UserError(f"--chapter-minutes is {minutes:g}; expected a number above 0.")


def tree(num_segments: int, branch: int, chapters: Sequence[tuple[int, int]] = ()) -> tuple[Node, ...]:
    """Lay out all rows of a video, children before their parents, the video last.

    Args:
        num_segments: leaves.
        branch: children that a node has at most, 2 or more.
        chapters: as `chapters` returns them; none where chapters are not wanted.
    """
    if branch < 2 or num_segments < 1:
        raise UserError(f"Got {num_segments} segments and {branch} children per summary; expected at least 1 and 2.")
    segments = [Node(f"/s{i:05d}", "segment", i, (i, i), None) for i in range(num_segments)]
    builder = _Builder(branch, segments)
    top = list(range(num_segments))
    if chapters:
        # Chapters are neighbours in the tree, so what stands between them and their segments is laid out before.
        below = [builder.reduce(top[first : last + 1]) for first, last in chapters]
        top = [builder.add(f"/c{i:03d}", "chapter", i, children) for i, children in enumerate(below)]
    builder.add("", "video", 0, builder.reduce(top))
    return tuple(builder.nodes)


class _Builder:
    """A tree that grows from its leaves."""

    def __init__(self, branch: int, leaves: list[Node]) -> None:
        self.nodes = leaves
        self._branch = branch
        self._heights = [0] * len(leaves)
        self._numbers: dict[int, int] = {}  # height -> summaries of that height

    def add(self, suffix: str, level: str, number: int, children: Sequence[int]) -> int:
        """Add a node above others, and return its place."""
        first, last = self.nodes[children[0]], self.nodes[children[-1]]
        segments = first.segments[0], last.segments[1]
        self.nodes.append(Node(suffix, level, number, segments, (children[0], children[-1])))
        self._heights.append(1 + max(self._heights[child] for child in children))
        return len(self.nodes) - 1

    def reduce(self, layer: Sequence[int]) -> list[int]:
        """Put summaries above a layer, and above those, until one node can have all that are left."""
        layer = list(layer)
        while len(layer) > self._branch:
            # As few groups as the branch allows, their sizes equal but for one.
            groups = -(-len(layer) // self._branch)
            bounds = [len(layer) * i // groups for i in range(groups + 1)]
            height = 1 + max(self._heights[child] for child in layer)
            layer = [self._summary(height, layer[a:b]) for a, b in pairwise(bounds)]
        return layer

    def _summary(self, height: int, children: Sequence[int]) -> int:
        number = self._numbers.get(height, 0)
        self._numbers[height] = number + 1
        return self.add(f"/n{height}-{number:03d}", "summary", number, children)
