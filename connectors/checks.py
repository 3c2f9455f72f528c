"""The checks of the connector contract: each takes a class with its inputs and says what is wrong, if anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from math import prod
from typing import Any, Final

import torch
from einops import rearrange
from torch import Tensor

from connectors.base import ClipFeatures, Connector, Tokens

SHAPES: Final = ((1, 6, 6), (1, 1, 1), (2, 2, 2), (3, 5, 4), (4, 6, 6), (5, 7, 3), (8, 4, 9), (0, 6, 6), (4, 0, 6))
"""(t h w): single frames, odd and non-square grids, too little to work on."""
TOLERANCE: Final = 1e-4
"""Of float32 outputs, absolute and relative; batched and single kernels differ in rounding alone."""
BF16_TOLERANCE: Final = 0.1
"""Root mean square of the error over that of the output."""


class Subject:
    """The class under test, with inputs that are the same at every call."""

    def __init__(self, cls: type[Connector], config: Connector.Config, device: torch.device) -> None:
        self.cls, self.config, self.device = cls, config, device

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Names of the further features that the connector needs."""
        return self.build().needs

    def build(self) -> Connector:
        """Build a connector with the same fresh weights every time."""
        torch.manual_seed(0)
        with self.device:
            return self.cls(self.config).eval()

    def patches(self, b: int, t: int, h: int, w: int) -> Tensor:
        """Make features: (b t h w d)."""
        random = torch.Generator().manual_seed(1000 * t + 100 * h + 10 * w + b)
        x = torch.randn(b, t, h, w, self.config.d_vision, generator=random)
        return x.bfloat16().float().to(self.device)  # exact in bfloat16, so that both precisions see one input

    def seconds(self, b: int, t: int) -> Tensor:
        """Make rising times: (b t)."""
        random = torch.Generator().manual_seed(t)
        gaps = torch.rand(b, t, generator=random, dtype=torch.float64) + 0.1
        return gaps.cumsum(1).to(self.device)

    def extra(self, patches: Tensor) -> dict[str, Tensor]:
        """Make what the connector needs beside the patches: as many features of each, in another order."""
        return {name: patches.flip(-1) * (i + 2) for i, name in enumerate(self.needs)}

    def run(self, connector: Connector, patches: Tensor, seconds: Tensor, *, first: int = 0) -> list[Tokens]:
        """Run `forward` on clips of one shape, which are asked the questions from `first` on."""
        further: dict[str, object] = {"extra": self.extra(patches)} if connector.needs else {}
        if connector.asks:
            asked = [self.question(first + i) for i in range(len(patches))]
            further["questions"] = [None if q is None else q.to(patches.dtype) for q in asked]
        return [Tokens.of(made) for made in connector(patches, seconds, **further)]

    def question(self, which: int) -> Tensor | None:
        """Make the embeddings of a question for a connector that asks: (q d_llm); None for the first clip."""
        random = torch.Generator().manual_seed(which)
        made = torch.randn(2 + which, self.config.d_llm, generator=random).bfloat16().float()
        return made.to(self.device) if which and self.cls.asks else None

    def clip(self, t: int, h: int, w: int, *, which: int = 0) -> ClipFeatures:
        """Make one of two clips."""
        patches, seconds = self.patches(2, t, h, w)[which], self.seconds(2, t)[which]
        extra = {name: made.unbind() for name, made in self.extra(patches).items()}
        return ClipFeatures(frames=patches.unbind(), seconds=seconds, extra=extra, question=self.question(which))

    def usable(self, connector: Connector) -> list[tuple[int, int, int]]:
        """List the shapes that a connector takes."""
        return [shape for shape in SHAPES if min(shape) > 0 and _tokens(connector, shape) is not None]


def _tokens(connector: Connector, shape: tuple[int, int, int]) -> int | None:
    try:
        return connector.num_tokens(*shape)
    except ValueError:
        return None


def _whole(made: Sequence[Tokens]) -> Tensor:
    """Lay all that was made end to end: (n d_llm), tokens and then what goes to later layers."""
    deep = [rearrange(m.deep, "l n d -> (l n) d") for m in made if m.deep is not None]
    return torch.cat([m.tokens for m in made] + deep)


def _difference(made: Tensor, expected: Tensor) -> str:
    if made.shape != expected.shape:
        return f"shape {tuple(made.shape)}, expected {tuple(expected.shape)}"
    if not torch.allclose(made, expected, atol=TOLERANCE, rtol=TOLERANCE):
        return f"differs by {(made - expected).abs().max().item():.2g}, expected at most {TOLERANCE}"
    return ""


def _connect(connector: Connector, clips: Sequence[ClipFeatures]) -> list[Tokens]:
    return [Tokens.of(made) for made in connector.connect(clips)]


def _compare_clips(connector: Connector, clips: Sequence[ClipFeatures]) -> str:
    with torch.no_grad():
        for i, (made, clip) in enumerate(zip(_connect(connector, clips), clips, strict=True)):
            if problem := _difference(_whole([made]), _whole(_connect(connector, [clip]))):
                return f"clip {i} ({len(clip.frames)} frames, grids {sorted(set(clip.grids))}): {problem}"
    return ""


def _config(s: Subject) -> str:
    """config is frozen and survives JSON."""
    if not s.config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return "Config is not frozen; decorate it with @dataclass(frozen=True, kw_only=True)"
    stored = json.loads(json.dumps(asdict(s.config)))
    restored: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    return "" if type(s.config)(**restored) == s.config else f"got {restored} back from {s.config}"


def _meta(s: Subject) -> str:
    """builds on the meta device, where nothing is allocated."""
    with torch.device("meta"):
        tensors = list(s.cls(s.config).named_parameters())
    real = [name for name, tensor in tensors if tensor.device.type != "meta"]
    return f"allocated {', '.join(real)}" if real else ""


def _num_tokens(s: Subject) -> str:
    """num_tokens equals forward at every shape, single frames, odd and non-square grids."""
    connector = s.build()
    shapes = s.usable(connector)
    if not shapes:
        return f"num_tokens takes none of the shapes (t h w) {SHAPES}"
    for t, h, w in shapes:
        n = connector.num_tokens(t, h, w)
        with torch.no_grad():
            made = s.run(connector, s.patches(2, t, h, w), s.seconds(2, t))
        for tokens in made:
            if problem := _miscounted(connector, tokens, n):
                return f"t={t}, h={h}, w={w}: {problem}"
        if len(made) != 2 or not _whole(made).isfinite().all():
            return f"t={t}, h={h}, w={w}: forward made {len(made)} clips of 2, or values that are not finite"
        if (grid := connector.grid(t, h, w)) is not None and prod(grid) != n:
            return f"t={t}, h={h}, w={w}: grid is {grid}, of {prod(grid)} places, and num_tokens {n}"
    return ""


def _miscounted(connector: Connector, made: Tokens, n: int) -> str:
    """Say what is wrong with the shapes of the tokens of a clip; n is their number, or the most there may be."""
    d = connector.config.d_llm
    num = len(made.tokens)
    if made.tokens.shape != (num, d) or not (1 <= num <= n if connector.varies else num == n):
        most = "at most " if connector.varies else ""
        return f"forward made {tuple(made.tokens.shape)} of a clip, expected ({most}{n}, {d})"
    if made.places is not None and made.places.shape != (num, 3):
        return f"places are {tuple(made.places.shape)}, expected ({num}, 3)"
    if made.deep is not None and made.deep.shape[1:] != (num, d):
        return f"deep is {tuple(made.deep.shape)}, expected (layers, {num}, {d})"
    return ""


def _too_small(s: Subject) -> str:
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
                s.run(connector, s.patches(1, t, h, w), s.seconds(1, t))
            except ValueError:
                continue
            return f"num_tokens({t}, {h}, {w}) raises ValueError, forward does not"
    return ""


def _image(s: Subject) -> str:
    """a still image (negative seconds) gives finite tokens, where one frame is enough."""
    connector = s.build()
    if _tokens(connector, (1, 6, 6)) is None:
        return ""
    with torch.no_grad():
        made = _whole(s.run(connector, s.patches(1, 1, 6, 6), -torch.ones(1, 1, dtype=torch.float64, device=s.device)))
    return "" if made.isfinite().all() else "values are not finite"


def _batch(s: Subject) -> str:
    """a batch equals single clips."""
    connector = s.build()
    for t, h, w in s.usable(connector):
        patches, seconds = s.patches(3, t, h, w), s.seconds(3, t)
        with torch.no_grad():
            single = [s.run(connector, patches[i : i + 1], seconds[i : i + 1], first=i)[0] for i in range(3)]
            if problem := _difference(_whole(s.run(connector, patches, seconds)), _whole(single)):
                return f"t={t}, h={h}, w={w}: {problem}"
    return ""


def _ragged(s: Subject) -> str:
    """clips of unequal length and grid, batched, equal single clips in the order given."""
    connector = s.build()
    shapes = s.usable(connector)
    clips = [s.clip(*shape, which=which) for which in (0, 1) for shape in shapes]
    with torch.no_grad():
        batched = _connect(connector, clips)
    for clip, shape, tokens in zip(clips, [*shapes, *shapes], batched, strict=True):
        if problem := _miscounted(connector, tokens, connector.num_tokens(*shape)):
            return f"clip of {len(clip.frames)} frames: {problem}"
    return _compare_clips(connector, clips)


def _mixed_grids(s: Subject) -> str:
    """frames of unequal grids in one clip equal a single run, or raise ValueError."""
    connector = s.build()
    parts = [s.clip(1, h, w) for h, w in ((6, 6), (5, 7), (8, 4), (6, 6), (6, 6))]
    mixed = ClipFeatures(
        frames=tuple(part.frames[0] for part in parts),
        seconds=s.seconds(1, len(parts))[0],
        extra={name: tuple(part.extra[name][0] for part in parts) for name in s.needs},
    )
    try:
        return _compare_clips(connector, [mixed, s.clip(4, 6, 6), mixed])
    except ValueError:
        return ""


def _gradients(s: Subject) -> str:
    """gradients reach every parameter and the encoder's features."""
    connector = s.build().train()
    with torch.no_grad():  # off any zero initialisation, which rightly hides what lies behind it
        for parameter in connector.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape).to(parameter))
    t, h, w = max(s.usable(connector), key=lambda shape: shape[0] * shape[1] * shape[2])
    patches = s.patches(2, t, h, w).requires_grad_()
    made = _whole(s.run(connector, patches, s.seconds(2, t)))
    weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(0)).to(s.device)
    (made * weights).sum().backward()
    grads = {**{name: p.grad for name, p in connector.named_parameters()}, "patches": patches.grad}
    bad = [name for name, g in grads.items() if g is None or not g.isfinite().all() or not g.any()]
    return f"none, zero or not finite at {', '.join(bad)}" if bad else ""


def _bf16(s: Subject) -> str:
    """bfloat16 works and stays near float32."""
    connector = s.build()
    for t, h, w in s.usable(connector):
        patches, seconds = s.patches(2, t, h, w), s.seconds(2, t)
        with torch.no_grad():
            expected = _whole(s.run(connector.float(), patches, seconds))
            made = _whole(s.run(connector.bfloat16(), patches.bfloat16(), seconds))
        if made.dtype != torch.bfloat16:
            return f"got {made.dtype} out, expected torch.bfloat16"
        if made.shape != expected.shape:
            return f"t={t}, h={h}, w={w}: {len(made)} tokens, in float32 {len(expected)}"
        if expected.numel() and (made - expected).norm() > BF16_TOLERANCE * expected.norm():
            error = ((made - expected).norm() / expected.norm()).item()
            return f"t={t}, h={h}, w={w}: {error:.1%} off float32, expected at most {BF16_TOLERANCE:.0%}"
    return ""


def _save_load(s: Subject) -> str:
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
        made, again = (_whole(s.run(c, s.patches(2, t, h, w), s.seconds(2, t))) for c in (connector, restored))
    return "" if torch.equal(made, again) else "differs; is something that matters not in the state dict?"


def _deterministic(s: Subject) -> str:
    """the same seed and input give equal tokens, and the input is left as it was."""
    one, two = s.build(), s.build()
    t, h, w = s.usable(one)[-1]
    patches, seconds = s.patches(2, t, h, w), s.seconds(2, t)
    with torch.no_grad():
        made = [_whole(s.run(connector, patches, seconds)) for connector in (one, one, two)]
    if not torch.equal(patches, s.patches(2, t, h, w)):
        return "forward changed its input"
    return "" if all(torch.equal(made[0], other) for other in made) else "tokens differ"


def _strided(s: Subject) -> str:
    """features in any memory layout give the same tokens."""
    connector = s.build()
    t, h, w = s.usable(connector)[-1]
    patches, seconds = s.patches(2, t, h, w), s.seconds(2, t)
    strided = rearrange(rearrange(patches, "b t h w d -> d w b h t").contiguous(), "d w b h t -> b t h w d")
    with torch.no_grad():
        return _difference(_whole(s.run(connector, strided, seconds)), _whole(s.run(connector, patches, seconds)))


CHECKS: Final[tuple[Callable[[Subject], str], ...]] = (
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
