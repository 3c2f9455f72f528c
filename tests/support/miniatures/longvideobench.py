"""Miniature of LongVideoBench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.miniatures.base import ask, options, write_clip, write_json


def longvideobench(folder: Path) -> None:
    """Three val questions and one of test on two videos, subtitles of both forms, one cut out of a longer video."""
    asked: list[tuple[str, str, str, int, int, dict[str, Any]]] = [
        ("86CxyhFV9MI_0", "parade", "first", 4, 1, {"duration_group": 15, "question_category": "S2E"}),
        ("86CxyhFV9MI_1", "parade", "before", 2, 0, {"duration_group": 15, "question_category": "SOS"}),
        ("cH4p3yUOeoY_0", "motion", "end", 5, 4, {"duration_group": 3600, "question_category": "T2O"}),
        ("cH4p3yUOeoY_1", "motion", "mover", 3, 0, {"duration_group": 3600, "question_category": "T2O"}),
    ]
    rows = []
    for number, story, kind, count, right, groups in asked:
        question, video = ask(story, kind), number[:11]
        row = {"video_id": video, "question": question.text, "candidates": list(options(question, count, right))}
        row |= {"correct_choice": right, "id": number, "video_path": f"{video}.mp4", "duration": 4.0, **groups}
        row |= {"subtitle_path": f"{video}_en.json", "starting_timestamp_for_subtitles": 100.0 * (story == "motion")}
        rows.append(row)
        write_clip(folder / f"videos/{video}.mp4", story)
    write_json(folder / "lvb_val.json", rows[:3])
    write_json(folder / "lvb_test_wo_gt.json", [{k: v for k, v in rows[3].items() if k != "correct_choice"}])
    lines = [{"start": "00:00:00.000", "end": "00:00:02.000", "line": "an orange one"},
             {"start": "00:00:02.000", "end": "00:00:04.000", "line": "and a blue one"}]  # fmt: skip
    write_json(folder / "subtitles/86CxyhFV9MI_en.json", lines)
    lines = [{"timestamp": [0.0, 99.0], "text": "long before"}, {"timestamp": [101.0, None], "text": "there it goes"}]
    write_json(folder / "subtitles/cH4p3yUOeoY_en.json", lines)
