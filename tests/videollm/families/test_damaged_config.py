"""A damaged config.json is one clear message, whatever the family: nothing else leaves the resolving of a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.support.families import CASES
from tests.support.paths import GOLDEN
from videollm.checkpoints import Options, resolve
from videollm.errors import UserError


def damaged(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The config without each of its fields, and with each of another type."""
    for name, value in config.items():
        yield f"without {name}", {k: v for k, v in config.items() if k != name}
        yield f"{name} is a word", {**config, name: "word"}
        yield f"{name} is null", {**config, name: None}
        if isinstance(value, dict):
            for inner, changed in damaged(value):
                yield f"{name}: {inner}", {**config, name: changed}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_config_is_one_clear_message(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(GOLDEN / CASES[name].folder, folder, ignore=shutil.ignore_patterns("golden*.gz"))
    file = folder / "config.json"
    whole = json.loads(file.read_text())
    wrong, refused = [], 0
    for what, config in damaged(deepcopy(whole)):
        file.write_text(json.dumps(config))
        try:
            resolve(Options(name=str(folder), device="cpu"))
        except UserError as error:
            refused += "expected" in str(error) or "Use" in str(error)
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)
    assert refused > 3
