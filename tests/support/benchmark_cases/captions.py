"""MSR-VTT and VATEX."""

from __future__ import annotations

from dataclasses import replace

from tests.support.benchmark_cases.base import Cases, File, sample
from videollm.types import Clip

PROMPT = "Describe this video in one sentence."

MSRVTT = Cases(
    samples={
        "test": [
            sample("video7010", "TestVideo/video7010.mp4", PROMPT, (), ("a red circle grows", "a circle gets bigger")),
            sample("video7011", "TestVideo/video7011.mp4", PROMPT, (),
                   ("the camera moves down", "shapes go by", "a pan over three shapes")),
        ]
    },
    prompt=PROMPT,
    files=[
        File(
            path="test_videodatainfo.json",
            fields=[("videos",), ("sentences",), ("videos", 0, "video_id"), ("videos", 1, "split"),
                    ("sentences", 2, "video_id"), ("sentences", 0, "caption")],
            wrong=[(("videos", 0, "video_id"), "video1", "expected a clip with captions")],
            twice=("videos", 0),
            other=[([], "expected")],
        )
    ],
)  # fmt: skip
VATEX = Cases(
    samples={
        "test": [
            sample("G9zN5TTuGO4_000179_000189", "videos/G9zN5TTuGO4_000179_000189.mp4", PROMPT, (),
                   ("A circle grows.", "It gets bigger.")),
        ],
        "val": [
            replace(sample("_x-aRFNYnvQ_000001_000003", "", PROMPT, (), ("A green triangle moves right.",)),
                    clip=Clip(video="videos/_x-aRFNYnvQ.mp4", start=1.0, end=3.0)),
        ],
    },
    prompt=PROMPT,
    files=[
        File(
            path="vatex_public_test_english_v1.1.json",
            fields=[(0, "videoID"), (0, "enCap")],
            wrong=[((0, "enCap"), [], "expected a list of texts")],
            twice=(0,),
            empty=[],
        )
    ],
)  # fmt: skip
