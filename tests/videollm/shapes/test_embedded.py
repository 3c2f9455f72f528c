"""The embedded models do what docs/embedded.md says, on H.264 clips that training never drew."""

from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch

import videollm
from videollm.checkpoints import EMBEDDED
from videollm.models.connecting import MAX_FRAMES_PER_CONNECT
from videollm.shapes.clips import ClipsConfig, write_clips
from videollm.shapes.scores import Scored, evaluate


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held-out")
    write_clips(folder, ClipsConfig(num_clips=100, seed=4242))
    return folder


@pytest.fixture(scope="module", params=EMBEDDED)
def scored(request: pytest.FixtureRequest, clips: Path) -> list[Scored]:
    return evaluate(videollm.load(request.param), clips)


def test_answers_are_right(scored: list[Scored]) -> None:
    assert mean(s.right["as is"] for s in scored) >= 0.90
    assert mean(s.right["as is"] for s in scored if s.temporal) >= 0.85


def test_order_matters_to_temporal_questions(scored: list[Scored]) -> None:
    temporal = [s for s in scored if s.temporal]
    assert len(temporal) > 100
    assert mean(s.right["shuffled"] for s in temporal) < mean(s.unordered_chance for s in temporal) + 0.1


def test_a_blank_video_leaves_a_guess(scored: list[Scored]) -> None:
    assert mean(s.right["blank"] for s in scored) < mean(s.blind_chance for s in scored) + 0.05


@pytest.mark.parametrize("name", EMBEDDED)
def test_four_to_sixty_four_frames(name: str, clips: Path) -> None:
    model = videollm.load(name)
    for num_frames in (4, 64):
        scored = evaluate(model, _few(clips), num_frames=num_frames)
        assert mean(s.right["as is"] for s in scored) > 0.7, num_frames


@pytest.mark.parametrize("name", EMBEDDED)
def test_more_frames_than_go_through_the_connector_at_once(name: str, clips: Path) -> None:
    model = videollm.load(name)
    sampled = [(4, "4242-00000"), (64, "4242-00001"), (100, "4242-00002"), (8, "4242-00003"), (60, "4242-00004")]
    batches = [
        model.decode(clips / f"{clip}.mp4", sampling=replace(model.sampling, num_frames=n)) for n, clip in sampled
    ]
    assert sum(len(b.frames) for b in batches) > 3 * MAX_FRAMES_PER_CONNECT
    for batch, together in zip(batches, model.encode(batches), strict=True):
        (alone,) = model.encode([batch])
        assert together.layout == alone.layout
        torch.testing.assert_close(together.tokens, alone.tokens, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", EMBEDDED)
def test_files_are_small(name: str) -> None:
    folder = Path(videollm.__file__).parent / "assets" / name
    assert sum(p.stat().st_size for p in folder.iterdir()) < 8 * 2**20


def _few(clips: Path) -> Path:
    """A folder with the first 20 clips' questions."""
    folder = clips / "few"
    folder.mkdir(exist_ok=True)
    lines = (clips / "questions.jsonl").read_text().splitlines()
    few = [line for line in lines if any(f"4242-{i:05d}" in line for i in range(20))]
    (folder / "questions.jsonl").write_text("\n".join(few))
    for video in clips.glob("4242-000[01]?.mp4"):
        (folder / video.name).unlink(missing_ok=True)
        (folder / video.name).symlink_to(video)
    return folder
