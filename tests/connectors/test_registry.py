import ast
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import connectors
from connectors import CONNECTORS, ClipFeatures, ConnectorError, Tokens, build_connector, config_fields, describe
from connectors.mlp import MLP
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
    assert CONNECTORS.load("theirs").__name__ == "Theirs"
    assert "theirs" in CONNECTORS.names()
    assert describe("theirs", d_vision=8, d_llm=16, num_frames=2, height=3, width=4).tokens == 24


def test_pkg_mod_class():
    assert CONNECTORS.load(EXAMPLE).__name__ == "ChangedPatches"
    assert CONNECTORS.load("connectors.stc:STC") is CONNECTORS.load("stc")


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
    with pytest.raises(ConnectorError, match=message):
        CONNECTORS.load(name)


class NeedsCount(MLP):
    @dataclass(frozen=True, kw_only=True)
    class Config(MLP.Config):
        count: int


def test_build_lists_the_fields():
    with pytest.raises(ConnectorError, match=r"MLP has no field dept. Its fields: depth: int = 2"):
        build_connector("mlp", d_vision=4, d_llm=8, dept=1)
    with pytest.raises(ConnectorError, match=r"MeanLinear has no field depth. It has no fields to set"):
        build_connector("linear", d_vision=4, d_llm=8, depth=1)
    with pytest.raises(ConnectorError, match="NeedsCount needs count"):
        build_connector(f"{__file__}:NeedsCount", d_vision=4, d_llm=8)


@pytest.mark.parametrize("name", [*CONNECTORS, EXAMPLE])
def test_describe_allocates_nothing_and_says_where_from(name):
    shown = describe(name, d_vision=1024, d_llm=4096, num_frames=8, height=24, width=24)
    assert isinstance(shown.tokens, int)
    assert shown.parameters > 0
    assert shown.source
    assert shown.summary.endswith(".")
    assert shown.fields == config_fields(CONNECTORS.load(name))


def test_describe_says_why_frames_do_not_fit():
    shown = describe("stc_v35", d_vision=8, d_llm=16, num_frames=1, height=24, width=24)
    assert "expected at least t=2" in str(shown.tokens)


@pytest.mark.parametrize("name", [*CONNECTORS, EXAMPLE])
def test_weights_go_through_safetensors(name, tmp_path):
    one, two = (build_connector(name, d_vision=8, d_llm=16) for _ in range(2))
    save_file(one.state_dict(), tmp_path / "connector.safetensors")
    two.load_state_dict(load_file(tmp_path / "connector.safetensors"), strict=True)
    patches, seconds = torch.randn(1, 4, 5, 6, 8), torch.arange(4, dtype=torch.float64)[None]
    clip = ClipFeatures(
        frames=patches[0].unbind(), seconds=seconds[0], extra={name: patches[0].unbind() for name in one.needs}
    )
    made, again = (Tokens.of(connector.connect([clip])[0]).tokens for connector in (one, two))
    assert torch.equal(made, again)


def test_connectors_need_torch_and_einops_only():
    allowed = {"torch", "einops", "connectors", "__future__"}
    allowed |= {"collections", "dataclasses", "functools", "hashlib", "importlib", "json", "math", "pathlib", "sys"}
    allowed |= {"types", "typing"}
    for path in Path(connectors.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {n.partition(".")[0] for n in names} <= allowed, path.name


def test_the_example_is_short():
    text = ROOT.joinpath("examples", "changed_patches.py").read_text()
    assert len(text.splitlines()) < 40
