"""Golden checkpoint of LLaVA-NeXT-Video: tiny random weights, and what transformers' own classes make of a clip.

Needs torchvision and decord beside transformers 5.23; run it in a venv of its own:
    PYTHONPATH=. python tests/golden/make_llava_next_video.py CLIP.mp4 tests/golden/llava_next_video_tiny
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import decord
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaTokenizer, LlavaNextVideoConfig, LlavaNextVideoForConditionalGeneration
from transformers import LlavaNextVideoVideoProcessor as VideoProcessor

from tests.support.tensors import write

QUESTION = "What is happening in this video?"
NUM_FRAMES, SIDE, PATCH = 5, 70, 14
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def tokenizer() -> LlamaTokenizer:
    """Train a BPE with bytes to fall back on, as Llama's."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first")
    made.decoder = decoders.Metaspace()
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    corpus = ["USER: What is happening in this video? ASSISTANT: A dog runs.", "Who? Describe the colours."] * 2
    made.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=340, special_tokens=specials))
    model = json.loads(made.to_str())["model"]
    words = LlamaTokenizer(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], add_bos_token=True)
    words.add_special_tokens({"additional_special_tokens": ["<video>", "<image>", "<pad>"]})
    return words


def main(video: str, out: str) -> None:
    """Write a checkpoint in the published layout, and its golden tensors."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    words.save_pretrained(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}) + "\n")
    video_id = words.convert_tokens_to_ids("<video>")
    config = LlavaNextVideoConfig(
        vision_config={"model_type": "clip_vision_model", "hidden_size": 64, "intermediate_size": 96,
                       "image_size": SIDE, "patch_size": PATCH, "num_hidden_layers": 3, "num_attention_heads": 4,
                       "projection_dim": 64},
        text_config={"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
                     "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": len(words),
                     "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2},
        video_token_index=video_id, image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=[[SIDE, 2 * SIDE]],
    )  # fmt: skip
    model = LlavaNextVideoForConditionalGeneration(config).float().eval()
    random = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():  # large enough that every part shows in the logits
        noise = torch.randn(parameter.shape, generator=random)
        scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        parameter.data = noise * (1.0 if "embed_tokens" in name else scale) + ("norm" in name and "weight" in name)
    model.save_pretrained(folder)
    processor = VideoProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    settings = {**json.loads(processor.to_json_string()), "processor_class": "LlavaNextVideoProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=1) + "\n")

    reader = decord.VideoReader(video)
    indices = [int(i * len(reader) / NUM_FRAMES) for i in range(NUM_FRAMES)]
    frames = torch.from_numpy(reader.get_batch(indices).asnumpy()).permute(0, 3, 1, 2)
    pixels = processor(videos=[frames], return_tensors="pt")["pixel_values_videos"]
    message = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": QUESTION}]}
    prompt = words.apply_chat_template([message], chat_template=TEMPLATE, tokenize=False, add_generation_prompt=True)
    per_frame = (SIDE // PATCH // 2) ** 2
    ids = words(prompt.replace("<video>", "<video>" * per_frame * NUM_FRAMES), return_tensors="pt")["input_ids"]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values_videos": pixels}
    with torch.no_grad():
        features = model.model.vision_tower(pixels[0], output_hidden_states=True).hidden_states[-2][:2, 1:]
        tensors = {
            "frame_indices": torch.tensor(indices),
            "pixel_values_videos": pixels[0, :2],
            "pixel_values_videos_last": pixels[0, -1:],
            "tower": features.unflatten(1, (SIDE // PATCH, SIDE // PATCH)),
            "visual_tokens": model.model.get_video_features(
                pixels, vision_feature_layer=-2, vision_feature_select_strategy="default"
            ).pooler_output.reshape(-1, 64),
            "input_ids": ids,
            "logits": model(**inputs).logits[0, -8:],
            "generated_ids": model.generate(**inputs, max_new_tokens=24, do_sample=False)[:, ids.shape[1] :],
        }
    facts = {"video": Path(video).name, "question": QUESTION, "prompt": prompt, "num_frames": str(NUM_FRAMES),
             "transformers": transformers.__version__}  # fmt: skip
    write(folder / "golden.safetensors.gz", tensors, facts)


if __name__ == "__main__":
    main(*sys.argv[1:])
