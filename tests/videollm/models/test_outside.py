"""Parts from outside the tree, by file and by entry point: towers, engines, families and whole models."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import videollm
from tests.support.outside import install
from videollm.checkpoints import FAMILIES, Options, resolve
from videollm.engines import ENGINES
from videollm.errors import UserError
from videollm.models.composed import VideoLLM
from videollm.types import FrameBatch
from videollm.vision import TOWERS

ASSETS = Path(videollm.__file__).parent / "assets"
TOWER = '''
from dataclasses import dataclass

from einops import rearrange
from torch import nn

from videollm.vision.tower import VisionTower


class LinearTower(VisionTower):
    """One linear layer per patch."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VisionTower.Config):
        side: int = 8

    def __init__(self, config):
        super().__init__(config)
        self.width, self.patch_size = 128, config.side
        self.layer = nn.Linear(3 * config.side**2, self.width)

    def forward(self, pixels):
        p = self.patch_size
        return self.layer(rearrange(pixels, "f c (h i) (w j) -> f h w (c i j)", i=p, j=p))
'''
ENGINE = '''
from dataclasses import dataclass

from videollm.engines.base import Engine


class Scripted(Engine):
    """Says the same to everything."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Engine.Config):
        says: str = "yes"

    def _run(self, clips, generation, on_text):
        words = self.tokenizer(self.config.says, add_special_tokens=False).input_ids
        for _, prompts in clips:
            for prompt in prompts:
                for token in [*words, self.tokenizer.eos_token_id]:
                    if not prompt.finish_reason:
                        prompt.take(token, self.end_ids)
'''
FAMILY = '''
from pathlib import Path

from videollm.checkpoints.family import ComposedFamily
from videollm.checkpoints.folder import Source, read_json, weight_files
from videollm.models.config import ModelConfig


class Nested(ComposedFamily):
    """The product's own settings under another name, weights under a prefix."""

    @classmethod
    def read_config(cls, folder, options):
        return ModelConfig(**read_json(folder / "config.json")["settings"])

    @classmethod
    def sources(cls, folder, config):
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=lambda name: name.removeprefix("theirs."))]
'''
MODEL = '''
from dataclasses import asdict

import torch

from videollm.checkpoints.family import Family
from videollm.models.protocol import EncodedClip, ModelInfo, VideoModel, Visual
from videollm.types import Answer, Generation
from videollm.video.sampling import Sampling


class Counter(VideoModel):
    """No network at all: the brightness of each frame is its token, and the answer is their number."""

    def __init__(self, name):
        self.name, self.connector_name, self.notice, self.revision = name, "none", None, None
        self.sampling, self.generation = Sampling(num_frames=5), Generation()

    device = torch.device("cpu")

    def describe(self, *, with_tower_key=False):
        return ModelInfo(name=self.name, connector="none", sampling=asdict(self.sampling), frame_size=None,
                         generation=asdict(self.generation), device="cpu")

    def decode(self, clip, **options):
        raise NotImplementedError

    def encode_frames(self, batches):
        return [EncodedClip(features=(torch.tensor(b.frames.mean((1, 2, 3))),), around=(("", ""),),
                            frame_indices=b.indices, frame_seconds=b.seconds) for b in batches]

    def connect(self, clips, questions=None):
        return [Visual(tokens=c.features[0], frame_indices=c.frame_indices, frame_seconds=c.frame_seconds)
                for c in clips]

    def answer_batch(self, items, generation=None, *, on_text=None):
        return [[Answer(text=f"{len(v.tokens)} frames", prompt=r.question, finish_reason="stop",
                        num_visual_tokens=len(v.tokens)) for r in requests] for v, requests in items]

    def save(self, folder):
        raise NotImplementedError


class CounterFamily(Family):
    @classmethod
    def describe(cls, folder, options):
        return Counter(options.name).describe()

    @classmethod
    def check_weights(cls, folder):
        pass

    @classmethod
    def load(cls, folder, options):
        return Counter(options.name)
'''


@pytest.fixture
def frames() -> FrameBatch:
    noise = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 3), np.uint8)
    return FrameBatch(frames=noise, indices=tuple(range(8)), seconds=tuple(float(i) for i in range(8)))


def with_tower(kind: str) -> VideoLLM:
    """tiny-stc with another vision tower, not trained."""
    own = videollm.load("tiny-stc", device="cpu")
    assert isinstance(own, VideoLLM)
    config = replace(own.config, vision={"kind": kind, "config": {}, "side": 12})
    return VideoLLM(config, own.tokenizer, "with another tower").eval()


def test_a_file_brings_a_tower(tmp_path: Path, frames: FrameBatch) -> None:
    (tmp_path / "tower.py").write_text(TOWER)
    model = with_tower(f"{tmp_path / 'tower.py'}:LinearTower")
    assert model.tower.grid(48, 48) == (4, 4)
    assert len(model.encode([frames])[0].tokens) == model.num_visual_tokens(8) == 4 * 2 * 2
    assert model.answer(frames, "What happens?").prompt.count("<video>") == 1


def test_a_package_brings_a_tower_and_saved_models_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: FrameBatch
) -> None:
    names = {"linear_patches": "their_tower:LinearTower"}
    install(tmp_path, monkeypatch, module="their_tower", text=TOWER, group="videollm.towers", names=names)
    assert "linear_patches" in TOWERS
    model = with_tower("linear_patches")
    model.save(tmp_path / "saved")
    again = videollm.load(tmp_path / "saved", device="cpu")
    assert torch.equal(again.encode([frames])[0].tokens, model.encode([frames])[0].tokens)


def test_a_folder_does_not_run_the_code_it_names(tmp_path: Path) -> None:
    (tmp_path / "tower.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{TOWER}")
    shutil.copytree(ASSETS / "tiny-stc", tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "vision": {"kind": f"{tmp_path / 'tower.py'}:LinearTower", "config": {}}}))
    with pytest.raises(UserError, match=r"saved with vision tower .*not one of clip, siglip, .*navit"):
        videollm.load(tmp_path / "model", device="cpu")
    assert not (tmp_path / "ran").exists()


def test_a_file_brings_an_engine_with_its_own_settings(tmp_path: Path, frames: FrameBatch) -> None:
    name = f"{tmp_path / 'engine.py'}:Scripted"
    (tmp_path / "engine.py").write_text(ENGINE)
    assert videollm.load("tiny-stc", engine=name).answer(frames, "Red?").text == "yes"
    model = videollm.load("tiny-stc", engine=name, engine_config={"says": "no"})
    assert model.answer(frames, ["Red?", "Blue?"])[1].text == "no"
    with pytest.raises(UserError, match=r"Engine .* got settings it does not take: .*sayz"):
        videollm.load("tiny-stc", engine=name, engine_config={"sayz": "no"})


def test_a_package_brings_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: FrameBatch) -> None:
    names = {"scripted": "their_engine:Scripted"}
    install(tmp_path, monkeypatch, module="their_engine", text=ENGINE, group="videollm.engines", names=names)
    assert ENGINES.names() == ("builtin", "vllm", "scripted")
    assert videollm.load("tiny-stc", engine="scripted").answer(frames, "Red?").text == "yes"
    assert resolve(Options(name="tiny-stc", engine="scripted")).info.name == "tiny-stc"


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """tiny-stc in a layout that only their family knows."""
    folder = tmp_path / "nested"
    shutil.copytree(ASSETS / "tiny-stc", folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "nested", "settings": settings}))
    weights = load_file(folder / "model.safetensors")
    save_file({f"theirs.{k}": v for k, v in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_file_brings_a_family(nested: Path, tmp_path: Path, frames: FrameBatch) -> None:
    (tmp_path / "family.py").write_text(FAMILY)
    with pytest.raises(UserError, match=r"has model_type 'nested', which is none of .* --family "):
        videollm.load(nested)
    family = f"{tmp_path / 'family.py'}:Nested"
    assert resolve(Options(name=str(nested), family=family)).info.connector == "stc"
    model, own = videollm.load(nested, family=family), videollm.load("tiny-stc")
    assert torch.equal(model.encode([frames])[0].tokens, own.encode([frames])[0].tokens)


def test_a_package_brings_a_family(
    nested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: FrameBatch
) -> None:
    names = {"nested": "their_family:Nested"}
    install(tmp_path, monkeypatch, module="their_family", text=FAMILY, group="videollm.families", names=names)
    assert "nested" in FAMILIES
    assert videollm.load(nested).answer(frames, "Red?").text == videollm.load("tiny-stc").answer(frames, "Red?").text


def test_a_model_of_any_kind_needs_the_protocol_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: FrameBatch
) -> None:
    names = {"counter": "their_model:CounterFamily"}
    install(tmp_path, monkeypatch, module="their_model", text=MODEL, group="videollm.families", names=names)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "counter"}')
    model = videollm.load(tmp_path / "model")
    assert [a.text for a in model.answer(frames, ["How many?", "Sure?"])] == ["8 frames", "8 frames"]
    assert resolve(Options(name=str(tmp_path / "model"))).info.sampling["num_frames"] == 5
