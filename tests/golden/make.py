"""Golden checkpoints of families that transformers has: tiny random weights, and what its own code makes of them.

Needs torchvision, decord and num2words beside transformers 5.23, which the product does not; in a venv of its own:
    PYTHONPATH=. python tests/golden/make.py smolvlm2 CLIP.mp4 tests/golden/smolvlm2_tiny
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import decord
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedTokenizerFast
from transformers.video_utils import VideoMetadata

from tests.support import tensors as stored

QUESTION = "What is happening in this video?"
CORPUS = ["You are provided the following series of ten frames from a 0:00:09 [H:MM:SS] video.\n\nFrame from 00:01:",
          "User: What is happening in this video?\nAssistant: A dog runs.", "Time 1.0s:,Time 2.0s:"]  # fmt: skip


def tokenizer(specials: list[str], **named: str) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on a few sentences."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300 + len(specials), special_tokens=specials, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, extra_special_tokens=specials, **named)


def smolvlm2(folder: Path) -> dict[str, Any]:
    """SmolVLM2 with the published layout's files."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<image>",
                "<global-img>", "<row_1_col_1>", "<end_of_utterance>"]  # fmt: skip
    words = tokenizer(
        specials, bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )  # fmt: skip
    words.chat_template = (
        "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] "
        "== 'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == "
        "'text' %}{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
        "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
    )
    words.save_pretrained(folder)
    end = words.convert_tokens_to_ids("<end_of_utterance>")
    side, patch, scale = 64, 8, 2
    write(folder / "config.json", {
        "architectures": ["SmolVLMForConditionalGeneration"], "model_type": "smolvlm", "dtype": "float32",
        "image_token_id": words.convert_tokens_to_ids("<image>"), "scale_factor": scale, "pad_token_id": 2,
        "tie_word_embeddings": False, "use_cache": True, "use_reentrant_checkpointing": False,
        "vision_config": {"model_type": "smolvlm_vision", "hidden_size": 48, "image_size": side, "patch_size": patch,
                          "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 96,
                          "max_image_size": {"longest_edge": side}, "size": {"longest_edge": 4 * side},
                          "use_base_siglip": False, "tie_word_embeddings": False},
        "text_config": {"model_type": "llama", "architectures": ["VLlama3ForCausalLM"], "hidden_size": 64,
                        "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
                        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 8192,
                        "rms_norm_eps": 1e-5, "rope_theta": 100000, "vocab_size": len(words), "pad_token_id": 2,
                        "is_llama_config": True, "qk_layer_norms": False, "pixel_shuffle_factor": scale,
                        "use_resampler": False, "perceiver_config": {"model_type": "vllama3"}},
    })  # fmt: skip
    write(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": end, "pad_token_id": 2})
    write(folder / "processor_config.json", {
        "image_seq_len": (side // patch // scale) ** 2, "processor_class": "SmolVLMProcessor"
    })  # fmt: skip
    write(folder / "preprocessor_config.json", {
        "do_convert_rgb": True, "do_image_splitting": True, "do_normalize": True, "do_pad": True, "do_rescale": True,
        "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        "image_processor_type": "SmolVLMImageProcessor",
        "max_image_size": {"longest_edge": side}, "processor_class": "SmolVLMProcessor", "resample": 1,
        "rescale_factor": 1 / 255, "size": {"longest_edge": 4 * side},
        "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": side}},
    })  # fmt: skip
    # Later versions scale frames to `size` first, the release to `video_size`.
    return {"size": {"longest_edge": side}}


def videollama3(folder: Path) -> dict[str, Any]:
    """VideoLLaMA3 in the layout of transformers."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>"]
    words = tokenizer(specials, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>")
    words.chat_template = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% else %}{{ '<|' + part['type'] + '_pad|>\\n' }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    words.save_pretrained(folder)
    pads = {f"{kind}_token_id": words.convert_tokens_to_ids(f"<|{kind}_pad|>") for kind in ("image", "video")}
    write(folder / "config.json", {
        "architectures": ["VideoLlama3ForConditionalGeneration"], "model_type": "video_llama_3", "dtype": "float32",
        **pads,
        "vision_config": {"model_type": "video_llama_3_vision", "hidden_size": 48, "intermediate_size": 96,
                          "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 14},
        "text_config": {"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32768,
                        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "vocab_size": len(words),
                        "tie_word_embeddings": False},
    })  # fmt: skip
    write(folder / "generation_config.json", {"eos_token_id": words.convert_tokens_to_ids("<|im_end|>")})
    common = {"do_convert_rgb": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "merge_size": 2,
              "patch_size": 14, "processor_class": "VideoLlama3Processor", "resample": 3}  # fmt: skip
    write(folder / "preprocessor_config.json", {**common, "image_processor_type": "VideoLlama3ImageProcessor"})
    write(folder / "video_preprocessor_config.json", {
        **common, "video_processor_type": "VideoLlama3VideoProcessor", "do_sample_frames": True, "fps": 1,
        "max_frames": 180, "size": {"shortest_edge": 3136, "longest_edge": 9 * 140 * 84}, "use_token_compression": True,
    })  # fmt: skip
    return {}


FAMILIES = {"smolvlm2": smolvlm2, "videollama3": videollama3}
PAD = {"smolvlm2": "<image>", "videollama3": "<|video_pad|>"}


def write(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=1) + "\n")


def randomise(model: torch.nn.Module) -> None:
    """Weights large enough that every part shows in the logits."""
    random = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        if parameter.ndim > 1:
            parameter.data = noise / parameter[0].numel() ** 0.5 * (2 if "embed_tokens" in name else 1)
        else:
            parameter.data = 0.1 * noise + ("norm" in name and "weight" in name)


def main(family: str, video: str, out: str) -> None:
    """Write a checkpoint and its golden tensors."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    call = FAMILIES[family](folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa").float().eval()
    randomise(model)
    model.tie_weights()
    written = folder / "written"
    model.save_pretrained(written)
    (written / "model.safetensors").replace(folder / "model.safetensors")
    for file in written.iterdir():
        file.unlink()
    written.rmdir()
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    processor = AutoProcessor.from_pretrained(folder)

    reader = decord.VideoReader(video)
    metadata = VideoMetadata(
        total_num_frames=len(reader), fps=reader.get_avg_fps(), duration=len(reader) / reader.get_avg_fps()
    )
    metadata.frames_indices = [int(i) for i in processor.video_processor.sample_frames(metadata)]
    frames = torch.from_numpy(reader.get_batch(metadata.frames_indices).asnumpy()).permute(0, 3, 1, 2)
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": QUESTION}]}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    settings = {"return_tensors": "pt", "video_metadata": [metadata], "do_sample_frames": False}
    inputs = processor(text=[prompt], videos=[frames], **settings, **call)
    inputs.pop("video_metadata", None)
    tensors = {k: v for k, v in inputs.items() if k.startswith(("input_ids", "video_"))}
    if "video_grid_thw" in inputs:
        whole, patches = inputs["pixel_values_videos"], int(inputs["video_grid_thw"][0, 1:].prod())
        tensors |= {"pixel_values_videos": whole[: 2 * patches], "pixel_values_videos_last": whole[-patches:]}
    else:
        whole = inputs["pixel_values"][0]
        tensors |= {"pixel_values_videos": whole[:2], "pixel_values_videos_last": whole[-1:]}
    later = processor(text=[prompt], videos=[frames], **settings)
    tensors |= {f"later.{k}": v[0, :2] for k, v in later.items() if k == "pixel_values" and call}
    with torch.no_grad():
        tensors |= visual(model, inputs)
        tensors["logits"] = model(**inputs).logits[0, -8:]
        made = model.generate(**inputs, max_new_tokens=24, do_sample=False, repetition_penalty=1.0)
    made = made[:, inputs["input_ids"].shape[1] :]
    tensors |= {"generated_ids": made, "frame_indices": torch.tensor(metadata.frames_indices)}
    facts = {
        "video": Path(video).name,
        "question": QUESTION,
        "prompt": re.sub(f"({re.escape(PAD[family])})+", "<video>", processor.tokenizer.decode(inputs["input_ids"][0])),
        "answer": processor.tokenizer.decode(made[0]),
        "transformers": transformers.__version__,
        "video_fps": str(metadata.fps),
        "video_frames": str(metadata.total_num_frames),
    }
    stored.write(folder / "golden.safetensors.gz", tensors, facts)
    print({k: tuple(v.shape) for k, v in tensors.items()}, facts, sep="\n")


def visual(model: torch.nn.Module, inputs: Any) -> dict[str, torch.Tensor]:
    """Visual tokens, and features of the tower (two frames) where they can be had."""
    if "pixel_values" in inputs:
        made = model.get_image_features(inputs["pixel_values"], inputs["pixel_attention_mask"])
        tower = made.last_hidden_state[:2].unflatten(1, (-1, round(made.last_hidden_state.shape[1] ** 0.5)))
        return {"tower": tower, "visual_tokens": torch.cat(list(made.pooler_output))}
    made = model.get_video_features(
        inputs["pixel_values_videos"], inputs["video_grid_thw"], video_merge_sizes=inputs["video_merge_sizes"]
    )
    return {"visual_tokens": torch.cat(list(made.pooler_output))[inputs["video_compression_mask"]]}


if __name__ == "__main__":
    main(*sys.argv[1:])
