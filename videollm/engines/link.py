"""What processes that hold an LLM together tell each other while they run it: sums, outputs, tokens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, distributed

from videollm.errors import UserError

TIMEOUT: Final = timedelta(minutes=30)
"""Of one exchange. A process that is gone is noticed at once, see `team`."""


class Link:
    """The end of one process; `connect` makes it work.

    It is no part of torch's default group, which other code in the process may have, or want, for itself.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.running = False
        """Whether all processes run the LLM now: else nobody would answer."""
        self._store: Any = None
        self._group: Any = None

    def connect(self, meeting: Path, device: torch.device) -> None:
        """Meet the others: all processes call this.

        Args:
            meeting: a file that does not exist yet, in a folder that all see.
            device: of the tensors: this process's own.
        """
        dist: Any = distributed
        self._store = dist.FileStore(str(meeting), self.size)
        if device.type == "cuda":
            options = dist.ProcessGroupNCCL.Options()
            options._timeout = TIMEOUT
            torch.cuda.set_device(device)
            self._group = dist.ProcessGroupNCCL(self._store, self.rank, self.size, options)
        else:
            options = dist.ProcessGroupGloo._Options()
            options._timeout = TIMEOUT
            options._devices = [dist.ProcessGroupGloo.create_device(hostname="127.0.0.1")]
            self._group = dist.ProcessGroupGloo(self._store, self.rank, self.size, options)

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up the tensors of all processes, in place."""
        self._check()
        self._group.allreduce([tensor]).wait()
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """Lay the tensors of all processes side by side: (... o/n) to (... o)."""
        self._check()
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        self._group.allgather([parts], [tensor]).wait()
        return torch.cat(parts, dim=-1)

    def give(self, tensor: Tensor) -> Tensor:
        """Fill the tensors of all processes with that of the first, in place."""
        self._check()
        if tensor.numel():
            self._group.broadcast([tensor]).wait()
        return tensor

    def _check(self) -> None:
        if not self.running:
            raise UserError(
                f"The LLM lies on {self.size} devices, and runs only where all are told to: ask the model, by "
                "`answer_batch`. To run its layers by yourself, load it on one device."
            )
