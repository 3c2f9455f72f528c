"""`videollm demo`: what the product does, by the commands that a user would type, on clips that it draws itself."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

from tyro.conf import arg

from videollm.errors import UserError

CLIPS_SEED: Final = 1000
"""Its stories are not among those that the embedded models were trained on."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Draw clips of moving shapes, caption them, answer questions on them and score the answers: with the embedded
    model, without a download."""

    output: Annotated[Path, arg(aliases=("-o",))] = Path("demo-out")
    """Folder to write into: new, or of an earlier demo, which then goes on."""
    num_clips: int = 60
    """Clips to draw."""


def main(options: DemoOptions) -> None:
    """Run the commands one after the other, and show each before it runs.

    Raises:
        UserError: there are no clips to draw, or a command fails.
    """
    if options.num_clips < 1:
        raise UserError(f"--num-clips is {options.num_clips}, expected at least 1.")
    run: Callable[[Sequence[str]], None] = import_module("pipelines.cli.main").main
    for command in commands(options.output, options.num_clips):
        print(f"\n$ videollm {shlex.join(command)}", flush=True)
        run(command)
    print(f"\nRows, scores and the page report.html are in {options.output}.", file=sys.stderr)


def commands(output: Path, num_clips: int) -> list[list[str]]:
    """List the commands of the demo, each without `videollm`."""
    clips, evaluated = str(output / "clips"), str(output / "eval")
    first = f"{clips}/{CLIPS_SEED}-00000.mp4"
    return [
        ["make-clips", "-o", clips, "--num-clips", str(num_clips), "--seed", str(CLIPS_SEED)],
        ["caption", clips, "-o", str(output / "captions")],
        ["answer", f"{clips}/questions.jsonl", "-o", str(output / "answers")],
        ["ask", first, "Describe the video."],
        ["eval-shapes", clips],
        ["eval", "shapes", "--data", clips, "-o", evaluated],
        ["report", evaluated],
    ]
