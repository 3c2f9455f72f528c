"""Questions of an eval as requests, and as a file beside the rows: scoring needs neither model nor annotations.

One question is asked in several variants: without and with subtitles, and with its options rotated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.evals.benchmark import Benchmark, Sample
from pipelines.requests.types import JobRequest, job_request
from videollm.errors import UserError
from videollm.io import atomic_write
from videollm.prompts.subtitles import read_subtitles
from videollm.types import Clip, Cue, Request, Subtitles

QUESTIONS: Final = "questions.jsonl"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way of asking a question."""

    subtitles: bool = False
    """With the subtitles of the sampled frames."""
    rotation: int = 0
    """Number of places by which the options are rotated."""

    @property
    def setting(self) -> str:
        """Name of the variant's scores."""
        return "subtitles" if self.subtitles else "plain"

    def id(self, sample: Sample) -> str:
        """Return the id of the row that holds the answer."""
        return sample.id + ("+subtitles" if self.subtitles else "") + (f"+r{self.rotation}" if self.rotation else "")


def variants(sample: Sample, *, subtitles: Sequence[bool], circular: bool) -> list[Variant]:
    """List all variants of a question.

    Args:
        subtitles: without, with, or both.
        circular: with every rotation of the options, where the question shows options.
    """
    rotations = len(sample.options) if circular and sample.options and sample.lettered else 1
    return [Variant(subtitles=s, rotation=r) for s in subtitles for r in range(rotations)]


def build_requests(
    samples: Sequence[Sample],
    benchmark: Benchmark,
    *,
    subtitles: Sequence[bool],
    circular: bool,
    own_prompt: bool,
    limit_tokens: bool,
    searches: bool = False,
) -> list[JobRequest]:
    """Build the requests of all questions in all variants.

    Args:
        own_prompt: ask with the benchmark's prompt; else as the product asks (options lettered "(A) ...").
        limit_tokens: cut answers after the benchmark's own number of tokens.
        searches: tell how each question's video is searched.
    Raises:
        UserError: a file of subtitles is wanted and cannot be read.
    """
    read: dict[tuple[Path, float], tuple[Cue, ...]] = {}
    made = []
    for sample in samples:
        for variant in variants(sample, subtitles=subtitles, circular=circular):
            asked = sample.rotated(variant.rotation)
            spoken = _subtitles(sample, benchmark, read) if variant.subtitles else None
            prompt = type(benchmark).prompt if own_prompt else Benchmark.prompt
            request = Request(
                id=variant.id(sample),
                clip=sample.clip,
                question=prompt(benchmark, asked, subtitles=spoken is not None),
                subtitles=spoken,
                ocr=sample.ocr,
                max_new_tokens=benchmark.max_new_tokens if limit_tokens else None,
                search=benchmark.search(asked) if searches else None,
            )
            made.append(job_request(request, sample.clip.video))
    return made


def _subtitles(
    sample: Sample, benchmark: Benchmark, read: dict[tuple[Path, float], tuple[Cue, ...]]
) -> Subtitles | None:
    """Return the subtitles of a question's video; None where there are none."""
    if sample.subtitles is None:
        return None
    place = (sample.subtitles, sample.subtitles_from)
    if place not in read:
        try:
            read[place] = read_subtitles(*place)
        except UserError as error:
            raise UserError(f"Question {sample.id!r}: {error}") from error
    return Subtitles(cues=read[place], heading=benchmark.subtitles_heading)


def save_questions(samples: Sequence[Sample], folder: Path) -> None:
    """Write questions beside the rows of their run, in one step."""
    with atomic_write(folder / QUESTIONS) as scratch:
        scratch.write_text("".join(json.dumps(_as_json(s)) + "\n" for s in samples))


def load_questions(folder: Path) -> list[Sample]:
    """Read the questions of a run.

    Raises:
        UserError: the folder is no eval's output.
    """
    try:
        lines = (folder / QUESTIONS).read_text().splitlines()
        return [_from_json(json.loads(line)) for line in lines]
    except OSError as error:
        raise UserError(f"{folder} has no {QUESTIONS}: expected the output folder of `videollm eval`.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / QUESTIONS} cannot be read: {error}. Run the eval again into another -o.") from error


def _as_json(sample: Sample) -> dict[str, Any]:
    subtitles = None if sample.subtitles is None else str(sample.subtitles)
    return {**vars(sample), "clip": asdict(sample.clip), "groups": dict(sample.groups), "subtitles": subtitles}


def _from_json(values: dict[str, Any]) -> Sample:
    answer, subtitles = values["answer"], values["subtitles"]
    return Sample(
        **values
        | {
            "clip": Clip(**values["clip"]),
            "options": tuple(values["options"]),
            "answer": tuple(answer) if isinstance(answer, list) else answer,
            "evidence": tuple((start, end) for start, end in values.get("evidence", ())),
            "groups": {n: tuple(g) if isinstance(g, list) else g for n, g in values["groups"].items()},
            "subtitles": None if subtitles is None else Path(subtitles),
        }
    )
