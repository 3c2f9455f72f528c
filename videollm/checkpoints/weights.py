"""Weights of checkpoints: every name accounted for, then read piece by piece into a model that has none yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from pickle import UnpicklingError
from threading import RLock, get_ident
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from videollm.checkpoints.folder import Renamed, Source
from videollm.engines.sharding import Slice
from videollm.errors import UserError

MAPPED_BYTES: Final = 64 * 2**20
"""A file is mapped into memory for about so much of it at a time, so that what was read does not stay resident."""
MAX_LISTED: Final = 20
_BUILDING: Final = RLock()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A tensor in a file, or some of its rows."""

    file: Path
    name: str
    shape: tuple[int, ...]
    first_row: int = 0
    arrange: Callable[[str, Tensor], Tensor] | None = None


Found = dict[str, list[Entry]]
"""Name in a module -> where its weights lie; it can be pickled."""


@contextmanager
def without_weights() -> Iterator[None]:
    """Build modules whose parameters take no memory (meta device) while their buffers are real.

    Buffers that no checkpoint holds (rotary frequencies, position ids) come out right, which building everything on
    the meta device would lose. Threads build one after the other, and others that load are left alone.
    """
    with _BUILDING:
        yield from _on_meta(get_ident())


def _on_meta(thread: int) -> Iterator[None]:
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        # A tied parameter, which is there already, must stay the same object.
        if get_ident() == thread and parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def fill(
    module: nn.Module,
    sources: Sequence[Source],
    *,
    device: str,
    dtype: torch.dtype,
    tied: frozenset[str] = frozenset(),
) -> None:
    """Give a module its weights, straight onto the device: `find` and `give`."""
    give(module, find(module, sources, tied=tied), device=lambda _: device, dtype=dtype)


def find(module: nn.Module, sources: Sequence[Source], *, tied: frozenset[str] = frozenset()) -> Found:
    """Find the weights of a module in files, and read none of them.

    Several tensors with one name in the model (experts) are laid end to end and take its shape; one tensor with several
    names (a fused projection) is cut into as many rows as each of them has.

    Args:
        module: built within `without_weights`.
        sources: files and what their names become.
        tied: names that share another one's tensor, and that files may hold or not.
    Raises:
        UserError: a file is damaged; or names or shapes of files and module differ, and all of these are listed.
    """
    shapes = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    wanted = {k: shape for k, shape in shapes.items() if k not in tied}
    found: dict[str, list[Entry]] = {}
    unexpected: list[Entry] = []
    for source in sources:
        for entry in (e for file in source.files for e in list_tensors(file)):
            entry = replace(entry, arrange=source.arrange)
            for target, part in _divide(entry, source.rename(entry.name), shapes):
                if target in wanted:
                    found.setdefault(target, []).append(part)
                elif target not in tied:
                    unexpected.append(part)
    _check(wanted, found, unexpected, [f for s in sources for f in s.files])
    return found


def give(
    module: nn.Module,
    found: Found,
    *,
    device: Callable[[str], str],
    dtype: torch.dtype,
    cuts: Mapping[str, Slice] | None = None,
) -> None:
    """Read weights piece by piece into a module that has none yet.

    Args:
        module: built within `without_weights`.
        found: what `find` found.
        device: of each name.
        dtype: of what is stored as floating point numbers.
        cuts: name -> the part of it that the module holds, where that is not all; only that part is taken into memory.
    Raises:
        UserError: a file is damaged.
    """
    cuts = cuts or {}
    uses: dict[Path, dict[str, list[tuple[str, Entry]]]] = {}
    for target, entries in found.items():
        for e in entries:
            uses.setdefault(e.file, {}).setdefault(e.name, []).append((target, e))
    parts: dict[str, dict[str, Tensor]] = {}
    for file, of_file in uses.items():
        for name, stored in _read(file, list(of_file)):
            for target, entry in of_file[name]:
                shape, cut = _parameter(module, target).shape, cuts.get(target)
                made = _rows(stored, entry)
                if alone := len(found[target]) == 1:
                    made = made.reshape(shape) if cut is None else cut.of(made.reshape(shape))
                kept = dtype if made.is_floating_point() else made.dtype
                with _blaming(file):
                    made = made.to(device(target), kept, copy=True, memory_format=torch.contiguous_format)
                of_target = parts.setdefault(target, {})
                of_target[name] = made
                if len(of_target) == len(found[target]):
                    if not alone:
                        made = torch.cat([of_target[n] for n in sorted(of_target, key=_natural)]).reshape(shape)
                        made = made if cut is None else cut.of(made).clone()
                    _assign(module, target, made)
                    del parts[target]
            del stored, made


def _divide(entry: Entry, targets: Renamed, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, Entry]]:
    """Yield each target of a tensor with the part of it that it takes; of several, the last takes all rows left."""
    if isinstance(targets, str):
        yield targets, entry
        return
    first = 0
    for i, target in enumerate(targets or ()):
        left = prod(entry.shape[:1]) - first
        rows = min(shapes[target][0], left) if target in shapes and i + 1 < len(targets or ()) else left
        yield target, replace(entry, shape=(rows, *entry.shape[1:]), first_row=first)
        first += rows


def _rows(tensor: Tensor, entry: Entry) -> Tensor:
    """Take an entry's rows of a stored tensor, as yet in the file's memory."""
    if entry.arrange is not None:
        tensor = entry.arrange(entry.name, tensor)
    return tensor if tensor.shape == entry.shape else tensor[entry.first_row : entry.first_row + entry.shape[0]]


def _check(
    wanted: dict[str, tuple[int, ...]], found: dict[str, list[Entry]], unexpected: list[Entry], files: Sequence[Path]
) -> None:
    problems = [f"missing {k}" for k in wanted if k not in found]
    for target, entries in found.items():
        shapes, expected = [e.shape for e in entries], wanted[target]
        joined = (sum(s[0] for s in shapes), *shapes[0][1:]) if len(shapes) > 1 else shapes[0]
        fits = shapes[0] == expected if len(shapes) == 1 else prod(joined) == prod(expected)
        if not fits:
            names = f"{entries[0].name}{f' and {len(entries) - 1} like it' if len(entries) > 1 else ''}"
            problems.append(f"{names} of shape {joined}, expected {expected}")
    problems += [f"unexpected {e.name}" for e in unexpected]
    if problems:
        listed = "; ".join(problems[:MAX_LISTED])
        more = f"; and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        where = ", ".join(dict.fromkeys(str(f.parent if len(files) > 1 else f) for f in files)) or "the model folder"
        raise UserError(f"Weights in {where} do not fit the configuration: {listed}{more}. Fetch or save them again.")


def _parameter(module: nn.Module, name: str) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    found: Tensor = getattr(module.get_submodule(owner), leaf)
    return found


def _assign(module: nn.Module, name: str, tensor: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    holder, old = module.get_submodule(owner), _parameter(module, name)
    setattr(holder, leaf, nn.Parameter(tensor, old.requires_grad) if isinstance(old, nn.Parameter) else tensor)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key in which part 10 follows part 9."""
    return [(int(part) if part.isdigit() else -1, part) for part in name.split(".")]


def list_tensors(file: Path) -> list[Entry]:
    """List the tensors of a file.

    Raises:
        UserError: the file is missing or damaged.
    """
    shapes, _ = _open(file)
    return [Entry(file=file, name=name, shape=shape) for name, shape in shapes.items()]


def _read(file: Path, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a file, which lie in its memory: to be copied, and let go of, before the next."""
    rest = list(names)
    while rest:
        _, get = _open(file)
        num_bytes = 0
        while rest and num_bytes < MAPPED_BYTES:
            name = rest.pop()
            with _blaming(file):
                stored = get(name)
            num_bytes += stored.nbytes
            yield name, stored
            del stored
        del get


def _open(file: Path) -> tuple[dict[str, tuple[int, ...]], Callable[[str], Tensor]]:
    """Return the shapes of a file's tensors and a reader of one; the file stays open while the reader lives."""
    with _blaming(file):
        if file.suffix == ".safetensors":
            opened: Any = safe_open(file, "pt")
            return {n: tuple(opened.get_slice(n).get_shape()) for n in opened.keys()}, opened.get_tensor  # noqa: SIM118
        tensors = _unpickled(file)
        return {n: tuple(t.shape) for n, t in tensors.items()}, tensors.__getitem__


@contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """Turn what readers raise into a UserError that names the file: it is missing, damaged or incomplete."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{file} is missing. Fetch or save the model folder again.") from None
    except (SafetensorError, RuntimeError, EOFError, UnpicklingError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} is damaged or incomplete ({reason}). Fetch or save it again.") from error


def _unpickled(file: Path) -> dict[str, Tensor]:
    """Load the tensors of a .bin file; nothing but tensors is unpickled."""
    try:
        stored: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        stored = torch.load(file, map_location="cpu", weights_only=True)  # written before torch 1.6
    if not isinstance(stored, dict) or not all(isinstance(t, Tensor) for t in stored.values()):
        raise UnpicklingError("it does not hold a table of tensors")
    return stored
