"""VideoLLaMA3 in the authors' layout: frames of FFmpeg's filter, structure at full size, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.fps_filter import filtered
from tests.support.official import clip, copy, read_golden
from tests.videollm.checkpoints.test_structure import build, llm_names, shapes
from videollm.checkpoints import Options, resolve, videollama3
from videollm.errors import UserError
from videollm.types import Clip
from videollm.video.decoding.decode import decode
from videollm.video.sampling import Sampling, Timeline, sample

CONFIG = {
    "model_type": "videollama3_qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
    "vision_encoder_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
                              "num_attention_heads": 16, "patch_size": 14},
}  # fmt: skip


@pytest.mark.parametrize("name", ["sample_demo_1.mp4", "sample_demo_3.mp4", "flipping_a_pancake.mkv", "av1_video.mkv"])
@pytest.mark.parametrize("fps", [1, 2])
def test_frames_are_those_of_ffmpegs_filter(name: str, fps: int) -> None:
    batch = decode(Clip(video=str(clip(name))), Sampling(policy="fps_filter", choose_fps=fps))
    assert list(zip(batch.indices, batch.model_seconds, strict=True)) == [
        (i, slot / fps) for i, slot in filtered(clip(name), str(fps))
    ]


def test_frames_at_uneven_distances_and_of_short_clips() -> None:
    seconds = np.array([0, 0.4, 0.99, 1.0, 2.5, 2.6])
    uneven = Timeline(num_frames=6, fps=2, duration_seconds=3.2, seconds=seconds)
    policy = Sampling(policy="fps_filter")
    assert sample(policy, uneven).indices == (2, 3, 5)
    assert sample(policy, uneven).snapped_seconds == (0, 1, 2)
    assert sample(policy, uneven, start=1.0, end=2.6).indices == (3,)
    assert sample(policy, uneven, start=1.0).snapped_seconds == (1, 2)
    assert sample(policy, Timeline(num_frames=3, fps=30, duration_seconds=0.1)).indices == (2,)
    long = Timeline(num_frames=10_000, fps=10, duration_seconds=1000)
    made = sample(policy, long)
    assert (len(made.indices), made.indices[0], made.indices[-1]) == (180, 9, 9999)


def test_the_prompt_tells_the_beginnings_of_intervals() -> None:
    golden = read_golden("videollama3_qwen2_tiny")
    batch = golden.model.decode(Clip(video=str(clip(golden.facts["video"])), start=2, end=4))
    text = golden.model.write_prompt(golden.model.encode([batch])[0], "Who?")[2]
    assert "user\nTime 2.0s:<video>,Time 3.0s:<video>\nWho?" in text


def test_full_size() -> None:
    config = videollama3.configure_own(Path("config.json"), CONFIG, {}, {})
    tower = [f"self_attn.{p}_proj" for p in ("q", "k", "v", "out")]
    tower += ["layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"]
    parts = [f"vision_encoder.encoder.layers.{i}.{part}" for i in range(27) for part in tower]
    parts += ["vision_encoder.embeddings.patch_embedding", "vision_encoder.post_layernorm"]
    parts += ["mm_projector.readout.0", "mm_projector.readout.2"]
    names = {f"model.{part}.{leaf}" for part in parts for leaf in ("weight", "bias")}
    names |= llm_names(28, "", biased=True)
    model = build(config)
    made = shapes(model)
    assert {videollama3.rename(name) for name in names} == made.keys()
    assert made["connector.readout.0.weight"] == (3584, 1152)
    assert (model.sampling.policy, model.num_visual_tokens(180, 720, 1280)) == ("fps_filter", 180 * 7 * 12)
    assert model.num_visual_tokens(8, 720, 1280) == 8 * 26 * 46


def test_another_projector_is_refused(tmp_path: Path) -> None:
    folder = copy("videollama3_qwen2_tiny", tmp_path, mm_projector_type="linear")
    with pytest.raises(UserError, match=r"mm_projector_type.*expected"):
        resolve(Options(name=str(folder), device="cpu"))
