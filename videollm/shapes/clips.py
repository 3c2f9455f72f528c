"""`videollm make-clips`: stories as H.264 files with their questions, to test or train with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final

import av
import tyro
from tqdm import tqdm

from videollm.shapes.stories import CAPTION_PROMPTS, STORIES, Story, tell
from videollm.shapes.world import World, draw, times

QUESTIONS = "questions.jsonl"
ENCODER: Final = {"crf": "20", "threads": "1", "x264-params": "mbtree=0"}
"""Options of libx264. Its macroblock tree (mbtree_propagate_list for AVX-512) takes 8 macroblocks at a time and does
not mask those past the end of a row: unless the width is a multiple of 128 pixels, what was left in memory decides, and
two encodings of one clip differ in a few bytes."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Write clips of moving shapes (mp4), questions.jsonl to answer, and lessons.jsonl to train on."""

    output: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Folder to write into."""
    num_clips: int = 100
    """Number of clips."""
    seed: int = 0
    """Another seed tells other stories."""
    seconds: float = 4.0
    """Length of a clip."""
    fps: int = 16
    """Frames a second."""
    size: int = 192
    """Pixels a side; even."""
    story: str | None = None
    """One kind of story: alone, still, parade, motion, change, come_and_go, pan, cut or grow; all if not given."""


def main(job: Job) -> None:
    """Write the clips; a clip that is there already is kept."""
    if job.story is not None and job.story not in STORIES:
        raise ValueError(f"--story got {job.story!r}; expected one of {', '.join(STORIES)}.")
    num_frames = round(job.seconds * job.fps)
    if job.num_clips < 1 or num_frames < 4 or job.size < 32 or job.size % 2:
        raise ValueError(
            f"make-clips got {job.num_clips} clips of {num_frames} frames at {job.size} pixels; expected at least "
            "1 clip of 4 frames at an even size of at least 32 pixels."
        )
    folder = Path(job.output)
    folder.mkdir(parents=True, exist_ok=True)
    questions, lessons = [], []
    for i in tqdm(range(job.num_clips), desc="clips", unit="clip", disable=None):
        name = f"{job.seed:03d}-{i:05d}.mp4"
        story = story_of(job, i)
        write_video(folder / name, story.world, num_frames=num_frames, fps=job.fps, size=job.size)
        lessons.append({"video": name, "question": CAPTION_PROMPTS[0], "answer": story.caption, "kind": "caption"})
        for j, q in enumerate(story.questions):
            row = {"video": name, "question": q.text, "answer": q.answer, "kind": q.kind}
            lessons.append(row)
            truth = {
                "choices": q.choices,
                "temporal": q.temporal,
                "num_choices": len(q.choices),
                "num_unordered": q.unordered,
            }
            questions.append({"id": f"{Path(name).stem}-{j}", **row, **truth})
    for file, rows in ((QUESTIONS, questions), ("lessons.jsonl", lessons)):
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{job.num_clips} clips and {len(questions)} questions in {folder}")


def story_of(job: Job, i: int) -> Story:
    """The story of a clip; training draws other ones."""
    return tell(f"clips/{job.seed}/{i}", job.story)


def write_video(path: Path, world: World, *, num_frames: int, fps: int, size: int) -> None:
    """Encode a world as H.264 in mp4 (yuv420p); the file appears when it is whole."""
    if path.exists():
        return
    scratch = path.with_name(path.name + ".partial")
    with av.open(str(scratch), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=ENCODER)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for u in times(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(world, u, size), format="rgb24")))
        container.mux(stream.encode())
    scratch.replace(path)
