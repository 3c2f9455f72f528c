"""A whole job with vLLM as the engine, on a real local Ray."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipelines.cli import answer
from pipelines.cli.options import GenerationOptions, ModelOptions, WorkerOptions
from pipelines.results.journal import read_rows

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (the extra `vllm`)")


@pytest.mark.parametrize("split_llm", [False, True])
def test_rows_are_those_of_the_built_in_engine(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split_llm: bool
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    questions = [
        {"id": f"{i}.{q}", "video": str(clips / f"clip{i}.mp4"), "question": "Which way does it move?" + "?" * q}
        for i in range(3)
        for q in range(i + 1)
    ]
    manifest = tmp_path / "questions.jsonl"
    manifest.write_text("".join(json.dumps(q) + "\n" for q in questions))
    told = []
    for engine in ("builtin", "vllm"):
        job = answer.AnswerOptions(
            inputs=(str(manifest),),
            output=tmp_path / engine,
            model=ModelOptions(model="tiny-stc", engine=engine, device="cpu"),
            generation=GenerationOptions(max_new_tokens=12),
            workers=WorkerOptions(split_llm=split_llm, num_decoders=1),
        )
        answer.main(job)
        rows = read_rows(tmp_path / engine)
        told.append({r["id"]: (r["status"], r["answer"], r["finish_reason"], r["prompt"]) for r in rows})
    assert told[0] == told[1]
    assert len(told[1]) == 6
    assert {status for status, *_ in told[1].values()} == {"ok"}
    assert json.loads((tmp_path / "vllm" / "run.json").read_text())["config"]["engine"] == "vllm"
