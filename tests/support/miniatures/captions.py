"""Miniatures of MSR-VTT and VATEX."""

from __future__ import annotations

from pathlib import Path

from tests.support.miniatures.base import write_clip, write_json


def msrvtt(folder: Path) -> None:
    """Two test clips of 2 and 3 captions, and one of another split."""
    captions = {"video7010": ["a red circle grows", "a circle gets bigger"],
                "video7011": ["the camera moves down", "shapes go by", "a pan over three shapes"],
                "video0": ["a video to train with"]}  # fmt: skip
    videos = [
        {"category": 9, "url": "https://www.youtube.com/watch?v=9lZi22qLlEo", "video_id": name, "start time": 137.72,
         "end time": 149.44, "split": "train" if name == "video0" else "test", "id": number}
        for number, name in enumerate(captions)
    ]  # fmt: skip
    sentences = [{"caption": text, "video_id": name} for name, texts in captions.items() for text in texts]
    info = {"year": "2016", "version": "1.0"}
    write_json(folder / "test_videodatainfo.json", {"info": info, "videos": videos, "sentences": sentences})
    write_clip(folder / "TestVideo/video7010.mp4", "grow")
    write_clip(folder / "TestVideo/video7011.mp4", "pan")


def vatex(folder: Path) -> None:
    """A test clip that is cut out already, and one of val in its whole video."""
    for file, name, texts in (
        ("vatex_public_test_english_v1.1.json", "G9zN5TTuGO4_000179_000189", ["A circle grows.", "It gets bigger."]),
        ("vatex_validation_v1.0.json", "_x-aRFNYnvQ_000001_000003", ["A green triangle moves right."]),
    ):
        write_json(folder / file, [{"videoID": name, "enCap": texts, "chCap": ["一个圆圈变大。"]}])
    write_clip(folder / "videos/G9zN5TTuGO4_000179_000189.mp4", "grow")
    write_clip(folder / "videos/_x-aRFNYnvQ.mp4", "motion")
