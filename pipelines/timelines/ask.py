"""One question on one long video, searched in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.jobs.job import BatchJob, FrameChoice, Workers
from pipelines.jobs.plan import Plan
from pipelines.jobs.progress import Progress
from pipelines.jobs.resolve import ResolvedJob, resolve_job
from pipelines.jobs.run import claim, execute
from pipelines.jobs.work import Method
from pipelines.requests.types import job_request
from pipelines.results.journal import read_rows
from pipelines.results.schema import Row
from pipelines.timelines.notes import clock
from videollm.checkpoints import Options as LoadOptions
from videollm.types import Request


def search(
    request: Request,
    *,
    model: LoadOptions,
    frames: FrameChoice,
    generation: Mapping[str, Any],
    method: Callable[[ResolvedJob], Method],
) -> Row:
    """Search a video for the answer to a request, and return the row.

    Args:
        request: the question, and the whole video or a part of it.
        model: how to load the model.
        frames: the user's choice of frames.
        generation: fields of videollm.types.Generation, in the place of the model's own.
        method: how it is searched.
    """
    with tempfile.TemporaryDirectory(prefix="videollm-") as folder:
        job = BatchJob(
            output=Path(folder),
            config={},
            options={},
            model=model,
            frames=frames,
            generation=generation,
            workers=Workers(executor="local"),
        )
        plan = Plan(resolved=resolve_job(job), requests=[job_request(request, request.clip.video)])
        how = method(plan.resolved)
        how.check(plan)
        with claim(plan) as claimed:
            execute(claimed, Progress(claimed.output, num_left=1, has_cache=False), how)
        (row,) = read_rows(job.output)
        return row


def show(row: Row) -> str:
    """Write an answer with its evidence, a line for each part of the video."""
    lines = [row["answer"] or "(no answer)"]
    spans = zip(row["evidence_start"], row["evidence_end"], row["evidence_scores"], strict=True)
    lines += [f"  {clock(start)} - {clock(end)}  ({score:+.1f})" for start, end, score in spans]
    lines += [row["note"]] if row["note"] else []
    lines.append(f"{row['num_looks']:,} looks, {row['num_frames_scanned']:,} frames by --strategy {row['strategy']}")
    return "\n".join(lines)
