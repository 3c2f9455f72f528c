"""Ctrl-C ends a job, and the same command goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.cli import caption
from pipelines.cli.caption import CaptionOptions
from pipelines.cli.options import GenerationOptions, ModelOptions, WorkerOptions
from tests.support.rows import rows_of

DEAF = """
import os, signal
from pipelines.executors.local import Local

class Deaf(Local):
    def run(self, stages, items):
        for finished in super().run(stages, items):
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                pass  # as native code may do that calls back into Python
            yield finished
"""


def test_an_interrupt_that_a_library_loses_ends_the_job(tmp_path: Path, clips: Path, model: str) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)

    def job(executor: str) -> CaptionOptions:
        return CaptionOptions(
            inputs=(str(clips),),
            output=tmp_path / "out",
            model=ModelOptions(model=model),
            generation=GenerationOptions(max_new_tokens=4),
            workers=WorkerOptions(executor=executor),
        )

    with pytest.raises(KeyboardInterrupt):
        caption.main(job(f"{tmp_path / 'deaf.py'}:Deaf"))
    assert json.loads((tmp_path / "out" / "run.json").read_text())["sessions"][-1]["ended"] == "KeyboardInterrupt"
    caption.main(job("local"))
    assert {row["status"] for row in rows_of(tmp_path / "out").values()} == {"ok"}
    assert len(rows_of(tmp_path / "out")) == len(list(clips.glob("*.mp4")))
