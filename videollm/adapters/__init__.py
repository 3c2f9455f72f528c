"""Models that run as a whole, by code that is not ours: one file per adapter.

They take the frames that we decode; no connector can be put in, nothing can be trained.
"""

from __future__ import annotations

from videollm.checkpoints.adapter import ADAPTERS, Adapter

__all__ = ["ADAPTERS", "Adapter"]
