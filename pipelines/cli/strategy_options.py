"""Options of answers that are searched in long videos."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipelines.timelines.strategies.base import load_strategy
from videollm.checkpoints import EMBEDDED
from videollm.errors import UserError

if TYPE_CHECKING:
    from pipelines.jobs.resolve import ResolvedJob
    from pipelines.jobs.work import Method


@dataclass(frozen=True, kw_only=True)
class StrategyOptions:
    """How long videos are searched for answers."""

    strategy: str = "none"
    """`auto`, `single`, `dense`, `select`, `mapreduce`, `tree` or `pkg.mod:Class`; `none` shows the model each clip
    once, without a word on it in the rows."""
    look_seconds: float | None = None
    """Length of a window that is looked at; 16 by default, with 8 frames: an event is seen if it lasts 2 s."""
    look_frames: int | None = None
    """Frames of a window."""
    strategy_config: tuple[str, ...] = ()
    """Further settings of the strategy, `k=v`, one or more."""

    def settings(self) -> dict[str, Any]:
        """Return the fields of the strategy that are given.

        Raises:
            UserError: there is no such field, or a value does not suit.
        """
        from pipelines.cli.config_values import read_strategy_config

        given = {"look_seconds": self.look_seconds, "look_frames": self.look_frames}
        values = {name: value for name, value in given.items() if value is not None}
        return {**values, **read_strategy_config(self.strategy, self.strategy_config)}

    @property
    def config(self) -> dict[str, Any]:
        """All that rows depend on; {} without a strategy."""
        if self.strategy == "none":
            return {}
        return {"strategy": self.strategy, **asdict(load_strategy(self.strategy, self.settings()))}

    def method(self, resolved: ResolvedJob) -> Method:
        """Return how the job goes about its requests.

        Raises:
            UserError: the strategy does not suit the model.
        """
        from pipelines.jobs.work import ByClip

        if self.strategy == "none":
            if self != StrategyOptions():
                raise UserError(
                    "--look-seconds, --look-frames and --strategy-config are settings of a strategy, and --strategy is "
                    "none. Name a --strategy, or leave them out."
                )
            return ByClip()
        from pipelines.timelines.answers import AnswerPlan
        from pipelines.timelines.methods import BySearch
        from pipelines.timelines.ranges import windows_per_span
        from videollm.types import Generation

        info, job = resolved.model.info, resolved.job
        measures = self.strategy == "dense" and info.context_tokens is not None
        if (self.strategy not in ("single", "dense") or measures) and not info.can_score:
            raise UserError(
                f"--strategy {self.strategy} needs how likely answers are, which {job.model.name} on engine "
                f"{job.model.engine} does not tell. Use --engine builtin, or --strategy single."
            )
        settings = self.settings()
        strategy = load_strategy(self.strategy, settings)
        sampling = {**resolved.model.sampling, "num_frames": strategy.look_frames}
        return BySearch(
            AnswerPlan(
                strategy=self.strategy,
                settings=settings,
                knows_words=job.model.name not in EMBEDDED,
                context_tokens=info.context_tokens,
                max_new_tokens=Generation(**{**info.generation, **job.generation}).max_new_tokens,
                windows_per_span=windows_per_span(sampling, info.frame_size),
            )
        )
