"""Metrics of a job, for a Ray cluster that collects metrics (for Prometheus and the dashboard)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ray.util.metrics import Gauge

PREFIX: Final = "videollm_"
DESCRIPTIONS: Final = {
    "clips": "Clips of the job, done and in all.",
    "rows": "Rows by status.",
    "waiting": "Items that wait for a stage.",
    "busy": "Share of the time that the workers of a stage are busy.",
    "tokens_per_second": "Tokens generated a second.",
}


class Metrics:
    """Gauges of a job, made when they are first set."""

    def __init__(self) -> None:
        self._gauges: dict[str, Gauge] = {}

    def set(self, values: Mapping[tuple[str, str], float]) -> None:
        """Set gauges.

        Args:
            values: (name, kind) -> number.
        """
        for (name, kind), value in values.items():
            if name not in self._gauges:
                self._gauges[name] = Gauge(PREFIX + name, DESCRIPTIONS.get(name, ""), tag_keys=("kind",))
            self._gauges[name].set(value, {"kind": kind})
