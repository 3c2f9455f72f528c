"""Temporal connectors: patch features of a clip in, visual tokens for the LLM out."""

from connectors.base import ClipFeatures, Connector
from connectors.contract import ContractError, Report, check_connector
from connectors.registry import (
    CONNECTORS,
    Description,
    build_connector,
    config_fields,
    connector_names,
    describe,
    load_connector,
    parse_config,
    read_settings,
)

__all__ = [
    "CONNECTORS",
    "ClipFeatures",
    "Connector",
    "ContractError",
    "Description",
    "Report",
    "build_connector",
    "check_connector",
    "config_fields",
    "connector_names",
    "describe",
    "load_connector",
    "parse_config",
    "read_settings",
]
