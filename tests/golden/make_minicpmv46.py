"""Golden checkpoints of MiniCPM-V 4.6 and 4.7: tiny random weights, and what transformers' own classes make of a clip.

Needs torchvision and decord beside transformers 5.23; run it in a venv of its own:
    PYTHONPATH=. python tests/golden/make_minicpmv46.py 4_6 CLIP.mp4 tests/golden/minicpmv46_tiny
    PYTHONPATH=. python tests/golden/make_minicpmv46.py 4_7 CLIP.mp4 tests/golden/minicpmv47_tiny
The processor is called as the model cards do for videos: `max_slice_nums=1, use_image_id=False`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import decord
import torch
import transformers
from einops import rearrange
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import MiniCPMV4_6ImageProcessor as ImageProcessor
from transformers import MiniCPMV4_6VideoProcessor as VideoProcessor
from transformers import PreTrainedTokenizerFast
from transformers.video_utils import VideoMetadata

from tests.support.tensors import write

QUESTION = "What is happening in this video?"
SIDE, PATCH, WIDTH = 112, 14, 32
MAX_FRAMES = {"4_6": 128, "4_7": 5}
"""The second is fewer than the seconds of its clip, which takes the rule for long ones."""
SEEDS = {"4_6": 16, "4_7": 7}
"""With others the answers end at once."""
NAMES = {
    "image_token": "<|image_pad|>", "video_token": "<|video_pad|>",
    "image_start_token": "<image>", "image_end_token": "</image>",
    "slice_start_token": "<slice>", "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>",
}  # fmt: skip
TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}{%- for part in message.content %}"
    "{%- if part.type == 'video' %}{{- '<|video_pad|>\n' }}{%- elif part.type == 'image' %}{{- '<|image_pad|>\n' }}"
    "{%- else %}{{- part.text }}{%- endif %}{%- endfor %}{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is true %}{{- '<think>\n' }}"
    "{%- else %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    corpus = ["What is happening in this video? A dog runs.", "user assistant Who? Describe the colours."] * 2
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    words = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=NAMES
    )
    words.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]}, replace_extra_special_tokens=False)
    words.add_tokens(["<think>", "</think>"])
    words.chat_template = TEMPLATE
    return words


def model_of(version: str, words: PreTrainedTokenizerFast) -> Any:
    """Build the model with random weights, large enough that every part shows in the logits."""
    fields: dict[str, Any] = {}
    if version == "4_7":
        marks = {f"{name}_id": words.convert_tokens_to_ids(NAMES[f"{name}_token"])
                 for name in ("image_start", "image_end", "slice_start", "slice_end")}  # fmt: skip
        fields = {**marks, "newline_id": words.encode("\n")[0]}
    config = getattr(transformers, f"MiniCPMV{version}Config")(
        vision_config={"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
                       "image_size": 140, "patch_size": PATCH},
        text_config={"model_type": "qwen3_5_text", "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 4,
                     "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": len(words),
                     "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
                     "linear_value_head_dim": 16, "max_position_embeddings": 4096,
                     "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
                                         "mrope_section": [2, 1, 1], "mrope_interleaved": True}},
        insert_layer_id=1, tie_word_embeddings=version == "4_6",
        image_token_id=words.convert_tokens_to_ids(NAMES["image_token"]),
        video_token_id=words.convert_tokens_to_ids(NAMES["video_token"]), eos_token_id=words.eos_token_id, **fields,
    )  # fmt: skip
    model = getattr(transformers, f"MiniCPMV{version}ForConditionalGeneration")(config).float().eval()
    model.generation_config.eos_token_id = words.eos_token_id
    random = torch.Generator().manual_seed(SEEDS[version])
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        # Norms of the LLM count from 1 by themselves, all but those of the recurrent layers.
        one = "norm" in name and "weight" in name and ("language_model" not in name or "linear_attn" in name)
        parameter.data = noise * (0.1 if "embed_tokens" in name else scale) + one
    return model


def main(version: str, video: str, out: str) -> None:
    """Write a checkpoint in the published layout, and its golden tensors."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    words.save_pretrained(folder)
    model = model_of(version, words)
    model.save_pretrained(folder)
    videos = VideoProcessor(scale_resolution=SIDE, max_num_frames=MAX_FRAMES[version])
    (folder / "video_preprocessor_config.json").write_text(videos.to_json_string())
    processor = getattr(transformers, f"MiniCPMV{version}Processor")(
        image_processor=ImageProcessor(scale_resolution=SIDE),
        video_processor=videos,
        tokenizer=words,
        chat_template=TEMPLATE,
    )

    reader = decord.VideoReader(video)
    fps = reader.get_avg_fps()
    metadata = VideoMetadata(total_num_frames=len(reader), fps=fps, duration=len(reader) / fps)
    indices = videos.sample_frames(metadata)
    frames = torch.from_numpy(reader.get_batch(indices).asnumpy()).permute(0, 3, 1, 2)
    message = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": QUESTION}]}
    prompt = processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    inputs = processor(
        text=[prompt],
        videos=[frames],
        do_sample_frames=False,
        max_slice_nums=1,
        use_image_id=False,
        return_tensors="pt",
    )
    ids, packed, sizes = inputs["input_ids"], inputs["pixel_values_videos"], inputs["target_sizes_videos"]
    h, w = sizes[0].tolist()
    pixels = rearrange(packed[0], "c i (t h w j) -> t c (h i) (w j)", t=len(indices), h=h, w=w)
    with torch.no_grad():
        made = model.model.get_video_features(packed, sizes)
        tensors = {
            "frame_indices": torch.tensor(indices),
            "pixel_values_videos": pixels[:2],
            "pixel_values_videos_last": pixels[-1:],
            "tower": rearrange(made.last_hidden_state[0], "(t h w) d -> t h w d", h=h // 2, w=w // 2)[:2],
            "visual_tokens": torch.cat(list(made.pooler_output)),
            "input_ids": ids,
            "logits": model(**inputs).logits[0, -8:],
            "generated_ids": model.generate(**inputs, max_new_tokens=24, do_sample=False)[:, ids.shape[1] :],
        }
        if version == "4_7":
            tensors["position_ids"] = model.model.get_rope_index(
                ids, inputs["mm_token_type_ids"], target_sizes_videos=sizes
            )[0]
    facts = {"video": Path(video).name, "question": QUESTION, "transformers": transformers.__version__}
    write(folder / "golden.safetensors.gz", tensors, facts)


if __name__ == "__main__":
    main(*sys.argv[1:])
