"""Scores of a caption job's segments on videos whose every event is known, as `videollm make-clips` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.evals.metrics.timed_captions import caption_scores
from pipelines.evals.statistics.bootstrap import Estimate, estimate
from pipelines.evals.text_table import TextTable, hundredths, interval
from videollm.errors import UserError
from videollm.types import Cue


@dataclass(frozen=True, kw_only=True)
class TimedScores:
    """Scores of captions with times."""

    by_video: Mapping[str, Mapping[str, float]]
    """Name of the file -> its scores, see `caption_scores`."""
    num_captions: int

    def overall(self) -> dict[str, Estimate]:
        """Estimate each score over all videos like these."""
        names, scores = list(self.by_video), list(self.by_video.values())
        return {metric: estimate([found[metric] for found in scores], names) for metric in scores[0]}

    def table(self) -> TextTable:
        """Lay out the scores over all videos."""
        rows = [(metric, hundredths(e.mean), interval(e.low, e.high)) for metric, e in self.overall().items()]
        title = f"{self.num_captions:,} captions of parts of {len(self.by_video):,} videos"
        return TextTable(title=title, columns=("metric", "%", "95% interval"), rows=rows)


def score_timed_captions(told: Mapping[str, Sequence[Cue]], timelines: Path) -> TimedScores:
    """Score captions of parts of videos.

    Args:
        told: captions of each video, in order of their start, by the name of its file.
        timelines: `timeline.json`, which names the videos in the same way.
    Raises:
        UserError: the timelines cannot be read, or know none of the videos.
    """
    events = _read_events(timelines)
    known = {name: cues for name, cues in sorted(told.items()) if events.get(name)}
    if not known:
        raise UserError(
            f"Got captions of {_some(told)}, and in {timelines} events of {_some(events)}; expected a video of both. "
            "Caption the videos beside that file with `--split shots` or `--split fixed`."
        )
    return TimedScores(
        by_video={name: caption_scores(cues, events[name]) for name, cues in known.items()},
        num_captions=sum(map(len, known.values())),
    )


def _read_events(path: Path) -> dict[str, list[Cue]]:
    """Read events in order of their start, by the name of the video's file."""
    try:
        videos = json.loads(path.read_text())
        return {
            name: [Cue(start=float(e["start"]), end=float(e["end"]), text=str(e["name"])) for e in video["events"]]
            for name, video in videos.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: {type(error).__name__}: {error}; expected the timeline.json that `videollm make-clips --minutes` "
            "writes."
        ) from error


def _some(names: Mapping[str, Sequence[object]]) -> str:
    shown = ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
    return shown or "no video"
