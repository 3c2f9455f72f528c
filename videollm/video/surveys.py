"""What is known of a video before it is split: its length, its keyframes and its cuts.

UNITS  seconds count from the first displayed frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videollm.errors import VideoError
from videollm.io import check_file, local_path, quick_hash
from videollm.types import Clip
from videollm.video.cues.base import CUES, Cut
from videollm.video.file_timeline import read_timeline


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is known of a video before it is split."""

    video: str
    """Path or URL."""
    video_hash: str | None
    """As `FrameBatch.video_hash`."""
    duration: float
    """Seconds from the first displayed frame to the end of the last; the sound may be longer."""
    num_frames: int
    fps: float
    """Average frames per second; times do not follow from it."""
    keyframes: tuple[float, ...] = ()
    """Presentation times of the frames at which decoding can start."""
    cues: str | None = None
    """What found the cuts; None where none were looked for."""
    cuts: tuple[Cut, ...] = ()
    """Ascending."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Survey:
        """Make a survey of what `to_dict` returned, after a way through JSON."""
        lists = {"keyframes": tuple(values["keyframes"]), "cuts": tuple(Cut(**cut) for cut in values["cuts"])}
        return Survey(**{**values, **lists})


def survey(video: Clip | str, cues: str | None = None) -> Survey:
    """Survey a whole video.

    Args:
        video: a video file, gif, image, folder of images or URL; a range in a clip is not looked at.
        cues: finds the cuts: a name in CUES, `pkg.mod:Class` or `path/to/file.py:Class`; None looks for none, and then
            nothing is decoded where the container tells the times of its frames.
    Raises:
        UserError: there are no such cues, or they take a package that is not installed.
        VideoError: the video cannot be read, or has no such cues; `status` says why.
    """
    finder = None if cues is None else CUES.load(cues)()
    clip = video if isinstance(video, Clip) else Clip(video=video)
    with local_path(clip.video) as path:
        check_file(path)
        timeline = read_timeline(Clip(video=path, fps=clip.fps))
        cuts: list[Cut] = []
        if finder is not None:
            from videollm.video.thumbnails import thumbnails

            pictures = iter(()) if finder.size is None else thumbnails(path, finder.size)
            try:
                cuts = finder.find(timeline, pictures)
            except VideoError as error:
                raise VideoError(error.status, f"{clip.video}: {error}") from error
        return Survey(
            video=clip.video,
            video_hash=quick_hash(Path(path)) if Path(path).is_file() else None,
            duration=timeline.duration_seconds,
            num_frames=len(timeline.seconds),
            fps=timeline.fps,
            keyframes=tuple(timeline.key_seconds.tolist()),
            cues=cues,
            cuts=tuple(sorted(cuts, key=lambda cut: cut.seconds)),
        )
