"""`videollm fetch`: download models and benchmarks from the hub, so that later commands need no network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

from tyro.conf import Positional, arg

from videollm.errors import UserError

if TYPE_CHECKING:
    from videollm.checkpoints.hub import Kind, Repository

READ_FIRST: Final = ("config.json", "*.index.json")
"""What tells which other repositories loading a model reads."""
ARCHIVES: Final = ("*.zip", "*.tar", "*.tar.*", "*.tgz", "*.zip.*")


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """Download models and benchmarks from the hub, what is not here yet.

    A broken connection is taken up where it broke; a command that was stopped, with the files that are not complete.
    """

    names: Positional[tuple[str, ...]]
    """Models (org/name, org/name@revision), of which all that loading reads is fetched, and benchmarks (videomme, ...),
    of which annotations and videos are fetched."""
    split: str | None = None
    """Split of the benchmarks; the first if not given."""
    output: Annotated[Path | None, arg(aliases=("-o",))] = None
    """Folder for the files of one name; by default the hub's cache, where `--model org/name` finds them."""
    dry_run: bool = False
    """List the files and their sizes, and fetch none."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Files of a repository that are wanted."""

    name: str
    kind: Kind
    patterns: tuple[str, ...]
    repository: Repository

    @property
    def sizes(self) -> dict[str, int]:
        """Path of each wanted file -> bytes."""
        found = self.repository.sizes
        return {name: found[name] for name in sorted(found) if any(fnmatch(name, p) for p in self.patterns)}


def main(options: FetchOptions) -> None:
    """List or fetch, one name after the other; all are looked up before the first is fetched.

    Raises:
        UserError: a name is unknown or not on the hub, the hub cannot be reached or does not give it.
    """
    if not options.names:
        raise UserError("Name a model (org/name) or a benchmark (videomme, ...): videollm fetch NAME")
    if options.output is not None and len(options.names) > 1:
        raise UserError(f"--output takes one name, and got {', '.join(options.names)}. Fetch them one by one.")
    parts = {name: list(_parts(name, options.split)) for name in options.names}
    for name, of_name in parts.items():
        if not of_name:
            print(f"{name} is on this machine already.")
        for i, part in enumerate(of_name):
            # Towers that a model takes from elsewhere are looked for in the cache.
            (_list if options.dry_run else _fetch)(part, options.output if i == 0 else None)


def _parts(name: str, split: str | None) -> Iterator[Part]:
    """Look up a model or a benchmark; nothing for one that lies here."""
    from pipelines.evals.benchmarks import BENCHMARKS, load_benchmark
    from videollm.checkpoints import elsewhere
    from videollm.checkpoints.hub import fetch, find_model, is_hub_id, is_local, look_up, model_patterns

    if name in BENCHMARKS or ":" in name:
        benchmark = load_benchmark(name)
        wanted = benchmark.splits[0] if split is None else split
        if wanted not in benchmark.splits:
            raise UserError(f"{name} has no split {wanted!r}; expected one of {', '.join(benchmark.splits)}.")
        dataset = dict(zip(benchmark.splits, benchmark.datasets, strict=False)).get(wanted)
        if not dataset:
            where = benchmark.source or "whoever made it"
            raise UserError(f"{name} ({wanted}) is not on the hub as it is read here. Get it from {where}.")
        yield Part(name=dataset, kind="dataset", patterns=("*",), repository=look_up(dataset, "dataset"))
        return
    if is_local(name):
        return
    if not is_hub_id(name) or Path(name).exists():
        if "/" in name or Path(name).exists():
            find_model(name)  # which says what is wrong with it
        raise UserError(f"{name!r} is no model (org/name) and none of the benchmarks {', '.join(BENCHMARKS)}.")
    repository = look_up(name)
    with TemporaryDirectory() as folder:  # and by its commit, so that the cache stays as it is
        exact = f"{name.partition('@')[0]}@{repository.commit}"
        try:
            others = elsewhere(fetch(exact, READ_FIRST, into=Path(folder)), repository.sizes.keys())
        except UserError as error:
            raise UserError(str(error).replace(folder, name)) from error
    yield Part(name=name, kind="model", patterns=model_patterns(repository.sizes), repository=repository)
    for other, patterns in others.items():
        found = look_up(other)
        wanted_files = tuple(patterns) or model_patterns(found.sizes)
        yield Part(name=other, kind="model", patterns=wanted_files, repository=found)


def _list(part: Part, output: Path | None) -> None:
    sizes, here = part.sizes, part.repository.cached if output is None else frozenset()
    width = max((len(f"{size:,}") for size in sizes.values()), default=0)
    print(_headline(part) + (", gated: accept its conditions first" if part.repository.gated else ""))
    for name, size in sizes.items():
        print(f"  {size:>{width},}  {name}{'  (here)' if name in here else ''}")
    left = sum(size for name, size in sizes.items() if name not in here)
    print(f"To fetch: {told_size(left)}.")


def _fetch(part: Part, output: Path | None) -> None:
    from videollm.checkpoints.hub import fetch

    print(_headline(part), flush=True)
    folder = fetch(part.name, part.patterns, kind=part.kind, into=output)
    print(f"  in {folder}")
    if archives := [name for name in part.sizes if any(fnmatch(name, pattern) for pattern in ARCHIVES)]:
        print(f"  {len(archives)} archives are to be unpacked in that folder, before `videollm eval --data` reads it.")


def _headline(part: Part) -> str:
    sizes = part.sizes
    return f"{part.name} at {part.repository.commit[:12]}: {len(sizes):,} files, {told_size(sum(sizes.values()))}"


def told_size(size: int) -> str:
    """Write a number of bytes for people."""
    for unit, number in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= number:
            return f"{size / number:,.2f} {unit}"
    return f"{size} bytes"
