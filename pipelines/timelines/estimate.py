"""`--dry-run` of jobs on whole videos: segments or looks, counted from surveys, and what they would take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pipelines.jobs.estimate import MAX_PROBED, MAX_TIMED, print_estimate, spread
from pipelines.jobs.plan import Plan
from pipelines.requests.types import ClipTask, JobRequest
from pipelines.stages.decoding.client import Decoder, Failure
from pipelines.timelines.answers import AnswerPlan, clip_task
from pipelines.timelines.chapters import chapters, differences, tree
from pipelines.timelines.options import CaptionPlan
from pipelines.timelines.questions import read_question
from pipelines.timelines.ranges import of_range
from pipelines.timelines.segments import Segments, window
from pipelines.timelines.splitters.base import SPLITTERS, Splitter, split
from pipelines.timelines.strategies.base import Found, Look, Scope, load_strategy
from videollm.errors import VideollmError
from videollm.video.surveys import Survey

MAX_SCANNED: Final = 4
"""Videos of which all frames are decoded for cuts; more are counted from these."""


def estimate_captions(options: CaptionPlan, plan: Plan) -> None:
    """Print segments, summaries, frames, tokens and hours of captions part by part."""
    requests = [request for request in plan.requests if isinstance(request, JobRequest)]
    splitter = SPLITTERS.load(options.splitter)(options.split)
    cues = options.split.shot_cues if splitter.needs_cuts else ""
    chosen = spread(requests, MAX_SCANNED if cues else MAX_PROBED)
    tasks: list[ClipTask] = []
    num_nodes, seconds = 0, 0.0
    for request, part in _surveys(plan, chosen, cues):
        try:
            segments = _segments(options, splitter, request, part)
        except VideollmError as error:
            print(f"cannot be split: {error}", file=sys.stderr)
            continue
        grouped: tuple[tuple[int, int], ...] = ()
        if "chapter" in options.levels and len(segments) > 1:
            grouped = chapters(segments, differences(segments, part), options.chapter_minutes)
        nodes = tree(len(segments), options.branch, grouped)
        num_nodes += sum(node.level in options.levels for node in nodes) - len(segments)
        seconds += part.duration
        for segment in segments:
            first, (start, end) = request.clip.start or 0.0, window(segment, splitter.overlap, part.duration)
            clip = replace(request.clip, start=first + start, end=first + end, cut_end=True)
            tasks.append(ClipTask(clip=clip, requests=(replace(request, clip=clip),)))
    share = len(requests) / max(1, len(chosen))
    about = "" if share == 1 else f" (counted from {len(chosen):,} videos)"
    print(
        f"{len(requests):,} videos, {seconds * share / 3600:,.2f} hours: {len(tasks) * share:,.0f} segments"
        f"{' at most' * splitter.needs_alike}, {num_nodes * share:,.0f} chapters and summaries"
        f" by --reduce {options.reduce}{about}"
    )
    _print_estimate(plan, tasks, share)


def estimate_answers(options: AnswerPlan, plan: Plan) -> None:
    """Print looks, frames, tokens and hours of answers by a strategy: those of its first round."""
    strategy = load_strategy(options.strategy, options.settings)
    videos = plan.tasks
    chosen = spread(videos, MAX_PROBED)
    surveys = dict(_surveys(plan, [task.requests[0] for task in chosen], ""))
    tasks: list[ClipTask] = []
    num_looks = num_questions = 0
    for video in chosen:
        survey = surveys.get(video.requests[0])
        if survey is None:
            continue
        start = video.clip.start or 0.0
        scope = Scope(start=start, end=start + survey.duration)
        windows: dict[Look, list[JobRequest]] = {}
        for request in video.requests:
            step = strategy.step(read_question(request, knows_words=options.knows_words), scope, {})
            looks = [*filter(None, [step.final])] if isinstance(step, Found) else [*step]
            num_looks += len(looks)
            num_questions += 1
            for look in looks:
                windows.setdefault(replace(look, ask=None, continuations=()), []).append(request)
        sampling = plan.resolved.model.sampling
        tasks += [clip_task(video.clip, look, requests, sampling) for look, requests in windows.items()]
    share = len(videos) / max(1, len(chosen))
    about = "" if share == 1 else f" (counted from {len(chosen):,} videos)"
    print(
        f"{num_questions * share:,.0f} questions on {len(videos):,} videos by --strategy {options.strategy}: "
        f"{num_looks * share:,.0f} looks at {len(tasks) * share:,.0f} windows in the first round{about}"
    )
    _print_estimate(plan, tasks, share)


def _segments(options: CaptionPlan, splitter: Splitter, request: JobRequest, part: Survey) -> Segments:
    """Split what is asked about; scenes are the shots that they are made of, for only the model can tell how many."""
    if splitter.needs_alike:
        return splitter.pieces(part)
    given = () if options.given is None else options.given.of_clip(request.clip, part.duration)
    return split(options.splitter, part, options.split, given=given)


def _surveys(plan: Plan, requests: Sequence[JobRequest], cues: str) -> list[tuple[JobRequest, Survey]]:
    """Survey what requests are about; videos that cannot be read are counted, and shown."""
    decoder = Decoder(timeout_seconds=plan.resolved.job.workers.decode_timeout_seconds)
    found: list[tuple[JobRequest, Survey]] = []
    failed: list[str] = []
    try:
        for request in requests:
            made = decoder.survey(request.clip, cues)
            if isinstance(made, Failure):
                failed.append(made.error)
                continue
            try:
                found.append((request, of_range(made, request.clip)))
            except VideollmError as error:
                failed.append(str(error))
    finally:
        decoder.close()
    if failed:
        print(f"{len(failed):,} of {len(requests):,} videos cannot be read:", file=sys.stderr)
        for told in failed[:5]:
            print(f"  {told}", file=sys.stderr)
    return found


def _print_estimate(plan: Plan, tasks: Sequence[ClipTask], share: float) -> None:
    if tasks:
        print_estimate(plan, spread(tasks, MAX_TIMED + 1), round(len(tasks) * share))
    else:
        print("no window could be timed")
