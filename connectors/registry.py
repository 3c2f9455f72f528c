"""Tables of classes by name: built-in ones, those of installed packages, and classes named by module or by file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import reduce
from hashlib import sha256
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final, Generic, TypeVar

T = TypeVar("T")
FILE_SUFFIX: Final = ".py"


class Table(Generic[T]):
    """Classes of one kind by name; a built-in name wins over an entry point of the same name.

    Args:
        noun: what the classes are, for messages ("connector").
        group: entry-point group in which an installed package names classes of its own ("videollm.connectors").
        base: `module:Class` that every class from outside must derive from.
        builtin: name -> class, or `module:Class` where importing the class is heavy; it is imported when it is loaded.
        error: raised with a message for the user.
    """

    def __init__(
        self, *, noun: str, group: str, base: str, builtin: Mapping[str, type[T] | str], error: type[ValueError]
    ) -> None:
        self.noun, self.group, self.base, self.builtin, self.error = noun, group, base, builtin, error

    def names(self) -> tuple[str, ...]:
        """Return the built-in names, then those of installed packages. Nothing is imported."""
        return tuple(dict.fromkeys([*self.builtin, *sorted(entry_points(group=self.group).names)]))

    def load(self, name: str) -> type[T]:
        """Import a class.

        Args:
            name: one of `names()`, `pkg.mod:Class` or `path/to/file.py:Class`; the latter two run that module's code.
        Raises:
            ValueError: (of the type `error`) there is no such class, importing it fails, or it is of another kind.
            ImportError: a built-in class needs a package that is not installed.
        """
        known = self.builtin.get(name)
        if isinstance(known, type):
            return known
        if known is not None:
            module, _, attribute = known.partition(":")
            ours: type[T] = getattr(import_module(module), attribute)  # errors here are ours, not the user's
            return ours
        installed = next(iter(entry_points(group=self.group).select(name=name)), None)
        target = name if installed is None else installed.value
        module, _, attribute = target.rpartition(":")
        if not (module and attribute):
            raise self.error(
                f"Unknown {self.noun} {name!r}. Expected one of {', '.join(self.names())}, or pkg.mod:Class "
                "or path/to/file.py:Class."
            )
        loaded = self._import(target, module, attribute)
        self._check(target, loaded)
        assert isinstance(loaded, type)
        return loaded

    def __getitem__(self, name: str) -> type[T]:
        """Return `load(name)`."""
        return self.load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self.names()

    def _import(self, target: str, module: str, attribute: str) -> object:
        try:
            owner = _import_file(Path(module)) if module.endswith(FILE_SUFFIX) else import_module(module)
            return reduce(getattr, attribute.split("."), owner)
        except Exception as error:  # a module of the user's may raise anything
            kind = "" if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: "
            raise self.error(
                f"{self.noun.capitalize()} {target!r} cannot be imported: {kind}{error}. Expected an importable "
                "pkg.mod:Class or path/to/file.py:Class; install its package, or put its folder on PYTHONPATH."
            ) from error

    def _check(self, target: str, loaded: object) -> None:
        module, _, attribute = self.base.partition(":")
        base = getattr(import_module(module), attribute)
        if not (isinstance(loaded, type) and issubclass(loaded, base)):
            expected = self.base.replace(":", ".")
            raise self.error(f"{self.noun.capitalize()} {target!r} is {loaded!r}, expected a subclass of {expected}.")


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name that its path fixes, so that a second import gives the same classes."""
    path = path.expanduser().resolve()
    if not path.is_file():
        raise ImportError(f"there is no file {path}")
    name = f"{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = sys.modules[name] = module_from_spec(spec)  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
