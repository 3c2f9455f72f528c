"""Code that travels to the workers of a cluster."""

from __future__ import annotations

from importlib.util import find_spec

from videollm.errors import UserError


def code_paths(module: str | None) -> list[str]:
    """Find the folders (or files) of our own packages and of one more module.

    Args:
        module: `pkg.mod`, of which all of `pkg` travels.
    Raises:
        UserError: there is no such module.
    """
    names = ["pipelines", "videollm", "connectors"]
    if module is not None:
        names.append(module.partition(".")[0])
    found = []
    for name in dict.fromkeys(names):
        spec = find_spec(name)
        if spec is None or not (spec.submodule_search_locations or spec.origin):
            raise UserError(f"There is no module {name!r}, whose code the workers need. Put its folder on PYTHONPATH.")
        found.append(next(iter(spec.submodule_search_locations or []), None) or str(spec.origin))
    return found
