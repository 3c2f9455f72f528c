"""`videollm models`: the families of models, and what a video costs with a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tyro.conf import Positional

from pipelines.cli.options import FrameOptions
from videollm.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from videollm.checkpoints import Family
    from videollm.models.composed import VideoLLM

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class ModelsOptions:
    """List the families of models, their licences and what is proven of them, or count what videos cost with models.

    Weights are neither fetched nor read.
    """

    names: Positional[tuple[str, ...]] = ()
    """Models to count for: embedded ones, folders or hub ids, of which the configuration is fetched."""
    seconds: tuple[float, ...] = (10.0, 60.0, 600.0, 3600.0)
    """Lengths of videos."""
    height: int = 720
    """Pixels."""
    width: int = 1280
    """Pixels."""
    fps: float = 30.0
    """Frames per second of the videos."""
    frames: FrameOptions = field(default_factory=FrameOptions)


def main(options: ModelsOptions) -> None:
    """Print the table.

    Raises:
        UserError: there is no such model, or a length or size is not above 0.
    """
    if min(*options.seconds, options.height, options.width, options.fps) <= 0:
        raise UserError("Seconds, height, width and fps must be above 0.")
    if not options.names:
        _list()
        return
    from videollm.checkpoints import Options, outline

    video = f"{options.width} x {options.height}, {options.fps:g} frames a second"
    print(f"Frames and visual tokens of a video of {video}:")
    for name in options.names:
        model = outline(Options(name=name, device="cpu"))
        print(f"\n{name}: {_parts(model)}")
        print(f"  {'length':>8}  {'frames':>7}  {'tokens':>8}  tokens a second")
        for seconds in options.seconds:
            frames, tokens = cost(model, seconds, options)
            most = "at most " if model.connector.varies else ""
            print(f"  {seconds:>6g} s  {frames:>7,}  {most}{tokens:>8,}  {tokens / seconds:.1f}")


def _list() -> None:
    from videollm.checkpoints import EMBEDDED

    print("Families, by the model_type of config.json, with some of their models (--model takes these, and folders):")
    for family, names in families().items():
        lines = {
            "model_type": ", ".join(names),
            "parts": family.parts,
            "models": ", ".join(family.published or EMBEDDED),
            "licence": family.licence,
            "proven": told_proofs(family, names),
        }
        print(f"\n  {family.title or family.__name__}")
        for name, value in lines.items():
            print(f"    {name:10}  {value or '-'}")
    print("\nLicences are as they are remembered: check the model card. Proven: what tests prove on random weights.")
    print("`videollm models NAME` counts what a video costs with a model.")


def families() -> dict[type[Family], list[str]]:
    """Collect the families, each with its names."""
    from videollm.checkpoints import FAMILIES

    kinds: dict[type[Family], list[str]] = {}
    for name in FAMILIES:
        kinds.setdefault(FAMILIES.load(name), []).append(name)
    return kinds


def told_proofs(family: type[Family], names: Sequence[str]) -> str:
    """Say what is proven of a family: of all its names, or of which of them."""
    told: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        if proofs := family.proven.get(name):
            told.setdefault(proofs, []).append(name)
    if [*told.values()] == [list(names)]:
        return ", ".join(*told)
    return "; ".join(f"{', '.join(of)}: {', '.join(proofs)}" for proofs, of in told.items())


def _parts(model: VideoLLM) -> str:
    """Name the parts of a model, with their parameters and the memory of all weights in bfloat16."""

    def count(part: nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    parts = {"tower": model.tower, model.connector_name: model.connector, "LLM": model.llm}
    told = ", ".join(f"{name} {count(part) / 1e6:,.1f} M" for name, part in parts.items())
    return f"{told}; {2 * count(model) / GIB:.2f} GiB of weights in bfloat16"


def cost(model: VideoLLM, seconds: float, options: ModelsOptions) -> tuple[int, int]:
    """Count the frames and the visual tokens of a video; at most so many where a connector's number varies.

    Args:
        model: may be without weights.
        seconds: length of the video.
        options: its size and frames per second, and the choice of frames.
    Raises:
        UserError: the model cannot take such a video, or its sampling no such choice.
    """
    from videollm.video.preprocessing.frame_size import target_size
    from videollm.video.sampling import Sampling, Timeline, sample

    number = max(1, round(seconds * options.fps))
    sampling = Sampling.from_dict(options.frames.choice().override(asdict(model.sampling)))
    chosen = sample(sampling, Timeline(num_frames=number, fps=options.fps, duration_seconds=seconds))
    size = model.transform.frame_size()
    sized = None if size is None else size.of_clip(len(chosen.indices))
    height, width = target_size(sized, options.height, options.width)
    frames = len(chosen.indices)
    return frames, model.num_visual_tokens(frames, height, width, packing=chosen.packing)
