import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

import connectors
from connectors import (
    CONNECTORS,
    Connector,
    build_connector,
    config_fields,
    connector_names,
    describe,
    load_connector,
    parse_config,
)
from tests.support.paths import ROOT

EXAMPLE = "examples.changed_patches:ChangedPatches"


def test_an_installed_package_brings_a_connector(tmp_path, monkeypatch):
    (tmp_path / "their_package.py").write_text(
        "from connectors.mlp import MLP\n\n\nclass Theirs(MLP):\n    '''From elsewhere.'''\n"
    )
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[videollm.connectors]\ntheirs = their_package:Theirs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_connector("theirs").__name__ == "Theirs"
    assert "theirs" in connector_names()
    assert describe("theirs", d_vision=8, d_llm=16, num_frames=2, height=3, width=4).tokens == 24


def test_pkg_mod_class():
    assert load_connector(EXAMPLE).__name__ == "ChangedPatches"
    assert load_connector("connectors.stc:STC") is CONNECTORS["stc"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stcc", "Unknown connector 'stcc'. Expected one of stc, .*pkg.mod:Class"),
        ("", "Unknown connector ''"),
        ("no_such_module:X", "cannot be imported: No module named 'no_such_module'.*PYTHONPATH"),
        ("connectors.stc:Nope", "cannot be imported: .*no attribute 'Nope'"),
        ("connectors.stc:DOWNSAMPLING", "expected a subclass of connectors.Connector"),
        ("pathlib:Path", "expected a subclass of connectors.Connector"),
    ],
)
def test_names_that_are_no_connector(name, message):
    with pytest.raises(ValueError, match=message):
        load_connector(name)


class Typed(Connector):
    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        count: int
        rate: float = 0.5
        on: bool = False
        kind: Literal["a", "b"] = "a"
        window: tuple[int, int] = (1, 1)
        sizes: tuple[int, ...] = ()
        limit: int | None = None
        label: str = ""


def test_strings_become_the_field_types():
    strings = {"count": "3", "rate": "1e-2", "on": "true", "kind": "b", "window": "2,3", "sizes": "(4, 5, 6)"}
    strings |= {"limit": "none", "label": "x=1"}
    values = parse_config(Typed, strings)
    assert values == {
        "count": 3, "rate": 0.01, "on": True, "kind": "b", "window": (2, 3), "sizes": (4, 5, 6), "limit": None,
        "label": "x=1",
    }  # fmt: skip
    assert parse_config(Typed, {"limit": "7", "on": "No", "sizes": ""}) == {"limit": 7, "on": False, "sizes": ()}
    Typed.Config(d_vision=1, d_llm=1, **values)


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        ({"depht": "2"}, "STC has no field depht. Its fields: depth: int = 4; variant: Literal"),
        ({"depth": "two"}, "STC got depth='two', expected int. Its fields: depth"),
        ({"variant": "stc"}, "STC got variant='stc', expected Literal.*stp_connector"),
        ({"d_llm": "4"}, "STC has no field d_llm"),
    ],
)
def test_strings_that_do_not_fit(strings, message):
    with pytest.raises(ValueError, match=message):
        parse_config(CONNECTORS["stc"], strings)


@pytest.mark.parametrize("strings", [{"on": "maybe"}, {"window": "1"}, {"window": "1,x"}, {"limit": "x"}, {"rate": ""}])
def test_strings_that_do_not_read(strings):
    with pytest.raises(ValueError, match="Typed got"):
        parse_config(Typed, strings)


def test_build_lists_the_fields():
    with pytest.raises(ValueError, match=r"MLP has no field dept. Its fields: depth: int = 2"):
        build_connector("mlp", d_vision=4, d_llm=8, dept=1)
    with pytest.raises(ValueError, match=r"MeanLinear has no field depth. It has no fields to set"):
        build_connector("linear", d_vision=4, d_llm=8, depth=1)
    with pytest.raises(ValueError, match="Typed needs count"):
        build_connector(f"{__name__}:Typed", d_vision=4, d_llm=8)


@pytest.mark.parametrize("name", [*CONNECTORS, EXAMPLE])
def test_describe_allocates_nothing_and_says_where_from(name):
    shown = describe(name, d_vision=1024, d_llm=4096, num_frames=8, height=24, width=24)
    assert isinstance(shown.tokens, int)
    assert shown.parameters > 0
    assert shown.source
    assert shown.summary.endswith(".")
    assert shown.fields == config_fields(load_connector(name))


def test_describe_says_why_frames_do_not_fit():
    shown = describe("stc_v35", d_vision=8, d_llm=16, num_frames=1, height=24, width=24)
    assert "expected at least t=2" in str(shown.tokens)


@pytest.mark.parametrize("name", [*CONNECTORS, EXAMPLE])
def test_weights_go_through_safetensors(name, tmp_path):
    one, two = (build_connector(name, d_vision=8, d_llm=16) for _ in range(2))
    save_file(one.state_dict(), tmp_path / "connector.safetensors")
    two.load_state_dict(load_file(tmp_path / "connector.safetensors"), strict=True)
    patches, seconds = torch.randn(1, 4, 5, 6, 8), torch.arange(4, dtype=torch.float64)[None]
    assert torch.equal(one(patches, seconds), two(patches, seconds))


def test_connectors_need_torch_and_einops_only():
    allowed = {"torch", "einops", "connectors", "__future__"}
    allowed |= {"collections", "dataclasses", "importlib", "json", "math", "types", "typing"}
    for path in Path(connectors.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {n.partition(".")[0] for n in names} <= allowed, path.name


def test_the_example_is_short():
    text = ROOT.joinpath("examples", "changed_patches.py").read_text()
    assert len(text.splitlines()) < 40
