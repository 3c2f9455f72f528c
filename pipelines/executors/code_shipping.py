"""Which code travels to the workers of a cluster."""

from __future__ import annotations

from importlib.util import find_spec

from videollm.errors import UserError


def packages(connector: str | None) -> list[str]:
    """Folders (or files) of our own packages and of the connector's.

    Args:
        connector: `pkg.mod:Class`, or a name, whose code is ours or installed everywhere.
    Raises:
        UserError: there is no such module.
    """
    names = ["pipelines", "videollm", "connectors"]
    if connector is not None and ":" in connector:
        names.append(connector.partition(":")[0].partition(".")[0])
    found = []
    for name in dict.fromkeys(names):
        spec = find_spec(name)
        if spec is None or not (spec.submodule_search_locations or spec.origin):
            raise UserError(f"Connector {connector!r}: there is no module {name!r}. Put its folder on PYTHONPATH.")
        found.append(next(iter(spec.submodule_search_locations or []), None) or str(spec.origin))
    return found
