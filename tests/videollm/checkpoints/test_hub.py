"""Models of the hub: a local server stands for it, the client and its cache are the real ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import videollm
from tests.support.hub import COMMIT, Hub, serving, stored
from tests.support.paths import ROOT

MODEL = Path(videollm.__file__).parent / "assets" / "tiny-stc"
LOAD = """
import sys, videollm
model = videollm.load(sys.argv[1])
print(model.revision, sum(p.numel() for p in model.parameters()))
"""
FIND = """
import sys
from videollm.checkpoints.hub import find_model
try:
    print(find_model(sys.argv[1]).name)
except ValueError as error:
    print("refused:", error)
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serving({"maker/tiny": stored(MODEL)}) as server:
        yield server


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


def run(code: str, name: str, hub: Hub, cache: Path, **environment: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True, cwd=ROOT,
                          env={**hub.environment(cache), **environment})  # fmt: skip
    return done.stdout.strip()


def test_a_model_is_fetched_at_a_revision_though_the_connection_breaks(hub: Hub, cache: Path) -> None:
    assert run(FIND, "maker/tiny@v1", hub, cache) == COMMIT
    assert hub.traffic.asked["model.safetensors"] == 2
    asked = dict(hub.traffic.asked)
    assert run(FIND, "maker/tiny@v1", hub, cache) == COMMIT
    assert dict(hub.traffic.asked) == asked  # all of it is in the cache


def test_offline_the_cache_is_enough(hub: Hub, cache: Path) -> None:
    parameters, asked = sum(p.numel() for p in videollm.load(MODEL).parameters()), dict(hub.traffic.asked)
    assert run(LOAD, "maker/tiny@v1", hub, cache, HF_HUB_OFFLINE="1") == f"{COMMIT} {parameters}"
    assert dict(hub.traffic.asked) == asked


@pytest.mark.parametrize(("name", "offline"), [("maker/other", "0"), ("maker/tiny@v2", "1")])
def test_what_is_not_there_is_one_clear_error(hub: Hub, cache: Path, name: str, offline: str) -> None:
    told = run(FIND, name, hub, cache, HF_HUB_OFFLINE=offline)
    assert told.startswith(f"refused: Model {name!r} is no folder here, and the hub did not give it: "), told
    assert "\n" not in told
