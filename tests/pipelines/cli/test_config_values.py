from dataclasses import dataclass
from typing import Literal

import pytest

from connectors import CONNECTORS, Connector
from pipelines.cli.config_values import parse_fields, read_connector_config, read_sampling_config
from pipelines.cli.options import FrameOptions
from videollm.errors import UserError


class Typed(Connector):
    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        count: int
        rate: float = 0.5
        on: bool = False
        kind: Literal["a", "b"] = "a"
        window: tuple[int, int] = (1, 1)
        sizes: tuple[int, ...] = ()
        limit: int | None = None
        label: str = ""


def test_strings_become_the_field_types():
    strings = {"count": "3", "rate": "1e-2", "on": "true", "kind": "b", "window": "2,3", "sizes": "(4, 5, 6)"}
    strings |= {"limit": "none", "label": "x=1"}
    values = parse_fields(Typed, strings)
    assert values == {
        "count": 3, "rate": 0.01, "on": True, "kind": "b", "window": (2, 3), "sizes": (4, 5, 6), "limit": None,
        "label": "x=1",
    }  # fmt: skip
    assert parse_fields(Typed, {"limit": "7", "on": "No", "sizes": ""}) == {"limit": 7, "on": False, "sizes": ()}
    Typed.Config(d_vision=1, d_llm=1, **values)


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        ({"depht": "2"}, "STC has no field depht. Its fields: depth: int = 4; variant: Literal"),
        ({"depth": "two"}, "STC got depth='two', expected int. Its fields: depth"),
        ({"variant": "stc"}, "STC got variant='stc', expected Literal.*stp_connector"),
        ({"d_llm": "4"}, "STC has no field d_llm"),
    ],
)
def test_strings_that_do_not_fit(strings, message):
    with pytest.raises(ValueError, match=message):
        parse_fields(CONNECTORS.load("stc"), strings)


@pytest.mark.parametrize("strings", [{"on": "maybe"}, {"window": "1"}, {"window": "1,x"}, {"limit": "x"}, {"rate": ""}])
def test_strings_that_do_not_read(strings):
    with pytest.raises(ValueError, match="Typed got"):
        parse_fields(Typed, strings)


def test_pairs_of_the_command_line():
    assert read_connector_config(None, ()) == {}
    assert read_connector_config("stc", ["depth=2", "variant=stp_connector"]) == {
        "depth": 2,
        "variant": "stp_connector",
    }


@pytest.mark.parametrize(
    ("name", "pairs", "message"),
    [
        (None, ["depth=2"], "Got --connector-config depth=2; expected k=v, and --connector"),
        ("stc", ["depth"], "Got --connector-config depth; expected k=v"),
        ("stc", ["depht=2"], "STC has no field depht. Its fields: depth: int = 4"),
        ("stcc", ["depth=2"], "Unknown connector 'stcc'"),
    ],
)
def test_pairs_that_are_no_settings(name, pairs, message):
    with pytest.raises(UserError, match=message):
        read_connector_config(name, pairs)


def test_settings_of_a_sampling_policy(tmp_path):
    assert read_sampling_config(None, ()) == {}
    assert read_sampling_config("every", ["every_seconds=0.5", "num_frames=4"]) == {
        "every_seconds": 0.5,
        "num_frames": 4,
    }
    with pytest.raises(UserError, match=r"every got num_frames='few', expected int\. It has num_frames, every_seconds"):
        read_sampling_config("every", ["num_frames=few"])
    (tmp_path / "theirs.py").write_text(
        "from dataclasses import dataclass\nfrom videollm.video.sampling.linspace import Linspace\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Odd(Linspace):\n    kinds: tuple[str, ...] = ()\n"
    )
    policy = f"{tmp_path}/theirs.py:Odd"
    options = FrameOptions(sampling=policy, sampling_config=("kinds=a,b",), num_frames=5)
    chosen = options.choice().override({"policy": "every", "num_frames": 9, "every_seconds": 2.0})
    assert chosen == {
        "policy": policy,
        "num_frames": 5,
        "last": True,
        "repeat": True,
        "cut": False,
        "kinds": ("a", "b"),
    }
