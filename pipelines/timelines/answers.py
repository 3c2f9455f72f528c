"""Answers searched in long videos: all questions of a video are taken through their strategies together.

In a round, every question that has no answer yet says where to look; a window that several questions look at is decoded
and encoded once for all of them. The round ends when all its looks are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pipelines.jobs.plan import Plan
from pipelines.requests.types import ClipTask, JobRequest
from pipelines.results.journal import Output
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Finished
from pipelines.timelines.looks import Looks
from pipelines.timelines.questions import Question, read_question
from pipelines.timelines.ranges import of_range
from pipelines.timelines.stepwise import Stepwise
from pipelines.timelines.strategies.base import Finding, Found, Look, Scope, load_strategy
from videollm.errors import Status, VideollmError
from videollm.types import Clip
from videollm.video.sampling.base import setting_names

SECONDS = ("decode_seconds", "encode_seconds", "generate_seconds")


@dataclass(frozen=True, kw_only=True)
class AnswerPlan:
    """All that answers depend on, beside the model and the frames."""

    strategy: str
    """A name in STRATEGIES."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the strategy."""
    knows_words: bool = True
    """Whether the model understands any question."""
    context_tokens: int | None = None
    max_new_tokens: int = 256
    windows_per_span: int = 64
    """Windows that are decoded in one go."""


@dataclass(eq=False, kw_only=True)
class _Search:
    """A question that is being answered."""

    question: Question
    scope: Scope
    findings: dict[Look, Finding]
    seconds: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(SECONDS, 0.0))
    """Spent on its looks."""
    found: Found | None = None

    @property
    def id(self) -> str:
        return self.question.request.id


@dataclass(eq=False, kw_only=True)
class _Video:
    """The questions on a video, or on one part of it."""

    clip: Clip
    video_hash: str | None
    searches: list[_Search]
    num_waiting: int = 0
    """Tasks of the round."""
    num_rounds: int = 0


class Answers(Stepwise):
    """A row for each request, with the evidence for its answer."""

    def __init__(self, options: AnswerPlan, plan: Plan, output: Output) -> None:
        tasks = plan.tasks
        super().__init__(len(tasks), plan.resolved.model.info)
        self.options = options
        self.sampling = plan.resolved.model.sampling
        self.strategy = load_strategy(options.strategy, options.settings)
        self.looks = Looks(output.folder)
        self.known = self.looks.read(request for task in tasks for request in task.requests)
        self._left = iter(tasks)

    def begin(self) -> Iterable[ResultRow] | None:
        """Survey the next video."""
        task = next(self._left, None)
        if task is None:
            return None
        self.add(replace(task, survey=""), partial(self._on_survey, task))
        return ()

    def _on_survey(self, task: ClipTask, finished: Finished) -> Iterable[ResultRow]:
        if finished.survey is None:
            return [replace(row, strategy=self.options.strategy) for row in finished.rows]
        try:
            survey = of_range(finished.survey, task.clip)
        except VideollmError as error:
            return [self._failed(request, error.status, str(error)) for request in task.requests]
        start = task.clip.start or 0.0
        scope = Scope(
            start=start,
            end=start + survey.duration,
            context_tokens=self.options.context_tokens,
            max_new_tokens=self.options.max_new_tokens,
        )
        video = _Video(clip=task.clip, video_hash=survey.video_hash, searches=[])
        rows = []
        for request in task.requests:
            try:
                question = read_question(request, knows_words=self.options.knows_words)
            except VideollmError as error:
                rows.append(self._failed(request, error.status, str(error)))
                continue
            own = replace(scope, max_new_tokens=request.max_new_tokens or scope.max_new_tokens)
            known = self.known.pop(request.id, {}).items()
            findings = {look: found for look, found in known if found.video_hash == survey.video_hash}
            video.searches.append(_Search(question=question, scope=own, findings=findings))
        return [*rows, *self._go_on(video)]

    def _go_on(self, video: _Video) -> list[ResultRow]:
        """Ask all strategies; add the looks that they want, and return the rows of those that have an answer."""
        rows: list[ResultRow] = []
        asked: dict[Look, list[tuple[_Search, Look]]] = defaultdict(list)
        for search in video.searches:
            step = self.strategy.step(search.question, search.scope, search.findings)
            if not isinstance(step, Found):
                for look in step:
                    asked[_frames(look)].append((search, look))
            elif step.final is None:
                rows.append(self._computed(video, search, step))
            else:
                search.found = step
                asked[_frames(step.final)].append((search, step.final))
        answered = {row.id for row in rows}
        video.searches = [search for search in video.searches if search.id not in answered]
        # Windows in the order of time; those that take their frames by one rule are decoded in one pass.
        video.num_rounds += 1
        order = sorted(asked.items(), key=lambda kv: (str(_sampling(kv[0], self.sampling)), kv[0].start))
        for number, (window, looks) in enumerate(order):
            requests = [_request(search, look) for search, look in looks]
            task = clip_task(video.clip, window, requests, self.sampling)
            span = f"{looks[0][0].id}:{video.num_rounds}:{task.sampling}:{number // self.options.windows_per_span}"
            self.add(replace(task, span=span), partial(self._on_window, video, looks))
            video.num_waiting += 1
        return rows

    def _on_window(
        self, video: _Video, looks: Sequence[tuple[_Search, Look]], finished: Finished
    ) -> Iterable[ResultRow]:
        rows: list[ResultRow] = []
        for (search, look), row in zip(looks, finished.rows, strict=True):
            if None not in (row.video_hash, video.video_hash) and row.video_hash != video.video_hash:
                told = f"The video was {video.video_hash} when the search began, and is {row.video_hash}. Run it again."
                row = replace(row, status=Status.CHANGED, error=told, answer=None, scores=())
            for name in SECONDS:
                search.seconds[name] += getattr(row, name)
            if search.found is not None and look == search.found.final:
                rows.append(self._answered(video, search, row, search.found))
                continue
            finding = Finding(
                scores=row.scores,
                num_frames=len(row.frame_indices),
                num_visual_tokens=row.num_visual_tokens,
                num_prompt_tokens=row.num_prompt_tokens,
                error=None if row.status == Status.OK else f"{row.status}: {row.error}",
                video_hash=row.video_hash,
            )
            search.findings[look] = finding
            self.looks.add(search.question.request, look, finding)
        video.num_waiting -= 1
        ended = {row.id for row in rows}
        video.searches = [search for search in video.searches if search.id not in ended]
        return rows if video.num_waiting or not video.searches else [*rows, *self._go_on(video)]

    def _computed(self, video: _Video, search: _Search, found: Found) -> ResultRow:
        """Make the row of an answer that follows from the evidence."""
        row = self.computed(search.question.request, found.text or "")
        row = replace(row, video_hash=video.video_hash, **search.seconds)
        return self._with_search(search, row, found)

    def _answered(self, video: _Video, search: _Search, row: ResultRow, found: Found) -> ResultRow:
        """Make the row of an answer that the model gave in the last look."""
        clip = search.question.request.clip
        row = replace(row, start=clip.start, end=clip.end, **search.seconds)
        return self._with_search(search, row, found)

    def _with_search(self, search: _Search, row: ResultRow, found: Found) -> ResultRow:
        """Add what was looked at.

        An answer from less than all of it is partial. There is none where all looks failed, or the video changed.
        """
        errors = [finding.error for finding in search.findings.values() if finding.error is not None]
        status, error, answer, note = row.status, row.error, row.answer, found.note
        if errors and row.status == Status.OK:
            first = next((told for told in errors if told.startswith(Status.CHANGED)), errors[0])
            status = Status.PARTIAL
            error = f"{len(errors)} of {len(search.findings)} looks failed; the first: {first}"
            if len(errors) == len(search.findings) or first.startswith(Status.CHANGED):
                status, answer, note = Status(first.split(":")[0]), None, None
        num_frames = sum(finding.num_frames for finding in search.findings.values())
        num_tokens = sum(finding.num_prompt_tokens or 0 for finding in search.findings.values())
        return replace(
            row,
            status=status,
            error=error,
            answer=answer,
            note=" ".join(filter(None, (row.note, note))) or None,
            strategy=self.options.strategy,
            evidence_start=tuple(e.start for e in found.evidence),
            evidence_end=tuple(e.end for e in found.evidence),
            evidence_scores=tuple(e.score for e in found.evidence),
            num_looks=len(search.findings) + (found.final is not None),
            num_frames_scanned=num_frames + len(row.frame_indices),
            num_tokens_scanned=num_tokens + (row.num_prompt_tokens or 0),
        )

    def _failed(self, request: JobRequest, status: Status, error: str) -> ResultRow:
        return replace(self.failed(request, status, error), strategy=self.options.strategy)


def clip_task(video: Clip, window: Look, requests: Sequence[JobRequest], sampling: Mapping[str, Any]) -> ClipTask:
    """Make the task of a window.

    Args:
        video: the whole.
        window: when, and which frames.
        requests: what is asked there.
        sampling: the model's own choice of frames, fields of Sampling.
    """
    clip = replace(video, start=window.start, end=window.end, cut_end=True)
    asked = tuple(replace(request, clip=clip) for request in requests)
    return ClipTask(clip=clip, requests=asked, sampling=_sampling(window, sampling))


def _sampling(window: Look, own: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the choice of frames of a window; None is the job's."""
    if window.seconds:
        return {"policy": "at_seconds", "seconds": list(window.seconds)}
    if window.num_frames is None:
        return None
    if "num_frames" in setting_names(str(own["policy"])):
        return {**own, "num_frames": window.num_frames}
    return {"policy": "linspace", "num_frames": window.num_frames}


def _request(search: _Search, look: Look) -> JobRequest:
    """Return what is asked by a look."""
    request = search.question.request
    if look.ask is None and not look.continuations:
        return request
    asked = request.question if look.ask is None else look.ask
    options = request.options if look.ask is None else ()
    return replace(request, question=asked, options=options, continuations=look.continuations)


def _frames(look: Look) -> Look:
    """Return a look without what is asked: its window and frames."""
    return replace(look, ask=None, continuations=())
