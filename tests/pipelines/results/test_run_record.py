"""What a run says of the weights that answered."""

import shutil
from pathlib import Path

from pipelines.results.run_record import model_identity
from pipelines.stages.model_info import ModelSpec


def test_other_weights_are_another_identity(model: str, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "trained")
    file = tmp_path / "trained" / "model.safetensors"
    given = [ModelSpec(name="tiny-stc", connector="mlp", connector_weights=str(place)) for place in (file, file.parent)]
    before = [model_identity(options) for options in given]
    assert all("model.safetensors" in found["connector_weights"] for found in before)
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert all(model_identity(options) != found for options, found in zip(given, before, strict=True))
    assert model_identity(ModelSpec(name=str(file.parent))) != model_identity(ModelSpec(name=model))
