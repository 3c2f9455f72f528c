"""MLVU, LongVideoBench, LVBench, Perception Test, TempCompass, ActivityNet-QA, captions and shapes: what is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evals import variants as questions
from pipelines.evals.benchmark import Sample
from pipelines.evals.benchmarks import load_benchmark
from pipelines.evals.compare import Point, compare
from videollm.errors import UserError
from videollm.types import Clip

CAPTION = "Describe this video in one sentence."
PLACES = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")


def sample(id: str, video: str, question: str, options: tuple[str, ...], answer: Any, /, **groups: Any) -> Sample:
    return Sample(id=id, clip=Clip(video=video), question=question, options=options, answer=answer, groups=groups)


def mlvu(task: str, story: str, question: str, options: tuple[str, ...], kind: str) -> Sample:
    return sample(f"{task}/0", f"MLVU/video/{task}/{story}_1.mp4", question, options, 2, question_type=kind)


def changed(sample: Sample, **values: Any) -> Sample:
    return Sample(**{**vars(sample), **values})


SAMPLES: dict[str, list[Sample]] = {
    "mlvu dev": [
        mlvu("1_plotQA", "still", "How many shapes are there?", ("one", "two", "four", "three"), "plotQA"),
        mlvu("2_needle", "parade", "What color comes first?", ("red", "green", "orange", "blue"), "findNeedle"),
        mlvu("3_ego", "motion", "In which direction does the green triangle move?", ("left", "up", "right", "down"),
             "ego"),
        mlvu("4_count", "grow", "What shape is the red one?", ("square", "triangle", "circle", "cross"), "count"),
        mlvu("5_order", "parade", "What color comes last?", ("red", "green", "blue", "yellow"), "order"),
        mlvu("6_anomaly_reco", "change", "What color does the cross turn into?", ("red", "green", "blue", "yellow"),
             "anomaly_reco"),
        mlvu("7_topic_reasoning", "pan", "Which way does the camera pan?", ("left", "right", "down", "up"),
             "topic_reasoning"),
    ],
    "mlvu test": [
        sample("AR_0", "MLVU_Test/video/test_change_1.mp4", "Where is the green cross?",
               ("top left", "top", "top right", "left", "bottom", "center"), 4, question_type="anomaly_reco"),
        sample("TQ_7", "MLVU_Test/video/test_motion_1.mp4", "Which color moves?",
               ("red", "blue", "yellow", "purple", "green", "orange"), 4, question_type="tutorialQA"),
    ],
    "longvideobench val": [
        changed(sample("86CxyhFV9MI_0", "videos/86CxyhFV9MI.mp4", "What color comes first?",
                       ("red", "orange", "green", "blue"), 1, duration_group="15", question_category="S2E"),
                subtitles=Path("subtitles/86CxyhFV9MI_en.json")),
        changed(sample("86CxyhFV9MI_1", "videos/86CxyhFV9MI.mp4", "Is orange shown before blue?",
                       ("yes", "no"), 0, duration_group="15", question_category="SOS"),
                subtitles=Path("subtitles/86CxyhFV9MI_en.json")),
        changed(sample("cH4p3yUOeoY_0", "videos/cH4p3yUOeoY.mp4", "Where is the green triangle at the end?",
                       ("top left", "top", "left", "right", "top right"), 4, duration_group="3600",
                       question_category="T2O"),
                subtitles=Path("subtitles/cH4p3yUOeoY_en.json"), subtitles_from=100.0),
    ],
    "longvideobench test": [
        changed(sample("cH4p3yUOeoY_1", "videos/cH4p3yUOeoY.mp4", "Which color moves?", ("green", "red", "blue"), None,
                       duration_group="3600", question_category="T2O"),
                subtitles=Path("subtitles/cH4p3yUOeoY_en.json"), subtitles_from=100.0),
    ],
    "lvbench test": [
        sample("55", "all_videos/Cm73ma6Ibcs.mp4", "What color does the cross turn into?",
               ("red", "green", "yellow", "blue"), 3, question_type=("key information retrieval",)),
        sample("108", "all_videos/TiQBTesZUJQ.mp4", "In which direction does the green triangle move?",
               ("left", "right", "up", "down"), 1, question_type=("event understanding", "reasoning")),
        sample("109", "all_videos/TiQBTesZUJQ.mp4", "What shape is the green one?",
               ("triangle", "circle", "square", "cross"), 0, question_type=("entity recognition",)),
    ],
    "perception_test valid": [
        changed(sample("video_10/0", "", "How many shapes are there?", ("four", "one", "two"), 0, area="Semantics",
                       reasoning="Descriptive", tag=("counting", "spatial relations")),
                clip=Clip(video="videos/video_10.mp4", end=3.0)),
        changed(sample("video_10/1", "", "What shape is the orange one?", ("square", "triangle", "circle"), 2,
                       area="Memory", reasoning="Descriptive", tag=("matching",)),
                clip=Clip(video="videos/video_10.mp4", end=3.0)),
        sample("video_11/0", "videos/video_11.mp4", "What color comes first?", ("red", "orange", "green"), 1,
               area="Memory", reasoning="Explanatory", tag=("sequencing",)),
    ],
    "perception_test test": [
        sample("video_12/0", "videos/video_12.mp4", "Which color moves?", ("red", "green", "blue"), None,
               area="not published", reasoning="not published", tag="not published"),
    ],
    "tempcompass test": [
        sample("multi-choice/1034419625/direction/0", "videos/1034419625.mp4",
               "In which direction does the green triangle move?", ("left", "right", "up", "down"), 1,
               task="multi-choice", dim="direction"),
        sample("multi-choice/1034419625_reverse/attribute_change/0", "videos/1034419625_reverse.mp4",
               "Does the red circle grow or shrink?", ("grow", "shrink"), 0,
               task="multi-choice", dim="attribute_change"),
        sample("yes_no/1034419625/action/0", "videos/1034419625.mp4", "Is anything blue?", ("yes", "no"), 1,
               task="yes_no", dim="action"),
        sample("yes_no/1034419625/action/1", "videos/1034419625.mp4", "Is anything green?", ("yes", "no"), 0,
               task="yes_no", dim="action"),
        sample("caption_matching/1034419625/direction/0", "videos/1034419625.mp4",
               "Which description is a more suitable match for the video?",
               ("Option 1: It moves left.", "Option 2: It moves right."), 1, task="caption_matching", dim="direction"),
        sample("caption_matching/1034419625/order/0", "videos/1034419625.mp4",
               "Which sentence better captures the essence of the video?",
               ("Sentence A: It ends top right.", "Sentence B: It ends left."), 0,
               task="caption_matching", dim="order"),
    ],
    "activitynet_qa test": [
        sample("v_1QIUV7WYKXg_0", "all_test/v_1QIUV7WYKXg.mp4", "what color comes last", (), ("blue",), type="Color"),
        sample("v_1QIUV7WYKXg_1", "all_test/v_1QIUV7WYKXg.mp4", "does the video show anything yellow", (), ("no",),
               type="Yes/No"),
        sample("v_9eniCub7u60_2", "all_test/v_9eniCub7u60.mkv", "in which direction does the green triangle move", (),
               ("right",), type="Motion"),
    ],
    "activitynet_qa val": [
        sample("v_9eniCub7u60_3", "all_test/v_9eniCub7u60.mkv", "which color moves", (), ("green",), type="Color"),
    ],
    "msrvtt test": [
        sample("video7010", "TestVideo/video7010.mp4", CAPTION, (), ("a red circle grows", "a circle gets bigger")),
        sample("video7011", "TestVideo/video7011.mp4", CAPTION, (),
               ("the camera moves down", "shapes go by", "a pan over three shapes")),
    ],
    "vatex test": [
        sample("G9zN5TTuGO4_000179_000189", "videos/G9zN5TTuGO4_000179_000189.mp4", CAPTION, (),
               ("A circle grows.", "It gets bigger.")),
    ],
    "vatex val": [
        changed(sample("_x-aRFNYnvQ_000001_000003", "", CAPTION, (), ("A green triangle moves right.",)),
                clip=Clip(video="videos/_x-aRFNYnvQ.mp4", start=1.0, end=3.0)),
    ],
    "shapes test": [
        sample("005-00000-0", "005-00000.mp4", "What color does the circle turn into?",
               ("red", "green", "blue", "yellow", "purple", "orange"), 4, kind="becomes", temporal="yes"),
        sample("005-00000-1", "005-00000.mp4", "Where is the yellow circle in the picture?", PLACES, 8,
               kind="where", temporal="no"),
        sample("005-00000-2", "005-00000.mp4", "Which color is the background?", ("black", "gray", "white"), 0,
               kind="background", temporal="no"),
        sample("005-00001-0", "005-00001.mp4", "Does the yellow square come or go, appear or disappear?",
               ("appear", "disappear"), 1, kind="comes", temporal="yes"),
        sample("005-00001-1", "005-00001.mp4", "Where is the yellow square?", PLACES, 7, kind="where", temporal="no"),
        sample("005-00001-2", "005-00001.mp4", "What shape is the green one?",
               ("circle", "square", "triangle", "cross"), 2, kind="shape", temporal="no"),
        sample("005-00001-3", "005-00001.mp4", "Does the video show anything purple?", ("yes", "no"), 0,
               kind="exists", temporal="no"),
    ],
}  # fmt: skip


def relative(sample: Sample, folder: Path) -> Sample:
    """The same with paths from the folder on."""
    clip = Clip(**{**vars(sample.clip), "video": Path(sample.clip.video).relative_to(folder).as_posix()})
    return changed(sample, clip=clip, subtitles=sample.subtitles and sample.subtitles.relative_to(folder))


def read(name: str, folder: Path, split: str) -> list[Sample]:
    return [relative(s, folder) for s in load_benchmark(name).samples(folder, split)]


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_those_of_the_official_files(name: str, miniature_folder: Callable[[str], Path]) -> None:
    benchmark, split = name.split()
    assert read(benchmark, miniature_folder(benchmark), split) == SAMPLES[name]


def test_longvideobench_subtitles_are_those_of_the_cut_video(miniature_folder: Callable[[str], Path]) -> None:
    from videollm.prompts.subtitles import read_subtitles, spoken

    first, _, last = load_benchmark("longvideobench").samples(miniature_folder("longvideobench"), "val")
    assert first.subtitles is not None
    assert last.subtitles is not None
    assert spoken(read_subtitles(first.subtitles, first.subtitles_from), [0.5, 1.5]) == ["an orange one"]
    assert spoken(read_subtitles(last.subtitles, last.subtitles_from), [0.5]) == []
    assert spoken(read_subtitles(last.subtitles, last.subtitles_from), [0.5, 1.5]) == ["there it goes"]


# Layouts that are documented elsewhere.


def test_mlvu_from_inside_its_folder_and_as_the_official_scripts_have_it(
    miniature_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    official = miniature_folder("mlvu")
    shutil.copytree(official / "MLVU/json", tmp_path / "json")
    shutil.copytree(official / "MLVU/video", tmp_path / "video")
    assert next(s.clip.video for s in read("mlvu", tmp_path, "dev")) == "video/1_plotQA/still_1.mp4"
    (tmp_path / "video/1_plotQA").rename(tmp_path / "video/plotQA")
    assert next(s.clip.video for s in read("mlvu", tmp_path, "dev")) == "video/plotQA/still_1.mp4"


def test_mlvu_test_without_its_answers(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(miniature_folder("mlvu") / "test_multi_choice_tasks.json", tmp_path)
    found = read("mlvu", tmp_path, "test")
    assert [s.answer for s in found] == [None, None]
    assert load_benchmark("mlvu").official(found[0], "A") is None


def test_mlvu_with_the_defects_of_its_files(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(miniature_folder("mlvu") / "MLVU/json", tmp_path / "json")
    asked = "What is the man in the video doing on the lake shore during the sunny summer?"
    needle = {"video": "needle_4.mp4", "question": asked, "question_type": "findNeedle",
              "candidates": ["Fishing", "Catching the drone", "Launching the drone", "Sunbathing"],
              "answer": "Catching a flying drone quadcopter"}  # fmt: skip
    twice = {"video": "movie101_21.mp4", "question": "How many people are on the pirate ship?",
             "candidates": ["Six", "Three", "Three", "Eight"], "answer": "Three",
             "question_type": "plotQA"}  # fmt: skip
    blank = {"video": "ego_81.mp4", "question": "How many jars did I see in the cabinet?",
             "candidates": ["2", "5", "10", ""], "answer": "", "question_type": "ego"}  # fmt: skip
    for task, row in (("1_plotQA", twice), ("2_needle", needle), ("3_ego", blank)):
        (tmp_path / f"json/{task}.json").write_text(json.dumps([row]))
    one, other, third = read("mlvu", tmp_path, "dev")[:3]
    official = load_benchmark("mlvu").official
    assert (one.answer, other.answer, third.answer) == (1, 1, 3)
    assert [official(one, text) for text in "BC"] == [False, True]  # the last of both
    assert [official(one.rotated(2), text) for text in "AD"] == [False, True]
    assert official(other, "B") is False  # its answer is no option
    assert official(third, "D") is True


def test_lvbench_beside_the_official_code(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("lvbench")
    (tmp_path / "data").mkdir()
    shutil.copy(official / "video_info.meta.jsonl", tmp_path / "data")
    shutil.copytree(official / "all_videos", tmp_path / "videos")
    (tmp_path / "videos/Cm73ma6Ibcs.mp4").rename(tmp_path / "videos/Cm73ma6Ibcs.webm")
    found = [s.clip.video for s in read("lvbench", tmp_path, "test")]
    assert found == ["videos/Cm73ma6Ibcs.webm", *["videos/TiQBTesZUJQ.mp4"] * 2]


@pytest.mark.parametrize(
    "broken", ["\n(A) 1636\n (B) 1366\n(C)1363\n(D) 1633", "\n(A) 1636\n(B) 1366\n(C) 1363\n(D) 1633"]
)
def test_lvbench_options_with_odd_spaces(broken: str, tmp_path: Path) -> None:
    qa = {"uid": 55, "question": f"What year (if any) appears?{broken}", "answer": "D", "question_type": ["reasoning"]}
    (tmp_path / "video_info.meta.jsonl").write_text(json.dumps({"key": "Cm73ma6Ibcs", "qa": [qa]}) + "\n\n")
    (found,) = read("lvbench", tmp_path, "test")
    assert (found.id, found.question) == ("55", "What year (if any) appears?")
    assert found.options == ("1636", "1366", "1363", "1633")
    assert found.clip.video == "all_videos/Cm73ma6Ibcs.mp4"  # where it should be


def test_perception_test_in_the_flat_form(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    nested = json.loads((miniature_folder("perception_test") / "mc_question_valid.json").read_text())
    rows = [
        {"video_name": video, "question_id": str(row["id"]), **{k: v for k, v in row.items() if k != "id"}}
        for video, held in nested.items()
        for row in held["mc_question"]
    ]
    (tmp_path / "mc_question_val").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mc_question_val/validation-00000-of-00001.parquet")
    shutil.copytree(miniature_folder("perception_test") / "videos", tmp_path / "videos")
    (tmp_path / "videos/video_11.mp4").rename(tmp_path / "videos/video_11.MP4")
    found = read("perception_test", tmp_path, "valid")
    assert [s.clip for s in found] == [*[Clip(video="videos/video_10.mp4")] * 2, Clip(video="videos/video_11.MP4")]
    expected = SAMPLES["perception_test valid"]
    assert [changed(s, clip=e.clip) for s, e in zip(found, expected, strict=True)] == expected

    shutil.copy(miniature_folder("perception_test") / "cut_frame_mapping_valid.json", tmp_path)
    with pytest.raises(UserError, match="has no frame rates"):
        read("perception_test", tmp_path, "valid")


def test_perception_test_from_all_annotations_uncut(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("perception_test")
    (tmp_path / "valid_annotations").mkdir()
    shutil.copy(official / "mc_question_valid.json", tmp_path / "valid_annotations/all_valid.json")
    shutil.copytree(official / "videos", tmp_path / "valid_videos/videos")
    assert [s.clip for s in read("perception_test", tmp_path, "valid")] == [
        *[Clip(video="valid_videos/videos/video_10.mp4")] * 2,
        Clip(video="valid_videos/videos/video_11.mp4"),
    ]


def test_tempcompass_in_the_flat_form(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("tempcompass")
    for file in (official / "questions").iterdir():
        rows = [
            {"video_id": video, "dim": dim, **row}
            for video, dims in json.loads(file.read_text()).items()
            for dim, asked in dims.items()
            for row in asked
        ]
        (tmp_path / file.stem).mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / file.stem / "test-00000-of-00001.parquet")
    shutil.copytree(official / "videos", tmp_path / "videos")
    assert read("tempcompass", tmp_path, "test") == SAMPLES["tempcompass test"]


def test_activitynet_qa_in_its_repository(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("activitynet_qa")
    (tmp_path / "dataset").mkdir()
    for part in "qa":
        shutil.copy(official / f"test_{part}.json", tmp_path / "dataset")
    rows = json.loads((tmp_path / "dataset/test_a.json").read_text())
    (tmp_path / "dataset/test_a.json").write_text(json.dumps(rows[::-1]))  # answers go by their question's id
    shutil.copy(official / "all_test/v_1QIUV7WYKXg.mp4", tmp_path)
    found = read("activitynet_qa", tmp_path, "test")
    assert [s.clip.video for s in found] == [*["v_1QIUV7WYKXg.mp4"] * 2, "all_test/v_9eniCub7u60.mp4"]
    assert [s.answer for s in found] == [s.answer for s in SAMPLES["activitynet_qa test"]]


def test_msrvtt_of_all_splits_in_one_file(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("msrvtt")
    shutil.copy(official / "test_videodatainfo.json", tmp_path / "MSRVTT_data.json")
    shutil.copytree(official / "TestVideo", tmp_path / "videos/all")
    assert [s.clip.video for s in read("msrvtt", tmp_path, "test")] == [
        f"videos/all/video{i}.mp4" for i in (7010, 7011)
    ]


# Prompts, rules, submissions.

PROMPTS = {
    "mlvu dev": """\
Carefully watch this video and pay attention to every detail. \
Based on your observations, select the best option that accurately addresses the question.
Question: How many shapes are there?
Options:
(A) one
(B) two
(C) four
(D) three
Only give the best option.""",
    "longvideobench val": """\
Question: What color comes first?
A. red
B. orange
C. green
D. blue
Answer with the option's letter from the given choices directly.""",
    "lvbench test": """\
What color does the cross turn into?
(A) red
(B) green
(C) yellow
(D) blue
Answer the question with the option letter""",
    "perception_test valid": """\
Question: How many shapes are there?
Options:
(A) four
(B) one
(C) two
Answer with the option's letter from the given choices directly and only give the best option.""",
    "tempcompass test": """\
In which direction does the green triangle move?
A. left
B. right
C. up
D. down
Please directly give the best option:""",
    "activitynet_qa test": "What color comes last? Answer the question using a single word or phrase.",
    "msrvtt test": CAPTION,
    "vatex test": CAPTION,
    "shapes test": "What color does the circle turn into?",
}

UNLETTERED = {*(s.id for s in SAMPLES["shapes test"]), "yes_no/1034419625/action/0", "yes_no/1034419625/action/1"}
"""Questions whose options are not shown."""
SAMPLES = {name: [changed(s, lettered=s.id not in UNLETTERED) for s in found] for name, found in SAMPLES.items()}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_the_official_ones(name: str) -> None:
    benchmark = load_benchmark(name.split()[0])
    assert benchmark.prompt(SAMPLES[name][0]) == PROMPTS[name]
    assert benchmark.prompt(SAMPLES[name][0], subtitles=True) == PROMPTS[name]


def test_tempcompass_prompts_of_the_other_tasks() -> None:
    _, _, yes_no, _, matching, _ = SAMPLES["tempcompass test"]
    prompt = load_benchmark("tempcompass").prompt
    assert prompt(yes_no) == "Is anything blue?\nPlease answer yes or no:"
    assert prompt(matching) == (
        "Which description is a more suitable match for the video?\nOption 1: It moves left.\n"
        "Option 2: It moves right.\nPlease directly give the best option:"
    )


@pytest.mark.parametrize(
    ("name", "at", "text", "right"),
    [
        ("mlvu dev", 0, "C", True),
        ("mlvu dev", 0, "C) four", True),
        ("mlvu dev", 0, "(C) four", True),
        ("mlvu dev", 0, "C. four", False),  # the whole output is compared
        ("longvideobench val", 0, "The answer is B", True),
        ("longvideobench val", 0, "B. orange", True),
        ("longvideobench val", 0, "Answer: B", False),  # the A of Answer
        ("longvideobench val", 0, "", False),  # the original draws an option
        ("lvbench test", 0, "(D) blue", True),
        ("lvbench test", 0, "D. blue", True),
        ("lvbench test", 0, "Don't know", True),  # the first character
        ("lvbench test", 0, "The answer is D", False),
        ("perception_test valid", 0, "Answer: (A)", True),
        ("perception_test valid", 0, "four", True),
        ("perception_test valid", 1, "no idea", False),  # the original takes C
        ("tempcompass test", 0, "B. right", True),
        ("tempcompass test", 0, "B)", True),
        ("tempcompass test", 0, "(B)", False),
        ("tempcompass test", 0, "right", False),
        ("tempcompass test", 2, "No, it is not.", True),
        ("tempcompass test", 2, "Nothing is blue", True),
        ("tempcompass test", 3, "It is", False),
        ("tempcompass test", 4, "Option 2", True),
        ("tempcompass test", 4, "2", True),
        ("tempcompass test", 4, "It moves right.", True),
        ("tempcompass test", 4, "Option 1: It moves left.", False),
        ("tempcompass test", 5, "Sentence A.", True),
        ("activitynet_qa test", 0, "blue", True),
        ("activitynet_qa test", 0, "Blue", False),
        ("shapes test", 0, "purple", True),
        ("shapes test", 0, "E", False),
    ],
)
def test_official_rules(name: str, at: int, text: str, right: bool) -> None:
    assert load_benchmark(name.split()[0]).official(SAMPLES[name][at], text) is right


@pytest.mark.parametrize("name", ["mlvu dev", "longvideobench val", "lvbench test", "perception_test valid"])
def test_official_rules_follow_the_rotation(name: str) -> None:
    benchmark, one = load_benchmark(name.split()[0]), SAMPLES[name][0]
    for by in range(len(one.options)):
        rotated = one.rotated(by)
        right = [letter for letter in "ABCDE"[: len(one.options)] if benchmark.official(rotated, letter)]
        assert right == ["ABCDE"[rotated.answer]]  # type: ignore[index]


@pytest.mark.parametrize("name", ["longvideobench test", "perception_test test"])
def test_unpublished_answers_have_no_official_score(name: str) -> None:
    assert load_benchmark(name.split()[0]).official(SAMPLES[name][0], "A") is None


def test_submissions_show_what_was_not_read() -> None:
    one, other = SAMPLES["mlvu test"]
    assert load_benchmark("mlvu").submission([(one, 4), (other, None)]) == (
        "test_res.json",
        json.dumps(
            [
                {"question_id": "AR_0", "question_type": "anomaly_reco", "option": "E"},
                {"question_id": "TQ_7", "question_type": "tutorialQA", "option": ""},
            ],
            indent=4,
        ),
    )
    one, other, _ = SAMPLES["longvideobench val"]
    name, text = load_benchmark("longvideobench").submission([(one, 2), (other, None)]) or ("", "")
    assert name == "longvideobench_test_for_submission.json"
    assert json.loads(text) == {"86CxyhFV9MI_0": "C", "86CxyhFV9MI_1": ""}
    one, other, _ = SAMPLES["perception_test valid"]
    name, text = load_benchmark("perception_test").submission([(one, 1), (other, None)]) or ("", "")
    assert name == "perception_test_mcqa.json"
    assert json.loads(text) == {"video_10": [{"id": 0, "answer_id": 1, "answer": "one"}]}


# Bad annotation files. A place is the way to a field from the top of the file.

FILES = {
    "mlvu": "MLVU/json/3_ego.json",
    "longvideobench": "lvb_val.json",
    "lvbench": "video_info.meta.jsonl",
    "perception_test": "mc_question_valid.json",
    "tempcompass": "questions/multi-choice.json",
    "activitynet_qa": "test_q.json",
    "activitynet_qa answers": "test_a.json",
    "msrvtt": "test_videodatainfo.json",
    "vatex": "vatex_public_test_english_v1.1.json",
    "shapes": "questions.jsonl",
}
Place = tuple[str | int, ...]
FIELDS: dict[str, list[Place]] = {
    "mlvu": [(0, f) for f in ("video", "question", "candidates", "answer", "question_type")],
    "longvideobench": [(1, f) for f in ("id", "video_path", "subtitle_path", "question", "candidates", "correct_choice",
                                        "duration_group", "question_category")],
    "lvbench": [(0, "key"), (0, "qa"), *((1, "qa", 1, f) for f in ("uid", "question", "answer", "question_type"))],
    "perception_test": [("video_11", "mc_question", 0, f) for f in ("id", "question", "options", "answer_id", "area",
                                                                    "reasoning", "tag")],
    "tempcompass": [("1034419625", "direction", 0, f) for f in ("question", "answer")],
    "activitynet_qa": [(0, f) for f in ("video_name", "question", "question_id")],
    "activitynet_qa answers": [(2, f) for f in ("answer", "type", "question_id")],
    "msrvtt": [("videos",), ("sentences",), ("videos", 0, "video_id"), ("videos", 1, "split"),
               ("sentences", 2, "video_id"), ("sentences", 0, "caption")],
    "vatex": [(0, "videoID"), (0, "enCap")],
    "shapes": [(0, f) for f in ("id", "video", "question", "answer", "kind", "choices")],
}  # fmt: skip
WRONG: list[tuple[str, Place, Any, str]] = [
    ("mlvu", (0, "answer"), "sideways", "expected one of its options"),
    ("mlvu", (0, "candidates"), "left or right", "expected a list of texts"),
    ("mlvu", (0, "question"), "", "expected text"),
    ("longvideobench", (0, "correct_choice"), 4, "expected an index of its 4 options"),
    ("longvideobench", (0, "correct_choice"), "@", "expected a whole number"),
    ("longvideobench", (0, "starting_timestamp_for_subtitles"), -1, "expected seconds"),
    ("lvbench", (0, "qa", 0, "answer"), "E", "expected a letter from A to D"),
    ("lvbench", (0, "qa", 0, "question"), "Why? (A) so (B) not", "expected a question and then its options"),
    ("lvbench", (0, "qa", 0, "question"), "Why?\n(A) so\n(C) not", "expected a question and then its options"),
    ("lvbench", (0, "qa"), [], "expected a list of rows"),
    ("perception_test", ("video_10", "mc_question", 0, "answer_id"), 3, "expected an index of its 3 options"),
    ("perception_test", ("video_10", "metadata"), {"video_id": "video_10"}, "frame_rate is None"),
    ("tempcompass", ("1034419625", "direction", 0, "question"), "Which?\nA. up\nC. down", "a line for the question"),
    ("tempcompass", ("1034419625", "direction", 0, "answer"), "A. right", "expected one of its options"),
    ("tempcompass", ("1034419625", "direction"), {}, "expected a list of rows"),
    ("activitynet_qa", (0, "question_id"), "v_1", "does not answer"),
    ("activitynet_qa answers", (0, "type"), 9, "expected 0 to 8"),
    ("activitynet_qa answers", (0, "question_id"), "v_1QIUV7WYKXg_1", "a second answer"),
    ("msrvtt", ("videos", 0, "video_id"), "video1", "expected a clip with captions"),
    ("vatex", (0, "enCap"), [], "expected a list of texts"),
    ("shapes", (0, "answer"), "mauve", "expected one of its options"),
]  # fmt: skip


def load(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def save(path: Path, value: Any) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in value) if path.suffix == ".jsonl" else json.dumps(value)
    path.write_text(lines, encoding="utf-8")


@pytest.fixture
def damage(miniature_folder: Callable[[str], Path], tmp_path: Path) -> Callable[[str, Callable[[Path], None]], str]:
    """Changes a file of `FILES` in a copy of its miniature; returns what reading it says, which names the file."""

    def done(name: str, change: Callable[[Path], None]) -> str:
        benchmark = load_benchmark(name.split()[0])
        shutil.copytree(miniature_folder(name.split()[0]), tmp_path / "data", ignore=shutil.ignore_patterns("*.mp4"))
        path = tmp_path / "data" / FILES[name]
        change(path)
        with pytest.raises(UserError) as error:
            list(benchmark.samples(tmp_path / "data", benchmark.splits[0]))
        assert path.name in str(error.value)
        return str(error.value)

    return done


def edit(place: Place, change: Callable[[Any, Any], None]) -> Callable[[Path], None]:
    """A change of the value at a place, given what holds it and its name there."""

    def edited(path: Path) -> None:
        holder = value = load(path)
        for step in place[:-1]:
            holder = holder[step]
        change(holder, place[-1])
        save(path, value)

    return edited


Damage = Callable[[str, Callable[[Path], None]], str]


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in FIELDS.items() for place in places])
def test_a_missing_field_is_named(name: str, place: Place, damage: Damage) -> None:
    said = damage(name, edit(place, lambda holder, field: holder.pop(field)))
    assert f"has no field {place[-1]!r}" in said


@pytest.mark.parametrize(("name", "place", "value", "expected"), WRONG)
def test_a_wrong_field_is_named(name: str, place: Place, value: Any, expected: str, damage: Damage) -> None:
    assert expected in damage(name, edit(place, lambda holder, field: holder.__setitem__(field, value)))


@pytest.mark.parametrize(
    ("name", "place"),
    [("longvideobench", (0,)), ("lvbench", (0,)), ("perception_test", ("video_11", "mc_question", 0)),
     ("activitynet_qa", (0,)), ("msrvtt", ("videos", 0)), ("vatex", (0,)), ("shapes", (0,))],
)  # fmt: skip
def test_two_questions_of_one_id_are_refused(name: str, place: Place, damage: Damage) -> None:
    said = damage(name, edit(place, lambda holder, at: holder.append(holder[at])))
    assert "Two questions have the id" in said


@pytest.mark.parametrize("name", FILES)
def test_broken_files_are_named(name: str, damage: Damage) -> None:
    said = damage(name, lambda path: path.write_bytes(b'[{"question": "Qu\xe9?"}]'))
    assert "is not UTF-8" in said


@pytest.mark.parametrize("name", FILES)
def test_files_cut_short_are_named(name: str, damage: Damage) -> None:
    assert "is not JSON" in damage(name, lambda path: path.write_text('[{"question": "Wh'))


@pytest.mark.parametrize("name", ["longvideobench", "lvbench", "perception_test", "activitynet_qa", "vatex", "shapes"])
def test_files_without_questions_are_named(name: str, damage: Damage) -> None:
    empty = "{}" if name == "perception_test" else "" if FILES[name].endswith("jsonl") else "[]"
    assert "No questions in" in damage(name, lambda path: path.write_text(empty))


@pytest.mark.parametrize("name", FILES)
def test_missing_files_are_named(name: str, damage: Damage) -> None:
    assert "--data must name the folder" in damage(name, Path.unlink)


@pytest.mark.parametrize("name", ["mlvu", "perception_test", "tempcompass", "msrvtt"])
def test_files_of_another_shape_are_named(name: str, damage: Damage) -> None:
    other = {"mlvu": "{}"}.get(name, "[]")
    assert "expected" in damage(name, lambda path: path.write_text(other))


# On the way to a score.


@pytest.mark.parametrize("name", SAMPLES)
def test_questions_come_back_from_the_run(name: str, tmp_path: Path) -> None:
    questions.save_questions(SAMPLES[name], tmp_path)
    assert questions.load_questions(tmp_path) == SAMPLES[name]


def test_requests_bring_the_subtitles_of_the_cut_video(miniature_folder: Callable[[str], Path]) -> None:
    benchmark = load_benchmark("longvideobench")
    found = list(benchmark.samples(miniature_folder("longvideobench"), "val"))
    made = questions.build_requests(
        found, benchmark, subtitles=[True], circular=False, own_prompt=True, limit_tokens=True
    )
    subtitles = made[-1].subtitles
    assert subtitles is not None
    assert [(c.start, c.text) for c in subtitles.cues] == [(-100.0, "long before"), (1.0, "there it goes")]


def test_a_question_counts_in_each_of_its_groups() -> None:
    found = SAMPLES["lvbench test"]
    a, b = (
        [Point(id=s.id, cluster=s.clip.video, groups=s.groups, value=v) for s, v in zip(found, values, strict=True)]
        for values in ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0))
    )
    groups = compare(a, b, group_by=("question_type",), draws=100).groups["question_type"]
    assert {g.value: (g.mean_a, g.mean_b) for g in groups} == {
        "entity recognition": (1.0, 1.0),
        "event understanding": (0.0, 1.0),
        "key information retrieval": (0.0, 0.0),
        "reasoning": (0.0, 1.0),
    }
