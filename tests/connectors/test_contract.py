from dataclasses import dataclass

import pytest
import torch
from einops import rearrange
from torch import nn

from connectors import CONNECTORS, Connector, ContractError, check_connector
from connectors.stc import STC

EXAMPLE = "examples.changed_patches:ChangedPatches"


@pytest.mark.parametrize("name", [*CONNECTORS, EXAMPLE])
def test_every_connector_keeps_the_contract(name):
    report = check_connector(CONNECTORS.load(name))
    assert not report.failed
    assert f"{len(report.problems)} of {len(report.problems)} checks passed" in str(report)


@pytest.mark.parametrize("frames_per_pack", [0, 1, 3])
def test_resampler_keeps_the_contract_for_packs_of(frames_per_pack):
    cls = CONNECTORS.load("resampler3d")
    check_connector(cls, cls.Config(d_vision=16, d_llm=32, num_heads=4, num_queries=5, frames_per_pack=frames_per_pack))


@pytest.mark.parametrize("pool", ["bilinear", "average", "max"])
@pytest.mark.parametrize(("newline", "first"), [("none", True), ("frame", False), ("row", False)])
def test_pooled_mlp_keeps_the_contract_with(pool, newline, first):
    cls = CONNECTORS.load("mlp_pool")
    check_connector(cls, cls.Config(d_vision=16, d_llm=24, pool=pool, newline=newline, first=first))


def test_stc_of_other_depth_keeps_the_contract():
    check_connector(STC, STC.Config(d_vision=16, d_llm=24, depth=1))


class Good(Connector):
    """A minimal connector that the broken ones below change in one place."""

    def __init__(self, config):
        super().__init__(config)
        self.project = nn.Linear(config.d_vision, config.d_llm)

    def num_tokens(self, t, h, w):
        self.check_size(t, h, w)
        return t * h * w

    def forward(self, patches, seconds):
        self.check_size(*patches.shape[1:4])
        return self.project(rearrange(patches, "b t h w d -> b (t h w) d"))


class WrongCount(Good):
    def num_tokens(self, t, h, w):
        return super().num_tokens(t, h, w) + (t == 5)


class NeverRaises(Good):
    def num_tokens(self, t, h, w):
        return t * h * w


class LooksAcrossTheBatch(Good):
    def forward(self, patches, seconds):
        return super().forward(patches - patches.mean(0, keepdim=True), seconds)


class Reverses(Good):
    def connect(self, clips):
        return super().connect(clips)[::-1]


class DeadWeight(Good):
    def __init__(self, config):
        super().__init__(config)
        self.unused = nn.Linear(2, 2)


class Detaches(Good):
    def forward(self, patches, seconds):
        return super().forward(patches.detach(), seconds)


class Float32Only(Good):
    def forward(self, patches, seconds):
        return super().forward(patches, seconds).float()


class HiddenState(Good):
    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.rand(1)

    def forward(self, patches, seconds):
        return super().forward(patches, seconds) * self.scale.to(patches.dtype)


class NotContiguous(Good):
    def __init__(self, config):
        super().__init__(config)
        self.project.weight = nn.Parameter(torch.randn(config.d_vision, config.d_llm).T)


class Random(Good):
    def forward(self, patches, seconds):
        made = super().forward(patches, seconds)
        return made + torch.rand_like(made)


class ChangesItsInput(Good):
    def forward(self, patches, seconds):
        return super().forward(patches.mul_(2), seconds)


class TimesOfImages(Good):
    def forward(self, patches, seconds):
        return super().forward(patches * rearrange(seconds, "b t -> b t 1 1 1").sqrt().to(patches.dtype), seconds)


class NotFrozen(Good):
    @dataclass
    class Config:
        d_vision: int = 16
        d_llm: int = 32


@pytest.mark.parametrize(
    ("cls", "reported"),
    [
        (WrongCount, "num_tokens equals forward"),
        (NeverRaises, "raise ValueError"),
        (LooksAcrossTheBatch, "a batch equals single clips"),
        (Reverses, "in the order given"),
        (DeadWeight, "unused.weight, unused.bias"),
        (Detaches, "patches"),
        (Float32Only, "got torch.float32 out"),
        (HiddenState, "not in the state dict"),
        (NotContiguous, "not contiguous, which safetensors refuses: project.weight"),
        (Random, "tokens differ"),
        (ChangesItsInput, "forward changed its input"),
        (TimesOfImages, "a still image"),
        (NotFrozen, "frozen=True"),
    ],
)
def test_a_broken_connector_is_reported(cls, reported):
    check_connector(Good)
    with pytest.raises(ContractError) as caught:
        check_connector(cls)
    assert reported in "\n".join(line for line in str(caught.value).splitlines() if "FAIL" in line)


def test_check_leaves_the_global_seed_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    check_connector(Good)
    assert torch.equal(torch.rand(1), expected)
