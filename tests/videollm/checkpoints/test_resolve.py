"""What a folder says without being loaded: the same as the loaded model, without torch; or why it would not load."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import videollm
from tests.support.official import copy
from tests.support.paths import GOLDEN, ROOT
from videollm.checkpoints import Options, resolve
from videollm.errors import UserError

FOLDERS = ("tiny-stc", str(GOLDEN / "videollama2_tiny"), str(GOLDEN / "minicpmv45_tiny"))


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("connector", [None, "group_mean"])
def test_a_folder_says_what_loading_it_says(name: str, connector: str | None) -> None:
    told = resolve(Options(name=name, connector=connector)).info
    loaded = videollm.load(name, connector=connector, device="cpu").describe()
    assert told.loaded is None
    assert told == replace(loaded, device=None, dtype=None, attention=None)
    assert ("untrained" in str(told.notice)) == (connector is not None)


def test_resolving_takes_no_torch() -> None:
    code = "\n".join([
        "import sys",
        "from videollm.checkpoints import Options, resolve",
        f"for name in {FOLDERS!r}: resolve(Options(name=name))",
        "sys.exit(', '.join({'torch', 'transformers', 'av', 'decord', 'ray'} & sys.modules.keys()) or 0)",
    ])  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "tiny-stcc"}, "No model 'tiny-stcc'; expected tiny-stc"),
        ({"name": "tiny-stc", "connector": "stcc"}, "Unknown connector 'stcc'"),
        ({"name": "tiny-stc", "connector": "stc", "connector_config": {"depht": 2}}, "STC has no field depht"),
        ({"name": "tiny-stc", "connector": "mlp", "connector_weights": Path("no.safetensors")}, "no.safetensors are"),
        ({"name": "tiny-stc", "engine": "vlm"}, "Unknown engine 'vlm'"),
        ({"name": "tiny-stc", "family": "no_module:Family"}, "Family 'no_module:Family' cannot be imported"),
    ],
)
def test_what_would_not_load_is_told(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(Options(**options))  # type: ignore[arg-type]


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    folder = copy("minicpmv45_tiny", tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors is missing"):
        resolve(Options(name=str(folder)))
