"""Miniature of Video-MME."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.miniatures.base import ask, options, write_clip

SRT = """1
00:00:00,000 --> 00:00:02,000
<font color="white" size=".72c">Look at this</font>

2
00:00:02,000 --> 00:00:04,000
<font color="white" size=".72c">and now at that</font>
"""


def videomme(folder: Path) -> None:
    """3 videos of 2 questions, subtitles of the first one, as lmms-lab/Video-MME unpacks."""
    asked = {
        ("001", "fFjv93ACGo8", "short", "Knowledge", "Astronomy"): ("parade", [("first", 3), ("last", 1)]),
        ("301", "N1cdUjctpG8", "medium", "Life Record", "Travel"): ("motion", [("direction", 1), ("shape", 3)]),
        ("601", "wPYPxbpkbXI", "long", "Knowledge", "Technology"): ("still", [("count", 0), ("shape", 2)]),
    }
    rows = []
    for (number, video, duration, domain, sub_category), (story, questions) in asked.items():
        write_clip(folder / f"data/{video}.mp4", story)
        for i, (kind, right) in enumerate(questions, 1):
            question = ask(story, kind)
            rows.append(
                {
                    "video_id": number,
                    "duration": duration,
                    "domain": domain,
                    "sub_category": sub_category,
                    "url": f"https://www.youtube.com/watch?v={video}",
                    "videoID": video,
                    "question_id": f"{number}-{i}",
                    "task_type": "Temporal Perception" if question.temporal else "Object Recognition",
                    "question": question.text,
                    "options": [f"{'ABCD'[j]}. {o}" for j, o in enumerate(options(question, 4, right))],
                    "answer": "ABCD"[right],
                }
            )
    (folder / "videomme").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "videomme/test-00000-of-00001.parquet")
    (folder / "subtitle").mkdir()
    (folder / "subtitle/fFjv93ACGo8.srt").write_text(SRT, encoding="utf-8")
