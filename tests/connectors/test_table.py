"""Tables of classes: every way in which a class from outside gets into one."""

import subprocess
import sys

import pytest

from connectors import CONNECTORS, ConnectorError, Table
from connectors.base import Connector

MODULE = "from connectors.mlp import MLP\n\n\nclass Theirs(MLP):\n    '''From elsewhere.'''\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "their_file.py"
    path.write_text(MODULE)
    return path


def test_a_file_brings_a_class(file):
    loaded = CONNECTORS.load(f"{file}:Theirs")
    assert issubclass(loaded, Connector)
    assert CONNECTORS.load(f"{file}:Theirs") is loaded  # one class, however often it is named


def test_files_of_one_name_are_apart(file, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "their_file.py").write_text(MODULE)
    assert CONNECTORS.load(f"{file}:Theirs") is not CONNECTORS.load(f"{tmp_path}/other/their_file.py:Theirs")


@pytest.mark.parametrize(
    ("text", "attribute", "message"),
    [
        (None, "Theirs", "there is no file .*path/to/file.py:Class"),
        ("x = 1 / 0", "Theirs", "cannot be imported: ZeroDivisionError: division by zero"),
        ("class Theirs(", "Theirs", "cannot be imported: SyntaxError"),
        (MODULE, "Nope", "has no attribute 'Nope'"),
        (MODULE, "", "Unknown connector"),
    ],
)
def test_files_that_bring_none(tmp_path, text, attribute, message):
    path = tmp_path / "broken.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConnectorError, match=message):
        CONNECTORS.load(f"{path}:{attribute}")


def test_a_file_that_failed_is_run_again_once_it_is_mended(tmp_path):
    path = tmp_path / "mended.py"
    path.write_text("x = 1 / 0")
    with pytest.raises(ConnectorError):
        CONNECTORS.load(f"{path}:Theirs")
    path.write_text(MODULE)
    assert CONNECTORS.load(f"{path}:Theirs").__name__ == "Theirs"


def test_a_built_in_name_wins_over_an_installed_one(tmp_path, monkeypatch):
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[videollm.connectors]\nstc = no_such_module:STC\nzzz = no_such_module:Z\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert CONNECTORS.load("stc").__name__ == "STC"
    assert CONNECTORS.names().count("stc") == 1
    with pytest.raises(ConnectorError, match="'no_such_module:Z' cannot be imported"):
        CONNECTORS.load("zzz")


def test_a_table_holds_classes_and_the_names_of_classes():
    table = Table(
        noun="number", group="videollm.numbers", base="builtins:int", builtin={"here": bool, "there": "builtins:int"},
        error=ConnectorError,
    )  # fmt: skip
    assert table.names() == tuple(table) == ("here", "there")
    assert "here" in table
    assert (table["here"], table["there"]) == (bool, int)
    with pytest.raises(ConnectorError, match=r"Number 'builtins:str' is .*expected a subclass of builtins.int"):
        table.load("builtins:str")


def test_naming_connectors_imports_no_torch():
    code = "import sys; from connectors import CONNECTORS; print(*CONNECTORS); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("stc stc_v35 stp")
