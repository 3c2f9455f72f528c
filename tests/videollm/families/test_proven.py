"""What families claim is what the suite proves."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

from tests.support.families import CASES, FULL_SIZE
from tests.support.paths import GOLDEN
from tests.videollm.checkpoints.test_transformers_layout import SIZES
from tests.videollm.families.test_structure import STRUCTURES
from videollm.checkpoints import FAMILIES
from videollm.checkpoints.family import BATCHED, EXACT, PROVEN, SIZED, SWAPPED

NAMES = tuple(name for name in FAMILIES.builtin if name != "videollm")


def proven() -> dict[str, set[str]]:
    """Name in FAMILIES -> what the cases and structures of the suite prove."""
    found: dict[str, set[str]] = {name: set() for name in NAMES}
    for case in CASES.values():
        values = json.loads((GOLDEN / case.folder / "config.json").read_text())
        kinds = (values.get("model_type"), *values["architectures"])
        name = next(kind for kind in kinds if kind in FAMILIES)
        assert name in case.kinds
        found[name] |= {EXACT, BATCHED, *([SWAPPED] if case.swaps else [])}
    for name in STRUCTURES:
        found[json.loads((GOLDEN / "configs" / f"{name}.json").read_text())["model_type"]].add(SIZED)
    for values, *_ in SIZES.values():
        found[values["model_type"]].add(SIZED)
    for name in FULL_SIZE:
        found[name].add(SIZED)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_family_claims_what_is_proven_and_nothing_else(name: str) -> None:
    proofs = FAMILIES[name].proven.get(name, ())
    assert set(proofs) == proven()[name]
    assert list(proofs) == [proof for proof in PROVEN if proof in proofs]


def test_nothing_is_claimed_of_other_names() -> None:
    for name in FAMILIES.builtin:
        assert set(FAMILIES[name].proven) <= {n for n in NAMES if FAMILIES[n] is FAMILIES[name]}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_structures_are_tested(name: str) -> None:
    module, _, function = FULL_SIZE[name].partition(":")
    assert callable(getattr(import_module(f"tests.videollm.checkpoints.{module}"), function))


@pytest.mark.parametrize("name", FAMILIES.builtin)
def test_a_family_says_what_it_is(name: str) -> None:
    family = FAMILIES[name]
    assert family.title
    assert family.parts.count(";") == 2
    assert family.licence
    assert family.published or name == "videollm"
