"""Frames of a video: the entry point, and the table of backends behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from videollm.errors import VideoError
from videollm.io import check_file, local_path, quick_hash
from videollm.types import Clip, FrameBatch
from videollm.video.decoding.backend import Backend, Job
from videollm.video.decoding.decord_backend import decode_decord
from videollm.video.decoding.index import UnplannableError
from videollm.video.decoding.planned import decode_planned
from videollm.video.decoding.sequential import decode_sequential
from videollm.video.preprocessing.scale import FrameSize
from videollm.video.sampling import Sampling, check_range


def decode(
    clip: Clip | str,
    sampling: Sampling,
    *,
    size: FrameSize | None = None,
    decoder: str = "auto",
    allow_partial: bool = False,
    threads: int = 1,
) -> FrameBatch:
    """Decode exactly the frames that a sampling policy chooses of a clip.

    Display rotation is applied. The work and the memory are bounded by the frames asked for, not by the video.

    Args:
        clip: a video file, gif, image, folder of images or URL (`videollm.io` knows the schemes), or a range of it.
        sampling: which frames.
        size: size of the frames after rotation; None keeps the video's.
        decoder: a name in DECODERS. `auto` is exact and falls back to slower ways where a file needs them.
        allow_partial: return the healthy frames of a damaged video, the others listed in `missing`.
        threads: CPU threads; 1 is best for many videos at once, more for a single one.
    Raises:
        VideoError: the video cannot be read as asked; `status` says why.
        ValueError: unknown decoder, or threads below 1.
    """
    if decoder not in DECODERS:
        raise ValueError(f"Unknown decoder {decoder!r}; expected one of {', '.join(DECODERS)}.")
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected 1 or more.")
    clip = Clip(video=clip) if isinstance(clip, str) else clip
    check_range(clip.start, clip.end)
    with local_path(clip.video) as path:
        job = Job(path=path, clip=clip, sampling=sampling, size=size, threads=threads, allow_partial=allow_partial)
        check_file(path)
        from videollm.video.decoding import images  # Pillow is loaded by those who need it

        batch = images.decode_images(job) if images.is_image(path) else DECODERS[decoder](job)
        return replace(batch, video_hash=quick_hash(Path(path)) if Path(path).is_file() else None)


def decode_auto(job: Job) -> FrameBatch:
    """The planned decoder; plain counting where it cannot plan or fails; decord where FFmpeg cannot open the file.

    Raises:
        VideoError: as `decode`; the first failure, where all ways fail.
    """
    try:
        return decode_planned(job)
    except UnplannableError:
        return decode_sequential(job)
    except VideoError as error:
        fallback = {"decode_error": decode_sequential, "no_video": decode_decord}.get(error.status)
        if fallback is None:
            raise
        try:
            return fallback(job)
        except VideoError:
            raise error from None


DECODERS: Final[dict[str, Backend]] = {
    "auto": decode_auto,
    "planned": decode_planned,
    "pyav": decode_sequential,
    "decord": decode_decord,
}
