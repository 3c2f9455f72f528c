"""The entry point for many windows of one file: one pass for all. Importing this takes neither PyAV nor decord."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from videollm.errors import UserError, VideoError
from videollm.io import check_file, local_path, quick_hash
from videollm.types import Clip, FrameBatch
from videollm.video.decoding.base import Decoder, DecodeRequest
from videollm.video.decoding.decode import load_decoder
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling, check_range


@dataclass(frozen=True, kw_only=True)
class DecodedWindow:
    """What became of one window: frames, or why there are none."""

    number: int
    """Place of the window among those asked for."""
    start: float
    """Seconds from the first frame of the video."""
    end: float
    """Seconds, exclusive."""
    batch: FrameBatch | None = None
    error: VideoError | None = None


def decode_windows(
    clip: Clip | str | Path,
    windows: Sequence[tuple[float, float]],
    sampling: Sampling | None = None,
    *,
    size: FrameSize | None = None,
    decoder: str = "auto",
    allow_partial: bool = False,
    threads: int = 1,
) -> Iterator[DecodedWindow]:
    """Decode many windows of one file, each exactly as `decode` decodes a clip of its range, in one pass.

    The file is opened and indexed once, and what several windows need is decoded once. A window is yielded as soon as
    its last frame is decoded: those in hand at once are those that overlap, and those of one group of pictures. Frames
    of overlapping windows are copies.

    Args:
        clip: a video as for `decode`; windows are cut from the whole of it, so it has no range of its own.
        windows: (start, end) seconds; in any order, and they may overlap.
        sampling: which frames of each window; None is 8 by VideoLLaMA2's rule.
        size: as for `decode`.
        decoder: as for `decode`; `auto`, `planned` and `pyav` take one pass, others open the file for every window.
        allow_partial: as for `decode`.
        threads: of the decoder. Files are decoded faster side by side, one thread each.
    Yields:
        One result for every window, mostly in order of time. Damage is the error of the windows that it meets; what is
        wrong with the file as a whole is the error of every window.
    Raises:
        UserError: unknown decoder, threads below 1, or a clip with a range.
        VideoError: `missing_dependency`.
    """
    if threads < 1:
        raise UserError(f"threads is {threads}; expected 1 or more.")
    clip = clip if isinstance(clip, Clip) else Clip(video=str(clip))
    if clip.start is not None or clip.end is not None:
        raise UserError(
            f"{clip.video}: the clip has the range {clip.start} to {clip.end} s; expected a whole video, from which "
            "windows are cut."
        )
    clips = [replace(clip, start=start, end=end) for start, end in windows]
    request = DecodeRequest(
        path="",
        clip=clip,
        sampling=Sampling() if sampling is None else sampling,
        size=size,
        threads=threads,
        allow_partial=allow_partial,
    )
    return _results(decoder, load_decoder(decoder), request, clips)


def _results(name: str, backend: Decoder, request: DecodeRequest, clips: Sequence[Clip]) -> Iterator[DecodedWindow]:
    def result(number: int, batch: FrameBatch | None, error: VideoError | None) -> DecodedWindow:
        start, end = clips[number].start, clips[number].end
        assert start is not None
        assert end is not None
        return DecodedWindow(number=number, start=start, end=end, batch=batch, error=error)

    left: dict[int, Clip] = {}
    for number, clip in enumerate(clips):
        try:
            check_range(clip.start, clip.end)
            left[number] = clip
        except VideoError as error:
            yield result(number, None, error)
    try:
        for number, found in _decode(name, backend, request, dict(left)):
            del left[number]
            yield result(number, None, found) if isinstance(found, VideoError) else result(number, found, None)
            del found  # whoever takes a window decides how long its frames live
    except VideoError as of_file:
        for number in left:
            yield result(number, None, of_file)


def _decode(
    name: str, backend: Decoder, request: DecodeRequest, clips: dict[int, Clip]
) -> Iterator[tuple[int, FrameBatch | VideoError]]:
    """Decode clips of one file.

    Raises:
        VideoError: the file cannot be read at all.
    """
    if not clips:
        return
    with local_path(request.clip.video) as path:
        check_file(path)
        from videollm.video.decoding import images  # Pillow is loaded by those who need it

        requests = {number: replace(request, path=path, clip=clip) for number, clip in clips.items()}
        digest = quick_hash(Path(path)) if Path(path).is_file() else None
        still = images.is_image(path)
        for number, found in (images.ImageDecoder() if still else backend).decode_windows(requests):
            if isinstance(found, VideoError):
                yield number, found
            else:
                yield number, replace(found, video_hash=digest, decoder=None if still else found.decoder or name)
