from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.stages import scratch

HOLD = """
import sys
from pathlib import Path
from pipelines.stages.scratch import shared_folder

def fill(folder):
    print("filled", flush=True)
    (folder / "weights").write_bytes(b"w" * 1000)

held = shared_folder("model-abc", fill)
print(held.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def hold(environment: dict[str, str], folder: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """A process that holds the folder, and what it printed until then."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], env={**environment, "TMPDIR": str(folder)}, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    printed = [process.stdout.readline().strip()]
    if printed == ["filled"]:
        printed.append(process.stdout.readline().strip())
    return process, printed


def test_a_copy_is_shared_and_a_killed_worker_leaves_none(here: Path, environment: dict[str, str]) -> None:
    first, printed = hold(environment, here)
    copy = Path(printed[1])
    second, again = hold(environment, here)
    assert again == [str(copy)]  # not filled again
    first.kill()
    first.wait()
    with_other = scratch.private_folder()
    assert (copy / "weights").stat().st_size == 1000  # the second one needs it
    second.kill()
    second.wait()
    assert copy.exists()  # nobody could clear it
    scratch.private_folder().release()
    assert not copy.exists()
    assert with_other.path.is_dir()
    with_other.release()
    assert list(copy.parent.iterdir()) == []


def test_a_copy_that_was_cut_off_is_made_again(here: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        scratch.shared_folder("model-abc", fail)
    held = scratch.shared_folder("model-abc", lambda folder: (folder / "weights").touch())
    assert [f.name for f in held.path.iterdir()] == ["weights"]
    held.release()
