"""Captions of long videos: a video is surveyed, split, captioned segment by segment, and summed up.

1. The survey of a video (length, cuts) comes from a worker; the splitter makes segments of it, and the plan is written.
2. Each segment that has no row yet is a clip of its own; those of one span are decoded in one pass.
3. A row above them (chapter, summary, video) is made as soon as all rows below it are there, of those that hold a text.
4. The row of the whole video comes last, under the request's own id: it means that the video is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Final

from pipelines.jobs.plan import Plan
from pipelines.requests.types import ClipTask, JobRequest, job_request
from pipelines.results.journal import Output, read_rows
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Finished
from pipelines.timelines.chapters import Node, chapters, differences, tree
from pipelines.timelines.notes import Note, clock, extract, invented_names, write
from pipelines.timelines.options import MAX_NOTES, CaptionPlan, fill
from pipelines.timelines.plans import Plans, VideoPlan
from pipelines.timelines.ranges import cosine, of_range
from pipelines.timelines.segments import Segment, Segments, window
from pipelines.timelines.splitters.base import SPLITTERS, split
from pipelines.timelines.stepwise import Stepwise
from videollm.errors import Status, UserError, VideollmError
from videollm.video.surveys import Survey

HAVE_TEXT: Final = (Status.OK, Status.PARTIAL)
PART_COLUMNS: Final = ("id", "status", "answer", "error", "children_failed")
EXTRACTED: Final = "Its parts' captions that differ most, not summed up by the LLM (--reduce extract)."


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What became of a row of a video."""

    note: Note | None
    """Its text, if it has any."""
    num_failed: int
    """Segments of it that have none."""
    error: tuple[Status, str] | None = None
    """Why there is none."""


@dataclass(kw_only=True)
class _Video:
    """A video whose plan is written."""

    request: JobRequest
    plan: VideoPlan
    nodes: Sequence[Node]
    """Children before their parents."""
    parts: dict[int, _Part] = field(default_factory=dict)
    """By place in `nodes`, of those whose rows are there."""
    waiting: list[int] = field(default_factory=list)
    """Places of segments that wait for the caption before them."""

    def id_of(self, node: Node) -> str:
        """Return the id of a node's row."""
        return self.request.id + node.suffix

    def parent_of(self, place: int) -> int | None:
        """Return the place of the node above; None for the video."""
        nodes = enumerate(self.nodes[place + 1 :], place + 1)
        return next((i for i, n in nodes if n.children and n.children[0] <= place <= n.children[1]), None)

    def segment(self, node: Node) -> tuple[float, float]:
        """Return when a node begins and ends."""
        first, last = (self.plan.segments[i] for i in node.segments)
        return first.start, last.end


class Captions(Stepwise):
    """Rows of segments, chapters and videos."""

    def __init__(self, options: CaptionPlan, plan: Plan, output: Output) -> None:
        requests = [request for request in plan.requests if isinstance(request, JobRequest)]
        self.options, self.output = options, output
        self.splitter = SPLITTERS.load(options.splitter)(options.split)
        self.plans = Plans(output.folder)
        wanted = {request.id: request for request in requests}
        planned = {p.parent: self._video(wanted[p.parent], p) for p in self.plans.read() if p.parent in wanted}
        # A job without rows of whole videos knows a finished one by all its other rows.
        self._planned = {id: video for id, video in planned.items() if not self._is_done(video)}
        finished = planned.keys() - self._planned.keys()
        left = [request for request in requests if request.id not in finished]
        super().__init__(len(left), plan.resolved.model.info)
        self._left = iter(left)
        self._load_parts()

    def begin(self) -> Iterable[ResultRow] | None:
        """Survey the next video, or go on with one whose plan is written."""
        request = next(self._left, None)
        if request is None:
            return None
        if (video := self._planned.pop(request.id, None)) is not None:
            return self._go_on(video)
        cues = self.options.split.shot_cues if self.splitter.needs_cuts else ""
        self.add(ClipTask(clip=request.clip, requests=(request,), survey=cues), partial(self._on_survey, request))
        return ()

    def _video(self, request: JobRequest, plan: VideoPlan) -> _Video:
        if plan.fingerprint != request.fingerprint:
            raise UserError(
                f"Request {request.id!r} asks something else than when its video was split. Use another -o, or give "
                "changed requests new ids."
            )
        nodes = tree(len(plan.segments), plan.branch, plan.chapters)
        wanted = max(place for place, node in enumerate(nodes) if node.level in self.options.levels)
        return _Video(request=request, plan=plan, nodes=nodes[: wanted + 1])

    def _is_done(self, video: _Video) -> bool:
        return all(video.id_of(node) in self.output.done for node in video.nodes)

    def _load_parts(self) -> None:
        """Read what is there of videos that were begun."""
        videos = self._planned.values()
        places = {video.id_of(node): (video, place) for video in videos for place, node in enumerate(video.nodes)}
        for row in read_rows(self.output.folder, PART_COLUMNS) if places else ():
            if row["id"] in places:
                video, place = places[row["id"]]
                told = (Status(row["status"]), row["answer"], row["error"], row.get("children_failed"))
                video.parts[place] = self._part(video, place, *told)

    # 1. Survey and plan.

    def _on_survey(self, request: JobRequest, finished: Finished) -> Iterable[ResultRow]:
        if finished.survey is None:
            return [replace(row, level="video") for row in finished.rows]
        try:
            survey = of_range(finished.survey, request.clip)
            if self.splitter.needs_alike and len(pieces := self.splitter.pieces(survey)) > 1:
                self._compare(request, survey, pieces)
                return []
            return self._split(request, survey)
        except VideollmError as error:
            return [self._no_video(request, error)]

    def _compare(self, request: JobRequest, survey: Survey, pieces: Segments) -> None:
        """Ask for the features of all pieces, and split once they are there."""
        features: dict[int, tuple[float, ...]] = {}

        def on_piece(number: int, finished: Finished) -> Iterable[ResultRow]:
            features[number] = finished.pooled
            if len(features) < len(pieces):
                return []
            vectors = [features[i] for i in range(len(pieces))]
            alike = [cosine(a, b) for a, b in pairwise(vectors)]
            try:
                return self._split(request, survey, alike)
            except VideollmError as error:
                return [self._no_video(request, error)]

        start = request.clip.start or 0.0
        for number, piece in enumerate(pieces):
            clip = replace(request.clip, start=start + piece.start, end=start + piece.end, cut_end=True)
            span = f"{request.id}:{number // self.options.windows_per_span}"
            task = ClipTask(clip=clip, requests=(replace(request, clip=clip),), pooled=True, span=span)
            self.add(task, partial(on_piece, number))

    def _split(self, request: JobRequest, survey: Survey, alike: Sequence[float] = ()) -> Iterable[ResultRow]:
        options = self.options
        given = () if options.given is None else options.given.of_clip(request.clip, survey.duration)
        segments = split(options.splitter, survey, options.split, alike=alike, given=given)
        chaptered = "chapter" in options.levels and len(segments) > 1
        unlike = differences(segments, survey)
        grouped = chapters(segments, unlike, options.chapter_minutes) if chaptered else ()
        start = request.clip.start or 0.0
        plan = VideoPlan(
            parent=request.id,
            fingerprint=request.fingerprint,
            video_hash=survey.video_hash,
            splitter=options.splitter,
            seconds=survey.duration,
            segments=tuple(Segment(start + s.start, start + s.end, s.reason) for s in segments),
            branch=options.branch,
            chapters=grouped,
        )
        self.plans.add(plan)
        return self._go_on(self._video(request, plan))

    def _no_video(self, request: JobRequest, error: VideollmError) -> ResultRow:
        return replace(self.failed(request, error.status, str(error)), level="video")

    # 2. Segments.

    def _go_on(self, video: _Video) -> list[ResultRow]:
        """Add the segments that have no row, and make what can be made of those that have one."""
        left = [i for i in range(len(video.plan.segments)) if i not in video.parts]
        if self.options.context == "previous":
            video.waiting = left[1:]
            left = left[:1]
        self._add_segments(video, left)
        rows: list[ResultRow] = []
        for place, node in enumerate(video.nodes):
            if node.children and place not in video.parts:
                rows += self._make(video, place)
        return rows

    def _add_segments(self, video: _Video, numbers: Sequence[int]) -> None:
        # What is decoded in one go is windows that follow one another.
        span, last = 0, -1
        for at, number in enumerate(numbers):
            span += number != last + 1 or at % self.options.windows_per_span == 0
            last = number
            request = self._segment_request(video, number)
            task = ClipTask(clip=request.clip, requests=(request,), span=f"{video.request.id}:{span}")
            self.add(task, partial(self._on_segment, video, number))

    def _segment_request(self, video: _Video, number: int) -> JobRequest:
        request, plan = video.request, video.plan
        segment, first, end = plan.segments[number], plan.segments[0].start, plan.segments[-1].end
        inside = Segment(segment.start - first, segment.end - first, segment.reason)
        start, stop = window(inside, self.splitter.overlap, end - first)
        clip = replace(request.clip, start=first + start, end=first + stop, cut_end=True)
        question = request.question
        if len(plan.segments) > 1:
            prompt = self.options.prompts["segment"]
            question = fill(prompt, start=clock(segment.start), end=clock(segment.end), question=question)
        before = video.parts.get(number - 1)
        if self.options.context == "previous" and before is not None and before.note is not None:
            question = f"Before this part of the video: {before.note.text}\n{question}"
        child = replace(request, id=video.id_of(video.nodes[number]), clip=clip, question=question)
        return job_request(child, request.video)

    def _on_segment(self, video: _Video, number: int, finished: Finished) -> Iterable[ResultRow]:
        (row,) = finished.rows
        plan, segment = video.plan, video.plan.segments[number]
        if None not in (row.video_hash, plan.video_hash) and row.video_hash != plan.video_hash:
            told = (
                f"The video was {plan.video_hash} when it was split, is {row.video_hash}. Caption it into another -o."
            )
            row = self.failed(self._segment_request(video, number), Status.CHANGED, told)
        row = replace(
            row,
            parent=video.request.id,
            level="segment",
            segment=number,
            num_segments=len(plan.segments),
            split_reason=segment.reason,
        )
        if video.waiting:
            video.parts[number] = self._part(video, number, row.status, row.answer, row.error, None)
            self._add_segments(video, [video.waiting.pop(0)])
        return [row, *self._keep(video, number, row)]

    # 3. What is above them.

    def _keep(self, video: _Video, place: int, row: ResultRow) -> list[ResultRow]:
        """Note the row of a node, and make the one above it if it was the last one missing."""
        video.parts[place] = self._part(video, place, row.status, row.answer, row.error, row.children_failed)
        above = video.parent_of(place)
        return [] if above is None else self._make(video, above)

    def _make(self, video: _Video, place: int) -> list[ResultRow]:
        """Make the row of a node, or ask for it, once all rows below it are there."""
        node = video.nodes[place]
        assert node.children is not None
        below = [video.parts.get(i) for i in range(node.children[0], node.children[1] + 1)]
        there = [part for part in below if part is not None]
        if len(there) < len(below) or place in video.parts:
            return []
        num_failed = sum(part.num_failed for part in there)
        if self.options.reduce == "extract":  # of captions, not of what was put together before
            there = [video.parts[number] for number in range(node.segments[0], node.segments[1] + 1)]
        notes = [part.note for part in there if part.note is not None]
        request = self._summary_request(video, node, notes)
        if not notes:
            status, error = next(part.error for part in there if part.error is not None)
            row = self.failed(request, status, f"No part of it has a caption; the first: {error}")
            return self._on_summary(video, place, num_failed, notes, Finished(rows=(row,)))
        if self.options.reduce == "llm" and len(notes) + num_failed > 1:
            task = ClipTask(clip=request.clip, requests=(request,))
            self.add(task, partial(self._on_summary, video, place, num_failed, notes))
            return []
        text = write(extract(notes, MAX_NOTES[node.level])) if len(notes) > 1 else notes[0].text
        row = self.computed(request, text)
        row = replace(row, question=None, note=EXTRACTED if len(notes) > 1 else None)
        return self._on_summary(video, place, num_failed, notes, Finished(rows=(row,)))

    def _summary_request(self, video: _Video, node: Node, notes: Sequence[Note]) -> JobRequest:
        start, end = video.segment(node)
        prompt = self.options.prompts["chapter" if node.level == "summary" else node.level]
        question = fill(prompt, start=clock(start), end=clock(end), question=video.request.question, notes=write(notes))
        clip = video.request.clip if node.level == "video" else replace(video.request.clip, start=start, end=end)
        child = replace(video.request, id=video.id_of(node), clip=clip, question=question, seen=False)
        if node.level == "video":  # what a job that goes on compares
            return replace(child, fingerprint=video.request.fingerprint)
        return job_request(child, video.request.video)

    def _on_summary(
        self, video: _Video, place: int, num_failed: int, notes: Sequence[Note], finished: Finished
    ) -> list[ResultRow]:
        (row,), node = finished.rows, video.nodes[place]
        num_segments = node.segments[1] - node.segments[0] + 1
        if row.status == Status.OK and num_failed:
            told = f"{num_failed} of its {num_segments} segments are left out, as they or what is above them failed; "
            row = replace(row, status=Status.PARTIAL, error=told + "--retry-errors runs it again.")
        if self.options.reduce == "llm" and row.answer and (names := invented_names(row.answer, notes)):
            row = replace(row, note=f"No note names {', '.join(names)}.")
        row = replace(
            row,
            parent=video.request.id,
            level=node.level,
            segment=node.number,
            num_segments=num_segments,
            children_failed=num_failed,
            video_hash=video.plan.video_hash,
        )
        return [row, *self._keep(video, place, row)]

    def _part(
        self, video: _Video, place: int, status: Status, text: str | None, error: str | None, num_failed: int | None
    ) -> _Part:
        node = video.nodes[place]
        start, end = video.segment(node)
        if status in HAVE_TEXT:
            note = Note(start=start, end=end, text=text or "")
            return _Part(note=note, num_failed=num_failed or 0)
        num_segments = node.segments[1] - node.segments[0] + 1
        return _Part(note=None, num_failed=num_segments, error=(status, error or ""))
