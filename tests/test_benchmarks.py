import os
import re
import subprocess
import sys

import gpu
import official_order
import pytest
import torch
from random_models import CASES, Name, build

from tests.support.paths import ROOT

CUT = (
    "--device cpu --dtype float32 --layers 2 --width 32 --sequences 1 2 --asked 2x2 --visual 8 --clips 1 --new-tokens 4"
)
ABSENT = ("av", "ray", "tyro", "decord", "pyarrow", "fsspec")
"""Packages that a bare machine with a GPU need not have."""
WITHOUT = f"""
import sys
for name in {ABSENT}:
    sys.modules[name] = None
import gpu
gpu.main(sys.argv[1:])
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITHOUT, *CUT.split(), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def rows(printed: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]


def test_gpu_runs_cut_down_without_decoders() -> None:
    done = run("--budget-s", "600")
    assert done.returncode == 0, done.stderr
    assert f"torch {torch.__version__}" in done.stdout
    assert "cut-down models" in done.stdout
    made = rows(done.stdout)
    assert [name for i, (name, *_) in enumerate(made[2:]) if made[i + 1][0] != name] == [
        "machine", "decoder", *CASES, "all"
    ]  # fmt: skip
    for _, what, figure, _ in made[2:]:
        if what.startswith("steps"):
            assert figure in ("captured", "ordinary")
            continue
        assert re.match(r"[\d.e+]+ (TFLOP/s|GB/s|GB|tokens/s|frames/s|ms a clip|s$)", figure), (what, figure)
    assert sum(what.endswith(": decode") for _, what, *_ in made) == 3
    assert sum(what == "connector" for _, what, *_ in made) == 2


def test_gpu_leaves_out_what_there_is_no_time_for() -> None:
    done = run("--budget-s", "0", "--parts", "machine", "decoder")
    assert done.returncode == 0, done.stderr
    assert [row[2] for row in rows(done.stdout)].count("left out") == 2


def test_gpu_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(bench: gpu.Bench) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(gpu, "machine", fails)
    with pytest.raises(SystemExit, match=r"^1$"):
        gpu.main([*CUT.split(), "--parts", "machine", "decoder"])
    printed = capsys.readouterr()
    assert ["machine", "failed", "OutOfMemoryError", "see the trace"] in rows(printed.out)
    assert "2 questions x 2 clips: whole" in printed.out
    assert "no room" in printed.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpu_wants_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        gpu.main([])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"No CUDA device here.*--device cpu.*\n", printed.err)


@pytest.mark.parametrize("name", list(CASES)[:2])
def test_official_order_is_exact(name: Name) -> None:
    model = build(name, torch.device("cpu"), torch.float32, layers=1, width=32)
    with torch.inference_mode():
        encoded = model.encode_frames(CASES[name].clips(1))
        ours = torch.cat([part.tokens for part in model.connect(encoded)])
        made = torch.cat(official_order.connect(model.connector, [f for clip in encoded for f in clip.features]))
    torch.testing.assert_close(made, ours, atol=1e-4, rtol=1e-4)
