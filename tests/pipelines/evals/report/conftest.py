"""Runs on disk, in the formats of the jobs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import report
from pipelines.evals.benchmark import Sample
from pipelines.evals.variants import save_questions, variants
from pipelines.results.journal import Output, write_json
from pipelines.results.schema import ResultRow
from videollm.errors import Status
from videollm.shapes.clips import ClipsConfig, write_clips
from videollm.types import Clip
from videollm.video.decoding.decode import decode
from videollm.video.sampling import Sampling

HOSTILE_NAME = "<img src=x onerror=hacked=1>"
HOSTILE = f"</script><script>hacked=1</script>{HOSTILE_NAME}&lt;b&gt; \u2028 \"'"
LETTERS = "ABCD"
OBJECTS = ("a red ball", "the small dog", "a blue car", "two children", "an open door", "the green lamp", "a boat")
STYLES = (
    "{letter}",
    "({letter})",
    "{letter}. {text}",
    "Answer: ({letter}) because it is seen first.",
    "The answer is {letter}.",
)
BENCHMARK = """
from pipelines.evals.benchmarks import Benchmark

class Mini(Benchmark):
    groups = ("duration", "task")

    def samples(self, folder, split):
        return []

    def files(self, folder, split):
        return []

    def official(self, sample, text):
        return text.strip()[:1] == "ABCD"[sample.answer]

class Captions(Mini):
    kind = "captions"

    def official(self, sample, text):
        return None
"""


def make_samples(videos: Sequence[Path], num_questions: int, *, seed: int = 0) -> list[Sample]:
    """Questions on videos, in turn."""
    rng = random.Random(seed)
    made = []
    for i in range(num_questions):
        options = tuple(rng.sample(OBJECTS, 4))
        groups = {
            "duration": ("short", "medium", "long")[i % len(videos) % 3],
            "task": ("Action Recognition", "Object Reasoning", "Counting", "Temporal Perception", "OCR")[i % 5],
        }
        question = f"What can be seen {rng.choice(['first', 'last', 'in the middle'])} in scene {i}?"
        made.append(
            Sample(
                id=f"{i:05d}-q",
                clip=Clip(video=str(videos[i % len(videos)])),
                question=question,
                options=options,
                answer=rng.randrange(4),
                groups=groups,
            )
        )
    return made


def write_eval(
    folder: Path,
    samples: Sequence[Sample],
    *,
    data: Path,
    skill: float = 0.6,
    seed: int = 1,
    num_frames: int = 8,
    connector: str = "stc",
    circular: bool = False,
    subtitles: Sequence[str] = ("plain",),
    changed: dict[str, Any] | None = None,
) -> Path:
    """The output of an eval that was finished.

    Args:
        skill: share of right answers, about.
        changed: id of a row -> columns that are as given.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    (folder.parent / "mini.py").write_text(BENCHMARK)
    sampling = Sampling(num_frames=num_frames)
    frames: dict[Clip, Any] = {}
    save_questions(samples, folder)
    rows = []
    for sample in samples:
        if sample.clip not in frames:
            frames[sample.clip] = decode(sample.clip, sampling)
        for variant in variants(sample, subtitles=[s == "subtitles" for s in subtitles], circular=circular):
            asked = sample.rotated(variant.rotation)
            assert isinstance(asked.answer, int)
            chosen = asked.answer if rng.random() < skill else rng.randrange(4)
            text = rng.choice(STYLES).format(letter=LETTERS[chosen], text=asked.options[chosen])
            id = variant.id(sample)
            rows.append(eval_row(id, asked, frames[sample.clip], text, connector) | (changed or {}).get(id, {}))
    with Output(folder, "parquet", 10_000) as output:
        output.append([ResultRow(**row) for row in rows])
        output.flush()
    session = {
        "started": "2026-01-31T12:00:00+00:00",
        "options": {"limit": None},
        "versions": {"torch": "2.9.0"},
        "python": "3.11.2",
        "host": "node-1",
        "git": "v1-3-gabcdef",
        "sampling": asdict(sampling),
        "frame_size": None,
        "device": "cuda:0",
        "dtype": "bfloat16",
        "wall_seconds": 61.5,
    }
    config = {
        "command": "eval",
        "benchmark": f"{folder.parent / 'mini.py'}:Mini",
        "data": str(data),
        "split": "test",
        "subtitles": list(subtitles),
        "circular": circular,
        "model": {"name": "tiny-stc", "files": {"config.json": "12ab"}},
        "connector": connector,
        "num_frames": num_frames,
        "decoder": "auto",
        "allow_partial": False,
    }
    record = {"config": config, "config_hash": "0123", "sessions": [session], "finished": "2026-01-31T12:30:00+00:00"}
    write_json(folder / "run.json", record)
    return folder


def eval_row(id: str, asked: Sample, frames: Any, text: str, connector: str) -> dict[str, Any]:
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, asked.options, strict=True))
    question = f"{asked.question}\n{listed}\nAnswer with the option's letter."
    return {
        "id": id,
        "video": asked.clip.video,
        "start": asked.clip.start,
        "end": asked.clip.end,
        "question": question,
        "prompt": f"<s>[INST] <video>\n{question} [/INST]",
        "answer": text,
        "finish_reason": "stop",
        "status": Status.OK,
        "frame_indices": tuple(frames.indices),
        "frame_seconds": tuple(frames.seconds),
        "missing_frames": (),
        "video_hash": frames.video_hash,
        "frame_height": 336,
        "frame_width": 336,
        "num_visual_tokens": 676,
        "model": "tiny-stc",
        "connector": connector,
        "decode_seconds": 0.11,
        "encode_seconds": 0.22,
        "generate_seconds": 0.33,
        "fingerprint": id,
    }


def failed(status: str, error: str) -> dict[str, Any]:
    """Columns of a row that holds no answer."""
    return {
        "status": Status(status),
        "error": error,
        "answer": None,
        "prompt": None,
        "finish_reason": None,
        "frame_indices": (),
        "frame_seconds": (),
        "frame_height": None,
        "frame_width": None,
        "num_visual_tokens": None,
    }


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six clips of 2 s, one with a name that could be taken for HTML."""
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, ClipsConfig(num_clips=6, seconds=2.0, size=96))
    (folder / "000-00005.mp4").rename(folder / f"{HOSTILE_NAME}.mp4")
    return folder


@pytest.fixture(scope="session")
def samples(clips: Path) -> list[Sample]:
    """60 questions; number 7 is hostile."""
    made = make_samples(sorted(clips.glob("*.mp4")), 60)
    groups = {**made[7].groups, "task": HOSTILE}
    made[7] = replace(made[7], question=HOSTILE, options=(HOSTILE, *made[7].options[1:]), groups=groups)
    return made


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, clips: Path, samples: list[Sample]) -> tuple[Path, Path]:
    """Two evals on the same questions."""
    folder, ids = tmp_path_factory.mktemp("runs"), [s.id for s in samples]
    changed = {
        ids[7]: {"answer": HOSTILE},
        ids[8]: failed("timeout", "timeout after 120.0s"),
        ids[9]: failed("decode_error", f"a frame is damaged {HOSTILE}"),
        ids[10]: {"answer": "I cannot tell."},
    }
    a = write_eval(folder / "a-stc", samples, data=clips, changed=changed, circular=True)
    b = write_eval(folder / "b-resampler", samples, data=clips, seed=2, connector="resampler3d", circular=True)
    return a, b


@pytest.fixture(scope="session")
def page(runs: tuple[Path, Path]) -> Path:
    """The page of both."""
    report.main(report.ReportOptions(runs=runs))
    return runs[0] / "report.html"


@pytest.fixture(scope="session")
def hostile() -> str:
    """What question 7 of `samples` says."""
    return HOSTILE


@pytest.fixture(scope="session")
def write_many(clips: Path) -> Callable[[Path, int], tuple[Path, ...]]:
    """Writes two runs of `num` questions."""

    def write(folder: Path, num: int) -> tuple[Path, ...]:
        samples = make_samples(sorted(clips.glob("*.mp4")), num)
        return tuple(write_eval(folder / name, samples, data=clips, seed=seed) for seed, name in enumerate("ab"))

    return write
