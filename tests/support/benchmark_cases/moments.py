"""Charades-STA and QVHighlights."""

from __future__ import annotations

from pipelines.evals.benchmark import Sample
from tests.support.benchmark_cases.base import Cases, File
from videollm.types import Clip


def moment(id: str, video: str, sentence: str, *evidence: tuple[float, float], **more: object) -> Sample:
    return Sample(id=id, clip=Clip(video=video), question=sentence, evidence=evidence, **more)  # type: ignore[arg-type]


ASKED = """\
When does this happen in the video: {}
Answer with the second at which it starts and the second at which it ends, as START - END."""
SENTENCES = [
    moment("3MSZA-1", "Charades_v1/3MSZA.mp4", "a circle is red.", (0.0, 1.9)),
    moment("3MSZA-2", "Charades_v1/3MSZA.mp4", "a circle turns blue.", (2.0, 4.0)),
    moment("AMT7R-3", "Charades_v1/AMT7R.mp4", "a triangle moves.", (0.5, 3.1)),
]
CHARADES_STA = Cases(
    samples={"test": SENTENCES, "train": SENTENCES},
    prompt=ASKED.format("a circle is red."),
)
QUERIES = [
    ("2579", "videos/NUsG9BgSes0_210.0_360.0.mp4", "A girl and her mother cooked.", 150.0, ((0.0, 2.0), (30.0, 62.0)),
     ("short", "long")),
    ("9472", "videos/j7rJstUseKg_0.0_4.0.mp4", "A circle turns blue.", 4.0, ((2.0, 4.0),), ("short",)),
]  # fmt: skip
QVHIGHLIGHTS = Cases(
    samples={
        "val": [moment(*q[:3], *q[4], seconds=q[3], groups={"length": q[5]}) for q in QUERIES],
        "test": [moment(*q[:3], seconds=q[3], groups={"length": "unknown"}) for q in QUERIES],
    },
    prompt=ASKED.format("A girl and her mother cooked."),
    files=[
        File(
            path="highlight_val_release.jsonl",
            fields=[(0, field) for field in ("qid", "query", "vid")],
            wrong=[
                ((0, "relevant_windows"), [[4, 2]], "start before end"),
                ((0, "relevant_windows"), [4, 2], "start before end"),
            ],
            twice=(0,),
            empty=[],
        )
    ],
)
