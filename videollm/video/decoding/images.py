"""Still images, animated images and folders of images as videos, through Pillow.

SHAPES  h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from videollm.errors import Status, VideoError
from videollm.io import check_file
from videollm.types import FrameBatch
from videollm.video.decoding.base import Decoder, DecodeRequest, choose, lay_out
from videollm.video.preprocessing.frame_size import resize_frame, target_size
from videollm.video.sampling import Timeline

FOLDER_FPS: Final = 1.0
"""Images of a folder count as one second each, unless the clip says how far apart they were taken."""
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})


def is_image(path: str) -> bool:
    """Tell whether a path is a folder, or starts like an image that Pillow reads (gif is left to the video decoder)."""
    if Path(path).is_dir():
        return True
    with Path(path).open("rb") as file:
        head = file.read(16)
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*")) or (
        head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    )


def folder_images(path: str) -> list[Path]:
    """List the images of a folder in natural order (img2 before img10); hidden files are left out.

    Raises:
        VideoError: `permission_denied`, or `no_video`: the folder holds no image.
    """
    try:
        files = [p for p in Path(path).iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    except PermissionError:
        raise VideoError(Status.PERMISSION_DENIED, f"{path}: permission denied; make the folder readable.") from None
    if not files:
        kinds = ", ".join(sorted(SUFFIXES))
        raise VideoError(Status.NO_VIDEO, f"{path}: a folder without images; expected {kinds} files, or a video file.")
    parts = {file: re.split(r"(\d+)", file.name) for file in files}  # every second one is a number
    return sorted(files, key=lambda p: ([int(n) if i % 2 else n for i, n in enumerate(parts[p])], p.name))


def image_timeline(path: str, fps: float | None = None) -> Timeline:
    """Return the times of a folder's images, or of the frames of an image file.

    Args:
        fps: images per second of a folder, above 0.
    Raises:
        VideoError: `no_video`: not a readable image.
    """
    if Path(path).is_dir():
        num_frames, fps = len(folder_images(path)), FOLDER_FPS if fps is None else fps
        return Timeline(num_frames=num_frames, fps=fps, duration_seconds=num_frames / fps)
    num_frames, duration = 1, 1 / FOLDER_FPS
    with _opened(path, Status.NO_VIDEO) as image:
        num_frames = getattr(image, "n_frames", 1)
        milliseconds = float(image.info.get("duration", 0) or 0)
    if num_frames > 1:
        duration = num_frames * (milliseconds / 1000 or 0.1)
    return Timeline(num_frames=num_frames, fps=num_frames / duration, duration_seconds=duration)


def image_size(path: str) -> tuple[int, int]:
    """Return the (h, w) of the first image, upright."""
    height, width = read_image(str(folder_images(path)[0]) if Path(path).is_dir() else path, 0).shape[:2]
    return height, width


def read_image(path: str, index: int) -> NDArray[np.uint8]:
    """Read frame `index` of an image file, (h w c), turned as its EXIF data says.

    Raises:
        VideoError: `decode_error`: the image cannot be decoded.
    """
    with _opened(path, Status.DECODE_ERROR) as image:
        image.seek(index)
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@contextmanager
def _opened(path: str, status: Status) -> Iterator[Image.Image]:
    """Open an image file; turn Pillow's errors inside the block into a VideoError of a status."""
    try:
        with Image.open(path) as image:
            yield image
    except Exception as error:  # a damaged header brings Pillow's parsers to a TypeError, a struct.error, ...
        reason = str(error) or type(error).__name__
        raise VideoError(status, f"{path}: the image cannot be read ({reason}); expected a healthy image.") from error


class ImageDecoder(Decoder):
    """Decodes folders of images and image files."""

    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode the images asked for; the first one sets the size of all.

        Raises:
            VideoError: as `decode.decode`.
        """
        clip = request.clip
        timeline = image_timeline(request.path, clip.fps)
        asked, request = choose(request, timeline)
        still = timeline.num_frames == 1 and not Path(request.path).is_dir()
        if still:
            asked = replace(asked, snapped_seconds=(-1.0,) * len(asked.indices), temporal_ids=(), packing=1)
        size = None if still and request.size is not None and request.size.keep_stills else request.size
        distinct = sorted(set(asked.indices))
        folder = folder_images(request.path) if Path(request.path).is_dir() else None
        frames: NDArray[np.uint8] | None = None
        seconds: dict[int, float] = {}
        damage: str | None = None
        for row, index in enumerate(distinct):
            try:
                if folder is not None:
                    check_file(str(folder[index]))
                    image = read_image(str(folder[index]), 0)
                else:
                    image = read_image(request.path, index)
            except VideoError as error:
                damage = str(error).rstrip(".")
                continue
            if frames is None:
                height, width = target_size(size, *image.shape[:2])
                frames = np.empty((len(distinct), height, width, 3), np.uint8)
            frames[row] = resize_frame(image, height, width, "pil" if size is None else size.filter)
            seconds[index] = timeline.seconds_of(index)
        if frames is None:
            frames = np.empty((len(distinct), 0, 0, 3), np.uint8)
        return lay_out(request, asked, frames, seconds, damage)
