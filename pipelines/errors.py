"""What the user did wrong, or what stopped the job: told in one message, without a trace."""

from __future__ import annotations


class UserError(Exception):
    """Stops a command before or during its work; the message says got, expected and what to do."""
