"""The contract of a connector, checked on anyone's class: `check_connector(MyConnector)`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from einops import rearrange
from torch import Tensor

from connectors.base import ClipFeatures, Connector

SHAPES: Final = ((1, 6, 6), (1, 1, 1), (2, 2, 2), (3, 5, 4), (4, 6, 6), (5, 7, 3), (8, 4, 9), (0, 6, 6), (4, 0, 6))
"""(t h w): single frames, odd and non-square grids, too little to work on."""
TOLERANCE: Final = 1e-4
"""Of float32 outputs, absolute and relative; batched and single kernels differ in rounding alone."""
BF16_TOLERANCE: Final = 0.1
"""Root mean square of the error over that of the output."""


class ContractError(Exception):
    """A connector breaks the contract; the message is the whole report."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Outcome of every check."""

    connector: str
    problems: dict[str, str]
    """For each check what is wrong, empty where it passed."""

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that did not pass."""
        return tuple(name for name, problem in self.problems.items() if problem)

    def __str__(self) -> str:
        lines = [f"  {'FAIL' if p else 'ok  '} {name}{': ' if p else ''}{p}" for name, p in self.problems.items()]
        passed = len(self.problems) - len(self.failed)
        return "\n".join([f"{self.connector}: {passed} of {len(self.problems)} checks passed", *lines])


class _Subject:
    """The class under test, with inputs that are the same at every call."""

    def __init__(self, cls: type[Connector], config: Connector.Config, device: torch.device) -> None:
        self.cls, self.config, self.device = cls, config, device

    def build(self) -> Connector:
        torch.manual_seed(0)
        with self.device:
            return self.cls(self.config).eval()

    def patches(self, b: int, t: int, h: int, w: int) -> Tensor:
        random = torch.Generator().manual_seed(1000 * t + 100 * h + 10 * w + b)
        x = torch.randn(b, t, h, w, self.config.d_vision, generator=random)
        return x.bfloat16().float().to(self.device)  # exact in bfloat16, so that both precisions see one input

    def seconds(self, b: int, t: int) -> Tensor:
        random = torch.Generator().manual_seed(t)
        gaps = torch.rand(b, t, generator=random, dtype=torch.float64) + 0.1
        return gaps.cumsum(1).to(self.device)

    def clip(self, t: int, h: int, w: int, *, which: int = 0) -> ClipFeatures:
        return ClipFeatures(frames=self.patches(2, t, h, w)[which].unbind(), seconds=self.seconds(2, t)[which])

    def usable(self, connector: Connector) -> list[tuple[int, int, int]]:
        return [shape for shape in SHAPES if min(shape) > 0 and _tokens(connector, shape) is not None]


def check_connector(
    cls: type[Connector], config: Connector.Config | None = None, *, device: str | torch.device = "cpu"
) -> Report:
    """Run every check of the contract on a connector with fresh weights; takes seconds at small widths.

    Args:
        config: small hyper-parameters; left out, `cls.Config(d_vision=16, d_llm=32)`.
        device: where to run it.
    Returns:
        The report, `print`able.
    Raises:
        ContractError: a check failed; the message is the report.
    """
    subject = _Subject(cls, config or cls.Config(d_vision=16, d_llm=32), torch.device(device))
    problems = {}
    with torch.random.fork_rng():
        for check in CHECKS:
            try:
                problems[(check.__doc__ or "").rstrip(".")] = check(subject)
            except Exception as error:  # a check must not hide the outcome of the others
                problems[(check.__doc__ or "").rstrip(".")] = f"raised {type(error).__name__}: {error}"
    report = Report(connector=f"{cls.__module__}:{cls.__qualname__}", problems=problems)
    if report.failed:
        raise ContractError(f"{len(report.failed)} checks of the connector contract failed.\n{report}")
    return report


def _tokens(connector: Connector, shape: tuple[int, int, int]) -> int | None:
    try:
        return connector.num_tokens(*shape)
    except ValueError:
        return None


def _difference(made: Tensor, expected: Tensor) -> str:
    if made.shape != expected.shape:
        return f"shape {tuple(made.shape)}, expected {tuple(expected.shape)}"
    if not torch.allclose(made, expected, atol=TOLERANCE, rtol=TOLERANCE):
        return f"differs by {(made - expected).abs().max().item():.2g}, expected at most {TOLERANCE}"
    return ""


def _compare_clips(connector: Connector, clips: Sequence[ClipFeatures]) -> str:
    with torch.no_grad():
        for i, (made, clip) in enumerate(zip(connector.connect(clips), clips, strict=True)):
            if problem := _difference(made, connector.connect([clip])[0]):
                return f"clip {i} ({len(clip.frames)} frames, grids {sorted(set(clip.grids))}): {problem}"
    return ""


def _config(s: _Subject) -> str:
    """config is frozen and survives JSON."""
    if not s.config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return "Config is not frozen; decorate it with @dataclass(frozen=True, kw_only=True)"
    stored = json.loads(json.dumps(asdict(s.config)))
    restored: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    return "" if type(s.config)(**restored) == s.config else f"got {restored} back from {s.config}"


def _meta(s: _Subject) -> str:
    """builds on the meta device, where nothing is allocated."""
    with torch.device("meta"):
        tensors = list(s.cls(s.config).named_parameters())
    real = [name for name, tensor in tensors if tensor.device.type != "meta"]
    return f"allocated {', '.join(real)}" if real else ""


def _num_tokens(s: _Subject) -> str:
    """num_tokens equals forward at every shape, single frames, odd and non-square grids."""
    connector = s.build()
    shapes = s.usable(connector)
    if not shapes:
        return f"num_tokens takes none of the shapes (t h w) {SHAPES}"
    for t, h, w in shapes:
        n = connector.num_tokens(t, h, w)
        with torch.no_grad():
            made = connector(s.patches(2, t, h, w), s.seconds(2, t))
        if made.shape != (2, n, s.config.d_llm):
            return f"t={t}, h={h}, w={w}: forward made {tuple(made.shape)}, expected (2, {n}, {s.config.d_llm})"
        if not made.isfinite().all():
            return f"t={t}, h={h}, w={w}: forward made values that are not finite"
    return ""


def _too_small(s: _Subject) -> str:
    """num_tokens and forward raise ValueError with a message where a clip is too small."""
    connector = s.build()
    for t, h, w in SHAPES:
        try:
            n = connector.num_tokens(t, h, w)
            if min(t, h, w) < 1:
                return f"num_tokens({t}, {h}, {w}) returned {n}, expected a ValueError"
        except ValueError as error:
            if len(str(error)) < 10:
                return f"num_tokens({t}, {h}, {w}) raised ValueError({str(error)!r}), expected what to do about it"
            try:
                connector(s.patches(1, t, h, w), s.seconds(1, t))
            except ValueError:
                continue
            return f"num_tokens({t}, {h}, {w}) raises ValueError, forward does not"
    return ""


def _image(s: _Subject) -> str:
    """a still image (negative seconds) gives finite tokens, where one frame is enough."""
    connector = s.build()
    if _tokens(connector, (1, 6, 6)) is None:
        return ""
    with torch.no_grad():
        made = connector(s.patches(1, 1, 6, 6), -torch.ones(1, 1, dtype=torch.float64, device=s.device))
    return "" if made.isfinite().all() else "values are not finite"


def _batch(s: _Subject) -> str:
    """a batch equals single clips."""
    connector = s.build()
    for t, h, w in s.usable(connector):
        patches, seconds = s.patches(3, t, h, w), s.seconds(3, t)
        with torch.no_grad():
            single = torch.cat([connector(patches[i : i + 1], seconds[i : i + 1]) for i in range(3)])
            if problem := _difference(connector(patches, seconds), single):
                return f"t={t}, h={h}, w={w}: {problem}"
    return ""


def _ragged(s: _Subject) -> str:
    """clips of unequal length and grid, batched, equal single clips in the order given."""
    connector = s.build()
    shapes = s.usable(connector)
    clips = [s.clip(*shape, which=which) for which in (0, 1) for shape in shapes]
    with torch.no_grad():
        batched = connector.connect(clips)
    for clip, shape, made in zip(clips, [*shapes, *shapes], batched, strict=True):
        n = connector.num_tokens(*shape)
        if made.shape != (n, s.config.d_llm):
            return f"clip of {len(clip.frames)} frames gave {tuple(made.shape)}, expected ({n}, {s.config.d_llm})"
    return _compare_clips(connector, clips)


def _mixed_grids(s: _Subject) -> str:
    """frames of unequal grids in one clip equal a single run, or raise ValueError."""
    connector = s.build()
    frames = [s.patches(1, 1, h, w)[0, 0] for h, w in ((6, 6), (5, 7), (8, 4), (6, 6), (6, 6))]
    mixed = ClipFeatures(frames=tuple(frames), seconds=s.seconds(1, len(frames))[0])
    try:
        return _compare_clips(connector, [mixed, s.clip(4, 6, 6), mixed])
    except ValueError:
        return ""


def _gradients(s: _Subject) -> str:
    """gradients reach every parameter and the encoder's features."""
    connector = s.build().train()
    with torch.no_grad():  # off any zero initialisation, which rightly hides what lies behind it
        for parameter in connector.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape).to(parameter))
    t, h, w = max(s.usable(connector), key=lambda shape: shape[0] * shape[1] * shape[2])
    patches = s.patches(2, t, h, w).requires_grad_()
    made = connector(patches, s.seconds(2, t))
    weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(0)).to(s.device)
    (made * weights).sum().backward()
    grads = {**{name: p.grad for name, p in connector.named_parameters()}, "patches": patches.grad}
    bad = [name for name, g in grads.items() if g is None or not g.isfinite().all() or not g.any()]
    return f"none, zero or not finite at {', '.join(bad)}" if bad else ""


def _bf16(s: _Subject) -> str:
    """bfloat16 works and stays near float32."""
    connector = s.build()
    for t, h, w in s.usable(connector):
        patches, seconds = s.patches(2, t, h, w), s.seconds(2, t)
        with torch.no_grad():
            expected = connector.float()(patches, seconds)
            made = connector.bfloat16()(patches.bfloat16(), seconds)
        if made.dtype != torch.bfloat16:
            return f"got {made.dtype} out, expected torch.bfloat16"
        if expected.numel() and (made - expected).norm() > BF16_TOLERANCE * expected.norm():
            error = ((made - expected).norm() / expected.norm()).item()
            return f"t={t}, h={h}, w={w}: {error:.1%} off float32, expected at most {BF16_TOLERANCE:.0%}"
    return ""


def _save_load(s: _Subject) -> str:
    """a fresh connector with the saved weights gives equal tokens."""
    connector = s.build()
    state = {name: tensor.clone() for name, tensor in connector.state_dict().items()}
    if scattered := [name for name, tensor in connector.state_dict().items() if not tensor.is_contiguous()]:
        return f"not contiguous, which safetensors refuses: {', '.join(scattered)}"
    if len({tensor.data_ptr() for tensor in connector.state_dict().values() if tensor.numel()}) < len(state):
        return "tensors share memory, which safetensors refuses"
    torch.manual_seed(1)
    with s.device:
        restored = s.cls(s.config).eval()
    restored.load_state_dict(state)
    t, h, w = s.usable(connector)[-1]
    with torch.no_grad():
        made, again = (c(s.patches(2, t, h, w), s.seconds(2, t)) for c in (connector, restored))
    return "" if torch.equal(made, again) else "differs; is something that matters not in the state dict?"


def _deterministic(s: _Subject) -> str:
    """the same seed and input give equal tokens, and the input is left as it was."""
    one, two = s.build(), s.build()
    t, h, w = s.usable(one)[-1]
    patches, seconds = s.patches(2, t, h, w), s.seconds(2, t)
    with torch.no_grad():
        made = [one(patches, seconds), one(patches, seconds), two(patches, seconds)]
    if not torch.equal(patches, s.patches(2, t, h, w)):
        return "forward changed its input"
    return "" if all(torch.equal(made[0], other) for other in made) else "tokens differ"


def _strided(s: _Subject) -> str:
    """features in any memory layout give the same tokens."""
    connector = s.build()
    t, h, w = s.usable(connector)[-1]
    patches, seconds = s.patches(2, t, h, w), s.seconds(2, t)
    strided = rearrange(rearrange(patches, "b t h w d -> d w b h t").contiguous(), "d w b h t -> b t h w d")
    with torch.no_grad():
        return _difference(connector(strided, seconds), connector(patches, seconds))


CHECKS: Final[tuple[Callable[[_Subject], str], ...]] = (
    _config,
    _meta,
    _num_tokens,
    _too_small,
    _image,
    _batch,
    _ragged,
    _mixed_grids,
    _gradients,
    _bf16,
    _save_load,
    _deterministic,
    _strided,
)
