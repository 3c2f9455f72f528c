"""InternLM2 in the authors' layout of InternVL: packed weights, prompts and the tokenizer that runs by foreign code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

import videollm
from tests.support.paths import GOLDEN
from tests.support.tensors import read
from tests.videollm.checkpoints.test_internvl import original
from videollm.checkpoints import Options, internvl, resolve
from videollm.errors import UserError

WORDS = ["<unk>", "<s>", "</s>"]
TEXTS = ("What is happening in this video?", "\nWho? ok  two ", " a", "   x", "user\nhi", "日本 ok\n\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("internlm2")
    tensors, facts = read(GOLDEN / "internlm2.safetensors.gz")
    tiny = json.loads((GOLDEN / "internvl3_tiny" / "config.json").read_text())["vision_config"]
    vision = {"model_type": "intern_vit_6b", "qkv_bias": True, "qk_normalization": False, "norm_type": "layer_norm",
              "image_size": 84, "patch_size": 14}  # fmt: skip
    vision |= {n: tiny[n] for n in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")}
    llm = {**json.loads(facts["config"]), "model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"],
           "auto_map": {}, "rope_scaling": {"type": "dynamic", "factor": 2.0}}  # fmt: skip
    config = {"model_type": "internvl_chat", "llm_config": llm, "vision_config": vision, "force_image_size": 84,
              "downsample_ratio": 0.5, "ps_version": "v2", "select_layer": -1,
              "template": "internlm2-chat"}  # fmt: skip
    (made / "config.json").write_text(json.dumps(config))
    shutil.copy(GOLDEN / "vila_s2_tiny" / "llm" / "tokenizer.model", made)
    added = {str(i): {"content": word, "special": True} for i, word in enumerate(WORDS)}
    words = {"tokenizer_class": "InternLM2Tokenizer", "auto_map": {"AutoTokenizer": ["x.InternLM2Tokenizer", None]},
             "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "added_tokens_decoder": added}  # fmt: skip
    (made / "tokenizer_config.json").write_text(json.dumps(words))
    weights = original(load_file(GOLDEN / "internvl3_tiny" / "model.safetensors"))
    weights = {k: v for k, v in weights.items() if k.startswith(("vision_model.", "mlp1."))}
    width = json.loads(facts["config"])["hidden_size"]
    for name in ("mlp1.1.weight", "mlp1.1.bias", "mlp1.3.weight", "mlp1.3.bias"):
        weights[name] = weights[name][:width, :width] if name == "mlp1.3.weight" else weights[name][:width]
    of_llm = {k.removeprefix("weights."): v for k, v in tensors.items() if k.startswith("weights.")}
    weights |= {f"language_model.{k}": v for k, v in of_llm.items()}
    save_file({k: v.contiguous() for k, v in weights.items()}, made / "model.safetensors")
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return videollm.load(folder, device="cpu")


def test_logits_are_those_of_the_authors_code(model: Any) -> None:
    tensors, _ = read(GOLDEN / "internlm2.safetensors.gz")
    with torch.inference_mode():
        made: Tensor = model.llm(input_ids=tensors["input_ids"]).logits[0]
    assert torch.allclose(made, tensors["logits"], atol=1e-5 * float(tensors["logits"].abs().max()))
    assert made.argmax(-1).tolist() == tensors["logits"].argmax(-1).tolist()


def test_packed_rows_of_a_llama(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())["llm_config"]
    llama = LlamaForCausalLM(LlamaConfig(**{k: v for k, v in config.items() if k not in internvl.NOT_LLAMA}))
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    arrange = internvl.arranger(config)
    attention = llama.model.layers[0].self_attn
    q, k, v = (p.weight for p in (attention.q_proj, attention.k_proj, attention.v_proj))
    d = len(q) // heads
    rows = []
    for group in range(groups):
        for head in range(heads // groups):
            first = (group * (heads // groups) + head) * d
            rows.append(q[first : first + d])
        rows += [k[group * d : group * d + d], v[group * d : group * d + d]]
    packed = torch.cat(rows)
    assert torch.equal(arrange("model.layers.0.attention.wqkv.weight", packed), torch.cat([q, k, v]))
    assert torch.equal(arrange("model.layers.0.attention.wqkv.bias", packed[:, 0]), torch.cat([q, k, v])[:, 0])
    assert arrange("model.layers.0.attention.wo.weight", packed) is packed


def test_a_wrong_number_of_rows_is_told(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "cut")
    file = tmp_path / "cut" / "model.safetensors"
    weights = {k: v.clone() for k, v in load_file(file).items()}
    name = "language_model.model.layers.0.attention.wqkv.weight"
    save_file({**weights, name: weights[name][:-8].clone()}, file)
    with pytest.raises(UserError, match=r"wqkv.*expected"):
        videollm.load(file.parent, device="cpu")


@pytest.mark.parametrize("begins", [True, False])
def test_the_tokenizer_is_sentencepieces_own(begins: bool, folder: Path, tmp_path: Path) -> None:
    from sentencepiece import sentencepiece_model_pb2

    from videollm.checkpoints.sentencepiece import load_sentencepiece

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((folder / "tokenizer.model").read_bytes())
    proto.normalizer_spec.add_dummy_prefix = begins
    (tmp_path / "tokenizer.model").write_bytes(proto.SerializeToString())
    shutil.copy(folder / "tokenizer_config.json", tmp_path)
    words = load_sentencepiece(tmp_path)
    theirs = SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    for text in TEXTS:
        assert words(text, add_special_tokens=False).input_ids == theirs.encode(text)
    both = words(f"{TEXTS[0]}</s>{TEXTS[1]}", add_special_tokens=False).input_ids
    assert both == [*theirs.encode(TEXTS[0]), 2, *theirs.encode(TEXTS[1])]
    assert words.decode(theirs.encode(TEXTS[0])) == TEXTS[0]


def test_the_prompt_begins_with_a_token_and_has_the_elder_words(model: Any) -> None:
    ids, text = model.prompt("Who?", 3)
    assert ids[0] == model.tokenizer.bos_token_id
    assert text == (
        f"<|im_start|>system\n{internvl.ELDER}<|im_end|><|im_start|>user\n<video>\nWho?<|im_end|><|im_start|>assistant\n"
    )


def test_other_templates_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    file = tmp_path / "other" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "template": "phi3-chat"}))
    with pytest.raises(UserError, match=r"template 'phi3-chat'; expected"):
        resolve(Options(name=str(file.parent), device="cpu"))
