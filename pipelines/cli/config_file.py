"""Options from a file, `--config FILE`: TOML, or the run.json of an earlier job. Flags go over the file.

A file names options as flags do, `-` or `_` between words, in tables of any name or in none:

    model = "tiny-stc"
    prompt = "What happens?"
    [frames]
    num-frames = 8
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from videollm.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FLAG: Final = "--config"
RECORD: Final = ".json"
"""Suffix of run.json; any other is TOML."""
HELP: Final = (
    f"{FLAG} FILE takes options from a file, TOML or the run.json of an earlier job, and flags go over the file: "
    f"`videollm caption {FLAG} out/run.json -o again`."
)

T = TypeVar("T")


def split_flag(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Take `--config FILE` or `--config=FILE` out of a command's arguments.

    Raises:
        UserError: the flag stands there twice, or without a file.
    """
    files: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if name != FLAG:
            rest.append(argument)
        elif file := value if equals else next(remaining, ""):
            files.append(file)
        else:
            raise UserError(f"{FLAG} names no file. Give {FLAG} FILE.")
    if len(files) > 1:
        raise UserError(f"Got {FLAG} {len(files)} times; one file holds all options.")
    return (Path(files[0]) if files else None), rest


def read_options(path: Path, options: type[T]) -> tuple[T, list[str]]:
    """Read the options of a command.

    Returns:
        The options of the file, with defaults for the others and tyro's MISSING where an option has none; and what the
        run.json of another command gives that this one does not have.
    Raises:
        UserError: the file cannot be read, TOML names an option that the command does not have, or a value does not
            suit its option.
    """
    given = dict(_leaves(_load(path)))
    made = _build(options, given, path)
    if given and path.suffix != RECORD:
        raise UserError(
            f"{path} gives {', '.join(sorted(given))}, which this command does not have; expected options as --help "
            f"lists them.{_suggestion(given, list(_names(options)))}"
        )
    return made, sorted(given)


def _load(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix != RECORD:
            return tomllib.loads(text)
        options: Mapping[str, Any] = json.loads(text)["sessions"][-1]["options"]
        # What the earlier job was not given is for the command to choose again.
        return {name: value for name, value in _leaves(options) if value is not None}
    except OSError as error:
        raise UserError(f"{FLAG} {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no {'JSON' if path.suffix == RECORD else 'TOML'}: {error}") from error
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no run.json of a job: it has no options of a session. Give TOML.") from error


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and values, those of tables too."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield name.replace("-", "_"), value


def _names(options: type[Any]) -> Iterator[str]:
    """Yield the names of options, those of groups too."""
    for name, hint in get_type_hints(options).items():
        yield from _names(hint) if is_dataclass(hint) and isinstance(hint, type) else [name]


def _suggestion(unknown: Iterable[str], names: Sequence[str]) -> str:
    near = [match for name in unknown for match in get_close_matches(name, names, n=1)]
    return f" Did you mean {', '.join(near)}?" if near else ""


def _build(options: type[T], given: dict[str, Any], path: Path) -> T:
    """Make options of the values given, and take them out of `given`."""
    hints, values = get_type_hints(options), {}
    for field in fields(options):  # type: ignore[arg-type]  # a dataclass
        hint = hints[field.name]
        if is_dataclass(hint) and isinstance(hint, type):
            values[field.name] = _build(hint, given, path)
        elif field.name in given:
            value = given.pop(field.name)
            try:
                values[field.name] = _convert(hint, value)
            except ValueError as error:
                expected = _type_name(hint)
                raise UserError(f"{path} gives {field.name} = {value!r}; expected {expected}.") from error
        elif field.default is MISSING and field.default_factory is MISSING:
            values[field.name] = tyro.MISSING
    return options(**values)


def _convert(hint: Any, value: Any) -> Any:
    """Turn a value of TOML or JSON into one of a type.

    Raises:
        ValueError: it is none.
    """
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _convert(arguments[0], value)
    if kind in (Union, UnionType):
        for one in arguments:
            try:
                return _convert(one, value)
            except ValueError:
                continue
    elif kind is Literal:
        if value in arguments:
            return value
    elif kind is tuple:  # of one type; a single value may stand for a list of one
        return tuple(_convert(arguments[0], v) for v in (value if isinstance(value, list) else [value]))
    elif hint is type(None):
        if value is None:
            return None
    elif hint is Path:
        if isinstance(value, str):
            return Path(value)
    elif hint is float and type(value) is int:
        return float(value)
    elif type(value) is hint:
        return value
    raise ValueError(value)


def _type_name(hint: Any) -> str:
    """Name a type for a message."""
    if get_origin(hint) is Annotated:
        return _type_name(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
