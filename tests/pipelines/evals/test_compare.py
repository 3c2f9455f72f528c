import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipelines.evals.compare import Point, compare
from pipelines.evals.statistics.bootstrap import difference, estimate
from pipelines.evals.statistics.significance import holm
from videollm.errors import UserError


def run(values: Sequence[float], *, tasks: str = "cco") -> list[Point]:
    """Three questions a video: of task count, count and order; every second video is long."""
    names = {"c": "count", "o": "order"}
    return [
        Point(
            id=f"q{i:02}",
            cluster=f"v{i // 3}",
            groups={"task": names[tasks[i % 3]], "duration": "long" if i // 3 % 2 else "short"},
            value=value,
        )
        for i, value in enumerate(values)
    ]


A = run([1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1])
B = run([1, 1, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1])


def test_overall() -> None:
    found = compare(A, B)
    clusters = [p.cluster for p in A]
    values_a, values_b = [p.value for p in A], [p.value for p in B]
    assert found.difference == difference(values_a, values_b, clusters)
    assert (found.a, found.b) == (estimate(values_a, clusters), estimate(values_b, clusters))
    assert (found.gained, found.lost) == (("q01", "q05", "q06"), ("q10",))
    assert (found.only_a, found.only_b, found.groups) == ((), (), {})


def test_groups_are_compared_each_with_holm_within_a_grouping() -> None:
    found = compare(A, B, group_by=["task", "duration"])
    assert {name: [g.value for g in groups] for name, groups in found.groups.items()} == {
        "task": ["count", "order"],
        "duration": ["long", "short"],
    }
    for name, groups in found.groups.items():
        for group in groups:
            ids = [i for i, p in enumerate(A) if p.groups[name] == group.value]
            expected = difference([A[i].value for i in ids], [B[i].value for i in ids], [A[i].cluster for i in ids])
            assert group.difference == expected
            assert group.mean_b - group.mean_a == pytest.approx(expected.mean)
        assert [g.adjusted_p for g in groups] == holm([g.difference.p for g in groups])


def test_macro_mean_weighs_groups_alike() -> None:
    found = compare(A, B, macro="task")
    # count: A 5 of 8, B 6 of 8; order: A 1 of 4, B 2 of 4
    assert (found.a.mean, found.b.mean) == ((5 / 8 + 1 / 4) / 2, (6 / 8 + 2 / 4) / 2)
    assert found.difference.mean == pytest.approx((1 / 8 + 1 / 4) / 2)
    assert compare(A, B).difference.mean == pytest.approx(2 / 12)


def test_questions_of_one_run_only_are_counted_and_left_out() -> None:
    found = compare(A[1:], B[:-2])
    assert (found.only_a, found.only_b) == (("q10", "q11"), ("q00",))
    assert found.difference == compare(A[1:-2], B[1:-2]).difference
    text = "\n".join(table.text() for table in found.tables())
    assert "9 questions of 4 videos that both runs have" in text
    assert [line.split() for line in text.splitlines() if "left out" in line] == [
        ["questions", "only", "in", "A,", "left", "out", "2"],
        ["questions", "only", "in", "B,", "left", "out", "1"],
    ]


def test_order_of_rows_changes_nothing() -> None:
    shuffled_a, shuffled_b = A[:], B[:]
    random.Random(0).shuffle(shuffled_a)
    random.Random(1).shuffle(shuffled_b)
    settings = {"group_by": ["task"], "macro": "task"}
    assert compare(shuffled_a, shuffled_b, **settings) == compare(A, B, **settings)  # type: ignore[arg-type]


def test_exchanging_the_runs_turns_the_sign() -> None:
    one, other = compare(A, B), compare(B, A)
    assert one.difference.mean == -other.difference.mean
    assert (one.gained, one.lost) == (other.lost, other.gained)
    assert one.difference.mcnemar_p == other.difference.mcnemar_p


def test_tables() -> None:
    means, changes, tasks = compare(A, B, group_by=["task"], macro="task").tables()
    assert means.title == "12 questions of 4 videos that both runs have, mean over task"
    assert [row[:2] for row in means.rows] == [["A", "43.8"], ["B", "62.5"], ["B - A", "+18.8"]]
    assert dict(changes.rows)["questions on which B scores higher"] == "3"
    assert dict(changes.rows)["questions on which B scores lower"] == "1"
    assert dict(changes.rows)["McNemar's p, questions taken for independent"] == "0.6250"
    assert tasks.title == "By task; Holm p: corrected over 2 groups"
    assert [row[:6] for row in tasks.rows] == [
        ["count", "8", "4", "62.5", "75.0", "+12.5"],
        ["order", "4", "4", "25.0", "50.0", "+25.0"],
    ]


def test_tables_of_one_video_show_dashes() -> None:
    means, changes, tasks = compare(A[:1], B[:1], group_by=["task"]).tables()
    assert [row[2] for row in means.rows] == ["-", "-", "-"]
    assert dict(changes.rows)["smallest difference found with 80% power"] == "-"
    assert tasks.rows[0][6] == "-"


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        ([], B, "no question in common: A has none, B has 'q00'"),
        (A[:2], B[2:], "A has 'q00', 'q01', B has 'q02', 'q03', 'q04' and 7 more"),
        ([*A, A[3]], B, "Run A has several scores of 'q03', expected one"),
        (A, [*B, *B], "Run B has several scores of 'q00', 'q01', 'q02' and 9 more, expected"),
        (A, [replace(B[0], cluster="other")], "'q00' is on 'v0' in A and on 'other' in B"),
        (A, run([1] * 12, tasks="oco"), "'q00' is task 'count' in A and 'order' in B"),
        (A, [replace(B[0], groups={"duration": "short"})], r"'q00' has groups by \['duration'\] in both runs"),
    ],
)
def test_runs_that_cannot_be_compared_say_why(a: list[Point], b: list[Point], error: str) -> None:
    with pytest.raises(UserError, match=error):
        compare(a, b, group_by=["task"])
