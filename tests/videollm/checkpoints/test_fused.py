"""One stored tensor may hold the rows of several."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from videollm.checkpoints.folder import Rename, Source
from videollm.checkpoints.weights import fill, without_weights


def filled(folder: Path, rename: Rename, **stored: Tensor) -> nn.Module:
    save_file(stored, folder / "model.safetensors")
    with without_weights():
        module = nn.ModuleDict({"q": nn.Linear(3, 4), "k": nn.Linear(3, 2), "v": nn.Linear(3, 2)})
    fill(module, [Source(files=(folder / "model.safetensors",), rename=rename)], device="cpu", dtype=torch.float32)
    return module


def split(name: str) -> tuple[str, ...]:
    return tuple(f"{part}.{name}" for part in "qkv")


def test_rows_go_to_the_tensors_in_order(tmp_path: Path) -> None:
    weight, bias = torch.randn(8, 3), torch.randn(8)
    made = filled(tmp_path, split, weight=weight, bias=bias).state_dict()
    for name, whole in (("weight", weight), ("bias", bias)):
        parts = [made[f"{part}.{name}"] for part in "qkv"]
        assert torch.equal(torch.cat(parts), whole)
        assert len({part.untyped_storage().data_ptr() for part in parts}) == 3


@pytest.mark.parametrize(("rows", "got"), [(7, r"\(1, 3\)"), (9, r"\(3, 3\)"), (3, r"\(0, 3\)")])
def test_too_few_or_too_many_rows(tmp_path: Path, rows: int, got: str) -> None:
    with pytest.raises(ValueError, match=rf"weight of shape {got}, expected \(2, 3\)"):
        filled(tmp_path, split, weight=torch.zeros(rows, 3), bias=torch.zeros(8))


def test_an_unknown_name_among_several(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing v\.weight; missing v\.bias; unexpected bias; unexpected weight"):
        filled(tmp_path, lambda name: (*split(name)[:2], f"o.{name}"), weight=torch.zeros(8, 3), bias=torch.zeros(8))
