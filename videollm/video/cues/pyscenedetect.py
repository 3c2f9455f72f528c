"""Cuts by PySceneDetect's ContentDetector, fed with our frames at their own times.

Source: https://github.com/Breakthrough/PySceneDetect (BSD 3-Clause), the package `scenedetect-headless`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np

from videollm.video.cues.base import Cues, Cut, Picture
from videollm.video.cues.extras import import_extra
from videollm.video.file_timeline import FileTimeline


class PySceneDetect(Cues):
    """PySceneDetect: mean change of hue, saturation and light from frame to frame, at its own threshold (27 of 255)."""

    size = (144, 256)

    def __init__(self) -> None:
        self._detectors = import_extra("scenedetect.detectors", "pyscenedetect")
        self._common = import_extra("scenedetect.common", "pyscenedetect")

    def find(self, timeline: FileTimeline, pictures: Iterable[Picture]) -> list[Cut]:
        """Find the cuts; strength is the detector's score."""
        # It is told frame numbers and gives them back: times are ours, whatever the frame rate does.
        detector, scores, seconds = self._detectors.ContentDetector(), _Scores(), array("d")
        detector.stats_manager = scores
        numbers: list[int] = []
        last: Any = None
        for number, (time, picture) in enumerate(pictures):
            seconds.append(time)
            last = self._common.FrameTimecode(number, timeline.fps)
            found = detector.process_frame(last, np.ascontiguousarray(picture[..., ::-1]))
            scores.pad(number + 1)
            numbers += [code.frame_num for code in found]
        if last is not None:
            numbers += [code.frame_num for code in detector.post_process(last)]
        return [Cut(seconds[n], scores.values[n]) for n in sorted(set(numbers))]


class _Scores:
    """Keeps the score of every frame in the place of PySceneDetect's StatsManager, which keeps all it has of it."""

    def __init__(self) -> None:
        self.values = array("d")

    def set_metrics(self, _: Any, metrics: dict[str, float]) -> None:
        """Take what the detector found of the frame after those before."""
        self.values.append(float(metrics["content_val"]))

    def pad(self, count: int) -> None:
        """Give a score to the first frame, which has none."""
        self.values.extend([0.0] * (count - len(self.values)))
