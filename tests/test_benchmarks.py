import os
import re
import subprocess
import sys

import full_size
import pytest
import torch
from full_size import tower_flops
from random_models import CASES, Name, build
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.support.paths import ROOT

SCRIPT = str(ROOT / "benchmarks" / "full_size.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
CUT = "--device cpu --dtype float32 --layers 2 --width 32 --batches 1 2 --new-tokens 8 --repeats 1"
FIGURE = re.compile(r"-?[\d,]+(\.\d+)?(e[-+]\d+)?%?")


@pytest.mark.slow
def test_full_size_runs_cut_down() -> None:
    done = subprocess.run([sys.executable, SCRIPT, *CUT.split()], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    header, *sections = done.stdout.split("\n\n")
    assert f"torch {torch.__version__}" in header
    assert "cut-down models on this CPU" in header
    assert [s.partition(":")[0] for s in sections] == list(CASES)
    for section in sections:
        rows = [re.split(r"\s{2,}", line.strip()) for line in section.splitlines()[1:-1]]
        labels = [row[0] for row in rows]
        encode, answer = labels.index("encode clips"), labels.index("answer clips")
        assert labels[0] == "matrix product"
        assert encode == 5
        assert labels[encode + 1 : answer] == ["plain 1", "1", "2"]
        assert [row[:2] for row in rows[answer + 1 :]] == [[c, q] for c in ("plain 1", "1", "2") for q in "13"]
        for head, members in ((0, rows[1:encode]), (encode, rows[encode + 1 : answer]), (answer, rows[answer + 1 :])):
            assert all(len(row) == len(rows[head]) and all(map(FIGURE.fullmatch, row[1:])) for row in members)
        tokens = re.search(r"plain loop: 6/6 answers the same \((\d) different ones\)$", section.strip())
        assert tokens, section
        assert int(tokens[1]) > 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_full_size_wants_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        full_size.main([])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"No CUDA device here.*--device cpu.*\n", printed.err)


@pytest.mark.parametrize("name", CASES)
def test_flops_of_the_tower(name: Name) -> None:
    model, side = build(name, torch.device("meta"), torch.bfloat16), CASES[name].side
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.tower(torch.empty(2, 3, side, side, dtype=torch.bfloat16, device="meta"))
    assert counter.get_total_flops() == 2 * tower_flops(model, side)
