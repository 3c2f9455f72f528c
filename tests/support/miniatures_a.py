"""Miniatures of Video-MME, MVBench, EgoSchema and NExT-QA, and questions of one's own."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evals.benchmarks.mvbench import TASKS
from tests.support import miniature
from tests.support.miniature import ask, options, write_clip, write_frames, write_json

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


def mvbench(folder: Path) -> None:
    """One question a task, as OpenGVLab/MVBench unpacks: segments, images at 3 a second, videos of data0613.zip."""
    stories = ("parade", "motion", "change", "still")
    asked = {
        "parade": ("last", 4, 2),
        "motion": ("direction", 4, 1),
        "change": ("becomes", 3, 0),
        "still": ("count", 4, 3),
    }
    for i, (task, at) in enumerate(TASKS.items()):
        story = stories[i % 4]
        kind, count, right = asked[story]
        question = ask(story, kind)
        row = {"video": f"{story}.mp4", "question": question.text, "candidates": list(options(question, count, right))}
        row["answer"] = question.answer
        if task == "episodic_reasoning":
            row |= {"video": "castle_s03e05", "start": 0.0, "end": 3.5}
            write_frames(folder / "video" / at / "castle_s03e05", story, fps=3)
        elif task == "action_localization":
            row |= {"start": 0.0, "end": 4.7}  # past the end of the video, as some of the official ones are
            write_clip(folder / "video" / at / f"{story}.mp4", story)
        elif task in ("action_sequence", "action_prediction", "object_interaction"):
            row |= {"start": 0.0, "end": 4.0, "accurate_start": 0.0, "accurate_end": 4.0}
            write_clip(folder / "video/data0613" / at / f"{story}.mp4", story)
        else:
            write_clip(folder / "video" / at / f"{story}.mp4", story)
        write_json(folder / f"json/{task}.json", [row])


def egoschema(folder: Path) -> None:
    """3 questions, 2 of them in the subset."""
    rows, answers = [], {}
    for i, (story, kind, right) in enumerate([("parade", "first", 4), ("motion", "end", 2), ("change", "becomes", 0)]):
        uid, question = f"{i:08x}-11cb-497d-8d07-77c3a8127391", ask(story, kind)
        write_clip(folder / f"videos/{uid}.mp4", story)
        texts = {f"option {j}": text for j, text in enumerate(options(question, 5, right))}
        rows.append({"q_uid": uid, "google_drive_id": "1q3zLSdyVTWr_BLUzsEe", "question": question.text, **texts})
        if i != 1:
            answers[uid] = right
    write_json(folder / "questions.json", rows)
    write_json(folder / "subset_answers.json", answers)


def nextqa(folder: Path) -> None:
    """A val.csv of 4 questions on 2 videos, one where the map says and one beside it; a test.csv of one."""
    asked = [
        ("4010069381", "parade", "first", 2, "6", "TN"),
        ("4010069381", "parade", "last", 0, "7", "TP"),
        ("4882821564", "motion", "mover", 4, "1", "CW"),
        ("4882821564", "motion", "start", 1, "10", "DL"),
    ]
    rows = []
    for video, story, kind, right, qid, type_ in asked:
        question = ask(story, kind)
        texts = {f"a{j}": text + " " * (j == 3) for j, text in enumerate(options(question, 5, right))}
        rows.append({"video": video, "frame_count": 32, "width": miniature.SIZE, "height": miniature.SIZE,
                     "question": question.text, "answer": right, "qid": qid, "type": type_, **texts})  # fmt: skip
    for split, chosen in (("val", rows), ("test", rows[2:3])):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(chosen)
    write_json(folder / "map_vid_vidorID.json", {"4010069381": "1106/4010069381", "4882821564": "0065/4882821564"})
    write_clip(folder / "NExTVideo/1106/4010069381.mp4", "parade")
    write_clip(folder / "NExTVideo/4882821564.mp4", "motion")


MINIATURES: dict[str, Callable[[Path], None]] = {
    "videomme": videomme,
    "mvbench": mvbench,
    "egoschema": egoschema,
    "nextqa": nextqa,
}
"""Benchmark -> function that writes its folder."""
