"""Ways to go about whole videos: captions part by part, and answers that are searched."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.jobs.plan import Plan
from pipelines.jobs.work import Method, Work
from pipelines.results.journal import Output
from pipelines.timelines.answers import AnswerPlan, Answers
from pipelines.timelines.captions import Captions
from pipelines.timelines.options import CaptionPlan


@dataclass(frozen=True)
class InParts(Method):
    """Captions of segments, summed up."""

    options: CaptionPlan

    def check(self, plan: Plan) -> None:
        """Check that segments are given of each video, see `Method.check`."""
        if self.options.given is not None:
            self.options.given.check([task.clip.video for task in plan.tasks])

    def work(self, plan: Plan, output: Output) -> Work:
        """Lay out the videos that are left."""
        return Captions(self.options, plan, output)

    def dry_run(self, plan: Plan) -> None:
        """Print segments, summaries, frames, tokens and hours."""
        from pipelines.timelines.estimate import estimate_captions

        estimate_captions(self.options, plan)


@dataclass(frozen=True)
class BySearch(Method):
    """Answers by a strategy."""

    options: AnswerPlan

    def work(self, plan: Plan, output: Output) -> Work:
        """Lay out the questions that are left."""
        return Answers(self.options, plan, output)

    def dry_run(self, plan: Plan) -> None:
        """Print looks, frames, tokens and hours."""
        from pipelines.timelines.estimate import estimate_answers

        estimate_answers(self.options, plan)
