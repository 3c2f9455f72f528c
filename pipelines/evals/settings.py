"""Settings and facts of runs in run.json that may explain a difference of scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

SESSION_FACTS: Final = (
    "device",
    "dtype",
    "attention",
    "steps",
    "generation",
    "sampling",
    "frame_size",
    "versions",
    "python",
    "git",
)
"""Facts of a session that may explain another score, besides the configuration."""


def settings_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings and facts that may explain a difference of scores: dotted name -> value."""
    facts = {name: value for name in SESSION_FACTS if (value := latest_fact(record, name)) is not None}
    return dict(flatten({**record["config"], **facts}))


def latest_fact(record: Mapping[str, Any], name: str) -> Any:
    """Return a fact from the last session that recorded it, else None; a session with nothing to do records little."""
    return next((s[name] for s in reversed(record["sessions"]) if s.get(name) is not None), None)


def differing_settings(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str | None]]]:
    """Return the settings that differ between runs, with the value in each run; None where a run has no value."""
    settings = [settings_of(record) for record in records]
    names = dict.fromkeys(name for found in settings for name in found)
    values = {name: [found.get(name) for found in settings] for name in names}
    return [(name, of_runs) for name, of_runs in values.items() if len(set(of_runs)) > 1]


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return names and values: nested names are dotted, and values other than text are JSON."""
    flat = []
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            flat += flatten(inner, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", inner if isinstance(inner, str) else json.dumps(inner)))
    return flat
