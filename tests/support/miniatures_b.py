"""Miniatures of MLVU, LongVideoBench, LVBench, Perception Test, TempCompass, ActivityNet-QA, captions and shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.evals.benchmarks.mlvu import TASKS
from tests.support.miniature import ask, options, write_clip, write_json
from videollm.shapes.clips import ClipsConfig, write_clips


def mlvu(folder: Path) -> None:
    """One question a dev task, as MLVU/MVLU unpacks, and two test questions, as MLVU/MLVU_Test does."""
    asked = (
        "still count",
        "parade first",
        "motion direction",
        "grow shape",
        "parade last",
        "change becomes",
        "pan pan",
    )
    for task, (story, kind) in zip(TASKS, map(str.split, asked), strict=True):
        question = ask(story, kind)
        row = {
            "video": f"{story}_1.mp4",
            "duration": 4,
            "question": question.text,
            "candidates": list(options(question, 4, 2)),
            "answer": question.answer,
            "question_type": {"2_needle": "findNeedle"}.get(task, task.partition("_")[2]),
        }
        blank = {**row, "question": "", "candidates": [""] * 4, "answer": ""}  # as the official one on GitHub
        write_json(folder / f"MLVU/json/{task}.json", [row, blank] if task == "7_topic_reasoning" else [row])
        write_clip(folder / f"MLVU/video/{task}/{story}_1.mp4", story)
    rows = []
    for number, (story, kind) in (("AR_0", ("change", "where")), ("TQ_7", ("motion", "mover"))):
        question = ask(story, kind)
        row = {"video": f"test_{story}_1.mp4", "duration": 4.0, "question": question.text, "question_id": number}
        row |= {"candidates": list(options(question, 6, 4)), "answer": question.answer}
        rows.append({**row, "question_type": {"AR_0": "anomaly_reco", "TQ_7": "tutorialQA"}[number]})
        write_clip(folder / f"MLVU_Test/video/test_{story}_1.mp4", story)
    write_json(folder / "test-ground-truth/test_mcq_gt.json", rows)
    write_json(folder / "test_multi_choice_tasks.json", [{k: v for k, v in r.items() if k != "answer"} for r in rows])


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


def lvbench(folder: Path) -> None:
    """Two videos with one and two questions, as THUDM/LVBench unpacks."""
    asked = {
        "Cm73ma6Ibcs": ("change", [("55", "becomes", 3, ["key information retrieval"])]),
        "TiQBTesZUJQ": ("motion", [("108", "direction", 1, ["event understanding", "reasoning"]),
                                   ("109", "shape", 0, ["entity recognition"])]),
    }  # fmt: skip
    lines = []
    for key, (story, questions) in asked.items():
        qa = []
        for uid, kind, right, types in questions:
            question = ask(story, kind)
            shown = [f"({letter}) {o}" for letter, o in zip("ABCD", options(question, 4, right), strict=True)]
            qa.append({"uid": uid, "question": "\n".join([question.text, *shown]), "answer": "ABCD"[right],
                       "question_type": types, "time_reference": "00:00-00:04"})  # fmt: skip
        lines.append({"key": key, "type": "cartoon", "video_info": {"duration_minutes": 0.07, "fps": 8.0}, "qa": qa})
        write_clip(folder / f"all_videos/{key}.mp4", story)
    (folder / "video_info.meta.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def perception_test(folder: Path) -> None:
    """Two valid videos with three questions, one of them cut, one video of another task, and a test video."""
    asked: dict[str, tuple[str, list[tuple[str, int, dict[str, Any]]]]] = {
        "video_10": ("still", [("count", 0, {"area": "Semantics", "reasoning": "Descriptive",
                                             "tag": ["counting", "spatial relations"]}),
                               ("shape", 2, {"area": "Memory", "reasoning": "Descriptive", "tag": ["matching"]})]),
        "video_11": ("parade", [("first", 1, {"area": "Memory", "reasoning": "Explanatory", "tag": ["sequencing"]})]),
        "video_12": ("motion", [("mover", 1, {})]),
    }  # fmt: skip
    videos: dict[str, Any] = {}
    for video, (story, questions) in asked.items():
        rows = []
        for number, (kind, right, groups) in enumerate(questions):
            question = ask(story, kind)
            row = {"id": number, "question": question.text, "options": list(options(question, 3, right)), **groups}
            rows.append(row | ({"answer_id": right} if video != "video_12" else {}))
        metadata = {"split": "valid", "video_id": video, "frame_rate": 8.0, "num_frames": 32, "resolution": [96, 96]}
        videos[video] = {"metadata": metadata, "mc_question": rows}
        write_clip(folder / f"videos/{video}.mp4", story)
    write_json(folder / "mc_question_test.json", {"video_12": videos.pop("video_12")})
    videos["video_13"] = {"metadata": {"video_id": "video_13"}, "mc_question": []}
    write_json(folder / "mc_question_valid.json", videos)
    write_json(folder / "cut_frame_mapping_valid.json", {"video_10": 24, "video_11": -1})


def tempcompass(folder: Path) -> None:
    """Two questions a task on two videos, as in the repository."""
    story, other = "1034419625", "1034419625_reverse"
    write_clip(folder / f"videos/{story}.mp4", "motion")
    write_clip(folder / f"videos/{other}.mp4", "grow")
    way, end, grow = ask("motion", "direction"), ask("motion", "end"), ask("grow", "grow")
    lettered = [f"{letter}. {o}" for letter, o in zip("ABCD", options(way, 4, 1), strict=True)]
    also = [f"{letter}.{o}" for letter, o in zip("AB", options(grow, 2, 0), strict=True)]
    asked = {
        "multi-choice": {story: {"direction": [_line(way.text, lettered, 1)]},
                         other: {"attribute_change": [_line(grow.text, also, 0)]}},
        "yes_no": {story: {"action": [{"question": "Is anything blue?", "answer": "no"},
                                      {"question": "Is anything green?", "answer": "yes"}]}},
        "caption_matching": {
            story: {"direction": [_line("Which description is a more suitable match for the video?",
                                        ["Option 1: It moves left.", "Option 2: It moves right."], 1)],
                    "order": [_line("Which sentence better captures the essence of the video?",
                                    [f"Sentence A: It ends {end.answer}.", "Sentence B: It ends left."], 0)]}},
    }  # fmt: skip
    for task, questions in asked.items():
        write_json(folder / f"questions/{task}.json", questions)


def _line(question: str, shown: list[str], right: int) -> dict[str, str]:
    return {"question": "\n".join([question, *shown]), "answer": shown[right]}


def activitynet_qa(folder: Path) -> None:
    """Three test questions on two videos, one of them Matroska by name, and one of val."""
    asked = [
        ("1QIUV7WYKXg", "parade", "last", 4),
        ("1QIUV7WYKXg", "parade", "exists", 3),
        ("9eniCub7u60", "motion", "direction", 0),
        ("9eniCub7u60", "motion", "mover", 4),
    ]
    questions, answers = [], []
    for number, (video, story, kind, type_) in enumerate(asked):
        question, name = ask(story, kind), f"v_{video}_{number}"
        text = question.text.rstrip("?")
        questions.append({"video_name": video, "question": text[0].lower() + text[1:], "question_id": name})
        answers.append({"answer": question.answer, "type": type_, "question_id": name})
    for split, rows in (("test", slice(0, 3)), ("val", slice(3, 4))):
        write_json(folder / f"{split}_q.json", questions[rows])
        write_json(folder / f"{split}_a.json", answers[rows])
    write_clip(folder / "all_test/v_1QIUV7WYKXg.mp4", "parade")
    write_clip(folder / "all_test/v_9eniCub7u60.mkv", "motion")


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


def shapes(folder: Path) -> None:
    """Two clips of the product's own."""
    write_clips(folder, ClipsConfig(num_clips=2, seed=5, seconds=2, size=96))


MINIATURES: dict[str, Callable[[Path], None]] = {
    "mlvu": mlvu,
    "longvideobench": longvideobench,
    "lvbench": lvbench,
    "perception_test": perception_test,
    "tempcompass": tempcompass,
    "activitynet_qa": activitynet_qa,
    "msrvtt": msrvtt,
    "vatex": vatex,
    "shapes": shapes,
}
"""Benchmark -> function that writes its folder."""
