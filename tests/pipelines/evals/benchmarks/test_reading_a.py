"""Video-MME, MVBench, EgoSchema and NExT-QA: what is read from their official layouts, asked and submitted."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evals.benchmarks import Clip, Sample, load_benchmark
from pipelines.evals.benchmarks.mvbench import TASKS
from videollm.errors import UserError

COLOURS = ("red", "green", "blue", "yellow")

SAMPLES: dict[str, list[Sample]] = {
    "videomme": [
        Sample(
            id="001-1",
            clip=Clip(video="data/fFjv93ACGo8.mp4"),
            question="What color comes first?",
            options=("red", "green", "blue", "orange"),
            answer=3,
            groups={"duration": "short", "domain": "Knowledge", "sub_category": "Astronomy",
                    "task_type": "Temporal Perception"},
            subtitles=Path("subtitle/fFjv93ACGo8.srt"),
        ),
        Sample(
            id="001-2",
            clip=Clip(video="data/fFjv93ACGo8.mp4"),
            question="What color comes last?",
            options=("red", "blue", "green", "yellow"),
            answer=1,
            groups={"duration": "short", "domain": "Knowledge", "sub_category": "Astronomy",
                    "task_type": "Temporal Perception"},
            subtitles=Path("subtitle/fFjv93ACGo8.srt"),
        ),
        Sample(
            id="301-1",
            clip=Clip(video="data/N1cdUjctpG8.mp4"),
            question="In which direction does the green triangle move?",
            options=("left", "right", "up", "down"),
            answer=1,
            groups={"duration": "medium", "domain": "Life Record", "sub_category": "Travel",
                    "task_type": "Temporal Perception"},
        ),
        Sample(
            id="301-2",
            clip=Clip(video="data/N1cdUjctpG8.mp4"),
            question="What shape is the green one?",
            options=("circle", "square", "cross", "triangle"),
            answer=3,
            groups={"duration": "medium", "domain": "Life Record", "sub_category": "Travel",
                    "task_type": "Object Recognition"},
        ),
        Sample(
            id="601-1",
            clip=Clip(video="data/wPYPxbpkbXI.mp4"),
            question="How many shapes are there?",
            options=("four", "one", "two", "three"),
            answer=0,
            groups={"duration": "long", "domain": "Knowledge", "sub_category": "Technology",
                    "task_type": "Object Recognition"},
        ),
        Sample(
            id="601-2",
            clip=Clip(video="data/wPYPxbpkbXI.mp4"),
            question="What shape is the orange one?",
            options=("square", "triangle", "circle", "cross"),
            answer=2,
            groups={"duration": "long", "domain": "Knowledge", "sub_category": "Technology",
                    "task_type": "Object Recognition"},
        ),
    ],
    "egoschema": [
        Sample(
            id="00000000-11cb-497d-8d07-77c3a8127391",
            clip=Clip(video="videos/00000000-11cb-497d-8d07-77c3a8127391.mp4"),
            question="What color comes first?",
            options=(*COLOURS, "orange"),
            answer=4,
        ),
        Sample(
            id="00000002-11cb-497d-8d07-77c3a8127391",
            clip=Clip(video="videos/00000002-11cb-497d-8d07-77c3a8127391.mp4"),
            question="What color does the cross turn into?",
            options=("blue", "red", "green", "yellow", "purple"),
            answer=0,
        ),
    ],
    "nextqa": [
        Sample(
            id="4010069381_6",
            clip=Clip(video="NExTVideo/1106/4010069381.mp4"),
            question="What color comes first?",
            options=("red", "green", "orange", "blue", "yellow"),
            answer=2,
            groups={"category": "T", "type": "TN"},
        ),
        Sample(
            id="4010069381_7",
            clip=Clip(video="NExTVideo/1106/4010069381.mp4"),
            question="What color comes last?",
            options=("blue", "red", "green", "yellow", "purple"),
            answer=0,
            groups={"category": "T", "type": "TN"},
        ),
        Sample(
            id="4882821564_1",
            clip=Clip(video="NExTVideo/4882821564.mp4"),
            question="Which color moves?",
            options=("red", "blue", "yellow", "purple", "green"),
            answer=4,
            groups={"category": "C", "type": "CW"},
        ),
        Sample(
            id="4882821564_10",
            clip=Clip(video="NExTVideo/4882821564.mp4"),
            question="Where is the green triangle at the start?",
            options=("top", "top left", "top right", "left", "right"),
            answer=1,
            groups={"category": "D", "type": "DL"},
        ),
    ],
}  # fmt: skip

LAST = Sample(id="", clip=Clip(video=""), question="What color comes last?", options=("red", "green", "blue", "yellow"),
              answer=2)  # fmt: skip
DIRECTION = Sample(id="", clip=Clip(video=""), question="In which direction does the green triangle move?",
                   options=("left", "right", "up", "down"), answer=1)  # fmt: skip
BECOMES = Sample(id="", clip=Clip(video=""), question="What color does the cross turn into?",
                 options=("blue", "red", "green"), answer=0)  # fmt: skip
COUNT = Sample(id="", clip=Clip(video=""), question="How many shapes are there?",
               options=("one", "two", "three", "four"), answer=3)  # fmt: skip
MVBENCH = [
    ("action_sequence", Clip(video="video/data0613/star/Charades_v1_480/parade.mp4", start=0, end=4, cut_end=True),
     LAST),
    ("action_prediction", Clip(video="video/data0613/star/Charades_v1_480/motion.mp4", start=0, end=4, cut_end=True),
     DIRECTION),
    ("action_antonym", Clip(video="video/ssv2_video/change.mp4"), BECOMES),
    ("fine_grained_action", Clip(video="video/Moments_in_Time_Raw/videos/still.mp4"), COUNT),
    ("unexpected_action", Clip(video="video/FunQA_test/test/parade.mp4"), LAST),
    ("object_existence", Clip(video="video/clevrer/video_validation/motion.mp4"), DIRECTION),
    ("object_interaction", Clip(video="video/data0613/star/Charades_v1_480/change.mp4", start=0, end=4, cut_end=True),
     BECOMES),
    ("object_shuffle", Clip(video="video/perception/videos/still.mp4"), COUNT),
    ("moving_direction", Clip(video="video/clevrer/video_validation/parade.mp4"), LAST),
    ("action_localization", Clip(video="video/sta/sta_video/motion.mp4", start=0, end=4.7, cut_end=True), DIRECTION),
    ("scene_transition", Clip(video="video/scene_qa/video/change.mp4"), BECOMES),
    ("action_count", Clip(video="video/perception/videos/still.mp4"), COUNT),
    ("moving_count", Clip(video="video/clevrer/video_validation/parade.mp4"), LAST),
    ("moving_attribute", Clip(video="video/clevrer/video_validation/motion.mp4"), DIRECTION),
    ("state_change", Clip(video="video/perception/videos/change.mp4"), BECOMES),
    ("fine_grained_pose", Clip(video="video/nturgbd/still.mp4"), COUNT),
    ("character_order", Clip(video="video/perception/videos/parade.mp4"), LAST),
    ("egocentric_navigation", Clip(video="video/vlnqa/motion.mp4"), DIRECTION),
    ("episodic_reasoning",
     Clip(video="video/tvqa/frames_fps3_hq/castle_s03e05", start=0, end=3.5, cut_end=True, fps=3), BECOMES),
    ("counterfactual_inference", Clip(video="video/clevrer/video_validation/still.mp4"), COUNT),
]  # fmt: skip
SAMPLES["mvbench"] = [
    Sample(**{**vars(asked), "id": f"{task}/0", "clip": clip, "groups": {"task": task}})
    for task, clip, asked in MVBENCH
]


def relative(sample: Sample, folder: Path) -> Sample:
    """The same with paths from the folder on."""
    clip = Clip(**{**vars(sample.clip), "video": Path(sample.clip.video).relative_to(folder).as_posix()})
    subtitles = sample.subtitles and sample.subtitles.relative_to(folder)
    return Sample(**{**vars(sample), "clip": clip, "subtitles": subtitles})


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_those_of_the_official_files(name: str, miniature_folder: Callable[[str], Path]) -> None:
    benchmark, folder = load_benchmark(name), miniature_folder(name)
    assert [relative(s, folder) for s in benchmark.samples(folder, benchmark.splits[0])] == SAMPLES[name]


def test_egoschema_full_has_all_questions_and_no_answers(miniature_folder: Callable[[str], Path]) -> None:
    benchmark, folder = load_benchmark("egoschema"), miniature_folder("egoschema")
    full = list(benchmark.samples(folder, "full"))
    assert [s.id[:8] for s in full] == ["00000000", "00000001", "00000002"]
    assert [s.answer for s in full] == [None] * 3
    assert benchmark.official(full[0], "A") is None
    assert benchmark.files(folder, "full") == [folder / "questions.json"]


def test_nextqa_test_split(miniature_folder: Callable[[str], Path]) -> None:
    assert [s.id for s in load_benchmark("nextqa").samples(miniature_folder("nextqa"), "test")] == ["4882821564_1"]


def test_other_documented_layouts(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Video-MME as VideoLLaMA2 lays it out, MVBench unpacked at the top, NExT-QA as lmms-eval and as its repository."""
    official = miniature_folder("videomme")
    shutil.copytree(official / "data", tmp_path / "a/videos")
    shutil.copytree(official / "subtitle", tmp_path / "a/subtitles")
    shutil.copy(official / "videomme/test-00000-of-00001.parquet", tmp_path / "a")
    first = next(iter(load_benchmark("videomme").samples(tmp_path / "a", "test")))
    assert Path(first.clip.video) == tmp_path / "a/videos/fFjv93ACGo8.mp4"
    assert first.subtitles == tmp_path / "a/subtitles/fFjv93ACGo8.srt"

    official = miniature_folder("mvbench")
    shutil.copytree(official / "video", tmp_path / "b")
    shutil.copytree(official / "json", tmp_path / "b/json")
    assert all(Path(s.clip.video).exists() for s in load_benchmark("mvbench").samples(tmp_path / "b", "test"))

    official = miniature_folder("nextqa")
    with (official / "test.csv").open(newline="") as file:
        rows = [{k: int(v) if v.isdigit() else v for k, v in row.items()} for row in csv.DictReader(file)]
    (tmp_path / "c/MC").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c/MC/test-00000-of-00001.parquet")
    shutil.copytree(official / "NExTVideo", tmp_path / "c/NExTVideo")
    (sample,) = load_benchmark("nextqa").samples(tmp_path / "c", "test")
    assert relative(sample, tmp_path / "c") == SAMPLES["nextqa"][2]

    (tmp_path / "d/dataset/nextqa").mkdir(parents=True)
    for name in ("val.csv", "map_vid_vidorID.json"):
        shutil.copy(official / name, tmp_path / "d/dataset/nextqa" / name)
    shutil.copytree(official / "NExTVideo", tmp_path / "d/NExTVideo")
    found = load_benchmark("nextqa").samples(tmp_path / "d", "val")
    assert [relative(s, tmp_path / "d") for s in found] == SAMPLES["nextqa"]


PROMPTS = {
    "videomme": """\
Select the best answer to the following multiple-choice question based on the video. \
Respond with only the letter (A, B, C, or D) of the correct option.
What color comes first?
A. red
B. green
C. blue
D. orange
The best answer is:""",
    "mvbench": """\
Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of \
objects, and the action and pose of persons. \
Based on your observations, select the best option that accurately addresses the question.
Question: What color comes last?
Options:
(A) red
(B) green
(C) blue
(D) yellow
Only give the best option.""",
    "egoschema": """\
Select the best answer to the following multiple-choice question based on the video.
What color comes first?
Options:
(A) red
(B) green
(C) blue
(D) yellow
(E) orange
Answer with the option's letter from the given choices directly and only give the best option. The best answer is:""",
    "nextqa": """\
What color comes first?
A. red
B. green
C. orange
D. blue
E. yellow
Answer with the option's letter from the given choices directly.""",
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_the_official_ones(name: str) -> None:
    benchmark = load_benchmark(name)
    assert benchmark.prompt(SAMPLES[name][0]) == PROMPTS[name]
    assert benchmark.prompt(SAMPLES[name][0], subtitles=True) == PROMPTS[name]
    assert benchmark.subtitles_heading == "This video's subtitles are listed below:"


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [  # of the first sample: D is right in Video-MME, C in MVBench, E in EgoSchema, C in NExT-QA
        ("videomme", "D", True),
        ("videomme", "The best answer is D", True),
        ("videomme", "Answer: (D) because...", False),  # the A of Answer
        ("videomme", "", False),
        ("mvbench", "(C) blue", True),
        ("mvbench", "C.", True),
        ("mvbench", "Answer: (C)", False),  # only the first word counts
        ("mvbench", "", True),  # is part of "(c)"
        ("mvbench", "(A) red", False),
        ("egoschema", "E", True),
        ("egoschema", "(E) orange", True),
        ("egoschema", "A", False),
        ("nextqa", "C", True),
        ("nextqa", "C. orange", True),
        ("nextqa", "D", False),
    ],
)
def test_official_rules(name: str, text: str, right: bool) -> None:
    assert load_benchmark(name).official(SAMPLES[name][0], text) is right


def test_official_rules_follow_the_rotation() -> None:
    benchmark, sample = load_benchmark("videomme"), SAMPLES["videomme"][0]
    assert benchmark.official(sample.rotated(3), "A") is True
    assert benchmark.official(sample.rotated(3), "D") is False


def test_egoschema_submission_shows_what_was_not_read() -> None:
    one, other = SAMPLES["egoschema"]
    name, text = load_benchmark("egoschema").submission([(one, 4), (other, None)]) or ("", "")
    assert name == "egoschema_submission.csv"
    assert text == ("q_uid,answer\n00000000-11cb-497d-8d07-77c3a8127391,4\n00000002-11cb-497d-8d07-77c3a8127391,-1\n")


Rows = list[dict[str, Any]]


def read(path: Path) -> Rows:
    if path.suffix == ".parquet":
        rows: Rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = json.loads(path.read_text())
    return rows


def write(path: Path, rows: Rows) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows) if rows else pq.read_table(path).slice(0, 0), path)
    elif path.suffix == ".csv":
        names = list(rows[0]) if rows else list(read(path)[0])
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text(json.dumps(rows))


FILES = {
    "videomme": "videomme/test-00000-of-00001.parquet",
    "mvbench": "json/object_existence.json",
    "egoschema": "questions.json",
    "nextqa": "val.csv",
}
FIELDS = {
    "videomme": ["videoID", "question_id", "question", "options", "answer", "duration", "domain", "task_type"],
    "mvbench": ["video", "question", "candidates", "answer"],
    "egoschema": ["q_uid", "question", "option 0", "option 4"],
    "nextqa": ["video", "question", "answer", "qid", "type", "a0", "a4"],
}
WRONG = [
    ("videomme", "answer", "E", "expected a letter from A to D"),
    ("videomme", "answer", "", "expected text"),
    ("videomme", "options", ["red", "green"], "expected options with their letters"),
    ("videomme", "options", ["B. red", "A. green"], "expected options with their letters"),
    ("videomme", "options", [], "expected a list of texts"),
    ("mvbench", "answer", "sideways", "expected one of its options"),
    ("mvbench", "candidates", "left or right", "expected a list of texts"),
    ("egoschema", "option 2", None, "expected text"),
    ("egoschema", "question", ["why"], "expected text"),
    ("nextqa", "answer", "5", "expected an index of its 5 options"),
    ("nextqa", "answer", "1.5", "expected a whole number"),
    ("nextqa", "type", "XY", "expected one that starts with C, T or D"),
    ("nextqa", "a3", "  ", "expected text"),
]


@pytest.fixture
def copy(
    request: pytest.FixtureRequest, miniature_folder: Callable[[str], Path], tmp_path: Path
) -> Callable[[str], Path]:
    """A copy of a miniature's annotations, to be damaged; returns the file that `FILES` names."""

    def made(name: str) -> Path:
        videos = shutil.ignore_patterns("*.mp4", "*.jpg")
        shutil.copytree(miniature_folder(name), tmp_path / name, ignore=videos)
        return tmp_path / name / FILES[name]

    return made


def refused(name: str, path: Path, *said: str) -> None:
    """Reading fails with one error that names the file and says this."""
    benchmark = load_benchmark(name)
    with pytest.raises(UserError) as error:
        list(benchmark.samples(next(p for p in path.parents if p.name == name), benchmark.splits[0]))
    for part in (path.name, *said):
        assert part in str(error.value)


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in FIELDS.items() for field in fields])
def test_a_missing_field_is_named(name: str, field: str, copy: Callable[[str], Path]) -> None:
    path = copy(name)
    write(path, [{k: v for k, v in row.items() if k != field} for row in read(path)])
    refused(name, path, f"has no field '{field}'")


@pytest.mark.parametrize(("name", "field", "value", "said"), WRONG)
def test_a_wrong_field_is_named(name: str, field: str, value: Any, said: str, copy: Callable[[str], Path]) -> None:
    path = copy(name)
    rows = read(path)
    rows[0][field] = value
    write(path, rows)
    refused(name, path, f"{field} is ", said)


@pytest.mark.parametrize("name", ["videomme", "egoschema", "nextqa"])
def test_two_questions_of_one_id_are_refused(name: str, copy: Callable[[str], Path]) -> None:
    path = copy(name)
    write(path, [*read(path), read(path)[0]])
    refused(name, path, "Two questions have the id")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(name: str, copy: Callable[[str], Path]) -> None:
    path = copy(name)
    path.unlink()
    refused(name, path, "--data must name the folder")


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_such_files_are_refused(name: str, copy: Callable[[str], Path]) -> None:
    path = copy(name)
    path.write_bytes('[{"video": "Zoë.mp4"}]'.encode("latin-1"))
    refused(name, path, "no Parquet file" if path.suffix == ".parquet" else "is not UTF-8", "Fetch it again")


@pytest.mark.parametrize("name", ["mvbench", "egoschema"])
def test_broken_json_is_refused(name: str, copy: Callable[[str], Path]) -> None:
    path = copy(name)
    path.write_text(path.read_text()[:-5])
    refused(name, path, "is not JSON")
    path.write_text('{"video": "a.mp4"}')
    refused(name, path, "expected a list of questions")
    path.write_text('["a.mp4"]')
    refused(name, path, "entry 1", "expected a row of named fields")


@pytest.mark.parametrize("name", FILES)
def test_no_questions_are_refused(name: str, copy: Callable[[str], Path]) -> None:
    path = copy(name)
    write(path, [])
    if name == "egoschema":
        write(path.with_name("subset_answers.json"), {})  # type: ignore[arg-type]
    refused(name, path, "No questions in")


@pytest.mark.parametrize(("start", "end"), [(None, 4.0), (0.0, None), (3.0, 3.0), (-1.0, 2.0), ("soon", 2.0)])
def test_mvbench_needs_the_segments_of_its_tasks(start: Any, end: Any, copy: Callable[[str], Path]) -> None:
    path = copy("mvbench").with_name("action_sequence.json")
    write(path, [{**read(path)[0], "start": start, "end": end}])
    refused("mvbench", path, "expected seconds")


def test_mvbench_uses_no_other_segments(copy: Callable[[str], Path]) -> None:
    path = copy("mvbench")
    write(path, [{**read(path)[0], "start": 1.0, "end": 2.0}])
    found = {s.id: s.clip for s in load_benchmark("mvbench").samples(path.parents[1], "test")}
    assert (found["object_existence/0"].start, found["object_existence/0"].end) == (None, None)
    assert len(found) == len(TASKS)


def test_egoschema_answers_must_fit(copy: Callable[[str], Path]) -> None:
    questions = copy("egoschema")
    path = questions.with_name("subset_answers.json")
    answers = json.loads(path.read_text())
    uid = next(iter(answers))
    path.write_text(json.dumps({**answers, uid: 5}))
    refused("egoschema", path, uid, "expected an index of its 5 options, 0 to 4")
    path.write_text(json.dumps({**answers, "no-such-question": 1}))
    refused("egoschema", path, "no-such-question")
    path.write_text("[]")
    refused("egoschema", path, "got list")


def test_nextqa_map_must_know_every_video(copy: Callable[[str], Path]) -> None:
    path = copy("nextqa").with_name("map_vid_vidorID.json")
    path.write_text('{"4010069381": "1106/4010069381"}')
    refused("nextqa", path, "has no field '4882821564'")
