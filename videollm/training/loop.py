"""`videollm train`: teach a connector, an LLM or a vision tower, with a seed, a log and resume."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import torch
import tyro
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from videollm.checkpoints import load
from videollm.errors import VideoError
from videollm.models.composed import VideoLLM
from videollm.shapes import architecture
from videollm.shapes.pretrain import PatchPretraining, frames_and_labels
from videollm.shapes.stories import STORIES
from videollm.training.data import Data, ShapesData
from videollm.training.manifest import ManifestData
from videollm.training.objectives.answers import answer_loss, token_loss
from videollm.training.state import load_state, save_state
from videollm.types import FrameBatch
from videollm.video.preprocessing.square import Square

Part = Literal["connector", "llm", "vision"]
PARTS: Final = {"connector": "connector", "llm": "llm", "vision": "tower"}
"""Name on the command line -> attribute of VideoLLM."""
SCRATCH: Final = "scratch"


@dataclass(frozen=True, kw_only=True)
class Job:
    """Train on videos with questions and answers, or on shapes drawn as it goes."""

    output: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Folder of the trained model, its log (train.jsonl) and what a resumed run needs."""
    data: str = "shapes"
    """`shapes`, or a manifest (.jsonl .csv .parquet) of rows: video, question, answer [, start, end]."""
    model: str = "tiny-stc"
    """Model to start from; `scratch` is the embedded architecture with new weights."""
    connector: str | None = None
    """Put this connector, with new weights, in the place of the model's own."""
    connector_config: tuple[str, ...] = ()
    """Settings of that connector, `name=value`."""
    train: tuple[Part, ...] = ("connector",)
    """Parts that learn; the others stay as they are."""
    objective: Literal["answers", "patches", "tokens"] = "answers"
    """`answers`: the tokens of the answers. `patches`: a tower alone learns to label the patches of shapes. `tokens`: a
    new --connector alone learns to give the visual tokens of the one it replaces."""
    steps: int = 1000
    """Steps of the optimiser."""
    batch_size: int = 32
    """Clips of 8 frames a step (frames a step for `patches`)."""
    learning_rate: float = 1e-3
    """Highest learning rate, after a linear warm-up; it falls to a hundredth by a cosine."""
    num_frames: tuple[int, ...] = (4, 8, 8, 8, 16, 32)
    """Frames a clip: one of these for each step (shapes); the first one (manifest)."""
    stories: tuple[str, ...] = ()
    """Kinds of story that shapes tell (still, parade, ...); all kinds if none is given."""
    multiple_choice: float = 0.1
    """Share of the stories' questions that are asked with their options."""
    drills: float = 0.0
    """Share of the stories that bring a drill: properties looked up by another one, word by word."""
    seed: int = 0
    """Fixes the new weights and the order of the data."""
    save_every: int = 500
    """Steps between saved states; a run that was stopped goes on from the last one."""
    log_every: int = 50
    """Steps between lines of the log."""
    device: str = "cpu"
    """Where to train."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 computes in mixed precision; the weights stay float32."""
    num_threads: int = 0
    """CPU threads of torch; 0 leaves the choice to torch."""


class Steps(Dataset[Any]):
    """Batches by step, so that a loader can make them ahead."""

    def __init__(self, make: Callable[[int], Any], first: int, last: int) -> None:
        self.make, self.first, self.last = make, first, last

    def __len__(self) -> int:
        """Steps left."""
        return self.last - self.first

    def __getitem__(self, i: int) -> Any:
        """The batch of the i-th step from the first, or why it cannot be made: a loader garbles what is raised."""
        try:
            return self.make(self.first + i)
        except (VideoError, ValueError, OSError) as error:
            return error


def main(job: Job) -> None:
    """Run a training job, or what is left of it.

    Raises:
        ValueError: the job cannot be run as it is given, or differs from the one its output folder holds.
        VideoError: a video of the manifest cannot be decoded.
    """
    if not job.train or set(job.train) - set(get_args(Part)):
        raise ValueError(f"--train got {', '.join(job.train) or 'nothing'}; expected some of {', '.join(PARTS)}.")
    if job.num_threads:
        torch.set_num_threads(job.num_threads)
    torch.manual_seed(job.seed)
    output = Path(job.output)
    model = _model(job).to(job.device)
    if job.device == "cpu":
        model.llm.set_attn_implementation("eager")  # sdpa's backward takes half of a step on a CPU
    module, loss, batches = _objective(job, model)
    model.requires_grad_(False)
    for part in job.train:
        getattr(model, PARTS[part]).requires_grad_(True)
    learned = {n: p for n, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(learned.values(), lr=job.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    first = load_state(output, job, module, optimizer)
    loader = DataLoader(Steps(batches, first, job.steps), batch_size=None, num_workers=1, prefetch_factor=4)
    bar = tqdm(total=job.steps, initial=first, unit="step", desc=output.name, mininterval=1)
    window = _Window()
    module.train()
    for step, batch in enumerate(loader, first):
        if isinstance(batch, Exception):
            raise batch
        for group in optimizer.param_groups:
            group["lr"] = job.learning_rate * _rate(step, job.steps)
        with torch.autocast(job.device.partition(":")[0], torch.bfloat16, enabled=job.precision == "bfloat16"):
            value, scores = loss(batch)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(learned.values(), 1.0)
        optimizer.step()
        window.add(float(value.detach()), scores)
        bar.update()
        if (step + 1) % job.log_every == 0 or step + 1 == job.steps:
            line = {"step": step + 1, **window.line(), "learning_rate": optimizer.param_groups[0]["lr"]}
            output.mkdir(parents=True, exist_ok=True)
            with (output / "train.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            bar.set_postfix(loss=line["loss"], right=line["right"])
            window = _Window()
        if (step + 1) % job.save_every == 0 or step + 1 == job.steps:
            save_state(output, job, step + 1, model, module, optimizer)
    bar.close()
    print(f"Trained {', '.join(job.train)} to step {job.steps}: {output}")


def _rate(step: int, steps: int) -> float:
    """Share of the highest learning rate."""
    warm_up = max(1, min(50, steps // 20))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


class _Window:
    """Figures since the last line of the log."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.scores: dict[str, list[float]] = defaultdict(list)
        self.began = time.perf_counter()

    def add(self, loss: float, scores: dict[str, float]) -> None:
        self.losses.append(loss)
        for kind, score in scores.items():
            self.scores[kind].append(score)

    def line(self) -> dict[str, Any]:
        means = {k: round(sum(v) / len(v), 3) for k, v in sorted(self.scores.items())}
        answers = [v for k, v in means.items() if k not in ("caption", "drill")]
        return {
            "loss": round(sum(self.losses) / len(self.losses), 4),
            "right": round(sum(answers) / max(1, len(answers)), 3),
            "steps_per_second": round(len(self.losses) / (time.perf_counter() - self.began), 2),
            "kinds": means,
        }


def _model(job: Job) -> VideoLLM:
    read_connector_config = import_module("pipelines.cli.config_values").read_connector_config  # until it has a command

    if job.model == SCRATCH:
        name = job.connector or "stc"
        return architecture.build(name, job.seed, **read_connector_config(name, job.connector_config))
    model = load(
        job.model,
        connector=job.connector,
        connector_config=read_connector_config(job.connector, job.connector_config),
        device=job.device,
        dtype="float32",
    )
    assert isinstance(model, VideoLLM)
    return model


Loss = Callable[[Any], tuple[Tensor, dict[str, float]]]


def _objective(job: Job, model: VideoLLM) -> tuple[nn.Module, Loss, Callable[[int], Any]]:
    """The module that learns, its loss of a batch, and the batch of a step."""
    if job.objective == "patches":
        if job.train != ("vision",) or job.data != "shapes":
            raise ValueError("--objective patches teaches the tower alone: give --train vision and --data shapes.")
        transform = _square(model)
        pretraining = PatchPretraining(model.tower, transform.size)

        def patch_loss(batch: tuple[FrameBatch, Tensor]) -> tuple[Tensor, dict[str, float]]:
            value, right = pretraining(transform(batch[0].frames), batch[1])
            return value, {"patch": float(right)}

        def frames(step: int) -> tuple[FrameBatch, Tensor]:
            made, labels = frames_and_labels(job.seed, step, job.batch_size, transform.size, model.tower.patch_size)
            return FrameBatch(frames=made, indices=(), seconds=()), labels

        return pretraining, patch_loss, frames
    data: Data
    if job.data == "shapes":
        if unknown := set(job.stories) - set(STORIES):
            raise ValueError(f"--stories got {', '.join(sorted(unknown))}; expected some of {', '.join(STORIES)}.")
        data = ShapesData(
            seed=job.seed,
            batch_size=job.batch_size,
            num_frames=job.num_frames,
            size=_square(model).size,
            stories=job.stories,
            multiple_choice=job.multiple_choice,
            drills=job.drills,
        )
    else:
        data = ManifestData.read(job.data, model, seed=job.seed, batch_size=job.batch_size)
    if job.objective == "tokens":
        if job.train != ("connector",) or job.connector is None or job.model == SCRATCH:
            raise ValueError("--objective tokens teaches a new connector: give --train connector and --connector.")
        taught = load(job.model, device=job.device, dtype="float32")
        assert isinstance(taught, VideoLLM)
        teacher = taught.connector
        return model, lambda examples: token_loss(model, teacher, examples), data
    return model, lambda examples: answer_loss(model, examples), data


def _square(model: VideoLLM) -> Square:
    """The transform of a model that takes squares, as shapes are drawn."""
    if not isinstance(model.transform, Square):
        raise ValueError(f"Shapes are drawn as squares, which {model.name} does not take. Give --data a manifest.")
    return model.transform
