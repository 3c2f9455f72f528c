"""Steps of the running batch that are recorded once for each form, and then done again: on a GPU as CUDA graphs.

A step of a 7B LLM is some 1,400 kernels, which Python starts one after the other in 26 to 50 ms; a GPU needs 3 to 5 ms
for them (docs/gpu.md). A graph starts them all at once. Recorded are steps that feed one token to each question under
way, of LLMs without windows and recurrent layers; all else runs as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from logging import getLogger
from typing import Final

import torch
from torch import Tensor

from videollm.engines.backbone import Backbone
from videollm.engines.fixed import Asked, FixedStep, Form
from videollm.engines.forward import forward
from videollm.engines.packing import Position
from videollm.engines.pools import Place
from videollm.engines.recorders import NotFixedError, Recorder, recorders
from videollm.upload import upload

MOST: Final = 32
"""Recordings that are kept: the forms that come in turn as questions join and leave."""

_log = getLogger(__name__)


class Capturing:
    """Whether an engine's steps are recorded, and what came in the way.

    Args:
        backbone: its LLM.
        wanted: whether they should be; None is on a GPU alone.
    """

    def __init__(self, backbone: Backbone, wanted: bool | None) -> None:
        self.device = backbone.embedding.weight.device
        self.wanted = self.device.type == "cuda" if wanted is None else wanted
        self.fault: str | None = None
        if backbone.recurrent or any(backbone.windows):
            self.fault = "the LLM has sliding windows or recurrent layers"

    @cached_property
    def recorder(self) -> Callable[[Callable[[], Tensor]], Recorder]:
        """What records steps."""
        return recorders(self.device)

    @property
    def works(self) -> bool:
        """Whether steps are recorded, as far as is known."""
        return self.wanted and self.fault is None

    def failed(self, error: Exception) -> None:
        """Record no more, and say so once."""
        self.fault = (str(error) or type(error).__name__).splitlines()[0]
        _log.warning("Steps of the LLM are not captured, and start kernel by kernel: %s", self.fault)


class _Recorded:
    """A step of one form."""

    def __init__(self, backbone: Backbone, form: Form, capturing: Capturing) -> None:
        self.backbone, self.step = backbone, FixedStep(form, backbone.windows, capturing.device)
        self.recorder = capturing.recorder(self._run)
        self.num_runs = 0

    def __call__(self, values: Sequence[int]) -> Tensor:
        """Make logits (m v) of the numbers of a step: run it the first time, and replay it from the second on."""
        self.step.values.copy_(upload(torch.tensor(values), self.step.values.device), non_blocking=True)
        self.num_runs += 1
        if self.num_runs == 1:
            return self.recorder.run()
        if self.num_runs == 2:
            try:
                self.recorder.record()
            except Exception as error:
                raise NotFixedError(f"{type(error).__name__}: {error}") from error
        return self.recorder.replay()

    def _run(self) -> Tensor:
        self.step.prepare()
        embeds = self.backbone.embedding(self.step.tokens)
        return forward(self.backbone, self.step, embeds, self.step.at, None, 0)[0]


class Captured:
    """The recorded steps of one running batch.

    Args:
        backbone: the LLM.
        capturing: whether steps are recorded.
    """

    def __init__(self, backbone: Backbone, capturing: Capturing) -> None:
        self.backbone, self.capturing = backbone, capturing
        self.steps: dict[Form, _Recorded] = {}
        """The one used last is the last."""
        self.latest: tuple[object, Asked] | None = None

    def feed(
        self,
        active: object,
        places: Sequence[tuple[Place | None, Place]],
        tokens: Sequence[int],
        positions: Sequence[Position],
    ) -> Tensor | None:
        """Feed a token to each question under way.

        Args:
            active: stays the same object as long as the same questions lie in the same rows.
            places: for each question the row of what it shares, if anything, and its own.
            tokens: of each.
            positions: likewise.
        Returns:
            Logits (m v), until the next call; None where steps are not recorded, and nothing is changed.
        """
        if not self.capturing.works:
            return None
        if self.latest is None or self.latest[0] is not active or not self.latest[1].is_current:
            self.latest = active, Asked(places=places)
        asked = self.latest[1]
        form = asked.form(len(positions[0]) if isinstance(positions[0], tuple) else 1)
        recorded = self.steps.pop(form, None)
        if recorded is None:
            kept = [(other, step) for other, step in self.steps.items() if other.is_current]
            self.steps = dict(kept[-MOST + 1 :])
            recorded = _Recorded(self.backbone, form, self.capturing)
        try:
            logits = recorded(asked.values(tokens, positions))
        except NotFixedError as error:
            # What ran of the step wrote keys where the ordinary one writes the same.
            self.capturing.failed(error)
            self.steps, self.latest = {}, None
            return None
        self.steps[form] = recorded
        return asked.real(logits)
