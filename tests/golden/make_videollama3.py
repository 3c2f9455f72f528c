"""Golden checkpoint of VideoLLaMA3 in the authors' layout: tiny random weights, and what their code makes of a clip.

The code is imported from a checkout of github.com/DAMO-NLP-SG/VideoLLaMA3. What it runs only on a GPU (flash-attn,
which keeps frames apart; its other attentions do not) is torch's attention here, frame by frame, and FFmpeg's filter
comes from PyAV. Needs decord and torchvision beside transformers 5.23:
    PYTHONPATH=. python tests/golden/make_videollama3.py CHECKOUT CLIP.mp4 tests/golden/videollama3_qwen2_tiny
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
from itertools import pairwise
from pathlib import Path
from typing import Any

import decord
import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from tests.golden.make import QUESTION, randomise, tokenizer, write
from tests.support import tensors as stored
from tests.support.fps_filter import filtered

MAX_TOKENS = 9 * 15


def attend(q: Any, k: Any, v: Any, ends: Any, *_: Any) -> torch.Tensor:
    """Attend inside of each sequence, as flash_attn_varlen_func: (n h d) -> (n h d)."""
    made = [
        scaled_dot_product_attention(*(x[a:b].transpose(0, 1)[None] for x in (q, k, v)))[0].transpose(0, 1)
        for a, b in pairwise(ends)
    ]
    return torch.cat(made)


def official(checkout: str) -> tuple[Any, Any, Any, str]:
    """Import the authors' modules, and read their chat template: model, tower, image processor."""
    for name in ("cv2", "ffmpeg", "imageio"):
        sys.modules[name] = types.ModuleType(name)
    transformers.image_utils.VideoInput = Any
    package = types.ModuleType("api")
    package.__path__ = [str(Path(checkout, "inference", "transformers_api"))]
    sys.modules["api"] = package
    tower = importlib.import_module("api.modeling_videollama3_encoder")
    tower.flash_attn_varlen_func = attend
    for kind in ("eager", "sdpa"):
        tower.VISION_ATTENTION_CLASSES[kind] = tower.VisionFlashAttention2
    source = Path(checkout, "videollama3", "model", "processor.py").read_text()
    lines = re.search(r"^DEFAULT_CHAT_TEMPLATE = .*?(?=^\w+ = |^class |^def |^@)", source, re.M | re.S)
    assert lines is not None
    scope = {"DEFAULT_IMAGE_TOKEN": "<image>"}
    exec(lines[0], scope)
    return (
        importlib.import_module("api.modeling_videollama3"),
        importlib.import_module("api.processing_videollama3"),
        importlib.import_module("api.image_processing_videollama3"),
        scope["DEFAULT_CHAT_TEMPLATE"],
    )


def main(checkout: str, video: str, out: str) -> None:
    """Write a checkpoint in the authors' layout, and its golden tensors."""
    modeling, processing, images, template = official(checkout)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"], eos_token="<|im_end|>",
                      pad_token="<|endoftext|>", unk_token="<|endoftext|>")  # fmt: skip
    words.save_pretrained(folder)
    tower = {"model_type": "videollama3_vision_encoder", "hidden_size": 48, "intermediate_size": 96,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_channels": 3, "patch_size": 14,
             "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "attention_dropout": 0.0}  # fmt: skip
    values = {
        "architectures": ["Videollama3Qwen2ForCausalLM"], "model_type": "videollama3_qwen2", "torch_dtype": "float32",
        "attention_dropout": 0.0, "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": False, "vocab_size": len(words),
        "eos_token_id": words.eos_token_id, "image_token_index": words.convert_tokens_to_ids("<image>"),
        "mm_projector_type": "mlp2x_gelu", "use_token_compression": True, "vision_encoder": None,
        "use_sliding_window": False, "sliding_window": None, "vision_encoder_config": tower,
    }  # fmt: skip
    write(folder / "config.json", values)
    of_images = {"do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
                 "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "max_tokens": MAX_TOKENS, "min_tokens": 4,
                 "patch_size": 14, "resample": 3, "rescale_factor": 1 / 255}  # fmt: skip
    write(folder / "preprocessor_config.json", {**of_images, "image_processor_type": "Videollama3ImageProcessor"})
    write(folder / "processor_config.json", {"fps": 1, "image_merge_size": 1, "max_frames": 180,
          "processor_class": "Videollama3Qwen2Processor", "video_merge_size": 2})  # fmt: skip
    settings = {k: v for k, v in values.items() if k not in ("model_type", "architectures", "torch_dtype")}
    model = modeling.Videollama3Qwen2ForCausalLM(modeling.Videollama3Qwen2Config(**settings)).float().eval()
    assert isinstance(model.model.mm_projector.readout, nn.Sequential)
    randomise(model)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"}
    )

    chosen = filtered(video)
    indices, seconds = [i for i, _ in chosen], [float(second) for _, second in chosen]
    frames = list(decord.VideoReader(video).get_batch(indices).asnumpy().transpose(0, 3, 1, 2))
    processor = images.Videollama3ImageProcessor(**of_images)
    inputs = processor(images=[frames], merge_size=[2], return_tensors="pt")
    conversation = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": [
            {"type": "video", "num_frames": len(frames), "timestamps": seconds}, {"type": "text", "text": QUESTION},
        ]},
    ]  # fmt: skip
    prompt = words.apply_chat_template(conversation, chat_template=template, tokenize=False, add_generation_prompt=True)
    plain = types.SimpleNamespace(tokenizer=words)
    for name in ("_get_downsampled_grid_sizes", "_get_visual_seq_len"):
        setattr(plain, name, types.MethodType(getattr(processing.Videollama3Qwen2Processor, name), plain))
    ids = processing.Videollama3Qwen2Processor.process_text(
        plain, prompt, inputs, return_tensors="pt", padding=False, padding_side=None
    )["input_ids"]
    pixels, grids, merges = inputs["pixel_values"].float(), inputs["grid_sizes"], inputs["merge_sizes"]
    patches = int(grids[0, 1:].prod())
    with torch.no_grad():
        mask = model._get_compression_mask(pixels, grids.prod(dim=1) // merges**2, grids, merges, ["video"])
        embeds = model.prepare_inputs_labels_for_multimodal(
            input_ids=ids, pixel_values=pixels, grid_sizes=grids, merge_sizes=merges, modals=["video"]
        )[4]
        tensors = {
            "visual_tokens": model.encode_images(pixels, grids, merges)[mask],
            "logits": model(inputs_embeds=embeds).logits[0, -8:],
        }
        made: list[int] = []
        for _ in range(24):  # greedy
            made.append(int(model(inputs_embeds=embeds).logits[0, -1].argmax()))
            if made[-1] == words.eos_token_id:
                break
            embeds = torch.cat([embeds, model.get_input_embeddings()(torch.tensor([[made[-1]]]))], dim=1)
    kept = torch.ones_like(ids[0], dtype=torch.bool)
    kept[ids[0] == values["image_token_index"]] = mask
    tensors |= {
        "frame_indices": torch.tensor(indices), "pixel_values_videos": pixels[: 2 * patches],
        "pixel_values_videos_last": pixels[-patches:], "input_ids": ids[:, kept],
        "generated_ids": torch.tensor(made),
    }  # fmt: skip
    facts = {"video": Path(video).name, "question": QUESTION, "prompt": prompt.replace("<image>", "<video>"),
             "answer": words.decode(made), "transformers": transformers.__version__}  # fmt: skip
    stored.write(folder / "golden.safetensors.gz", tensors, facts)
    print(json.dumps({k: list(v.shape) for k, v in tensors.items()}), facts, int(mask.sum()), len(mask), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
