"""Recorders: what a function did to tensors, to be done again without running it.

A function that is recorded works on the same tensors each time, and no number in it depends on them: it reads no value,
counts nothing, and takes nothing from the host's memory. A CUDA graph is such a recording; on a CPU the operations of
torch are recorded one by one, and done again on the same memory, so that a CPU shows what a graph would do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITING: Final = frozenset({
    "aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::nonzero", "aten::masked_select",
    "aten::equal", "aten::lift_fresh", "aten::_unique2", "aten::unique_consecutive", "aten::unique_dim",
    "aten::bincount", "aten::repeat_interleave.Tensor", "aten::argwhere",
})  # fmt: skip
"""Operations that wait for the device: they read a value, have results of a size that depends on values, or copy from
the host's memory."""


class NotFixedError(RuntimeError):
    """A function cannot be recorded."""


class Recorder(ABC):
    """A function and a recording of it."""

    def __init__(self, function: Callable[[], Tensor]) -> None:
        self.function = function

    def run(self) -> Tensor:
        """Run the function, and watch whether it can be recorded.

        Raises:
            NotFixedError: it cannot; it may have run in part.
        """
        with _Watch():  # type: ignore[no-untyped-call]
            return self.function()

    @abstractmethod
    def record(self) -> None:
        """Record the function, which ran before; what it does may be done once more.

        Raises:
            RuntimeError: it cannot be recorded.
        """

    @abstractmethod
    def replay(self) -> Tensor:
        """Do again what was recorded, and return the function's result, which the next replay overwrites."""


class _Watch(TorchDispatchMode):
    """Operations pass, if they do not wait for the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, packet = func.name(), func.overloadpacket.__name__
        by_mask = packet.startswith("index") and any(
            isinstance(t, Tensor) and t.dtype == torch.bool for t in tree_leaves(args[1:2])
        )
        if by_mask or name in WAITING or name.split(".")[0] in WAITING:
            raise NotFixedError(f"{packet} waits for the device")
        made = func(*args, **kwargs)
        devices = {t.device.type for t in tree_leaves((args, kwargs, made)) if isinstance(t, Tensor) and t.dim()}
        if len(devices) > 1:
            raise NotFixedError(f"{packet} copies between {' and '.join(sorted(devices))}")
        self.note(func, args, kwargs, made)
        return made

    def note(self, func: Any, args: Any, kwargs: Any, made: Any) -> None:
        pass


class _Noted(_Watch):
    """Operations pass, and are noted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def note(self, func: Any, args: Any, kwargs: Any, made: Any) -> None:
        self.calls.append((func, args, kwargs, made))


class OperationRecorder(Recorder):
    """Operations of torch one by one, on any device: slower than the function, since each result is copied."""

    def record(self) -> None:
        """Run the function once more, and note what it calls, see `Recorder`."""
        noted = _Noted()
        with noted:
            self.result = self.function()
        self.calls = noted.calls
        made = {id(t) for *_, results in self.calls for t in tree_leaves(results)}
        given = {id(t): t for _, args, kwargs, _ in self.calls for t in tree_leaves((args, kwargs))}
        self.given = [(t, _lies(t)) for i, t in given.items() if isinstance(t, Tensor) and i not in made]

    def replay(self) -> Tensor:
        """Do the operations again, see `Recorder`."""
        if moved := [f"{was}, now {_lies(t)}" for t, was in self.given if _lies(t) != was]:
            raise RuntimeError(f"Tensors moved after they were recorded: {'; '.join(moved)}.")
        for func, args, kwargs, results in self.calls:
            for then, now in zip(tree_leaves(results), tree_leaves(func(*args, **kwargs)), strict=True):
                # Views, and what is changed in place, lie where they did; all else is copied there.
                if isinstance(now, Tensor) and now.untyped_storage().data_ptr() != then.untyped_storage().data_ptr():
                    then.copy_(now)
        return self.result


class CudaRecorder(Recorder):
    """A CUDA graph.

    Args:
        function: to be recorded.
        stream: on which it is captured.
        memory: of graphs, one of which runs at a time.
    """

    def __init__(self, function: Callable[[], Tensor], stream: torch.cuda.Stream, memory: Any) -> None:
        super().__init__(function)
        self.stream, self.memory = stream, memory

    def run(self) -> Tensor:
        """Run the function where it will be captured, see `Recorder`: libraries set up what they need for a stream."""
        with self._aside():
            return super().run()

    def record(self) -> None:
        """Capture the function, see `Recorder`; nothing is done."""
        self.graph = torch.cuda.CUDAGraph()
        with self._aside():
            # Other threads go on meanwhile: clips are encoded in one.
            self.graph.capture_begin(pool=self.memory, capture_error_mode="thread_local")
            try:
                self.result = self.function()
            except BaseException:
                with suppress(RuntimeError):  # the capture is void already
                    self._end()
                raise
            self._end()

    def _end(self) -> None:
        try:
            self.graph.capture_end()
        except RuntimeError:
            # A void capture ends before torch's allocator hears of it, which would then think that it still goes on.
            with suppress(RuntimeError):
                torch._C._cuda_endAllocateToPool(self.stream.device.index, self.memory)
            raise

    def replay(self) -> Tensor:
        """Launch the graph, see `Recorder`."""
        self.graph.replay()
        return self.result

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Work on the stream, between what came before and what comes after."""
        before = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(before)
        with torch.cuda.stream(self.stream):
            yield
        before.wait_stream(self.stream)


def recorders(device: torch.device) -> Callable[[Callable[[], Tensor]], Recorder]:
    """Return what records functions of an engine on a device, one of which runs at a time."""
    if device.type == "cuda":
        return partial(CudaRecorder, stream=torch.cuda.Stream(device), memory=torch.cuda.graph_pool_handle())
    return OperationRecorder


def _lies(tensor: Tensor) -> tuple[int, torch.Size, tuple[int, ...]]:
    return tensor.data_ptr(), tensor.shape, tensor.stride()
