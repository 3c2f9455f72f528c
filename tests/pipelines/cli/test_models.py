"""`videollm models NAME` with published configurations: what a video costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generated import CONFIGS, model_folder
from pipelines.cli import main as cli

HEADLINE = {
    "MiniCPM-V-4_5": (["--choose-fps", "2", "--packing", "6"], 128),
    "Qwen2.5-VL-7B-Instruct": ([], 1536),
    "InternVL3-8B-hf": (["--num-frames", "12"], 3072),
}
"""Six seconds of 448 x 448 at two frames a second, as the paper on MiniCPM-V 4.5 has them (arXiv:2509.18154)."""


@pytest.mark.parametrize("name", HEADLINE)
def test_the_headline_of_minicpmv_4_5(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, tokens = HEADLINE[name]
    folder = str(model_folder(CONFIGS / f"{name}.json", tmp_path))
    cli.main(["models", folder, "--seconds", "6", "--height", "448", "--width", "448", *options])
    assert re.search(rf"^ +6 s +12 +{tokens:,} ", capsys.readouterr().out, re.MULTILINE)


def test_a_choice_that_the_sampling_does_not_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main(["models", "tiny-stc", "--choose-fps", "2"])
    assert "choose_fps" in capsys.readouterr().err
