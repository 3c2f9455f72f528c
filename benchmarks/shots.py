"""Cues of cuts, compared: right and wrong ones on drawn shapes, numbers and agreement on real clips.

python benchmarks/shots.py --clips FOLDER
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from videollm.errors import VideollmError
from videollm.shapes.clips import write_video
from videollm.shapes.stories import tell
from videollm.shapes.world import times
from videollm.video.cues import CUES, Cut
from videollm.video.surveys import Survey, survey

FPS = 12
AGREED_SECONDS = 0.25


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cues", nargs="*", default=list(CUES.builtin))
    parser.add_argument("--clips", type=Path, help="a folder of videos")
    parser.add_argument("--shots", type=int, default=150)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "shapes.mp4"
        truth = draw_shots(path, options.shots)
        print(f"| cue | right of {len(truth)} | wrong | F1 | CPU seconds |\n| --- | --- | --- | --- | --- |")
        for cue in options.cues:
            print(f"| `{cue}` | {scored(str(path), cue, truth)} |", flush=True)
    if options.clips is None:
        return
    print(
        "\n| clip | frames | " + " | ".join(options.cues) + " | in all |\n" + "| --- " * (len(options.cues) + 3) + "|"
    )
    for path in sorted(options.clips.iterdir()):
        try:
            known = survey(str(path))
        except VideollmError:
            continue  # not a video
        found = [cuts_of(path, cue) for cue in options.cues]
        cells = ["refused" if cuts is None else str(len(cuts)) for cuts in found]
        lists = [cuts for cuts in found if cuts is not None]
        agreed = sum(all(near(cut.seconds, other, AGREED_SECONDS) for other in lists) for cut in (lists or [()])[0])
        print(f"| {path.name} | {known.num_frames} | {' | '.join(cells)} | {agreed} |", flush=True)


def draw_shots(path: Path, count: int) -> list[float]:
    """Write a video of lone shapes, one after the other; return the times of its cuts."""
    rng, made, last, at = random.Random(1), [], None, 0.0
    while len(made) < count:
        scene = tell(f"cuts/{rng.random()}", "alone").world[0]
        look = scene.background, scene.things[0].name
        if look != last:
            made.append(replace(scene, span=(at, at + rng.uniform(1.5, 3))))
            last, at = look, made[-1].span[1]
    world = tuple(replace(s, span=(s.span[0] / at, s.span[1] / at)) for s in made)
    num_frames = round(at * FPS)
    write_video(path, world, num_frames=num_frames, fps=FPS, size=96)
    middle = np.array(times(num_frames))
    return [int(np.searchsorted(middle, scene.span[0])) / FPS for scene in world[1:]]


def scored(path: str, cue: str, truth: Sequence[float]) -> str:
    """Return the cells of a cue: right, wrong, F1, seconds."""
    began = time.process_time()
    try:
        known: Survey = survey(path, cue)
    except VideollmError as error:
        return f"{error} | | |"
    seconds = time.process_time() - began
    right = sum(near(at, known.cuts, 0.5 / FPS) for at in truth)
    f1 = 2 * right / (len(known.cuts) + len(truth))
    return f"{right} | {len(known.cuts) - right} | {f1:.3f} | {seconds:.2f}"


def cuts_of(path: Path, cue: str) -> tuple[Cut, ...] | None:
    try:
        return survey(str(path), cue).cuts
    except VideollmError:
        return None


def near(at: float, cuts: Sequence[Cut], seconds: float) -> bool:
    return any(abs(at - cut.seconds) < seconds for cut in cuts)


if __name__ == "__main__":
    main()
