"""Values of `--connector-config k=v ...` and `--sampling-config k=v ...`, read by tyro by the types of the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from videollm.errors import UserError

if TYPE_CHECKING:
    from connectors import Connector

BOOLEANS: Final = {"true": True, "1": True, "yes": True, "on": True,
                   "false": False, "0": False, "no": False, "off": False}  # fmt: skip
_WORDS: Final = ConstructorRegistry()
"""Reads booleans and None in any spelling; everything else is read as tyro reads it."""


def read_connector_config(name: str | None, pairs: Sequence[str]) -> dict[str, object]:
    """Read the settings of a connector.

    Args:
        name: as for `CONNECTORS.load`.
        pairs: `k=v`, each.
    Raises:
        UserError: no connector is named, there is none of that name, a field is unknown, or a value does not fit.
    """
    if not pairs:
        return {}
    strings = _split("connector", name, pairs)
    from connectors import CONNECTORS, ConnectorError

    try:
        return parse_fields(CONNECTORS.load(str(name)), strings)
    except ConnectorError as error:
        raise UserError(str(error)) from error


def read_sampling_config(policy: str | None, pairs: Sequence[str]) -> dict[str, object]:
    """Read the settings of a sampling policy.

    Args:
        policy: as for `POLICIES.load`.
        pairs: `k=v`, each.
    Raises:
        UserError: no policy is named, there is none of that name, it lacks a setting, or a value does not fit its type.
    """
    if not pairs:
        return {}
    strings = _split("sampling", policy, pairs)
    from videollm.video.sampling import POLICIES
    from videollm.video.sampling.base import check_settings, setting_names

    check_settings(str(policy), strings)
    expected = f"It has {', '.join(setting_names(str(policy)))}."
    return _parse(get_type_hints(POLICIES.load(str(policy))), strings, str(policy), expected)


def read_strategy_config(name: str, pairs: Sequence[str]) -> dict[str, object]:
    """Read the settings of a strategy.

    Args:
        name: as for `STRATEGIES.load`.
        pairs: `k=v`, each.
    Raises:
        UserError: there is no such strategy, it lacks a setting, or a value does not fit its type.
    """
    if not pairs:
        return {}
    strings = _split("strategy", name, pairs)
    from pipelines.timelines.strategies.base import STRATEGIES

    hints = get_type_hints(STRATEGIES.load(name))
    if unknown := sorted(strings.keys() - hints.keys()):
        raise UserError(f"The strategy {name} has no {', '.join(unknown)}; expected one of {', '.join(hints)}.")
    return _parse(hints, strings, name, f"It has {', '.join(hints)}.")


def _split(option: str, name: str | None, pairs: Sequence[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    if name is None or not all(equals for _, equals, _ in split):
        raise UserError(f"Got --{option}-config {' '.join(pairs)}; expected k=v, and --{option}.")
    return {key: value for key, _, value in split}


def parse_fields(cls: type[Connector], strings: Mapping[str, str]) -> dict[str, object]:
    """Turn strings into values of the field types of a connector's Config.

    Raises:
        ConnectorError: the Config lacks a field.
        UserError: a string does not read as its type.
    """
    from connectors.catalog import check_field_names, describe_fields

    check_field_names(cls, strings)
    return _parse(get_type_hints(cls.Config), strings, cls.__name__, describe_fields(cls))


def _parse(hints: Mapping[str, Any], strings: Mapping[str, str], owner: str, hint: str) -> dict[str, object]:
    from connectors.catalog import type_name

    values: dict[str, object] = {}
    for field, text in strings.items():
        try:
            values[field] = parse_value(hints[field], text)
        except ValueError as error:
            expected = type_name(hints[field])
            raise UserError(f"{owner} got {field}={text!r}, expected {expected}. {hint}") from error
    return values


def parse_value(hint: Any, text: str) -> object:
    """Turn a string into a value of a type; the parts of a tuple are separated by commas.

    Raises:
        ValueError: the string does not read as that type.
    """
    if hint is str:
        return text
    arguments = [text]
    if any(get_origin(kind) is tuple for kind in (hint, *get_args(hint))):
        arguments = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
    output = StringIO()
    try:
        with redirect_stderr(output), redirect_stdout(output):
            value: object = tyro.cli(hint, args=arguments, registry=_WORDS, config=(tyro.conf.PositionalRequiredArgs,))
    except SystemExit as error:  # tyro prints what is wrong for a command line of its own
        raise ValueError(text) from error
    return value


def _words(type: Any, metavar: str, words: Mapping[str, object]) -> None:
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if info.type is not type:
            return None

        def read(arguments: list[str]) -> object:
            if arguments[0].lower() not in words:
                raise ValueError(arguments[0])
            return words[arguments[0].lower()]

        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=metavar,
            instance_from_str=read,
            is_instance=lambda value: value in words.values(),
            str_from_instance=lambda value: [str(value)],
        )

    _WORDS.primitive_rule(rule)


_words(bool, "true|false", BOOLEANS)
_words(type(None), "none", {"none": None})
