"""Whole evals: official folders in, hand-counted scores out; missing videos, rotations, subtitles, comparisons."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import eval as evals
from pipelines.cli import main as cli
from pipelines.cli import score
from pipelines.evals.benchmarks import BENCHMARKS
from pipelines.evals.score_tables import figure_name
from pipelines.evals.scores import ScoredRun, score_run
from pipelines.results.journal import read_rows
from tests.support.miniatures import MINIATURES
from videollm.errors import UserError
from videollm.prompts.subtitles import read_subtitles

SCORES: dict[str, tuple[int, dict[str, float]]] = {
    "videomme": (6, {"accuracy": 2 / 6, "accuracy, compat": 2 / 6}),
    "mvbench": (20, {"accuracy, mean over task": 5 / 20, "accuracy": 5 / 20, "accuracy, compat": 5 / 20}),
    "egoschema": (2, {"accuracy": 0 / 2, "accuracy, compat": 0 / 2}),
    "nextqa": (4, {"accuracy": 0 / 4, "accuracy, compat": 0 / 4}),
    "mlvu": (7, {"accuracy, mean over question_type": 4 / 7, "accuracy": 4 / 7, "accuracy, compat": 4 / 7}),
    "longvideobench": (3, {"accuracy": 2 / 3, "accuracy, compat": 2 / 3}),
    "lvbench": (3, {"accuracy": 0 / 3, "accuracy, compat": 0 / 3}),
    "perception_test": (3, {"accuracy": 2 / 3, "accuracy, compat": 2 / 3}),
    "tempcompass": (6, {"accuracy": 0 / 6, "accuracy, compat": 0 / 6}),
    "activitynet_qa": (3, {"exact": 0 / 3, "f1": 0 / 3}),
    # "a red circle grows on a black background" for "a red circle grows" and "a circle gets bigger": the longest common
    # subsequence is 4 words of 8 and of 4, so that P = 1/2, R = 1, F = 2.44 P R / (R + 1.44 P) = 0.7093; and so on.
    "msrvtt": (2, {"ROUGE-L": (0.7093 + 0.4368) / 2}),
    "vatex": (1, {"ROUGE-L": 0.5942, "CIDEr-D": 0.0}),
    # Asked for seconds, the embedded model names a colour: no span is read.
    "charades_sta": (3, {"mIoU": 0.0, "R@0.3": 0.0, "R@0.5": 0.0, "R@0.7": 0.0, "IoP": 0.0}),
    "qvhighlights": (2, {"mIoU": 0.0, "R@0.3": 0.0, "R@0.5": 0.0, "R@0.7": 0.0, "IoP": 0.0}),
    "cg_bench": (2, {"accuracy": 1 / 2}),
    "shapes": (7, {"accuracy": 6 / 7, "accuracy, compat": 6 / 7}),
    "longshapes": (11, {"accuracy": 4 / 11, "mIoU": 0.0}),
}
"""Benchmark -> questions of its miniature, and scores counted by hand from tiny-stc's answers.

It knows few letters: most lettered answers are B or C. Of 7 answers in words one is wrong: `bottom right` for `bottom`.
"""


WITH_SUBTITLES = "fFjv93ACGo8"
"""The one video of Video-MME's miniature that has some."""


def job(benchmark: str, output: Path, **options: Any) -> evals.EvalOptions:
    return evals.EvalOptions(benchmark=benchmark, output=output, **options)


def headline(run: ScoredRun) -> dict[str, float]:
    """Scores over all questions by name."""
    overall = [s for s in run.scores if s.grouping is None and not (s.rule == "compat" and s.macro)]
    return {figure_name(s) + (", compat" if s.rule == "compat" else ""): s.over_all.mean for s in overall}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A benchmark's miniature folder; not to be changed."""
    made: dict[str, Path] = {}

    def find(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            MINIATURES[name](made[name])
        return made[name]

    return find


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_from_its_official_files_to_its_scores(
    name: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    evals.main(job(name, tmp_path / "out", data=folder(name)))
    num_questions, expected = SCORES[name]
    run = score_run(tmp_path / "out")
    assert len(run.items) == num_questions
    assert {i.row and i.row["status"] for i in run.items} == {"ok"}
    assert expected == {k: pytest.approx(v, abs=1e-4) for k, v in headline(run).items() if k in expected}
    kept = json.loads((tmp_path / "out" / "scores.json").read_text())["scores"]
    assert [s["over_all"]["mean"] for s in kept] == [s.over_all.mean for s in run.scores]


@pytest.fixture(scope="module")
def all_ways(folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Video-MME without and with subtitles, all rotations; one video broken, one gone."""
    data = tmp_path_factory.mktemp("videomme") / "data"
    shutil.copytree(folder("videomme"), data)
    broken, gone = (v for v in sorted((data / "data").iterdir()) if v.stem != WITH_SUBTITLES)
    broken.write_bytes(broken.read_bytes()[:500])
    gone.unlink()
    output = data.parent / "out"
    evals.main(job("videomme", output, data=data, subtitles="both", circular=True))
    return output


def test_a_video_is_decoded_once_for_all_ways_of_asking(all_ways: Path) -> None:
    rows = {r["id"]: r for r in read_rows(all_ways)}
    assert len(rows) == 6 * 2 * 4
    session = json.loads((all_ways / "run.json").read_text())["sessions"][-1]
    assert session["clips"] == 3
    good = [r for r in rows.values() if r["status"] == "ok"]
    assert len(good) == 2 * 2 * 4
    assert len({r["video"] for r in good}) == 1
    assert len({(tuple(r["frame_indices"]), r["video_hash"]) for r in good}) == 1
    one = next(r["id"] for r in good if "+" not in r["id"])
    options = [line for line in rows[one]["question"].splitlines() if line[:3] in ("A. ", "B. ", "C. ", "D. ")]
    moved = [line for line in rows[f"{one}+r1"]["question"].splitlines() if line[:3] in ("A. ", "B. ", "C. ", "D. ")]
    assert [m[3:] for m in moved] == [o[3:] for o in options[1:] + options[:1]]


def test_what_failed_is_wrong_and_stays_in_the_scores(all_ways: Path) -> None:
    run = score_run(all_ways)
    for setting in ("plain", "subtitles"):
        assert run.statuses(setting) == {"ok": 2, "no_video": 2, "not_found": 2}
        first = next(s for s in run.scores if s.setting == setting)
        assert (first.over_all.num, first.over_all.num_clusters) == (6, 3)
        assert first.over_answered is not None
        assert first.over_answered.num == 2
        assert first.over_all.mean == pytest.approx(first.over_answered.mean * 2 / 6)
        assert {s.metric for s in run.scores if s.rule == "strict"} == {"accuracy", "circular", "mean over rotations"}
    for item in run.items:
        assert item.grade.strict["circular"] <= item.grade.strict["accuracy"]


def test_subtitles_are_those_of_the_frames(all_ways: Path, folder: Callable[[str], Path]) -> None:
    heading = "This video's subtitles are listed below:"
    cues = read_subtitles(folder("videomme") / "subtitle" / f"{WITH_SUBTITLES}.srt")
    rows = [r for r in read_rows(all_ways) if r["status"] == "ok"]
    for row in rows:
        seen = [c.text for c in cues if any(c.start <= s < c.end for s in row["frame_seconds"])]
        shown = [heading, *seen] if "+subtitles" in row["id"] else []
        before = row["prompt"].partition("<video>\n")[2].partition("Select the best answer")[0]
        assert before.splitlines() == shown
    assert any(heading in r["prompt"] for r in rows)


def test_scoring_again_needs_no_model_and_no_data(all_ways: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (all_ways / "scores.json").read_bytes()
    (all_ways / "scores.json").unlink()
    score.main(score.ScoreOptions(output=all_ways))
    assert (all_ways / "scores.json").read_bytes() == before
    printed = capsys.readouterr().out
    assert "no_video" in printed
    assert "circular" in printed


def test_a_finished_eval_does_nothing_and_a_changed_one_is_refused(
    all_ways: Path, folder: Callable[[str], Path]
) -> None:
    rows = list(read_rows(all_ways))
    data = all_ways.parent / "data"
    evals.main(job("videomme", all_ways, data=data, subtitles="both", circular=True))
    assert list(read_rows(all_ways)) == rows
    with pytest.raises(UserError, match="circular: was true, now false"):
        evals.main(job("videomme", all_ways, data=data, subtitles="both"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "train"}, "--split is 'train'; videomme has test"),
        ({"data": None}, "needs --data"),
        ({"data": Path("nowhere")}, "expected a folder"),
        ({"benchmark": "videommee"}, "No benchmark 'videommee'; expected one of videomme, "),
        ({"benchmark": "nextqa"}, "has none of val.csv, "),
        ({"benchmark": "egoschema", "subtitles": "on"}, "no question of egoschema comes with subtitles"),
        ({"judge": "org/judge@main"}, "no open-ended answers to judge"),
    ],
)
def test_what_cannot_run_is_one_clear_error(
    options: dict[str, Any], message: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data = folder("egoschema" if "subtitles" in options else "videomme")
    with pytest.raises(UserError, match=message):
        evals.main(job(**{"benchmark": "videomme", "output": tmp_path / "out", "data": data, **options}))
    assert not (tmp_path / "out").exists()


OWN = """
from pipelines.evals.benchmarks import Benchmark, Clip, Sample

class Odd(Benchmark):
    groups = ("room",)
    def files(self, folder, split): return []
    def samples(self, folder, split):
        yield Sample(id="a", clip=Clip(video=str(folder / "a.mp4")), question="Which?", **{"options": ("x", "y"),
                     "answer": 1, "groups": {"room": "hall"}, %s})
"""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ('"groups": {}', "has no group 'room'"),
        ('"options": ()', "has 0 options, expected 1 to 26"),
        ('"answer": 2', "has answer 2, expected the index of one of its options"),
        ('"answer": "y"', "has answer 'y', expected the index"),
    ],
)
def test_a_class_of_ones_own_is_checked_before_anything_runs(fields: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(OWN % fields)
    with pytest.raises(UserError, match=message):
        evals.main(job(f"{tmp_path / 'odd.py'}:Odd", tmp_path / "out", data=tmp_path))
    assert not (tmp_path / "out").exists()


def test_an_id_that_is_that_of_a_variant_is_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    video = str(next((folder("shapes")).glob("*.mp4")))
    rows = [
        {"id": i, "video": video, "question": "Which?", "options": ["x", "y"], "answer": "x"} for i in ("a", "a+r1")
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(UserError, match=r"The id 'a\+r1' is also that of a variant"):
        evals.main(job(str(tmp_path / "own.jsonl"), tmp_path / "out", circular=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"judge": "org/judge"}, "not pinned"), ({"circular": True}, "no question of activitynet_qa shows any")],
)
def test_what_open_questions_cannot_have_is_told_before_the_run(
    options: dict[str, Any], message: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        evals.main(job("activitynet_qa", tmp_path / "out", data=folder("activitynet_qa"), **options))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_any_of_the_videos_is_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(folder("videomme"), tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "data")
    with pytest.raises(UserError, match="None of the 3 videos is there"):
        evals.main(job("videomme", tmp_path / "out", data=tmp_path / "data"))


def test_two_models_on_a_table_of_ones_own(
    folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (folder("shapes") / "questions.jsonl").read_text().splitlines()]
    table = folder("shapes") / "own.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("video", "question", "answer"), *((r["video"], r["question"], r["answer"]) for r in rows)]
        )
    for model in ("tiny-stc", "tiny-resampler3d"):
        cli.main(["eval", str(table), "-o", str(tmp_path / model), "--model", model])
    table.unlink()  # what is scored is what was asked
    capsys.readouterr()
    cli.main(["compare-runs", str(tmp_path / "tiny-stc"), str(tmp_path / "tiny-resampler3d")])
    printed = capsys.readouterr().out
    assert "model.name" in printed
    assert "tiny-resampler3d" in printed
    assert "plain, exact: 7 questions of 2 videos that both runs have" in printed
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compare-runs", str(tmp_path / "tiny-stc"), str(tmp_path / "tiny-resampler3d"), "--metric", "bleu"])
    assert stopped.value.code == 2
    assert "has no strict score 'bleu'; it has exact, f1" in capsys.readouterr().err
