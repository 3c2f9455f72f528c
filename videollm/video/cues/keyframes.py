"""Cuts by keyframes, of which encoders put one where the picture changes: nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from videollm.errors import Status, VideoError
from videollm.video.cues.base import Cues, Cut, Picture
from videollm.video.file_timeline import FileTimeline

LEAST_PER_MINUTE: Final = 1.0
MOST_AT_LIMIT: Final = 0.5
"""Share of keyframes at the greatest distance from the one before, from which on that decides and not the picture."""
EXPECTED: Final = "Use --shot-cues pixels, or --split fixed."


class Keyframes(Cues):
    """Keyframes, but for those that come only because the encoder's longest distance is reached."""

    def find(self, timeline: FileTimeline, pictures: Iterable[Picture]) -> list[Cut]:
        """Find the cuts, all equally strong.

        Raises:
            VideoError: `no_video`: keyframes are evenly spaced, or fewer than one per minute.
        """
        keys, minutes = np.unique(timeline.key_seconds), timeline.duration_seconds / 60
        if len(keys) < LEAST_PER_MINUTE * minutes or not len(keys):
            raise _unusable(f"{len(keys)} keyframes in {minutes:.1f} minutes are fewer than one per minute")
        # Encoders count their distance in frames or in seconds; a frame more or less is rounding.
        places = np.searchsorted(timeline.seconds, keys - 1e-6)
        frame = float(np.median(np.diff(timeline.seconds))) if len(timeline.seconds) > 1 else 0.0
        at_limit = _at_limit(np.diff(places).astype(float), 1.0), _at_limit(np.diff(keys), 1.01 * frame)
        for late in at_limit:
            if len(late) > 1 and late.mean() >= MOST_AT_LIMIT:
                raise _unusable(f"{late.sum()} of {len(late)} keyframes are evenly spaced, as the encoder was told")
        # A greatest distance that comes once only may be a cut.
        forced = at_limit[0] if at_limit[0].sum() > 1 else np.zeros(len(keys) - 1, bool)
        return [Cut(float(seconds), 1.0) for seconds in keys[1:][~forced]]


def _at_limit(distances: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Tell which distances are the greatest one."""
    late: NDArray[np.bool_] = distances >= distances.max(initial=0.0) - tolerance
    return late


def _unusable(why: str) -> VideoError:
    return VideoError(Status.NO_VIDEO, f"{why}, so they do not tell where shots begin. {EXPECTED}")
