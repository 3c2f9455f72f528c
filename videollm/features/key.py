"""Keys of features: hashes of all that their numbers depend on."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

VERSION: Final = 3
"""Part of every key: another number, and entries of before are not found. Raise it when decoding, preprocessing or a
tower gives other numbers than before, or when entries are laid out differently."""


def make_key(**facts: Any) -> str:
    """Hash JSON-able facts, all that an entry's numbers depend on (the model's `tower_key` among them)."""
    return hashlib.sha256(json.dumps({"version": VERSION, **facts}, sort_keys=True).encode()).hexdigest()
