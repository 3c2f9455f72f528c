"""Features kept on disk: what comes from the cache is what would have been made, and what is damaged is made again."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import videollm
from pipelines.cli import caption
from pipelines.cli import main as cli
from pipelines.cli.options import CacheOptions, FrameOptions, GenerationOptions, ModelOptions, WorkerOptions
from pipelines.requests.manifest import read
from pipelines.requests.types import ClipTask
from pipelines.results.journal import read_rows
from pipelines.stages.base import Advance, Finished, Item
from pipelines.stages.decode import Decode
from pipelines.stages.decoding.client import Decoder
from pipelines.stages.model import EncodeAnswer
from tests.support.paths import GOLDEN
from videollm.checkpoints import load_with
from videollm.features.codec import pack, unpack
from videollm.features.store import FeatureCache

MINICPMV = str(GOLDEN / "minicpmv45_tiny")
SHORT = GenerationOptions(max_new_tokens=4)
GB = 10**9


class CountingDecoder(Decoder):
    """Knows how many clips it was asked to decode."""

    num_decoded = 0

    def decode(self, *arguments: Any, **options: Any) -> Any:
        self.num_decoded += 1
        return super().decode(*arguments, **options)


@functools.cache
def load_once(model: str, connector: str | None = None, dtype: str = "auto") -> Any:
    return load_with(ModelOptions(model=model, device="cpu", connector=connector, dtype=dtype).load_options())


class Stages:
    """Decoding and answering in this process, with counts of what was decoded and of the tower's forwards."""

    def __init__(
        self, model: str, decoder: CountingDecoder, cache: FeatureCache | None, frames: FrameOptions, **options: Any
    ) -> None:
        load_options = ModelOptions(model=model, device="cpu", **options).load_options()
        self.last = EncodeAnswer(
            EncodeAnswer.Config(model=load_options, generation=SHORT.given(), questions_per_batch=8, cache=cache)
        )
        self.last._model = load_once(model, **options)
        self.num_forwards = self.num_decoded = 0
        self.warnings: tuple[str, ...] = ()
        self.info = info = self.last.model.describe(with_tower_key=cache is not None)
        self.first = Decode(
            Decode.Config(
                sampling=frames.choice().override(info.sampling),
                frame_size=info.frame_size,
                decoder=frames.decoder,
                allow_partial=frames.allow_partial,
                timeout_seconds=30.0,
                cache=cache,
                tower_key=info.tower_key,
            )
        )
        self.first.decoder = self.decoder = decoder

    def _count(self, *_: Any) -> None:
        self.num_forwards += 1

    def rows(self, tasks: Sequence[ClipTask]) -> list[dict[str, Any]]:
        before, hook = self.decoder.num_decoded, self.last.model.tower.register_forward_hook(self._count)
        try:
            return self._rows(tasks)
        finally:
            self.num_decoded += self.decoder.num_decoded - before
            hook.remove()

    def _rows(self, tasks: Sequence[ClipTask]) -> list[dict[str, Any]]:
        decoded = self.first.run([Item(task=t, model=self.info.name, connector=self.info.connector) for t in tasks])
        kept = [r.item for r in decoded if isinstance(r, Advance)]
        ends = [*[r for r in decoded if isinstance(r, Finished)], *(self.last.run(kept) if kept else [])]
        assert all(isinstance(end, Finished) for end in ends)
        self.warnings = tuple(w for end in ends for w in end.warnings)  # type: ignore[union-attr]
        return [without_seconds(row.to_dict()) for end in ends for row in end.rows]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def decoder() -> Iterator[CountingDecoder]:
    one = CountingDecoder(timeout_seconds=30.0)
    yield one
    one.close()


@pytest.fixture
def stages(tmp_path: Path, model: str, decoder: CountingDecoder) -> Callable[..., Stages]:
    """Makes stages that share one cache."""

    def make(name: str = model, *, cached: bool = True, frames: FrameOptions | None = None, **options: Any) -> Stages:
        cache = FeatureCache(tmp_path / "cache", GB) if cached else None
        return Stages(name, decoder, cache, frames or FrameOptions(), **options)

    return make


def without_seconds(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in ("decode_seconds", "encode_seconds", "generate_seconds")}


def tasks(*videos: Path | str, question: str = "What?", **fields: Any) -> list[ClipTask]:
    requests = read([str(v) for v in videos], default_question=question)
    return [ClipTask(clip=replace(r.clip, **fields), requests=(r,)) for r in requests]  # type: ignore[arg-type,union-attr]


def entries_of(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("??/*"))


def test_another_question_and_another_connector_decode_and_encode_nothing(
    stages: Callable[..., Stages], tmp_path: Path, clips: Path
) -> None:
    videos = [clips / f"clip{i}.mp4" for i in range(3)]
    cold = stages()
    first = cold.rows(tasks(*videos))
    assert (cold.num_decoded, cold.num_forwards) == (3, 1)
    assert len(entries_of(tmp_path)) == 3
    for options in ({}, {"connector": "mlp"}):
        warm, plain = stages(**options), stages(**options, cached=False)
        asked = tasks(*videos, question="Where does it go?")
        assert warm.rows(asked) == plain.rows(asked)
        assert (warm.num_decoded, warm.num_forwards) == (0, 0)
        assert (plain.num_decoded, plain.num_forwards) == (3, 1)
    warm = stages()
    assert warm.rows(tasks(*videos)) == first
    assert (warm.num_decoded, warm.num_forwards) == (0, 0)


def test_hits_and_misses_share_a_batch(stages: Callable[..., Stages], clips: Path) -> None:
    videos = [clips / f"clip{i}.mp4" for i in range(4)]
    stages().rows(tasks(videos[1], videos[3]))
    mixed, plain = stages(), stages(cached=False)
    assert mixed.rows(tasks(*videos)) == plain.rows(tasks(*videos))
    assert (mixed.num_decoded, mixed.num_forwards) == (2, 1)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "other"])
def test_damaged_entries_are_made_again(
    stages: Callable[..., Stages], tmp_path: Path, clips: Path, damage: str
) -> None:
    asked = tasks(clips / "clip0.mp4")
    first = stages().rows(asked)
    (path,) = entries_of(tmp_path)
    entry = path.read_bytes()
    middle = len(entry) // 2
    path.write_bytes(
        {
            "flipped": entry[:middle] + bytes([entry[middle] ^ 1]) + entry[middle + 1 :],
            "truncated": entry[:middle],
            "empty": b"",
            "other": b"this is text",
        }[damage]
    )
    again = stages()
    assert again.rows(asked) == first
    assert (again.num_decoded, again.num_forwards) == (1, 1)
    assert path.read_bytes() == entry


def test_what_differs_is_another_entry(stages: Callable[..., Stages], tmp_path: Path, clips: Path, model: str) -> None:
    video = tmp_path / "video.mp4"
    video.write_bytes((clips / "clip0.mp4").read_bytes())
    cold = stages()
    cold.rows(tasks(video))

    def is_hit(s: Stages, *asked: Any, **fields: Any) -> bool:
        before = s.num_decoded
        s.rows(tasks(*asked, **fields))
        return s.num_decoded == before

    assert is_hit(cold, video)
    (tmp_path / "copy.mp4").write_bytes(video.read_bytes())
    assert is_hit(cold, tmp_path / "copy.mp4")
    assert not is_hit(cold, video, start=0.25)
    assert not is_hit(cold, video, start=0.25, end=1.0)
    for frames in (FrameOptions(num_frames=4), FrameOptions(sampling="linspace"), FrameOptions(decoder="pyav"),
                   FrameOptions(allow_partial=True)):  # fmt: skip
        assert not is_hit(stages(frames=frames), video)
    changed = videollm.load(model, device="cpu")
    with torch.no_grad():
        next(iter(changed.tower.parameters())).flatten()[0] += 1e-3
    changed.save(tmp_path / "changed")
    assert not is_hit(stages(str(tmp_path / "changed")), video)
    assert not is_hit(stages(dtype="bfloat16"), video)
    assert is_hit(stages(dtype="bfloat16"), video)
    assert is_hit(stages(connector="mlp"), video)
    video.write_bytes((clips / "clip1.mp4").read_bytes())
    assert not is_hit(cold, video)
    assert is_hit(cold, video)


def test_the_key_of_a_tower_is_that_of_its_numbers(model: str) -> None:
    here = load_once(model)
    key = here.describe(with_tower_key=True).tower_key
    assert load_once(model, connector="mlp").describe(with_tower_key=True).tower_key == key
    here.transform = replace(here.transform, exact=True)  # type: ignore[type-var]
    assert here.describe(with_tower_key=True).tower_key != key


def test_broken_videos_are_the_same_rows(stages: Callable[..., Stages], tmp_path: Path, clips: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    good = (clips / "clip0.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(good[: len(good) // 2])
    os.mkfifo(tmp_path / "pipe.mp4")
    videos = [tmp_path / f"{n}.mp4" for n in ("empty", "text", "half", "pipe")]
    asked = [*tasks(*videos), *tasks(clips / "clip0.mp4", start=100.0)]
    (tmp_path / "gone.mp4").touch()
    asked += tasks(tmp_path / "gone.mp4")
    (tmp_path / "gone.mp4").unlink()
    cached, plain = stages(), stages(cached=False)
    for _ in range(2):
        rows = cached.rows(asked)
        assert rows == plain.rows(asked)
        assert all(r["status"] != "ok" for r in rows)
    assert entries_of(tmp_path) == []


def test_packs_and_slices_come_back_bit_for_bit(
    stages: Callable[..., Stages], tmp_path: Path, write_clip: Callable[..., Path]
) -> None:
    """MiniCPM-V: a video in packs, and an image in slices of another size than its thumbnail."""
    write_clip(tmp_path / "video.mp4", num_frames=40, size=(64, 96))
    pixels = np.random.default_rng(0).integers(0, 255, (900, 1400, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    here = videollm.load(MINICPMV, device="cpu")
    batches = [here.decode(tmp_path / name) for name in ("video.mp4", "image.png")]
    assert batches[0].packing > 1 or len(batches[0].indices) > 1
    with torch.inference_mode():
        encoded = here.encode_frames(batches)
        assert len({f.frames[0].shape for f in encoded[1].features}) == 2
        back = [unpack(pack(e, {"a": 1}), here.device) for e in encoded]
        for made, kept in zip(encoded, back, strict=True):
            assert (kept.around, kept.frame_indices, kept.frame_seconds) == (
                made.around, made.frame_indices, made.frame_seconds)  # fmt: skip
            for a, b in zip(made.features, kept.features, strict=True):
                assert torch.equal(a.seconds, b.seconds)
                assert all(torch.equal(x, y) for x, y in zip(a.frames, b.frames, strict=True))
        for a, b in zip(here.connect(here.encode_frames(batches)), here.connect(back), strict=True):
            assert torch.equal(a.tokens, b.tokens)
            assert a.layout == b.layout
    frames = FrameOptions(choose_fps=4.0, packing=3)
    asked = [*tasks(tmp_path / "video.mp4"), *tasks(tmp_path / "video.mp4", end=2.0)]
    miss, hit, plain = (stages(MINICPMV, frames=frames, cached=c) for c in (True, True, False))
    assert miss.rows(asked) == hit.rows(asked) == plain.rows(asked)
    assert (hit.num_decoded, hit.num_forwards) == (0, 0)


def test_a_write_that_fails_costs_no_row(stages: Callable[..., Stages], tmp_path: Path, clips: Path) -> None:
    (tmp_path / "cache").mkdir()
    for i in range(256):
        (tmp_path / "cache" / f"{i:02x}").touch()  # where folders should be
    asked = tasks(clips / "clip0.mp4", clips / "clip1.mp4")
    cached, plain = stages(), stages(cached=False)
    assert cached.rows(asked) == plain.rows(asked)
    assert cached.warnings
    assert all(str(tmp_path / "cache") in warning for warning in cached.warnings)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--feature-cache", "{tmp}/file/cache"], "cannot be written"),
        (["--feature-cache", "s3://bucket/cache"], "expected a local folder"),
        (["--feature-cache", "{tmp}/cache", "--feature-cache-gb", "0"], "expected a number above 0"),
        (["--feature-cache", "{tmp}/cache", "--feature-cache-gb", "inf"], "expected a number above 0"),
    ],
)
def test_an_unusable_folder_is_one_message_at_the_start(
    options: list[str], said: str, tmp_path: Path, clips: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    command = ["caption", str(clips), "-o", str(tmp_path / "out"), "--model", model]
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, *[o.format(tmp=tmp_path) for o in options]])
    assert stopped.value.code == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert said in message
    assert not (tmp_path / "out").exists()


def test_jobs_share_features(
    tmp_path: Path, clips: Path, model: str, write_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """On Ray: with encoders of their own, then without, over some more clips."""
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "broken.mp4").write_text("no video")
    for i in range(4):
        (videos / f"{i}.mp4").write_bytes((clips / f"clip{i}.mp4").read_bytes())

    def job(name: str, **options: Any) -> caption.CaptionOptions:
        return caption.CaptionOptions(
            inputs=(str(videos),),
            output=tmp_path / name,
            model=ModelOptions(model=model),
            generation=SHORT,
            cache=CacheOptions(feature_cache=str(tmp_path / "cache")),
            **options,
        )

    def rows(name: str) -> dict[str, dict[str, Any]]:
        return {r["id"]: without_seconds(r) for r in read_rows(tmp_path / name)}

    def session(name: str) -> dict[str, Any]:
        return json.loads((tmp_path / name / "run.json").read_text())["sessions"][-1]  # type: ignore[no-any-return]

    caption.main(job("cold", workers=WorkerOptions(clips_per_batch=2, split_llm=True)))
    assert len(entries_of(tmp_path)) == 4
    assert (session("cold")["clips_from_cache"], session("cold")["clips"]) == (0, 5)
    write_clip(videos / "new.mp4", seed=99)
    capsys.readouterr()
    caption.main(job("warm"))
    assert "This run: 6 clips (4 from the feature cache), 6 rows" in capsys.readouterr().out
    assert (session("warm")["clips_from_cache"], session("warm")["clips"]) == (4, 6)
    assert len(entries_of(tmp_path)) == 5
    cold, warm = rows("cold"), rows("warm")
    assert {id: row for id, row in warm.items() if id in cold} == cold
    assert sorted(r["status"] == "ok" for r in warm.values()) == [False, *[True] * 5]
