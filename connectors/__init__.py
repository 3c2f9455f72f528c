"""Temporal connectors: patch features of a clip in, visual tokens for the LLM out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from connectors.base import ClipFeatures, Connector, Tokens
    from connectors.catalog import CONNECTORS, Description, Field, build_connector, config_fields, describe
    from connectors.contract import ContractError, Report, check_connector
    from connectors.errors import ConnectorError
    from connectors.registry import Table

__all__ = [
    "CONNECTORS",
    "ClipFeatures",
    "Connector",
    "ConnectorError",
    "ContractError",
    "Description",
    "Field",
    "Report",
    "Table",
    "Tokens",
    "build_connector",
    "check_connector",
    "config_fields",
    "describe",
]

_MODULES: Final = {
    "base": ("ClipFeatures", "Connector", "Tokens"),
    "catalog": ("CONNECTORS", "Description", "Field", "build_connector", "config_fields", "describe"),
    "contract": ("ContractError", "Report", "check_connector"),
    "errors": ("ConnectorError",),
    "registry": ("Table",),
}
"""Module -> public names in it; a module is imported when a name is asked for, so that tables need no torch."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"connectors.{module}"), name)
    raise AttributeError(f"module 'connectors' has no attribute {name!r}")
