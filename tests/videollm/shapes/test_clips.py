import json
import random
from pathlib import Path

import av
import numpy as np
import pytest

from videollm.shapes.clips import ClipsConfig, story_of, write_clips, write_video
from videollm.shapes.stories import tell
from videollm.shapes.world import draw_clip, times


def test_clips_are_h264_and_show_their_stories(tmp_path: Path) -> None:
    config = ClipsConfig(num_clips=3, seed=5, seconds=1, size=96)
    write_clips(tmp_path, config)
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert {r["video"] for r in rows} == {f"005-0000{i}.mp4" for i in range(3)}
    assert all(r["answer"] in r["choices"] and len(r["choices"]) == r["num_choices"] > 1 for r in rows)
    for i in range(3):
        with av.open(str(tmp_path / f"005-0000{i}.mp4")) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
        drawn = draw_clip(story_of(config, i).world, times(16), 96)
        assert frames.shape == drawn.shape
        assert np.abs(frames.astype(int) - drawn).mean() < 4


def test_same_seed_same_files(tmp_path: Path) -> None:
    for name in "ab":
        write_clips(tmp_path / name, ClipsConfig(num_clips=2, seed=1, seconds=0.5))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_an_encoding_does_not_depend_on_what_memory_held_before(tmp_path: Path) -> None:
    """Of 20 encodings of one world several differed: see `ENCODER`."""
    noise, world = random.Random(0), tell("clips/1/0").world
    made = set()
    for i in range(20):
        freed = [bytearray(noise.randbytes(1 << noise.randrange(10, 20))) for _ in range(40)]
        del freed
        write_video(tmp_path / f"{i}.mp4", world, num_frames=8, fps=8, size=96)
        made.add((tmp_path / f"{i}.mp4").read_bytes())
    assert len(made) == 1


@pytest.mark.parametrize("wrong", [{"num_clips": 0}, {"seconds": 0.1}, {"size": 33}, {"story": "war"}])
def test_wrong_settings_say_what_is_expected(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_clips(tmp_path, ClipsConfig(**wrong))
