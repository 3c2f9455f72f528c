"""What a Generation may hold."""

from __future__ import annotations

from videollm.errors import UserError
from videollm.types import Generation


def check_generation(generation: Generation) -> None:
    """Check that every setting is within its range.

    Raises:
        UserError: one is not.
    """
    rules = {
        "max_new_tokens": (generation.max_new_tokens >= 1, "at least 1"),
        "temperature": (generation.temperature >= 0, "0 (greedy) or more"),
        "top_p": (0 < generation.top_p <= 1, "above 0 and at most 1 (off)"),
        "top_k": (generation.top_k >= 0, "0 (off) or more"),
        "repetition_penalty": (generation.repetition_penalty > 0, "above 0; 1 is off"),
        "stop": (all(generation.stop), "strings that are not empty"),
    }
    for name, (right, expected) in rules.items():
        if not right:
            raise UserError(f"Generation.{name} is {getattr(generation, name)!r}; expected {expected}.")
