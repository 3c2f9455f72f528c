"""The interface of a sampling policy, and the table of policies: pure functions from a timeline to display indices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Final

from connectors.registry import Table
from videollm.errors import UserError
from videollm.video.sampling.timeline import Timeline, frame_range

DEFAULT: Final = "segment_centers"
ONCE_SHARED: Final = frozenset(
    {"num_frames", "every_seconds", "choose_fps", "max_num_frames", "max_packing", "force_packing"}
)
"""Fields that records written by version 0.1 hold whatever the policy is."""


@dataclass(frozen=True)
class Sampled:
    """Chosen frames."""

    indices: tuple[int, ...]
    """Display indices, ascending; a short video repeats some."""
    snapped_seconds: tuple[float, ...] = ()
    """Times that the model is told in the place of the true ones; () where it is not."""
    temporal_ids: tuple[int, ...] = ()
    """Those times in the units of the model's time axis."""
    packing: int = 1
    """Consecutive frames that share one set of visual tokens."""
    fps: float = 0.0
    """Average frames per second of the video; `sample` fills it in."""
    num_in_range: int = 0
    """Frames of the video or of the part to choose from; `sample` fills it in."""


@dataclass(frozen=True, kw_only=True, init=False)
class Sampling:
    """Choice of frames: the base class of the policies, which also finds a policy by its name.

    `Sampling(policy="linspace", num_frames=16)` is a `Linspace(num_frames=16)`. A policy is a frozen dataclass of
    numbers and words, so that `dataclasses.asdict` writes it as JSON and `from_dict` reads it; a subclass adds fields,
    whose docstrings are their help, and `choose`.
    """

    policy: str = ""
    """Name in POLICIES, `pkg.mod:Class` or `path/to/file.py:Class`; a policy that is built directly finds its own."""

    by_time: ClassVar[bool] = False
    """Whether presentation times, and not only the number of frames, decide which frames of a whole video are taken."""

    def __new__(cls, *, policy: str = "", **settings: Any) -> Sampling:
        """Make a policy of the class that is called, or, of the base, of the class that `policy` names.

        Raises:
            UserError: there is no such policy, or it has no such setting.
        """
        if cls is not Sampling:
            return super().__new__(cls)
        check_settings(policy or DEFAULT, settings)
        return super().__new__(POLICIES.load(policy or DEFAULT))

    def __post_init__(self) -> None:
        if not self.policy:
            path = f"{type(self).__module__}:{type(self).__qualname__}"
            object.__setattr__(self, "policy", next((n for n, p in POLICIES.builtin.items() if p == path), path))

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Choose frames of a video or of a part of it.

        Args:
            timeline: when the frames of the whole video are shown.
            frames: display indices of the part, at least one.
            start: seconds at which the part begins.
        Returns:
            Indices within `frames`, at least one.
        """
        raise NotImplementedError

    def needs_times(self, start: float | None, end: float | None) -> bool:
        """Tell whether presentation times, and not only the number of frames, decide which frames are taken."""
        return self.by_time or start is not None or end is not None

    def check_positive(self, *names: str) -> None:
        """Check settings.

        Raises:
            UserError: a setting is not a finite (and where its type is int, whole) number above 0.
        """
        whole = {f.name for f in fields(self) if f.type in (int, "int")}
        for name in names:
            value, kind = getattr(self, name), int if name in whole else int | float
            if not (isinstance(value, kind) and math.isfinite(value) and value > 0):
                expected = "a whole number" if name in whole else "a number"
                raise UserError(f"{self.policy}: {name} is {value!r}; expected {expected} above 0.")

    def override(self, *, policy: str | None = None, **settings: Any) -> Sampling:
        """Return this choice with other settings; another policy takes over the settings that it shares.

        Raises:
            UserError: there is no such policy, it has no such setting, or the value does not suit.
        """
        chosen = self.policy if policy is None else policy
        kept = {name: value for name, value in asdict(self).items() if name in setting_names(chosen)}
        return Sampling(policy=chosen, **{**kept, **settings})

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Sampling:
        """Build a policy from what `dataclasses.asdict` made of one, now or in version 0.1.

        Raises:
            UserError: there is no such policy, it has no such setting, or the value does not suit.
        """
        policy = str(values.get("policy") or DEFAULT)
        known = setting_names(policy)
        settings = {n: v for n, v in values.items() if n != "policy" and (n in known or n not in ONCE_SHARED)}
        return Sampling(policy=policy, **settings)


POLICIES: Final[Table[Sampling]] = Table(
    noun="sampling policy",
    group="videollm.policies",
    base="videollm.video.sampling.base:Sampling",
    error=UserError,
    builtin={
        "segment_centers": "videollm.video.sampling.segment_centers:SegmentCenters",
        "linspace": "videollm.video.sampling.linspace:Linspace",
        "nearest_seconds": "videollm.video.sampling.nearest_seconds:NearestSeconds",
        "first_seconds": "videollm.video.sampling.first_seconds:FirstSeconds",
        "at_seconds": "videollm.video.sampling.at_seconds:AtSeconds",
        "every": "videollm.video.sampling.every:Every",
        "fps_stride": "videollm.video.sampling.fps_stride:FpsStride",
        "fps_pack": "videollm.video.sampling.fps_pack:FpsPack",
        "fps_linspace": "videollm.video.sampling.fps_linspace:FpsLinspace",
        "whole_seconds": "videollm.video.sampling.whole_seconds:WholeSeconds",
        "segments": "videollm.video.sampling.segments:Segments",
        "fps_filter": "videollm.video.sampling.fps_filter:FpsFilter",
        "fps_skip": "videollm.video.sampling.fps_skip:FpsSkip",
    },
)


def setting_names(policy: str) -> tuple[str, ...]:
    """Return the names of a policy's settings.

    Raises:
        UserError: there is no such policy.
    """
    return tuple(f.name for f in fields(POLICIES.load(policy)) if f.name != "policy")


def check_settings(policy: str, names: Iterable[str]) -> None:
    """Check that a policy has these settings.

    Raises:
        UserError: there is no such policy, or it lacks one of them.
    """
    known = setting_names(policy)
    if unknown := sorted(set(names) - set(known)):
        raise UserError(
            f"The sampling policy {policy} has no {', '.join(unknown)}; expected one of {', '.join(known) or 'none'}."
        )


def sample(
    sampling: Sampling,
    timeline: Timeline,
    start: float | None = None,
    end: float | None = None,
    *,
    cut_end: bool = False,
) -> Sampled:
    """Choose frames of a video, or of its part [start, end); arguments and errors as for `frame_range`.

    Raises:
        UserError: a policy from outside chose no frame, or one outside the range.
    """
    first, stop = frame_range(timeline, start, end, cut_end=cut_end)
    chosen = sampling.choose(timeline, range(first, stop), start or 0.0)
    if not chosen.indices or min(chosen.indices) < first or max(chosen.indices) >= stop:
        raise UserError(
            f"The sampling policy {sampling.policy} chose frames {chosen.indices[:5]}; expected at least one, all of "
            f"them from {first} to {stop - 1}. Mend its `choose`."
        )
    return replace(chosen, fps=timeline.fps, num_in_range=stop - first)


def spread(length: int, count: int) -> list[int]:
    """Return the centres of `count` equal parts of range(length), as MiniCPM-V's `uniform_sample` does."""
    gap = length / count
    return [int(i * gap + gap / 2) for i in range(count)]


def thin(length: int, most: int) -> list[int]:
    """Return range(length), thinned evenly to at most `most` numbers."""
    return list(range(length)) if length <= most else spread(length, most)
