"""A judge behind a real server on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.evals.benchmark import Sample
from pipelines.evals.judge import JUDGEMENTS, SYSTEM, find_judge, judge_answers
from tests.support.openai_server import Body, OpenAIServer, Say, question_of, refusal
from videollm.errors import UserError
from videollm.types import Clip

ASKED = [
    (Sample(id=str(i), clip=Clip(video="v.mp4"), question=f"question {i}", answer=("red",)), f"prediction {i}")
    for i in range(20)
]


def answer(body: Body, before: int) -> Say:
    if "prediction 3\n" in question_of(body):
        return refusal("filtered")
    if "prediction 4\n" in question_of(body) and before == 0:
        return Say(code=429, body={}, headers={"Retry-After": "0.05"})
    return Say(text="{'pred': 'yes', 'score': 4}")


def test_verdicts_are_asked_for_once_and_kept(tmp_path: Path) -> None:
    with OpenAIServer(answer) as server:
        verdicts = judge_answers(tmp_path, f"openai:judge@{server.url}", ASKED)
        assert [v["judge"] for v in verdicts] == [0.0 if i == 3 else 1.0 for i in range(20)]
        assert verdicts[3]["unparsed judge"] == 1
        assert server.bodies[0]["messages"][0] == {"role": "system", "content": SYSTEM}
        assert [part["type"] for part in server.bodies[0]["messages"][1]["content"]] == ["text"]
        assert len(server.bodies) == 21
        assert judge_answers(tmp_path, f"openai:judge@{server.url}", ASKED) == verdicts
        assert len(server.bodies) == 21


def test_a_server_that_does_not_answer_is_no_verdict(tmp_path: Path) -> None:
    with OpenAIServer(lambda body, before: refusal("no key", code=401)) as server:
        with pytest.raises(UserError, match=r"cannot be asked: HTTP 401: no key What was judged is kept"):
            judge_answers(tmp_path, f"openai:judge@{server.url}", ASKED)
        assert not (tmp_path / JUDGEMENTS).read_text().strip()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai:judge", "no address: expected openai:judge@http"),
        ("openai:judge@host", "--base-url is 'host'"),
        ("openai:@http://h/v1", "expected openai:NAME"),
    ],
)
def test_judges_that_are_not_named_in_full(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_judge(name)
