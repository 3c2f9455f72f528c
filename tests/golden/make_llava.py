"""Golden checkpoint of LLaVA-Video in the authors' layout: tiny random weights, and what their code makes of a clip.

The code is imported from a checkout of github.com/LLaVA-VL/LLaVA-NeXT, without its __init__ files and with a small
SigLIP in the place of the one that its builder downloads. Needs decord and torchvision beside transformers 5.23:
    HF_HUB_OFFLINE=1 PYTHONPATH=. python tests/golden/make_llava.py CHECKOUT CLIP.mp4 tests/golden/llava_video_tiny
"""

from __future__ import annotations

import copy
import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import decord
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from tests.golden.make import QUESTION, randomise, tokenizer, write
from tests.support import tensors as stored

NUM_FRAMES, SIDE, PATCH = 6, 70, 14
TOWER = {"model_type": "siglip_vision_model", "hidden_size": 48, "intermediate_size": 96, "image_size": SIDE,
         "patch_size": PATCH, "num_hidden_layers": 3, "num_attention_heads": 4}  # fmt: skip
NEWLINES = ("grid", "frame", "one_token", "no_token")
POOLS = ("bilinear", "average", "max")


class Tower(nn.Module):
    """What the authors make of a SigLIP: its last layer and its head are cut off."""

    is_loaded = True

    def __init__(self) -> None:
        super().__init__()
        self.config = SiglipVisionConfig(**TOWER)
        self.vision_tower = SiglipVisionModel(self.config)
        inner = getattr(self.vision_tower, "vision_model", self.vision_tower)
        del inner.encoder.layers[-1:]
        inner.head, inner.use_head = nn.Identity(), False
        self.num_patches_per_side, self.hidden_size = SIDE // PATCH, TOWER["hidden_size"]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the last hidden state, before the last norm."""
        features: torch.Tensor = self.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
        return features


def official(checkout: str) -> tuple[Any, Any, Any, Any]:
    """Import the authors' modules: model, messages, prompts, image processor."""
    for name in ("llava", "llava.model", "llava.model.language_model", "llava.model.multimodal_encoder",
                 "llava.model.multimodal_projector", "llava.model.multimodal_resampler"):  # fmt: skip
        module = types.ModuleType(name)
        module.__path__ = [str(Path(checkout, *name.split(".")))]
        sys.modules[name] = module
    stubs: dict[str, dict[str, Any]] = {
        "llava.utils": {"rank0_print": print, "rank_print": print},
        "llava.model.multimodal_encoder.builder": {"build_vision_tower": lambda *_, **__: Tower()},
        "llava.model.multimodal_resampler.builder": {"build_vision_resampler": lambda *_, **__: nn.Identity()},
    }
    for name, values in stubs.items():
        module = types.ModuleType(name)
        module.__dict__.update(values)
        sys.modules[name] = module
    names = ("model.language_model.llava_qwen", "mm_utils", "conversation", "model.multimodal_encoder.siglip_encoder")
    return tuple(importlib.import_module(f"llava.{name}") for name in names)  # type: ignore[return-value]


def load_video(path: str) -> tuple[Any, list[int], str]:
    """Do what their example does, `force_sample` on."""
    reader = decord.VideoReader(path)
    indices = np.linspace(0, len(reader) - 1, NUM_FRAMES, dtype=int).tolist()
    times = ",".join([f"{i / reader.get_avg_fps():.2f}s" for i in indices])
    told = (
        f"The video lasts for {len(reader) / reader.get_avg_fps():.2f} seconds, and {NUM_FRAMES} frames are uniformly "
        f"sampled from it. These frames are located at {times}.Please answer the following questions related to this "
        "video."
    )
    return reader.get_batch(indices).asnumpy(), indices, told


def main(checkout: str, video: str, out: str) -> None:
    """Write a checkpoint in the authors' layout, and its golden tensors."""
    llava_qwen, mm_utils, conversation, siglip = official(checkout)
    folder = Path(out)
    (folder / "vision_tower").mkdir(parents=True, exist_ok=True)
    write(folder / "vision_tower" / "config.json", TOWER)
    words = tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], eos_token="<|im_end|>",
                      pad_token="<|endoftext|>", unk_token="<|endoftext|>")  # fmt: skip
    words.save_pretrained(folder)
    values = {
        "architectures": ["LlavaQwenForCausalLM"], "model_type": "llava", "torch_dtype": "float32",
        "add_faster_video": False, "add_time_instruction": True, "force_sample": True, "faster_token_stride": 10,
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0, "rope_scaling": None, "tie_word_embeddings": False, "vocab_size": len(words),
        "eos_token_id": words.eos_token_id, "use_sliding_window": False, "sliding_window": 131072,
        "image_aspect_ratio": "anyres_max_9", "image_grid_pinpoints": [[SIDE, 2 * SIDE]], "image_token_index": 151646,
        "mm_hidden_size": TOWER["hidden_size"], "mm_newline_position": "grid", "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_type": "mlp2x_gelu", "mm_resampler_type": None, "mm_spatial_pool_mode": "bilinear",
        "mm_spatial_pool_stride": 2, "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
        "mm_use_im_patch_token": False, "mm_use_im_start_end": False, "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2, "mm_vision_tower": "vision_tower", "mm_vision_tower_lr": 2e-06,
        "tokenizer_model_max_length": 32768, "tokenizer_padding_side": "right", "use_mm_proj": True,
        "use_cache": True, "vision_tower_pretrained": None,
    }  # fmt: skip
    write(folder / "config.json", values)
    # In transformers 5 this field, which they empty, is another name of the one that holds the base of the rotations.
    llava_qwen.LlavaQwenConfig.rope_scaling = property(lambda self: None, lambda self, value: None)
    settings = {
        k: v for k, v in values.items() if k not in ("model_type", "architectures", "torch_dtype", "rope_scaling")
    }
    model = llava_qwen.LlavaQwenForCausalLM(llava_qwen.LlavaQwenConfig(**settings)).float().eval()
    randomise(model)
    prefix = "model.vision_tower.vision_tower."
    weights = {  # transformers 5 has no `vision_model` in the names of SigLIP, which published files have
        k if not k.startswith(prefix) or k.startswith(f"{prefix}vision_model.") else
        f"{prefix}vision_model.{k.removeprefix(prefix)}": v.contiguous()
        for k, v in model.state_dict().items()
    }  # fmt: skip
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    frames, indices, told = load_video(video)
    processor = siglip.SigLipImageProcessor(size=(SIDE, SIDE), crop_size={"height": SIDE, "width": SIDE})
    pixels = processor.preprocess(frames, return_tensors="pt")["pixel_values"]
    turns = copy.deepcopy(conversation.conv_templates["qwen_1_5"])
    turns.append_message(turns.roles[0], f"<image>\n{told}\n{QUESTION}")
    turns.append_message(turns.roles[1], None)
    prompt = turns.get_prompt()
    ids = mm_utils.tokenizer_image_token(prompt, words, -200, return_tensors="pt")[None]

    def fused() -> torch.Tensor:
        made: torch.Tensor = model.prepare_inputs_labels_for_multimodal(
            ids, None, None, None, None, [pixels], ["video"]
        )[4]
        return made

    first = int((ids[0] == -200).nonzero())
    last = ids.shape[1] - first - 1
    with torch.no_grad():
        tensors: dict[str, torch.Tensor] = {}
        for newline in NEWLINES:
            for pool in POOLS:
                model.config.mm_newline_position, model.config.mm_spatial_pool_mode = newline, pool
                tensors[f"{newline}.{pool}"] = fused()[0, first:-last]
        model.config.mm_newline_position, model.config.mm_spatial_pool_mode = "grid", "bilinear"
        embeds = fused()
        tensors["visual_tokens"] = embeds[0, first:-last]
        tensors["tower"] = model.get_vision_tower()(pixels[:2]).unflatten(1, (SIDE // PATCH, SIDE // PATCH))
        tensors["logits"] = model(inputs_embeds=embeds).logits[0, -8:]
        made = []
        for _ in range(24):  # greedy
            made.append(int(model(inputs_embeds=embeds).logits[0, -1].argmax()))
            if made[-1] == words.eos_token_id:
                break
            embeds = torch.cat([embeds, model.get_input_embeddings()(torch.tensor([[made[-1]]]))], dim=1)
    tensors |= {
        "frame_indices": torch.tensor(indices), "pixel_values_videos": pixels[:2], "input_ids": ids,
        "pixel_values_videos_last": pixels[-1:], "generated_ids": torch.tensor(made),
    }  # fmt: skip
    facts = {"video": Path(video).name, "question": QUESTION, "prompt": prompt.replace("<image>", "<video>"),
             "answer": words.decode(made), "num_frames": str(NUM_FRAMES),
             "transformers": transformers.__version__}  # fmt: skip
    stored.write(folder / "golden.safetensors.gz", tensors, facts)
    print(json.dumps({k: list(v.shape) for k, v in tensors.items()}), facts, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
