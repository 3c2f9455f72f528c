"""`videollm connectors`: the connectors that can stand between the vision tower and the LLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tyro.conf import Positional

from videollm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ConnectorsOptions:
    """List connectors with their visual tokens, parameters, settings and source."""

    names: Positional[tuple[str, ...]] = ()
    """Only these (`pkg.mod:Class` for one out of the tree)."""
    check: bool = False
    """Check the contract of the connectors, and name the checks that fail."""
    num_frames: int = 8
    """Frames per clip."""
    height: int = 24
    """Rows of patches per frame."""
    width: int = 24
    """Columns of patches per frame."""
    d_vision: int = 1024
    """Width of the encoder's features."""
    d_llm: int = 4096
    """Width of the LLM."""


def main(options: ConnectorsOptions) -> None:
    """Print a table with the settings below it, or the outcome of the checks.

    Raises:
        UserError: there is no such connector, one cannot be built, or a check failed.
    """
    from connectors import CONNECTORS, ConnectorError

    names = options.names or CONNECTORS.names()
    try:
        if options.check:
            _check(names)
        else:
            _list(names, options)
    except ConnectorError as error:
        raise UserError(str(error)) from error


def _check(names: Sequence[str]) -> None:
    from connectors import CONNECTORS, ContractError, check_connector

    for name in names:
        try:
            print(f"{name}\n{check_connector(CONNECTORS.load(name))}")
        except ContractError as error:
            raise UserError(f"{name}\n{error}") from error


def _list(names: Sequence[str], options: ConnectorsOptions) -> None:
    from connectors import describe

    found = [
        describe(
            name,
            d_vision=options.d_vision,
            d_llm=options.d_llm,
            num_frames=options.num_frames,
            height=options.height,
            width=options.width,
        )
        for name in names
    ]
    print(f"{options.num_frames} frames of {options.height} x {options.width} patches, "
          f"features of {options.d_vision}, LLM of {options.d_llm}:\n")  # fmt: skip
    width = max(len(c.name) for c in found)
    print(f"{'name':{width}}  {'tokens':>7}  {'parameters':>12}  source")
    for c in found:
        tokens = f"{c.tokens:,}" if isinstance(c.tokens, int) else "-"
        print(f"{c.name:{width}}  {tokens:>7}  {c.parameters:>12,}  {c.source}")
    print("\nSettings (--connector-config name=value):")
    for c in found:
        print(f"  {c.name:{width}}  {'; '.join(map(str, c.fields)) or 'none'}")
        if isinstance(c.tokens, str):
            print(f"  {'':{width}}  cannot take these frames: {c.tokens}")
