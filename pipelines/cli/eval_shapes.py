"""`videollm eval-shapes`: scores of a model on clips never seen in training, as they are, shuffled and blank."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class EvalShapesOptions:
    """Score a model on clips from make-clips: as they are, with shuffled frames, and blank."""

    clips: Positional[str]
    """Folder that make-clips wrote."""
    model: Annotated[str, arg(aliases=["-m"])] = "tiny-stc"
    """Embedded model, model folder, or hub id."""
    num_frames: int | None = None
    """Frames per clip; by default the model's own number."""
    seed: int = 0
    """Fixes the shuffles."""
    by_kind: bool = False
    """Print one more line per kind of question."""


def main(options: EvalShapesOptions) -> None:
    """Print the scores."""
    from pipelines.cli.progress import progress_bar
    from videollm.checkpoints import load
    from videollm.shapes.scores import evaluate, report

    model = load(options.model)
    folder = Path(options.clips)
    with progress_bar(None, unit="clip", description="clips") as show:
        scored = evaluate(model, folder, num_frames=options.num_frames, seed=options.seed, on_clips=show)
    print(report(scored, by_kind=options.by_kind))
