"""Packages that finding cuts may take, and that are not installed with this one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from videollm.errors import UserError


def import_extra(module: str, cues: str) -> Any:
    """Import a module of an extra.

    Raises:
        UserError: its package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"--shot-cues {cues} takes a package that is not installed ({error}). Install it with "
            f"pip install 'videollm[{cues}]', or use --shot-cues pixels, which takes none."
        ) from error
