"""The folder of features: entries come back as they were written, damage is noticed, and the bound holds."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from connectors import ClipFeatures
from videollm.features.codec import pack, read_metadata, unpack
from videollm.features.key import make_key
from videollm.features.store import FeatureCache
from videollm.models.protocol import EncodedClip

GB = 10**9


def clip(seed: int = 0, side: int = 3) -> EncodedClip:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(4, side, side, 8, generator=generator)
    return EncodedClip(
        features=(ClipFeatures(frames=frames.unbind(), seconds=torch.arange(4, dtype=torch.float64) / 3),),
        around=(("", ""),),
        frame_indices=(0, 3, 6, 9),
        frame_seconds=(0.0, 0.1, 0.2, 1 / 3),
    )


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    cache, key = FeatureCache(tmp_path, GB), make_key(x=1)
    cache.put(key, clip(side=1), {"frame_height": 3})
    entry = cache.get(key)
    assert entry is not None
    (path,) = tmp_path.glob("??/*")
    for i in range(len(entry)):
        path.write_bytes(entry[:i] + bytes([entry[i] ^ 1 << i % 8]) + entry[i + 1 :])
        assert cache.get(key) is None
        assert not path.exists()
    path.write_bytes(entry + b"\0")
    assert cache.get(key) is None


def test_bfloat16_and_facts_come_back() -> None:
    made = clip()
    group = made.features[0]
    halved = replace(made, features=(replace(group, frames=tuple(f.bfloat16() for f in group.frames)),))
    entry = pack(halved, {"frame_height": 3, "missing_frames": [1]})
    back = unpack(entry, torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(halved.features[0].frames, back.features[0].frames, strict=True))
    assert read_metadata(entry) == {"frame_height": 3, "missing_frames": [1]}


def test_the_bound_holds_and_what_was_unused_for_longest_goes(tmp_path: Path) -> None:
    size = len(pack(clip(), {}))
    cache = FeatureCache(tmp_path, int(3.5 * size))
    keys = [make_key(i=i) for i in range(5)]
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "mine.txt").write_text("not an entry")
    dead = tmp_path / "ab" / f"{'0' * 64}.{'1' * 32}.partial"
    dead.write_bytes(b"x")
    os.utime(dead, (1, 1))
    for i, key in enumerate(keys[:3]):
        cache.put(key, clip(i), {})
        os.utime(cache._path(key), (i, i))
    assert cache.get(keys[0]) is not None
    cache.put(keys[3], clip(3), {})
    assert [cache.get(k) is not None for k in keys[:4]] == [True, False, True, True]
    cache.put(keys[4], clip(4, side=9), {})  # alone larger than the bound
    assert cache.get(keys[4]) is None
    for i in range(20):
        cache.put(make_key(more=i), clip(i), {})
        assert sum(p.stat().st_size for p in tmp_path.glob("??/*.safetensors")) <= cache.max_bytes
    assert not dead.exists()
    assert (tmp_path / "ab" / "mine.txt").exists()
    assert cache.problem is None


WRITER = """
import random, sys
from pathlib import Path
import torch
from tests.pipelines.jobs.test_feature_store import clip
from videollm.checkpoints import load_with
from videollm.features.codec import unpack
from videollm.features.key import make_key
from videollm.features.store import FeatureCache
cache, draw = FeatureCache(Path({folder!r}), {bound}), random.Random(sys.argv[1])
found = 0
for _ in range(300):
    n = draw.randrange(12)
    entry = cache.get(make_key(n=n))
    if entry is None:
        cache.put(make_key(n=n), clip(n), {{}})
    else:
        found += 1
        back = unpack(entry, torch.device("cpu"))
        assert all(torch.equal(a, b) for a, b in zip(back.features[0].frames, clip(n).features[0].frames))
assert cache.problem is None, cache.problem
assert found
"""


def test_writers_at_the_same_time_do_not_harm_each_other(tmp_path: Path, environment: dict[str, str]) -> None:
    size = len(pack(clip(), {}))
    code = WRITER.format(folder=str(tmp_path), bound=8 * size)
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(i)], env=environment, stderr=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    for process in running:
        assert process.communicate(timeout=600)[1] == ""
        assert process.returncode == 0
    assert not list(tmp_path.glob("??/*.partial"))
    assert len(list(tmp_path.glob("??/*.safetensors"))) <= 8 + len(running)
