"""`videollm train`: training of a connector, an LLM or a vision tower, with a seed, a log and resume."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from tyro.conf import arg

from pipelines.cli.config_values import read_connector_config
from videollm.errors import UserError
from videollm.training.config import TrainingConfig

if TYPE_CHECKING:
    from videollm.models.trainable import TrainableModel
    from videollm.training.data import Data
    from videollm.training.loop import Progress
    from videollm.training.objectives.base import Objective

SCRATCH: Final = "scratch"
SHAPES: Final = "shapes"
FREE: Final = frozenset({"output", "save_every", "log_every", "device", "num_threads"})
"""Settings that a resumed run may change."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainingConfig):
    """Train on videos with questions and answers, or on shapes drawn during training."""

    output: Annotated[str, arg(aliases=["-o"])]
    """Folder of the trained model, its log (train.jsonl) and the state for a resumed run."""
    data: str = SHAPES
    """`shapes`, or a manifest (.jsonl .csv .parquet) of rows: video, question, answer [, start, end]."""
    model: str = "tiny-stc"
    """Model to start from; `scratch` is the embedded architecture with new weights."""
    connector: str | None = None
    """Replace the model's own connector by this one, with new weights."""
    connector_config: tuple[str, ...] = ()
    """Settings of that connector, `name=value`."""
    objective: Literal["answers", "patches", "tokens"] = "answers"
    """`answers`: the tokens of the answers. `patches`: a tower alone learns to label the patches of shapes. `tokens`: a
    new --connector alone learns to give the visual tokens of the one it replaces."""
    batch_size: int = 32
    """Clips of 8 frames per step (for `patches`: frames per step)."""
    num_frames: tuple[int, ...] = (4, 8, 8, 8, 16, 32)
    """Frames per clip of shapes: each step draws one of these numbers. Manifests use the model's own number."""
    stories: tuple[str, ...] = ()
    """Kinds of story that shapes tell (still, parade, ...); by default all kinds."""
    multiple_choice: float = 0.1
    """Share of the stories' questions that are asked with options."""
    drills: float = 0.0
    """Share of the stories with a drill: one property looked up by another, word by word."""
    seed: int = 0
    """Fixes the new weights and the order of the data."""
    num_threads: int = 0
    """CPU threads of torch; 0 leaves the choice to torch."""


def main(options: TrainOptions) -> None:
    """Run a training job, or the rest of it.

    Raises:
        UserError: the job cannot be run as given, or differs from the job in the output folder.
        VideoError: a video of the manifest cannot be decoded.
    """
    import torch

    from pipelines.cli.progress import progress_bar
    from videollm.training.loop import train

    _check(options)
    if options.num_threads:
        torch.set_num_threads(options.num_threads)
    torch.manual_seed(options.seed)
    output = Path(options.output)
    objective = _objective(options, _model(options))
    settings = {k: v for k, v in asdict(options).items() if k not in FREE}
    with progress_bar(options.steps, unit="step", description=output.name) as show:

        def on_step(progress: Progress) -> None:
            line = progress.line or {}
            show(progress.step, **{name: line[name] for name in ("loss", "right") if name in line})

        train(objective, options, output=output, settings=settings, on_step=on_step)
    print(f"Trained {', '.join(options.train)} to step {options.steps}: {output}")


def _check(options: TrainOptions) -> None:
    """Check the options against each other, before a model is loaded."""
    from videollm.training.data import SUFFIXES

    if options.data != SHAPES and Path(options.data).suffix not in SUFFIXES:
        raise UserError(f"--data got {options.data!r}; expected `shapes` or a {', '.join(SUFFIXES)} file.")
    if options.objective == "patches" and (options.train != ("vision",) or options.data != SHAPES):
        raise UserError("--objective patches teaches the tower alone: give --train vision and --data shapes.")
    replaces = options.train == ("connector",) and options.connector is not None and options.model != SCRATCH
    if options.objective == "tokens" and not replaces:
        raise UserError("--objective tokens teaches a new connector: give --train connector and --connector.")


def _model(options: TrainOptions) -> TrainableModel:
    """Load the model to start from, or build the embedded architecture with new weights."""
    from videollm.shapes import architecture

    if options.model != SCRATCH:
        config = read_connector_config(options.connector, options.connector_config)
        return _load(options, connector=options.connector, connector_config=config)
    name = options.connector or "stc"
    return architecture.build(name, options.seed, **read_connector_config(name, options.connector_config)).to(
        options.device
    )


def _load(options: TrainOptions, **connector: Any) -> TrainableModel:
    from videollm.checkpoints import load
    from videollm.models.trainable import TrainableModel

    model = load(options.model, device=options.device, dtype="float32", **connector)
    if not isinstance(model, TrainableModel):
        raise UserError(f"{options.model} runs as a whole: it has no parts that could learn. Give another --model.")
    return model


def _objective(options: TrainOptions, model: TrainableModel) -> Objective:
    from videollm.shapes.pretrain import PatchObjective
    from videollm.training.objectives.answers import AnswerObjective
    from videollm.training.objectives.tokens import TokenObjective

    if options.objective == "patches":
        return PatchObjective(model, seed=options.seed, num_frames=options.batch_size)
    if options.objective == "tokens":
        return TokenObjective(model, _load(options).connector, _data(options, model))
    return AnswerObjective(model, _data(options, model))


def _data(options: TrainOptions, model: TrainableModel) -> Data:
    from videollm.shapes.data import ShapesData
    from videollm.shapes.pretrain import square_transform
    from videollm.training.data import ManifestData

    if options.data != SHAPES:
        return ManifestData.read(options.data, model, seed=options.seed, batch_size=options.batch_size)
    return ShapesData(
        seed=options.seed,
        batch_size=options.batch_size,
        num_frames=options.num_frames,
        size=square_transform(model).size,
        stories=options.stories,
        multiple_choice=options.multiple_choice,
        drills=options.drills,
    )
