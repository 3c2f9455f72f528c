"""A machine with neither PyAV nor decord encodes frames that were decoded elsewhere, and answers on them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

BLOCKED = """
import importlib, pkgutil, sys

sys.modules["av"] = sys.modules["decord"] = None
names = ["connectors", *(f"videollm.{room}" for room in ROOMS)]
for name in names:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if module.name != "videollm.engines.vllm_penalty":  # imports vLLM, which is an extra
            importlib.import_module(module.name)

import numpy as np
import videollm
from videollm.types import FrameBatch

model = videollm.load("tiny-stc", device="cpu")
frames = np.zeros((4, 48, 48, 3), np.uint8)
batch = FrameBatch(frames=frames, indices=(0, 1, 2, 3), seconds=(0.0, 0.5, 1.0, 1.5))
answer = model.answer(batch, "Describe the video.")
assert answer.text and answer.frame_seconds == batch.seconds, answer
try:
    model.decode(__file__)
except videollm.VideoError as error:
    assert error.status == "missing_dependency", error
    print(error)
"""
ROOMS = ("models", "engines", "checkpoints", "features", "vision", "prompts", "video.sampling", "video.preprocessing")


def test_a_machine_without_decoders_encodes_and_answers(tmp_path: Path) -> None:
    script = tmp_path / "blocked.py"
    script.write_text(BLOCKED.replace("ROOMS", repr(ROOMS)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "The decoder auto needs a package that is missing" in done.stdout
    assert "pip install av" in done.stdout
