"""Parity with the official code, on whole tiny checkpoints and real clips."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import videollm
from pipelines.cli import main as cli
from tests.support.official import Golden, clip
from videollm.engines import packing as fuse
from videollm.models.protocol import Visual
from videollm.types import Clip, Generation, Request
from videollm.video.sampling import Sampling

OTHERS = ("sample_demo_9.mp4", "video_90.mov", "sample_demo_1.mp4")
GREEDY = Generation(max_new_tokens=24)
GREEDY_FLAGS = ("--max-new-tokens", "24", "--temperature", "0", "--repetition-penalty", "1")
"""Instead of the checkpoint's own settings, which sample."""


@cache
def official_tolerance(golden: Golden) -> float:
    """Distance from the golden visual tokens to exact arithmetic (float64), where that is more than 1e-5.

    The golden tokens are float32 of one machine: that of another cannot be asked to come nearer to them than the truth.
    """
    exact = deepcopy(golden.model).double().encode([golden.decode()])[0].tokens
    expected = golden.tensors["visual_tokens"].flatten(0, 1)
    return max(1e-5, float((exact - expected).abs().max() / expected.abs().max()))


def near(made: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Within a tolerance that counts from the largest value."""
    return made.shape == expected.shape and float((made - expected).abs().max() / expected.abs().max()) < tolerance


def official_ids(golden: Golden, visual: Visual) -> list[int]:
    """Our ids as the official code writes them: one -201 a video, or one <unk> a visual token."""
    ids, _ = golden.model.prompt(golden.facts["question"], visual.layout)
    if "prompt" not in golden.facts:
        return [261 if i == fuse.VISUAL else i for i in ids]
    kept = [i for n, i in enumerate(ids) if i != fuse.VISUAL or ids[n - 1] != fuse.VISUAL]
    return [-201 if i == fuse.VISUAL else i for i in kept]


def logits(golden: Golden, visual: Visual) -> Tensor:
    llm = golden.model.llm
    ids, _ = golden.model.prompt(golden.facts["question"], visual.layout)
    with torch.inference_mode():
        embeds = fuse.embed(torch.tensor([ids]), [visual.tokens], llm.get_input_embeddings())
        made: Tensor = llm(inputs_embeds=embeds).logits
    return made


def test_frames_and_pixels_are_exact(golden: Golden) -> None:
    batch = golden.decode()
    assert list(batch.indices) == golden.tensors["frame_indices"].tolist()
    pictures = golden.model.transform.groups(batch)[0].pictures
    pixels = golden.model.transform.pixels(pictures)
    if "pixel_values" in golden.tensors:
        assert torch.equal(pixels, golden.tensors["pixel_values"])
    else:
        strips = pixels[0].unfold(1, 14, 14).unfold(2, 14, 14).permute(0, 3, 1, 2, 4).flatten(2)
        assert torch.equal(strips, golden.tensors["first_frame_pixels"])


def test_temporal_ids_and_grids_are_exact(minicpmv: Golden) -> None:
    batch = minicpmv.decode()
    groups = minicpmv.model.transform.groups(batch)
    ids = [[int(s / 0.1) for s in g.seconds] for g in groups]
    assert ids == json.loads(minicpmv.facts["temporal_ids"])
    grids = [minicpmv.model.tower.grid(*g.pictures.shape[1:3]) for g in groups for _ in g.pictures]
    assert [list(g) for g in grids] == minicpmv.tensors["tgt_sizes"].tolist()


def test_visual_tokens_ids_and_logits(golden: Golden) -> None:
    visual = golden.model.encode([golden.decode()])[0]
    assert near(visual.tokens, golden.tensors["visual_tokens"].flatten(0, 1), official_tolerance(golden))
    assert official_ids(golden, visual) == golden.tensors["input_ids"][0].tolist()
    if "prompt" in golden.facts:
        assert golden.model.prompt(golden.facts["question"], visual.layout)[1] == golden.facts["prompt"]
    expected = golden.tensors.get("logits", golden.tensors.get("last_logits"))
    assert expected is not None
    assert near(logits(golden, visual)[:, -expected.shape[1] :], expected, 1e-4)


def test_greedy_answer(golden: Golden) -> None:
    answer = golden.model.answer(golden.decode(), golden.facts["question"], generation=GREEDY)
    assert answer.text == golden.facts["answer"].strip()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_batches_of_different_clips_equal_single_clips(golden: Golden, size: int) -> None:
    own = asdict(golden.model.sampling)
    sampling = Sampling.from_dict({**own, "choose_fps": 0.5, "force_packing": size})
    batches = [golden.decode(), *(golden.decode(name, sampling=sampling) for name in OTHERS[: size - 1])]
    single = [golden.model.encode([b])[0] for b in batches]
    batched = golden.model.encode(batches)
    requests = [Request(id="0", clip=Clip(video=""), question=golden.facts["question"])]
    answers = golden.model.answer_batch([(v, requests) for v in batched], GREEDY)
    for alone, together, answer in zip(single, batched, answers, strict=True):
        assert alone.layout == together.layout
        assert near(together.tokens, alone.tokens, 1e-5)
        assert answer == golden.model.answer_batch([(alone, requests)], GREEDY)[0]
    assert near(batched[0].tokens, golden.tensors["visual_tokens"].flatten(0, 1), official_tolerance(golden))
    assert answers[0][0].text == golden.facts["answer"].strip()


def test_a_saved_model_is_the_same_model(golden: Golden, tmp_path: Path) -> None:
    golden.model.save(tmp_path)
    again = videollm.load(tmp_path, device="cpu")
    batch = golden.decode(sampling=Sampling.from_dict({**asdict(golden.model.sampling), "choose_fps": 0.5}))
    assert torch.equal(again.encode([batch])[0].tokens, golden.model.encode([batch])[0].tokens)
    assert (again.prompt.system, again.generation) == (golden.model.prompt.system, golden.model.generation)


def test_through_the_command_line(golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    packing = ["--packing", golden.facts["force_packing"]] if "force_packing" in golden.facts else []
    video, question = str(clip(golden.facts["video"])), golden.facts["question"]
    options = ["--model", str(golden.folder), "--device", "cpu", *GREEDY_FLAGS, *packing]
    cli.main(["ask", video, question, *options])
    assert capsys.readouterr().out.strip() == golden.facts["answer"].strip()


def test_through_a_batch_job(golden: Golden, tmp_path: Path) -> None:
    row = {"id": "golden", "video": str(clip(golden.facts["video"])), "question": golden.facts["question"]}
    (tmp_path / "questions.jsonl").write_text(json.dumps(row) + "\n")
    packed = "force_packing" in golden.facts
    packing = ["--packing", golden.facts["force_packing"], "--split-llm"] if packed else []
    options = ["--model", str(golden.folder), "--device", "cpu", "--format", "jsonl", *GREEDY_FLAGS, *packing]
    cli.main(["answer", str(tmp_path / "questions.jsonl"), "-o", str(tmp_path / "out"), *options])
    (shard,) = (tmp_path / "out").glob("part-*.jsonl")
    (made,) = (json.loads(line) for line in shard.read_text().splitlines())
    assert (made["status"], made["answer"]) == ("ok", golden.facts["answer"].strip())
    assert made["frame_indices"] == golden.tensors["frame_indices"].tolist()
    assert made["num_visual_tokens"] == golden.tensors["visual_tokens"].flatten(0, 1).shape[0]
