"""Settings and facts of runs, as run.json holds them: what may explain why two scores differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

SESSION_FACTS: Final = (
    "device",
    "dtype",
    "attention",
    "generation",
    "sampling",
    "frame_size",
    "versions",
    "python",
    "git",
)
"""Facts of a session that may explain another score, besides the configuration."""


def settings_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return settings and facts that may explain another score: dotted name -> value."""
    facts = {name: value for name in SESSION_FACTS if (value := latest_fact(record, name)) is not None}
    return dict(flatten({**record["config"], **facts}))


def latest_fact(record: Mapping[str, Any], name: str) -> Any:
    """Return a fact from the last session that knows it (one that found nothing to do knows little), else None."""
    return next((s[name] for s in reversed(record["sessions"]) if s.get(name) is not None), None)


def differing_settings(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str | None]]]:
    """Return settings that are not the same in all runs, with the value in each; None where a run has none."""
    settings = [settings_of(record) for record in records]
    names = dict.fromkeys(name for found in settings for name in found)
    values = {name: [found.get(name) for found in settings] for name in names}
    return [(name, of_runs) for name, of_runs in values.items() if len(set(of_runs)) > 1]


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return names and values, names dotted where values lie deeper, values that are no text as JSON."""
    flat = []
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            flat += flatten(inner, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", inner if isinstance(inner, str) else json.dumps(inner)))
    return flat
